//! The face of a store towards the runtime: opening and removing logs, driving the syncs, stopping.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ottla_model::ids::Offset;
use ottla_model::names::TopicPartition;

use super::{Log, LogFault};

/// How long a flusher sleeps before it looks whether there is something to tidy up.
const IDLE: Duration = Duration::from_secs(1);

/// Owns logs. One thread of the runtime calls [`flush_until_stopped`](Self::flush_until_stopped), a
/// simulator calls [`flush_round`](Self::flush_round) by hand.
pub trait LogStore: Send + Sync + 'static {
    /// Opens a log, recovers it if the last stop was unclean, and creates it if it is not there,
    /// unless a mark says that it held records. At most once per partition until it is removed.
    ///
    /// # Errors
    /// The disk's fault; `Refused` if the directory is missing although it may not be, or belongs to
    /// another incarnation of the topic. Damage is no error: it is in [`Recovery::damage`].
    fn open_log(&self, spec: &LogSpec) -> Result<(Arc<dyn Log>, Recovery), LogFault>;

    /// Closes logs and makes them unreachable for good; the space comes back later. Fine if there
    /// are no such logs. Waits for appends in flight.
    ///
    /// # Errors
    /// The first of the disk's faults; the other logs are removed all the same.
    fn remove_logs(&self, names: &[TopicPartition]) -> Result<(), LogFault>;

    /// [`remove_logs`](Self::remove_logs) for one.
    ///
    /// # Errors
    /// The disk's fault.
    fn remove_log(&self, name: &TopicPartition) -> Result<(), LogFault> {
        self.remove_logs(std::slice::from_ref(name))
    }

    /// Gives back the space of one removed log. False if there is none. For a simulator: a thread of
    /// the runtime calls [`delete_until_stopped`](Self::delete_until_stopped).
    fn delete_removed(&self) -> bool {
        false
    }

    /// Gives back the space of removed logs, until [`stop`](Self::stop) is called.
    fn delete_until_stopped(&self) {}

    /// Compacts the log that needs it most, of those that are to be compacted. True if there was one.
    /// For a simulator: a thread of the runtime calls
    /// [`clean_until_stopped`](Self::clean_until_stopped).
    fn clean_round(&self) -> bool {
        false
    }

    /// Compacts logs whenever one needs it, until [`stop`](Self::stop) is called.
    fn clean_until_stopped(&self) {}

    /// Makes durable, log by log, what a process that was killed may have cut or removed. Blocks; ends
    /// early when [`stop`](Self::stop) is called. An append that comes before its log's turn waits for
    /// its own log.
    fn settle(&self) {}

    /// Does at once for logs that were just opened what their first appends would each have to wait
    /// for the disk for.
    ///
    /// # Errors
    /// The disk's fault; the first appends try again.
    fn prepare_appends(&self, names: &[TopicPartition]) -> Result<(), LogFault> {
        let _ = names;
        Ok(())
    }

    /// Waits until a log wants a sync, the store is stopped, or the time is over. True if there is
    /// work.
    fn wait_dirty(&self, timeout: Duration) -> bool;

    /// Syncs everything that asked for it so far, then advances the durable marks. What is appended
    /// meanwhile belongs to the next round. A log whose sync fails is closed. True if there was
    /// anything to do.
    fn flush_round(&self) -> bool;

    /// True once [`stop`](Self::stop) was called.
    fn stopped(&self) -> bool;

    /// Ends [`flush_until_stopped`](Self::flush_until_stopped),
    /// [`delete_until_stopped`](Self::delete_until_stopped) and
    /// [`clean_until_stopped`](Self::clean_until_stopped), also in the middle of a pass.
    fn stop(&self);

    /// Syncs everything, writes what a clean start wants to find, and takes no more appends.
    ///
    /// # Errors
    /// The first of the disk's faults; the next start will be an unclean one.
    fn close(&self) -> Result<(), LogFault>;

    /// The flusher's loop: rounds while logs are dirty, sleeps otherwise.
    fn flush_until_stopped(&self) {
        while !self.stopped() {
            // A round without dirty logs sweeps up: marks not yet synced.
            self.wait_dirty(IDLE);
            self.flush_round();
        }
    }
}

/// Which log to open.
#[derive(Clone, Debug)]
pub struct LogSpec {
    /// The partition.
    pub name: TopicPartition,
    /// What the topic's config says.
    pub config: LogConfig,
}

/// The part of a topic's config that a log needs.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct LogConfig {
    /// Bytes of log between two index entries (`index.interval.bytes`).
    pub index_interval_bytes: u32,
    /// What becomes of old records.
    pub cleanup: Cleanup,
}

impl Default for LogConfig {
    fn default() -> LogConfig {
        LogConfig {
            index_interval_bytes: 4096,
            cleanup: Cleanup::None,
        }
    }
}

/// What becomes of old records (`cleanup.policy`).
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub enum Cleanup {
    /// They stay.
    #[default]
    None,
    /// The latest record of each key stays.
    Compact(CompactRule),
}

/// How a log is compacted. Whoever decides on rolls has to roll at least every `lag_ms_max`, for
/// only sealed segments are compacted.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct CompactRule {
    /// Small segments are merged up to this size (`segment.bytes`).
    pub segment_bytes: u64,
    /// A pass pays if a larger part of the bytes is dirty (`min.cleanable.dirty.ratio`), 0 to 1.
    pub dirty_ratio_min: f64,
    /// A segment stays as it is until its latest record is so old (`min.compaction.lag.ms`).
    pub lag_ms_min: u64,
    /// A pass is due once a dirty segment is so old (`max.compaction.lag.ms`).
    pub lag_ms_max: u64,
    /// How long tombstones and markers can be seen (`delete.retention.ms`).
    pub delete_retention_ms: u64,
    /// For how long the last sequence of a producer that is silent is kept
    /// (`producer.id.expiration.ms`).
    pub producer_expiration_ms: u64,
}

impl Default for CompactRule {
    /// Kafka's.
    fn default() -> CompactRule {
        const DAY_MS: u64 = 24 * 60 * 60 * 1000;
        CompactRule {
            segment_bytes: 1024 * 1024 * 1024,
            dirty_ratio_min: 0.5,
            lag_ms_min: 0,
            lag_ms_max: i64::MAX as u64,
            delete_retention_ms: DAY_MS,
            producer_expiration_ms: DAY_MS,
        }
    }
}

/// What opening a log found and did.
#[derive(Clone, Default, Debug)]
pub struct Recovery {
    /// There was no such log.
    pub created: bool,
    /// The tail was checked, because the last stop was unclean.
    pub checked: bool,
    /// What was cut off above the stable mark.
    pub cuts: Vec<Cut>,
    /// What is damaged below it, and was left as it is. Reads into it fail, all others work.
    pub damage: Vec<LogFault>,
    /// Offsets that are skipped, because a power loss may have taken records with them.
    pub gap: Option<Gap>,
}

/// Bytes that were cut off.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cut {
    /// The file that was cut or removed.
    pub path: PathBuf,
    /// Where it was cut.
    pub position: u64,
    /// How many bytes went.
    pub length_bytes: u64,
    /// First offset that went.
    pub from: Offset,
    /// What was wrong there.
    pub why: String,
}

/// Offsets `from..to` hold no records and never will.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gap {
    /// End of the last record.
    pub from: Offset,
    /// Offset of the next record.
    pub to: Offset,
}
