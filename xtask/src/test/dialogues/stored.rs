//! Each compression format in its simplest form, which stores the bytes as they are. Enough for a broker to read, and
//! made without the libraries of either broker.

/// The polynomial of record batches: CRC-32C.
pub(super) const CASTAGNOLI: u32 = 0x82f6_3b78;
/// That of gzip, and of messages of the old formats.
pub(super) const GZIP: u32 = 0xedb8_8320;

/// The number in a batch's attributes, and the bytes in that format.
pub(super) fn pack(codec: &str, bytes: &[u8]) -> Result<(i16, Vec<u8>), String> {
    if codec == "none" {
        return Ok((0, bytes.to_vec()));
    }
    let length = u16::try_from(bytes.len()).map_err(|_| "more than one block to compress")?;
    Ok(match codec {
        "gzip" => (1, gzip(bytes, length)),
        "snappy" => (2, snappy(bytes, length)),
        "lz4" => (3, lz4(bytes, length)),
        "zstd" => (4, zstd(bytes, length)),
        other => return Err(format!("no codec {other}")),
    })
}

/// RFC 1952 around one stored block of RFC 1951.
fn gzip(bytes: &[u8], length: u16) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff, 1];
    out.extend(length.to_le_bytes());
    out.extend((!length).to_le_bytes());
    out.extend(bytes);
    out.extend(crc(bytes, GZIP).to_le_bytes());
    out.extend(u32::from(length).to_le_bytes());
    out
}

/// One literal.
fn snappy(bytes: &[u8], length: u16) -> Vec<u8> {
    let mut out = Vec::new();
    super::batch::unsigned(u64::from(length), &mut out);
    if length > 0 {
        out.push(61 << 2);
        out.extend((length - 1).to_le_bytes());
        out.extend(bytes);
    }
    out
}

/// A frame of independent blocks of at most 64 KiB without checksums; 0x82 is the checksum of that header.
fn lz4(bytes: &[u8], length: u16) -> Vec<u8> {
    let mut out = vec![0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82];
    if length > 0 {
        out.extend((u32::from(length) | 1 << 31).to_le_bytes());
        out.extend(bytes);
    }
    out.extend([0; 4]);
    out
}

/// A frame with a window of 128 KiB and one last raw block.
fn zstd(bytes: &[u8], length: u16) -> Vec<u8> {
    let mut out = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38];
    out.extend(&(u32::from(length) << 3 | 1).to_le_bytes()[..3]);
    out.extend(bytes);
    out
}

/// The reflected CRC of this polynomial.
pub(super) fn crc(bytes: &[u8], polynomial: u32) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 {
                crc >> 1 ^ polynomial
            } else {
                crc >> 1
            };
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    #[test]
    fn check_values_of_the_two_polynomials() {
        assert_eq!(super::crc(b"123456789", super::GZIP), 0xcbf4_3926);
        assert_eq!(super::crc(b"123456789", super::CASTAGNOLI), 0xe306_9283);
    }
}
