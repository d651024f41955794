//! A disk in memory that forgets, tears and reorders what was not synced, and fails on purpose.
//!
//! Guarantees: what a successful sync covered is in every image; what it did not cover may be there
//! in whole, in part or not at all; equal histories and seeds give equal images. An image shares all
//! content with its origin until one of them changes it, so taking one costs what was not synced.
//! Never sleeps, reads no clock, prints nothing.
//!
//! Two deaths: [`kill_image`](SimDisk::kill_image) is the disk after `kill -9` (everything written is
//! there, the machine runs on), [`crash`](SimDisk::crash) the disk after a power loss. To visit every
//! moment of a history, either run it once per operation with [`stop_at`](SimDisk::stop_at), or once
//! with [`record`](SimDisk::record) and take [`recorded`](SimDisk::recorded) images:
//!
//! ```text
//! let disk = SimDisk::new();
//! disk.record();
//! let acknowledged = run(&disk);              // notes disk.operations() at each acknowledgement
//! for k in 0..=disk.operations() {
//!     for seed in 0..20 {
//!         let after = disk.recorded(k).unwrap().crash(seed);
//!         check(&after, acknowledged.until(k)); // may record and crash `after` in turn
//!     }
//! }
//! ```
//!
//! Rules for files: `sim_disk/file.rs`; for names: `sim_disk/tree.rs`. A write in flight is not in an
//! image; its torn forms are those of the moment after it.

mod content;
mod fault;
mod file;
mod random;
mod system;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use fault::{DiskError, Fault, Held, Operation};

use fault::{Failure, Faults, Gates};
use random::Random;
use tree::{Id, Tree};

/// The simulated disk. Clones are handles of the same disk; images are disks of their own.
#[derive(Clone)]
pub struct SimDisk {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    gates: Gates,
}

struct State {
    tree: Tree,
    boot: Boot,
    operations: u64,
    stop_at: Option<u64>,
    stopped: bool,
    faults: Faults,
    open: HashMap<Id, usize>,
    locks: HashSet<Id>,
    recording: Option<Recording>,
}

/// The tree before each operation from the first one on.
struct Recording {
    first: u64,
    trees: Vec<Tree>,
}

#[derive(Clone, Copy)]
struct Boot {
    starts: u64,
    mark: u64,
}

impl Default for SimDisk {
    fn default() -> SimDisk {
        SimDisk::new()
    }
}

impl SimDisk {
    /// An empty disk: a durable root directory, reached by `/` and by the empty path.
    #[must_use]
    pub fn new() -> SimDisk {
        SimDisk::with(Tree::new(), Boot { starts: 1, mark: 0 })
    }

    /// The disk after a power loss now, one possibility per seed. Everything in the image is
    /// durable. Another boot id; no locks, faults, holds, stop or recording; operations count from
    /// zero. This disk stays as it is.
    #[must_use]
    pub fn crash(&self, seed: u64) -> SimDisk {
        let state = self.shared.state();
        let mut random = Random::new(seed);
        let boot = Boot {
            starts: state.boot.starts + 1,
            mark: random.next(),
        };
        SimDisk::with(state.tree.crash(&mut random), boot)
    }

    /// The disk after `kill -9` now: everything written is there and what was not synced still is
    /// not. Same boot id; otherwise as fresh as [`crash`](Self::crash)'s image.
    #[must_use]
    pub fn kill_image(&self) -> SimDisk {
        let state = self.shared.state();
        SimDisk::with(state.tree.fork(), state.boot)
    }

    /// Number of operations that changed the disk or made something durable, failed ones included.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.shared.state().operations
    }

    /// Lets operations happen until [`operations`](Self::operations) is this number. The attempt of
    /// one more fails, and so does everything after it, reads included: the process has died there.
    pub fn stop_at(&self, operations: u64) {
        self.shared.state().stop_at = Some(operations);
    }

    /// True once an operation met the stop.
    #[must_use]
    pub fn stopped(&self) -> bool {
        self.shared.state().stopped
    }

    /// From now on keeps an image of the disk before each operation, for [`recorded`](Self::recorded).
    pub fn record(&self) {
        let mut state = self.shared.state();
        let first = state.operations;
        state.recording = Some(Recording {
            first,
            trees: Vec::new(),
        });
    }

    /// What [`kill_image`](Self::kill_image) gave when so many operations had happened. `None` if
    /// that was before [`record`](Self::record), or is yet to come.
    #[must_use]
    pub fn recorded(&self, operations: u64) -> Option<SimDisk> {
        let state = self.shared.state();
        let recording = state.recording.as_ref()?;
        let index = usize::try_from(operations.checked_sub(recording.first)?).ok()?;
        let tree = match recording.trees.get(index) {
            Some(tree) => tree,
            None if operations == state.operations => &state.tree,
            None => return None,
        };
        Some(SimDisk::with(tree.fork(), state.boot))
    }

    /// Lets an operation fail. After a failed sync the changes that it should have covered stay
    /// readable, but no later sync makes them durable, unless their pages are written again: Linux
    /// marks such pages clean.
    pub fn inject(&self, fault: Fault) {
        self.shared.state().faults.add(fault);
    }

    /// Forgets all injected faults.
    pub fn heal(&self) {
        self.shared.state().faults.clear();
    }

    /// Makes the next operation of this kind on a path with this end wait, before it does anything,
    /// until the test releases it. Others go on meanwhile.
    #[must_use = "dropping it releases the operation"]
    pub fn hold_next(&self, operation: Operation, path_suffix: &str) -> Held {
        self.shared.gates.add(operation, path_suffix)
    }

    fn with(tree: Tree, boot: Boot) -> SimDisk {
        let state = State {
            tree,
            boot,
            operations: 0,
            stop_at: None,
            stopped: false,
            faults: Faults::default(),
            open: HashMap::new(),
            locks: HashSet::new(),
            recording: None,
        };
        SimDisk {
            shared: Arc::new(Shared {
                state: Mutex::new(state),
                gates: Gates::default(),
            }),
        }
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.shared.state();
        f.debug_struct("SimDisk")
            .field("boot", &state.boot.id())
            .field("operations", &state.operations)
            .field("stopped", &state.stopped)
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, unless the process died.
    fn live(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.state();
        if state.stopped {
            Err(dead())
        } else {
            Ok(state)
        }
    }
}

impl State {
    /// Counts an operation about to be done, or fails because the process dies here.
    fn count(
        &mut self,
        operation: Operation,
        path: &Path,
        held: Option<Failure>,
    ) -> io::Result<Option<Failure>> {
        if self
            .stop_at
            .is_some_and(|stop_at| self.operations >= stop_at)
        {
            self.stopped = true;
            return Err(dead());
        }
        if let Some(recording) = &mut self.recording {
            recording.trees.push(self.tree.clone());
        }
        self.operations += 1;
        let injected = self.faults.meet(operation, path);
        Ok(held.or(injected))
    }

    /// [`count`](Self::count) for an operation of which a failure leaves nothing.
    fn begin(
        &mut self,
        operation: Operation,
        path: &Path,
        held: Option<Failure>,
    ) -> io::Result<()> {
        let failure = self.count(operation, path, held)?;
        failure.map_or(Ok(()), |failure| Err(failure.error()))
    }

    /// Whether an operation that changes nothing fails.
    fn meet(&mut self, operation: Operation, path: &Path, held: Option<Failure>) -> io::Result<()> {
        let injected = self.faults.meet(operation, path);
        held.or(injected)
            .map_or(Ok(()), |failure| Err(failure.error()))
    }

    fn close(&mut self, id: Id) {
        if let Some(users) = self.open.get_mut(&id) {
            *users -= 1;
            if *users == 0 {
                self.open.remove(&id);
            }
        }
    }
}

impl Boot {
    fn id(self) -> String {
        format!("{:08}-{:016x}", self.starts, self.mark)
    }
}

fn dead() -> io::Error {
    io::Error::other("the simulated process has died")
}
