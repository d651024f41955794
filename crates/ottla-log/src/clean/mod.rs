//! Compaction: the latest record of each key of the sealed segments stays, and older ones go
//! (Kafka: `Cleaner`, `LogCleanerManager`).
//!
//! Guarantees: the latest record of a key that was committed is never lost, and no older one comes
//! up again, whatever stops the pass; offsets, leader epochs and codecs of what stays are kept;
//! a tombstone or a transaction's marker stays for `delete.retention.ms` counted from the pass that
//! removed what it hides (KIP-534); the last batch of each live producer stays, if empty, for its
//! sequence. What is under way in a reader is not disturbed: it holds the file that it reads.
//! Never touches the active segment, what is not stable, what belongs to a transaction without a
//! marker below, or a log that is damaged.
//!
//! A pass: [`survey`] walks the heads of the sealed segments, for what only the log itself knows of
//! its transactions; [`offset_map`] takes the latest offset of each key of the dirty part, as many
//! as fit; [`filter`] says for each batch what stays of it; [`output`] writes that into `.cleaned`
//! files; [`swap`] puts those in the place of the segments. [`choice`] says which log is next.

pub(crate) mod choice;
pub(crate) mod filter;
pub(crate) mod offset_map;
mod output;
pub(crate) mod pass;
pub(crate) mod survey;
pub(crate) mod swap;
#[cfg(test)]
mod tests;

pub(crate) use output::{Finished, OutputLimits};
