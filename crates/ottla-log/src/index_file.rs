//! Files of sorted entries of one fixed width: what `.index` and `.timeindex` have in common.
//!
//! A growing index keeps its newest entries in memory and moves older ones to its file in whole
//! chunks, so memory is bounded and a killed process loses the newest entries only. Indexes are
//! caches: whatever a file says is checked against the log before it is believed, and all of it can
//! be built anew.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use crate::disk::{Disk, DiskFile};
use crate::store::LogFault;

/// Entries of a file that are moved out of memory at once: 32 KiB of offset index for 16 MiB of log.
const CHUNK: usize = 4096;
/// Entries of a file that are read for a lookup: a page of offset index.
const RUN: usize = 512;

/// A segment spans fewer than 2^31 offsets and bytes, so no honest index has more entries than an
/// entry per indexed batch of the smallest size allows.
pub(crate) const INDEX_BYTES_MAX: usize = 512 * 1024 * 1024;

/// The index of a segment that still grows.
#[derive(Debug)]
pub(crate) struct Growing<const N: usize> {
    path: PathBuf,
    /// The file, once a lookup needed it.
    file: Arc<OnceLock<Arc<dyn DiskFile>>>,
    /// Runs of entries in the file.
    runs: Vec<Run<N>>,
    /// Entries in the file.
    spilled: usize,
    tail: Vec<[u8; N]>,
    last: Option<[u8; N]>,
}

#[derive(Clone, Copy, Debug)]
struct Run<const N: usize> {
    first: [u8; N],
    start: usize,
}

/// Where an entry lies: found under a lock, read outside it.
#[derive(Debug)]
pub(crate) enum Spot<const N: usize> {
    /// The entry, if there is one.
    Entry(Option<[u8; N]>),
    /// Among these entries of the file.
    Run {
        /// The file's path.
        path: PathBuf,
        /// The file, if it is open.
        file: Arc<OnceLock<Arc<dyn DiskFile>>>,
        /// First entry.
        start: usize,
        /// Number of entries.
        count: usize,
    },
}

impl<const N: usize> Growing<N> {
    /// No entries; a file that is there will be overwritten.
    pub(crate) fn new(path: PathBuf) -> Growing<N> {
        Growing {
            path,
            file: Arc::default(),
            runs: Vec::new(),
            spilled: 0,
            tail: Vec::new(),
            last: None,
        }
    }

    /// The entries of a file up to the first that `follows` refuses, seeing it and the one before.
    pub(crate) fn load(
        disk: &dyn Disk,
        path: PathBuf,
        mut follows: impl FnMut(Option<&[u8; N]>, &[u8; N]) -> bool,
    ) -> Result<Growing<N>, LogFault> {
        let mut index = Growing::new(path);
        let Some(bytes) = disk.read_file(&index.path, INDEX_BYTES_MAX)? else {
            return Ok(index);
        };
        for entry in bytes.as_chunks::<N>().0 {
            if !follows(index.last.as_ref(), entry) {
                break;
            }
            index.push(*entry);
            if index.tail.len() == CHUNK {
                index.spilled(CHUNK);
            }
        }
        // They are in the file already, and it must not be cut back to fewer: the marks may say that
        // it has them.
        index.spilled(index.tail.len());
        Ok(index)
    }

    /// Adds an entry at the end.
    pub(crate) fn push(&mut self, entry: [u8; N]) {
        self.tail.push(entry);
        self.last = Some(entry);
    }

    /// The newest entry.
    pub(crate) fn last(&self) -> Option<&[u8; N]> {
        self.last.as_ref()
    }

    /// Number of entries.
    pub(crate) fn len(&self) -> usize {
        self.spilled + self.tail.len()
    }

    /// Takes the newest entries back, of which none has moved to the file. `last` is what the newest
    /// entry was at that length.
    pub(crate) fn truncate(&mut self, len: usize, last: Option<[u8; N]>) {
        self.tail.truncate(len.saturating_sub(self.spilled));
        self.last = last;
    }

    /// Where the last entry is that `below` accepts; it accepts a prefix of the entries.
    pub(crate) fn find(&self, below: impl Fn(&[u8; N]) -> bool) -> Spot<N> {
        if self.tail.first().is_some_and(&below) || self.runs.is_empty() {
            let count = self.tail.partition_point(&below);
            return Spot::Entry(count.checked_sub(1).map(|at| self.tail[at]));
        }
        let behind = self.runs.partition_point(|run| below(&run.first));
        let Some(run) = behind.checked_sub(1).map(|at| self.runs[at]) else {
            return Spot::Entry(None);
        };
        let end = self
            .runs
            .get(behind)
            .map_or(self.spilled, |next| next.start);
        Spot::Run {
            path: self.path.clone(),
            file: self.file.clone(),
            start: run.start,
            count: end - run.start,
        }
    }

    /// The oldest entries in memory.
    pub(crate) fn tail(&self) -> &[[u8; N]] {
        &self.tail
    }

    /// The first `count` entries in memory as bytes, with their place in the file.
    pub(crate) fn to_spill(&self, count: usize) -> (PathBuf, u64, Vec<u8>) {
        let bytes = self.tail[..count].as_flattened().to_vec();
        (self.path.clone(), (self.spilled * N) as u64, bytes)
    }

    /// Forgets the first `count` entries in memory, which are in the file now.
    pub(crate) fn spilled(&mut self, count: usize) {
        for run in self.tail[..count].chunks(RUN) {
            self.runs.push(Run {
                first: run[0],
                start: self.spilled,
            });
            self.spilled += run.len();
        }
        self.tail.drain(..count);
    }

    /// All entries of an index of which nothing has moved to a file.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        debug_assert!(self.runs.is_empty());
        self.tail.into_flattened()
    }
}

impl<const N: usize> Spot<N> {
    /// The entry, read from the file if it lies there.
    pub(crate) fn resolve(
        self,
        disk: &dyn Disk,
        below: impl Fn(&[u8; N]) -> bool,
    ) -> Result<Option<[u8; N]>, LogFault> {
        match self {
            Spot::Entry(entry) => Ok(entry),
            Spot::Run {
                path,
                file,
                start,
                count,
            } => {
                let file = match file.get() {
                    Some(file) => file,
                    None => {
                        let opened = disk.open(&path, false)?;
                        file.get_or_init(|| opened)
                    }
                };
                let mut bytes = vec![0; count * N];
                file.read_exact_at(&mut bytes, (start * N) as u64)?;
                Ok(last_below(&bytes, below))
            }
        }
    }
}

/// The last entry that `below` accepts, of sorted entries.
pub(crate) fn last_below<const N: usize>(
    bytes: &[u8],
    below: impl Fn(&[u8; N]) -> bool,
) -> Option<[u8; N]> {
    let entries = bytes.as_chunks::<N>().0;
    let count = entries.partition_point(below);
    count.checked_sub(1).map(|at| entries[at])
}

/// The newest entry.
pub(crate) fn last<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.as_chunks::<N>().0.last().copied()
}
