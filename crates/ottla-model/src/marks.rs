//! Positions of a log that answers wait for.

use crate::ids::Offset;

/// How far a log has come. `log_start <= durable <= written` but for a log start moved by deletion.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Marks {
    /// First offset that may be read.
    pub log_start: Offset,
    /// End of what the write call took: survives the death of the process.
    pub written: Offset,
    /// End of what is as safe as this log promises before `acks=all` is answered and before a reader
    /// sees it: synced in server mode, equal to `written` in dev mode. Kafka's high watermark.
    pub durable: Offset,
}
