//! Reading, with a long poll (KIP-74 limits, min_bytes, max_wait_ms).
//!
//! Every partition is planned and looked up once. If that is not enough bytes, the fetch sleeps until
//! a partition moves or its time is up; a wake plans only the partitions that moved.

use std::sync::Arc;
use std::time::Duration;

use ottla_log::{Read, ReadError};
use ottla_machine::partition::{Isolation, Query, Refusal};
use ottla_model::ids::Offset;

use super::partition::PartitionRef;
use crate::authorize::Permit;
use crate::handle::Broker;
use crate::shard::{PlanError, StorageFault};
use crate::waiters::Waiter;

/// What one fetch asks for.
#[derive(Clone, Debug)]
pub struct FetchRequest {
    /// The partitions, in the order in which they may fill the answer.
    pub partitions: Vec<FetchPartition>,
    /// Answer as soon as there are so many bytes.
    pub bytes_min: usize,
    /// Most bytes in all, but for the first batch (KIP-74).
    pub bytes_max: usize,
    /// How long to wait for `bytes_min`, ms.
    pub wait_ms_max: u64,
    /// Which records of transactions to see.
    pub isolation: Isolation,
}

/// What a fetch asks of one partition.
#[derive(Clone, Debug)]
pub struct FetchPartition {
    /// The partition.
    pub partition: PartitionRef,
    /// Where to read.
    pub offset: Offset,
    /// Most bytes of this partition, but for the first batch of the answer.
    pub bytes_max: usize,
}

/// What one partition had.
#[derive(Clone)]
pub struct Fetched {
    /// Whole batches; may be empty.
    pub read: Read,
    /// First offset that may be read.
    pub log_start: Offset,
    /// End of what readers may see.
    pub high_watermark: Offset,
    /// End of what readers of committed records may see.
    pub last_stable_offset: Offset,
}

/// Why one partition had nothing.
#[derive(Clone, Debug)]
pub enum FetchRefusal {
    /// There is nothing at the offset, and never will be.
    OutOfRange,
    /// The bytes at the offset are damaged.
    Damaged(StorageFault),
    /// The storage failed.
    Fault(StorageFault),
}

/// The answers, in the order of the request.
pub type FetchOutcome = Vec<Result<Fetched, FetchRefusal>>;

impl Broker {
    /// Fetches. Never fails as a whole: each partition has its own answer.
    ///
    /// A partition that cannot be read ends the wait, so that the client hears of it at once.
    pub async fn fetch(&self, _permit: &Permit, request: &FetchRequest) -> FetchOutcome {
        let mut gathered = Gathered::new(request);
        for index in 0..request.partitions.len() {
            gathered.plan(index);
        }
        if gathered.is_enough() || request.wait_ms_max == 0 {
            return gathered.answers;
        }
        let waiter = Waiter::new();
        let register = |index: usize| {
            request.partitions[index]
                .partition
                .0
                .shard()
                .outlet()
                .waiters
                .register(&waiter, index);
        };
        for index in 0..request.partitions.len() {
            register(index);
            // What came between the first look and the registration would wake nobody.
            gathered.plan_if_moved(index);
        }
        let deadline = tokio::time::sleep(Duration::from_millis(request.wait_ms_max));
        tokio::pin!(deadline);
        while !gathered.is_enough() {
            tokio::select! {
                () = &mut deadline => break,
                () = waiter.wait() => {
                    for index in waiter.take_woken() {
                        register(index);
                        gathered.plan(index);
                    }
                }
            }
        }
        gathered.answers
    }
}

struct Gathered<'r> {
    request: &'r FetchRequest,
    answers: FetchOutcome,
    bytes: usize,
    refused: bool,
}

impl<'r> Gathered<'r> {
    fn new(request: &'r FetchRequest) -> Self {
        Gathered {
            request,
            answers: Vec::with_capacity(request.partitions.len()),
            bytes: 0,
            refused: false,
        }
    }

    fn is_enough(&self) -> bool {
        self.refused || self.bytes >= self.request.bytes_min
    }

    /// Plans a partition and looks its bytes up, in place of what it had before.
    fn plan(&mut self, index: usize) {
        let before = self.answers.get(index).map_or(0, bytes_of);
        let others = self.bytes - before;
        let answer = self.look_up(&self.request.partitions[index], others);
        self.refused |= answer.is_err();
        self.bytes = others + bytes_of(&answer);
        match self.answers.get_mut(index) {
            Some(slot) => *slot = answer,
            None => self.answers.push(answer),
        }
    }

    fn plan_if_moved(&mut self, index: usize) {
        let moved = match &self.answers[index] {
            Ok(fetched) => {
                self.request.partitions[index].partition.marks().durable > fetched.high_watermark
            }
            Err(_) => false,
        };
        if moved {
            self.plan(index);
        }
    }

    fn look_up(
        &self,
        asked: &FetchPartition,
        others_bytes: usize,
    ) -> Result<Fetched, FetchRefusal> {
        let shard = asked.partition.0.shard();
        let query = Query::Fetch {
            offset: asked.offset,
            isolation: self.request.isolation,
        };
        let plan = shard.plan(&query).map_err(|error| match error {
            PlanError::Refused(Refusal::OffsetOutOfRange { .. }) => FetchRefusal::OutOfRange,
            PlanError::Refused(other) => {
                FetchRefusal::Fault(StorageFault::closed(&other.to_string()))
            }
            PlanError::Fault(fault) => FetchRefusal::Fault(fault),
        })?;
        let left = self.request.bytes_max.saturating_sub(others_bytes);
        let first = others_bytes == 0;
        let read = if plan.bound <= plan.start || (left == 0 && !first) {
            Read::Empty
        } else {
            shard
                .log()
                .read(plan.start, plan.bound, asked.bytes_max.min(left), first)
                .map_err(refusal)?
        };
        Ok(Fetched {
            read,
            log_start: plan.log_start,
            high_watermark: plan.high_watermark,
            last_stable_offset: plan.last_stable_offset,
        })
    }
}

fn bytes_of(answer: &Result<Fetched, FetchRefusal>) -> usize {
    answer
        .as_ref()
        .map_or(0, |fetched| fetched.read.length_bytes())
}

pub(super) fn refusal(error: ReadError) -> FetchRefusal {
    match error {
        ReadError::OutOfRange => FetchRefusal::OutOfRange,
        ReadError::Fault(fault @ ottla_log::LogFault::Damaged { .. }) => {
            FetchRefusal::Damaged(StorageFault::new(&fault))
        }
        ReadError::Fault(fault) => FetchRefusal::Fault(StorageFault::new(&fault)),
    }
}

// A fetch holds plans and reads across its waits.
const _: fn() = || {
    fn is_send<T: Send>() {}
    is_send::<Arc<Waiter>>();
    is_send::<Gathered<'_>>();
};
