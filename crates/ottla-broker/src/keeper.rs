//! Opens and removes partitions on behalf of the catalog.

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use ottla_log::store::{LogConfig, LogSpec, LogStore, Recovery};
use ottla_log::{Cleanup, LogFault, RollRule};
use ottla_model::configs::{BrokerSettings, TopicConfig};
use ottla_model::ids::{LeaderEpoch, PartitionIndex};
use ottla_model::names::{TopicName, TopicPartition};
use ottla_model::uuid::Uuid;

use crate::acts::Actor;
use crate::api::{FaultsTold, OpenPartition};
use crate::drive::Driver;
use crate::flows::GroupWork;
use crate::ids::RandomIds;
use crate::metrics::Metrics;
use crate::registry::Registry;
use crate::shard::{ShardOptions, StorageFault};
use crate::wiring::{self, Published, Tenant};

/// Fewer than these are opened in less time than a thread takes to start.
const PARTITIONS_PER_THREAD: usize = 32;

pub(crate) struct Keeper {
    pub(crate) store: Arc<dyn LogStore>,
    pub(crate) registry: Arc<Registry<OpenPartition>>,
    pub(crate) published: Arc<Published>,
    pub(crate) metrics: Metrics,
    pub(crate) settings: BrokerSettings,
    pub(crate) groups: GroupWork,
    pub(crate) driver: Driver,
}

/// The segment rule of a topic.
pub(crate) fn roll_rule(config: &TopicConfig) -> RollRule {
    RollRule {
        segment_bytes: u64::from(config.segment_bytes),
        segment_ms: config.segment_ms,
    }
}

/// Tells a person what opening a log found: silence means that nothing was wrong.
pub(crate) fn report(name: &TopicPartition, recovery: &Recovery) {
    for cut in &recovery.cuts {
        tracing::warn!(
            partition = %name, file = %cut.path.display(), byte = cut.position, bytes = cut.length_bytes,
            offset = cut.from.0, why = cut.why, "cut a torn tail that no sync had covered"
        );
    }
    for damage in &recovery.damage {
        tracing::error!(
            partition = %name, %damage,
            "damaged below the stable mark: left as it is, reads into it fail; restore the file from a copy"
        );
    }
    if let Some(gap) = recovery.gap {
        tracing::warn!(
            partition = %name, from = gap.from.0, to = gap.to.0,
            "offsets skipped: a power loss may have taken records that were seen under them"
        );
    }
}

impl Keeper {
    /// Opens partitions, several at a time if there are many: what an unclean stop left is read here.
    fn open_each(&self, closed: &[&(TopicPartition, LeaderEpoch)]) -> Vec<OpenPartition> {
        let next = AtomicUsize::new(0);
        let open_some = || {
            let mut opened = Vec::new();
            while let Some((name, epoch)) = closed.get(next.fetch_add(1, Ordering::Relaxed)) {
                match self.try_open(name, *epoch) {
                    Ok(open) => opened.extend(open),
                    Err(fault) => {
                        self.metrics.storage_fault();
                        tracing::error!(
                            partition = %name, %fault,
                            "the partition stays closed until the next start; its clients are told to retry"
                        );
                    }
                }
            }
            opened
        };
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let threads = cores.min(closed.len() / PARTITIONS_PER_THREAD);
        thread::scope(|scope| {
            let others: Vec<_> = (1..threads)
                // Where the system gives no more threads, those that there are do the work.
                .filter_map(|_| thread::Builder::new().spawn_scoped(scope, open_some).ok())
                .collect();
            let mut opened = open_some();
            for other in others {
                match other.join() {
                    Ok(others) => opened.extend(others),
                    Err(panic) => resume_unwind(panic),
                }
            }
            opened
        })
    }

    /// `None` if the topic is gone by now: a later act removes what there is of it.
    fn try_open(
        &self,
        name: &TopicPartition,
        epoch: LeaderEpoch,
    ) -> Result<Option<OpenPartition>, LogFault> {
        let image = self.published.image();
        let Some(topic) = image.topic_by_id(name.topic_id) else {
            return Ok(None);
        };
        let cleanup = wiring::cleanup(&name.topic, &topic.config, &self.settings);
        let mut roll = roll_rule(&topic.config);
        if let Cleanup::Compact(rule) = cleanup {
            // Only sealed segments are compacted.
            roll.segment_ms = roll.segment_ms.min(rule.lag_ms_max);
        }
        let spec = LogSpec {
            name: name.clone(),
            config: LogConfig {
                index_interval_bytes: topic.config.index_interval_bytes,
                cleanup,
            },
        };
        let (log, recovery) = self.store.open_log(&spec)?;
        report(name, &recovery);
        log.begin_epoch(epoch)?;
        let options = ShardOptions::new(epoch, roll, Box::new(RandomIds));
        let tenant = Tenant::open(&name.topic, log, options, &self.settings, &self.groups)?;
        Ok(Some(OpenPartition {
            name: name.clone(),
            leader_epoch: epoch,
            tenant,
            faults: FaultsTold::default(),
        }))
    }
}

impl Actor for Keeper {
    fn open(&self, partitions: &[(TopicPartition, LeaderEpoch)]) {
        let mut seen = HashSet::new();
        let closed: Vec<_> = partitions
            .iter()
            .filter(|(name, _)| {
                let is_open = self.registry.get(name.topic_id, name.partition).is_some();
                !is_open && seen.insert((name.topic_id, name.partition))
            })
            .collect();
        let opened = self.open_each(&closed);
        let names: Vec<TopicPartition> = opened.iter().map(|open| open.name.clone()).collect();
        if let Err(fault) = self.store.prepare_appends(&names) {
            tracing::error!(%fault, "the first append to each new partition has to wait for the disk");
        }
        for open in opened {
            let (name, open) = (open.name.clone(), Arc::new(open));
            self.registry
                .insert(name.topic_id, name.partition, Arc::clone(&open));
            // Decides on the settings, and arms the timer for what the log's past wants expired.
            open.tenant.run(&self.driver);
        }
        self.metrics.partitions_open(self.registry.len());
    }

    fn remove(&self, topic: &TopicName, topic_id: Uuid, partitions: &[PartitionIndex]) {
        let mut names = Vec::with_capacity(partitions.len());
        for &partition in partitions {
            if let Some(open) = self.registry.remove(topic_id, partition) {
                open.tenant.close(StorageFault::topic_deleted());
            }
            names.push(TopicPartition {
                topic: topic.clone(),
                topic_id,
                partition,
            });
        }
        if let Err(fault) = self.store.remove_logs(&names) {
            tracing::error!(%topic, %fault, "files of a deleted topic stay until the next start");
        }
        self.metrics.partitions_open(self.registry.len());
    }
}
