//! What gateways see of the broker: one file per capability, and the machines' words that occur in
//! their arguments and answers.

mod consumer_groups;
mod fetch;
mod groups;
mod interest;
mod offsets;
mod partition;
mod produce;
mod topics;

pub use fetch::{FetchAnswer, FetchOutcome, FetchPartition, FetchRefusal, FetchRequest, Fetched};
pub use groups::{GroupError, Session};
pub use interest::Interest;
pub use offsets::{EpochEnd, FoundOffset, OffsetQuery};
pub use partition::{EpochCheck, PartitionRef};
pub(crate) use partition::{FaultsTold, OpenPartition};
pub use produce::{AppendRefusal, Appended, Burst, Receipt};
pub use topics::CatalogError;

pub use crate::flows::{InvalidTopicRegex, check_topic_regex};
pub use crate::shard::StorageFault;
pub use crate::wiring::{Image, PartitionImage, TopicImage, Topics};
pub use ottla_log::Read;
pub use ottla_log::disk::DiskFile;
pub use ottla_machine::catalog::{
    Assignment, CreateTopics, DeletedTopic, NewTopic, Refusal as CatalogRefusal, TopicCreated,
    TopicDefaults, TopicRefusal, TopicSelector,
};
pub use ottla_machine::contract::Wait;
pub use ottla_machine::group::{
    CommitOffsets, CommitPartition, CommitTopic, ConnectionId, ConsumerBeat, ConsumerHeartbeat,
    DeleteOffsets, DescribedConsumer, DescribedConsumerGroup, DescribedGroup, DescribedMember,
    FetchOffsets, FetchTopic, FetchedPartition, FetchedTopic, GroupId, GroupState, GroupType,
    Heartbeat, InstanceId, Join, Joined, Leave, Leaving, ListFilter, ListedGroup, MemberId,
    NamedPartitions, Protocol, Refusal as GroupRefusal, Sync as SyncGroup, Synced,
};
pub use ottla_machine::partition::{InvalidRecord, Isolation, Refusal as PartitionRefusal};
