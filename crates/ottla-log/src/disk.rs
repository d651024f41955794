//! The few operations on files that a log needs, so that a simulated disk can drop, reorder and tear
//! what was not synced, and fail on purpose.

mod filesystem;
mod local;

use std::fmt::Debug;
use std::io::IoSlice;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use local::LocalDisk;

use crate::store::LogFault;

/// A tree of files.
pub trait Disk: Send + Sync + Debug + 'static {
    /// Opens a file for reading and writing, and creates it if asked. A new name is durable only
    /// after [`sync_dir`](Disk::sync_dir).
    ///
    /// # Errors
    /// The system's, with operation and path; so for every method here.
    fn open(&self, path: &Path, create: bool) -> Result<Arc<dyn DiskFile>, LogFault>;
    /// Whole content of a small file; `None` if it is not there. Refuses one above `bytes_max`.
    fn read_file(&self, path: &Path, bytes_max: usize) -> Result<Option<Vec<u8>>, LogFault>;
    /// Creates a directory and its missing parents; fine if it is there.
    fn create_dir(&self, path: &Path) -> Result<(), LogFault>;
    /// Names in a directory, in no order: name, and whether it is a directory.
    fn list(&self, path: &Path) -> Result<Vec<(String, bool)>, LogFault>;
    /// Gives a file or directory another name, replacing a file of that name.
    fn rename(&self, from: &Path, to: &Path) -> Result<(), LogFault>;
    /// Removes a file; fine if it is not there.
    fn remove_file(&self, path: &Path) -> Result<(), LogFault>;
    /// Removes a directory and all in it.
    fn remove_dir(&self, path: &Path) -> Result<(), LogFault>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, path: &Path) -> Result<(), LogFault>;
    /// Takes an exclusive lock that ends with the returned guard or the process; `None` if another
    /// process holds it.
    fn lock(&self, path: &Path) -> Result<Option<Box<dyn Send + Sync>>, LogFault>;
    /// Identity of this start of the machine: changes when unsynced data may have been lost.
    fn boot_id(&self) -> String;
    /// The file system of a directory, if all of it can be synced at once.
    fn filesystem(&self, directory: &Path) -> Result<Option<Box<dyn Filesystem>>, LogFault> {
        let _ = directory;
        Ok(None)
    }
}

/// All files of a file system.
pub trait Filesystem: Send + Sync + Debug {
    /// Makes everything durable that was written to any of them. False if that was not done because it
    /// might have cost more than syncing some files. After an error those have to be, too: it may be
    /// about somebody else's.
    ///
    /// # Errors
    /// The system's.
    fn sync(&self) -> Result<bool, LogFault>;
}

/// One open file.
pub trait DiskFile: Send + Sync + Debug + 'static {
    /// Its path when it was opened.
    fn path(&self) -> PathBuf;
    /// Size in bytes.
    fn len(&self) -> Result<u64, LogFault>;
    /// True if it has no bytes.
    fn is_empty(&self) -> Result<bool, LogFault> {
        Ok(self.len()? == 0)
    }
    /// Writes all of `pieces` from `position` on.
    fn write_all_at(&self, pieces: &mut [IoSlice<'_>], position: u64) -> Result<(), LogFault>;
    /// Reads up to `buffer.len()` bytes; fewer only at the end of the file.
    fn read_at(&self, buffer: &mut [u8], position: u64) -> Result<usize, LogFault>;
    /// Fills `buffer` or fails.
    fn read_exact_at(&self, buffer: &mut [u8], position: u64) -> Result<(), LogFault> {
        let read = self.read_at(buffer, position)?;
        if read < buffer.len() {
            return Err(LogFault::Io {
                operation: "read",
                path: self.path(),
                error: Arc::new(std::io::ErrorKind::UnexpectedEof.into()),
            });
        }
        Ok(())
    }
    /// Reads what of `buffer.len()` bytes can be had without waiting for a device, from the start:
    /// `None` if nothing can, or if the file does not know.
    fn read_now(&self, buffer: &mut [u8], position: u64) -> Result<Option<usize>, LogFault> {
        let _ = (buffer, position);
        Ok(None)
    }
    /// Cuts or extends the file.
    fn set_len(&self, length: u64) -> Result<(), LogFault>;
    /// Makes content and size durable (`fdatasync`).
    fn sync(&self) -> Result<(), LogFault>;
    /// The descriptor, for sendfile; a simulated disk has none.
    fn descriptor(&self) -> Option<BorrowedFd<'_>>;
}
