//! The primitive types of Kafka's protocol and of its stored records: how a number, a string, an array
//! or a tagged field lies in bytes (KIP-482, `clients/.../common/protocol/{Readable,Writable}.java`).
//!
//! Guarantees: [`Reader`] never panics, never reads past its input, and never allocates more than the
//! bytes that are there can justify; [`Writer`] never writes a length that it cannot express.
//! Knows no message: those are generated on top of this, field by field, as a [`Value`] of values.
//!
//! In a *flexible* version of a message, lengths are unsigned varints of `length + 1` (0 is null) and
//! every struct ends with tagged fields. Methods take that as the argument `flexible`, or
//! within the [`Version`] at hand.

mod error;
pub(crate) mod message;
mod reader;
#[cfg(test)]
mod tests;
mod value;
mod writer;

pub use error::{DecodeError, DecodeErrorKind, EncodeError};
pub use reader::{Reader, offset_of};
pub use value::{Tags, Value, Version, read_optional, write_optional};
pub use writer::Writer;

/// The longest string that the protocol can carry, in bytes. Classic strings have a 16-bit length and
/// Kafka holds compact ones to the same bound.
pub const STRING_BYTES_MAX: usize = i16::MAX as usize;
