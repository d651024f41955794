//! The producer table as a value, and as Kafka's `.snapshot` file.
//!
//! The file has room for one batch per producer. It also names the coordinator epoch and the open
//! transaction of each producer: none here, as no transaction is ever open.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use ottla_model::ids::{Offset, ProducerEpoch, ProducerId, Sequence};
use ottla_model::records::log as file;
use ottla_model::time::WallMs;

use super::producer::StoredBatch;

/// The state of a partition without its volatile part.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Snapshot {
    /// Everything below this offset is in here.
    pub at: Offset,
    /// By ascending id, each once.
    pub producers: Vec<ProducerEntry>,
}

/// One producer of a [`Snapshot`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProducerEntry {
    /// Who.
    pub id: ProducerId,
    /// Its current incarnation.
    pub epoch: ProducerEpoch,
    /// Largest timestamp of its newest batch, or timestamp of its newest marker.
    pub last_timestamp: WallMs,
    /// Its newest batches, oldest first, all of `epoch`; at most
    /// [`BATCHES_RETAINED`](super::BATCHES_RETAINED).
    pub batches: Vec<StoredBatch>,
}

impl Snapshot {
    pub(super) fn encode(&self) -> Option<Vec<u8>> {
        let entries = self.producers.iter().map(|producer| {
            let last = producer.batches.last();
            file::ProducerEntry {
                producer_id: producer.id.0,
                epoch: producer.epoch.0,
                last_sequence: last.map_or(-1, |b| b.last_sequence.0),
                last_offset: last.map_or(-1, |b| b.last_offset.0),
                offset_delta: last.map_or(0, |b| b.offset_delta),
                timestamp: producer.last_timestamp.0,
                coordinator_epoch: -1,
                current_txn_first_offset: -1,
            }
        });
        let snapshot = file::ProducerSnapshot {
            crc: 0,
            producer_entries: entries.collect(),
        };
        // Two billion producers do not fit a file; without one the log is replayed.
        snapshot.encode_file().ok()
    }

    pub(super) fn decode(at: Offset, bytes: &[u8]) -> Option<Snapshot> {
        let mut producers = BTreeMap::new();
        for entry in file::ProducerSnapshot::decode_file(bytes)? {
            let id = ProducerId(entry.producer_id);
            let batch = (entry.last_offset >= 0).then_some(StoredBatch {
                last_sequence: Sequence(entry.last_sequence),
                last_offset: Offset(entry.last_offset),
                offset_delta: entry.offset_delta,
                max_timestamp: WallMs(entry.timestamp),
            });
            let possible = batch.is_none_or(|b| {
                b.last_offset < at && (0..=b.last_offset.0).contains(&b.offset_delta.into())
            });
            if id <= ProducerId::NONE || !possible {
                return None;
            }
            let producer = ProducerEntry {
                id,
                epoch: ProducerEpoch(entry.epoch),
                last_timestamp: WallMs(entry.timestamp),
                batches: batch.into_iter().collect(),
            };
            if producers.insert(id, producer).is_some() {
                return None;
            }
        }
        Some(Snapshot {
            at,
            producers: producers.into_values().collect(),
        })
    }
}
