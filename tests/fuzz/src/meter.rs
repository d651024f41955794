//! What a piece of work allocates, and whether it panics.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind, set_hook, take_hook};
use std::sync::Once;

/// The rule: memory that an input may cost, in bytes per byte of it.
const BYTES_PER_INPUT_BYTE: u64 = 4;
/// And what the smallest may cost.
const BYTES_BASE: u64 = 1 << 20;

/// Runs `work` and answers the most bytes that it had allocated at once. What the C library zstd takes
/// for itself is not in it. A buffer that grows counts twice while it moves.
pub(crate) fn metered<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let mut done: Result<T, Box<dyn Any + Send>> = Err(Box::new("it did not run"));
    // A panic must not pass through the counter, which keeps a stack.
    let info = allocation_counter::measure(|| done = catch_unwind(AssertUnwindSafe(work)));
    match done {
        Ok(done) => (done, info.bytes_max),
        Err(panic) => resume_unwind(panic),
    }
}

/// Holds what an input took against the rule. Answers the bytes above four times its own.
pub(crate) fn bounded(peak_bytes: u64, input: &[u8]) -> Result<u64, String> {
    let free = BYTES_PER_INPUT_BYTE * input.len() as u64;
    if peak_bytes > free + BYTES_BASE {
        return Err(format!(
            "{} bytes of input took {peak_bytes} bytes of memory",
            input.len()
        ));
    }
    Ok(peak_bytes.saturating_sub(free))
}

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// From here on panics are kept for [`guarded`]; those of the harness itself are printed as ever.
pub(crate) fn keep_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print = take_hook();
        set_hook(Box::new(move |panic| {
            if GUARDED.get() {
                let text = panic.to_string();
                PANIC.with_borrow_mut(|kept| *kept = text);
            } else {
                print(panic);
            }
        }));
    });
}

/// Runs `work`; a panic becomes an error.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    GUARDED.set(true);
    let done = catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(false);
    done.unwrap_or_else(|_| Err(PANIC.with_borrow_mut(std::mem::take)))
}
