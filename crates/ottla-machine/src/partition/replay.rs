//! Applying events.
//!
//! After `restore`, batches from before the snapshot come first, oldest first, then those after it.
//! Example: the snapshot at 100 knows producer 7 by its last batch, 90 to 94. Batches of producer 7 at
//! 70, 80 and 90 are replayed: its window becomes 70, 80, 90. A batch of producer 8 at 85, whom the
//! snapshot does not know, was forgotten before the snapshot and stays so. Then the log goes on at 100.

use ottla_model::batch::BatchHead;
use ottla_model::ids::Offset;

use super::producer::is_idempotent;
use super::{Partition, Soft};

impl Partition {
    pub(super) fn replay_batch(&mut self, at: Offset, head: &BatchHead) {
        if at < self.restored_to {
            if is_idempotent(head) {
                self.producers.add_back(at, head);
            }
            return;
        }
        if is_idempotent(head) {
            self.producers.add(at, head);
        }
        self.end = at + (i64::from(head.last_offset_delta) + 1);
    }

    pub(super) fn replay_soft(&mut self, soft: &Soft) {
        match *soft {
            Soft::Clock(now) => self.producers.set_clock(now),
            Soft::Sweep { mono, checks_max } => self.producers.sweep(mono, checks_max),
            Soft::ProducerExpiration { expiration_ms } => {
                self.producers.set_expiration(expiration_ms);
            }
        }
    }
}
