//! The LZ4 frame format 1.6, as far as Kafka's own client reads it.
//!
//! Frames are read here and only blocks are left to the library: its frame reader takes a missing end
//! for an end, and allocates the largest block that a frame may claim. Blocks must be independent:
//! Kafka's Java client cannot read others, so a batch that has them must not enter a log. As there,
//! what follows the first frame is ignored.

use lz4_flex::block::decompress_into;
use ottla_model::batch::Codec;
use twox_hash::XxHash32;

use super::{DecompressError, take, take_array};
use crate::buffer::Buffer;

const MAGIC: u32 = 0x184D_2204;
const VERSION_MASK: u8 = 0xc0;
const VERSION: u8 = 0x40;
const INDEPENDENT: u8 = 0x20;
const BLOCK_CHECKSUM: u8 = 0x10;
const CONTENT_SIZE: u8 = 0x08;
const CONTENT_CHECKSUM: u8 = 0x04;
/// One reserved bit, and the bit of a dictionary id.
const UNSUPPORTED: u8 = 0x03;
const NOT_COMPRESSED: u32 = 0x8000_0000;
/// A block's best byte writes 255, and a few more at its ends.
const EXPANSION_MAX: usize = 255;

/// What the checksum of a frame's header must be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum HeaderChecksum {
    /// That of the header.
    Right,
    /// Anything.
    Any,
}

pub(super) fn decompress(
    mut input: &[u8],
    bytes_max: usize,
    checksum: HeaderChecksum,
    out: &mut Buffer,
) -> Result<(), DecompressError> {
    let frame = Frame::take(&mut input, checksum)?;
    let too_large = DecompressError::TooLarge { bytes_max };
    if frame
        .content_bytes
        .is_some_and(|claimed| claimed > bytes_max as u64)
    {
        return Err(too_large);
    }
    loop {
        let size = take_array(&mut input).ok_or(corrupt("there is no end mark"))?;
        let size = u32::from_le_bytes(size);
        if size == 0 {
            break;
        }
        let length = (size & !NOT_COMPRESSED) as usize;
        if length > frame.block_bytes_max {
            return Err(corrupt("a block is larger than the frame allows"));
        }
        let block = take(&mut input, length).ok_or(corrupt("a block is cut off"))?;
        if frame.flags & BLOCK_CHECKSUM != 0 {
            let claimed = take_array(&mut input).ok_or(corrupt("a block's checksum is cut off"))?;
            if XxHash32::oneshot(0, block) != u32::from_le_bytes(claimed) {
                return Err(corrupt("a block's checksum differs"));
            }
        }
        let left = bytes_max - out.len();
        if size & NOT_COMPRESSED != 0 {
            if length > left {
                return Err(too_large);
            }
            out.room(length).copy_from_slice(block);
            out.advance(length);
            continue;
        }
        let room = frame
            .block_bytes_max
            .min(length.saturating_mul(EXPANSION_MAX));
        match decompress_into(block, out.room(room.min(left))) {
            Ok(wrote) => out.advance(wrote),
            // Names the room, not the block: it may be broken further on.
            Err(lz4_flex::block::DecompressError::OutputTooSmall { .. }) if left < room => {
                return Err(too_large);
            }
            Err(_) => return Err(corrupt("a block is broken")),
        }
    }
    if frame
        .content_bytes
        .is_some_and(|claimed| claimed != out.len() as u64)
    {
        return Err(corrupt("the content size differs"));
    }
    if frame.flags & CONTENT_CHECKSUM != 0 {
        let claimed = take_array(&mut input).ok_or(corrupt("no content checksum"))?;
        if XxHash32::oneshot(0, out) != u32::from_le_bytes(claimed) {
            return Err(corrupt("the content checksum differs"));
        }
    }
    Ok(())
}

struct Frame {
    flags: u8,
    block_bytes_max: usize,
    content_bytes: Option<u64>,
}

impl Frame {
    fn take(input: &mut &[u8], checksum: HeaderChecksum) -> Result<Frame, DecompressError> {
        let cut_off = corrupt("the frame header is cut off");
        if take_array(input).map(u32::from_le_bytes) != Some(MAGIC) {
            return Err(corrupt("no LZ4 frame magic"));
        }
        let descriptor = *input;
        let [flags, block] = take_array(input).ok_or(cut_off)?;
        if flags & VERSION_MASK != VERSION || flags & UNSUPPORTED != 0 {
            return Err(corrupt("unknown version, or a dictionary"));
        }
        if flags & INDEPENDENT == 0 {
            return Err(corrupt("blocks depend on one another"));
        }
        let block_bytes_max = match block {
            0x40 => 64 << 10,
            0x50 => 256 << 10,
            0x60 => 1 << 20,
            0x70 => 4 << 20,
            _ => return Err(corrupt("unknown block size")),
        };
        let mut content_bytes = None;
        if flags & CONTENT_SIZE != 0 {
            content_bytes = Some(u64::from_le_bytes(take_array(input).ok_or(cut_off)?));
        }
        let hashed = &descriptor[..descriptor.len() - input.len()];
        let [claimed] = take_array(input).ok_or(cut_off)?;
        if checksum == HeaderChecksum::Right && (XxHash32::oneshot(0, hashed) >> 8) as u8 != claimed
        {
            return Err(corrupt("the frame header's checksum differs"));
        }
        Ok(Frame {
            flags,
            block_bytes_max,
            content_bytes,
        })
    }
}

fn corrupt(why: &'static str) -> DecompressError {
    DecompressError::Corrupt {
        codec: Codec::Lz4,
        why,
    }
}
