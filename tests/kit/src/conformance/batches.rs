//! Batches to append: random in size, time, codec and offsets, yet all legal.

use bytes::Bytes;
use ottla_codec::compress_batch;
use ottla_log::AppendItem;
use ottla_model::batch::{BatchBuilder, BatchHead, BatchSpec, Codec};
use ottla_model::ids::{LeaderEpoch, Offset};
use ottla_model::time::WallMs;

/// Numbers from a seed (SplitMix64).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The same numbers for the same seed.
    #[must_use]
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.number() % end
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// A batch as it lies in a log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Batch {
    /// Its header.
    pub head: BatchHead,
    /// All of it.
    pub bytes: Bytes,
}

impl Batch {
    /// The batch as a step of an append.
    #[must_use]
    pub fn item(&self) -> AppendItem {
        AppendItem::Batch {
            head: self.head,
            bytes: self.bytes.clone(),
        }
    }
}

/// Makes batches whose offsets follow each other.
#[derive(Clone, Debug)]
pub struct BatchMaker {
    random: Random,
    /// Base offset of the next batch.
    pub next: Offset,
    /// Leader epoch of the next batch.
    pub epoch: LeaderEpoch,
    /// Largest size of a record's value, bytes.
    pub value_bytes_max: u64,
}

impl BatchMaker {
    /// Starts at offset 0 in epoch 0.
    #[must_use]
    pub fn new(seed: u64) -> BatchMaker {
        BatchMaker {
            random: Random::new(seed),
            next: Offset::ZERO,
            epoch: LeaderEpoch(0),
            value_bytes_max: 400,
        }
    }

    /// The next batch: one to five records, some of them late or early, some batches compressed or
    /// stamped with the append time.
    pub fn batch(&mut self) -> Batch {
        let random = &mut self.random;
        let time_ms =
            |random: &mut Random| 1_000_000 + i64::try_from(random.below(100_000)).unwrap_or(0);
        let mut builder = BatchBuilder::new(BatchSpec::default(), time_ms(random));
        for _ in 0..=random.below(5) {
            let key = random.number().to_be_bytes();
            let value =
                vec![random.number() as u8; random.below(self.value_bytes_max + 1) as usize];
            builder.push(Some(&key), Some(&value), &[], time_ms(random));
        }
        let codec = [
            Codec::None,
            Codec::None,
            Codec::None,
            Codec::Lz4,
            Codec::Zstd,
        ];
        let codec = codec[random.below(codec.len() as u64) as usize];
        let mut batch = compress_batch(builder.build(), codec);
        if random.one_in(4) {
            batch.stamp_append_time(WallMs(time_ms(random)));
        }
        batch.stamp(self.next, self.epoch);
        let (head, bytes) = batch.freeze();
        self.next = head.next_offset();
        Batch { head, bytes }
    }
}
