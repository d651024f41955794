//! What goes wrong on purpose: failing operations, and operations that wait for the test.

use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a test waits for a held operation before it gives up.
const ARRIVAL_LIMIT: Duration = Duration::from_secs(60);

/// What the disk can be asked to do.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Operation {
    /// A new file, also that of a lock.
    CreateFile,
    /// A new directory, one for each that was missing.
    CreateDir,
    /// `write_all_at` of at least one byte.
    Write,
    /// `set_len`.
    SetLen,
    /// `sync` of a file.
    Sync,
    /// `sync_dir`.
    SyncDir,
    /// `sync` of the file system.
    SyncFilesystem,
    /// `rename`; its path is the old name.
    Rename,
    /// Removal of a file or an empty directory, one for each entry that `remove_dir` meets.
    Remove,
    /// `read_at` and `read_file`. Changes nothing, so it is not counted.
    Read,
}

/// What the operating system says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DiskError {
    /// EIO.
    Io,
    /// ENOSPC.
    NoSpace,
}

/// A failure to come: by default of the next such operation, once, on any path.
#[derive(Clone, Debug)]
pub struct Fault {
    operation: Operation,
    error: DiskError,
    path_suffix: String,
    skip: u64,
    lasting: bool,
    short_bytes: usize,
}

impl Fault {
    /// The next operation of this kind fails with this error.
    #[must_use]
    pub fn new(operation: Operation, error: DiskError) -> Fault {
        Fault {
            operation,
            error,
            path_suffix: String::new(),
            skip: 0,
            lasting: false,
            short_bytes: 0,
        }
    }

    /// Only operations on paths with this end count and fail (for a file, the path it was opened by).
    #[must_use]
    pub fn on(mut self, path_suffix: &str) -> Fault {
        path_suffix.clone_into(&mut self.path_suffix);
        self
    }

    /// Lets so many such operations pass first.
    #[must_use]
    pub fn after(mut self, operations: u64) -> Fault {
        self.skip = operations;
        self
    }

    /// Fails from then on, until [`heal`](super::SimDisk::heal).
    #[must_use]
    pub fn lasting(mut self) -> Fault {
        self.lasting = true;
        self
    }

    /// A failing write leaves its first bytes, as many as this, in the file.
    #[must_use]
    pub fn short(mut self, bytes: usize) -> Fault {
        self.short_bytes = bytes;
        self
    }
}

/// A failure that happens now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failure {
    error: DiskError,
    pub(super) short_bytes: usize,
}

impl Failure {
    pub(super) fn error(self) -> io::Error {
        const EIO: i32 = 5;
        const ENOSPC: i32 = 28;
        io::Error::from_raw_os_error(match self.error {
            DiskError::Io => EIO,
            DiskError::NoSpace => ENOSPC,
        })
    }
}

/// The failures to come.
#[derive(Default, Debug)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Counts an operation on every fault that it concerns; the first one that is due fires.
    pub(super) fn meet(&mut self, operation: Operation, path: &Path) -> Option<Failure> {
        let mut fired = None;
        self.0.retain_mut(|fault| {
            if fault.operation != operation || !ends_with(path, &fault.path_suffix) {
                return true;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
                return true;
            }
            if fired.is_some() {
                return true;
            }
            fired = Some(Failure {
                error: fault.error,
                short_bytes: fault.short_bytes,
            });
            fault.lasting
        });
        fired
    }
}

/// An operation that waits, or will wait, until the test lets it go on. Dropping it lets it go on.
#[derive(Debug)]
pub struct Held {
    gate: Arc<Gate>,
}

impl Held {
    /// Waits until the operation has arrived; nothing of it has been done then.
    ///
    /// # Panics
    /// If none came within a minute.
    pub fn wait_arrived(&self) {
        let state = self.gate.state();
        let (state, _) = self
            .gate
            .changed
            .wait_timeout_while(state, ARRIVAL_LIMIT, |state| {
                matches!(state, GateState::Expecting)
            })
            .unwrap_or_else(PoisonError::into_inner);
        assert!(
            matches!(*state, GateState::Arrived),
            "no {:?} on *{} arrived within {ARRIVAL_LIMIT:?}",
            self.gate.operation,
            self.gate.path_suffix
        );
    }

    /// True if the operation is waiting.
    #[must_use]
    pub fn has_arrived(&self) -> bool {
        matches!(*self.gate.state(), GateState::Arrived)
    }

    /// Lets it go on. If it has not arrived, it will not wait.
    pub fn release(self) {
        self.gate.release(None);
    }

    /// Lets it fail, or the next one to come if none has arrived.
    pub fn fail(self, error: DiskError) {
        self.gate.release(Some(Failure {
            error,
            short_bytes: 0,
        }));
    }

    /// Lets a write fail after it has put its first bytes, as many as this, into the file.
    pub fn fail_short(self, error: DiskError, bytes: usize) {
        self.gate.release(Some(Failure {
            error,
            short_bytes: bytes,
        }));
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.gate.release(None);
    }
}

#[derive(Debug)]
struct Gate {
    operation: Operation,
    path_suffix: String,
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Clone, Copy, Debug)]
enum GateState {
    Expecting,
    Arrived,
    Released(Option<Failure>),
}

impl Gate {
    fn state(&self) -> MutexGuard<'_, GateState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first release counts.
    fn release(&self, failure: Option<Failure>) {
        let mut state = self.state();
        if !matches!(*state, GateState::Released(_)) {
            *state = GateState::Released(failure);
            self.changed.notify_all();
        }
    }

    fn wait_released(&self) -> Option<Failure> {
        let mut state = self.state();
        loop {
            match *state {
                GateState::Released(failure) => return failure,
                GateState::Expecting => {
                    *state = GateState::Arrived;
                    self.changed.notify_all();
                }
                GateState::Arrived => {
                    state = self
                        .changed
                        .wait(state)
                        .unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }
}

/// The gates that no operation has come to yet.
#[derive(Default, Debug)]
pub(super) struct Gates(Mutex<Vec<Arc<Gate>>>);

impl Gates {
    pub(super) fn add(&self, operation: Operation, path_suffix: &str) -> Held {
        let gate = Arc::new(Gate {
            operation,
            path_suffix: path_suffix.to_owned(),
            state: Mutex::new(GateState::Expecting),
            changed: Condvar::new(),
        });
        self.waiting().push(Arc::clone(&gate));
        Held { gate }
    }

    /// Waits if a gate is there for this operation. Called without any other lock held.
    pub(super) fn pass(&self, operation: Operation, path: &Path) -> Option<Failure> {
        let gate = {
            let mut waiting = self.waiting();
            waiting.retain(|gate| !matches!(*gate.state(), GateState::Released(None)));
            let found = waiting
                .iter()
                .position(|gate| gate.operation == operation && ends_with(path, &gate.path_suffix));
            waiting.remove(found?)
        };
        gate.wait_released()
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Arc<Gate>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ends_with(path: &Path, suffix: &str) -> bool {
    path.to_string_lossy().ends_with(suffix)
}
