//! Compression in the framings that Kafka's Java client writes.

use std::cell::RefCell;
use std::io::Write;

use flate2::write::GzEncoder;
use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
use ottla_model::batch::Codec;
use zstd::zstd_safe::{CCtx, compress_bound, get_error_name, max_c_level, min_c_level};

use crate::decompress::snappy::{XERIAL_MAGIC, XERIAL_VERSION};

/// Uncompressed bytes of a chunk in xerial's framing, as Java cuts them.
const XERIAL_CHUNK_BYTES: usize = 32 << 10;

thread_local! {
    static CONTEXT: RefCell<CCtx<'static>> = RefCell::new(CCtx::create());
}

/// Compresses `input`. `level` is the codec's own scale (Kafka's `compression.<codec>.level`), clamped
/// to it; `None` is Kafka's default. Snappy has no levels; lz4 has one here.
#[must_use]
pub fn compress(codec: Codec, input: &[u8], level: Option<i32>) -> Vec<u8> {
    match codec {
        Codec::None => input.to_vec(),
        Codec::Gzip => gzip(input, level),
        Codec::Snappy => snappy(input),
        Codec::Lz4 => lz4(input),
        Codec::Zstd => zstd(input, level),
    }
}

#[allow(clippy::expect_used, reason = "names its invariant")]
fn gzip(input: &[u8], level: Option<i32>) -> Vec<u8> {
    let level = match level {
        Some(level @ 0..) => flate2::Compression::new(level.clamp(1, 9) as u32),
        _ => flate2::Compression::default(),
    };
    let mut encoder = GzEncoder::new(Vec::with_capacity(input.len() / 2), level);
    encoder
        .write_all(input)
        .and_then(|()| encoder.finish())
        .expect("invariant: writing to memory does not fail")
}

#[allow(clippy::expect_used, reason = "names its invariant")]
fn snappy(input: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(16 + input.len() / 2);
    out.extend_from_slice(&XERIAL_MAGIC);
    out.extend_from_slice(&XERIAL_VERSION.to_be_bytes());
    out.extend_from_slice(&XERIAL_VERSION.to_be_bytes());
    let mut encoder = snap::raw::Encoder::new();
    for chunk in input.chunks(XERIAL_CHUNK_BYTES) {
        let at = out.len();
        out.resize(at + 4 + snap::raw::max_compress_len(chunk.len()), 0);
        let wrote = encoder
            .compress(chunk, &mut out[at + 4..])
            .expect("invariant: a chunk fits into the room that its length asks for");
        out[at..at + 4].copy_from_slice(&(wrote as u32).to_be_bytes());
        out.truncate(at + 4 + wrote);
    }
    out
}

#[allow(clippy::expect_used, reason = "names its invariant")]
fn lz4(input: &[u8]) -> Vec<u8> {
    let frame = FrameInfo::new()
        .block_size(BlockSize::Max64KB)
        .block_mode(BlockMode::Independent);
    let mut encoder = FrameEncoder::with_frame_info(frame, Vec::with_capacity(input.len() / 2));
    encoder
        .write_all(input)
        .expect("invariant: writing to memory does not fail");
    encoder
        .finish()
        .expect("invariant: writing to memory does not fail")
}

fn zstd(input: &[u8], level: Option<i32>) -> Vec<u8> {
    let level = level
        .unwrap_or(zstd::DEFAULT_COMPRESSION_LEVEL)
        .clamp(min_c_level(), max_c_level());
    let mut out = Vec::with_capacity(compress_bound(input.len()));
    let answer = CONTEXT.with_borrow_mut(|context| context.compress(&mut out, input, level));
    if let Err(code) = answer {
        panic!(
            "invariant: the output is as large as zstd asks: {}",
            get_error_name(code)
        );
    }
    out
}
