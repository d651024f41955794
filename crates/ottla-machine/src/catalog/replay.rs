//! Applying records: the one function that makes the machine's state and the published image.
//!
//! The log is believed: what Kafka would not have written (a partition of a topic that is not there)
//! changes nothing.

use alloc::sync::Arc;
use alloc::vec::Vec;

use ottla_model::configs::TopicConfig;
use ottla_model::ids::{LeaderEpoch, ProducerId};
use ottla_model::uuid::Uuid;

use super::{Catalog, CatalogRecord, Effect, Image, Overrides, Soft, TopicImage};

impl Catalog {
    pub(super) fn replay_record(&mut self, record: &CatalogRecord) {
        if let CatalogRecord::RemoveTopic { id } = record
            && let Some(topic) = self.image.topic_by_id(*id)
        {
            self.removed.insert(*id, Effect::remove(topic));
        }
        self.image.apply(record);
    }

    pub(super) fn replay_soft(&mut self, soft: &Soft) {
        match soft {
            Soft::ForgetRemoved(id) => {
                self.removed.remove(id);
            }
        }
    }
}

impl Image {
    /// Applies a record, as it comes from the log.
    pub fn apply(&mut self, record: &CatalogRecord) {
        match record {
            CatalogRecord::Topic { name, id } => {
                let topic = TopicImage {
                    id: *id,
                    name: name.clone(),
                    partitions: Vec::new(),
                    configs: Overrides::new(),
                    config: Arc::clone(&self.defaults),
                };
                self.remove_topic(*id);
                if let Some(old) = self.ids.insert(name.clone(), *id) {
                    self.by_id.remove(&old);
                } else if name.may_collide() {
                    let key = name.collision_key();
                    match self.collisions.get_mut(&key) {
                        Some(names) => names.push(name.clone()),
                        None => {
                            self.collisions.insert(key, alloc::vec![name.clone()]);
                        }
                    }
                }
                self.by_id.insert(*id, Arc::new(topic));
            }
            CatalogRecord::Partition {
                topic_id,
                partition,
            } => {
                if let Some(topic) = self.by_id.get_mut(topic_id) {
                    let topic = Arc::make_mut(topic);
                    match topic.place(partition.index) {
                        Ok(at) => topic.partitions[at] = *partition,
                        Err(at) => topic.partitions.insert(at, *partition),
                    }
                }
            }
            CatalogRecord::PartitionChange {
                topic_id,
                partition,
                leader,
            } => {
                if let Some(topic) = self.by_id.get_mut(topic_id)
                    && let Ok(at) = topic.place(*partition)
                {
                    let partition = &mut Arc::make_mut(topic).partitions[at];
                    // Kafka `PartitionRegistration.merge`: to name a leader is to begin an epoch,
                    // even if it is the same one.
                    if let Some(leader) = leader {
                        partition.leader = *leader;
                        partition.leader_epoch =
                            LeaderEpoch(partition.leader_epoch.0.saturating_add(1));
                    }
                    partition.partition_epoch = partition.partition_epoch.saturating_add(1);
                }
            }
            CatalogRecord::RemoveTopic { id } => self.remove_topic(*id),
            CatalogRecord::TopicConfig { topic, name, value } => {
                if let Some(id) = self.ids.get(topic)
                    && let Some(topic) = self.by_id.get_mut(id)
                {
                    let topic = Arc::make_mut(topic);
                    match value {
                        Some(value) => topic.configs.insert(name.clone(), value.clone()),
                        None => topic.configs.remove(name),
                    };
                    topic.config = resolve(&self.defaults, &topic.configs);
                }
            }
            CatalogRecord::Feature { name, level: 0 } => {
                self.features.remove(name);
            }
            CatalogRecord::Feature { name, level } => {
                self.features.insert(name.clone(), *level);
            }
            CatalogRecord::Broker(registration) => {
                self.brokers.insert(registration.node, registration.clone());
            }
            CatalogRecord::ProducerIds { next, .. } => {
                self.next_producer_id = ProducerId(self.next_producer_id.0.max(next.0));
            }
            CatalogRecord::Other(_) => {}
        }
    }

    fn remove_topic(&mut self, id: Uuid) {
        let Some(topic) = self.by_id.remove(&id) else {
            return;
        };
        self.ids.remove(&topic.name);
        if topic.name.may_collide() {
            let key = topic.name.collision_key();
            if let Some(names) = self.collisions.get_mut(&key) {
                names.retain(|name| *name != topic.name);
                if names.is_empty() {
                    self.collisions.remove(&key);
                }
            }
        }
    }
}

/// What holds for a topic that sets `overrides`. What does not parse, which only a log of someone
/// else can hold, is left out.
pub(super) fn resolve(defaults: &Arc<TopicConfig>, overrides: &Overrides) -> Arc<TopicConfig> {
    if overrides.is_empty() {
        return Arc::clone(defaults);
    }
    let pairs = || {
        overrides
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    };
    let config = TopicConfig::resolve(defaults, pairs()).unwrap_or_else(|_| {
        let mut config = TopicConfig::clone(defaults);
        for (name, value) in pairs() {
            // Refused means unchanged.
            let _ = config.set(name, value);
        }
        config
    });
    Arc::new(config)
}
