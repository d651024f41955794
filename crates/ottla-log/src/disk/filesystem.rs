//! Syncing many files at once: one `syncfs` instead of an `fdatasync` for each.
//!
//! `syncfs` writes what other programs left in the same file system, too, so it is only done while there is
//! little of that. Only where it tells of writes that failed: Linux 5.8 and later, and file systems
//! that are known to.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rustix::fs::{fstatfs, syncfs};
use rustix::io::pread;
use rustix::system::uname;

use super::Filesystem;
use crate::store::LogFault;

/// More than this waiting for the disks of the machine: whose it is nobody knows, and it may take long.
const DIRTY_BYTES_MAX: u64 = 32 << 20;
/// The first Linux whose `syncfs` fails if a write failed.
const LINUX_MIN: (u32, u32) = (5, 8);
/// ext4 and XFS.
const TYPES: [i64; 2] = [0xEF53, 0x5846_5342];

/// A file system that `syncfs` can be trusted with.
#[derive(Debug)]
pub(super) struct LocalFilesystem {
    /// A directory in it. Open all the time: it tells of what failed since it was opened.
    directory: File,
    path: PathBuf,
    meminfo: File,
}

impl LocalFilesystem {
    /// That of a directory, if it is one of those.
    pub(super) fn of(path: &Path) -> Result<Option<LocalFilesystem>, LogFault> {
        let fault = |error| LogFault::io("open", path, error);
        let directory = File::open(path).map_err(fault)?;
        let kind = fstatfs(&directory).map_err(|error| fault(error.into()))?;
        let kernel = uname();
        let version = kernel.release().to_str().ok().and_then(version_of);
        if version < Some(LINUX_MIN) || !TYPES.contains(&kind.f_type) {
            return Ok(None);
        }
        let meminfo = match File::open("/proc/meminfo") {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(fault(error)),
        };
        Ok(Some(LocalFilesystem {
            directory,
            path: path.to_path_buf(),
            meminfo,
        }))
    }
}

impl Filesystem for LocalFilesystem {
    fn sync(&self) -> Result<bool, LogFault> {
        let mut text = [0; 4096];
        let length = pread(&self.meminfo, &mut text, 0).unwrap_or(0);
        let dirty = std::str::from_utf8(&text[..length])
            .ok()
            .and_then(dirty_bytes);
        if dirty.is_none_or(|bytes| bytes > DIRTY_BYTES_MAX) {
            return Ok(false);
        }
        syncfs(&self.directory).map_err(|error| LogFault::io("sync", &self.path, error.into()))?;
        Ok(true)
    }
}

/// `5.8` of `5.8.0-12-generic`.
fn version_of(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// What waits for the disks or is on its way, of the text of `/proc/meminfo`.
fn dirty_bytes(meminfo: &str) -> Option<u64> {
    let kilobytes = |name: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    Some((kilobytes("Dirty:")? + kilobytes("Writeback:")?) * 1024)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn versions_of_the_kernel_are_compared_as_numbers() {
        assert_eq!(version_of("6.18.44-fc-v669"), Some((6, 18)));
        assert_eq!(version_of("5.8"), Some((5, 8)));
        assert!(version_of("5.15.0-91-generic") > Some(LINUX_MIN));
        assert!(version_of("5.7.19") < Some(LINUX_MIN));
        assert!(version_of("unknown") < Some(LINUX_MIN));
    }

    #[test]
    fn dirty_pages_are_read_from_meminfo() {
        let text = "MemTotal: 9 kB\nDirty:              1200 kB\nWriteback:             4 kB\n";
        assert_eq!(dirty_bytes(text), Some(1204 * 1024));
        assert_eq!(dirty_bytes("MemTotal: 9 kB\n"), None);
        let real = std::fs::read_to_string("/proc/meminfo").unwrap();
        assert!(dirty_bytes(&real).is_some());
    }

    /// Whether it is done depends on the machine; that it can be is what matters.
    #[test]
    fn a_filesystem_is_synced_or_says_that_it_is_not() {
        let root = tempfile::tempdir().unwrap();
        if let Some(filesystem) = LocalFilesystem::of(root.path()).unwrap() {
            filesystem.sync().unwrap();
        }
    }
}
