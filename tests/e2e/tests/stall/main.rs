//! A disk that stalls for half a minute, for real: the data lies on a file system that is frozen under load.
//!
//! Producers write to many more partitions than there are threads for it, some of them as much as they
//! can, while others ask for what needs no disk. Then:
//!
//! - whoever needs no disk got answers all the time; how fast is printed, never judged;
//! - nothing was acknowledged with `acks=-1` while nothing could be synced (else the freeze was none);
//! - memory grew by what the broker may hold for the disk, not by what was sent;
//! - every acknowledged record is there, at its offset, and the broker stops cleanly.
//!
//! For root on a machine with loop devices, and only if asked for: `cargo xtask test stall`.
#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test program: it talks to a person and ends where it would have to lie"
)]

mod load;
mod mount;

use std::env;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use ottla_e2e::{cases, figures, subject};
use ottla_testkit::broker_process::{BrokerCommand, BrokerProcess};
use ottla_testkit::wire_client::{WireClient, batches};

use load::{
    FLOOD_BATCH_BYTES, FLOOD_BYTES, FLOODERS, Kind, PARTITIONS, PRODUCERS, Phase, QUIET, Run, TOPIC,
};
use mount::Mount;

const BEFORE: Duration = Duration::from_secs(5);
const FROZEN: Duration = Duration::from_secs(30);
const AFTER: Duration = Duration::from_secs(5);
/// Answers that were on their way when the disk froze have arrived by then.
const ON_THE_WAY: Duration = Duration::from_secs(2);
/// What each kind of question must have got of answers in half a minute: next to nothing.
const ANSWERS_MIN: usize = 20;
/// `queued.max.request.bytes`.
const CAP_BYTES: usize = 16 << 20;
/// What the broker may grow by while frozen: the cap, for each who floods a request that waits and one that
/// is being read, and its own affairs (threads for appends, answers).
const GROWTH_BYTES_MAX: usize = CAP_BYTES + 2 * FLOOD_BATCH_BYTES * FLOODERS as usize + (32 << 20);

fn main() -> ExitCode {
    cases::main("stall", |cases| {
        if !env::args().any(|argument| argument == "--wanted") {
            println!("freezes a file system, as root: cargo xtask test stall, or -- --wanted");
            return;
        }
        let name = "a_frozen_disk_holds_up_only_what_needs_it";
        match Mount::make(env!("CARGO_TARGET_TMPDIR")) {
            Ok(mut mount) => cases.run(name, || frozen(&mut mount)),
            Err(why) => cases.skip(name, &why),
        }
    })
}

fn frozen(mount: &mut Mount) -> Result<String, String> {
    let broker = BrokerCommand::new(subject::binary())
        .data_in(mount.path())
        .variable("OTTLA_SET", format!("queued.max.request.bytes={CAP_BYTES}"))
        .start();
    mount
        .used_by(broker.id())
        .map_err(|error| error.to_string())?;
    let outcome = under_load(mount, broker);
    // The broker is gone by now, whatever happened.
    mount.thaw().ok();
    outcome
}

fn under_load(mount: &mut Mount, mut broker: BrokerProcess) -> Result<String, String> {
    let run = Run::new(broker.address());
    let mut client = run.client().map_err(|error| error.to_string())?;
    for (topic, partitions) in [(TOPIC, PARTITIONS), (QUIET, 1)] {
        let created = client.create_topic(topic, partitions, &[]);
        let created = created.map_err(|error| error.to_string())?;
        if created.error_code != 0 {
            return Err(format!("{created:?}"));
        }
    }
    let (story, sent) = thread::scope(|scope| {
        let run = &run;
        let producers: Vec<_> = (0..PRODUCERS)
            .map(|producer| scope.spawn(move || run.produce(producer)))
            .collect();
        // Whoever asks finds something in each partition.
        thread::sleep(BEFORE / 2);
        let askers: Vec<_> = Kind::ALL
            .map(|kind| scope.spawn(move || run.ask(kind)))
            .into();
        let story = freeze(mount, run, &broker, scope);
        run.enter(Phase::Over);
        let mut sent = Ok(0);
        for producer in producers {
            sent = sent.and_then(|sum: u64| Ok(sum + producer.join().unwrap()?));
        }
        for asker in askers {
            sent = sent.and_then(|sum| asker.join().unwrap().map(|()| sum));
        }
        (story, sent)
    });
    print_latencies(&run);
    let stderr = broker.stderr();
    let story = story.map_err(|why| format!("{why}\n{stderr}"))?;
    let sent = sent.map_err(|why| format!("{why}\n{stderr}"))?;
    for kind in Kind::ALL {
        let latencies = run.latencies.lock().unwrap();
        let during = latencies
            .iter()
            .filter(|(name, phase, _)| *name == kind.name() && *phase == Phase::Frozen);
        let count = during.count();
        if count < ANSWERS_MIN {
            return Err(format!("{kind:?}: {count} answers while frozen\n{stderr}"));
        }
    }
    let acknowledged = read_back(&mut client, &run)?;
    drop(client);
    if broker.terminate() != Some(0) {
        return Err(format!("the broker's stop: {}", broker.stderr()));
    }
    let told = stderr.lines().filter(|line| line.contains("the disk"));
    let told = told.collect::<Vec<_>>().join("\n");
    let timed_out = *run.timed_out.lock().unwrap();
    Ok(format!(
        "{acknowledged} batches of {sent} and a flood acknowledged, {timed_out} timed out, all there; {story}\n{told}"
    ))
}

/// From a while before the freeze to a while after it.
fn freeze<'scope>(
    mount: &mut Mount,
    run: &'scope Run,
    broker: &BrokerProcess,
    scope: &'scope thread::Scope<'scope, '_>,
) -> Result<String, String> {
    thread::sleep(BEFORE / 2);
    let before = figures::memory(broker.id()).resident_bytes;
    mount.freeze()?;
    let frozen = Instant::now();
    run.enter(Phase::Frozen);
    let flooders: Vec<_> = (0..FLOODERS)
        .map(|flooder| scope.spawn(move || run.flood(flooder)))
        .collect();
    let mut most = before;
    while frozen.elapsed() < FROZEN {
        thread::sleep(Duration::from_millis(100));
        most = most.max(figures::memory(broker.id()).resident_bytes);
    }
    let until = Instant::now();
    let thawed = mount.thaw();
    run.enter(Phase::After);
    let mut flooded = Ok(());
    for flooder in flooders {
        let outcome = flooder.join().unwrap();
        flooded = flooded.and(outcome);
    }
    thread::sleep(AFTER);
    thawed?;
    flooded?;
    let answered = run.answered.lock().unwrap();
    let early = answered
        .iter()
        .filter(|at| **at > frozen + ON_THE_WAY && **at < until)
        .count();
    if early > 0 {
        return Err(format!(
            "{early} acknowledgements while the disk was frozen"
        ));
    }
    let after = answered.iter().filter(|at| **at >= until).count();
    if after == 0 {
        return Err("no acknowledgement after the thaw".into());
    }
    let growth = most.saturating_sub(before) as usize;
    let mb = |bytes: usize| bytes >> 20;
    let story = format!(
        "memory {} MiB before, {} more while frozen (at most {}), with {} sent",
        mb(before as usize),
        mb(growth),
        mb(GROWTH_BYTES_MAX),
        mb(FLOOD_BYTES)
    );
    if growth > GROWTH_BYTES_MAX {
        return Err(story);
    }
    Ok(story)
}

fn print_latencies(run: &Run) {
    let latencies = run.latencies.lock().unwrap();
    let mut names = vec!["Produce, acks=-1"];
    names.extend(Kind::ALL.map(Kind::name));
    println!(
        "\n{:<28} {:<8} {:>7} {:>10} {:>10} {:>10}",
        "ms", "", "count", "p50", "p99", "max"
    );
    for name in names {
        for phase in [Phase::Before, Phase::Frozen, Phase::After] {
            let of = latencies
                .iter()
                .filter(|(kind, when, _)| *kind == name && *when == phase);
            let all: Vec<Duration> = of.map(|(.., took)| *took).collect();
            if all.is_empty() {
                println!("{name:<28} {:<8} {:>7}", format!("{phase:?}"), 0);
                continue;
            }
            println!(
                "{name:<28} {:<8} {:>7} {:>10.3} {:>10.3} {:>10.3}",
                format!("{phase:?}"),
                all.len(),
                figures::quantile(all.clone(), 0.5),
                figures::quantile(all.clone(), 0.99),
                figures::quantile(all, 1.0)
            );
        }
    }
}

/// Reads everything; every acknowledged record must be at its offset. Answers how many there are.
fn read_back(client: &mut WireClient, run: &Run) -> Result<usize, String> {
    let mut missing = run.acknowledged.lock().unwrap().clone();
    let count = missing.len();
    for partition in 0..PARTITIONS {
        let mut offset = 0;
        loop {
            let fetched = client.fetch(TOPIC, partition, offset, 8 << 20, 0);
            let fetched = fetched.map_err(|error| format!("{TOPIC}-{partition}: {error}"))?;
            if fetched.records.is_empty() {
                break;
            }
            let mut wrong = None;
            for batch in batches(&fetched.records)? {
                batch.records(|at, _, value| {
                    let stamp = value.and_then(|value| value.first_chunk());
                    let stamp = stamp.map(|bytes| u64::from_be_bytes(*bytes));
                    let known = missing.remove(&(partition, at));
                    if known.is_some() && known != stamp {
                        wrong = Some(format!(
                            "{TOPIC}-{partition}@{at}: {stamp:x?}, not {known:x?}"
                        ));
                    }
                    offset = at + 1;
                })?;
            }
            if let Some(wrong) = wrong {
                return Err(wrong);
            }
        }
    }
    if missing.is_empty() {
        return Ok(count);
    }
    let some: Vec<_> = missing.iter().take(5).collect();
    Err(format!(
        "{} of {count} acknowledged batches are lost: {some:x?}",
        missing.len()
    ))
}
