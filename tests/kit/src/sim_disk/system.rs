//! The simulated disk behind the traits of the real one: each method passes the gates, checks that
//! the process lives and the call is right, is counted, meets the faults, and is then done at once.
//! Answers and errors are those of the local file system.

use std::fmt;
use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, MutexGuard};

use ottla_log::LogFault;
use ottla_log::disk::{Disk, DiskFile, Filesystem};

use super::content::check_end;
use super::fault::{Failure, Operation};
use super::tree::{Id, already_exists, os_error};
use super::{Shared, SimDisk, State};

const EFBIG: i32 = 27;

struct SimFile {
    shared: Arc<Shared>,
    path: PathBuf,
    id: Id,
}

struct SimFilesystem {
    shared: Arc<Shared>,
    directory: PathBuf,
}

struct LockGuard {
    shared: Arc<Shared>,
    id: Id,
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, create: bool) -> Result<Arc<dyn DiskFile>, LogFault> {
        let fault = |error| LogFault::io("open", path, error);
        let (state, id) = self.shared.open(path, create).map_err(fault)?;
        drop(state);
        Ok(Arc::new(SimFile {
            shared: Arc::clone(&self.shared),
            path: path.to_path_buf(),
            id,
        }))
    }

    fn read_file(&self, path: &Path, bytes_max: usize) -> Result<Option<Vec<u8>>, LogFault> {
        let fault = |error| LogFault::io("read", path, error);
        let held = self.shared.gates.pass(Operation::Read, path);
        let mut state = self.shared.live().map_err(fault)?;
        state.meet(Operation::Read, path, held).map_err(fault)?;
        let found = absent_is_fine(state.tree.find_file(path)).map_err(fault)?;
        let Some(id) = found.flatten() else {
            return Ok(None);
        };
        let content = state.tree.file(id).map_err(fault)?.current();
        if content.len() > bytes_max as u64 {
            return Err(fault(os_error(EFBIG)));
        }
        let mut bytes = vec![0; content.len() as usize];
        content.read(&mut bytes, 0);
        Ok(Some(bytes))
    }

    fn create_dir(&self, path: &Path) -> Result<(), LogFault> {
        let fault = |error| LogFault::io("create", path, error);
        // A file among the parents is ENOTDIR, one of that very name EEXIST.
        absent_is_fine(self.shared.live().map_err(fault)?.tree.find(path)).map_err(fault)?;
        let mut missing: Vec<&Path> = path.ancestors().collect();
        missing.retain(|path| path.file_name().is_some());
        for dir in missing.iter().rev() {
            self.create_missing_dir(dir).map_err(fault)?;
        }
        Ok(())
    }

    fn list(&self, path: &Path) -> Result<Vec<(String, bool)>, LogFault> {
        let fault = |error| LogFault::io("list", path, error);
        let state = self.shared.live().map_err(fault)?;
        let dir = state.tree.find_dir(path).map_err(fault)?;
        state.tree.list(dir).map_err(fault)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), LogFault> {
        let fault = |error| LogFault::io("rename", from, error);
        let held = self.shared.gates.pass(Operation::Rename, from);
        let mut state = self.shared.live().map_err(fault)?;
        if !state.tree.check_rename(from, to).map_err(fault)? {
            return Ok(());
        }
        state.begin(Operation::Rename, from, held).map_err(fault)?;
        let source = state.tree.find(from).map_err(fault)?;
        let target = state.tree.find(to).map_err(fault)?;
        state.tree.rename(source, target);
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> Result<(), LogFault> {
        let fault = |error| LogFault::io("remove", path, error);
        let held = self.shared.gates.pass(Operation::Remove, path);
        let mut state = self.shared.live().map_err(fault)?;
        let Some(found) = absent_is_fine(state.tree.find(path)).map_err(fault)? else {
            return Ok(());
        };
        let Some(id) = found.id else { return Ok(()) };
        state.tree.file(id).map_err(fault)?;
        state.begin(Operation::Remove, path, held).map_err(fault)?;
        state.tree.remove(found);
        Ok(())
    }

    fn remove_dir(&self, path: &Path) -> Result<(), LogFault> {
        let held = self.shared.gates.pass(Operation::Remove, path);
        self.remove_tree(path, held)
            .map_err(|error| LogFault::io("remove", path, error))
    }

    fn sync_dir(&self, path: &Path) -> Result<(), LogFault> {
        let fault = |error| LogFault::io("sync", path, error);
        let held = self.shared.gates.pass(Operation::SyncDir, path);
        let mut state = self.shared.live().map_err(fault)?;
        let dir = state.tree.find_dir(path).map_err(fault)?;
        state.begin(Operation::SyncDir, path, held).map_err(fault)?;
        let State {
            tree, open, locks, ..
        } = &mut *state;
        tree.sync_dir(dir, open.keys().chain(locks.iter()).copied());
        Ok(())
    }

    fn lock(&self, path: &Path) -> Result<Option<Box<dyn Send + Sync>>, LogFault> {
        let fault = |error| LogFault::io("lock", path, error);
        let (mut state, id) = self.shared.open(path, true).map_err(fault)?;
        state.close(id);
        if !state.locks.insert(id) {
            return Ok(None);
        }
        Ok(Some(Box::new(LockGuard {
            shared: Arc::clone(&self.shared),
            id,
        })))
    }

    fn boot_id(&self) -> String {
        self.shared.state().boot.id()
    }

    fn filesystem(&self, directory: &Path) -> Result<Option<Box<dyn Filesystem>>, LogFault> {
        Ok(Some(Box::new(SimFilesystem {
            shared: Arc::clone(&self.shared),
            directory: directory.to_path_buf(),
        })))
    }
}

/// Content only: names are left to `sync_dir`, as the real one need not be relied on for them.
impl Filesystem for SimFilesystem {
    fn sync(&self) -> Result<bool, LogFault> {
        let (operation, path) = (Operation::SyncFilesystem, &*self.directory);
        let fault = |error| LogFault::io("sync", path, error);
        let held = self.shared.gates.pass(operation, path);
        let mut state = self.shared.live().map_err(fault)?;
        state.begin(operation, path, held).map_err(fault)?;
        state.tree.sync_files();
        Ok(true)
    }
}

impl fmt::Debug for SimFilesystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimFilesystem").finish_non_exhaustive()
    }
}

impl DiskFile for SimFile {
    fn path(&self) -> PathBuf {
        self.path.clone()
    }

    fn len(&self) -> Result<u64, LogFault> {
        let fault = |error| LogFault::io("stat", &self.path, error);
        let state = self.shared.live().map_err(fault)?;
        Ok(state.tree.file(self.id).map_err(fault)?.current().len())
    }

    fn write_all_at(&self, pieces: &mut [IoSlice<'_>], position: u64) -> Result<(), LogFault> {
        let fault = |error| LogFault::io("write", &self.path, error);
        let size: usize = pieces.iter().map(|piece| piece.len()).sum();
        if size == 0 {
            return Ok(());
        }
        let held = self.shared.gates.pass(Operation::Write, &self.path);
        let mut state = self.shared.live().map_err(fault)?;
        check_end(position, size as u64).map_err(fault)?;
        let failure = state
            .count(Operation::Write, &self.path, held)
            .map_err(fault)?;
        let (file, at) = state.tree.file_mut(self.id).map_err(fault)?;
        let bytes_max = failure.map_or(size, |failure| failure.short_bytes);
        file.write(pieces, bytes_max, position, at);
        failure.map_or(Ok(()), |failure| Err(fault(failure.error())))
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> Result<usize, LogFault> {
        let fault = |error| LogFault::io("read", &self.path, error);
        let held = self.shared.gates.pass(Operation::Read, &self.path);
        let mut state = self.shared.live().map_err(fault)?;
        state
            .meet(Operation::Read, &self.path, held)
            .map_err(fault)?;
        Ok(state
            .tree
            .file(self.id)
            .map_err(fault)?
            .current()
            .read(buffer, position))
    }

    fn set_len(&self, length: u64) -> Result<(), LogFault> {
        let fault = |error| LogFault::io("truncate", &self.path, error);
        let held = self.shared.gates.pass(Operation::SetLen, &self.path);
        let mut state = self.shared.live().map_err(fault)?;
        check_end(length, 0).map_err(fault)?;
        state
            .begin(Operation::SetLen, &self.path, held)
            .map_err(fault)?;
        let (file, at) = state.tree.file_mut(self.id).map_err(fault)?;
        file.set_len(length, at);
        Ok(())
    }

    fn sync(&self) -> Result<(), LogFault> {
        let fault = |error| LogFault::io("sync", &self.path, error);
        let held = self.shared.gates.pass(Operation::Sync, &self.path);
        let mut state = self.shared.live().map_err(fault)?;
        let failure = state
            .count(Operation::Sync, &self.path, held)
            .map_err(fault)?;
        let (file, _) = state.tree.file_mut(self.id).map_err(fault)?;
        match failure {
            None => {
                file.sync();
                Ok(())
            }
            Some(failure) => {
                file.fail_sync();
                Err(fault(failure.error()))
            }
        }
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

impl fmt::Debug for SimFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimFile")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        self.shared.state().close(self.id);
    }
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        self.shared.state().locks.remove(&self.id);
    }
}

impl SimDisk {
    fn create_missing_dir(&self, path: &Path) -> io::Result<()> {
        let missing = self.shared.live()?.tree.find(path)?.id.is_none();
        let held = if missing {
            self.shared.gates.pass(Operation::CreateDir, path)
        } else {
            None
        };
        let mut state = self.shared.live()?;
        let found = state.tree.find(path)?;
        match found.id {
            Some(id) if state.tree.is_dir(id) => Ok(()),
            Some(_) => Err(already_exists()),
            None => {
                state.begin(Operation::CreateDir, path, held)?;
                state.tree.create_dir(found);
                Ok(())
            }
        }
    }

    fn remove_tree(&self, path: &Path, held: Option<Failure>) -> io::Result<()> {
        let mut state = self.shared.live()?;
        let found = absent_is_fine(state.tree.find(path))?;
        let Some(found) = found else { return Ok(()) };
        for entry in state.tree.removal_order(found)? {
            state.begin(Operation::Remove, path, held)?;
            state.tree.remove(entry);
        }
        Ok(())
    }
}

impl Shared {
    /// Opens a file; whoever gets its id closes it.
    fn open(&self, path: &Path, create: bool) -> io::Result<(MutexGuard<'_, State>, Id)> {
        let missing = self.live()?.tree.find_file(path)?.is_none();
        let held = if create && missing {
            self.gates.pass(Operation::CreateFile, path)
        } else {
            None
        };
        let mut state = self.live()?;
        let id = match state.tree.find_file(path)? {
            Some(id) => id,
            None if create => {
                state.begin(Operation::CreateFile, path, held)?;
                let found = state.tree.find(path)?;
                state.tree.create_file(found)
            }
            None => return Err(io::ErrorKind::NotFound.into()),
        };
        *state.open.entry(id).or_default() += 1;
        Ok((state, id))
    }
}

fn absent_is_fine<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}
