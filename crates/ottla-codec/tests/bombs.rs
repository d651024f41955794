//! Small inputs that would become much. Alone in its process, because it looks at the memory that
//! the process ever had.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

use std::io::Write;

use ottla_codec::{Buffer, DecompressError, compress, decompress};
use ottla_model::batch::Codec;

const LIMIT_BYTES: usize = 4 << 20;

/// Forgets the largest resident size of this process so far.
fn forget_peak() {
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
}

/// Largest resident size of this process since it was forgotten.
fn peak_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<usize>()
        .unwrap()
        << 10
}

/// Zeros, 64 MiB and more per bomb.
fn bombs() -> Vec<(&'static str, Codec, Vec<u8>)> {
    let megabyte = vec![0u8; 1 << 20];
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut zstd = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
    for _ in 0..128 {
        gzip.write_all(&megabyte).unwrap();
        zstd.write_all(&megabyte).unwrap();
    }
    let gzip = gzip.finish().unwrap();

    // Many members, none of them above the limit.
    let members = compress(Codec::Gzip, &megabyte, Some(9)).repeat(128);
    let frames = compress(Codec::Zstd, &megabyte, None).repeat(128);

    // One block after another, as many as fit 4 MiB of input.
    let frame = compress(Codec::Lz4, &megabyte[..65_536], None);
    let block = &frame[7..frame.len() - 4];
    let mut lz4 = frame[..7].to_vec();
    lz4.extend(block.repeat((4 << 20) / block.len()));
    lz4.extend([0; 4]);

    let chunk = compress(Codec::Snappy, &megabyte[..32_768], None);
    let mut xerial = chunk[..16].to_vec();
    xerial.extend(chunk[16..].repeat((4 << 20) / (chunk.len() - 16)));
    let raw = snap::raw::Encoder::new()
        .compress_vec(&vec![0; 64 << 20])
        .unwrap();

    vec![
        ("gzip", Codec::Gzip, gzip),
        ("gzip members", Codec::Gzip, members),
        ("zstd", Codec::Zstd, zstd.finish().unwrap()),
        ("zstd frames", Codec::Zstd, frames),
        ("lz4", Codec::Lz4, lz4),
        ("snappy chunks", Codec::Snappy, xerial),
        ("snappy block", Codec::Snappy, raw),
    ]
}

#[test]
fn bombs_cost_about_the_limit() {
    let bombs = bombs();
    let mut out = Buffer::new();
    // The contexts of the codecs and the buffer at its largest, before the bombs.
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let full = compress(codec, &vec![0; LIMIT_BYTES], None);
        decompress(codec, &full, LIMIT_BYTES, &mut out).unwrap();
    }
    for (name, codec, bomb) in &bombs {
        forget_peak();
        let before = peak_bytes();
        let mut fresh = Buffer::new();
        assert_eq!(
            decompress(*codec, bomb, LIMIT_BYTES, &mut fresh),
            Err(DecompressError::TooLarge {
                bytes_max: LIMIT_BYTES
            }),
            "{name}"
        );
        assert!(
            fresh.storage_bytes() <= 2 * LIMIT_BYTES,
            "{name}: {}",
            fresh.storage_bytes()
        );
        let grown = peak_bytes() - before;
        println!(
            "{name}: {} bytes of input, peak grew by {grown}",
            bomb.len()
        );
        assert!(grown <= 4 * LIMIT_BYTES, "{name}: peak grew by {grown}");
    }
}
