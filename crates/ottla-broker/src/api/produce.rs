//! Appending clients' batches.
//!
//! Submitting and running are two steps, so that all Produce requests of one read of a connection
//! become one write per partition: a gateway opens a [`Burst`], submits every batch, runs the burst
//! once, and awaits the receipts in request order.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use ottla_machine::contract::Wait;
use ottla_machine::partition::{Answer, Command, Partition, Refusal};
use ottla_model::batch::VerifiedBatch;
use ottla_model::ids::Offset;
use ottla_model::time::WallMs;
use tokio::sync::oneshot;

use super::partition::{OpenPartition, PartitionRef};
use crate::authorize::Permit;
use crate::backlog::Charge;
use crate::handle::Broker;
use crate::shard::{Outcome, StorageFault};
use crate::wiring::{Asker, Tenant};

/// Where a batch went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Appended {
    /// Offset of its first record; of the original for a recognised retry.
    pub base_offset: Offset,
    /// The broker's time, for topics that stamp it.
    pub append_time: Option<WallMs>,
    /// First offset that may be read.
    pub log_start: Offset,
}

/// Why a batch was not appended.
#[derive(Clone, Debug)]
pub enum AppendRefusal {
    /// The partition's machine said no.
    Refused(Refusal),
    /// The storage failed: the batch may or may not be there after a restart.
    Fault(StorageFault),
}

/// The promise of an answer to one append.
#[must_use = "an append whose receipt is dropped is never answered"]
pub struct Receipt(oneshot::Receiver<Outcome<Partition>>);

impl Future for Receipt {
    type Output = Result<Appended, AppendRefusal>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0)
            .poll(cx)
            .map(|received| match received {
                Ok(Outcome::Answer(Answer::Appended {
                    base_offset,
                    append_time,
                    log_start,
                    ..
                })) => Ok(Appended {
                    base_offset,
                    append_time,
                    log_start,
                }),
                Ok(Outcome::Refusal(refusal)) => Err(AppendRefusal::Refused(refusal)),
                Ok(Outcome::Fault(fault)) => Err(AppendRefusal::Fault(fault)),
                // The partition answers an append with `Appended`, and drops no handle unanswered while
                // it is open.
                Ok(Outcome::Answer(_)) | Err(_) => Err(AppendRefusal::Fault(StorageFault::closed(
                    "the partition was closed",
                ))),
            })
    }
}

/// Appends that are submitted and not yet run.
#[must_use = "a burst that is not run appends nothing"]
pub struct Burst<'b> {
    broker: &'b Broker,
    touched: Vec<Arc<OpenPartition>>,
    charge: Arc<Charge>,
    bytes: usize,
}

impl Broker {
    /// Opens a burst of appends.
    pub fn burst(&self) -> Burst<'_> {
        Burst {
            broker: self,
            touched: Vec::new(),
            charge: self.driver().appends().backlog().open(),
            bytes: 0,
        }
    }

    /// True if the disk keeps up: who finds no room submits nothing until there is [some](Self::append_room),
    /// or tells its client to come again.
    #[must_use]
    pub fn has_append_room(&self) -> bool {
        self.driver().appends().backlog().has_room()
    }

    /// Waits until [`has_append_room`](Self::has_append_room).
    pub async fn append_room(&self) {
        self.driver().appends().backlog().room().await;
    }
}

impl Burst<'_> {
    /// Submits a batch. `append_time` asks for the broker's time in the batch
    /// (`message.timestamp.type=LogAppendTime`).
    pub fn append(
        &mut self,
        _permit: &Permit,
        partition: &PartitionRef,
        batch: VerifiedBatch,
        wait: Wait,
        append_time: bool,
    ) -> Receipt {
        let (sender, receipt) = oneshot::channel();
        let partition = &partition.0;
        let Tenant::Data(driven) = &partition.tenant else {
            // The receipt finds its sender gone: closed to records. Gateways ask before.
            return Receipt(receipt);
        };
        let handle = Asker::of(sender).charged(&self.charge);
        self.bytes += batch.bytes().len();
        self.broker
            .metrics()
            .appended(batch.bytes().len(), batch.head().record_count);
        driven.shard().submit(
            handle,
            Command::Append {
                batch,
                wait,
                append_time,
            },
        );
        let last = self.touched.last();
        if !last.is_some_and(|last| Arc::ptr_eq(last, partition)) {
            self.touched.push(Arc::clone(partition));
        }
        Receipt(receipt)
    }

    /// Runs every partition that the burst touched, once.
    pub fn run(mut self) {
        self.charge.add(self.bytes);
        self.touched.sort_unstable_by_key(Arc::as_ptr);
        self.touched.dedup_by(|one, other| Arc::ptr_eq(one, other));
        let shards = self
            .touched
            .iter()
            .filter_map(|partition| match &partition.tenant {
                Tenant::Data(driven) => Some(driven),
                Tenant::Groups(_) => None,
            });
        self.charge.as_own(|| self.broker.driver().run_all(shards));
    }
}
