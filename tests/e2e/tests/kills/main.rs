//! Nothing is lost: the real binary under load, killed with -9 over and over, and read back.
//!
//! Producers with five batches in flight each (idempotent ones send the unanswered again after a kill,
//! with the same sequences; plain ones do not), readers that read along, and a churn that creates and
//! deletes topics. Each kill comes at a random moment, or when a segment has just appeared, or when a
//! CreateTopics has just been sent. After each restart, and in whole every tenth time:
//!
//! - every record that was acknowledged, and every record that anybody ever read, is at its offset;
//! - no offset names two records, ever; offsets have no gaps, a kill opens none;
//! - each record is there once at most, in its producer's order; of idempotent producers without a hole;
//! - the leader epoch rose, and is the same in Metadata and ListOffsets;
//! - topics whose creation was answered exist, with their id; those whose deletion was answered do not.
//!
//! `OTTLA_KILLS` is the number of kills, `OTTLA_SEED` repeats a run's dice.
#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test program: it talks to a person and ends where it would have to lie"
)]

mod churn;
mod cycle;
mod ledger;
mod notices;
mod payload;
mod producer;
mod scan;
mod watch;

use std::env;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

use ottla_e2e::random::{Random, seed};
use ottla_e2e::{cases, figures, subject};
use ottla_testkit::broker_process::{BrokerCommand, BrokerProcess};
use ottla_testkit::wire_client::{LATEST, WireClient};

use churn::{Churn, Unanswered};
use cycle::{Kill, Load, Moment};
use ledger::Ledger;
use producer::{Counts, Producer};
use scan::Scan;

/// In all; one in five in dev mode.
const KILLS: usize = 50;
/// The whole is read back after every so many kills, and at the end.
const WHOLE_EVERY: usize = 10;
const TOPIC: &str = "load";
const PARTITIONS: i32 = 4;
/// The least that Kafka takes since 4.0.
const SEGMENT_BYTES: &str = "1048576";
const IDEMPOTENT: u32 = 3;
const PLAIN: u32 = 2;
const READERS: i32 = 2;

/// What everybody tells whoever kills.
enum Event {
    Acknowledged,
    CreateSent,
    File(watch::File),
    /// Somebody met something wrong.
    Failed,
}

fn is_idempotent(producer: u32) -> bool {
    producer < IDEMPOTENT
}

fn main() -> ExitCode {
    cases::main("kills", |cases| {
        let kills = env::var("OTTLA_KILLS")
            .map_or(KILLS, |text| text.parse().expect("OTTLA_KILLS is a number"));
        let seed = seed();
        println!("seed {seed}, {kills} kills");
        let dev = kills.div_ceil(5);
        cases.run("the_judges_notice", notices::notices);
        cases.run("server_mode", || mode(seed, kills - dev, &[]));
        cases.run("dev_mode", || mode(seed + 1, dev, &["--dev"]));
    })
}

fn mode(seed: u64, kills: usize, flags: &[&str]) -> Result<String, String> {
    let home = subject::directory(env!("CARGO_TARGET_TMPDIR"), "kills");
    let mut broker = BrokerCommand::new(subject::binary())
        .args(["--log-level", "warn"])
        .args(flags)
        .below(home.path())
        .start();
    let outcome = killed(&mut broker, seed, kills);
    broker.kill();
    let stderr = broker.stderr();
    let bad = stderr
        .lines()
        .find(|line| line.contains("panicked") || line.contains(" ERROR "));
    match (outcome, bad) {
        (Ok(said), None) => Ok(said),
        (outcome, bad) => {
            let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("kills-{seed}"));
            let kept = fs::rename(broker.data(), &kept)
                .map(|()| kept)
                .unwrap_or_default();
            let why = outcome.err().unwrap_or_default();
            let lines: Vec<&str> = stderr.lines().rev().take(20).collect();
            let lines: Vec<&str> = lines.into_iter().rev().collect();
            Err(format!(
                "seed {seed}: {why}\nlog: {bad:?}\n{}\ndata kept in {}",
                lines.join("\n"),
                kept.display()
            ))
        }
    }
}

fn killed(broker: &mut BrokerProcess, seed: u64, kills: usize) -> Result<String, String> {
    let mut random = Random::new(seed);
    let created =
        connect(broker)?.create_topic(TOPIC, PARTITIONS, &[("segment.bytes", SEGMENT_BYTES)]);
    let created = created.map_err(|error| error.to_string())?;
    if created.error_code != 0 {
        return Err(format!("{created:?}"));
    }
    let (send, receive) = mpsc::channel();
    watch::files(&broker.data(), TOPIC, PARTITIONS, send.clone())?;
    let ledger = Ledger::new(PARTITIONS);
    let mut load = Load {
        producers: (0..IDEMPOTENT + PLAIN)
            .map(|number| Producer::new(number, is_idempotent(number), PARTITIONS, seed))
            .collect(),
        readers: (0..READERS)
            .map(|reader| {
                ledger
                    .partitions()
                    .filter(|p| p % READERS == reader)
                    .map(Scan::new)
                    .collect()
            })
            .collect(),
        churn: Churn::new(seed),
    };
    let mut tails: Vec<Scan> = ledger.partitions().map(Scan::new).collect();
    let mut ends = vec![0; PARTITIONS as usize];
    let mut epochs = epochs(&mut connect(broker)?)?;
    let mut hits: Vec<Kill> = Vec::new();
    let mut ready = Vec::new();
    let mut again = 0;
    let mut missed = 0;
    while hits.len() < kills {
        let kill = hits.len() + missed + 1;
        let moment = Moment::roll(&mut random);
        let hit = cycle::run(broker, &mut load, &ledger, &ends, moment, (&send, &receive))
            .map_err(|why| format!("before kill {kill} ({moment:?}): {why}"))?;
        // On a busy machine all producers may have been at rest: held against the rules as any other,
        // but not counted.
        if hit.unanswered == 0 {
            missed += 1;
            if missed > kills {
                return Err(format!("{missed} kills left no request unanswered"));
            }
        } else {
            hits.push(hit);
        }
        // A start is work that can be killed, too.
        while random.chance(20) {
            broker.restart_and_kill(Duration::from_micros(random.below(40_000)));
            again += 1;
        }
        broker.restart();
        ready.push(broker.ready_after());
        let mut client = connect(broker)?;
        let after = |why: String| format!("after kill {kill} ({moment:?}, {hit:?}): {why}");
        let now = self::epochs(&mut client).map_err(after)?;
        if now.iter().zip(&epochs).any(|(now, before)| now <= before) {
            return Err(after(format!("leader epochs {epochs:?} became {now:?}")));
        }
        epochs = now;
        ends = read_back(&mut client, &mut tails, &ledger).map_err(after)?;
        load.churn.check(&mut client).map_err(after)?;
        if kill.is_multiple_of(WHOLE_EVERY) || hits.len() == kills {
            whole(&mut client, &ledger).map_err(after)?;
            println!("  kill {kill}: {}", summary(&hits, &load));
        }
    }
    // The last unanswered batches are still to come, and a clean stop must change nothing.
    cycle::run(
        broker,
        &mut load,
        &ledger,
        &ends,
        Moment::Anywhere { batches: 100 },
        (&send, &receive),
    )?;
    broker.restart();
    whole(&mut connect(broker)?, &ledger)?;
    let code = broker.terminate();
    if code != Some(0) {
        return Err(format!("SIGTERM: exit {code:?}"));
    }
    broker.restart();
    let bytes = whole(&mut connect(broker)?, &ledger)?;
    let [_, middle, longest] = figures::spread(ready);
    let in_windows = hits
        .iter()
        .filter(|hit| hit.in_roll || hit.churn == Unanswered::Create)
        .count();
    let told = format!(
        "{kills} kills and {again} more during a start, {}; {} acknowledged records in {} MB read back; ready again after {middle:.0} ms, {longest:.0} at most",
        summary(&hits, &load),
        ledger.acknowledged_records(),
        bytes / 1_000_000
    );
    if in_windows * 5 < kills {
        return Err(format!("{told}: too few in a roll or a CreateTopics"));
    }
    Ok(told)
}

fn connect(broker: &BrokerProcess) -> Result<WireClient, String> {
    let mut client = WireClient::connect(broker.address()).map_err(|error| error.to_string())?;
    client
        .set_time_limit(Duration::from_secs(60))
        .map_err(|error| error.to_string())?;
    Ok(client)
}

/// The leader epochs, which must be the same wherever they are told.
fn epochs(client: &mut WireClient) -> Result<Vec<i32>, String> {
    let topics = client
        .metadata(Some(&[TOPIC]))
        .map_err(|error| error.to_string())?;
    let topic = topics.first().ok_or("Metadata lacks the topic")?;
    let mut partitions = topic.partitions.clone();
    partitions.sort_by_key(|partition| partition.index);
    if topic.error_code != 0 || partitions.len() != PARTITIONS as usize {
        return Err(format!("{topic:?}"));
    }
    for partition in &partitions {
        let listed = client
            .list_offset(TOPIC, partition.index, LATEST)
            .map_err(|error| error.to_string())?;
        if listed.error_code != 0 || listed.leader_epoch != partition.leader_epoch {
            return Err(format!(
                "Metadata says {partition:?}, ListOffsets {listed:?}"
            ));
        }
    }
    Ok(partitions
        .iter()
        .map(|partition| partition.leader_epoch)
        .collect())
}

fn read_back(
    client: &mut WireClient,
    scans: &mut [Scan],
    ledger: &Ledger,
) -> Result<Vec<i64>, String> {
    scans
        .iter_mut()
        .map(|scan| scan.finish(client, TOPIC, ledger, is_idempotent))
        .collect()
}

/// Reads everything from the first offset on; answers its bytes.
fn whole(client: &mut WireClient, ledger: &Ledger) -> Result<u64, String> {
    let mut scans: Vec<Scan> = ledger.partitions().map(Scan::new).collect();
    let ends = read_back(client, &mut scans, ledger)?;
    let read: u64 = scans.iter().map(|scan| scan.records).sum();
    if read != ends.iter().map(|end| *end as u64).sum::<u64>() {
        return Err(format!("{read} records where the ends are {ends:?}"));
    }
    Ok(scans.iter().map(|scan| scan.bytes).sum())
}

fn summary(hits: &[Kill], load: &Load) -> String {
    let count = |holds: &dyn Fn(&Kill) -> bool| hits.iter().filter(|hit| holds(hit)).count();
    let unanswered: usize = hits.iter().map(|hit| hit.unanswered).sum();
    let mut counts = Counts::default();
    for producer in &load.producers {
        counts.acknowledged += producer.counts.acknowledged;
        counts.resent += producer.counts.resent;
        counts.recognised += producer.counts.recognised;
    }
    format!(
        "{} in a roll ({} in the middle of one), {} in a CreateTopics, {} in a DeleteTopics; \
         {unanswered} produce requests unanswered, {} sent again, {} of them were there; \
         {} batches acknowledged; {} topics created, {} deleted",
        count(&|hit| hit.in_roll),
        count(&|hit| hit.in_middle),
        count(&|hit| hit.churn == Unanswered::Create),
        count(&|hit| hit.churn == Unanswered::Delete),
        counts.resent,
        counts.recognised,
        counts.acknowledged,
        load.churn.created,
        load.churn.deleted
    )
}
