//! Encoding into frames whose record bytes stay where they are.

use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};
use ottla_model::primitives::{EncodeError, Writer};

/// Shared record bytes below this are copied: a copy of so few costs less than one more piece to send.
pub const COPIED_BYTES_MAX: usize = 1024;

/// Longest head to which texts of [`LONG_BYTES`] are added: what clients take as an answer at all.
const HEAD_BYTES_MAX: usize = 128 << 20;
/// Shorter ones are never much longer than the question that asked for them.
const LONG_BYTES: usize = 32;

/// The 4-byte length in front of every frame.
const LENGTH_BYTES: usize = 4;

/// A frame in the making: a head that grows, and the places in it where record bytes belong.
///
/// ```text
/// head      [length 4][header and body up to the records][body up to the next records][rest]
/// records                                               ^ Bytes                       ^ External
/// ```
#[derive(Debug)]
pub struct Encoder {
    head: Vec<u8>,
    /// Record bytes, each with the position in `head` that they go before.
    kept: Vec<(usize, Segment)>,
    kept_bytes: usize,
    /// Bytes that were left out because the head is too long already.
    excess_bytes: usize,
}

/// A piece of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// Bytes to send.
    Bytes(Bytes),
    /// `length` bytes that only the gateway can find, by the key that it gave to
    /// [`Records::External`](crate::Records::External).
    External {
        /// The gateway's own number for them.
        key: u32,
        /// How many bytes must be sent here.
        length: u32,
    },
}

/// A finished frame: its pieces, to be sent one after the other. The first begins with the 4-byte length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The pieces; none is empty.
    pub segments: Vec<Segment>,
    /// Length of all pieces together, in bytes, with the 4 of the length.
    pub bytes: usize,
}

impl Encoder {
    /// An empty frame, with room for a head of so many bytes.
    #[must_use]
    pub fn with_capacity(head_bytes: usize) -> Self {
        let mut head = Vec::with_capacity(head_bytes.saturating_add(LENGTH_BYTES));
        head.extend_from_slice(&[0; LENGTH_BYTES]);
        Encoder {
            head,
            kept: Vec::new(),
            kept_bytes: 0,
            excess_bytes: 0,
        }
    }

    /// Writes the length in front and hands out the pieces.
    ///
    /// # Errors
    /// [`EncodeError::TooLong`] if the length does not fit 31 bits, or the head is out of all proportion.
    pub fn finish(self) -> Result<Frame, EncodeError> {
        let Encoder {
            mut head,
            kept,
            kept_bytes,
            excess_bytes,
        } = self;
        let bytes = head.len() + kept_bytes;
        let length = bytes - LENGTH_BYTES;
        let prefix = i32::try_from(length).ok().filter(|_| excess_bytes == 0);
        let prefix = prefix.ok_or(EncodeError::TooLong(length + excess_bytes))?;
        head[..LENGTH_BYTES].copy_from_slice(&prefix.to_be_bytes());
        let mut head = Bytes::from(head);
        let mut segments = Vec::with_capacity(2 * kept.len() + 1);
        let mut from = 0;
        for (at, segment) in kept {
            if at > from {
                segments.push(Segment::Bytes(head.split_to(at - from)));
                from = at;
            }
            segments.push(segment);
        }
        if !head.is_empty() {
            segments.push(Segment::Bytes(head));
        }
        Ok(Frame { segments, bytes })
    }
}

impl Frame {
    /// All pieces in one buffer, for tests and tools. `None` if some are external.
    #[must_use]
    pub fn to_bytes(&self) -> Option<Bytes> {
        let mut whole = BytesMut::with_capacity(self.bytes);
        for segment in &self.segments {
            match segment {
                Segment::Bytes(bytes) => whole.extend_from_slice(bytes),
                Segment::External { .. } => return None,
            }
        }
        Some(whole.freeze())
    }
}

impl Writer for Encoder {
    #[inline]
    fn raw(&mut self, bytes: &[u8]) {
        // A question of few bytes may ask for the same long text over and over.
        if bytes.len() >= LONG_BYTES && self.head.len() >= HEAD_BYTES_MAX {
            self.excess_bytes += bytes.len();
            return;
        }
        self.head.extend_from_slice(bytes);
    }

    fn reserve(&mut self, bytes: usize) {
        self.head.reserve(bytes);
    }

    fn position(&self) -> usize {
        self.head.len()
    }

    fn insert_raw(&mut self, at: usize, bytes: &[u8]) {
        debug_assert!(
            self.kept.last().is_none_or(|(kept_at, _)| *kept_at <= at),
            "records lie in no tagged field: the generator refuses that"
        );
        self.head.insert_raw(at, bytes);
    }

    fn put_shared(&mut self, bytes: &Bytes) {
        if bytes.len() <= COPIED_BYTES_MAX {
            return self.raw(bytes);
        }
        self.kept_bytes += bytes.len();
        self.kept
            .push((self.head.len(), Segment::Bytes(bytes.clone())));
    }

    fn put_external(&mut self, key: u32, length: u32) -> Result<(), EncodeError> {
        if length > 0 {
            self.kept_bytes = self.kept_bytes.saturating_add(length as usize);
            self.kept
                .push((self.head.len(), Segment::External { key, length }));
        }
        Ok(())
    }
}
