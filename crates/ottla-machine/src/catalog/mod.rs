//! The machine of the catalog: which topics there are, with which ids, partitions, epochs and configs;
//! the brokers; the features; which producer ids were handed out.
//!
//! Its log is `__cluster_metadata-0`, its records are KRaft's, so Kafka's tools read it. What it knows
//! reaches everyone else as an [`Image`]: the machine holds one, and whoever publishes it builds
//! another from the released records with the same [`Image::apply`].
//!
//! Guarantees: the records of one topic are one batch, so a topic exists with all its partitions and
//! configs or not at all; leader epochs and partition epochs only grow; no producer id is handed out
//! twice; every answer is as durable as the log can make it.
//! Never does: opening or removing partitions. It says so as effects, which are idempotent and
//! repeated for the whole state after a restart ([`Machine::unfinished`]).
//!
//! A removed topic's id is remembered until [`Command::ForgetRemoved`] says that its directories are
//! gone, or until the log no longer holds its removal: a directory with that id may be deleted, one
//! with an id that nobody knows may not.

mod command;
mod cow;
mod create_topic;
mod delete_topic;
mod epochs;
mod image;
mod producer_ids;
mod record;
mod register;
mod replay;
#[cfg(test)]
mod tests;

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::convert::Infallible;

use ottla_model::ids::Offset;
use ottla_model::marks::Marks;
use ottla_model::time::MonoMs;
use ottla_model::uuid::Uuid;

pub use command::{
    Answer, Assignment, Command, CreateTopics, DeletedTopic, Effect, NewTopic, PartitionToOpen,
    ProducerIdBlock, Refusal, RegisterNode, Soft, TopicCreated, TopicDefaults, TopicRefusal,
    TopicSelector,
};
pub use image::{Cluster, Image, PartitionImage, TopicImage};
pub use record::{CatalogRecord, Endpoint, FeatureRange, Registration};

use crate::contract::{Cx, Decision, Event, Machine, Ticket, Wait};

/// The topic that the catalog's log is called after; nobody may create it.
pub const CLUSTER_METADATA_TOPIC: &str = "__cluster_metadata";

/// The feature whose level says which records the log may hold.
pub const METADATA_VERSION: &str = "metadata.version";

/// Level of [`METADATA_VERSION`] that a new catalog gets: 4.3-IV0, the newest that a released Kafka
/// reads (`MetadataVersion.IBP_4_3_IV0`).
pub const METADATA_VERSION_LEVEL: i16 = 30;

/// Most partitions that one request may create (Kafka `MAX_PARTITIONS_PER_BATCH`): bounds a turn and
/// the batch of a topic.
pub const CREATED_PARTITIONS_MAX: usize = 10_000;

/// Producer ids in a block (Kafka `ProducerIdsBlock.PRODUCER_ID_BLOCK_SIZE`).
pub const PRODUCER_ID_BLOCK: i64 = 1000;

/// The machine of the catalog.
#[derive(Default, Debug)]
pub struct Catalog {
    image: Image,
    /// By id, what is left to be removed of topics that the log says are gone.
    removed: BTreeMap<Uuid, Effect>,
}

impl Catalog {
    /// What the catalog knows, logged or about to be: to publish it, wait for what it stands on.
    #[must_use]
    pub fn image(&self) -> &Image {
        &self.image
    }
}

impl Machine for Catalog {
    type Command = Command;
    type Answer = Answer;
    type Refusal = Refusal;
    type Record = CatalogRecord;
    type Soft = Soft;
    type Effect = Effect;
    /// None: the image answers.
    type Query = Infallible;
    type Plan = Infallible;
    /// The state as the records that make it.
    type Snapshot = Vec<CatalogRecord>;

    fn decide(&self, to: Ticket, command: Command, cx: &mut Cx<'_>, out: &mut Decision<Self>) {
        let answer = match command {
            Command::Bootstrap(node) => Ok(self.decide_bootstrap(node, cx, out)),
            Command::CreateTopics(request) => self.decide_create_topics(request, cx, out),
            Command::DeleteTopics(topics) => Ok(self.decide_delete_topics(topics, out)),
            Command::AllocateProducerIds { node } => self.decide_allocate_producer_ids(node, out),
            Command::RaiseLeaderEpochs => Ok(self.decide_raise_leader_epochs(out)),
            Command::ForgetRemoved { topic_id } => Ok(self.decide_forget_removed(topic_id, out)),
        };
        match answer {
            Ok(answer) => out.answer(to, answer, Wait::Durable),
            Err(refusal) => out.refuse(to, refusal, Wait::Durable),
        }
    }

    fn expire(&self, _: &mut Cx<'_>, _: &mut Decision<Self>) {}

    fn deadline(&self) -> Option<MonoMs> {
        None
    }

    fn replay(&mut self, _: Offset, event: Event<'_, Self>) {
        match event {
            // KRaft's control batches (leader changes, snapshot headers) say nothing about the state.
            Event::Batch(_) => {}
            Event::Record(_, record) => self.replay_record(record),
            Event::Soft(soft) => self.replay_soft(soft),
        }
    }

    fn plan(&self, query: &Infallible, _: Marks) -> Result<Infallible, Refusal> {
        match *query {}
    }

    fn unfinished(&self, out: &mut Vec<Effect>) {
        // Removals first: a topic created again under the name of a removed one needs its directory.
        out.extend(self.removed.values().cloned());
        out.extend(self.image.topics().map(|topic| Effect::open(topic)));
    }

    fn snapshot(&self) -> Vec<CatalogRecord> {
        self.image.to_records()
    }

    fn restore(records: Vec<CatalogRecord>) -> Self {
        let mut catalog = Catalog::default();
        for record in &records {
            catalog.replay_record(record);
        }
        catalog
    }

    /// No file: the whole log is replayed at start.
    fn encode_snapshot(_: &Vec<CatalogRecord>) -> Option<Vec<u8>> {
        None
    }

    fn decode_snapshot(_: Offset, _: &[u8]) -> Option<Vec<CatalogRecord>> {
        None
    }
}

/// What a topic sets, by name.
pub type Overrides = BTreeMap<String, String>;
