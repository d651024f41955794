//! What every log store must do, as one suite that all of them pass.
//!
//! [`run`] takes a function that makes an empty store and plays every case against a fresh one. It
//! panics at the first difference, naming the case and the seed. Cases look only at the face of
//! `ottla-log`; what survives a crash is `conformance_crash`'s.
#![allow(clippy::expect_used, reason = "a test suite fails by panicking")]
#![allow(
    clippy::print_stdout,
    reason = "names the case and the seed of a failure"
)]

mod append;
mod batches;
mod marks;
mod model;
mod read;
mod time;

use std::sync::Arc;

use ottla_log::{Durability, Log, LogConfig, LogSpec, LogStore};
use ottla_model::ids::PartitionIndex;
use ottla_model::names::{TopicName, TopicPartition};
use ottla_model::uuid::Uuid;

pub use batches::{Batch, BatchMaker, Random};

/// One case: what it is called, and the play.
type Case<S> = (&'static str, fn(&Arc<S>, u64));

/// Plays every case, each against a fresh store with this durability. The seed moves all that is
/// random.
///
/// # Panics
/// At the first difference.
pub fn run<S: LogStore>(durability: Durability, seed: u64, fresh: impl Fn() -> Arc<S>) {
    let mut cases: Vec<Case<S>> = vec![
        ("reads what was appended", read::reads_what_was_appended),
        ("refuses offsets outside", read::refuses_offsets_outside),
        (
            "a read stays within its bound",
            read::stays_within_its_bound,
        ),
        ("replays", read::replays),
        ("looks back", read::looks_back),
        (
            "a removed log keeps what was handed out",
            read::keeps_what_was_handed_out,
        ),
        ("finds records by time", time::finds_records_by_time),
        (
            "appends nothing that does not fit",
            append::appends_nothing_that_does_not_fit,
        ),
        (
            "keeps the newest snapshots",
            append::keeps_the_newest_snapshots,
        ),
        ("knows the active segment", append::knows_the_active_segment),
        ("knows leader epochs", append::knows_leader_epochs),
        ("a probe leaves no trace", append::a_probe_leaves_no_trace),
        (
            "removes and creates again",
            append::removes_and_creates_again,
        ),
        (
            "a closed store takes nothing",
            append::a_closed_store_takes_nothing,
        ),
    ];
    cases.push(match durability {
        Durability::Synced => (
            "the durable mark waits for a round",
            marks::waits_for_a_round,
        ),
        Durability::Os => (
            "the durable mark follows the write",
            marks::follows_the_write,
        ),
    });
    for (name, play) in cases {
        println!("conformance: {name}, seed {seed}");
        let store = fresh();
        play(&store, seed);
    }
}

/// Partition 0 of a topic; each `incarnation` has its own id.
#[must_use]
pub fn partition(topic: &str, incarnation: u8) -> TopicPartition {
    let mut id = [incarnation; 16];
    id[0] = topic
        .bytes()
        .fold(1, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte));
    TopicPartition {
        topic: TopicName::parse(topic).expect("tests use legal names"),
        topic_id: Uuid(id),
        partition: PartitionIndex(0),
    }
}

/// Opens that partition, and creates it if need be.
#[must_use]
pub fn spec(topic: &str, incarnation: u8) -> LogSpec {
    LogSpec {
        name: partition(topic, incarnation),
        config: LogConfig {
            index_interval_bytes: 512,
            ..LogConfig::default()
        },
    }
}

/// A new log of the store.
fn log<S: LogStore>(store: &Arc<S>) -> Arc<dyn Log> {
    let (log, recovery) = store
        .open_log(&spec("conformance", 1))
        .expect("an empty store opens logs");
    assert!(recovery.created);
    log
}
