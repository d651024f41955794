//! Record batch v2: Kafka's unit of storage and of transfer, and Ottla's own.
//!
//! Owns the layout of the 61-byte header ([`BatchHead`]), the proof that a batch's bytes were checked
//! ([`VerifiedBatch`]), walking records ([`records`]) and building batches ([`BatchBuilder`]).
//! Never compresses or decompresses: that is `ottla-codec`'s.
//!
//! Layout: Kafka `DefaultRecordBatch`. Base offset and partition leader epoch lie outside the CRC, so
//! stamping them re-hashes nothing.

mod build;
mod head;
mod record;
#[cfg(test)]
mod tests;
mod varint;
mod verified;

pub use build::{BatchBuilder, BatchSpec};
pub use head::{
    Attributes, BATCH_HEADER_BYTES, BatchError, BatchHead, Codec, LOG_OVERHEAD_BYTES, TimestampType,
};
pub use record::{ControlType, HeaderView, Headers, RecordError, RecordView, Records, records};
pub use verified::VerifiedBatch;
