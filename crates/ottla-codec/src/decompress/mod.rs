//! Decompression under an output limit.
//!
//! One file per codec. Each grows the output step by step and stops one byte above the limit, so that
//! a bomb costs about the limit in memory and time, whatever it claims.

mod gzip;
mod lz4;
pub(crate) mod snappy;
mod zstd;

use ottla_model::batch::Codec;

use crate::buffer::Buffer;
use crate::old::MessageFormat;

/// Why bytes were not decompressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DecompressError {
    /// There are more bytes than the caller allows. How many more is not known: decoding stopped.
    #[error("decompresses to more than {bytes_max} bytes")]
    TooLarge {
        /// The caller's limit.
        bytes_max: usize,
    },
    /// The bytes are not what the codec writes, or what Kafka's own client could not read.
    #[error("broken {codec:?} data: {why}")]
    Corrupt {
        /// The codec that was asked for.
        codec: Codec,
        /// What is wrong with the bytes.
        why: &'static str,
    },
    /// The attribute bits of a batch name no codec.
    #[error("there is no compression codec {0}")]
    UnknownCodec(i16),
}

/// Replaces what is in `out` by what `input` decompresses to.
///
/// # Errors
/// [`DecompressError::TooLarge`] as soon as the output passes `bytes_max`; `Corrupt` for all else.
/// What `out` then holds is unspecified.
pub fn decompress(
    codec: Codec,
    input: &[u8],
    bytes_max: usize,
    out: &mut Buffer,
) -> Result<(), DecompressError> {
    out.clear();
    match codec {
        Codec::None => {
            if input.len() > bytes_max {
                return Err(DecompressError::TooLarge { bytes_max });
            }
            out.room(input.len()).copy_from_slice(input);
            out.advance(input.len());
            Ok(())
        }
        Codec::Gzip => gzip::decompress(input, bytes_max, out),
        Codec::Snappy => snappy::decompress(input, bytes_max, out),
        Codec::Lz4 => lz4::decompress(input, bytes_max, lz4::HeaderChecksum::Right, out),
        Codec::Zstd => zstd::decompress(input, bytes_max, out),
    }
}

/// As [`decompress`], for the value of a wrapper of an old message format. In v0 the checksum of an lz4
/// frame's header is not looked at: clients of that age computed it over the wrong bytes (KAFKA-3160).
pub(crate) fn decompress_wrapper(
    format: MessageFormat,
    codec: Codec,
    input: &[u8],
    bytes_max: usize,
    out: &mut Buffer,
) -> Result<(), DecompressError> {
    match (format, codec) {
        (MessageFormat::V0, Codec::Lz4) => {
            out.clear();
            lz4::decompress(input, bytes_max, lz4::HeaderChecksum::Any, out)
        }
        _ => decompress(codec, input, bytes_max, out),
    }
}

/// Splits `count` bytes off the front.
fn take<'a>(from: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = from.split_at_checked(count)?;
    *from = rest;
    Some(taken)
}

/// Splits `N` bytes off the front.
fn take_array<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = from.split_first_chunk::<N>()?;
    *from = rest;
    Some(*taken)
}
