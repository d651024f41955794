//! Finding offsets: by position, by time, by leader epoch (ListOffsets, OffsetForLeaderEpoch).

use std::sync::Arc;

use ottla_log::{Log, LogFault, TimestampHit};
use ottla_machine::partition::{Answer, Command};
use ottla_model::ids::{LeaderEpoch, Offset};
use tokio::sync::oneshot;

use super::partition::PartitionRef;
use crate::authorize::Permit;
use crate::handle::Broker;
use crate::shard::{Outcome, StorageFault};
use crate::wiring::{Asker, Tenant};

/// What is looked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OffsetQuery {
    /// The end: answered once all that is written by now is durable.
    Latest,
    /// The first offset that may be read.
    Earliest,
    /// The first record of this time or later.
    AtOrAfter(i64),
    /// The first record with the largest timestamp (KIP-734).
    MaxTimestamp,
}

/// What was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FoundOffset {
    /// The offset.
    pub offset: Offset,
    /// The record's timestamp, where a record was looked for.
    pub timestamp_ms: Option<i64>,
    /// Epoch of the record, or the latest one for the end.
    pub leader_epoch: Option<LeaderEpoch>,
}

/// The end of an epoch (KIP-101).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EpochEnd {
    /// The largest epoch at or below the asked one.
    pub leader_epoch: LeaderEpoch,
    /// The offset after its last record.
    pub end: Offset,
}

impl Broker {
    /// Looks for an offset; `None` if no record is as late as asked.
    ///
    /// # Errors
    /// The storage's fault.
    pub async fn find_offset(
        &self,
        _permit: &Permit,
        partition: &PartitionRef,
        query: OffsetQuery,
    ) -> Result<Option<FoundOffset>, StorageFault> {
        match query {
            OffsetQuery::Latest => self.latest(partition).await.map(Some),
            OffsetQuery::Earliest => {
                let offset = partition.marks().log_start;
                let leader_epoch = partition.0.tenant.log().epoch_at(offset);
                Ok(Some(FoundOffset {
                    offset,
                    timestamp_ms: None,
                    leader_epoch,
                }))
            }
            OffsetQuery::AtOrAfter(timestamp_ms) => {
                self.search(partition, move |log, bound| {
                    let hit = log.find_timestamp(timestamp_ms, bound)?;
                    Ok(hit.map(FoundOffset::from))
                })
                .await
            }
            OffsetQuery::MaxTimestamp => {
                self.search(partition, |log, bound| {
                    Ok(log.max_timestamp(bound)?.map(FoundOffset::from))
                })
                .await
            }
        }
    }

    /// Where segments start, newest first, none above what readers may see: at most `count_max`, from
    /// the newest one whose records are all of `latest_ms` or earlier, or the newest of all.
    ///
    /// # Errors
    /// The storage's fault.
    pub async fn segment_starts(
        &self,
        _permit: &Permit,
        partition: &PartitionRef,
        latest_ms: Option<i64>,
        count_max: usize,
    ) -> Result<Vec<Offset>, StorageFault> {
        self.search(partition, move |log, bound| {
            let mut starts = log.segment_starts(latest_ms, count_max)?;
            starts.retain(|start| *start <= bound);
            Ok(starts)
        })
        .await
    }

    /// The end of an epoch; `None` if the partition knows none so new.
    #[must_use]
    pub fn epoch_end(
        &self,
        _permit: &Permit,
        partition: &PartitionRef,
        epoch: LeaderEpoch,
    ) -> Option<EpochEnd> {
        let (leader_epoch, end) = partition.0.tenant.log().epoch_end(epoch)?;
        Some(EpochEnd { leader_epoch, end })
    }

    async fn latest(&self, partition: &PartitionRef) -> Result<FoundOffset, StorageFault> {
        let offset = match &partition.0.tenant {
            Tenant::Data(driven) => {
                let (sender, answer) = oneshot::channel();
                driven.shard().submit(Asker::of(sender), Command::Latest);
                self.driver().run(driven);
                match answer.await {
                    Ok(Outcome::Answer(Answer::Latest { offset })) => offset,
                    Ok(Outcome::Fault(fault)) => return Err(fault),
                    _ => return Err(StorageFault::closed("the partition was closed")),
                }
            }
            // Nobody appends to it and asks for its own record.
            Tenant::Groups(driven) => driven.shard().readable_marks()?.durable,
        };
        Ok(FoundOffset {
            offset,
            timestamp_ms: None,
            leader_epoch: partition.0.tenant.log().epoch_at(offset),
        })
    }

    /// A search may read a segment's batches from the disk, so it leaves the network's threads.
    async fn search<F, T>(&self, partition: &PartitionRef, find: F) -> Result<T, StorageFault>
    where
        F: FnOnce(&dyn Log, Offset) -> Result<T, LogFault> + Send + 'static,
        T: Send + 'static,
    {
        let bound = partition.marks().durable;
        let log = Arc::clone(partition.0.tenant.log());
        match tokio::task::spawn_blocking(move || find(&*log, bound)).await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(fault)) => Err(StorageFault::new(&fault)),
            Err(_) => Err(StorageFault::closed("the search was cancelled")),
        }
    }
}

impl From<TimestampHit> for FoundOffset {
    fn from(hit: TimestampHit) -> FoundOffset {
        FoundOffset {
            offset: hit.offset,
            timestamp_ms: Some(hit.timestamp_ms),
            leader_epoch: Some(hit.leader_epoch),
        }
    }
}
