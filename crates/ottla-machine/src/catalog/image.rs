//! What the catalog knows, as a value that is cheap to copy and to look things up in.
//!
//! Guarantees: [`Image::apply`] is total, and the same records in the same order make equal images.
//! Applying a record costs the same however many topics there are, but for the first change to each
//! 256th of the topics after a copy, which copies that part. A partition's record costs its topic's
//! partitions once per copy.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use ottla_model::configs::TopicConfig;
use ottla_model::ids::{LeaderEpoch, NodeId, PartitionIndex, ProducerId};
use ottla_model::names::TopicName;
use ottla_model::uuid::Uuid;

use super::cow::CowMap;
use super::{CatalogRecord, METADATA_VERSION, Overrides, Registration};

/// What the catalog knows.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Image {
    pub(super) cluster: Cluster,
    pub(super) defaults: Arc<TopicConfig>,
    pub(super) by_id: CowMap<Uuid, Arc<TopicImage>>,
    pub(super) ids: CowMap<TopicName, Uuid>,
    /// Names that hold `.` or `_`, by what they are when these two are one.
    pub(super) collisions: CowMap<String, Vec<TopicName>>,
    pub(super) features: BTreeMap<String, i16>,
    pub(super) brokers: BTreeMap<NodeId, Registration>,
    pub(super) next_producer_id: ProducerId,
}

/// Who this is. Comes from `meta.properties`, not from records.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cluster {
    /// The cluster's id: by Kafka's habit a base64url id, but any text will do.
    pub id: Arc<str>,
    /// This node.
    pub node: NodeId,
}

impl Default for Cluster {
    fn default() -> Cluster {
        Cluster {
            id: Arc::from(""),
            node: NodeId(-1),
        }
    }
}

/// One incarnation of a topic.
#[derive(Clone, PartialEq, Debug)]
pub struct TopicImage {
    /// Its id: another topic of that name, later, has another.
    pub id: Uuid,
    /// Its name.
    pub name: TopicName,
    /// By ascending index.
    pub partitions: Vec<PartitionImage>,
    /// What it sets, raw.
    pub configs: Overrides,
    /// What holds for it. Shared by all topics that set nothing.
    pub config: Arc<TopicConfig>,
}

/// A partition. Its one replica is its leader.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PartitionImage {
    /// Which.
    pub index: PartitionIndex,
    /// The node that holds it.
    pub leader: NodeId,
    /// How often the leader changed, or was restarted uncleanly.
    pub leader_epoch: LeaderEpoch,
    /// How often anything about the partition changed.
    pub partition_epoch: i32,
    /// The log directory that holds it.
    pub directory: Uuid,
}

impl TopicImage {
    /// Finds a partition.
    #[must_use]
    pub fn partition(&self, index: PartitionIndex) -> Option<&PartitionImage> {
        // Numbered without gaps, but for a log that someone else wrote.
        let guess = usize::try_from(index.0).ok()?;
        match self.partitions.get(guess) {
            Some(partition) if partition.index == index => Some(partition),
            _ => self.place(index).ok().map(|at| &self.partitions[at]),
        }
    }

    /// Where a partition is, or would be.
    pub(super) fn place(&self, index: PartitionIndex) -> Result<usize, usize> {
        match self.partitions.last() {
            Some(last) if last.index < index => Err(self.partitions.len()),
            _ => self.partitions.binary_search_by_key(&index, |p| p.index),
        }
    }
}

impl Image {
    /// This image as `cluster` sees it, on a broker whose topics have `defaults`. Costs all topics:
    /// done once, at start.
    #[must_use]
    pub fn adopt(&self, cluster: Cluster, defaults: TopicConfig) -> Image {
        let mut image = Image {
            cluster,
            defaults: Arc::new(defaults),
            ..self.clone()
        };
        for topic in image.by_id.values_mut() {
            let config = super::replay::resolve(&image.defaults, &topic.configs);
            Arc::make_mut(topic).config = config;
        }
        image
    }

    /// Who this is.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// What holds for a topic that sets nothing.
    #[must_use]
    pub fn default_config(&self) -> &Arc<TopicConfig> {
        &self.defaults
    }

    /// Finds a topic by name.
    #[must_use]
    pub fn topic(&self, name: &str) -> Option<&Arc<TopicImage>> {
        self.by_id.get(self.ids.get(name)?)
    }

    /// Finds a topic by id.
    #[must_use]
    pub fn topic_by_id(&self, id: Uuid) -> Option<&Arc<TopicImage>> {
        self.by_id.get(&id)
    }

    /// All topics, in an order that depends on their ids alone.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<TopicImage>> {
        self.by_id.values()
    }

    /// Number of topics.
    #[must_use]
    pub fn topic_count(&self) -> usize {
        self.by_id.len()
    }

    /// A topic whose name differs from `name` in `.` and `_` only, or is the same.
    #[must_use]
    pub fn colliding(&self, name: &TopicName) -> Option<&TopicName> {
        if !name.may_collide() {
            return None;
        }
        self.collisions.get(&name.collision_key())?.first()
    }

    /// Finalized features and their levels, by name.
    #[must_use]
    pub fn features(&self) -> &BTreeMap<String, i16> {
        &self.features
    }

    /// Level of `metadata.version`; `None` in an empty catalog.
    #[must_use]
    pub fn metadata_version(&self) -> Option<i16> {
        self.features.get(METADATA_VERSION).copied()
    }

    /// A registered broker.
    #[must_use]
    pub fn broker(&self, node: NodeId) -> Option<&Registration> {
        self.brokers.get(&node)
    }

    /// All registered brokers, by id.
    pub fn brokers(&self) -> impl Iterator<Item = &Registration> {
        self.brokers.values()
    }

    /// First producer id of the next block.
    #[must_use]
    pub fn next_producer_id(&self) -> ProducerId {
        self.next_producer_id
    }

    /// The records that make this image, but for who it is and what the defaults are.
    #[must_use]
    pub fn to_records(&self) -> Vec<CatalogRecord> {
        let mut records = Vec::new();
        let feature = |name: &str, level| CatalogRecord::Feature {
            name: name.into(),
            level,
        };
        // The level that is needed to read the rest comes first.
        records.extend(
            self.metadata_version()
                .map(|level| feature(METADATA_VERSION, level)),
        );
        let others = self
            .features
            .iter()
            .filter(|(name, _)| *name != METADATA_VERSION);
        records.extend(others.map(|(name, level)| feature(name, *level)));
        records.extend(self.brokers.values().cloned().map(CatalogRecord::Broker));
        for topic in self.topics() {
            records.push(CatalogRecord::Topic {
                name: topic.name.clone(),
                id: topic.id,
            });
            for (name, value) in &topic.configs {
                records.push(CatalogRecord::TopicConfig {
                    topic: topic.name.clone(),
                    name: name.clone(),
                    value: Some(value.clone()),
                });
            }
            for partition in &topic.partitions {
                records.push(CatalogRecord::Partition {
                    topic_id: topic.id,
                    partition: *partition,
                });
            }
        }
        if self.next_producer_id > ProducerId(0) {
            records.push(CatalogRecord::ProducerIds {
                node: NodeId(-1),
                broker_epoch: -1,
                next: self.next_producer_id,
            });
        }
        records
    }
}
