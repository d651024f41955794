//! Deleting the directories of removed logs, on a thread of its own.
//!
//! Deleting a large directory keeps the file system busy, and syncs wait for it: so one directory at
//! a time, and then a pause as long as it took. Nobody waits for the space but the next start, which
//! takes up what is left.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Shared;

/// Directories to be deleted.
#[derive(Default)]
pub(crate) struct Discarded {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    directories: VecDeque<PathBuf>,
    stopped: bool,
}

impl Discarded {
    /// Adds a directory.
    pub(crate) fn push(&self, path: PathBuf) {
        self.lock().directories.push_back(path);
        self.changed.notify_one();
    }

    pub(super) fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_all();
    }

    fn take(&self) -> Option<PathBuf> {
        self.lock().directories.pop_front()
    }

    /// Waits for a directory; `None` once stopped.
    fn wait(&self) -> Option<PathBuf> {
        let mut state = self
            .changed
            .wait_while(self.lock(), |state| {
                state.directories.is_empty() && !state.stopped
            })
            .unwrap_or_else(PoisonError::into_inner);
        if state.stopped {
            return None;
        }
        state.directories.pop_front()
    }

    fn pause(&self, time: Duration) {
        let (_state, _) = self
            .changed
            .wait_timeout_while(self.lock(), time, |state| !state.stopped)
            .unwrap_or_else(PoisonError::into_inner);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// Deletes one directory. False if there is none.
    pub(super) fn delete_one(&self) -> bool {
        let path = self.discarded.take();
        path.iter().for_each(|path| self.delete(path));
        path.is_some()
    }

    pub(super) fn delete_until_stopped(&self) {
        while let Some(path) = self.discarded.wait() {
            let began = Instant::now();
            self.delete(&path);
            self.discarded.pause(began.elapsed());
        }
    }

    fn delete(&self, path: &std::path::Path) {
        if let Err(fault) = self.disk.remove_dir(path) {
            tracing::warn!(%fault, "a removed log's directory stays until the next start");
        }
    }
}
