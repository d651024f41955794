//! The records of the catalog's log: KRaft's, read into what the catalog means by them.
//!
//! In the log a record has no key, and its value is the framed message
//! (`ottla_model::records::MetadataRecord`). Written in the versions that belong to
//! [`METADATA_VERSION_LEVEL`](super::METADATA_VERSION_LEVEL).

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use ottla_model::ids::{LeaderEpoch, NodeId, PartitionIndex, ProducerId};
use ottla_model::names::TopicName;
use ottla_model::records::MetadataRecord;
use ottla_model::records::metadata as kraft;
use ottla_model::uuid::Uuid;

use super::PartitionImage;
use crate::contract::{KeyPresent, StoredRecord, ValuePresent};

/// `ConfigRecord.resourceType` of a topic (Kafka `ConfigResource.Type`).
const RESOURCE_TOPIC: i8 = 2;

/// `PartitionChangeRecord.leader` of a change that does not concern the leader.
const NO_LEADER_CHANGE: i32 = -2;

/// One record of the catalog.
#[derive(Clone, PartialEq, Debug)]
pub enum CatalogRecord {
    /// A topic, without partitions yet.
    Topic {
        /// Its name.
        name: TopicName,
        /// Its id.
        id: Uuid,
    },
    /// A partition of a topic.
    Partition {
        /// The topic.
        topic_id: Uuid,
        /// The partition. Its leader is its only replica.
        partition: PartitionImage,
    },
    /// A change to a partition.
    PartitionChange {
        /// The topic.
        topic_id: Uuid,
        /// The partition.
        partition: PartitionIndex,
        /// A leader begins an epoch, which may be the leader before.
        leader: Option<NodeId>,
    },
    /// A topic is gone, with its partitions and configs.
    RemoveTopic {
        /// The topic.
        id: Uuid,
    },
    /// A topic sets a config, or no longer.
    TopicConfig {
        /// The topic.
        topic: TopicName,
        /// The config.
        name: String,
        /// Its raw value; `None` is back to the default.
        value: Option<String>,
    },
    /// The level of a feature; 0 is off.
    Feature {
        /// The feature.
        name: String,
        /// The level.
        level: i16,
    },
    /// Producer ids below `next` were handed out.
    ProducerIds {
        /// The node that got them.
        node: NodeId,
        /// Its epoch.
        broker_epoch: i64,
        /// The first that was not.
        next: ProducerId,
    },
    /// A broker takes part.
    Broker(Registration),
    /// A record that a log of Kafka's may hold and that says nothing to us.
    Other(MetadataRecord<'static>),
}

/// How a broker takes part in the cluster.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Registration {
    /// Which broker.
    pub node: NodeId,
    /// Which start of it.
    pub incarnation: Uuid,
    /// Which registration of it: the offset of its record.
    pub epoch: i64,
    /// Where it listens.
    pub endpoints: Vec<Endpoint>,
    /// The feature levels that it can work with.
    pub features: Vec<FeatureRange>,
    /// Where it stands.
    pub rack: Option<String>,
    /// It may not lead yet.
    pub fenced: bool,
    /// The ids of its log directories.
    pub log_dirs: Vec<Uuid>,
}

impl Registration {
    /// Whether the two say the same, but for when they were made.
    pub(super) fn is_like(&self, other: &Registration) -> bool {
        Registration {
            incarnation: other.incarnation,
            epoch: other.epoch,
            ..self.clone()
        } == *other
    }
}

/// An address of a broker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint {
    /// The listener's name.
    pub name: String,
    /// The host.
    pub host: String,
    /// The port.
    pub port: u16,
    /// What is spoken there (Kafka `SecurityProtocol.id`).
    pub security_protocol: i16,
}

/// The levels of a feature that a broker can work with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FeatureRange {
    /// The feature.
    pub name: String,
    /// The lowest level.
    pub level_min: i16,
    /// The highest level.
    pub level_max: i16,
}

impl StoredRecord for CatalogRecord {
    #[allow(clippy::expect_used, reason = "names its invariant")]
    fn encode(&self, _: &mut Vec<u8>, value: &mut Vec<u8>) -> (KeyPresent, ValuePresent) {
        let (record, version) = self.to_kraft();
        record.encode_framed(value, version).expect(
            "invariant: texts of the catalog are below 32 KB, and versions are the build's",
        );
        (false, true)
    }

    fn decode(_: Option<&[u8]>, value: Option<&[u8]>) -> Result<CatalogRecord, String> {
        let value = value.ok_or("a metadata record without a value")?;
        let (record, _) = MetadataRecord::decode_framed(value)
            .map_err(|error| format!("not a metadata record that this build reads: {error}"))?;
        CatalogRecord::from_kraft(record)
    }
}

impl CatalogRecord {
    fn to_kraft(&self) -> (MetadataRecord<'_>, i16) {
        match self {
            CatalogRecord::Topic { name, id } => {
                let record = kraft::TopicRecord {
                    name: name.as_str().into(),
                    topic_id: *id,
                };
                (MetadataRecord::Topic(record), 0)
            }
            CatalogRecord::Partition {
                topic_id,
                partition,
            } => {
                let record = kraft::PartitionRecord {
                    partition_id: partition.index.0,
                    topic_id: *topic_id,
                    replicas: alloc::vec![partition.leader.0],
                    isr: alloc::vec![partition.leader.0],
                    leader: partition.leader.0,
                    leader_epoch: partition.leader_epoch.0,
                    partition_epoch: partition.partition_epoch,
                    directories: alloc::vec![partition.directory],
                    ..Default::default()
                };
                (MetadataRecord::Partition(record), 2)
            }
            CatalogRecord::PartitionChange {
                topic_id,
                partition,
                leader,
            } => {
                let record = kraft::PartitionChangeRecord {
                    partition_id: partition.0,
                    topic_id: *topic_id,
                    leader: leader.map_or(NO_LEADER_CHANGE, |leader| leader.0),
                    ..Default::default()
                };
                (MetadataRecord::PartitionChange(record), 2)
            }
            CatalogRecord::RemoveTopic { id } => {
                let record = kraft::RemoveTopicRecord { topic_id: *id };
                (MetadataRecord::RemoveTopic(record), 0)
            }
            CatalogRecord::TopicConfig { topic, name, value } => {
                let record = kraft::ConfigRecord {
                    resource_type: RESOURCE_TOPIC,
                    resource_name: topic.as_str().into(),
                    name: name.as_str().into(),
                    value: value.as_deref().map(Cow::Borrowed),
                };
                (MetadataRecord::Config(record), 0)
            }
            CatalogRecord::Feature { name, level } => {
                let record = kraft::FeatureLevelRecord {
                    name: name.as_str().into(),
                    feature_level: *level,
                };
                (MetadataRecord::FeatureLevel(record), 0)
            }
            CatalogRecord::ProducerIds {
                node,
                broker_epoch,
                next,
            } => {
                let record = kraft::ProducerIdsRecord {
                    broker_id: node.0,
                    broker_epoch: *broker_epoch,
                    next_producer_id: next.0,
                };
                (MetadataRecord::ProducerIds(record), 0)
            }
            CatalogRecord::Broker(registration) => {
                (MetadataRecord::RegisterBroker(registration.to_kraft()), 4)
            }
            CatalogRecord::Other(record) => (record.clone(), *record.versions().end()),
        }
    }

    fn from_kraft(record: MetadataRecord<'_>) -> Result<CatalogRecord, String> {
        let name_of = |name: &str| {
            TopicName::parse(name).map_err(|error| format!("topic name {name:?}: {error}"))
        };
        Ok(match record {
            MetadataRecord::Topic(record) => CatalogRecord::Topic {
                name: name_of(&record.name)?,
                id: record.topic_id,
            },
            MetadataRecord::Partition(record) => {
                if record.partition_id < 0 {
                    return Err(format!("partition {}", record.partition_id));
                }
                CatalogRecord::Partition {
                    topic_id: record.topic_id,
                    partition: PartitionImage {
                        index: PartitionIndex(record.partition_id),
                        leader: NodeId(record.leader),
                        leader_epoch: LeaderEpoch(record.leader_epoch),
                        partition_epoch: record.partition_epoch,
                        directory: record.directories.first().copied().unwrap_or_default(),
                    },
                }
            }
            MetadataRecord::PartitionChange(record) => CatalogRecord::PartitionChange {
                topic_id: record.topic_id,
                partition: PartitionIndex(record.partition_id),
                leader: (record.leader != NO_LEADER_CHANGE).then_some(NodeId(record.leader)),
            },
            MetadataRecord::RemoveTopic(record) => CatalogRecord::RemoveTopic {
                id: record.topic_id,
            },
            MetadataRecord::Config(record) if record.resource_type == RESOURCE_TOPIC => {
                CatalogRecord::TopicConfig {
                    topic: name_of(&record.resource_name)?,
                    name: record.name.into_owned(),
                    value: record.value.map(Cow::into_owned),
                }
            }
            MetadataRecord::FeatureLevel(record) => CatalogRecord::Feature {
                name: record.name.into_owned(),
                level: record.feature_level,
            },
            MetadataRecord::ProducerIds(record) => CatalogRecord::ProducerIds {
                node: NodeId(record.broker_id),
                broker_epoch: record.broker_epoch,
                next: ProducerId(record.next_producer_id),
            },
            MetadataRecord::RegisterBroker(record) => {
                CatalogRecord::Broker(Registration::from_kraft(record))
            }
            // To apply what was taken back would be wrong, and to hold it back is not written yet.
            MetadataRecord::AbortTransaction(_) => {
                return Err("the metadata log holds an aborted transaction".to_string());
            }
            // To ignore them would open what access rules close, or lose users, quotas and nodes.
            MetadataRecord::FenceBroker(_)
            | MetadataRecord::UnfenceBroker(_)
            | MetadataRecord::DelegationToken(_)
            | MetadataRecord::UserScramCredential(_)
            | MetadataRecord::ClientQuota(_)
            | MetadataRecord::AccessControlEntry(_)
            | MetadataRecord::RemoveAccessControlEntry(_)
            | MetadataRecord::ZkMigrationState(_)
            | MetadataRecord::RemoveUserScramCredential(_)
            | MetadataRecord::RemoveDelegationToken(_)
            | MetadataRecord::RegisterController(_)
            | MetadataRecord::ClearElr(_)
            | MetadataRecord::UnregisterController(_) => {
                let key = record.key();
                return Err(format!(
                    "a metadata record of key {key}, which has no meaning here yet"
                ));
            }
            other => CatalogRecord::Other(other.into_owned()),
        })
    }
}

impl Registration {
    fn to_kraft(&self) -> kraft::RegisterBrokerRecord<'_> {
        kraft::RegisterBrokerRecord {
            broker_id: self.node.0,
            incarnation_id: self.incarnation,
            broker_epoch: self.epoch,
            end_points: self
                .endpoints
                .iter()
                .map(|endpoint| kraft::BrokerEndpoint {
                    name: endpoint.name.as_str().into(),
                    host: endpoint.host.as_str().into(),
                    port: endpoint.port,
                    security_protocol: endpoint.security_protocol,
                })
                .collect(),
            features: self
                .features
                .iter()
                .map(|feature| kraft::BrokerFeature {
                    name: feature.name.as_str().into(),
                    min_supported_version: feature.level_min,
                    max_supported_version: feature.level_max,
                })
                .collect(),
            rack: self.rack.as_deref().map(Cow::Borrowed),
            fenced: self.fenced,
            log_dirs: self.log_dirs.clone(),
            ..Default::default()
        }
    }

    fn from_kraft(record: kraft::RegisterBrokerRecord<'_>) -> Registration {
        Registration {
            node: NodeId(record.broker_id),
            incarnation: record.incarnation_id,
            epoch: record.broker_epoch,
            endpoints: record
                .end_points
                .into_iter()
                .map(|endpoint| Endpoint {
                    name: endpoint.name.into_owned(),
                    host: endpoint.host.into_owned(),
                    port: endpoint.port,
                    security_protocol: endpoint.security_protocol,
                })
                .collect(),
            features: record
                .features
                .into_iter()
                .map(|feature| FeatureRange {
                    name: feature.name.into_owned(),
                    level_min: feature.min_supported_version,
                    level_max: feature.max_supported_version,
                })
                .collect(),
            rack: record.rack.map(Cow::into_owned),
            fenced: record.fenced,
            log_dirs: record.log_dirs,
        }
    }
}
