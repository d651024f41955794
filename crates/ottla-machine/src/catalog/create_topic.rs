//! Creating topics (Kafka `ReplicationControlManager.createTopics`), on one node.
//!
//! Kafka refuses a replication factor that the brokers at hand cannot give. Here more than one becomes
//! one, so that a compose file written for three brokers runs; the answer tells what was asked.
//! Two new topics of one request whose names collide: Kafka creates both, here the second is refused,
//! as it would be in a request of its own.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use ottla_model::configs::{ConfigError, TopicConfig};
use ottla_model::ids::{LeaderEpoch, NodeId, PartitionIndex};
use ottla_model::names::TopicName;
use ottla_model::uuid::Uuid;

use super::command::InvalidAssignment;
use super::{
    Answer, Assignment, CLUSTER_METADATA_TOPIC, CREATED_PARTITIONS_MAX, Catalog, CatalogRecord,
    CreateTopics, Effect, NewTopic, Overrides, PartitionImage, PartitionToOpen, Refusal,
    TopicCreated, TopicDefaults, TopicRefusal,
};
use crate::contract::{Cx, Decision};

/// The directory of a partition whose node registered none (Kafka `DirectoryId.UNASSIGNED`).
const DIRECTORY_UNASSIGNED: Uuid = Uuid([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);

/// What is known of a topic before it has an id.
struct Judged {
    partitions: i32,
    replication_factor_asked: i16,
    configs: Overrides,
}

impl Catalog {
    pub(super) fn decide_create_topics(
        &self,
        request: CreateTopics,
        cx: &mut Cx<'_>,
        out: &mut Decision<Self>,
    ) -> Result<Answer, Refusal> {
        let CreateTopics {
            node,
            topics,
            defaults,
            validate_only,
        } = request;
        let Some(registration) = self.image.broker(node) else {
            return Err(Refusal::NotRegistered(node));
        };
        check_total(&topics, &defaults)?;
        let directory = registration
            .log_dirs
            .first()
            .copied()
            .unwrap_or(DIRECTORY_UNASSIGNED);

        let mut accepted = Accepted::default();
        let mut results = Vec::with_capacity(topics.len());
        for topic in topics {
            let judged = match self.judge(&topic, &defaults, &accepted) {
                Ok(judged) => judged,
                Err(refusal) => {
                    results.push(Err(refusal));
                    continue;
                }
            };
            accepted.add(&topic.name);
            let topic_id = cx.ids.uuid();
            let partition = |index| PartitionImage {
                index: PartitionIndex(index),
                leader: node,
                leader_epoch: LeaderEpoch(0),
                partition_epoch: 0,
                directory,
            };
            if !validate_only {
                out.log(records(&topic.name, topic_id, &judged, partition));
                out.effects.push(Effect::OpenPartitions {
                    topic_id,
                    name: topic.name.clone(),
                    partitions: (0..judged.partitions)
                        .map(|index| PartitionToOpen {
                            partition: PartitionIndex(index),
                            leader_epoch: LeaderEpoch(0),
                        })
                        .collect(),
                });
            }
            results.push(Ok(TopicCreated {
                name: topic.name,
                topic_id,
                partitions: judged.partitions,
                replication_factor: 1,
                replication_factor_asked: judged.replication_factor_asked,
                configs: judged.configs,
            }));
        }
        Ok(Answer::TopicsCreated(results))
    }

    fn judge(
        &self,
        topic: &NewTopic,
        defaults: &TopicDefaults,
        accepted: &Accepted,
    ) -> Result<Judged, TopicRefusal> {
        let name = &topic.name;
        if &**name == CLUSTER_METADATA_TOPIC {
            return Err(TopicRefusal::Prohibited);
        }
        if self.image.topic(name).is_some() || accepted.names.contains(name) {
            return Err(TopicRefusal::AlreadyExists(name.clone()));
        }
        let colliding = self
            .image
            .colliding(name)
            .or_else(|| accepted.colliding(name));
        if let Some(with) = colliding {
            return Err(TopicRefusal::Collides {
                name: name.clone(),
                with: with.clone(),
            });
        }
        let configs =
            check_configs(&topic.configs, &defaults.config).map_err(TopicRefusal::InvalidConfig)?;
        let (partitions, replication_factor_asked) = if topic.assignments.is_empty() {
            check_counts(topic, defaults)?
        } else {
            self.check_assignments(topic)?
        };
        Ok(Judged {
            partitions,
            replication_factor_asked,
            configs,
        })
    }

    fn check_assignments(&self, topic: &NewTopic) -> Result<(i32, i16), TopicRefusal> {
        if topic.partitions != -1 || topic.replication_factor != -1 {
            return Err(TopicRefusal::AssignmentsAndCounts);
        }
        let mut seen = BTreeSet::new();
        let mut before = None;
        for assignment in &topic.assignments {
            self.check_assignment(assignment, &mut seen, before)
                .map_err(TopicRefusal::InvalidAssignment)?;
            before = Some(assignment.replicas.len());
        }
        // Distinct and as many as the last one says: without a gap.
        let count = topic.assignments.len() as i64;
        if seen.first() != Some(&0) || seen.last().map(|last| i64::from(*last) + 1) != Some(count) {
            return Err(TopicRefusal::InvalidAssignment(InvalidAssignment::Gap));
        }
        // The request's total was bounded, and replicas are distinct registered brokers.
        let fit = |n: usize| i16::try_from(n).unwrap_or(i16::MAX);
        Ok((
            fit(topic.assignments.len()).into(),
            fit(before.unwrap_or(1)),
        ))
    }

    fn check_assignment(
        &self,
        assignment: &Assignment,
        seen: &mut BTreeSet<i32>,
        before: Option<usize>,
    ) -> Result<(), InvalidAssignment> {
        let Assignment {
            partition,
            replicas,
        } = assignment;
        if !seen.insert(*partition) {
            return Err(InvalidAssignment::Repeated(*partition));
        }
        if replicas.is_empty() {
            return Err(InvalidAssignment::NoReplicas(*partition));
        }
        let mut sorted = replicas.clone();
        sorted.sort_unstable();
        for (i, broker) in sorted.iter().enumerate() {
            if self.image.broker(NodeId(*broker)).is_none() {
                return Err(InvalidAssignment::UnknownBroker(*broker));
            }
            if i > 0 && sorted[i - 1] == *broker {
                return Err(InvalidAssignment::RepeatedBroker(*broker));
            }
        }
        match before {
            Some(before) if before != replicas.len() => Err(InvalidAssignment::Uneven {
                replicas: replicas.len(),
                before,
            }),
            _ => Ok(()),
        }
    }
}

/// The topics that this request creates already: the state does not show them yet.
#[derive(Default)]
struct Accepted {
    names: BTreeSet<TopicName>,
    by_collision_key: BTreeMap<String, TopicName>,
}

impl Accepted {
    fn add(&mut self, name: &TopicName) {
        if name.may_collide() {
            self.by_collision_key
                .insert(name.collision_key(), name.clone());
        }
        self.names.insert(name.clone());
    }

    fn colliding(&self, name: &TopicName) -> Option<&TopicName> {
        if name.may_collide() {
            self.by_collision_key.get(&name.collision_key())
        } else {
            None
        }
    }
}

fn check_total(topics: &[NewTopic], defaults: &TopicDefaults) -> Result<(), Refusal> {
    let mut total = 0;
    for topic in topics {
        total += if !topic.assignments.is_empty() {
            topic.assignments.len()
        } else {
            let count = if topic.partitions == -1 {
                defaults.partitions
            } else {
                topic.partitions
            };
            // What is negative is refused topic by topic.
            usize::try_from(count).unwrap_or(0)
        };
        if total > CREATED_PARTITIONS_MAX {
            return Err(Refusal::TooManyPartitions);
        }
    }
    Ok(())
}

fn check_counts(topic: &NewTopic, defaults: &TopicDefaults) -> Result<(i32, i16), TopicRefusal> {
    let factor = match topic.replication_factor {
        -1 => defaults.replication_factor,
        factor => factor,
    };
    if factor < 1 {
        return Err(TopicRefusal::InvalidReplicationFactor(factor));
    }
    let partitions = match topic.partitions {
        -1 => defaults.partitions,
        partitions => partitions,
    };
    if partitions < 1 {
        return Err(TopicRefusal::InvalidPartitions(partitions));
    }
    Ok((partitions, factor))
}

fn check_configs(
    configs: &[(String, Option<String>)],
    defaults: &TopicConfig,
) -> Result<Overrides, ConfigError> {
    let mut overrides = Overrides::new();
    for (name, value) in configs {
        let Some(value) = value else {
            return Err(ConfigError::null(name));
        };
        overrides.insert(name.clone(), value.clone());
    }
    let pairs = overrides
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    TopicConfig::resolve(defaults, pairs)?;
    Ok(overrides)
}

/// The topic, then its configs, then its partitions, as Kafka orders them.
fn records(
    name: &TopicName,
    topic_id: Uuid,
    judged: &Judged,
    partition: impl Fn(i32) -> PartitionImage,
) -> Vec<CatalogRecord> {
    let mut records = alloc::vec![CatalogRecord::Topic {
        name: name.clone(),
        id: topic_id
    }];
    records.extend(
        judged
            .configs
            .iter()
            .map(|(config, value)| CatalogRecord::TopicConfig {
                topic: name.clone(),
                name: config.clone(),
                value: Some(value.clone()),
            }),
    );
    records.extend(
        (0..judged.partitions).map(|index| CatalogRecord::Partition {
            topic_id,
            partition: partition(index),
        }),
    );
    records
}
