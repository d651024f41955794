//! The record bytes of a response: read from a frame, or given by whoever answers a fetch.

use core::fmt;

use bytes::Bytes;
use ottla_model::primitives::{DecodeError, EncodeError, Reader, Value, Version, Writer};

/// Record batches in a response, as bytes that nobody looks into here.
///
/// Decoding makes [`Records::Borrowed`]. Encoding takes all three: borrowed bytes are copied into the
/// frame, shared ones become a segment of it, and external ones are never seen: the frame gets a
/// [`Segment::External`](crate::encoder::Segment::External) with the same key, and the gateway puts what
/// it keeps under that key (file slices, for instance) on the socket there.
///
/// Requests carry records as `&[u8]` instead: the server only reads them, and splits its frame at
/// [`Reader::offset_of`](ottla_model::primitives::Reader::offset_of).
#[derive(Clone)]
pub enum Records<'a> {
    /// Bytes in a buffer that outlives the message.
    Borrowed(&'a [u8]),
    /// Bytes that are shared, and not copied.
    Shared(Bytes),
    /// `length` bytes that the gateway keeps under `key`.
    External {
        /// The gateway's own number for them.
        key: u32,
        /// How many bytes they are.
        length: u32,
    },
}

impl Records<'_> {
    /// Their length, in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Borrowed(bytes) => bytes.len(),
            Self::Shared(bytes) => bytes.len(),
            Self::External { length, .. } => *length as usize,
        }
    }

    /// True if there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes; `None` if they are not here.
    #[must_use]
    pub fn as_slice(&self) -> Option<&[u8]> {
        match self {
            Self::Borrowed(bytes) => Some(bytes),
            Self::Shared(bytes) => Some(bytes),
            Self::External { .. } => None,
        }
    }
}

impl<'a> Value<'a> for Records<'a> {
    const BYTES_MIN: usize = 1;

    fn read(&mut self, r: &mut Reader<'a>, v: Version) -> Result<(), DecodeError> {
        *self = Records::Borrowed(r.bytes(v.is_flexible())?);
        Ok(())
    }

    fn write<W: Writer>(&self, w: &mut W, v: Version) -> Result<(), EncodeError> {
        Self::write_nullable(Some(self), w, v)
    }

    fn read_nullable(r: &mut Reader<'a>, v: Version) -> Result<Option<Self>, DecodeError> {
        Ok(r.nullable_bytes(v.is_flexible())?.map(Records::Borrowed))
    }

    fn write_nullable<W: Writer>(
        records: Option<&Self>,
        w: &mut W,
        v: Version,
    ) -> Result<(), EncodeError> {
        w.nullable_length(records.map(Records::len), v.is_flexible())?;
        match records {
            Some(Self::Borrowed(bytes)) => w.raw(bytes),
            Some(Self::Shared(bytes)) => w.put_shared(bytes),
            Some(&Self::External { key, length }) => w.put_external(key, length)?,
            None => {}
        }
        Ok(())
    }
}

impl Default for Records<'_> {
    fn default() -> Self {
        Records::Borrowed(&[])
    }
}

/// Bytes equal bytes, wherever they lie; external records equal only themselves.
impl PartialEq for Records<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::External { key: a, length: n }, Self::External { key: b, length: m }) => {
                (a, n) == (b, m)
            }
            _ => self.as_slice().is_some() && self.as_slice() == other.as_slice(),
        }
    }
}

impl fmt::Debug for Records<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Records({} bytes)", self.len())
    }
}
