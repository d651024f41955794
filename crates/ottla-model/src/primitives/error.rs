//! What can be wrong with bytes that are read, or with values that are written.

use core::fmt;

/// Bytes that are not what they should be: who sent or stored them is at fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DecodeError {
    /// What is wrong.
    pub kind: DecodeErrorKind,
    /// Where: bytes from the start of the reader's input.
    pub at: usize,
}

/// The ways in which bytes can be wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DecodeErrorKind {
    /// The input ends before the value does.
    Truncated,
    /// A length or count below -1.
    InvalidLength(i32),
    /// Null where the version at hand allows none.
    UnexpectedNull,
    /// A string longer than [`super::STRING_BYTES_MAX`].
    StringTooLong(u32),
    /// A string that is not UTF-8.
    InvalidUtf8,
    /// A varint that does not fit its type: over 5 (or 10) bytes, or bits beyond 32 (or 64).
    VarintTooLong,
    /// An array with more elements than the bytes that are left can hold.
    CountTooLarge(u32),
    /// An array whose elements would take more memory than the reader may spend, see
    /// [`super::Reader::with_memory_limit`].
    MemoryLimit(u32),
    /// A tag that is not above the one before it.
    TagOrder(u32),
    /// A tagged field whose value does not fill the size that it declares.
    TaggedSize(u32),
    /// Bytes after the end of the value.
    TrailingBytes,
    /// A version of a message or record that this build does not read.
    UnsupportedVersion(i16),
    /// A metadata record whose frame is not version 1.
    UnknownFrameVersion(u32),
    /// A key that names no API or record known here.
    UnknownKey(i32),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use DecodeErrorKind as K;
        match self.kind {
            K::Truncated => write!(f, "input ends inside a value"),
            K::InvalidLength(n) => write!(f, "invalid length {n}"),
            K::UnexpectedNull => write!(f, "null where none is allowed"),
            K::StringTooLong(n) => write!(f, "string of {n} bytes is too long"),
            K::InvalidUtf8 => write!(f, "string is not UTF-8"),
            K::VarintTooLong => write!(f, "varint does not fit its type"),
            K::CountTooLarge(n) => write!(f, "{n} elements do not fit into the bytes left"),
            K::MemoryLimit(n) => write!(f, "{n} elements need more memory than allowed"),
            K::TagOrder(n) => write!(f, "tag {n} is repeated or out of order"),
            K::TaggedSize(n) => write!(f, "tagged field {n} does not fill its size"),
            K::TrailingBytes => write!(f, "bytes after the end of the value"),
            K::UnsupportedVersion(v) => write!(f, "version {v} is not supported"),
            K::UnknownFrameVersion(v) => write!(f, "unknown frame version {v}"),
            K::UnknownKey(k) => write!(f, "unknown key {k}"),
        }?;
        write!(f, " (at byte {})", self.at)
    }
}

impl core::error::Error for DecodeError {}

/// A value that cannot be written: the program that built it is at fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EncodeError {
    /// A string above [`super::STRING_BYTES_MAX`], or bytes or an array above `i32::MAX`.
    TooLong(usize),
    /// The named field is null, and the version at hand allows none.
    UnexpectedNull(&'static str),
    /// The named field is set, is not ignorable, and the version at hand does not have it.
    /// Reported in debug builds only: a release build drops the field, as an old peer would.
    NotInVersion(&'static str, i16),
    /// The named message does not have this version.
    UnsupportedVersion(&'static str, i16),
    /// Records that are not in memory, given to a writer that can only hold bytes.
    ExternalRecords,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(n) => write!(f, "a length of {n} cannot be expressed"),
            Self::UnexpectedNull(field) => write!(f, "{field} is null where none is allowed"),
            Self::NotInVersion(field, v) => write!(f, "{field} does not exist in version {v}"),
            Self::UnsupportedVersion(name, v) => write!(f, "{name} has no version {v}"),
            Self::ExternalRecords => write!(f, "records that are not in memory"),
        }
    }
}

impl core::error::Error for EncodeError {}
