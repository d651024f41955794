//! Reading, with a long poll (KIP-74 limits, min_bytes, max_wait_ms).
//!
//! Every partition that is asked for is planned and looked up once. If that is not enough bytes, the
//! fetch sleeps until a partition of its [`Interest`] moves or its time is up; a wake plans only the
//! partitions that moved. An interest that outlives the fetch (a fetch session) remembers which
//! partitions were settled, so that the next fetch asks for the others only.

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use ottla_log::{LogFault, Read, ReadError};
use ottla_machine::partition::{Isolation, Refusal};
use ottla_model::ids::Offset;

use super::interest::Interest;
use super::partition::PartitionRef;
use crate::authorize::Permit;
use crate::handle::Broker;
use crate::shard::{PlanError, StorageFault};

/// What one fetch asks for.
#[derive(Clone, Debug)]
pub struct FetchRequest {
    /// The partitions to look at, in the order in which they may fill the answer. Those that the
    /// interest holds beside them answer only if they move.
    pub partitions: Vec<FetchPartition>,
    /// Answer as soon as there are so many bytes.
    pub bytes_min: usize,
    /// Most bytes in all, but for the first batch (KIP-74).
    pub bytes_max: usize,
    /// How long to wait for `bytes_min`, ms.
    pub wait_ms_max: u64,
    /// Which records of transactions to see.
    pub isolation: Isolation,
    /// The interest outlives this fetch: tell which partitions are settled.
    pub keep: bool,
}

/// What a fetch asks of one partition.
#[derive(Clone, Debug)]
pub struct FetchPartition {
    /// Its key in the interest.
    pub key: u64,
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
    /// The partition was deleted.
    Gone,
    /// The bytes at the offset are damaged.
    Damaged(StorageFault),
    /// The storage failed.
    Fault(StorageFault),
}

/// What became of one partition.
#[derive(Clone)]
pub struct FetchAnswer {
    /// Its key.
    pub key: u64,
    /// What it had.
    pub answer: Result<Fetched, FetchRefusal>,
    /// There is nothing to read, and the interest will know when that changes.
    pub settled: bool,
}

/// The answers: those of the request in its order, then those that moved meanwhile.
pub type FetchOutcome = Vec<FetchAnswer>;

impl Broker {
    /// Fetches. Never fails as a whole: each partition has its own answer.
    ///
    /// A partition that cannot be read ends the wait, so that the client hears of it at once; so does
    /// `hurried`.
    pub async fn fetch(
        &self,
        _permit: &Permit,
        interest: &mut Interest,
        request: &FetchRequest,
        hurried: impl Future<Output = ()> + Send,
    ) -> FetchOutcome {
        let mut gathered = Gathered::new(self, request);
        for asked in &request.partitions {
            interest.keep(asked);
            gathered.plan(asked);
        }
        if !gathered.is_enough() && request.wait_ms_max > 0 {
            for asked in &request.partitions {
                gathered.register(interest, asked.key);
            }
            gathered.wait(interest, hurried).await;
        }
        if request.keep {
            gathered.settle(interest);
        }
        gathered.answers
    }
}

struct Gathered<'r> {
    broker: &'r Broker,
    request: &'r FetchRequest,
    answers: FetchOutcome,
    /// Where in the answers a key is.
    places: HashMap<u64, usize>,
    bytes: usize,
    refused: bool,
}

impl<'r> Gathered<'r> {
    fn new(broker: &'r Broker, request: &'r FetchRequest) -> Self {
        Gathered {
            broker,
            request,
            answers: Vec::with_capacity(request.partitions.len()),
            places: HashMap::with_capacity(request.partitions.len()),
            bytes: 0,
            refused: false,
        }
    }

    fn is_enough(&self) -> bool {
        self.refused || self.bytes >= self.request.bytes_min
    }

    /// Sleeps and plans what moves, until that is enough or the time is up.
    async fn wait(&mut self, interest: &mut Interest, hurried: impl Future<Output = ()> + Send) {
        let deadline = tokio::time::sleep(Duration::from_millis(self.request.wait_ms_max));
        tokio::pin!(deadline, hurried);
        while !self.is_enough() {
            tokio::select! {
                () = &mut deadline => break,
                () = &mut hurried => break,
                () = interest.moves() => {
                    for key in interest.take_moved() {
                        interest.register(key);
                        if let Some(asked) = interest.asked(key) {
                            self.plan_moved(asked);
                        }
                    }
                }
            }
        }
    }

    /// Registers a partition that has an answer; what came between the look and the registration
    /// would wake nobody, so it is looked at again.
    fn register(&mut self, interest: &mut Interest, key: u64) {
        if interest.register(key)
            && let Some(asked) = interest.asked(key)
            && self.has_moved(asked)
        {
            self.plan(asked);
        }
    }

    /// Marks the answers whose partitions have nothing to read, now that their moves are heard of.
    fn settle(&mut self, interest: &mut Interest) {
        for place in 0..self.answers.len() {
            if !self.answers[place].settled {
                continue;
            }
            let key = self.answers[place].key;
            // What moved just now has been told of its move already: it is looked at next time.
            let moved = interest.register(key)
                && interest
                    .asked(key)
                    .is_none_or(|asked| self.has_moved(asked));
            self.answers[place].settled = !moved;
        }
    }

    fn has_moved(&self, asked: &FetchPartition) -> bool {
        let place = self.places.get(&asked.key);
        match place.map(|place| &self.answers[*place].answer) {
            Some(Ok(fetched)) => {
                let marks = asked.partition.marks();
                marks.durable > fetched.high_watermark || marks.log_start > fetched.log_start
            }
            _ => false,
        }
    }

    /// Plans a partition that named itself: because it has more, or because it is gone.
    fn plan_moved(&mut self, asked: &FetchPartition) {
        if self.broker.is_open(&asked.partition) {
            self.plan(asked);
        } else {
            self.put(asked.key, Err(FetchRefusal::Gone), false);
        }
    }

    /// Plans a partition and looks its bytes up, in place of what it had before.
    fn plan(&mut self, asked: &FetchPartition) {
        let others = self.bytes - self.bytes_of(asked.key);
        self.broker.metrics().fetch_planned();
        match self.look_up(asked, others) {
            Ok((fetched, settled)) => self.put(asked.key, Ok(fetched), settled),
            Err(refusal) => self.put(asked.key, Err(refusal), false),
        }
    }

    fn bytes_of(&self, key: u64) -> usize {
        let place = self.places.get(&key);
        place.map_or(0, |place| length_bytes(&self.answers[*place].answer))
    }

    fn put(&mut self, key: u64, answer: Result<Fetched, FetchRefusal>, settled: bool) {
        self.refused |= answer.is_err();
        self.bytes = self.bytes - self.bytes_of(key) + length_bytes(&answer);
        let answer = FetchAnswer {
            key,
            answer,
            settled,
        };
        match self.places.get(&key) {
            Some(place) => self.answers[*place] = answer,
            None => {
                self.places.insert(key, self.answers.len());
                self.answers.push(answer);
            }
        }
    }

    /// What the partition has, and whether that is all that it has.
    fn look_up(
        &self,
        asked: &FetchPartition,
        others_bytes: usize,
    ) -> Result<(Fetched, bool), FetchRefusal> {
        let tenant = &asked.partition.0.tenant;
        let plan = tenant.plan_fetch(asked.offset, self.request.isolation);
        let plan = plan.map_err(|error| match error {
            PlanError::Refused(Refusal::OffsetOutOfRange { .. }) => FetchRefusal::OutOfRange,
            PlanError::Refused(other) => {
                FetchRefusal::Fault(StorageFault::closed(&other.to_string()))
            }
            PlanError::Fault(fault) => self.faulted(&asked.partition, FetchRefusal::Fault(fault)),
        })?;
        let left = self.request.bytes_max.saturating_sub(others_bytes);
        let first = others_bytes == 0;
        let nothing = plan.bound <= plan.start;
        let read = if nothing || (left == 0 && !first) {
            Read::Empty
        } else {
            tenant
                .log()
                .read(plan.start, plan.bound, asked.bytes_max.min(left), first)
                .map_err(|error| match error {
                    ReadError::OutOfRange => FetchRefusal::OutOfRange,
                    ReadError::Fault(fault) => {
                        let told = StorageFault::new(&fault);
                        let refusal = match fault {
                            LogFault::Damaged { .. } => FetchRefusal::Damaged(told),
                            _ => FetchRefusal::Fault(told),
                        };
                        self.faulted(&asked.partition, refusal)
                    }
                })?
        };
        let fetched = Fetched {
            read,
            log_start: plan.log_start,
            high_watermark: plan.high_watermark,
            last_stable_offset: plan.last_stable_offset,
        };
        Ok((fetched, nothing))
    }

    /// A fault as its client hears of it, and a person too: once, however often it is asked for.
    fn faulted(&self, partition: &PartitionRef, refusal: FetchRefusal) -> FetchRefusal {
        if !self.broker.is_open(partition) {
            return FetchRefusal::Gone;
        }
        if let FetchRefusal::Damaged(fault) | FetchRefusal::Fault(fault) = &refusal
            && partition.0.faults.is_new(&fault.to_string())
        {
            self.broker.metrics().storage_fault();
            tracing::error!(
                partition = %partition.name(), %fault,
                "records cannot be read: their clients get an error as long as that is so"
            );
        }
        refusal
    }
}

fn length_bytes(answer: &Result<Fetched, FetchRefusal>) -> usize {
    answer
        .as_ref()
        .map_or(0, |fetched| fetched.read.length_bytes())
}

// A fetch holds its interest, plans and reads across its waits.
const _: fn() = || {
    fn is_send<T: Send>() {}
    is_send::<Interest>();
    is_send::<Gathered<'_>>();
};
