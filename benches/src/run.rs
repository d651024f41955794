//! One run of one row against one server.
//!
//! Every run that stores something ends by reading everything back: an acknowledged record that does not
//! come back fails the run, whatever its figures were.

mod groups;
mod idle;
mod read_back;
mod retained;
mod sync;
mod topics;
mod traffic;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::machine::{CoreList, machine_cpu, own_cpu};
use crate::outcome::{Outcome, Subject};
use crate::rows::{Limit, Metric, Row, Work};
use crate::server::{Cpu, Server, ServerCommand};

/// So many partitions or connections are not too many for a test.
const FEW: usize = 100;

/// What is run.
#[derive(Clone, Debug)]
pub struct Run {
    /// The row, or a point of a curve that is made like one.
    pub row: Row,
    /// Where on its curve it is.
    pub at: Option<u64>,
    /// Whom it is run against.
    pub subject: Subject,
    /// How to start it. Its directory is empty.
    pub server: ServerCommand,
    /// An empty directory of the run itself.
    pub home: PathBuf,
    /// How large and long it is.
    pub size: Size,
    /// Configs of the topic.
    pub topic_configs: Vec<(String, String)>,
    /// Where to leave a flame graph of the measured time.
    pub profile: Option<PathBuf>,
}

/// How large and long a run is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Load that is not counted, so that code, files and buffers are warm. A JVM needs seconds.
    pub warm: Duration,
    /// Load that is counted.
    pub measure: Duration,
    /// The counted load ends after so many bytes, too; no more memory is touched before it.
    pub bytes_max: u64,
    /// Stored bytes, and partitions and connections if they are many, are divided by this: tests are small.
    pub divisor: usize,
}

impl Size {
    /// What a table is made of.
    pub const FULL: Size = Size {
        warm: Duration::from_secs(1),
        measure: Duration::from_secs(3),
        bytes_max: 3_000_000_000,
        divisor: 1,
    };
    /// Enough to see that a row works.
    pub const SMALL: Size = Size {
        warm: Duration::from_millis(20),
        measure: Duration::from_millis(150),
        bytes_max: 64_000_000,
        divisor: 50,
    };

    fn count(self, full: usize) -> usize {
        if full <= FEW {
            full
        } else {
            full / self.divisor
        }
    }

    fn bytes(self, full: u64) -> u64 {
        full / self.divisor as u64
    }
}

/// What a kind of work measured.
#[derive(Clone, Debug, Default)]
struct Found {
    metrics: BTreeMap<Metric, f64>,
    neighbours: f64,
    read_back: u64,
}

/// Starts the server, does the work, reads everything back.
///
/// # Errors
/// If anything does not work as a client may expect, or a record is missing.
pub fn execute(run: &Run, cores: &CoreList) -> Result<Outcome, String> {
    if run.profile.is_some()
        && !matches!(
            run.row.work,
            Work::Produce(_) | Work::Fetch(_) | Work::Groups(_) | Work::Topics { .. }
        )
    {
        return Err(format!("{} is no load that can be profiled", run.row.name));
    }
    // The server is started on its own cores, from a thread of its own.
    cores.pin_generator()?;
    let found = match run.row.work {
        _ if run.subject == Subject::Limit(Limit::Fdatasync) => sync::run(run, cores),
        Work::Produce(produce) => traffic::produce(run, cores, produce),
        Work::Fetch(fetch) => traffic::fetch(run, cores, fetch),
        Work::Start => idle::start(run, cores),
        Work::Idle => idle::idle(run, cores, 0),
        Work::IdleConnections { count } => idle::idle(run, cores, run.size.count(count)),
        Work::Recover { partitions, bytes } => traffic::recover(run, cores, partitions, bytes),
        Work::Retained { bytes } => retained::run(run, cores, bytes),
        Work::Groups(groups) => groups::run(run, cores, groups),
        Work::Topics { count } => topics::run(run, cores, run.size.count(count)),
    }?;
    Ok(Outcome {
        row: run.row.name.to_owned(),
        at: run.at,
        subject: run.subject,
        round: 0,
        metrics: found.metrics,
        neighbours: found.neighbours,
        read_back: found.read_back,
        cores: run.row.cores,
    })
}

/// A measured time: who used how much CPU in it.
struct Window {
    begin: Instant,
    server: Option<Cpu>,
    own: Duration,
    machine: Duration,
}

struct Spent {
    elapsed: Duration,
    server: Duration,
    neighbours: f64,
}

impl Window {
    /// Without a server, this process is all that is measured.
    fn open(server: Option<&Server>) -> Window {
        Window {
            begin: Instant::now(),
            server: server.map(Server::cpu),
            own: own_cpu(),
            machine: machine_cpu(),
        }
    }

    fn close(self, server: Option<&Server>, cores: &CoreList) -> Spent {
        let used = match (server, self.server) {
            (Some(server), Some(before)) => server.cpu().since(before),
            _ => Duration::ZERO,
        };
        let own = own_cpu().saturating_sub(self.own);
        let machine = machine_cpu().saturating_sub(self.machine);
        let elapsed = self.begin.elapsed();
        let others = machine.saturating_sub(used + own).as_secs_f64();
        Spent {
            elapsed,
            server: used,
            neighbours: others / (elapsed.as_secs_f64() * cores.count() as f64),
        }
    }
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
