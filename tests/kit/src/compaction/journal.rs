//! What was ever appended, and the making of it.

use std::collections::BTreeMap;

use ottla_codec::compress_batch;
use ottla_log::AppendItem;
use ottla_model::batch::{Attributes, BatchBuilder, BatchHead, BatchSpec, Codec, ControlType};
use ottla_model::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence};
use ottla_model::time::WallMs;

use crate::conformance::{Batch, Random};

/// Idempotent producers that there are.
pub(super) const PRODUCERS: u64 = 3;
/// Keys that there are.
const KEYS: u64 = 9;

/// A record as it was appended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Record {
    pub(super) offset: Offset,
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) timestamp_ms: i64,
}

/// A batch as it was appended.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) batch: Batch,
    pub(super) records: Vec<Record>,
    pub(super) control: Option<ControlType>,
    /// The clock when it was made.
    pub(super) made_ms: i64,
}

/// Every batch that was ever appended, in the order of offsets.
#[derive(Clone, Default, Debug)]
pub(super) struct Journal(pub(super) Vec<Entry>);

/// The latest committed record of each key.
pub(super) type View = BTreeMap<Vec<u8>, Record>;

impl Journal {
    pub(super) fn at(&self, base: Offset) -> Option<&Entry> {
        self.0
            .binary_search_by_key(&base, |entry| entry.batch.head.base_offset)
            .ok()
            .map(|nth| &self.0[nth])
    }

    /// The batches between two offsets.
    pub(super) fn between(&self, start: Offset, end: Offset) -> &[Entry] {
        let from = self
            .0
            .partition_point(|entry| entry.batch.head.base_offset < start);
        let count = self
            .0
            .partition_point(|entry| entry.batch.head.next_offset() <= end);
        &self.0[from.min(count)..count]
    }
}

/// The latest committed record of each key, of batches in the order of offsets, each with its
/// records and what it says as a marker. Also the producers whose transactions have no marker.
pub(super) fn view<'a>(
    batches: impl Iterator<Item = (&'a BatchHead, &'a [Record], Option<ControlType>)>,
) -> (View, Vec<ProducerId>) {
    let mut view = View::new();
    let mut pending: BTreeMap<i64, Vec<Record>> = BTreeMap::new();
    let mut take = |records: Vec<Record>| {
        for record in records {
            let Some(key) = record.key.clone() else {
                continue;
            };
            let newer = view
                .get(&key)
                .is_none_or(|known: &Record| known.offset < record.offset);
            if newer {
                view.insert(key, record);
            }
        }
    };
    for (head, records, control) in batches {
        if head.attributes.is_control() {
            let of_transaction = pending.remove(&head.producer_id.0);
            if control == Some(ControlType::Commit) {
                take(of_transaction.unwrap_or_default());
            }
        } else if head.attributes.is_transactional() {
            let of_transaction = pending.entry(head.producer_id.0).or_default();
            of_transaction.extend_from_slice(records);
        } else {
            take(records.to_vec());
        }
    }
    (view, pending.into_keys().map(ProducerId).collect())
}

/// Makes batches that follow each other.
#[derive(Clone, Debug)]
pub(super) struct Maker {
    pub(super) random: Random,
    pub(super) next: Offset,
    pub(super) epoch: LeaderEpoch,
    sequences: [i32; PRODUCERS as usize],
    /// Producers with a transaction of which there is a batch.
    open: [bool; PRODUCERS as usize],
    made: u64,
}

impl Maker {
    pub(super) fn new(random: Random) -> Maker {
        Maker {
            random,
            next: Offset::ZERO,
            epoch: LeaderEpoch(0),
            sequences: [0; PRODUCERS as usize],
            open: [false; PRODUCERS as usize],
            made: 0,
        }
    }

    /// The next batch: of no producer, of a producer, of a transaction, or a marker.
    pub(super) fn entry(&mut self, now_ms: i64) -> Entry {
        let producer = self.random.below(PRODUCERS) as usize;
        match self.random.below(10) {
            0..4 => self.data(now_ms, None, false),
            4..6 if !self.open[producer] => self.data(now_ms, Some(producer), false),
            4..8 => {
                self.open[producer] = true;
                self.data(now_ms, Some(producer), true)
            }
            _ => self.marker(now_ms, producer),
        }
    }

    fn data(&mut self, now_ms: i64, producer: Option<usize>, transactional: bool) -> Entry {
        let mut spec = BatchSpec::default();
        if transactional {
            spec.attributes = spec.attributes.with_transactional();
        }
        if let Some(producer) = producer {
            spec.producer_id = ProducerId(producer as i64);
            spec.producer_epoch = ProducerEpoch(0);
            spec.base_sequence = Sequence(self.sequences[producer]);
        }
        let mut builder = BatchBuilder::new(spec, now_ms);
        let mut records = Vec::new();
        for nth in 0..=self.random.below(4) {
            self.made += 1;
            let key = match self.random.one_in(15) {
                true => None,
                false => Some(format!("key {}", self.random.below(KEYS)).into_bytes()),
            };
            let value = match self.random.one_in(4) {
                true => None,
                false => Some(
                    format!(
                        "value {} {}",
                        self.made,
                        "-".repeat(self.random.below(90) as usize)
                    )
                    .into_bytes(),
                ),
            };
            let timestamp_ms = now_ms + self.random.below(5) as i64 - 2;
            builder.push(
                key.as_deref(),
                value.as_deref(),
                &[("a header", Some(b"its value"))],
                timestamp_ms,
            );
            records.push(Record {
                offset: self.next + nth as i64,
                key,
                value,
                timestamp_ms,
            });
        }
        if let Some(producer) = producer {
            self.sequences[producer] += records.len() as i32;
        }
        let codec = [
            Codec::None,
            Codec::None,
            Codec::Zstd,
            Codec::Lz4,
            Codec::Gzip,
            Codec::Snappy,
        ];
        let codec = codec[self.random.below(codec.len() as u64) as usize];
        let mut batch = compress_batch(builder.build(), codec);
        if self.random.one_in(5) {
            batch.stamp_append_time(WallMs(now_ms));
            records
                .iter_mut()
                .for_each(|record| record.timestamp_ms = now_ms);
        }
        self.stamped(batch, records, None, now_ms)
    }

    fn marker(&mut self, now_ms: i64, producer: usize) -> Entry {
        self.open[producer] = false;
        let control = match self.random.one_in(2) {
            true => ControlType::Commit,
            false => ControlType::Abort,
        };
        let spec = BatchSpec {
            attributes: Attributes::default().with_transactional().with_control(),
            producer_id: ProducerId(producer as i64),
            producer_epoch: ProducerEpoch(0),
            base_sequence: Sequence::NONE,
        };
        let mut builder = BatchBuilder::new(spec, now_ms);
        builder.push(Some(&control.encode()), Some(&[0; 6]), &[], now_ms);
        self.stamped(builder.build(), Vec::new(), Some(control), now_ms)
    }

    fn stamped(
        &mut self,
        mut batch: ottla_model::batch::VerifiedBatch,
        records: Vec<Record>,
        control: Option<ControlType>,
        made_ms: i64,
    ) -> Entry {
        batch.stamp(self.next, self.epoch);
        let (head, bytes) = batch.freeze();
        self.next = head.next_offset();
        Entry {
            batch: Batch { head, bytes },
            records,
            control,
            made_ms,
        }
    }

    /// Goes on behind what survived.
    pub(super) fn go_on(&mut self, kept: &[Entry], next: Offset) {
        self.next = next;
        self.sequences = [0; PRODUCERS as usize];
        self.open = [false; PRODUCERS as usize];
        for entry in kept {
            let head = &entry.batch.head;
            let Ok(producer) = usize::try_from(head.producer_id.0) else {
                continue;
            };
            if head.attributes.is_control() {
                self.open[producer] = false;
            } else {
                self.open[producer] |= head.attributes.is_transactional();
                self.sequences[producer] = head.base_sequence.0 + head.record_count;
            }
        }
    }
}

/// The batches as steps of an append, behind a roll perhaps.
pub(super) fn items(entries: &[Entry], roll: bool) -> Vec<AppendItem> {
    let mut items = Vec::new();
    if roll {
        items.push(AppendItem::Roll {
            base_offset: entries[0].batch.head.base_offset,
            snapshot: None,
        });
    }
    items.extend(entries.iter().map(|entry| entry.batch.item()));
    items
}
