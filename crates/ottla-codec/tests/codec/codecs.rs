//! The four codecs: round trips, limits, and lies told by hand.

use ottla_codec::{Buffer, DecompressError, compress, decompress};
use ottla_model::batch::Codec;

use crate::common::{CODECS, Random};

fn unpack(codec: Codec, input: &[u8], bytes_max: usize) -> Result<Vec<u8>, DecompressError> {
    let mut out = Buffer::new();
    decompress(codec, input, bytes_max, &mut out).map(|()| out.to_vec())
}

#[track_caller]
fn corrupt(codec: Codec, input: &[u8]) {
    let answer = unpack(codec, input, 1 << 20);
    assert!(
        matches!(answer, Err(DecompressError::Corrupt { codec: named, .. }) if named == codec),
        "{answer:?}"
    );
}

#[test]
fn everything_comes_back_at_the_exact_limit_and_not_one_byte_below() {
    let mut random = Random::new("codecs");
    let mut reused = Buffer::new();
    let sizes = [
        0, 1, 2, 100, 16_384, 32_768, 32_769, 65_535, 65_536, 65_537, 300_000,
    ];
    for length in sizes {
        for data in [random.bytes(length), vec![b'x'; length]] {
            for codec in CODECS {
                let packed = compress(codec, &data, None);
                decompress(codec, &packed, length, &mut reused).unwrap();
                assert!(reused[..] == data, "{codec:?} {length}");
                assert_eq!(unpack(codec, &packed, usize::MAX).as_ref(), Ok(&data));
                if let Some(bytes_max) = length.checked_sub(1) {
                    assert_eq!(
                        unpack(codec, &packed, bytes_max),
                        Err(DecompressError::TooLarge { bytes_max }),
                        "{codec:?} {length}"
                    );
                }
            }
        }
    }
}

#[test]
fn levels_of_all_scales_are_taken() {
    let data = Random::new("levels").bytes(20_000);
    for codec in CODECS {
        for level in [i32::MIN, -1, 0, 1, 9, 22, i32::MAX] {
            let packed = compress(codec, &data, Some(level));
            assert_eq!(
                unpack(codec, &packed, data.len()).as_ref(),
                Ok(&data),
                "{codec:?} {level}"
            );
        }
    }
}

#[test]
fn a_cut_off_stream_is_corrupt() {
    let data = Random::new("cut").bytes(5_000);
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let packed = compress(codec, &data, None);
        for cut in 0..packed.len() {
            // A xerial stream may end after any chunk, so also after its header.
            if !(codec == Codec::Snappy && cut == 16) {
                corrupt(codec, &packed[..cut]);
            }
        }
    }
}

#[test]
fn gzip_members_follow_one_another_and_what_is_behind_them_is_ignored() {
    let (a, b) = (
        compress(Codec::Gzip, b"one ", None),
        compress(Codec::Gzip, b"two", Some(9)),
    );
    let both = [&a[..], &b].concat();
    assert_eq!(unpack(Codec::Gzip, &both, 7).unwrap(), b"one two");
    assert_eq!(
        unpack(Codec::Gzip, &both, 6),
        Err(DecompressError::TooLarge { bytes_max: 6 })
    );
    let tail = [&a[..], b"garbage"].concat();
    assert_eq!(unpack(Codec::Gzip, &tail, 7).unwrap(), b"one ");
    corrupt(Codec::Gzip, &[&a[..], &b[..9]].concat());
}

#[test]
fn gzip_headers_carry_names_and_their_own_checksum() {
    let packed = compress(Codec::Gzip, b"text", None);
    let with = |flags: u8, fields: &[u8]| {
        let mut bytes = packed.clone();
        bytes[3] = flags;
        bytes.splice(10..10, fields.iter().copied());
        bytes
    };
    for bytes in [
        with(4, &[2, 0, 9, 9]),
        with(8, b"name\0"),
        with(0x18, b"name\0note\0"),
    ] {
        assert_eq!(unpack(Codec::Gzip, &bytes, 4).unwrap(), b"text");
    }
    let mut crc = flate2::Crc::new();
    crc.update(&with(2, &[])[..10]);
    let sum = (crc.sum() as u16).to_le_bytes();
    assert_eq!(unpack(Codec::Gzip, &with(2, &sum), 4).unwrap(), b"text");
    corrupt(Codec::Gzip, &with(2, &[sum[0] ^ 1, sum[1]]));
    corrupt(Codec::Gzip, &with(4, &[255, 255]));
    corrupt(Codec::Gzip, &with(0x20, &[]));
    corrupt(Codec::Gzip, &[&packed[..2], &[7], &packed[3..]].concat());
    for at in [packed.len() - 1, packed.len() - 5] {
        let mut bytes = packed.clone();
        bytes[at] ^= 1;
        corrupt(Codec::Gzip, &bytes);
    }
}

#[test]
fn snappy_is_read_raw_and_in_xerial_framing() {
    let data = Random::new("snappy").bytes(100_000);
    let raw = snap::raw::Encoder::new().compress_vec(&data).unwrap();
    assert_eq!(unpack(Codec::Snappy, &raw, data.len()).as_ref(), Ok(&data));
    let xerial = compress(Codec::Snappy, &data, None);
    assert_eq!(&xerial[..16], b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01");
    let twice = [&xerial[..], &xerial[..]].concat();
    assert_eq!(
        unpack(Codec::Snappy, &twice, usize::MAX).unwrap(),
        [&data[..], &data].concat()
    );
    assert_eq!(unpack(Codec::Snappy, &xerial[..16], 0).unwrap(), b"");
}

#[test]
fn snappy_lies_are_refused_before_they_cost_memory() {
    let header = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
    let chunk = |length: u32, block: &[u8]| [&header[..], &length.to_be_bytes(), block].concat();
    // Chunks that claim more than there is, or a negative length.
    corrupt(Codec::Snappy, &chunk(100, b"abc"));
    corrupt(Codec::Snappy, &chunk(u32::MAX, b"abc"));
    corrupt(Codec::Snappy, &chunk(0x8000_0000, b"abc"));
    corrupt(Codec::Snappy, &chunk(0, b""));
    // A version that Java would not read.
    corrupt(Codec::Snappy, b"\x82SNAPPY\0\0\0\0\x01\0\0\0\0");
    corrupt(Codec::Snappy, b"\x82SNAPPY\0\0\0");
    // Blocks that claim 4 GiB, or 1 MiB from three bytes.
    let huge = [0xff, 0xff, 0xff, 0xff, 0x0f, 0];
    for input in [huge.to_vec(), chunk(6, &huge)] {
        let bytes_max = 1 << 20;
        let answer = unpack(Codec::Snappy, &input, bytes_max);
        assert_eq!(answer, Err(DecompressError::TooLarge { bytes_max }));
    }
    let claim = [0x80, 0x80, 0x40, 0];
    let mut out = Buffer::new();
    for input in [&claim[..], &chunk(4, &claim)] {
        corrupt(Codec::Snappy, input);
        decompress(Codec::Snappy, input, usize::MAX, &mut out).unwrap_err();
    }
    assert_eq!(out.storage_bytes(), 0);
    corrupt(Codec::Snappy, &[0xff; 20]);
}

/// A frame with these flags and block size bits, and its right header checksum.
fn lz4_frame(flags: u8, block: u8, size: &[u8], rest: &[u8]) -> Vec<u8> {
    let descriptor = [&[flags, block][..], size].concat();
    let checksum = (twox_hash::XxHash32::oneshot(0, &descriptor) >> 8) as u8;
    [
        &[0x04, 0x22, 0x4d, 0x18][..],
        &descriptor,
        &[checksum],
        rest,
    ]
    .concat()
}

#[test]
fn lz4_frames_are_read_as_kafka_reads_them() {
    // "abc" stored, then the end.
    let stored = [3, 0, 0, 0x80, b'a', b'b', b'c'];
    let end = [0; 4];
    let body = [&stored[..], &end].concat();
    let abc = |bytes: &[u8]| assert_eq!(unpack(Codec::Lz4, bytes, 3).as_deref(), Ok(&b"abc"[..]));
    for block in [0x40, 0x50, 0x60, 0x70] {
        abc(&lz4_frame(0x60, block, &[], &body));
    }
    abc(&lz4_frame(0x68, 0x40, &3u64.to_le_bytes(), &body));
    abc(&[&lz4_frame(0x60, 0x40, &[], &body)[..], b"ignored"].concat());
    let sum = twox_hash::XxHash32::oneshot(0, b"abc").to_le_bytes();
    abc(&lz4_frame(
        0x70,
        0x40,
        &[],
        &[&stored[..], &sum, &end].concat(),
    ));
    abc(&lz4_frame(0x64, 0x40, &[], &[&body[..], &sum].concat()));

    // No end mark; checksums; dependent blocks, dictionary, version, reserved bits, block size.
    corrupt(Codec::Lz4, &lz4_frame(0x60, 0x40, &[], &stored));
    corrupt(
        Codec::Lz4,
        &lz4_frame(0x70, 0x40, &[], &[&stored[..], &[0; 4], &end].concat()),
    );
    corrupt(
        Codec::Lz4,
        &lz4_frame(0x64, 0x40, &[], &[&body[..], &[0; 4]].concat()),
    );
    corrupt(Codec::Lz4, &lz4_frame(0x64, 0x40, &[], &body));
    for (flags, block) in [
        (0x40, 0x40),
        (0x61, 0x40),
        (0x62, 0x40),
        (0xa0, 0x40),
        (0x60, 0x30),
    ] {
        corrupt(Codec::Lz4, &lz4_frame(flags, block, &[], &body));
    }
    let mut wrong = lz4_frame(0x60, 0x40, &[], &body);
    wrong[6] ^= 1;
    corrupt(Codec::Lz4, &wrong);
    // A block above the frame's maximum, stored or expanding; a content size that is a lie.
    let large = [&[1, 0, 1, 0x80][..], &[7; 65_537], &end].concat();
    corrupt(Codec::Lz4, &lz4_frame(0x60, 0x40, &[], &large));
    let expanding = lz4_flex::block::compress(&[7; 65_537]);
    let length = (expanding.len() as u32).to_le_bytes();
    let expanding = [&length[..], &expanding, &end].concat();
    corrupt(Codec::Lz4, &lz4_frame(0x60, 0x40, &[], &expanding));
    assert_eq!(
        unpack(Codec::Lz4, &lz4_frame(0x60, 0x50, &[], &expanding), 65_537).unwrap(),
        [7; 65_537]
    );
    corrupt(
        Codec::Lz4,
        &lz4_frame(0x68, 0x40, &4u64.to_le_bytes(), &body),
    );
    assert_eq!(
        unpack(
            Codec::Lz4,
            &lz4_frame(0x68, 0x40, &u64::MAX.to_le_bytes(), &body),
            9
        ),
        Err(DecompressError::TooLarge { bytes_max: 9 })
    );
}

#[test]
fn zstd_frames_without_a_size_and_after_one_another_are_read() {
    let data = Random::new("zstd").bytes(200_000);
    // As a streaming writer leaves them: no content size, here with a checksum.
    let mut writer = zstd::stream::Encoder::new(Vec::new(), 3).unwrap();
    writer.include_checksum(true).unwrap();
    std::io::copy(&mut &data[..], &mut writer).unwrap();
    let streamed = writer.finish().unwrap();
    assert_eq!(
        unpack(Codec::Zstd, &streamed, data.len()).as_ref(),
        Ok(&data)
    );
    let twice = [&streamed[..], &compress(Codec::Zstd, &data, Some(9))].concat();
    assert_eq!(
        unpack(Codec::Zstd, &twice, usize::MAX).unwrap(),
        [&data[..], &data].concat()
    );
    let mut wrong = streamed.clone();
    *wrong.last_mut().unwrap() ^= 1;
    corrupt(Codec::Zstd, &wrong);
    corrupt(Codec::Zstd, &[&streamed[..], b"x"].concat());
}

#[test]
fn zstd_claims_cost_nothing_and_windows_are_bounded() {
    // A frame that claims 1 GiB and holds one empty last block.
    let claim = [0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0, 0, 0, 0x40, 1, 0, 0];
    let mut out = Buffer::new();
    let answer = decompress(Codec::Zstd, &claim, usize::MAX, &mut out);
    assert!(
        matches!(answer, Err(DecompressError::Corrupt { .. })),
        "{answer:?}"
    );
    assert!(out.storage_bytes() < 10_000, "{}", out.storage_bytes());
    let bytes_max = 1 << 20;
    assert_eq!(
        unpack(Codec::Zstd, &claim, bytes_max),
        Err(DecompressError::TooLarge { bytes_max })
    );
    // Window of 128 MiB, then the next larger one; both with one empty last block.
    let window = |descriptor| [0x28, 0xb5, 0x2f, 0xfd, 0, descriptor, 1, 0, 0];
    assert_eq!(unpack(Codec::Zstd, &window(17 << 3), 0).unwrap(), b"");
    corrupt(Codec::Zstd, &window((17 << 3) + 1));
    corrupt(Codec::Zstd, &window(0xff));
}
