//! Park and rebuild, over a disk that holds one append back or fails.
#![allow(clippy::expect_used, reason = "the file is a test, its helpers too")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use ottla_broker::shard::{
    Outcome, Outlet, PlanError, Shard, ShardOptions, StorageFault, open_listening,
};
use ottla_log::{
    Durability, LocalStore, Log, LogConfig, LogFault, LogSpec, LogStore, Read, ReadError,
    StoreOptions,
};
use ottla_machine::contract::{Machine, Wait};
use ottla_machine::partition::{Answer, Command, Isolation, Partition, Query};
use ottla_model::ids::{NodeId, Offset, PartitionIndex};
use ottla_model::marks::Marks;
use ottla_model::names::{TopicName, TopicPartition};
use ottla_model::time::Now;
use ottla_model::uuid::Uuid;
use ottla_sim::cluster::NOW;
use ottla_sim::outlet::Recorder;
use ottla_sim::pair::shard_options;
use ottla_sim::payload::{self, Mark};
use ottla_testkit::sim_disk::{DiskError, Fault, Operation, SimDisk};

type PartitionShard = Shard<Partition, Recorder<Partition>>;

fn append<O: Outlet<Partition, Handle = u64>>(
    shard: &Shard<Partition, O>,
    request: u64,
    sequence: u32,
) {
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
    let (store, log) = log(disk);
    (store, shard(log, shard_options()))
}

fn shard(log: Arc<dyn Log>, options: ShardOptions) -> Arc<PartitionShard> {
    open_listening(log, Recorder::default(), options).expect("the log opens")
}

fn log(disk: &SimDisk) -> (Arc<LocalStore>, Arc<dyn Log>) {
    let options = StoreOptions::new(NodeId(1), Durability::Synced, Arc::new(|| [7; 16]));
    let (store, _) =
        LocalStore::open(Arc::new(disk.clone()), "/data".as_ref(), options).expect("a sound disk");
    let name = TopicPartition {
        topic: TopicName::parse("held").expect("a topic name"),
        topic_id: Uuid([3; 16]),
        partition: PartitionIndex(0),
    };
    let spec = LogSpec {
        name,
        config: LogConfig::default(),
    };
    let (log, _) = store.open_log(&spec).expect("a new log");
    (store, log)
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

/// A killed broker leaves records that only a sync makes visible. Its failure must reach a shard that
/// was opened after it, or whoever asks for the end waits for ever.
#[test]
fn a_sync_that_failed_before_the_shard_was_there_ends_who_waits() {
    let disk = SimDisk::new();
    let (store, before) = partition(&disk);
    append(&before, 0, 0);
    before.run(NOW);
    drop((store, before));

    let disk = disk.kill_image();
    let (store, log) = log(&disk);
    disk.inject(Fault::new(Operation::Sync, DiskError::Io).on(".log"));
    store.flush_round();
    let shard = shard(log, shard_options());
    shard.submit(1, Command::Latest);
    shard.run(NOW);
    assert!(matches!(
        shard.outlet().next(),
        Some((1, Outcome::Fault(_)))
    ));
}

/// Commands that came while more than a turn takes were waiting would keep their clients waiting.
#[test]
fn deleting_a_topic_answers_more_commands_than_one_turn_decides() {
    let (_store, shard) = partition(&SimDisk::new());
    let count = 3 * shard_options().turn_commands_max as u64;
    for request in 0..count {
        append(&shard, request, 0);
    }
    shard.close(StorageFault::closed("the topic was deleted"));
    for request in 0..count {
        assert!(
            matches!(shard.outlet().next(), Some((to, Outcome::Fault(_))) if to == request),
            "{request}"
        );
    }
}

/// A fetch that waits for a topic looks once more when the topic is deleted, and is told.
#[test]
fn a_deleted_topic_gives_no_more_plans_and_wakes_who_waits() {
    let (store, shard) = partition(&SimDisk::new());
    append(&shard, 0, 0);
    shard.run(NOW);
    store.flush_round();
    let woken = shard.outlet().advances();
    shard.close(StorageFault::closed("the topic was deleted"));
    assert_eq!(shard.outlet().advances(), woken + 1);
    let query = Query::Fetch {
        offset: Offset(0),
        isolation: Isolation::ReadUncommitted,
    };
    assert!(matches!(shard.plan(&query), Err(PlanError::Fault(_))));
}

/// While an append hangs and what collects behind it is full, commands wait; timers must not.
#[test]
fn a_full_shard_still_expires_what_is_due() {
    let disk = SimDisk::new();
    let (_store, log) = log(&disk);
    let mut options = shard_options();
    options.collecting_bytes_max = 1;
    let shard = shard(log, options);
    append(&shard, 0, 0);
    shard.run(NOW);
    let expiry = shard.deadline().expect("a producer expires some day");

    let held = disk.hold_next(Operation::Write, ".log");
    append(&shard, 1, 2);
    let writer = std::thread::spawn({
        let shard = Arc::clone(&shard);
        move || shard.run(NOW)
    });
    held.wait_arrived();
    append(&shard, 2, 4);
    shard.run(NOW);
    append(&shard, 3, 6);
    let later = Now {
        mono: expiry + 1,
        ..NOW
    };
    shard.run(later);
    assert!(
        shard.deadline().is_none_or(|next| next > later.mono),
        "the timer would spin"
    );
    drop(held);
    writer.join().expect("the writer ends");
}

/// Panics when it is to answer request 13; records all others.
#[derive(Default)]
struct Clumsy(Recorder<Partition>);

impl Outlet<Partition> for Clumsy {
    type Handle = u64;

    fn answer(&self, to: u64, outcome: Outcome<Partition>) {
        assert_ne!(to, 13, "the panic that the test is about");
        self.0.answer(to, outcome);
    }
    fn effect(&self, effect: <Partition as Machine>::Effect) {
        match effect {}
    }
    fn records(&self, _: Vec<(Offset, <Partition as Machine>::Record)>) {}
    fn advanced(&self, _: Marks) {}
}

/// Whether the durable mark was told when a request was answered.
#[derive(Default)]
struct Order {
    advanced: AtomicBool,
    answered: Mutex<Vec<bool>>,
}

impl Outlet<Partition> for Order {
    type Handle = u64;

    fn answer(&self, _: u64, _: Outcome<Partition>) {
        let advanced = self.advanced.load(Ordering::Relaxed);
        self.answered.lock().expect("no panic").push(advanced);
    }
    fn effect(&self, effect: <Partition as Machine>::Effect) {
        match effect {}
    }
    fn records(&self, _: Vec<(Offset, <Partition as Machine>::Record)>) {}
    fn advanced(&self, _: Marks) {
        self.advanced.store(true, Ordering::Relaxed);
    }
}

/// A fetch session that hears late of a record has nothing to say to the client whose acks=all was
/// answered, and who asks at once.
#[test]
fn who_waits_for_the_mark_hears_of_it_before_the_answers_leave() {
    let (store, log) = log(&SimDisk::new());
    let shard: Arc<Shard<Partition, Order>> =
        open_listening(log, Order::default(), shard_options()).expect("an empty log opens");
    shard.outlet().advanced.store(false, Ordering::Relaxed);
    shard.submit(1, Command::Latest);
    shard.run(NOW);
    append(&shard, 2, 0);
    shard.run(NOW);
    assert!(store.flush_round());
    let answered = shard.outlet().answered.lock().expect("no panic").clone();
    assert_eq!(answered, [false, true]);
}

/// Whatever a turn held when it died would stay held: nobody else would be let in.
#[test]
fn a_panic_in_a_turn_does_not_leave_the_others_waiting() {
    let (_store, log) = log(&SimDisk::new());
    let shard: Arc<Shard<Partition, Clumsy>> =
        open_listening(log, Clumsy::default(), shard_options()).expect("an empty log opens");
    shard.submit(12, Command::Latest);
    shard.submit(13, Command::Latest);
    let died = std::thread::spawn({
        let shard = Arc::clone(&shard);
        move || shard.run(NOW)
    });
    assert!(died.join().is_err());
    assert!(matches!(
        shard.outlet().0.next(),
        Some((12, Outcome::Answer(_)))
    ));
    shard.submit(14, Command::Latest);
    shard.run(NOW);
    assert!(matches!(
        shard.outlet().0.next(),
        Some((14, Outcome::Fault(_)))
    ));
}

/// One damaged batch, or a snapshot on a bad sector, is no reason to close a whole partition: only
/// reads into the damage fail.
#[test]
fn a_damaged_batch_closes_no_partition() {
    // In the segment that recovery looks into, and in an older one.
    for batches in [3, 120] {
        damaged_in_the_second_of(batches);
    }
}

fn damaged_in_the_second_of(batches: u32) {
    let disk = SimDisk::new();
    let (store, before) = partition(&disk);
    for nth in 0..batches {
        append(&before, nth.into(), nth * 2);
        before.run(NOW);
    }
    before.write_snapshot().expect("the disk is well");
    store.close().expect("the disk is well");
    let end = before.marks().written;
    let second = before
        .log()
        .read(Offset(2), end, 1, true)
        .expect("a sound log");
    let Read::File { file, position, .. } = second else {
        panic!("it is in a file");
    };
    drop((store, before));

    // The byte that says which format the batch has.
    file.write_all_at(&mut [std::io::IoSlice::new(&[9])], position + 16)
        .expect("the disk is well");
    drop(file);
    let disk = disk.kill_image();
    let (store, log) = log(&disk);
    let snapshots = Fault::new(Operation::Read, DiskError::Io).on(".snapshot");
    disk.inject(snapshots.lasting());
    let shard = shard(log, shard_options());
    let read = |from| shard.log().read(Offset(from), end, 1, true);
    assert!(read(0).is_ok() && read(4).is_ok());
    assert!(matches!(
        read(2),
        Err(ReadError::Fault(LogFault::Damaged { .. }))
    ));
    append(&shard, 999, batches * 2);
    shard.run(NOW);
    store.flush_round();
    assert!(matches!(
        shard.outlet().next(),
        Some((999, Outcome::Answer(Answer::Appended { base_offset, .. }))) if base_offset == end
    ));
}
