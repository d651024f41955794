//! Park and rebuild, over a disk that holds one append back or fails.
#![allow(clippy::expect_used, reason = "the file is a test, its helpers too")]

use std::sync::Arc;

use ottla_broker::shard::{Outcome, Shard, open_listening};
use ottla_log::{
    CreateRule, Durability, LocalStore, Log, LogConfig, LogSpec, LogStore, StoreOptions,
};
use ottla_machine::contract::{Machine, Wait};
use ottla_machine::partition::{Answer, Command, Isolation, Partition, Query};
use ottla_model::ids::{NodeId, Offset, PartitionIndex};
use ottla_model::names::{TopicName, TopicPartition};
use ottla_model::time::Now;
use ottla_model::uuid::Uuid;
use ottla_sim::cluster::NOW;
use ottla_sim::outlet::Recorder;
use ottla_sim::pair::shard_options;
use ottla_sim::payload::{self, Mark};
use ottla_testkit::sim_disk::{DiskError, Fault, Operation, SimDisk};

type PartitionShard = Shard<Partition, Arc<dyn Log>, Recorder<Partition>>;

fn append(shard: &PartitionShard, request: u64, sequence: u32) {
    let batch = payload::batch(
        Mark {
            producer: 1,
            sequence,
        },
        2,
        true,
        10,
        NOW.wall.0,
    );
    shard.submit(
        request,
        Command::Append {
            batch,
            wait: Wait::Durable,
            append_time: false,
        },
    );
}

/// A partition on an empty simulated disk.
fn partition(disk: &SimDisk) -> (Arc<LocalStore>, Arc<PartitionShard>) {
    let options = StoreOptions::new(NodeId(1), Durability::Synced, Arc::new(|| [7; 16]));
    let (store, _) =
        LocalStore::open(Arc::new(disk.clone()), "/data".as_ref(), options).expect("an empty disk");
    let name = TopicPartition {
        topic: TopicName::parse("held").expect("a topic name"),
        topic_id: Uuid([3; 16]),
        partition: PartitionIndex(0),
    };
    let spec = LogSpec {
        name,
        create: CreateRule::MayCreate,
        config: LogConfig::default(),
    };
    let (log, _) = store.open_log(&spec).expect("a new log");
    let log: Arc<dyn Log> = log;
    let shard =
        open_listening(log, Recorder::default(), shard_options()).expect("an empty log opens");
    (store, shard)
}

/// The state without its volatile part.
fn states_are_equal(shard: &PartitionShard) {
    let rebuilt = shard.rebuilt().expect("the log can be replayed").snapshot();
    assert_eq!(
        shard.inspect(Machine::snapshot),
        rebuilt,
        "live state is rebuilt state"
    );
}

#[test]
fn a_failed_append_faults_all_that_saw_it_and_its_offset_is_given_again() {
    let disk = SimDisk::new();
    let (store, shard) = partition(&disk);

    append(&shard, 0, 0);
    shard.run(NOW);
    store.flush_round();
    assert!(matches!(
        shard.outlet().next(),
        Some((
            0,
            Outcome::Answer(Answer::Appended {
                base_offset: Offset(0),
                ..
            })
        ))
    ));

    // The first append is in the disk's hands, on another thread.
    let held = disk.hold_next(Operation::Write, ".log");
    append(&shard, 1, 2);
    let writer = std::thread::spawn({
        let shard = Arc::clone(&shard);
        move || shard.run(NOW)
    });
    held.wait_arrived();

    // Meanwhile a plan is answered, and a second append is decided and parked.
    let query = Query::Fetch {
        offset: Offset(0),
        isolation: Isolation::ReadUncommitted,
    };
    let plan = shard
        .plan(&query)
        .expect("a plan while an append is held back");
    assert_eq!(plan.bound, Offset(2), "readers see what is durable");
    append(&shard, 2, 4);
    shard.run(NOW);
    let decided = shard.inspect(|machine| machine.snapshot().at);
    assert_eq!(decided, Offset(6), "both are replayed");
    assert!(
        shard.outlet().next().is_none(),
        "nothing leaves before the append"
    );

    // The first one fails, and takes the second with it.
    held.fail(DiskError::Io);
    writer.join().expect("the writer ends");
    for request in [1, 2] {
        match shard.outlet().next() {
            Some((answered, Outcome::Fault(_))) => assert_eq!(answered, request),
            _ => panic!("request {request} gets the storage fault"),
        }
    }
    assert!(shard.outlet().next().is_none());
    states_are_equal(&shard);

    // The next produce gets the offset of the one that failed.
    append(&shard, 3, 2);
    shard.run(NOW);
    store.flush_round();
    assert!(matches!(
        shard.outlet().next(),
        Some((
            3,
            Outcome::Answer(Answer::Appended {
                base_offset: Offset(2),
                duplicate: false,
                ..
            })
        ))
    ));
    states_are_equal(&shard);
}

/// A deadline in the past that no run can meet would keep the timer's thread busy for ever.
#[test]
fn a_closed_shard_with_producers_asks_for_no_timer() {
    let disk = SimDisk::new();
    let (store, shard) = partition(&disk);
    append(&shard, 0, 0);
    shard.run(NOW);
    store.flush_round();
    let expiry = shard.deadline().expect("a producer expires some day");

    disk.inject(Fault::new(Operation::Sync, DiskError::Io).on(".log"));
    append(&shard, 1, 2);
    shard.run(NOW);
    store.flush_round();
    let later = Now {
        mono: expiry + 1,
        ..NOW
    };
    shard.run(later);
    assert_eq!(shard.deadline(), None);
}
