//! Data in, data out: a rig that drives the machine as a shard does, one command per turn.

mod append;
mod expiry;
mod read;
mod replay;

use std::vec::Vec;

use ottla_model::batch::{Attributes, BatchBuilder, BatchHead, BatchSpec, VerifiedBatch};
use ottla_model::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence};
use ottla_model::marks::Marks;
use ottla_model::time::{MonoMs, WallMs};
use ottla_model::uuid::Uuid;

use super::{Answer, Command, Partition, Refusal};
use crate::contract::{
    Cx, Decision, Emit, Entry, Event, Ids, Machine, NoRecord, StoredRecord, Ticket, Wait,
};

/// No partition asks for ids.
struct NoIds;

impl Ids for NoIds {
    fn uuid(&mut self) -> Uuid {
        panic!("a partition needs no ids")
    }
}

/// A partition with its log's headers.
#[derive(Default)]
struct Rig {
    machine: Partition,
    log: Vec<BatchHead>,
    end: Offset,
    log_start: Offset,
    wall: WallMs,
    mono: MonoMs,
    /// Events that were not logged, since the last look.
    soft_count: usize,
}

/// A reply, taken apart.
#[derive(Debug, PartialEq, Eq)]
struct Replied {
    value: Result<Answer, Refusal>,
    /// What has to pass: the machine's word, or the end of the log.
    saw: Offset,
    wait: Wait,
}

impl Rig {
    fn command(&mut self, command: Command) -> Replied {
        let ticket = Ticket(7);
        let mut out = Decision::default();
        self.turn(
            |machine, cx, out| machine.decide(ticket, command, cx, out),
            &mut out,
        );
        assert_eq!(out.replies.len(), 1);
        let reply = out.replies.remove(0);
        assert_eq!(reply.to, ticket);
        Replied {
            value: reply.value,
            saw: reply.saw.unwrap_or(self.end),
            wait: reply.wait,
        }
    }

    fn append(&mut self, batch: VerifiedBatch) -> Result<Answer, Refusal> {
        self.command(append(batch)).value
    }

    fn expire(&mut self) {
        let mut out = Decision::default();
        self.turn(|machine, cx, out| machine.expire(cx, out), &mut out);
        assert!(out.replies.is_empty());
    }

    fn turn(
        &mut self,
        decide: impl FnOnce(&Partition, &mut Cx<'_>, &mut Decision<Partition>),
        out: &mut Decision<Partition>,
    ) {
        let marks = Marks {
            log_start: self.log_start,
            written: self.end,
            durable: self.end,
        };
        let mut cx = Cx {
            end: self.end,
            marks,
            wall: self.wall,
            mono: self.mono,
            ids: &mut NoIds,
        };
        decide(&self.machine, &mut cx, out);
        for emit in out.emits.drain(..) {
            match emit {
                Emit::Logged(Entry::Client(mut batch)) => {
                    batch.stamp(self.end, LeaderEpoch(0));
                    self.machine.replay(self.end, Event::Batch(batch.head()));
                    self.log.push(*batch.head());
                    self.end = batch.head().next_offset();
                }
                Emit::Logged(Entry::Records { .. }) => panic!("a partition has no records"),
                Emit::Volatile(soft) => {
                    self.machine.replay(self.end, Event::Soft(&soft));
                    self.soft_count += 1;
                }
            }
        }
    }
}

fn append(batch: VerifiedBatch) -> Command {
    Command::Append {
        batch,
        wait: Wait::Durable,
        append_time: false,
    }
}

/// A batch of `count` records of an idempotent producer, with timestamp 1000 + `sequence`.
fn batch(id: i64, epoch: i16, sequence: i32, count: i32) -> VerifiedBatch {
    batch_with(Attributes::default(), id, epoch, sequence, count)
}

fn batch_with(
    attributes: Attributes,
    id: i64,
    epoch: i16,
    sequence: i32,
    count: i32,
) -> VerifiedBatch {
    let spec = BatchSpec {
        attributes,
        producer_id: ProducerId(id),
        producer_epoch: ProducerEpoch(epoch),
        base_sequence: Sequence(sequence),
    };
    let timestamp_ms = 1000 + i64::from(sequence);
    let mut builder = BatchBuilder::new(spec, timestamp_ms);
    for _ in 0..count {
        builder.push(None, Some(b"v"), &[], timestamp_ms);
    }
    builder.build()
}

/// A batch of no idempotent producer.
fn plain_batch(count: i32) -> VerifiedBatch {
    batch(-1, -1, -1, count)
}

fn appended(base_offset: i64) -> Result<Answer, Refusal> {
    Ok(Answer::Appended {
        base_offset: Offset(base_offset),
        append_time: None,
        log_start: Offset(0),
        duplicate: false,
    })
}

fn duplicate(base_offset: i64, timestamp_ms: i64) -> Result<Answer, Refusal> {
    Ok(Answer::Appended {
        base_offset: Offset(base_offset),
        append_time: Some(WallMs(timestamp_ms)),
        log_start: Offset(0),
        duplicate: true,
    })
}

fn out_of_order(expected: i32, got: i32) -> Result<Answer, Refusal> {
    Err(Refusal::OutOfOrderSequence {
        expected: Sequence(expected),
        got: Sequence(got),
    })
}

fn old_epoch(current: i16, got: i16) -> Result<Answer, Refusal> {
    Err(Refusal::InvalidProducerEpoch {
        current: ProducerEpoch(current),
        got: ProducerEpoch(got),
    })
}

/// Small and good enough to choose test cases; the seed is printed by who uses it.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).max(1))
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

#[test]
fn a_partition_log_holds_no_records_of_the_brokers_own() {
    assert!(NoRecord::decode(Some(b"k"), Some(b"v")).is_err());
}
