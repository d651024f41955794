//! The records of a batch: walking them, borrowed, bounded, without allocation; and writing them.
//!
//! Every length is checked against the bytes left before it is used. What is yielded was validated
//! whole, headers included. Layout: Kafka `DefaultRecord`.

use alloc::vec::Vec;
use core::fmt;

use super::varint::{
    put_varint, put_varlong, take_varint, take_varlong, varint_bytes, varlong_bytes,
};

/// Walks `payload`, the uncompressed records section of a batch whose header claims `count` records.
///
/// Yields `count` records, or an error and then nothing. Bytes after the last record are an error.
#[must_use]
pub fn records(payload: &[u8], count: i32) -> Records<'_> {
    Records {
        bytes: payload,
        left: count,
    }
}

/// The iterator of [`records`].
#[derive(Clone, Debug)]
pub struct Records<'a> {
    bytes: &'a [u8],
    left: i32,
}

/// One record, borrowed from its batch.
#[derive(Clone, Debug)]
pub struct RecordView<'a> {
    /// No bit has a meaning yet.
    pub attributes: i8,
    /// To be added to the batch's base timestamp, in ms.
    pub timestamp_delta: i64,
    /// To be added to the batch's base offset.
    pub offset_delta: i32,
    /// `None` is Kafka's null, which differs from empty.
    pub key: Option<&'a [u8]>,
    /// `None` is a tombstone in a compacted topic.
    pub value: Option<&'a [u8]>,
    /// In the order of the bytes, duplicate keys kept.
    pub headers: Headers<'a>,
}

/// The headers of a record, already validated, decoded as they are asked for.
#[derive(Clone, Default, Debug)]
pub struct Headers<'a> {
    bytes: &'a [u8],
    left: usize,
}

/// One header of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HeaderView<'a> {
    /// UTF-8 by agreement among clients; nobody checks it.
    pub key: &'a [u8],
    /// `None` is Kafka's null.
    pub value: Option<&'a [u8]>,
}

/// Why bytes are not the records that they claim to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecordError {
    /// The record count of the batch is negative.
    Count(i32),
    /// The bytes end before the records do.
    Truncated,
    /// A number does not end after the bytes that its type can take.
    Varint,
    /// A record's size, or the length of a key or value, is negative and not the -1 of a null.
    Length(i32),
    /// A negative number of headers, or more than there are bytes for.
    HeaderCount(i32),
    /// A header key of negative length; header keys cannot be null.
    HeaderKey(i32),
    /// This many bytes of a record are left after its last header.
    RecordTail(usize),
    /// This many bytes are left after the last record.
    Tail(usize),
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "impossible record count {count}"),
            Self::Truncated => f.write_str("the bytes end within a record"),
            Self::Varint => f.write_str("a variable-length number does not end"),
            Self::Length(length) => write!(f, "impossible length {length} in a record"),
            Self::HeaderCount(count) => write!(f, "impossible number of record headers {count}"),
            Self::HeaderKey(length) => write!(f, "impossible header key length {length}"),
            Self::RecordTail(left) => write!(f, "{left} bytes left after a record's last header"),
            Self::Tail(left) => write!(f, "{left} bytes left after the last record"),
        }
    }
}

impl core::error::Error for RecordError {}

impl<'a> Iterator for Records<'a> {
    type Item = Result<RecordView<'a>, RecordError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.left > 0 {
            self.left -= 1;
            let record = take_record(&mut self.bytes);
            if record.is_err() {
                self.stop();
            }
            return Some(record);
        }
        let error = if self.left < 0 {
            RecordError::Count(self.left)
        } else if self.bytes.is_empty() {
            return None;
        } else {
            RecordError::Tail(self.bytes.len())
        };
        self.stop();
        Some(Err(error))
    }
}

impl core::iter::FusedIterator for Records<'_> {}

impl Records<'_> {
    fn stop(&mut self) {
        self.bytes = &[];
        self.left = 0;
    }
}

impl Headers<'_> {
    /// Number of headers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.left
    }

    /// Whether the record has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.left == 0
    }
}

impl RecordView<'_> {
    /// Appends the record, length first, as a records section holds it. With another offset delta than
    /// the one that it was read with, this renumbers; with the same one, it keeps the record.
    ///
    /// # Panics
    /// If the record takes 2 GiB, which no record that was read or fits into a batch does.
    pub fn encode(&self, to: &mut Vec<u8>) {
        let body_bytes = 1
            + varlong_bytes(self.timestamp_delta)
            + varint_bytes(self.offset_delta)
            + nullable_bytes(self.key)
            + nullable_bytes(self.value)
            + varint_bytes(length_of(self.headers.left))
            + self.headers.bytes.len();
        put_varint(length_of(body_bytes), to);
        to.push(self.attributes as u8);
        put_varlong(self.timestamp_delta, to);
        put_varint(self.offset_delta, to);
        put_nullable(self.key, to);
        put_nullable(self.value, to);
        put_varint(length_of(self.headers.left), to);
        to.extend_from_slice(self.headers.bytes);
    }
}

impl<'a> Headers<'a> {
    /// Headers as `put_header` wrote them, `count` of them.
    pub(super) fn written(bytes: &'a [u8], count: usize) -> Headers<'a> {
        Headers { bytes, left: count }
    }
}

/// Appends one header.
pub(super) fn put_header(key: &str, value: Option<&[u8]>, to: &mut Vec<u8>) {
    put_nullable(Some(key.as_bytes()), to);
    put_nullable(value, to);
}

fn put_nullable(bytes: Option<&[u8]>, to: &mut Vec<u8>) {
    match bytes {
        None => put_varint(-1, to),
        Some(bytes) => {
            put_varint(length_of(bytes.len()), to);
            to.extend_from_slice(bytes);
        }
    }
}

fn nullable_bytes(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |bytes| {
        varint_bytes(length_of(bytes.len())) + bytes.len()
    })
}

#[allow(clippy::expect_used, reason = "names its invariant")]
fn length_of(bytes: usize) -> i32 {
    i32::try_from(bytes).expect("invariant: what is put into a batch is far below 2 GiB")
}

impl<'a> Iterator for Headers<'a> {
    type Item = HeaderView<'a>;

    fn next(&mut self) -> Option<HeaderView<'a>> {
        self.left = self.left.checked_sub(1)?;
        // take_record walked these bytes; `ok` cannot hide an error.
        take_header(&mut self.bytes).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Headers<'_> {}

/// What a control record says, told by its key (Kafka `ControlRecordType`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ControlType {
    /// The producer's open transaction is aborted.
    Abort,
    /// The producer's open transaction is committed.
    Commit,
    /// KRaft: a new leader of the quorum.
    LeaderChange,
    /// KRaft: first record of a snapshot.
    SnapshotHeader,
    /// KRaft: last record of a snapshot.
    SnapshotFooter,
    /// KRaft: the version of the quorum protocol.
    KRaftVersion,
    /// KRaft: the members of the quorum.
    KRaftVoters,
}

impl ControlType {
    const ALL: [ControlType; 7] = [
        ControlType::Abort,
        ControlType::Commit,
        ControlType::LeaderChange,
        ControlType::SnapshotHeader,
        ControlType::SnapshotFooter,
        ControlType::KRaftVersion,
        ControlType::KRaftVoters,
    ];

    /// The key of a control record of this type: version 0, then the type.
    #[must_use]
    pub fn encode(self) -> [u8; 4] {
        [0, 0, 0, self as u8]
    }

    /// Decodes the key of a control record. `None` for a key that is too short, has a negative
    /// version or names a type of the future, which readers must ignore. Versions above 0 are read
    /// as 0 and longer keys by their start, as Kafka reads them.
    #[must_use]
    pub fn decode(key: &[u8]) -> Option<ControlType> {
        let &[v0, v1, t0, t1] = key.first_chunk()?;
        if i16::from_be_bytes([v0, v1]) < 0 {
            return None;
        }
        let index = usize::try_from(i16::from_be_bytes([t0, t1])).ok()?;
        Self::ALL.get(index).copied()
    }
}

#[inline(always)]
fn take_record<'a>(from: &mut &'a [u8]) -> Result<RecordView<'a>, RecordError> {
    let body_bytes = take_varint(from)?;
    let length = usize::try_from(body_bytes).map_err(|_| RecordError::Length(body_bytes))?;
    let (mut body, rest) = from
        .split_at_checked(length)
        .ok_or(RecordError::Truncated)?;
    *from = rest;

    let (&attributes, after) = body.split_first().ok_or(RecordError::Truncated)?;
    body = after;
    let timestamp_delta = take_varlong(&mut body)?;
    let offset_delta = take_varint(&mut body)?;
    let key = take_nullable(&mut body)?;
    let value = take_nullable(&mut body)?;
    let headers = take_headers(&mut body)?;
    if !body.is_empty() {
        return Err(RecordError::RecordTail(body.len()));
    }
    Ok(RecordView {
        attributes: attributes as i8,
        timestamp_delta,
        offset_delta,
        key,
        value,
        headers,
    })
}

#[inline(always)]
fn take_headers<'a>(from: &mut &'a [u8]) -> Result<Headers<'a>, RecordError> {
    let count = take_varint(from)?;
    if count == 0 {
        return Ok(Headers::default());
    }
    // A header takes two bytes at least, so what follows ends within the bytes there are.
    let left = usize::try_from(count)
        .ok()
        .filter(|&n| n <= from.len())
        .ok_or(RecordError::HeaderCount(count))?;
    let all = *from;
    for _ in 0..left {
        take_header(from)?;
    }
    Ok(Headers {
        bytes: &all[..all.len() - from.len()],
        left,
    })
}

fn take_header<'a>(from: &mut &'a [u8]) -> Result<HeaderView<'a>, RecordError> {
    let key_bytes = take_varint(from)?;
    let length = usize::try_from(key_bytes).map_err(|_| RecordError::HeaderKey(key_bytes))?;
    let (key, rest) = from
        .split_at_checked(length)
        .ok_or(RecordError::Truncated)?;
    *from = rest;
    Ok(HeaderView {
        key,
        value: take_nullable(from)?,
    })
}

#[inline(always)]
fn take_nullable<'a>(from: &mut &'a [u8]) -> Result<Option<&'a [u8]>, RecordError> {
    let length = take_varint(from)?;
    if length == -1 {
        return Ok(None);
    }
    let bytes = usize::try_from(length).map_err(|_| RecordError::Length(length))?;
    let (taken, rest) = from.split_at_checked(bytes).ok_or(RecordError::Truncated)?;
    *from = rest;
    Ok(Some(taken))
}
