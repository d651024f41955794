//! The face of a log towards the shard that lives on it, and of a store towards the runtime.
//!
//! A shard assigns offsets, so it also decides when a segment is full ([`RollRule`]); the log only
//! writes what it is handed, keeps the indexes, reads, and tells how far it has come.

mod log_store;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

pub use log_store::{Cleanup, CompactRule, Cut, Gap, LogConfig, LogSpec, LogStore, Recovery};

use bytes::Bytes;
use ottla_model::batch::BatchHead;
use ottla_model::ids::{LeaderEpoch, Offset};
use ottla_model::marks::Marks;
use ottla_model::time::WallMs;

use crate::disk::DiskFile;

/// One step of an append.
#[derive(Clone, Debug)]
pub enum AppendItem {
    /// Seal the active segment and go on in a new one. Comes before the first batch of the segment.
    Roll {
        /// Base offset of the new segment: that of the batch that follows.
        base_offset: Offset,
        /// The machine as it was at `base_offset`, in its file format, if it keeps such a file.
        snapshot: Option<Bytes>,
    },
    /// One batch, stamped with its base offset and leader epoch. Its base offset is the end of what
    /// comes before it: logs have gaps, but only recovery and compaction make them.
    Batch {
        /// Its header.
        head: BatchHead,
        /// The whole batch, header included.
        bytes: Bytes,
    },
}

/// Told about a log's progress, from whichever thread made it. Called without locks of the log held.
pub trait MarkListener: Send + Sync {
    /// The durable mark moved.
    fn advanced(&self, marks: Marks);
    /// The log takes nothing more: a sync failed, or a failed write could not be cut back.
    fn closed(&self, fault: &LogFault);
}

/// Why a log could not do what it was asked: the disk's fault, not the caller's.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LogFault {
    /// The operating system refused.
    #[error("{operation} {}: {error}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the system said.
        error: Arc<std::io::Error>,
    },
    /// Bytes below the stable mark are not what was written.
    #[error("{}: damaged at byte {position} (offset {offset}): {why}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where in the file.
        position: u64,
        /// The offset that is expected there.
        offset: Offset,
        /// What is wrong.
        why: String,
    },
    /// The log was closed by an earlier fault, or removed.
    #[error("the log is closed: {0}")]
    Closed(String),
    /// What is on disk contradicts what was asked, and was left as it is.
    #[error("{}: {why}", path.display())]
    Refused {
        /// The file or directory.
        path: PathBuf,
        /// The contradiction.
        why: String,
    },
}

impl LogFault {
    /// What the operating system said about an operation on a path.
    #[must_use]
    pub fn io(operation: &'static str, path: &Path, error: std::io::Error) -> LogFault {
        LogFault::Io {
            operation,
            path: path.to_path_buf(),
            error: Arc::new(error),
        }
    }

    /// True if the file or directory is not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, LogFault::Io { error, .. } if error.kind() == ErrorKind::NotFound)
    }

    pub(crate) fn refused(path: &Path, why: impl Into<String>) -> LogFault {
        LogFault::Refused {
            path: path.to_path_buf(),
            why: why.into(),
        }
    }
}

/// What a read found.
#[derive(Clone)]
pub enum Read {
    /// Nothing between the asked offset and the bound.
    Empty,
    /// Bytes in memory, whole batches.
    Memory(Bytes),
    /// Whole batches in a file, which stays open and keeps its bytes as long as this is held.
    File {
        /// The segment's file.
        file: Arc<dyn DiskFile>,
        /// First byte.
        position: u64,
        /// Number of bytes.
        length: usize,
    },
}

impl Read {
    /// Number of bytes that the read holds.
    #[must_use]
    pub fn length_bytes(&self) -> usize {
        match self {
            Read::Empty => 0,
            Read::Memory(bytes) => bytes.len(),
            Read::File { length, .. } => *length,
        }
    }

    /// The bytes, read from the file if they are not in memory.
    ///
    /// # Errors
    /// The disk's fault.
    pub fn bytes(&self) -> Result<Bytes, LogFault> {
        match self {
            Read::Empty => Ok(Bytes::new()),
            Read::Memory(bytes) => Ok(bytes.clone()),
            Read::File {
                file,
                position,
                length,
            } => {
                let mut buffer = vec![0; *length];
                file.read_exact_at(&mut buffer, *position)?;
                Ok(buffer.into())
            }
        }
    }
}

/// Why a read gave nothing.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// The offset lies outside the log.
    #[error("offset out of range")]
    OutOfRange,
    /// The disk's fault.
    #[error(transparent)]
    Fault(#[from] LogFault),
}

/// A record found by its timestamp.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimestampHit {
    /// Its offset.
    pub offset: Offset,
    /// Its timestamp.
    pub timestamp_ms: i64,
    /// Epoch of the batch that holds it.
    pub leader_epoch: LeaderEpoch,
}

/// One log: what a shard needs of it. All methods may be called from any thread; `append`,
/// `write_snapshot`, `begin_epoch` and `probe` by one at a time.
pub trait Log: Send + Sync + 'static {
    /// How far the log has come.
    fn marks(&self) -> Marks;

    /// Who is told when the durable mark moves or the log closes; told at once how it stands now.
    /// Replaces an earlier listener.
    fn listen(&self, listener: Weak<dyn MarkListener>);

    /// Writes batches at the end: one vectored write per segment touched. Asks for a sync; the
    /// durable mark follows. After an error nothing of `items` is in the log: it was cut back to
    /// the written end, or, where that failed too, closed.
    ///
    /// # Errors
    /// The disk's fault.
    fn append(&self, items: &[AppendItem]) -> Result<Marks, LogFault>;

    /// Tries a write of `bytes` that leaves no trace: does the disk take the like of an append that
    /// failed again?
    ///
    /// # Errors
    /// The disk's fault: not yet.
    fn probe(&self, bytes: usize) -> Result<(), LogFault>;

    /// The segment that the next batch goes to, as of the written end.
    fn active_segment(&self) -> ActiveSegment;

    /// Offsets of the snapshots on disk, newest first, none above the written end.
    fn snapshots(&self) -> Vec<Offset>;

    /// Bytes of a snapshot's file.
    ///
    /// # Errors
    /// The disk's fault.
    fn read_snapshot(&self, at: Offset) -> Result<Bytes, LogFault>;

    /// Writes a snapshot's file, for a clean stop; `Roll` carries those of the rolls.
    ///
    /// # Errors
    /// The disk's fault.
    fn write_snapshot(&self, at: Offset, bytes: &[u8]) -> Result<(), LogFault>;

    /// The base offset of a batch at or below `from` with about `bytes_back` bytes of log between, or
    /// the log start.
    fn offset_before(&self, from: Offset, bytes_back: u64) -> Offset;

    /// Hands every batch from the one that holds `from` up to the written end to `visit`: its head,
    /// and the whole batch if `whole`, else only its header's bytes. Stops early if `visit` returns
    /// false. Who wants whole batches needs all of them and fails at damage; who wants headers gets
    /// those that there are.
    ///
    /// # Errors
    /// The disk's fault; damage, if `whole`.
    fn replay(
        &self,
        from: Offset,
        whole: bool,
        visit: &mut dyn FnMut(&BatchHead, &[u8]) -> bool,
    ) -> Result<(), LogFault>;

    /// Whole batches from the one that holds `from` (or the next after a gap), all of them below
    /// `bound`, `bytes_max` bytes at most; if `at_least_one`, the first batch whatever its size
    /// (KIP-74). One segment's bytes at most.
    ///
    /// # Errors
    /// `OutOfRange` below the log start or above the written end; the disk's fault.
    fn read(
        &self,
        from: Offset,
        bound: Offset,
        bytes_max: usize,
        at_least_one: bool,
    ) -> Result<Read, ReadError>;

    /// The first record below `bound` whose timestamp is `timestamp_ms` or later.
    ///
    /// # Errors
    /// The disk's fault.
    fn find_timestamp(
        &self,
        timestamp_ms: i64,
        bound: Offset,
    ) -> Result<Option<TimestampHit>, LogFault>;

    /// The first record below `bound` with the largest timestamp there is (KIP-734).
    ///
    /// # Errors
    /// The disk's fault.
    fn max_timestamp(&self, bound: Offset) -> Result<Option<TimestampHit>, LogFault>;

    /// Where segments start, newest first and none below the log start: `count_max` of them from the
    /// newest one on whose records are all of `latest_ms` or earlier, or from the active one if that
    /// is `None`.
    ///
    /// # Errors
    /// The disk's fault.
    fn segment_starts(
        &self,
        latest_ms: Option<i64>,
        count_max: usize,
    ) -> Result<Vec<Offset>, LogFault>;

    /// From now on batches carry this epoch: `(epoch, written end)` goes into the epoch checkpoint
    /// unless a larger epoch is there.
    ///
    /// # Errors
    /// The disk's fault.
    fn begin_epoch(&self, epoch: LeaderEpoch) -> Result<(), LogFault>;

    /// The largest epoch at or below `epoch`, and the offset after its last record (the written end
    /// for the latest epoch); `epoch` itself and where the oldest one begins, if it lies below that.
    /// `None` if there is no such epoch (KIP-101).
    fn epoch_end(&self, epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)>;

    /// Epoch of the record at `offset`, or of the latest record for the written end.
    fn epoch_at(&self, offset: Offset) -> Option<LeaderEpoch>;
}

/// What decides whether the next batch still fits into the active segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ActiveSegment {
    /// Its base offset.
    pub base_offset: Offset,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Largest timestamp of its first batch, ms; `None` while it is empty.
    pub first_timestamp_ms: Option<i64>,
    /// When it was created.
    pub created: WallMs,
}

impl ActiveSegment {
    /// An empty segment.
    #[must_use]
    pub fn empty(base_offset: Offset, created: WallMs) -> ActiveSegment {
        ActiveSegment {
            base_offset,
            size_bytes: 0,
            first_timestamp_ms: None,
            created,
        }
    }

    /// This segment after one more batch.
    pub fn add(&mut self, head: &BatchHead) {
        self.size_bytes += head.size_bytes() as u64;
        self.first_timestamp_ms.get_or_insert(head.max_timestamp_ms);
    }
}

/// When a segment is full (`segment.bytes`, `segment.ms`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RollRule {
    /// Largest size of a segment, unless one batch alone is larger.
    pub segment_bytes: u64,
    /// Longest time from its first batch to its last, ms.
    pub segment_ms: u64,
}

impl RollRule {
    /// True if a batch with this head must open a new segment (Kafka: `LogSegment.shouldRoll`).
    #[must_use]
    pub fn must_roll(&self, segment: &ActiveSegment, head: &BatchHead, now: WallMs) -> bool {
        if segment.size_bytes == 0 {
            return false;
        }
        let waited_ms = match segment.first_timestamp_ms {
            Some(first) if first >= 0 => head.max_timestamp_ms.saturating_sub(first),
            _ => now.0.saturating_sub(segment.created.0),
        };
        segment.size_bytes + head.size_bytes() as u64 > self.segment_bytes
            || waited_ms > self.segment_ms.min(i64::MAX as u64) as i64
            || head.last_offset() - segment.base_offset > i64::from(i32::MAX)
    }
}
