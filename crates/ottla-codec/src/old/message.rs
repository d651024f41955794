//! One message of a set: read without trust, written.

use ottla_model::batch::{Attributes, Codec, LOG_OVERHEAD_BYTES, TimestampType};

use crate::verify::{NO_TIMESTAMP_MS, Rejection};

/// A message format that came before record batches.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum MessageFormat {
    /// Without timestamps. Fetch 0 and 1.
    V0,
    /// With timestamps (KIP-32). Fetch 2 and 3.
    V1,
}

/// From the CRC on.
const CRC_BYTES: usize = 4;
/// The attribute bit of a v1 message whose timestamp is the broker's.
const LOG_APPEND_TIME: u8 = 0x08;
const CODEC: u8 = 0x07;

/// One message, borrowed from its set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'a> {
    pub(super) offset: i64,
    pub(super) format: MessageFormat,
    /// What the value is compressed with, if the message is a wrapper; or bits that name no codec.
    pub(super) codec: Result<Codec, i16>,
    /// -1 in v0.
    pub(super) timestamp_ms: i64,
    /// v0 has no timestamps, so they are nobody's.
    pub(super) timestamp_type: TimestampType,
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
}

/// What is wrong with a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    Crc { claimed: u32 },
    Malformed(&'static str),
}

impl Fault {
    /// A record batch, or something that is not known yet.
    pub(super) const NEWER: Fault = Fault::Malformed("it is of a newer format");

    /// As the fault of the message at `index` of a set.
    pub(super) fn at(self, index: i32) -> Rejection {
        match self {
            Fault::Crc { claimed } => Rejection::Crc { claimed },
            Fault::Malformed(why) => Rejection::OldMessage { index, why },
        }
    }
}

impl MessageFormat {
    /// Bytes of a message without key and value, from its offset on.
    fn overhead_bytes(self) -> usize {
        // Offset and size; CRC, magic, attributes; the lengths of key and value.
        let v0 = LOG_OVERHEAD_BYTES + CRC_BYTES + 2 + 8;
        match self {
            MessageFormat::V0 => v0,
            MessageFormat::V1 => v0 + 8,
        }
    }
}

impl<'a> Message<'a> {
    /// Reads `bytes`, which are one message from its offset to the end that its size claims, if they
    /// have the CRC that they claim.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Message<'a>, Fault> {
        let cut_off = Fault::Malformed("it ends before its fields do");
        let mut rest = bytes.get(LOG_OVERHEAD_BYTES..).ok_or(cut_off)?;
        let claimed = u32::from_be_bytes(*take(&mut rest).ok_or(cut_off)?);
        if crc32fast::hash(rest) != claimed {
            return Err(Fault::Crc { claimed });
        }
        Message::read_again(bytes)
    }

    /// The same for bytes whose CRC was looked at before.
    pub(super) fn read_again(bytes: &'a [u8]) -> Result<Message<'a>, Fault> {
        let cut_off = Fault::Malformed("it ends before its fields do");
        let mut rest = bytes;
        let offset = i64::from_be_bytes(*take(&mut rest).ok_or(cut_off)?);
        let _size_and_crc: &[u8; 8] = take(&mut rest).ok_or(cut_off)?;
        let &[magic, attributes] = take(&mut rest).ok_or(cut_off)?;
        let format = match magic {
            0 => MessageFormat::V0,
            1 => MessageFormat::V1,
            _ => return Err(Fault::NEWER),
        };
        let (mut timestamp_ms, mut timestamp_type) = (NO_TIMESTAMP_MS, TimestampType::CreateTime);
        if format == MessageFormat::V1 {
            timestamp_ms = i64::from_be_bytes(*take(&mut rest).ok_or(cut_off)?);
            if attributes & LOG_APPEND_TIME != 0 {
                timestamp_type = TimestampType::LogAppendTime;
            }
        }
        let key = take_nullable(&mut rest)?;
        let value = take_nullable(&mut rest)?;
        if !rest.is_empty() {
            return Err(Fault::Malformed("bytes are left after its value"));
        }
        Ok(Message {
            offset,
            format,
            codec: Attributes(i16::from(attributes & CODEC)).codec(),
            timestamp_ms,
            timestamp_type,
            key,
            value,
        })
    }

    /// Bytes that [`write`](Self::write) appends.
    pub(super) fn size_bytes(&self) -> usize {
        let length = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
        self.format.overhead_bytes() + length(self.key) + length(self.value)
    }

    /// Appends the message, uncompressed. Its key and value come out of a batch, so that lengths fit.
    pub(super) fn write(&self, to: &mut Vec<u8>) {
        let start = to.len();
        let size = self.size_bytes() - LOG_OVERHEAD_BYTES;
        to.extend_from_slice(&self.offset.to_be_bytes());
        to.extend_from_slice(&(size as i32).to_be_bytes());
        to.extend_from_slice(&[0; CRC_BYTES]);
        match self.format {
            MessageFormat::V0 => to.extend_from_slice(&[0, 0]),
            MessageFormat::V1 => {
                let attributes = match self.timestamp_type {
                    TimestampType::CreateTime => 0,
                    TimestampType::LogAppendTime => LOG_APPEND_TIME,
                };
                to.extend_from_slice(&[1, attributes]);
                to.extend_from_slice(&self.timestamp_ms.to_be_bytes());
            }
        }
        put_nullable(self.key, to);
        put_nullable(self.value, to);
        let crc_at = start + LOG_OVERHEAD_BYTES;
        let crc = crc32fast::hash(&to[crc_at + CRC_BYTES..]);
        to[crc_at..crc_at + CRC_BYTES].copy_from_slice(&crc.to_be_bytes());
    }
}

fn put_nullable(bytes: Option<&[u8]>, to: &mut Vec<u8>) {
    let length = bytes.map_or(-1, |bytes| bytes.len() as i32);
    to.extend_from_slice(&length.to_be_bytes());
    to.extend_from_slice(bytes.unwrap_or_default());
}

fn take<'a, const N: usize>(from: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (taken, rest) = from.split_first_chunk()?;
    *from = rest;
    Some(taken)
}

fn take_nullable<'a>(from: &mut &'a [u8]) -> Result<Option<&'a [u8]>, Fault> {
    let cut_off = Fault::Malformed("it ends before its key or value does");
    let length = i32::from_be_bytes(*take(from).ok_or(cut_off)?);
    if length == -1 {
        return Ok(None);
    }
    let length = usize::try_from(length).map_err(|_| Fault::Malformed("a negative length"))?;
    let (taken, rest) = from.split_at_checked(length).ok_or(cut_off)?;
    *from = rest;
    Ok(Some(taken))
}
