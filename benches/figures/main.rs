//! First figures, measured and printed. Asserted is only that the data came back.
//!
//! Start to the first reply, idle memory, SIGTERM to exit, and producing on one connection: batches of
//! 16 KB and of 1 MB, pipelined, acks=all, in MB/s and in CPU seconds of the server per GB. Client and
//! server share the machine, so a neighbour's load is in every figure: compare runs of one machine.
#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test program: it talks to a person and ends where it would have to lie"
)]

mod produce;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use ottla_e2e::figures::{memory, spread};
use ottla_e2e::{cases, subject};
use ottla_testkit::broker_process::{BrokerCommand, BrokerProcess};
use ottla_testkit::wire_client::WireClient;

const RUNS: usize = 10;

/// The two promises of durability, and the flags that choose them.
const MODES: [(&str, &[&str]); 2] = [("server", &[]), ("dev", &["--dev"])];

fn main() -> ExitCode {
    cases::main("figures", |cases| {
        for (mode, flags) in MODES {
            cases.run(&format!("start_and_stop_{mode}"), || start_and_stop(flags));
        }
        for (mode, flags) in MODES {
            for load in produce::LOADS {
                cases.run(&format!("produce_{}_{mode}", load.name), || {
                    let home = subject::directory(env!("CARGO_TARGET_TMPDIR"), "figures");
                    produce::measure(&command(flags).below(home.path()).start(), load)
                });
            }
        }
    })
}

fn command(flags: &[&str]) -> BrokerCommand {
    BrokerCommand::new(subject::binary())
        .args(["--log-level", "warn"])
        .args(flags)
}

/// From nothing to the first reply, from the files of the run before to the first reply, and from
/// SIGTERM to the exit.
fn start_and_stop(flags: &[&str]) -> Result<String, String> {
    let (mut fresh, mut again, mut stop) = (Vec::new(), Vec::new(), Vec::new());
    let mut resident = 0;
    for _ in 0..RUNS {
        let home = subject::directory(env!("CARGO_TARGET_TMPDIR"), "figures");
        let start = Instant::now();
        let mut broker = command(flags).below(home.path()).start();
        fresh.push(reply(&broker, start)?);
        stop.push(stopped(&mut broker)?);
        let start = Instant::now();
        broker.restart();
        again.push(reply(&broker, start)?);
        resident = memory(broker.id()).resident_bytes;
        stop.push(stopped(&mut broker)?);
    }
    let row = |what: &str, all: Vec<Duration>| {
        let [least, middle, most] = spread(all);
        format!("\n  {what:<34} {least:>7.1} {middle:>7.1} {most:>7.1} ms (least, middle, most)")
    };
    Ok([
        row("empty directory to first reply", fresh),
        row("restart to first reply", again),
        row("SIGTERM to exit", stop),
        format!(
            "\n  {:<34} {:>7.1} MiB",
            "idle memory (VmRSS)",
            resident as f64 / f64::from(1 << 20)
        ),
    ]
    .concat())
}

fn reply(broker: &BrokerProcess, start: Instant) -> Result<Duration, String> {
    let keys = WireClient::connect(broker.address()).and_then(|mut client| client.api_versions());
    let took = start.elapsed();
    match keys {
        Ok(keys) if !keys.is_empty() => Ok(took),
        Ok(_) => Err("the broker speaks nothing".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn stopped(broker: &mut BrokerProcess) -> Result<Duration, String> {
    let start = Instant::now();
    match broker.terminate() {
        Some(0) => Ok(start.elapsed()),
        code => Err(format!("SIGTERM: exit {code:?}: {}", broker.stderr())),
    }
}
