//! RFC 1952: one member as Java and librdkafka write it, or several after one another.
//!
//! The members' frames are read here and only the deflate stream is left to the library: its state is
//! kept per thread, which a gzip reader of the library does not allow.

use std::cell::RefCell;

use flate2::{Crc, Decompress, FlushDecompress, Status};
use ottla_model::batch::Codec;

use super::{DecompressError, take, take_array};
use crate::buffer::Buffer;

const MAGIC: [u8; 2] = [0x1f, 0x8b];
const HEADER_CRC: u8 = 0x02;
const EXTRA: u8 = 0x04;
const NAME: u8 = 0x08;
const COMMENT: u8 = 0x10;
const RESERVED: u8 = 0xe0;

/// First step of the output; later steps double it.
const STEP_BYTES_MIN: usize = 16 << 10;

thread_local! {
    static INFLATE: RefCell<Decompress> = RefCell::new(Decompress::new(false));
}

pub(super) fn decompress(
    mut input: &[u8],
    bytes_max: usize,
    out: &mut Buffer,
) -> Result<(), DecompressError> {
    INFLATE.with_borrow_mut(|inflate| {
        loop {
            input = after_header(input)?;
            let member_at = out.len();
            inflate.reset(false);
            inflate_member(inflate, &mut input, bytes_max, out)?;

            let mut crc = Crc::new();
            crc.update(&out[member_at..]);
            let claimed = take_array(&mut input).ok_or(corrupt("no checksum at the end"))?;
            let length = take_array(&mut input).ok_or(corrupt("no length at the end"))?;
            if u32::from_le_bytes(claimed) != crc.sum() {
                return Err(corrupt("the checksum differs"));
            }
            if u32::from_le_bytes(length) != crc.amount() {
                return Err(corrupt("the length differs"));
            }
            // As Java's reader: another member, or an end that nobody looks behind.
            if !input.starts_with(&MAGIC) {
                return Ok(());
            }
        }
    })
}

fn inflate_member(
    inflate: &mut Decompress,
    input: &mut &[u8],
    bytes_max: usize,
    out: &mut Buffer,
) -> Result<(), DecompressError> {
    loop {
        // One byte above the limit tells "exactly full" from "too large".
        let left = bytes_max.saturating_add(1) - out.len();
        let step = out
            .spare_bytes()
            .max(out.len())
            .max(STEP_BYTES_MIN)
            .min(left);
        let (read, wrote) = (inflate.total_in(), inflate.total_out());
        let status = inflate
            .decompress(input, out.room(step), FlushDecompress::None)
            .map_err(|_| corrupt("the deflate stream is broken"))?;
        let read = (inflate.total_in() - read) as usize;
        let wrote = (inflate.total_out() - wrote) as usize;
        *input = &input[read..];
        out.advance(wrote);
        if out.len() > bytes_max {
            return Err(DecompressError::TooLarge { bytes_max });
        }
        match status {
            Status::StreamEnd => return Ok(()),
            Status::Ok | Status::BufError if read == 0 && wrote == 0 => {
                return Err(corrupt("the deflate stream is cut off"));
            }
            Status::Ok | Status::BufError => {}
        }
    }
}

fn after_header(input: &[u8]) -> Result<&[u8], DecompressError> {
    let mut rest = input;
    let cut_off = corrupt("the header is cut off");
    let [0x1f, 0x8b, method, flags, ..] = take_array::<10>(&mut rest).ok_or(cut_off)? else {
        return Err(corrupt("no gzip magic"));
    };
    if method != 8 || flags & RESERVED != 0 {
        return Err(corrupt("unknown method or flags"));
    }
    if flags & EXTRA != 0 {
        let length = take_array(&mut rest).ok_or(cut_off)?;
        take(&mut rest, u16::from_le_bytes(length).into()).ok_or(cut_off)?;
    }
    for text in [NAME, COMMENT] {
        if flags & text != 0 {
            let end = rest.iter().position(|&byte| byte == 0).ok_or(cut_off)?;
            rest = &rest[end + 1..];
        }
    }
    if flags & HEADER_CRC != 0 {
        let mut crc = Crc::new();
        crc.update(&input[..input.len() - rest.len()]);
        let claimed = take_array(&mut rest).ok_or(cut_off)?;
        if u16::from_le_bytes(claimed) != crc.sum() as u16 {
            return Err(corrupt("the header's checksum differs"));
        }
    }
    Ok(rest)
}

fn corrupt(why: &'static str) -> DecompressError {
    DecompressError::Corrupt {
        codec: Codec::Gzip,
        why,
    }
}
