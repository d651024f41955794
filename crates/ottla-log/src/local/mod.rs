//! The store in a directory of files, over a [`Disk`].
//!
//! Owns the directory: locks it, knows whose it is, opens and removes its logs, and syncs them in
//! rounds. Guarantees: what a durable mark passed survives power loss under
//! [`Durability::Synced`]; a removed log does not come back; what is unknown is never deleted.

mod clean;
mod close;
mod discarded;
mod flush;
pub(crate) mod marks;
mod open;
mod open_log;
mod remove;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ottla_model::ids::{NodeId, PartitionIndex};
use ottla_model::names::{TopicName, TopicPartition};
use ottla_model::time::WallMs;
use ottla_model::uuid::Uuid;

use crate::checkpoint::Offsets;
use crate::disk::{Disk, Filesystem};
use crate::log::LocalLog;
use crate::store::{Log, LogFault, LogSpec, LogStore, Recovery};
pub use clean::CleanerOptions;
use clean::Stopper;
use discarded::Discarded;
use flush::Queue;
use marks::{MarkFile, MarksFound};

/// When the durable mark moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Durability {
    /// After a sync: server mode.
    Synced,
    /// With the write: dev mode. Survives the death of the process, not power loss.
    Os,
}

/// A source of random ids.
pub type Random = Arc<dyn Fn() -> [u8; 16] + Send + Sync>;
/// The wall clock. Read to say when a segment was created, and how old records are.
pub type Clock = Arc<dyn Fn() -> WallMs + Send + Sync>;

/// A fault that is built in on purpose, to see whether the tests find it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Plant {
    /// None.
    #[default]
    None,
    /// The durable mark moves before the sync.
    AckBeforeSync,
    /// Directories are not synced.
    SkipDirSync,
}

/// How to open a store.
#[derive(Clone)]
#[non_exhaustive]
pub struct StoreOptions {
    /// The cluster that the directory must belong to. `None`: whichever it belongs to, or a new one.
    pub cluster_id: Option<String>,
    /// The node that the directory must belong to.
    pub node_id: NodeId,
    /// When the durable mark moves.
    pub durability: Durability,
    /// How many files are synced at a time.
    pub sync_threads: usize,
    /// Index entries that a growing segment keeps in memory before it moves them to its file: up to
    /// twice as many. At least 1.
    pub index_chunk_entries: usize,
    /// How logs are compacted.
    pub cleaner: CleanerOptions,
    /// For new ids.
    pub random: Random,
    /// For the age of segments and records.
    pub clock: Clock,
    /// A fault that is built in on purpose.
    #[cfg(feature = "planted")]
    pub plant: Plant,
}

impl StoreOptions {
    /// For any cluster, with the clock of the system.
    #[must_use]
    pub fn new(node_id: NodeId, durability: Durability, random: Random) -> StoreOptions {
        StoreOptions {
            cluster_id: None,
            node_id,
            durability,
            sync_threads: 8,
            index_chunk_entries: 4096,
            cleaner: CleanerOptions::default(),
            random,
            clock: Arc::new(|| {
                let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
                WallMs(now.map_or(0, |now| i64::try_from(now.as_millis()).unwrap_or(i64::MAX)))
            }),
            #[cfg(feature = "planted")]
            plant: Plant::None,
        }
    }

    fn plant(&self) -> Plant {
        #[cfg(feature = "planted")]
        return self.plant;
        #[cfg(not(feature = "planted"))]
        Plant::None
    }
}

impl fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreOptions")
            .field("cluster_id", &self.cluster_id)
            .field("node_id", &self.node_id)
            .field("durability", &self.durability)
            .field("plant", &self.plant())
            .finish_non_exhaustive()
    }
}

/// Why a store could not be opened. Each kind has its own exit code in the binary.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process uses the directory.
    #[error("{} is in use by another broker process", .0.display())]
    Locked(PathBuf),
    /// The directory belongs to somebody else; nothing in it was changed.
    #[error("{}: {why}", path.display())]
    Foreign {
        /// The directory or file.
        path: PathBuf,
        /// Whose it is instead.
        why: String,
    },
    /// The directory cannot be used.
    #[error("cannot use the directory: {0}")]
    Unwritable(LogFault),
    /// What the store needs to know of itself is damaged.
    #[error("{}: {why}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

/// What opening a store found.
#[derive(Clone, Debug)]
pub struct StartReport {
    /// The directory is new.
    pub created: bool,
    /// The cluster that it belongs to.
    pub cluster_id: String,
    /// Its own id.
    pub directory_id: Option<Uuid>,
    /// The last stop was clean: every log ends where it was left.
    pub clean: bool,
    /// The machine may have lost power since: offsets that were seen may hold no records.
    pub power_loss: bool,
    /// There was no mark file although the directory is not new.
    pub marks_missing: bool,
    /// Marks that are not what was written.
    pub marks_damaged: usize,
    /// Partitions' directories.
    pub directories: Vec<FoundDirectory>,
    /// Other directories, left alone.
    pub others: Vec<String>,
    /// Directories of logs whose removal had begun; they are being deleted.
    pub leftovers: usize,
}

/// A partition's directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FoundDirectory {
    /// Its name.
    pub name: String,
    /// The topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: PartitionIndex,
    /// The topic's id, if `partition.metadata` is whole.
    pub topic_id: Option<Uuid>,
}

/// The store in a directory.
pub struct LocalStore {
    shared: Arc<Shared>,
    start: Start,
    /// Directories that were there at the start and that nobody has opened or removed yet, with
    /// their topic ids.
    unopened: Mutex<HashMap<String, Option<Uuid>>>,
    /// Names of directories that were removed, perhaps not durably.
    unsynced_removals: Mutex<HashSet<String>>,
    /// First readable offsets as the checkpoint has them.
    log_starts: Mutex<Offsets>,
    /// Up to where logs are compacted, as the checkpoint has it.
    cleaned: Mutex<Offsets>,
    logs: Mutex<HashMap<String, Arc<LocalLog>>>,
}

/// What a log needs of its store.
pub(crate) struct Shared {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) root: PathBuf,
    filesystem: Option<Box<dyn Filesystem>>,
    pub(crate) options: StoreOptions,
    pub(crate) marks: MarkFile,
    pub(crate) queue: Queue,
    pub(crate) discarded: Discarded,
    cleaner: Stopper,
    /// Kept until the store is closed, or the last log is gone.
    lock: Mutex<Option<Box<dyn Send + Sync>>>,
}

/// What the logs need to know of the last stop.
struct Start {
    clean: bool,
    found: MarksFound,
    recovery_points: Offsets,
}

impl LocalStore {
    /// The directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.shared.root
    }

    fn logs(&self) -> MutexGuard<'_, HashMap<String, Arc<LocalLog>>> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log_starts(&self) -> MutexGuard<'_, Offsets> {
        self.log_starts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn cleaned(&self) -> MutexGuard<'_, Offsets> {
        self.cleaned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unsynced_removals(&self) -> MutexGuard<'_, HashSet<String>> {
        self.unsynced_removals
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn unopened(&self) -> MutexGuard<'_, HashMap<String, Option<Uuid>>> {
        self.unopened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// True if the durable mark waits for a sync.
    pub(crate) fn waits_for_sync(&self) -> bool {
        self.options.durability == Durability::Synced
            && self.options.plant() != Plant::AckBeforeSync
    }

    /// True once the store has given the directory back.
    fn is_closed(&self) -> bool {
        self.lock
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_none()
    }

    /// Makes the names in a directory durable.
    pub(crate) fn sync_dir(&self, path: &Path) -> Result<(), LogFault> {
        if self.options.plant() == Plant::SkipDirSync {
            return Ok(());
        }
        self.disk.sync_dir(path)
    }
}

impl LogStore for LocalStore {
    fn open_log(&self, spec: &LogSpec) -> Result<(Arc<dyn Log>, Recovery), LogFault> {
        let (log, recovery) = self.open_local(spec)?;
        Ok((log, recovery))
    }

    fn remove_logs(&self, names: &[TopicPartition]) -> Result<(), LogFault> {
        self.remove_all(names)
    }

    fn prepare_appends(&self, names: &[TopicPartition]) -> Result<(), LogFault> {
        let logs = {
            let open = self.logs();
            let named = names.iter().filter_map(|name| {
                open.get(&name.directory())
                    .filter(|log| log.name() == name)
                    .cloned()
            });
            named.collect()
        };
        self.shared.prepare_appends(logs)
    }

    fn settle(&self) {
        let logs: Vec<_> = self.logs().values().cloned().collect();
        self.shared.settle(&logs);
    }

    fn delete_removed(&self) -> bool {
        self.shared.delete_one()
    }

    fn delete_until_stopped(&self) {
        self.shared.delete_until_stopped();
    }

    fn clean_round(&self) -> bool {
        self.clean_one()
    }

    fn clean_until_stopped(&self) {
        self.clean_in_background();
    }

    fn wait_dirty(&self, timeout: Duration) -> bool {
        self.shared.queue.wait(timeout)
    }

    fn flush_round(&self) -> bool {
        self.shared.flush_round()
    }

    fn stopped(&self) -> bool {
        self.shared.queue.stopped()
    }

    fn stop(&self) {
        self.shared.queue.stop();
        self.shared.discarded.stop();
        self.shared.cleaner.stop();
    }

    fn close(&self) -> Result<(), LogFault> {
        self.close_all()
    }
}

impl fmt::Debug for LocalStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalStore")
            .field("root", &self.shared.root)
            .field("options", &self.shared.options)
            .finish_non_exhaustive()
    }
}
