//! What gateways see of the broker: one file per capability, and the machines' words that occur in
//! their arguments and answers.

mod fetch;
mod offsets;
mod partition;
mod produce;
mod topics;

pub use fetch::{FetchOutcome, FetchPartition, FetchRefusal, FetchRequest, Fetched};
pub use offsets::{EpochEnd, FoundOffset, OffsetQuery};
pub(crate) use partition::OpenPartition;
pub use partition::{EpochCheck, PartitionRef};
pub use produce::{AppendRefusal, Appended, Burst, Receipt};
pub use topics::CatalogError;

pub use crate::shard::StorageFault;
pub use crate::wiring::{Image, PartitionImage, TopicImage};
pub use ottla_log::Read;
pub use ottla_log::disk::DiskFile;
pub use ottla_machine::catalog::{
    Assignment, CreateTopics, DeletedTopic, NewTopic, Refusal as CatalogRefusal, TopicCreated,
    TopicDefaults, TopicRefusal, TopicSelector,
};
pub use ottla_machine::contract::Wait;
pub use ottla_machine::partition::{InvalidRecord, Isolation, Refusal as PartitionRefusal};
