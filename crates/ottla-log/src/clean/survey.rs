//! What the batches of a log say of its producers and transactions, when seen in their order.
//!
//! A transaction reaches from a producer's first transactional batch to its next marker. Nothing
//! else is needed to know which batches were aborted, so neither a transaction index nor the machine
//! that lives in the log is asked.

use std::collections::HashMap;

use ottla_model::batch::{BatchHead, ControlType};
use ottla_model::ids::{Offset, ProducerEpoch, ProducerId};

/// What was seen so far.
#[derive(Clone, Default, Debug)]
pub(crate) struct Survey {
    /// First offset and marker of each aborted transaction, oldest first.
    aborted: HashMap<ProducerId, Vec<(Offset, Offset)>>,
    /// First offset of the transaction that has no marker yet.
    open: HashMap<ProducerId, Offset>,
    last: HashMap<ProducerId, Last>,
}

/// The newest of a producer.
#[derive(Clone, Copy, Debug)]
struct Last {
    epoch: ProducerEpoch,
    /// Last offset of the batch that has the last sequence.
    data: Option<Offset>,
    timestamp_ms: i64,
}

impl Survey {
    /// Takes in the next batch; `control` is what its record says, if it is a control batch that has
    /// one.
    pub(crate) fn observe(&mut self, head: &BatchHead, control: Option<ControlType>) {
        let producer = head.producer_id;
        if producer == ProducerId::NONE {
            return;
        }
        if head.attributes.is_control() {
            let first = match control {
                Some(ControlType::Abort | ControlType::Commit) => self.open.remove(&producer),
                _ => None,
            };
            if let (Some(first), Some(ControlType::Abort)) = (first, control) {
                let of_producer = self.aborted.entry(producer).or_default();
                of_producer.push((first, head.last_offset()));
            }
        } else if head.attributes.is_transactional() {
            self.open.entry(producer).or_insert(head.base_offset);
        }
        self.remember(head);
    }

    /// As Kafka's `ProducerStateEntry`: a marker of a newer epoch forgets the sequences.
    fn remember(&mut self, head: &BatchHead) {
        let last = self.last.entry(head.producer_id).or_insert(Last {
            epoch: head.producer_epoch,
            data: None,
            timestamp_ms: head.max_timestamp_ms,
        });
        if last.epoch != head.producer_epoch {
            last.epoch = head.producer_epoch;
            last.data = None;
        }
        if !head.attributes.is_control() {
            last.data = Some(head.last_offset());
        }
        last.timestamp_ms = head.max_timestamp_ms;
    }

    /// Where the oldest transaction without a marker begins.
    pub(crate) fn first_unstable(&self) -> Option<Offset> {
        self.open.values().min().copied()
    }

    /// Whether a data batch belongs to an aborted transaction.
    pub(crate) fn is_aborted(&self, head: &BatchHead) -> bool {
        if !head.attributes.is_transactional() || head.attributes.is_control() {
            return false;
        }
        let Some(aborted) = self.aborted.get(&head.producer_id) else {
            return false;
        };
        let behind = aborted.partition_point(|(_, marker)| *marker < head.base_offset);
        aborted
            .get(behind)
            .is_some_and(|(first, _)| *first <= head.base_offset)
    }

    /// Whether the batch has what its producer's next batch is checked against: the last sequence,
    /// or, after a marker of a newer epoch, that epoch. A producer that was silent for longer than
    /// `expiration_ms` has no next batch.
    pub(crate) fn is_last_of_producer(
        &self,
        head: &BatchHead,
        now_ms: i64,
        expiration_ms: i64,
    ) -> bool {
        let Some(last) = self.last.get(&head.producer_id) else {
            return false;
        };
        if now_ms.saturating_sub(last.timestamp_ms) >= expiration_ms {
            return false;
        }
        match last.data {
            Some(offset) => !head.attributes.is_control() && head.last_offset() == offset,
            None => head.attributes.is_control() && head.producer_epoch == last.epoch,
        }
    }
}
