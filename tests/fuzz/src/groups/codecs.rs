//! The four decompressors, under a limit on their output.

use ottla_codec::{Buffer, DecompressError, compress, decompress};
use ottla_model::batch::Codec;
use ottla_schema::random::{Random, Value};
use twox_hash::XxHash32;

use super::{INPUTS, REFUSED, seen};
use crate::meter::{bounded, metered};
use crate::mutate::mutate;
use crate::{Group, Maker, Seen};

/// Limits on the output. None is so large that the output itself breaks the rule.
const LIMITS: [usize; 6] = [0, 1, 100, 4 << 10, 64 << 10, 256 << 10];

/// What is said of bytes whose first few are no header of the codec.
const IN_FRONT: [&str; 13] = [
    "no gzip magic",
    "the header is cut off",
    "unknown method or flags",
    "the header's checksum differs",
    "no LZ4 frame magic",
    "the frame header is cut off",
    "unknown version, or a dictionary",
    "unknown block size",
    "the frame header's checksum differs",
    "the stream header is cut off",
    "incompatible stream version",
    "no length",
    "no zstd frame",
];

pub(super) fn all() -> Vec<Box<dyn Group>> {
    vec![
        Box::new(Decompressor("gzip", Codec::Gzip)),
        Box::new(Decompressor("snappy", Codec::Snappy)),
        Box::new(Decompressor("lz4", Codec::Lz4)),
        Box::new(Decompressor("zstd", Codec::Zstd)),
    ]
}

/// Input: a byte that says which of [`LIMITS`], then compressed bytes.
struct Decompressor(&'static str, Codec);

impl Group for Decompressor {
    fn name(&self) -> &'static str {
        self.0
    }

    fn variants(&self) -> Vec<String> {
        vec![self.0.into()]
    }

    fn inputs_in_ci(&self) -> u64 {
        INPUTS
    }

    fn maker(&self, _: usize) -> Box<dyn Maker + '_> {
        Box::new(StreamMaker {
            codec: self.1,
            good: Vec::new(),
        })
    }

    fn repair(&self, input: &mut [u8]) {
        if self.1 == Codec::Lz4
            && let Some((_, frame)) = input.split_first_mut()
        {
            seal_lz4(frame);
        }
    }

    fn run(&self, input: &[u8]) -> Result<Seen, String> {
        let Some((selector, bytes)) = input.split_first() else {
            return Ok(REFUSED);
        };
        let bytes_max = LIMITS[usize::from(*selector) % LIMITS.len()];
        let mut out = Buffer::new();
        let (done, peak) = metered(|| decompress(self.1, bytes, bytes_max, &mut out));
        let above = bounded(peak, input)?;
        // The same into a buffer that was used, with room to spare.
        let mut used = Buffer::new();
        decompress(Codec::None, &[0xa5; 9_000], usize::MAX, &mut used)
            .map_err(|error| error.to_string())?;
        let again = decompress(self.1, bytes, bytes_max, &mut used);
        // Where broken data needs more room than there is, zstd notices the one or the other first.
        let same = match self.1 {
            Codec::Zstd => again.is_ok() == done.is_ok(),
            _ => again == done,
        };
        if !same || (done.is_ok() && *used != *out) {
            return Err(format!("{done:?} is {again:?} in a used buffer"));
        }
        match done {
            Ok(()) if out.len() > bytes_max => Err(format!("{} bytes of {bytes_max}", out.len())),
            Ok(()) => Ok(seen(true, above)),
            Err(DecompressError::Corrupt { why, .. }) if IN_FRONT.contains(&why) => Ok(REFUSED),
            Err(_) => Ok(seen(false, above)),
        }
    }
}

/// Compressed bytes with a few lies in them.
struct StreamMaker {
    codec: Codec,
    good: Vec<Value>,
}

const GOOD_KEPT: usize = 64;
const GOOD_RENEWED_ONE_IN: u64 = 50;

impl Maker for StreamMaker {
    fn make(&mut self, dice: &mut Random) -> Vec<u8> {
        if self.good.len() < GOOD_KEPT || dice.one_in(GOOD_RENEWED_ONE_IN) {
            let new = Value {
                bytes: stream(self.codec, dice),
                lengths: Vec::new(),
            };
            if self.good.len() < GOOD_KEPT {
                self.good.push(new);
            } else {
                let at = dice.index(GOOD_KEPT);
                self.good[at] = new;
            }
        }
        let good = dice.pick(&self.good);
        let other = &self.good[dice.index(self.good.len())].bytes;
        let mut bytes = match dice.below(20) {
            0 => good.bytes.clone(),
            // A second stream behind the first.
            1 => [&good.bytes[..], other].concat(),
            _ => mutate(good, other, dice),
        };
        if self.codec == Codec::Lz4 && dice.below(20) > 0 {
            seal_lz4(&mut bytes);
        }
        bytes.insert(0, dice.bits() as u8);
        bytes
    }
}

/// Something compressed well, or not at all.
fn stream(codec: Codec, dice: &mut Random) -> Vec<u8> {
    let bits_max = if dice.one_in(50) { 18 } else { 11 };
    let length = dice.magnitude(bits_max) as usize;
    let period = 1 + dice.index(300);
    let noise = dice.below(4);
    let mut plain: Vec<u8> = Vec::with_capacity(length);
    for at in 0..length {
        let byte = match at.checked_sub(period) {
            Some(before) if dice.below(16) >= noise * noise => plain[before],
            _ => dice.bits() as u8,
        };
        plain.push(byte);
    }
    let level = [None, Some(1), Some(9)][dice.index(3)];
    let packed = compress(codec, &plain, level);
    match codec {
        // One raw block, as most clients but Java's write it.
        Codec::Snappy if dice.one_in(2) && plain.len() < 32 << 10 && packed.len() > 20 => {
            packed[20..].to_vec()
        }
        _ => packed,
    }
}

/// Gives the frame the checksum of its header.
pub(super) fn seal_lz4(frame: &mut [u8]) {
    const CONTENT_SIZE: u8 = 0x08;
    let Some(flags) = frame.get(4) else {
        return;
    };
    let end = if flags & CONTENT_SIZE != 0 { 14 } else { 6 };
    if let Some((head, [checksum, ..])) = frame.split_at_mut_checked(end) {
        *checksum = (XxHash32::oneshot(0, &head[4..]) >> 8) as u8;
    }
}
