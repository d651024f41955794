//! Batches by hand, and numbers from a seed.

use bytes::BytesMut;
use ottla_codec::{Rules, TimestampRule, compress};
use ottla_model::batch::{
    Attributes, BATCH_HEADER_BYTES, BatchBuilder, BatchHead, BatchSpec, Codec,
};
use ottla_model::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence};
use ottla_model::time::WallMs;

pub(crate) const CODECS: [Codec; 5] = [
    Codec::None,
    Codec::Gzip,
    Codec::Snappy,
    Codec::Lz4,
    Codec::Zstd,
];

/// The broker's clock in these tests.
pub(crate) const NOW_MS: i64 = 1_700_000_000_000;

/// A topic with Kafka's defaults, asked by a new client.
pub(crate) const RULES: Rules = Rules {
    max_message_bytes: 1_048_588,
    key_required: false,
    timestamp: TimestampRule::CreateTime {
        before_max_ms: i64::MAX,
        after_max_ms: 3_600_000,
        now: WallMs(NOW_MS),
    },
    produce_version: 12,
    decompressed_bytes_max: 8 << 20,
    from_client: true,
};

/// A batch of these bytes as records section, whose header `edit` may falsify. The CRC is right.
pub(crate) fn batch(section: &[u8], count: i32, edit: impl FnOnce(&mut BatchHead)) -> BytesMut {
    let mut bytes = BytesMut::zeroed(BATCH_HEADER_BYTES);
    bytes.extend_from_slice(section);
    let mut head = BatchHead {
        base_offset: Offset(0),
        batch_length: 0,
        leader_epoch: LeaderEpoch::NONE,
        crc: 0,
        attributes: Attributes::default(),
        last_offset_delta: count - 1,
        base_timestamp_ms: NOW_MS,
        max_timestamp_ms: NOW_MS,
        producer_id: ProducerId::NONE,
        producer_epoch: ProducerEpoch::NONE,
        base_sequence: Sequence::NONE,
        record_count: count,
    };
    edit(&mut head);
    head.seal(&mut bytes);
    bytes
}

/// The same batch with its records compressed.
pub(crate) fn compressed(
    codec: Codec,
    section: &[u8],
    count: i32,
    edit: impl FnOnce(&mut BatchHead),
) -> BytesMut {
    batch(&compress(codec, section, None), count, |head| {
        head.attributes = head.attributes.with_codec(codec);
        edit(head);
    })
}

/// The records section of a batch of records with these keys and distances to [`NOW_MS`].
pub(crate) fn section(records: &[(Option<&[u8]>, i64)]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchSpec::default(), NOW_MS);
    for (key, delta_ms) in records {
        builder.push(*key, Some(b"value"), &[], NOW_MS + delta_ms);
    }
    builder.build().bytes()[BATCH_HEADER_BYTES..].to_vec()
}

/// SplitMix64.
pub(crate) struct Random(u64);

impl Random {
    /// From `OTTLA_TEST_SEED`, or a fixed seed; prints which.
    pub(crate) fn new(test: &str) -> Random {
        let seed = std::env::var("OTTLA_TEST_SEED")
            .ok()
            .and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or(0x0771_a5ee_d000_0001);
        println!("{test}: OTTLA_TEST_SEED={seed}");
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// Bytes that compress somewhat: runs, repeats and noise.
    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(length);
        while out.len() < length {
            let piece = self.below(200) + 1;
            match self.below(3) {
                0 => out.extend(std::iter::repeat_n(self.next() as u8, piece)),
                1 if !out.is_empty() => {
                    let from = self.below(out.len());
                    let to = (from + piece).min(out.len());
                    out.extend_from_within(from..to);
                }
                _ => out.extend((0..piece).map(|_| self.next() as u8)),
            }
        }
        out.truncate(length);
        out
    }
}
