//! What must not cost anything, or only once.
#![allow(clippy::expect_used, reason = "the file is a test, its helpers too")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ottla_broker::shard::{Outcome, Outlet, Shard, open_listening};
use ottla_log::{Durability, LocalStore, Log, LogConfig, LogSpec, LogStore, StoreOptions};
use ottla_machine::catalog::{
    Catalog, CatalogRecord, Command as CatalogCommand, CreateTopics, Effect, NewTopic,
    RegisterNode, TopicDefaults,
};
use ottla_machine::contract::Wait;
use ottla_machine::partition::{Command, Partition};
use ottla_model::configs::TopicConfig;
use ottla_model::ids::{LeaderEpoch, NodeId, Offset, PartitionIndex};
use ottla_model::marks::Marks;
use ottla_model::names::{TopicName, TopicPartition};
use ottla_model::uuid::Uuid;
use ottla_sim::cluster::NOW;
use ottla_sim::outlet::Recorder;
use ottla_sim::pair::shard_options;
use ottla_sim::payload::{self, Mark};
use ottla_testkit::sim_disk::{DiskError, Fault, Operation, SimDisk};

type PartitionShard = Shard<Partition, Recorder<Partition>>;

fn open(disk: &SimDisk) -> (Arc<LocalStore>, Arc<dyn Log>) {
    let options = StoreOptions::new(NodeId(1), Durability::Synced, Arc::new(|| [7; 16]));
    let (store, _) =
        LocalStore::open(Arc::new(disk.clone()), "/data".as_ref(), options).expect("a sound disk");
    let name = TopicPartition {
        topic: TopicName::parse("costs").expect("a topic name"),
        topic_id: Uuid([3; 16]),
        partition: PartitionIndex(0),
    };
    let config = LogConfig::default();
    let (log, _) = store
        .open_log(&LogSpec { name, config })
        .expect("the log opens");
    log.begin_epoch(LeaderEpoch(0)).expect("the disk is well");
    (store, log)
}

fn partition(log: Arc<dyn Log>) -> Arc<PartitionShard> {
    open_listening(log, Recorder::default(), shard_options()).expect("the log can be replayed")
}

fn append(shard: &PartitionShard, request: u64, sequence: u32, value_bytes: usize) {
    let mark = Mark {
        producer: 1,
        sequence,
    };
    shard.submit(
        request,
        Command::Append {
            batch: payload::batch(mark, 1, true, value_bytes, NOW.wall.0),
            wait: Wait::Written,
            append_time: false,
        },
    );
    shard.run(NOW);
}

/// A partition that nobody wrote to is not written at the stop either: there may be thousands.
#[test]
fn a_clean_stop_writes_no_untouched_partition() {
    let disk = SimDisk::new();
    let (store, log) = open(&disk);
    let shard = partition(log);
    append(&shard, 0, 0, 10);
    shard.write_snapshot().expect("the disk is well");
    store.close().expect("the disk is well");
    drop((store, shard));

    let (store, log) = open(&disk);
    let shard = partition(log);
    for operation in [Operation::Write, Operation::Sync, Operation::CreateFile] {
        for path in [".log", ".index", ".timeindex", ".snapshot", ".snapshot.tmp"] {
            disk.inject(Fault::new(operation, DiskError::Io).on(path).lasting());
        }
    }
    let before = disk.operations();
    shard.write_snapshot().expect("nothing is written");
    assert_eq!(disk.operations(), before);
    store.close().expect("nothing of the log is written");
}

/// A disk that is nearly full takes small writes: the machine would be rebuilt for each request.
#[test]
fn a_probe_asks_for_as_much_as_the_append_that_failed() {
    let disk = SimDisk::new();
    let (_store, log) = open(&disk);
    let shard = partition(log);
    disk.inject(Fault::new(Operation::Write, DiskError::NoSpace).on(".log"));
    append(&shard, 0, 0, 300_000);
    assert!(matches!(
        shard.outlet().next(),
        Some((0, Outcome::Fault(_)))
    ));
    let held = disk.hold_next(Operation::Remove, "probe.tmp");
    let prober = std::thread::spawn({
        let shard = Arc::clone(&shard);
        move || append(&shard, 1, 0, 10)
    });
    held.wait_arrived();
    let probe = ottla_log::disk::Disk::open(&disk, "/data/costs-0/probe.tmp".as_ref(), false)
        .and_then(|file| file.len())
        .expect("the probe's file");
    assert!(probe >= 300_000, "{probe} bytes");
    held.release();
    prober.join().expect("the prober ends");
    assert!(matches!(
        shard.outlet().next(),
        Some((1, Outcome::Answer(_)))
    ));
}

#[derive(Default)]
struct Publications(AtomicUsize);

impl Outlet<Catalog> for Publications {
    type Handle = ();
    const WANTS_RECORDS: bool = true;

    fn answer(&self, (): (), _: Outcome<Catalog>) {}
    fn effect(&self, _: Effect) {}
    fn records(&self, _: Vec<(Offset, CatalogRecord)>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
    fn advanced(&self, _: Marks) {}
}

/// Each publication copies the image: a request for many topics is one, though each is a batch.
#[test]
fn a_request_for_many_topics_publishes_one_image() {
    let (store, log) = open(&SimDisk::new());
    let shard: Arc<Shard<Catalog, Publications>> =
        open_listening(log, Publications::default(), shard_options()).expect("an empty log opens");
    let node = RegisterNode {
        node: NodeId(1),
        endpoints: Vec::new(),
        rack: None,
        log_dirs: Vec::new(),
        features: Vec::new(),
        finalized: Vec::new(),
    };
    shard.submit((), CatalogCommand::Bootstrap(node));
    shard.run(NOW);
    while store.flush_round() {}
    let before = shard.outlet().0.load(Ordering::Relaxed);
    let topics = (0..20).map(|nth| NewTopic {
        name: TopicName::parse(&format!("t{nth}")).expect("a topic name"),
        partitions: 1,
        replication_factor: 1,
        assignments: Vec::new(),
        configs: Vec::new(),
    });
    let request = CreateTopics {
        node: NodeId(1),
        topics: topics.collect(),
        defaults: TopicDefaults {
            partitions: 1,
            replication_factor: 1,
            config: Arc::new(TopicConfig::default()),
        },
        validate_only: false,
    };
    shard.submit((), CatalogCommand::CreateTopics(request));
    shard.run(NOW);
    while store.flush_round() {}
    assert_eq!(shard.outlet().0.load(Ordering::Relaxed), before + 1);
    let known = shard.inspect(|catalog| catalog.image().topics().count());
    assert_eq!(known, 20);
}
