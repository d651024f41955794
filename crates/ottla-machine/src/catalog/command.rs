//! What the catalog is asked, what it answers, why it refuses, and what it asks of others.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use ottla_model::configs::{ConfigError, TopicConfig};
use ottla_model::ids::{LeaderEpoch, NodeId, PartitionIndex, ProducerId};
use ottla_model::names::TopicName;
use ottla_model::uuid::Uuid;

use super::{
    CLUSTER_METADATA_TOPIC, CREATED_PARTITIONS_MAX, Endpoint, FeatureRange, Overrides, TopicImage,
};

/// What the catalog is asked.
#[derive(Clone, Debug)]
pub enum Command {
    /// At each start: makes an empty catalog one of this node, and tells a known one how the node is
    /// reached now. Writes nothing if all is known.
    Bootstrap(RegisterNode),
    /// Create topics; each succeeds or fails alone.
    CreateTopics(CreateTopics),
    /// Delete topics; each succeeds or fails alone.
    DeleteTopics(Vec<TopicSelector>),
    /// Hand out a block of producer ids.
    AllocateProducerIds {
        /// The node that will use it.
        node: NodeId,
    },
    /// After an unclean stop, before any partition is opened: raises every leader epoch, so that
    /// clients notice records that are gone (KIP-320).
    RaiseLeaderEpochs,
    /// The directories of a removed topic are gone.
    ForgetRemoved {
        /// The topic.
        topic_id: Uuid,
    },
}

/// How this node takes part in its cluster. Texts are below 32 KB each.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RegisterNode {
    /// This node.
    pub node: NodeId,
    /// Where it listens. Clients are told per connection, not from here.
    pub endpoints: Vec<Endpoint>,
    /// `broker.rack`.
    pub rack: Option<String>,
    /// The ids of its log directories, that of new partitions first.
    pub log_dirs: Vec<Uuid>,
    /// The feature levels that it can work with.
    pub features: Vec<FeatureRange>,
    /// Levels that a feature gets if it has none yet, beside
    /// [`METADATA_VERSION`](super::METADATA_VERSION), which is always written first.
    pub finalized: Vec<(String, i16)>,
}

/// Topics to create.
#[derive(Clone, Debug)]
pub struct CreateTopics {
    /// The node that gets the one replica of each partition.
    pub node: NodeId,
    /// The topics; names may repeat, the second one exists then.
    pub topics: Vec<NewTopic>,
    /// What holds where a topic says nothing.
    pub defaults: TopicDefaults,
    /// Judge, and create nothing.
    pub validate_only: bool,
}

/// A topic to create.
#[derive(Clone, Debug)]
pub struct NewTopic {
    /// Its name.
    pub name: TopicName,
    /// Number of partitions, or -1 for the default.
    pub partitions: i32,
    /// Number of replicas, or -1 for the default. More than one becomes one.
    pub replication_factor: i16,
    /// Which brokers hold which partition; empty lets the catalog choose.
    pub assignments: Vec<Assignment>,
    /// What the topic sets; of a name that repeats, the last one counts.
    pub configs: Vec<(String, Option<String>)>,
}

/// Where a partition is to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Assignment {
    /// The partition.
    pub partition: i32,
    /// Its replicas, the preferred leader first.
    pub replicas: Vec<i32>,
}

/// What holds where a new topic says nothing.
#[derive(Clone, PartialEq, Debug)]
pub struct TopicDefaults {
    /// `num.partitions`.
    pub partitions: i32,
    /// `default.replication.factor`.
    pub replication_factor: i16,
    /// What the broker's settings make of a topic that sets nothing.
    pub config: Arc<TopicConfig>,
}

/// How a request names a topic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TopicSelector {
    /// By name, whatever its id is.
    Name(String),
    /// This one incarnation.
    Id(Uuid),
}

/// What the catalog answers.
#[derive(Clone, PartialEq, Debug)]
pub enum Answer {
    /// To [`Command::Bootstrap`].
    Bootstrapped {
        /// Which incarnation of the broker this is.
        broker_epoch: i64,
        /// The catalog was empty.
        first_start: bool,
    },
    /// To [`Command::CreateTopics`], in the order of the request.
    TopicsCreated(Vec<Result<TopicCreated, TopicRefusal>>),
    /// To [`Command::DeleteTopics`], in the order of the request.
    TopicsDeleted(Vec<Result<DeletedTopic, TopicRefusal>>),
    /// To [`Command::AllocateProducerIds`].
    ProducerIds(ProducerIdBlock),
    /// To [`Command::RaiseLeaderEpochs`].
    LeaderEpochsRaised {
        /// How many partitions there are.
        partitions: usize,
    },
    /// To [`Command::ForgetRemoved`].
    RemovedForgotten,
}

/// A topic that was created, or would be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopicCreated {
    /// Its name.
    pub name: TopicName,
    /// Its id. Of a topic that was only judged: as Kafka, one that nobody will see again.
    pub topic_id: Uuid,
    /// Number of partitions.
    pub partitions: i32,
    /// Number of replicas that there are: 1.
    pub replication_factor: i16,
    /// Number of replicas that was asked for, by the request or the defaults.
    pub replication_factor_asked: i16,
    /// What it sets. `BrokerSettings::describe_topic` makes the whole list of it.
    pub configs: Overrides,
}

/// A topic that was deleted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeletedTopic {
    /// Its name.
    pub name: TopicName,
    /// Its id.
    pub topic_id: Uuid,
}

/// Producer ids for one node to hand out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProducerIdBlock {
    /// The first.
    pub first: ProducerId,
    /// How many.
    pub count: i64,
}

/// Why the catalog refuses a whole request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The node is not registered: [`Command::Bootstrap`] comes first (`BROKER_ID_NOT_REGISTERED`).
    NotRegistered(NodeId),
    /// More than [`CREATED_PARTITIONS_MAX`] partitions in one request (`POLICY_VIOLATION`).
    TooManyPartitions,
    /// No block is left (`UNKNOWN_SERVER_ERROR`).
    ProducerIdsExhausted,
}

/// Why the catalog refuses one topic of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TopicRefusal {
    /// There is one of that name (`TOPIC_ALREADY_EXISTS`).
    AlreadyExists(TopicName),
    /// The name differs from that of another topic in `.` and `_` only (`INVALID_TOPIC_EXCEPTION`).
    Collides {
        /// The name.
        name: TopicName,
        /// The other one.
        with: TopicName,
    },
    /// The name is the catalog's own (`INVALID_REQUEST`).
    Prohibited,
    /// No partitions, or fewer (`INVALID_PARTITIONS`).
    InvalidPartitions(i32),
    /// No replicas, or fewer (`INVALID_REPLICATION_FACTOR`).
    InvalidReplicationFactor(i16),
    /// Assignments and a number of partitions or replicas exclude each other (`INVALID_REQUEST`).
    AssignmentsAndCounts,
    /// (`INVALID_REPLICA_ASSIGNMENT`)
    InvalidAssignment(InvalidAssignment),
    /// (`INVALID_CONFIG`)
    InvalidConfig(ConfigError),
    /// There is no topic of that name (`UNKNOWN_TOPIC_OR_PARTITION`).
    UnknownName(String),
    /// There is no topic of that id (`UNKNOWN_TOPIC_ID`).
    UnknownId(Uuid),
}

/// What is wrong with an assignment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InvalidAssignment {
    /// A partition is assigned twice.
    Repeated(i32),
    /// A partition has no replicas.
    NoReplicas(i32),
    /// A broker that is not registered.
    UnknownBroker(i32),
    /// A broker is to hold two replicas of a partition.
    RepeatedBroker(i32),
    /// A partition has more or fewer replicas than the one before.
    Uneven {
        /// Number of replicas of the partition.
        replicas: usize,
        /// Number of replicas of the one before.
        before: usize,
    },
    /// The partitions are not numbered from 0 without a gap.
    Gap,
}

/// Work for the runtime. Idempotent: repeated after each start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// These partitions exist: open what is not open.
    OpenPartitions {
        /// Their topic.
        topic_id: Uuid,
        /// Its name.
        name: TopicName,
        /// The partitions.
        partitions: Vec<PartitionToOpen>,
    },
    /// These partitions are gone: close and delete what is left of them.
    RemovePartitions {
        /// Their topic.
        topic_id: Uuid,
        /// Its name; another topic may have it by now.
        name: TopicName,
        /// The partitions.
        partitions: Vec<PartitionIndex>,
    },
}

/// A partition to open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PartitionToOpen {
    /// Which.
    pub partition: PartitionIndex,
    /// Epoch of its leader, for the records that come.
    pub leader_epoch: LeaderEpoch,
}

impl Effect {
    pub(super) fn open(topic: &TopicImage) -> Effect {
        Effect::OpenPartitions {
            topic_id: topic.id,
            name: topic.name.clone(),
            partitions: topic
                .partitions
                .iter()
                .map(|p| PartitionToOpen {
                    partition: p.index,
                    leader_epoch: p.leader_epoch,
                })
                .collect(),
        }
    }

    pub(super) fn remove(topic: &TopicImage) -> Effect {
        Effect::RemovePartitions {
            topic_id: topic.id,
            name: topic.name.clone(),
            partitions: topic.partitions.iter().map(|p| p.index).collect(),
        }
    }
}

/// A volatile event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Soft {
    /// Nothing is left of a removed topic.
    ForgetRemoved(Uuid),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRegistered(node) => write!(f, "node {node} is not registered"),
            Self::TooManyPartitions => write!(
                f,
                "more than {CREATED_PARTITIONS_MAX} partitions in one request"
            ),
            Self::ProducerIdsExhausted => f.write_str("all producer ids are used up"),
        }
    }
}

impl core::error::Error for Refusal {}

impl fmt::Display for TopicRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadyExists(name) => write!(f, "Topic '{name}' already exists."),
            Self::Collides { name, with } => {
                write!(f, "Topic '{name}' collides with existing topic: {with}")
            }
            Self::Prohibited => write!(
                f,
                "Creation of internal topic {CLUSTER_METADATA_TOPIC} is prohibited."
            ),
            Self::InvalidPartitions(count) => {
                write!(f, "{count} partitions: expected at least 1, or -1 for the default")
            }
            Self::InvalidReplicationFactor(factor) => write!(
                f,
                "replication factor {factor}: expected at least 1, or -1 for the default"
            ),
            Self::AssignmentsAndCounts => f.write_str(
                "with a manual assignment, the number of partitions and the replication factor must be -1",
            ),
            Self::InvalidAssignment(what) => what.fmt(f),
            Self::InvalidConfig(error) => error.fmt(f),
            Self::UnknownName(name) => write!(f, "there is no topic '{name}'"),
            Self::UnknownId(id) => write!(f, "there is no topic with id {id}"),
        }
    }
}

impl core::error::Error for TopicRefusal {}

impl fmt::Display for InvalidAssignment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("manual assignment: ")?;
        match self {
            Self::Repeated(partition) => write!(f, "partition {partition} is there twice"),
            Self::NoReplicas(partition) => write!(f, "partition {partition} has no replicas"),
            Self::UnknownBroker(broker) => write!(f, "broker {broker} is not registered"),
            Self::RepeatedBroker(broker) => {
                write!(f, "broker {broker} is to hold a partition twice")
            }
            Self::Uneven { replicas, before } => write!(
                f,
                "a partition has {replicas} replicas, those before have {before}"
            ),
            Self::Gap => f.write_str("partitions must be numbered from 0 without a gap"),
        }
    }
}
