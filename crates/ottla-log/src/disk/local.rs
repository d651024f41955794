//! The file system of the operating system.
//!
//! Guarantees: a write is whole or an error, whatever the kernel took of it at once; every error
//! names the operation and the path. Never caches, never retries a sync.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, IoSlice, IoSliceMut, Read as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{FlockOperation, fcntl_lock, fdatasync, fsync};
use rustix::io::{Errno, ReadWriteFlags, pread, preadv2, pwritev, retry_on_intr};

use super::filesystem::LocalFilesystem;
use super::{Disk, DiskFile, Filesystem};
use crate::store::LogFault;

/// Most pieces that one `pwritev` takes (Linux `UIO_MAXIOV`).
const PIECES_MAX: usize = 1024;

/// Files that this process holds locked, as (device, inode). A POSIX lock does not exclude its own
/// process, and closing any descriptor of the file drops it: so a second attempt from within must
/// be refused before it opens the file.
static LOCKED: Mutex<Option<HashSet<(u64, u64)>>> = Mutex::new(None);

/// The real disk.
#[derive(Clone, Copy, Default, Debug)]
pub struct LocalDisk;

#[derive(Debug)]
struct LocalFile {
    file: File,
    path: PathBuf,
}

struct LockGuard {
    _file: File,
    identity: (u64, u64),
}

impl Disk for LocalDisk {
    fn open(&self, path: &Path, create: bool) -> Result<Arc<dyn DiskFile>, LogFault> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(create)
            .truncate(false)
            .open(path)
            .map_err(|error| LogFault::io("open", path, error))?;
        Ok(Arc::new(LocalFile {
            file,
            path: path.to_path_buf(),
        }))
    }

    fn read_file(&self, path: &Path, bytes_max: usize) -> Result<Option<Vec<u8>>, LogFault> {
        let fault = |error| LogFault::io("read", path, error);
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(fault(error)),
        };
        let mut bytes = Vec::new();
        file.take(bytes_max as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(fault)?;
        if bytes.len() > bytes_max {
            return Err(fault(ErrorKind::FileTooLarge.into()));
        }
        Ok(Some(bytes))
    }

    fn create_dir(&self, path: &Path) -> Result<(), LogFault> {
        fs::create_dir_all(path).map_err(|error| LogFault::io("create", path, error))
    }

    fn list(&self, path: &Path) -> Result<Vec<(String, bool)>, LogFault> {
        let fault = |error| LogFault::io("list", path, error);
        let mut names = Vec::new();
        for entry in fs::read_dir(path).map_err(fault)? {
            let entry = entry.map_err(fault)?;
            let is_dir = entry.file_type().map_err(fault)?.is_dir();
            names.push((entry.file_name().to_string_lossy().into_owned(), is_dir));
        }
        Ok(names)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), LogFault> {
        fs::rename(from, to).map_err(|error| LogFault::io("rename", from, error))
    }

    fn remove_file(&self, path: &Path) -> Result<(), LogFault> {
        absent_is_fine(fs::remove_file(path)).map_err(|error| LogFault::io("remove", path, error))
    }

    fn remove_dir(&self, path: &Path) -> Result<(), LogFault> {
        absent_is_fine(fs::remove_dir_all(path))
            .map_err(|error| LogFault::io("remove", path, error))
    }

    fn sync_dir(&self, path: &Path) -> Result<(), LogFault> {
        let directory = File::open(path).map_err(|error| LogFault::io("open", path, error))?;
        fsync(&directory).map_err(|error| LogFault::io("sync", path, error.into()))
    }

    fn lock(&self, path: &Path) -> Result<Option<Box<dyn Send + Sync>>, LogFault> {
        let fault = |error| LogFault::io("lock", path, error);
        let mut held = LOCKED.lock().unwrap_or_else(PoisonError::into_inner);
        let held = held.get_or_insert_with(HashSet::new);
        match fs::metadata(path) {
            Ok(found) if held.contains(&(found.dev(), found.ino())) => return Ok(None),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(fault(error)),
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(fault)?;
        // The kind of lock that Java's `FileChannel.tryLock` takes, so Kafka and we exclude each other.
        match retry_on_intr(|| fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive)) {
            Ok(()) => {}
            Err(Errno::AGAIN | Errno::ACCESS) => return Ok(None),
            Err(error) => return Err(fault(error.into())),
        }
        let found = file.metadata().map_err(fault)?;
        let identity = (found.dev(), found.ino());
        held.insert(identity);
        Ok(Some(Box::new(LockGuard {
            _file: file,
            identity,
        })))
    }

    fn boot_id(&self) -> String {
        // Empty means unknown: the store then takes every unclean start for a power loss.
        fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .map(|id| id.trim().to_owned())
            .unwrap_or_default()
    }

    fn filesystem(&self, directory: &Path) -> Result<Option<Box<dyn Filesystem>>, LogFault> {
        let filesystem = LocalFilesystem::of(directory)?;
        Ok(filesystem.map(|filesystem| Box::new(filesystem) as Box<dyn Filesystem>))
    }
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        let mut held = LOCKED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = held.as_mut() {
            held.remove(&self.identity);
        }
    }
}

impl DiskFile for LocalFile {
    fn path(&self) -> PathBuf {
        self.path.clone()
    }

    fn len(&self) -> Result<u64, LogFault> {
        self.file
            .metadata()
            .map(|found| found.len())
            .map_err(|error| LogFault::io("stat", &self.path, error))
    }

    fn write_all_at(&self, pieces: &mut [IoSlice<'_>], mut position: u64) -> Result<(), LogFault> {
        let mut left = pieces;
        IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            let some = &left[..left.len().min(PIECES_MAX)];
            match pwritev(&self.file, some, position) {
                Ok(0) => {
                    return Err(LogFault::io(
                        "write",
                        &self.path,
                        ErrorKind::WriteZero.into(),
                    ));
                }
                Ok(written) => {
                    position += written as u64;
                    IoSlice::advance_slices(&mut left, written);
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(LogFault::io("write", &self.path, error.into())),
            }
        }
        Ok(())
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> Result<usize, LogFault> {
        let mut filled = 0;
        while filled < buffer.len() {
            match pread(&self.file, &mut buffer[filled..], position + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(Errno::INTR) => {}
                Err(error) => return Err(LogFault::io("read", &self.path, error.into())),
            }
        }
        Ok(filled)
    }

    fn read_now(&self, buffer: &mut [u8], position: u64) -> Result<Option<usize>, LogFault> {
        loop {
            let mut pieces = [IoSliceMut::new(buffer)];
            return match preadv2(&self.file, &mut pieces, position, ReadWriteFlags::NOWAIT) {
                Ok(read) => Ok(Some(read).filter(|read| *read > 0)),
                Err(Errno::INTR) => continue,
                // Not in memory, or a file system that cannot tell.
                Err(Errno::AGAIN | Errno::OPNOTSUPP) => Ok(None),
                Err(error) => Err(LogFault::io("read", &self.path, error.into())),
            };
        }
    }

    fn set_len(&self, length: u64) -> Result<(), LogFault> {
        self.file
            .set_len(length)
            .map_err(|error| LogFault::io("truncate", &self.path, error))
    }

    fn sync(&self) -> Result<(), LogFault> {
        // Not retried, not even after EINTR: a second call may report success for pages that the
        // first one failed to write and then marked clean.
        fdatasync(&self.file).map_err(|error| LogFault::io("sync", &self.path, error.into()))
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.file.as_fd())
    }
}

fn absent_is_fine(result: std::io::Result<()>) -> std::io::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
