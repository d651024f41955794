//! A log as a list of batches: what a store's answers are compared with.

use std::sync::Arc;

use ottla_codec::{Buffer, payload};
use ottla_log::{AppendItem, Log, TimestampHit};
use ottla_model::batch::{TimestampType, records};
use ottla_model::ids::Offset;

use super::batches::{Batch, BatchMaker, Random};

/// What was appended.
#[derive(Default, Debug)]
pub(super) struct Model {
    pub(super) batches: Vec<Batch>,
    /// Base offsets of the segments after the first.
    pub(super) rolls: Vec<Offset>,
}

impl Model {
    /// Appends random batches, with rolls before some.
    pub(super) fn fill(log: &Arc<dyn Log>, seed: u64, appends: usize) -> Model {
        let (mut random, mut maker) = (Random::new(!seed), BatchMaker::new(seed));
        let mut model = Model::default();
        for _ in 0..appends {
            let mut items = Vec::new();
            for _ in 0..=random.below(3) {
                if random.one_in(12) && maker.next > model.last_roll() && !model.batches.is_empty()
                {
                    items.push(AppendItem::Roll {
                        base_offset: maker.next,
                        snapshot: None,
                    });
                    model.rolls.push(maker.next);
                }
                let batch = maker.batch();
                items.push(batch.item());
                model.batches.push(batch);
            }
            log.append(&items).expect("the disk is well");
        }
        assert_eq!(log.marks().written, model.end());
        model
    }

    pub(super) fn end(&self) -> Offset {
        self.batches
            .last()
            .map_or(Offset::ZERO, |batch| batch.head.next_offset())
    }

    fn last_roll(&self) -> Offset {
        self.rolls.last().copied().unwrap_or(Offset::ZERO)
    }

    /// Index of the batch that holds `offset`, or of the next one.
    pub(super) fn batch_of(&self, offset: Offset) -> usize {
        self.batches
            .partition_point(|batch| batch.head.last_offset() < offset)
    }

    /// Index of the segment of an offset.
    pub(super) fn segment_of(&self, offset: Offset) -> usize {
        self.rolls.partition_point(|base| *base <= offset)
    }

    /// Every record: offset, timestamp, epoch as a hit.
    pub(super) fn hits(&self) -> Vec<TimestampHit> {
        let mut hits = Vec::new();
        for batch in &self.batches {
            let head = &batch.head;
            let mut buffer = Buffer::new();
            let section = payload(head, &batch.bytes, 1 << 20, &mut buffer).expect("just built");
            for record in records(section, head.record_count) {
                let record = record.expect("just built");
                let timestamp_ms = match head.attributes.timestamp_type() {
                    TimestampType::LogAppendTime => head.max_timestamp_ms,
                    TimestampType::CreateTime => head.base_timestamp_ms + record.timestamp_delta,
                };
                hits.push(TimestampHit {
                    offset: head.base_offset + i64::from(record.offset_delta),
                    timestamp_ms,
                    leader_epoch: head.leader_epoch,
                });
            }
        }
        hits
    }
}
