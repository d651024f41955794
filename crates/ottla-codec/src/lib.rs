//! Compression, and the proof that bytes are a record batch.
//!
//! Owns the four codecs of Kafka in the framings that its clients write and read ([`compress`],
//! [`decompress`]), turning a client's bytes into a `VerifiedBatch` ([`verify`]), and the message
//! formats of old clients ([`upgrade`], [`downgrade`]).
//! Guarantees: what is decompressed stops at the caller's limit while it is decoded; nothing is
//! allocated because bytes claim a size; no input panics.
//! Never reads a clock, a file or a socket, and never changes a batch that needs no change.

mod batch;
mod buffer;
mod compress;
mod decompress;
mod old;
mod verify;

pub use batch::{compress_batch, payload, recompress};
pub use buffer::Buffer;
pub use compress::compress;
pub use decompress::{DecompressError, decompress};
pub use old::{
    DowngradeError, Downgraded, MessageFormat, downgrade, is_old, upgrade, upgrade_within,
};
pub use verify::{
    BadRecord, BadRecordReason, BadRecords, Rejection, RejectionKind, Rules, TimestampRule, verify,
    verify_within,
};
