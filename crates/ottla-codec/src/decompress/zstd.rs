//! RFC 8878 in one shot, with a context per thread.
//!
//! One shot, because the output then serves as the window: a streaming decoder would allocate the
//! window that the frame claims, up to 128 MiB, and keep it. The price is that too small a guess of
//! the output's size decodes again; the guess starts from the storage that the last batch left.

use std::cell::RefCell;

use ottla_model::batch::Codec;
use zstd::zstd_safe::{DCtx, get_error_name, get_frame_content_size, zstd_sys};

use super::DecompressError;
use crate::buffer::Buffer;

/// Largest window that readers accept unless told otherwise (`ZSTD_WINDOWLOG_LIMIT_DEFAULT`). A batch
/// with a larger one could not be read by Kafka's Java client, nor by Kafka, and is refused.
const WINDOW_BYTES_MAX: u64 = 1 << 27;

/// First guess at the output's size, in multiples of the input.
const EXPANSION_USUAL: usize = 8;

const OUTPUT_TOO_SMALL: usize =
    0usize.wrapping_sub(zstd_sys::ZSTD_ErrorCode::ZSTD_error_dstSize_tooSmall as usize);

thread_local! {
    static CONTEXT: RefCell<DCtx<'static>> = RefCell::new(DCtx::create());
}

pub(super) fn decompress(
    input: &[u8],
    bytes_max: usize,
    out: &mut Buffer,
) -> Result<(), DecompressError> {
    if window_bytes(input).ok_or(corrupt("no zstd frame"))? > WINDOW_BYTES_MAX {
        return Err(corrupt("the window is too large for a reader"));
    }
    let mut guess = input.len().saturating_mul(EXPANSION_USUAL).max(1 << 10);
    match get_frame_content_size(input) {
        Ok(Some(claimed)) if claimed > bytes_max as u64 => {
            return Err(DecompressError::TooLarge { bytes_max });
        }
        // A claim may lower the guess and never raises it: only decoding allocates more.
        Ok(Some(claimed)) => guess = guess.min(claimed as usize),
        Ok(None) => {}
        Err(_) => return Err(corrupt("no zstd frame")),
    }
    let mut room = guess.max(out.spare_bytes()).min(bytes_max);
    CONTEXT.with_borrow_mut(|context| {
        loop {
            match context.decompress(out.room(room), input) {
                Ok(wrote) => {
                    out.advance(wrote);
                    return Ok(());
                }
                Err(OUTPUT_TOO_SMALL) if room < bytes_max => {
                    room = room.saturating_mul(2).max(1 << 10).min(bytes_max);
                }
                Err(OUTPUT_TOO_SMALL) => return Err(DecompressError::TooLarge { bytes_max }),
                Err(code) => return Err(corrupt(get_error_name(code))),
            }
        }
    })
}

/// The window that the first frame asks for; 0 if the frame is its own window.
fn window_bytes(input: &[u8]) -> Option<u64> {
    const SINGLE_SEGMENT: u8 = 0x20;
    let &[0x28, 0xb5, 0x2f, 0xfd, flags, window, ..] = input else {
        return None;
    };
    if flags & SINGLE_SEGMENT != 0 {
        return Some(0);
    }
    let base = 1u64 << (10 + (window >> 3));
    Some(base + base / 8 * u64::from(window & 7))
}

fn corrupt(why: &'static str) -> DecompressError {
    DecompressError::Corrupt {
        codec: Codec::Zstd,
        why,
    }
}
