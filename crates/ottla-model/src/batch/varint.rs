//! Zig-zag varints of up to 5 and 10 bytes, as records use them (Kafka `ByteUtils`).
//!
//! Forced inline where a record is walked: the calls were a seventh of the time per record.
//!
//! Readers advance a slice and leave it unspecified after an error. Bits beyond the type's width in
//! the last byte are dropped, as Kafka drops them.

use alloc::vec::Vec;

use super::record::RecordError;

/// Reads up to 5 bytes as a signed number.
#[inline(always)]
pub(super) fn take_varint(from: &mut &[u8]) -> Result<i32, RecordError> {
    let raw = match take_short_form(from) {
        Some(raw) => raw,
        None => take_long_form(from, 5)? as u32,
    };
    Ok((raw >> 1) as i32 ^ -((raw & 1) as i32))
}

/// Reads up to 10 bytes as a signed number.
#[inline(always)]
pub(super) fn take_varlong(from: &mut &[u8]) -> Result<i64, RecordError> {
    let raw = match take_short_form(from) {
        Some(raw) => u64::from(raw),
        None => take_long_form(from, 10)?,
    };
    Ok((raw >> 1) as i64 ^ -((raw & 1) as i64))
}

/// One or two bytes: deltas, keys, most values.
#[inline(always)]
fn take_short_form(from: &mut &[u8]) -> Option<u32> {
    match **from {
        [one, ref rest @ ..] if one < 0x80 => {
            *from = rest;
            Some(u32::from(one))
        }
        [one, two, ref rest @ ..] if two < 0x80 => {
            *from = rest;
            Some(u32::from(one & 0x7f) | u32::from(two) << 7)
        }
        _ => None,
    }
}

#[inline(never)]
fn take_long_form(from: &mut &[u8], bytes_max: usize) -> Result<u64, RecordError> {
    let mut value = 0u64;
    for (at, &byte) in from.iter().take(bytes_max).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte < 0x80 {
            *from = &from[at + 1..];
            return Ok(value);
        }
    }
    Err(if from.len() < bytes_max {
        RecordError::Truncated
    } else {
        RecordError::Varint
    })
}

/// Appends a signed number in up to 5 bytes.
pub(super) fn put_varint(value: i32, to: &mut Vec<u8>) {
    put_unsigned(u64::from(((value << 1) ^ (value >> 31)) as u32), to);
}

/// Appends a signed number in up to 10 bytes.
pub(super) fn put_varlong(value: i64, to: &mut Vec<u8>) {
    put_unsigned(((value << 1) ^ (value >> 63)) as u64, to);
}

/// Bytes that [`put_varint`] writes.
pub(super) fn varint_bytes(value: i32) -> usize {
    unsigned_bytes(u64::from(((value << 1) ^ (value >> 31)) as u32))
}

/// Bytes that [`put_varlong`] writes.
pub(super) fn varlong_bytes(value: i64) -> usize {
    unsigned_bytes(((value << 1) ^ (value >> 63)) as u64)
}

fn unsigned_bytes(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

fn put_unsigned(mut value: u64, to: &mut Vec<u8>) {
    while value >= 0x80 {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}
