//! The real disk, on which writes to chosen files park until the test lets them go on.
//!
//! Guarantees: a parked call has done nothing yet; whatever is chosen goes on when the disk is
//! released or dropped. Reads and syncs never park. Unlike [`sim_disk`](crate::sim_disk), which forgets and tears what
//! was not synced, it is as fast with a thousand files as the file system is.

use std::fmt;
use std::io::IoSlice;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ottla_log::LogFault;
use ottla_log::disk::{Disk, DiskFile, LocalDisk};

/// How long a test waits for calls to arrive before it gives up.
const ARRIVAL_LIMIT: Duration = Duration::from_secs(120);

/// The disk. Clones are the same one.
#[derive(Clone, Default)]
pub struct StallDisk(Arc<Inner>);

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    changed: Condvar,
}

type Choice = Box<dyn Fn(&Path) -> bool + Send>;

#[derive(Default)]
struct State {
    chosen: Option<Choice>,
    parked: usize,
}

/// Writes park until this is dropped.
#[must_use = "dropping it lets everything go on"]
pub struct Stall(StallDisk);

impl StallDisk {
    /// From now on writes to the files that are chosen park.
    pub fn stall(&self, chosen: impl Fn(&Path) -> bool + Send + 'static) -> Stall {
        self.0.lock().chosen = Some(Box::new(chosen));
        Stall(self.clone())
    }
}

impl Stall {
    /// Waits until so many calls are parked.
    ///
    /// # Panics
    /// If they did not come within two minutes.
    pub fn wait_parked(&self, calls: usize) {
        let inner = &self.0.0;
        let (state, _) = inner
            .changed
            .wait_timeout_while(inner.lock(), ARRIVAL_LIMIT, |state| state.parked < calls)
            .unwrap_or_else(PoisonError::into_inner);
        assert!(
            state.parked >= calls,
            "{} of {calls} writes arrived",
            state.parked
        );
    }
}

impl Drop for Stall {
    fn drop(&mut self) {
        self.0.0.lock().chosen = None;
        self.0.0.changed.notify_all();
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pass(&self, path: &Path) {
        let is_chosen = |state: &State| state.chosen.as_ref().is_some_and(|chosen| chosen(path));
        let mut state = self.lock();
        if !is_chosen(&state) {
            return;
        }
        state.parked += 1;
        self.changed.notify_all();
        let waited = self.changed.wait_while(state, |state| is_chosen(state));
        waited.unwrap_or_else(PoisonError::into_inner).parked -= 1;
    }
}

impl fmt::Debug for StallDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StallDisk")
            .field("parked", &self.0.lock().parked)
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct StallFile {
    inner: Arc<dyn DiskFile>,
    disk: StallDisk,
}

impl Disk for StallDisk {
    fn open(&self, path: &Path, create: bool) -> Result<Arc<dyn DiskFile>, LogFault> {
        let inner = LocalDisk.open(path, create)?;
        let disk = self.clone();
        Ok(Arc::new(StallFile { inner, disk }))
    }
    fn read_file(&self, path: &Path, bytes_max: usize) -> Result<Option<Vec<u8>>, LogFault> {
        LocalDisk.read_file(path, bytes_max)
    }
    fn create_dir(&self, path: &Path) -> Result<(), LogFault> {
        LocalDisk.create_dir(path)
    }
    fn list(&self, path: &Path) -> Result<Vec<(String, bool)>, LogFault> {
        LocalDisk.list(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> Result<(), LogFault> {
        LocalDisk.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> Result<(), LogFault> {
        LocalDisk.remove_file(path)
    }
    fn remove_dir(&self, path: &Path) -> Result<(), LogFault> {
        LocalDisk.remove_dir(path)
    }
    fn sync_dir(&self, path: &Path) -> Result<(), LogFault> {
        LocalDisk.sync_dir(path)
    }
    fn lock(&self, path: &Path) -> Result<Option<Box<dyn Send + Sync>>, LogFault> {
        LocalDisk.lock(path)
    }
    fn boot_id(&self) -> String {
        LocalDisk.boot_id()
    }
}

impl DiskFile for StallFile {
    fn path(&self) -> PathBuf {
        self.inner.path()
    }
    fn len(&self) -> Result<u64, LogFault> {
        self.inner.len()
    }
    fn write_all_at(&self, pieces: &mut [IoSlice<'_>], position: u64) -> Result<(), LogFault> {
        self.disk.0.pass(&self.path());
        self.inner.write_all_at(pieces, position)
    }
    fn read_at(&self, buffer: &mut [u8], position: u64) -> Result<usize, LogFault> {
        self.inner.read_at(buffer, position)
    }
    fn read_now(&self, buffer: &mut [u8], position: u64) -> Result<Option<usize>, LogFault> {
        self.inner.read_now(buffer, position)
    }
    fn set_len(&self, length: u64) -> Result<(), LogFault> {
        self.disk.0.pass(&self.path());
        self.inner.set_len(length)
    }
    fn sync(&self) -> Result<(), LogFault> {
        self.inner.sync()
    }
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.inner.descriptor()
    }
}
