//! Which machine lives where: the only file besides `flows/` and `api/` that knows features by name.
//!
//! Turns what machines release into acts of the runtime: an effect into opening or removing
//! partitions, the catalog's records into the next image, a durable mark into awake fetches.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use ottla_machine::catalog::{Catalog, CatalogRecord, Command, Effect, RegisterNode};
use ottla_machine::partition::{self, Effect as NoEffect, Partition};
use ottla_model::configs::BrokerSettings;
use ottla_model::ids::{NodeId, Offset};
use ottla_model::marks::Marks;
use ottla_model::names::TopicPartition;
use ottla_model::uuid::Uuid;
use tokio::sync::oneshot;

use crate::acts::{Act, Acts};
use crate::shard::{Outcome, Outlet, Shard};
use crate::waiters::Waiters;

pub(crate) use ottla_machine::catalog::{CLUSTER_METADATA_TOPIC, Cluster};
pub use ottla_machine::catalog::{Image, PartitionImage, TopicImage};

/// A shard that holds a topic partition.
pub(crate) type PartitionShard = Shard<Partition, PartitionOutlet>;

/// The shard that holds the catalog.
pub(crate) type CatalogShard = Shard<Catalog, CatalogOutlet>;

/// Where a partition's answers go, and the fetches that wait for it.
#[derive(Debug, Default)]
pub(crate) struct PartitionOutlet {
    pub(crate) waiters: Waiters,
}

impl Outlet<Partition> for PartitionOutlet {
    type Handle = oneshot::Sender<Outcome<Partition>>;

    fn answer(&self, to: Self::Handle, outcome: Outcome<Partition>) {
        // Whoever asked may have gone.
        let _ = to.send(outcome);
    }

    fn effect(&self, effect: NoEffect) {
        match effect {}
    }

    fn records(&self, _: Vec<(Offset, ottla_machine::contract::NoRecord)>) {}

    fn advanced(&self, _: Marks) {
        self.waiters.wake_all();
    }
}

/// Where the catalog's answers go, the image that it publishes, and the acts that it asks for.
pub(crate) struct CatalogOutlet {
    published: Arc<ArcSwap<Image>>,
    next: Mutex<Image>,
    acts: Acts,
}

impl CatalogOutlet {
    pub(crate) fn new(published: Arc<ArcSwap<Image>>, acts: Acts) -> CatalogOutlet {
        let next = Mutex::new(Image::clone(&published.load()));
        CatalogOutlet {
            published,
            next,
            acts,
        }
    }

    /// Starts over from the state as rebuilt at start.
    pub(crate) fn publish(&self, image: Image) {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        self.published.store(Arc::new(image.clone()));
        *next = image;
    }
}

impl Outlet<Catalog> for CatalogOutlet {
    type Handle = oneshot::Sender<Outcome<Catalog>>;

    const WANTS_RECORDS: bool = true;

    fn answer(&self, to: Self::Handle, outcome: Outcome<Catalog>) {
        let _ = to.send(outcome);
    }

    fn effect(&self, effect: Effect) {
        self.acts.order(act(effect));
    }

    fn records(&self, records: Vec<(Offset, CatalogRecord)>) {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, record) in &records {
            next.apply(record);
        }
        self.published.store(Arc::new(next.clone()));
    }

    fn advanced(&self, _: Marks) {}
}

/// An effect of the catalog as an act of the runtime.
pub(crate) fn act(effect: Effect) -> Act {
    match effect {
        Effect::OpenPartitions {
            topic_id,
            name,
            partitions,
        } => {
            let named = |partition| TopicPartition {
                topic: name.clone(),
                topic_id,
                partition,
            };
            let partitions = partitions.iter();
            Act::Open(
                partitions
                    .map(|p| (named(p.partition), p.leader_epoch))
                    .collect(),
            )
        }
        Effect::RemovePartitions {
            topic_id,
            name,
            partitions,
        } => Act::Remove {
            topic: name,
            topic_id,
            partitions,
        },
    }
}

/// What the catalog is told when an effect is done, so that it keeps it no longer.
pub(crate) fn done_with(effect: &Effect) -> Option<Command> {
    match effect {
        Effect::OpenPartitions { .. } => None,
        Effect::RemovePartitions { topic_id, .. } => Some(Command::ForgetRemoved {
            topic_id: *topic_id,
        }),
    }
}

/// What the catalog is told at each start, in order.
pub(crate) fn start_commands(node: NodeId, directory: Uuid, unclean: bool) -> Vec<Command> {
    let mut commands = vec![Command::Bootstrap(RegisterNode {
        node,
        endpoints: Vec::new(),
        rack: None,
        log_dirs: vec![directory],
        features: Vec::new(),
        finalized: Vec::new(),
    })];
    if unclean {
        commands.push(Command::RaiseLeaderEpochs);
    }
    commands
}

/// Leaves with a partition that was just opened what its machine has to know of the broker's settings.
pub(crate) fn tune(shard: &PartitionShard, settings: &BrokerSettings) {
    let expiration_ms = settings
        .number("producer.id.expiration.ms")
        .and_then(|ms| u64::try_from(ms).ok());
    if let Some(expiration_ms) =
        expiration_ms.filter(|ms| *ms != partition::PRODUCER_EXPIRATION_MS_DEFAULT)
    {
        // Nobody waits for the answer: the setting is volatile and cannot be refused.
        let (handle, _) = oneshot::channel();
        shard.submit(
            handle,
            partition::Command::SetProducerExpiration { expiration_ms },
        );
    }
}
