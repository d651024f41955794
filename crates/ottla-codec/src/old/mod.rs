//! The message formats v0 (before Kafka 0.10) and v1 (before 0.11): read from producers, written for
//! consumers, never stored.
//!
//! Owns the layout of a message, the way of a message set into one record batch ([`upgrade`]), and of
//! record batches into a message set ([`downgrade`]). Guarantees: every length is checked against the
//! bytes that are left, every CRC-32 before anything else of a message is believed; nothing is
//! allocated because bytes claim a size; no input panics.
//! Never looks at topics or versions: who calls knows what its client can read.
//!
//! ```text
//! offset i64, size i32 | crc u32, magic i8, attributes i8, timestamp i64 (v1), key i32 + bytes, value i32 + bytes
//! ```
//!
//! The CRC-32 (of gzip, not CRC-32C) covers what follows it. A message whose attributes name a codec
//! is a wrapper: its value is a compressed message set. Facts: Kafka `LegacyRecord`,
//! `AbstractLegacyRecordBatch`, and up to 3.9 `RecordsUtil` and `LogValidator`.

mod downgrade;
mod message;
mod upgrade;

pub use downgrade::{DowngradeError, Downgraded, downgrade};
pub use message::MessageFormat;
pub use upgrade::{is_old, upgrade, upgrade_within};
