//! `ottla-fuzz-guided`: one group of the harness as a target of libFuzzer, which looks for new ways through
//! the code. `cargo xtask fuzz guided GROUP` builds and runs it; `OTTLA_FUZZ_GROUP` names the group.
#![no_main]

use std::cell::RefCell;
use std::panic;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use ottla_fuzz::engine::line;
use ottla_fuzz::{Group, canaries, groups};

thread_local! {
    static INPUT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

fuzz_target!(init: tell_how_to_replay(), |bytes: &[u8]| {
    let group = group();
    INPUT.with_borrow_mut(|input| {
        input.clear();
        input.extend_from_slice(bytes);
        // Lengths and checksums are nothing that coverage could find.
        group.repair(input);
    });
    let seen = INPUT.with_borrow(|input| group.run(input));
    if let Err(why) = seen {
        panic!("{why}");
    }
});

fn group() -> &'static dyn Group {
    static GROUP: OnceLock<Box<dyn Group>> = OnceLock::new();
    let group = GROUP.get_or_init(|| {
        let name = std::env::var("OTTLA_FUZZ_GROUP").unwrap_or_default();
        let all = groups().and_then(|all| canaries().map(|planted| all.into_iter().chain(planted)));
        let found = all.map(|mut all| all.find(|group| group.name() == name));
        found
            .unwrap_or_else(|error| panic!("{error}"))
            .unwrap_or_else(|| panic!("OTTLA_FUZZ_GROUP={name} is no group"))
    });
    group.as_ref()
}

/// A panic ends the process: before it does, the input is shown.
fn tell_how_to_replay() {
    let ends = panic::take_hook();
    panic::set_hook(Box::new(move |why| {
        let name = std::env::var("OTTLA_FUZZ_GROUP").unwrap_or_default();
        INPUT.with(|input| {
            if let Ok(input) = input.try_borrow() {
                print_line(&format!("cargo xtask fuzz replay {}", line(&name, &input)));
            }
        });
        ends(why);
    }));
}

#[allow(clippy::print_stderr, reason = "it talks to a person")]
fn print_line(text: &str) {
    eprint!("{text}");
}
