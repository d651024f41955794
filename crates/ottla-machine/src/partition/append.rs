//! Deciding on an append, and on the passing of time.

use ottla_model::batch::VerifiedBatch;
use ottla_model::time::Now;

use super::producer::{Conflict, Verdict, is_idempotent};
use super::{Answer, InvalidRecord, Partition, Refusal, Soft};
use crate::contract::{Cx, Decision, Emit, Entry, Reply, Ticket, Wait};
use ottla_model::batch::BatchHead;
use ottla_model::ids::{Offset, Sequence};

/// Producers looked at in one turn when many are to be forgotten: bounds the turn.
const SWEEP_CHECKS_MAX: usize = 1024;

impl Partition {
    pub(super) fn decide_append(
        &self,
        to: Ticket,
        mut batch: VerifiedBatch,
        wait: Wait,
        append_time: bool,
        cx: &mut Cx<'_>,
        out: &mut Decision<Self>,
    ) {
        if let Err(refusal) = check_batch(batch.head()) {
            // Says nothing about the log, so it waits for nothing.
            out.refuse(to, refusal, Wait::None);
            return;
        }
        if is_idempotent(batch.head()) {
            match self.producers.judge(batch.head()) {
                Ok(Verdict::Next) => {}
                Ok(Verdict::Duplicate(original)) => {
                    out.replies.push(Reply {
                        to,
                        value: Ok(Answer::Appended {
                            base_offset: original.base_offset(),
                            append_time: Some(original.max_timestamp),
                            log_start: cx.marks.log_start,
                            duplicate: true,
                        }),
                        saw: Some(original.last_offset.next()),
                        wait,
                    });
                    return;
                }
                Err(Conflict { refusal, saw }) => {
                    out.replies.push(Reply {
                        to,
                        value: Err(refusal),
                        saw,
                        wait,
                    });
                    return;
                }
            }
            if self.producers.clock_is_due(cx.mono) {
                out.emits.push(Emit::Volatile(Soft::Clock(now(cx))));
            }
        }
        if append_time {
            batch.stamp_append_time(cx.wall);
        }
        out.emits.push(Emit::Logged(Entry::Client(batch)));
        out.answer(
            to,
            Answer::Appended {
                base_offset: cx.end,
                append_time: append_time.then_some(cx.wall),
                log_start: cx.marks.log_start,
                duplicate: false,
            },
            wait,
        );
    }

    pub(super) fn decide_producer_expiration(
        &self,
        to: Ticket,
        expiration_ms: u64,
        out: &mut Decision<Self>,
    ) {
        out.emits.push(Emit::Volatile(Soft::ProducerExpiration {
            expiration_ms: expiration_ms.max(1),
        }));
        out.replies.push(Reply {
            to,
            value: Ok(Answer::ProducerExpirationSet),
            saw: Some(Offset::ZERO),
            wait: Wait::None,
        });
    }

    pub(super) fn decide_expire(&self, cx: &mut Cx<'_>, out: &mut Decision<Self>) {
        if self.producers.clock_is_due(cx.mono) {
            out.emits.push(Emit::Volatile(Soft::Clock(now(cx))));
        }
        if self.producers.sweep_is_due(cx.mono) {
            out.emits.push(Emit::Volatile(Soft::Sweep {
                mono: cx.mono,
                checks_max: SWEEP_CHECKS_MAX,
            }));
        }
    }
}

/// What can be said of a batch without knowing its producer (Kafka `LogValidator.validateBatch`; the
/// rest of it needs the bytes and was done with them).
fn check_batch(head: &BatchHead) -> Result<(), Refusal> {
    if head.attributes.is_control() {
        return Err(Refusal::InvalidRecord(InvalidRecord::ControlBatch));
    }
    if is_idempotent(head) && head.base_sequence < Sequence(0) {
        return Err(Refusal::InvalidRecord(InvalidRecord::NoSequence(
            head.base_sequence,
        )));
    }
    if head.attributes.is_transactional() {
        return Err(Refusal::NoOpenTransaction);
    }
    Ok(())
}

fn now(cx: &Cx<'_>) -> Now {
    Now {
        wall: cx.wall,
        mono: cx.mono,
    }
}
