//! Logs in Kafka's own file format: segments, indexes, recovery, and the store that owns a directory.
//!
//! Guarantees: what [`Log::append`] returned survives the death of the process; what a durable mark
//! passed survives power loss in server mode; a torn tail above the stable mark is cut at a batch
//! border, anything else that is damaged is reported and never cut. Never knows producers, groups,
//! transactions or requests: a snapshot is bytes to it.

mod checkpoint;
mod clean;
pub mod disk;
mod file_names;
mod index_file;
mod local;
mod log;
mod maps;
mod memory;
mod meta;
mod offset_index;
mod segment;
pub mod store;
mod time_index;
mod walk;

pub use local::{
    CleanerOptions, Clock, Durability, FoundDirectory, LocalStore, OpenError, Plant, Random,
    StartReport, StoreOptions,
};
pub use log::LocalLog;
pub use memory::{MemoryLog, MemoryStore};
pub use store::{
    ActiveSegment, AppendItem, Cleanup, CompactRule, Cut, Gap, Log, LogConfig, LogFault, LogSpec,
    LogStore, MarkListener, Read, ReadError, Recovery, RollRule, TimestampHit,
};
