//! Bytes that no client should send, on live connections against the real binary, with a well-behaved
//! neighbour on a connection of its own all the while.
//!
//! Each family's answer is checked: an error code, or a closed connection where Kafka closes it. The
//! expectations are held against Apache Kafka itself with `OTTLA_E2E_FOREIGN=HOST:PORT`, which leaves
//! out what a foreign process cannot show or would not survive.
//! `OTTLA_MUTANTS` is the size of the flood, `OTTLA_SEED` repeats a run.
#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test program: it talks to a person and ends where it would have to lie"
)]

mod batches;
mod bodies;
mod canary;
mod families;
mod flood;
mod frames;
mod memory;
mod metrics;
mod probe;
mod requests;
mod samples;

use std::env;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use ottla_e2e::cases::{self, Cases};
use ottla_e2e::random::{Random, seed};
use ottla_e2e::{figures, subject};
use ottla_testkit::broker_process::{BrokerCommand, BrokerProcess};
use ottla_testkit::wire_client::{LATEST, WireClient};

use batches::Victim;
use canary::Canary;

const MUTANTS: u64 = 20_000;
/// The most memory that all of this together may ever take above the idle broker.
const GROWN_BYTES_MAX: u64 = 384 << 20;
/// How long the neighbour is listened to before anybody misbehaves.
const QUIET: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    cases::main("bad_input", |cases| match subject::foreign() {
        Some(address) => attack(cases, &address, None),
        None => {
            let home = subject::directory(env!("CARGO_TARGET_TMPDIR"), "bad_input");
            let mut broker = BrokerCommand::new(subject::binary())
                .args(["--log-level", "warn", "--admin-listen", "127.0.0.1:0"])
                .below(home.path())
                .start();
            let address = broker.address().to_owned();
            attack(cases, &address, Some(&broker));
            cases.run("the_same_process_stops_cleanly", || stop(&mut broker));
        }
    })
}

fn attack(cases: &mut Cases, address: &str, broker: Option<&BrokerProcess>) {
    let seed = seed();
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let victim = Victim {
        address,
        topic: "victim",
        compacted: "compacted",
    };
    let topics = [
        ("canary", None),
        ("victim", None),
        ("compacted", Some(("cleanup.policy", "compact"))),
    ];
    for (name, config) in topics {
        create(address, name, config.as_slice());
    }
    let idle = broker.map(|broker| figures::memory(broker.id()));
    let canary = Canary::new();
    thread::scope(|scope| {
        let song = scope.spawn(|| canary.sing(address, "canary"));
        thread::sleep(QUIET);
        println!("neighbour, quiet: {}", canary.figures());
        if let Some(broker) = broker {
            cases.run("families", || families::all(address, broker, seed));
            println!(
                "neighbour, under families of every API: {}",
                canary.figures()
            );
        }
        let batch = batches::honest();
        cases.run("lengths", || frames::lengths(address));
        cases.run("halves", || frames::halves(address));
        cases.run("other_protocols", || frames::other_protocols(address));
        cases.run("keys_and_versions", || frames::keys_and_versions(address));
        cases.run("unknown_api_versions", || {
            frames::unknown_api_versions(address)
        });
        cases.run("software_names", || frames::software_names(address));
        cases.run("headers", || frames::headers(address));
        cases.run("whole", || bodies::whole(address, &batch));
        cases.run("truncated", || {
            bodies::truncated(address, &batch, &mut random)
        });
        cases.run("counts", || bodies::counts(address));
        cases.run("batches", || batches::lies(&victim));
        cases.run("requests", || requests::requests(&victim));
        if let Some(broker) = broker {
            let pid = broker.id();
            cases.run("idle", || memory::idle(&victim, pid));
            cases.run("claims", || memory::claims(&victim, pid));
            cases.run("gone", || memory::gone(&victim, pid));
            cases.run("bombs", || memory::bombs(&victim, pid));
            cases.run("deaf", || memory::deaf(&victim, pid));
        }
        let mutants = env::var("OTTLA_MUTANTS").map_or(MUTANTS, |text| text.parse().unwrap());
        cases.run("mutants", || flood::flood(&victim, &mut random, mutants));
        println!("neighbour, under attack: {}", canary.figures());
        canary.stop();
        cases.run("the_neighbour_noticed_nothing", || {
            let rounds = song.join().map_err(|_| "panicked".to_owned())??;
            Ok(format!("{rounds} rounds on one connection"))
        });
    });
    if let (Some(broker), Some(idle)) = (broker, idle) {
        cases.run("memory_stays_bounded", || {
            let now = figures::memory(broker.id());
            let grown = now.peak_bytes.saturating_sub(idle.resident_bytes);
            let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
            let text = format!(
                "{:.1} MiB before, {:.1} MiB at most, {:.1} MiB after",
                mib(idle.resident_bytes),
                mib(now.peak_bytes),
                mib(now.resident_bytes)
            );
            if grown <= GROWN_BYTES_MAX {
                Ok(text)
            } else {
                Err(text)
            }
        });
        cases.run("metrics", || metrics::reasons(broker));
    }
}

fn create(address: &str, name: &str, configs: &[(&str, &str)]) {
    let mut client = WireClient::connect(address).unwrap();
    let created = client.create_topic(name, 1, configs).unwrap();
    // A foreign broker may have it from the run before.
    let exists = created.error_code == 36 && subject::foreign().is_some();
    assert!(created.error_code == 0 || exists, "{created:?}");
    // Apache Kafka's partitions have a leader a moment later.
    while subject::foreign().is_some()
        && client.list_offset(name, 0, LATEST).unwrap().error_code != 0
    {
        thread::sleep(Duration::from_millis(1));
    }
}

/// The process that was attacked is still the one that was started, and was not harmed.
fn stop(broker: &mut BrokerProcess) -> Result<String, String> {
    if !broker.is_running() {
        return Err(format!("it ended: {}", broker.stderr()));
    }
    let ended = broker.terminate();
    let stderr = broker.stderr();
    let bad = stderr
        .lines()
        .find(|line| line.contains("panicked") || line.contains("ERROR"));
    match (ended, bad) {
        (Some(0), None) => Ok(format!("{} lines of log", stderr.lines().count())),
        (ended, bad) => Err(format!("exit {ended:?}, {bad:?}")),
    }
}
