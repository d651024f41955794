//! Writing: the mirror of the reader, into any buffer that grows.

use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};

use super::STRING_BYTES_MAX;
use super::error::EncodeError;
use crate::uuid::Uuid;

/// A buffer that messages and records are encoded into. Implemented by `Vec<u8>` and `BytesMut`, and by
/// the encoder of wire frames, which keeps record bytes apart instead of copying them.
pub trait Writer {
    /// Appends bytes as they are.
    fn raw(&mut self, bytes: &[u8]);

    /// Bytes of this buffer so far, without records that it keeps apart.
    fn position(&self) -> usize;

    /// Puts bytes at an earlier [`Writer::position`], moving what follows: the size of a tagged field is
    /// known only after its value. Values are small there, and records never lie in them.
    fn insert_raw(&mut self, at: usize, bytes: &[u8]);

    /// Makes room for at least so many bytes more, so that the buffer grows once.
    fn reserve(&mut self, bytes: usize);

    /// Puts an unsigned varint at an earlier [`Writer::position`].
    fn insert_varint(&mut self, at: usize, value: u64) {
        let mut buffer = [0; 10];
        let length = base128(value, &mut buffer);
        if at == self.position() {
            self.raw(&buffer[..length]);
        } else {
            self.insert_raw(at, &buffer[..length]);
        }
    }

    /// Appends record bytes that can be shared instead of copied.
    fn put_shared(&mut self, bytes: &Bytes) {
        self.raw(bytes);
    }

    /// Appends `length` bytes that are not in memory and that only the owner of the finished frame can
    /// find, by `key`.
    ///
    /// # Errors
    /// [`EncodeError::ExternalRecords`] from every buffer that holds nothing but bytes.
    fn put_external(&mut self, key: u32, length: u32) -> Result<(), EncodeError> {
        let _ = (key, length);
        Err(EncodeError::ExternalRecords)
    }

    /// Writes an `i8`.
    fn i8(&mut self, value: i8) {
        self.raw(&value.to_be_bytes());
    }

    /// Writes an `i16`, big-endian as all numbers.
    fn i16(&mut self, value: i16) {
        self.raw(&value.to_be_bytes());
    }

    /// Writes an `i32`.
    fn i32(&mut self, value: i32) {
        self.raw(&value.to_be_bytes());
    }

    /// Writes an `i64`.
    fn i64(&mut self, value: i64) {
        self.raw(&value.to_be_bytes());
    }

    /// Writes a `u16`.
    fn u16(&mut self, value: u16) {
        self.raw(&value.to_be_bytes());
    }

    /// Writes a `u32`.
    fn u32(&mut self, value: u32) {
        self.raw(&value.to_be_bytes());
    }

    /// Writes an `f64`.
    fn f64(&mut self, value: f64) {
        self.raw(&value.to_be_bytes());
    }

    /// Writes 0 or 1.
    fn bool(&mut self, value: bool) {
        self.raw(&[u8::from(value)]);
    }

    /// Writes 16 bytes.
    fn uuid(&mut self, value: Uuid) {
        self.raw(&value.0);
    }

    /// Writes an unsigned varint of 1 to 5 bytes.
    fn unsigned_varint(&mut self, value: u32) {
        // Nearly all lengths, counts and tags.
        if value < 0x80 {
            return self.raw(&[value as u8]);
        }
        self.unsigned_varlong(u64::from(value));
    }

    /// Writes an unsigned varint of 1 to 10 bytes.
    fn unsigned_varlong(&mut self, value: u64) {
        let mut buffer = [0; 10];
        let length = base128(value, &mut buffer);
        self.raw(&buffer[..length]);
    }

    /// Writes a zigzag varint of 1 to 5 bytes.
    fn varint(&mut self, value: i32) {
        self.unsigned_varint((value << 1 ^ value >> 31) as u32);
    }

    /// Writes a zigzag varint of 1 to 10 bytes.
    fn varlong(&mut self, value: i64) {
        self.unsigned_varlong((value << 1 ^ value >> 63) as u64);
    }

    /// Writes a string.
    ///
    /// # Errors
    /// [`EncodeError::TooLong`].
    fn str(&mut self, value: &str, flexible: bool) -> Result<(), EncodeError> {
        self.nullable_str(Some(value), flexible)
    }

    /// Writes a string or null.
    ///
    /// # Errors
    /// [`EncodeError::TooLong`].
    fn nullable_str(&mut self, value: Option<&str>, flexible: bool) -> Result<(), EncodeError> {
        let length = value.map_or(0, str::len);
        if length > STRING_BYTES_MAX {
            return Err(EncodeError::TooLong(length));
        }
        match (value, flexible) {
            (Some(_), true) => self.unsigned_varint(length as u32 + 1),
            (None, true) => self.unsigned_varint(0),
            (Some(_), false) => self.i16(length as i16),
            (None, false) => self.i16(-1),
        }
        self.raw(value.unwrap_or_default().as_bytes());
        Ok(())
    }

    /// Writes bytes with their length.
    ///
    /// # Errors
    /// [`EncodeError::TooLong`].
    fn bytes(&mut self, value: &[u8], flexible: bool) -> Result<(), EncodeError> {
        self.nullable_bytes(Some(value), flexible)
    }

    /// Writes bytes with their length, or null.
    ///
    /// # Errors
    /// [`EncodeError::TooLong`].
    fn nullable_bytes(&mut self, value: Option<&[u8]>, flexible: bool) -> Result<(), EncodeError> {
        self.nullable_length(value.map(<[u8]>::len), flexible)?;
        let bytes = value.unwrap_or_default();
        // With what ends most messages: growing once more would copy these bytes once more.
        self.reserve(bytes.len() + 64);
        self.raw(bytes);
        Ok(())
    }

    /// Writes the length of bytes or the count of an array; `None` is null.
    ///
    /// # Errors
    /// [`EncodeError::TooLong`] above `i32::MAX`.
    fn nullable_length(
        &mut self,
        length: Option<usize>,
        flexible: bool,
    ) -> Result<(), EncodeError> {
        let length = match length {
            Some(length) => Some(i32::try_from(length).map_err(|_| EncodeError::TooLong(length))?),
            None => None,
        };
        if flexible {
            self.unsigned_varint(length.map_or(0, |length| length as u32 + 1));
        } else {
            self.i32(length.unwrap_or(-1));
        }
        Ok(())
    }
}

impl Writer for Vec<u8> {
    #[inline]
    fn raw(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    fn reserve(&mut self, bytes: usize) {
        self.reserve(bytes);
    }

    fn position(&self) -> usize {
        self.len()
    }

    fn insert_raw(&mut self, at: usize, bytes: &[u8]) {
        let end = self.len();
        self.extend_from_slice(bytes);
        move_back(self, at, end, bytes);
    }
}

impl Writer for BytesMut {
    #[inline]
    fn raw(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    fn reserve(&mut self, bytes: usize) {
        self.reserve(bytes);
    }

    fn position(&self) -> usize {
        self.len()
    }

    fn insert_raw(&mut self, at: usize, bytes: &[u8]) {
        let end = self.len();
        self.extend_from_slice(bytes);
        move_back(self, at, end, bytes);
    }
}

fn move_back(buffer: &mut [u8], at: usize, end: usize, bytes: &[u8]) {
    buffer.copy_within(at..end, at + bytes.len());
    buffer[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Writes 7 bits per byte, lowest first, and answers how many bytes that took.
fn base128(mut value: u64, buffer: &mut [u8; 10]) -> usize {
    let mut length = 0;
    while value >= 0x80 {
        buffer[length] = value as u8 | 0x80;
        value >>= 7;
        length += 1;
    }
    buffer[length] = value as u8;
    length + 1
}
