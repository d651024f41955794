//! A broker without threads: the store, the catalog's shard and one shard per partition over a
//! simulated disk, started the way the broker starts.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use ottla_broker::shard::{Outcome, Shard, ShardOptions, open_listening};
use ottla_log::store::{LogConfig, LogSpec, LogStore};
use ottla_log::{Durability, LocalStore, OpenError, StoreOptions};
use ottla_log::{Log, LogFault, RollRule};
use ottla_machine::catalog::{
    Answer, Catalog, Command, CreateTopics, NewTopic, RegisterNode, TopicDefaults, TopicSelector,
};
use ottla_machine::contract::Ids;
use ottla_machine::partition::Partition;
use ottla_model::configs::TopicConfig;
use ottla_model::ids::{LeaderEpoch, NodeId, PartitionIndex};
use ottla_model::names::{TopicName, TopicPartition};
use ottla_model::time::{MonoMs, Now, WallMs};
use ottla_model::uuid::Uuid;
use ottla_testkit::sim_disk::SimDisk;

use crate::outlet::Recorder;
use crate::random::Random;

/// A shard with a partition, or with the catalog.
pub type SimShard<M> = Shard<M, Recorder<M>>;

/// A fault that is planted on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Planted {
    /// None.
    Nothing,
    /// The durable mark moves before the sync.
    #[cfg(feature = "planted")]
    AckBeforeSync,
    /// Directories are not synced.
    #[cfg(feature = "planted")]
    SkipDirSync,
}

/// The broker without threads.
pub struct Cluster {
    /// Its store.
    pub store: Arc<LocalStore>,
    /// The catalog.
    pub catalog: Arc<SimShard<Catalog>>,
    /// By topic id, the topic's name and its only partition.
    pub partitions: BTreeMap<Uuid, (TopicName, Arc<SimShard<Partition>>)>,
    next_request: u64,
}

/// Why a start failed.
#[derive(Debug)]
pub enum BootError {
    /// The store.
    Store(OpenError),
    /// A log.
    Log(LogFault),
    /// The catalog gave no answer: the disk has died.
    NoAnswer,
}

impl From<LogFault> for BootError {
    fn from(fault: LogFault) -> Self {
        BootError::Log(fault)
    }
}

/// A time for everything that happens.
pub const NOW: Now = Now {
    wall: WallMs(1_700_000_000_000),
    mono: MonoMs(1),
};

struct DicedIds(Random);

impl Ids for DicedIds {
    fn uuid(&mut self) -> Uuid {
        Uuid::from_random(random_bytes(&mut self.0))
    }
}

fn random_bytes(dice: &mut Random) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&dice.bits().to_be_bytes());
    bytes[8..].copy_from_slice(&dice.bits().to_be_bytes());
    bytes
}

fn options(seed: u64, epoch: LeaderEpoch) -> ShardOptions {
    let roll = RollRule {
        segment_bytes: 2048,
        segment_ms: 1_000_000,
    };
    ShardOptions::new(epoch, roll, Box::new(DicedIds(Random::new(seed))))
}

fn store_options(seed: u64, durability: Durability, planted: Planted) -> StoreOptions {
    let dice = std::sync::Mutex::new(Random::new(seed));
    let random = Arc::new(move || {
        random_bytes(&mut dice.lock().expect("no panic while the dice are locked"))
    });
    #[allow(unused_mut, reason = "a plant changes them")]
    let mut options = StoreOptions::new(NodeId(1), durability, random);
    match planted {
        Planted::Nothing => {}
        #[cfg(feature = "planted")]
        Planted::AckBeforeSync => options.plant = ottla_log::Plant::AckBeforeSync,
        #[cfg(feature = "planted")]
        Planted::SkipDirSync => options.plant = ottla_log::Plant::SkipDirSync,
    }
    // One after the other: which file is synced first must depend on the seed alone.
    options.sync_threads = 1;
    options
}

impl Cluster {
    /// Starts over what the disk holds.
    ///
    /// # Errors
    /// See [`BootError`].
    pub fn boot(
        disk: &SimDisk,
        durability: Durability,
        planted: Planted,
        seed: u64,
    ) -> Result<Cluster, BootError> {
        let disk = Arc::new(disk.clone());
        let (store, report) = LocalStore::open(
            disk,
            Path::new("/data"),
            store_options(seed, durability, planted),
        )
        .map_err(BootError::Store)?;
        let name = TopicPartition {
            topic: TopicName::parse("__cluster_metadata").expect("a topic name"),
            topic_id: Uuid::METADATA_TOPIC,
            partition: PartitionIndex(0),
        };
        let (log, recovery) = open(&store, name)?;
        assert!(
            recovery.damage.is_empty(),
            "a crash damages nothing below the stable mark: {recovery:?}"
        );
        log.begin_epoch(LeaderEpoch(1))?;
        let catalog = open_listening(log, Recorder::default(), options(seed ^ 1, LeaderEpoch(1)))?;
        let mut cluster = Cluster {
            store,
            catalog,
            partitions: BTreeMap::new(),
            next_request: 0,
        };
        let node = RegisterNode {
            node: NodeId(1),
            endpoints: Vec::new(),
            rack: None,
            log_dirs: report.directory_id.into_iter().collect(),
            features: Vec::new(),
            finalized: Vec::new(),
        };
        cluster
            .ask(Command::Bootstrap(node))
            .ok_or(BootError::NoAnswer)?;
        if !report.clean {
            cluster
                .ask(Command::RaiseLeaderEpochs)
                .ok_or(BootError::NoAnswer)?;
        }
        cluster.open_partitions()?;
        // What recovery kept above the stable mark becomes visible with the first round of syncs.
        cluster.store.flush_round();
        Ok(cluster)
    }

    /// Asks the catalog, syncing until it answers; `None` if it cannot.
    pub fn ask(&mut self, command: Command) -> Option<Answer> {
        self.next_request += 1;
        self.catalog.submit(self.next_request, command);
        self.catalog.run(NOW);
        for _ in 0..4 {
            if let Some((_, outcome)) = self.catalog.outlet().next() {
                return match outcome {
                    Outcome::Answer(answer) => Some(answer),
                    Outcome::Refusal(refusal) => panic!("the catalog refused: {refusal}"),
                    Outcome::Fault(_) => None,
                };
            }
            self.store.flush_round();
        }
        None
    }

    /// Creates a topic with one partition; `None` if the disk has died.
    pub fn create(&mut self, name: &str) -> Option<Uuid> {
        let topic = NewTopic {
            name: TopicName::parse(name).expect("a topic name"),
            partitions: 1,
            replication_factor: 1,
            assignments: Vec::new(),
            configs: Vec::new(),
        };
        let config = Arc::new(TopicConfig::default());
        let defaults = TopicDefaults {
            partitions: 1,
            replication_factor: 1,
            config,
        };
        let request = CreateTopics {
            node: NodeId(1),
            topics: vec![topic],
            defaults,
            validate_only: false,
        };
        let Answer::TopicsCreated(created) = self.ask(Command::CreateTopics(request))? else {
            panic!("CreateTopics was answered with something else");
        };
        let id = created[0].as_ref().expect("the topic is new").topic_id;
        self.open_partitions().ok()?;
        Some(id)
    }

    /// Deletes a topic; `None` if the disk has died.
    pub fn delete(&mut self, id: Uuid) -> Option<()> {
        self.ask(Command::DeleteTopics(vec![TopicSelector::Id(id)]))?;
        let (topic, shard) = self.partitions.remove(&id).expect("the topic is open");
        shard.close(ottla_broker::shard::StorageFault::closed(
            "the topic was deleted",
        ));
        self.store
            .remove_log(&TopicPartition {
                topic,
                topic_id: id,
                partition: PartitionIndex(0),
            })
            .ok()
    }

    fn open_partitions(&mut self) -> Result<(), BootError> {
        let image = self.catalog.inspect(|catalog| catalog.image().clone());
        let mut opened = Vec::new();
        for topic in image.topics() {
            if self.partitions.contains_key(&topic.id) {
                continue;
            }
            let epoch = topic.partitions[0].leader_epoch;
            let name = TopicPartition {
                topic: topic.name.clone(),
                topic_id: topic.id,
                partition: PartitionIndex(0),
            };
            let (log, recovery) = open(&self.store, name.clone())?;
            opened.push(name);
            assert!(
                recovery.damage.is_empty(),
                "a crash damages nothing below the stable mark: {recovery:?}"
            );
            log.begin_epoch(epoch)?;
            let shard = open_listening(
                log,
                Recorder::default(),
                options(topic.id.0[0].into(), epoch),
            )?;
            self.partitions
                .insert(topic.id, (topic.name.clone(), shard));
        }
        self.store.prepare_appends(&opened)?;
        Ok(())
    }
}

fn open(
    store: &LocalStore,
    name: TopicPartition,
) -> Result<(Arc<dyn Log>, ottla_log::store::Recovery), LogFault> {
    let config = LogConfig {
        index_interval_bytes: 512,
        ..LogConfig::default()
    };
    let (log, recovery) = store.open_log(&LogSpec { name, config })?;
    Ok((log, recovery))
}
