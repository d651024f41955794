//! Logs in Kafka's own file format: segments, indexes, recovery, and the store that owns a directory.
//!
//! Guarantees: what [`Log::append`] returned survives the death of the process; what a durable mark
//! passed survives power loss in server mode; a torn tail above the stable mark is cut at a batch
//! border, anything else that is damaged is reported and never cut. Never knows producers, groups,
//! transactions or requests: a snapshot is bytes to it.

pub mod disk;
pub mod store;

pub use store::{
    ActiveSegment, AppendItem, Log, LogFault, MarkListener, Read, ReadError, RollRule, TimestampHit,
};
