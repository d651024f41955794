//! Snappy as one raw block (librdkafka and most others) or in xerial's framing (Java).
//!
//! Xerial: magic, version, oldest compatible version, then chunks of a big-endian length and a raw
//! block. Streams may follow one another; the magic then stands where a length would.

use ottla_model::batch::Codec;
use snap::raw::{Decoder, decompress_len};

use super::{DecompressError, take, take_array};
use crate::buffer::Buffer;

/// Starts xerial's framing. No raw block is mistaken for it: its second tag would copy from before
/// the start.
pub(crate) const XERIAL_MAGIC: [u8; 8] = *b"\x82SNAPPY\0";

/// The version that is written, and the oldest that readers must know.
pub(crate) const XERIAL_VERSION: u32 = 1;

/// A raw block's best tag writes 64 bytes from 3. Claims beyond it are refused before anything is
/// allocated (CVE-2023-34455 is that claim believed).
const EXPANSION_MAX: usize = 64 / 3 + 1;

pub(super) fn decompress(
    mut input: &[u8],
    bytes_max: usize,
    out: &mut Buffer,
) -> Result<(), DecompressError> {
    let Some(stream) = input.strip_prefix(&XERIAL_MAGIC) else {
        return block(input, bytes_max, out);
    };
    input = after_versions(stream)?;
    while !input.is_empty() {
        if let Some(stream) = input.strip_prefix(&XERIAL_MAGIC) {
            input = after_versions(stream)?;
            continue;
        }
        let length = take_array(&mut input).ok_or(corrupt("a chunk's length is cut off"))?;
        // Java reads it signed; a negative length is larger than any input.
        let length = u32::from_be_bytes(length) as usize;
        let chunk = take(&mut input, length).ok_or(corrupt("a chunk is longer than the data"))?;
        block(chunk, bytes_max, out)?;
    }
    Ok(())
}

fn after_versions(mut input: &[u8]) -> Result<&[u8], DecompressError> {
    let cut_off = corrupt("the stream header is cut off");
    let _version: [u8; 4] = take_array(&mut input).ok_or(cut_off)?;
    let compatible = take_array(&mut input).ok_or(cut_off)?;
    // What Java's reader checks: it refuses what is older than itself, nothing newer.
    if (i32::from_be_bytes(compatible)) < XERIAL_VERSION as i32 {
        return Err(corrupt("incompatible stream version"));
    }
    Ok(input)
}

fn block(input: &[u8], bytes_max: usize, out: &mut Buffer) -> Result<(), DecompressError> {
    let claimed = decompress_len(input).map_err(|_| corrupt("no length"))?;
    if claimed > bytes_max - out.len() {
        return Err(DecompressError::TooLarge { bytes_max });
    }
    if claimed > input.len().saturating_mul(EXPANSION_MAX) {
        return Err(corrupt("claims more bytes than its input can hold"));
    }
    let wrote = Decoder::new()
        .decompress(input, out.room(claimed))
        .map_err(|_| corrupt("a block is broken"))?;
    out.advance(wrote);
    Ok(())
}

fn corrupt(why: &'static str) -> DecompressError {
    DecompressError::Corrupt {
        codec: Codec::Snappy,
        why,
    }
}
