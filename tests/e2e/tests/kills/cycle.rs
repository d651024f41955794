//! From a restart to the next kill.

use std::fs;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use ottla_e2e::random::Random;
use ottla_testkit::broker_process::BrokerProcess;
use ottla_testkit::wire_client::{WireClient, WireError};

use crate::churn::{Churn, Unanswered};
use crate::ledger::Ledger;
use crate::producer::Producer;
use crate::scan::Scan;
use crate::watch::{File, Kind};
use crate::{Event, TOPIC, is_idempotent};

/// Load that brings no kill about for so long does not do what it should.
const PATIENCE: Duration = Duration::from_secs(90);
/// A reader at the end comes back to its other partitions after this.
const READ_WAIT_MS_MAX: i32 = 10;
/// A segment of half its size is not full yet: its index was not made by a roll.
const FULL_BYTES_MIN: u64 = 512 << 10;

/// When to kill.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Moment {
    /// After so many acknowledged batches.
    Anywhere { batches: u64 },
    /// So long after a file of this kind appeared, the n-th.
    Roll {
        files: u64,
        kind: Kind,
        pause: Duration,
    },
    /// So long after a CreateTopics was sent, the n-th.
    Create { requests: u64, pause: Duration },
}

/// What a kill hit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kill {
    /// Produce requests that were sent and never answered.
    pub(crate) unanswered: usize,
    /// What of the churn was not answered.
    pub(crate) churn: Unanswered,
    /// A roll had begun, and nothing in the new segment was acknowledged.
    pub(crate) in_roll: bool,
    /// There was no new segment yet, or nothing in it.
    pub(crate) in_middle: bool,
}

/// Everybody who talks to the broker, across all kills.
pub(crate) struct Load {
    pub(crate) producers: Vec<Producer>,
    pub(crate) readers: Vec<Vec<Scan>>,
    pub(crate) churn: Churn,
}

impl Moment {
    /// Two kills in five anywhere, two in a roll, one in a CreateTopics.
    pub(crate) fn roll(random: &mut Random) -> Moment {
        let pause = Duration::from_micros(random.below(8) * random.below(100));
        match random.below(5) {
            0 | 1 => Moment::Anywhere {
                batches: random.between(10, 400),
            },
            2 | 3 => Moment::Roll {
                files: random.between(1, 12),
                kind: *random.pick(&[Kind::Index, Kind::Log, Kind::Snapshot]),
                pause,
            },
            _ => Moment::Create {
                requests: random.between(1, 12),
                pause,
            },
        }
    }
}

/// Loads the broker and kills it at this moment. `ends` is where the partitions end.
///
/// # Errors
/// What anybody met that a broker may not do.
pub(crate) fn run(
    broker: &mut BrokerProcess,
    load: &mut Load,
    ledger: &Ledger,
    ends: &[i64],
    moment: Moment,
    (send, receive): (&Sender<Event>, &Receiver<Event>),
) -> Result<Kill, String> {
    while receive.try_recv().is_ok() {}
    let address = broker.address().to_owned();
    let address = address.as_str();
    let mut files = Vec::new();
    let (killed_at, churn) = thread::scope(|scope| {
        let told = |event: Sender<Event>, failed: bool| {
            if failed {
                let _ = event.send(Event::Failed);
            }
        };
        let producers: Vec<_> = load
            .producers
            .iter_mut()
            .map(|producer| {
                scope.spawn(move || {
                    let outcome = producer.run(address, TOPIC, ledger, ends, send);
                    told(send.clone(), outcome.is_err());
                    outcome
                })
            })
            .collect();
        let readers: Vec<_> = load
            .readers
            .iter_mut()
            .map(|scans| {
                scope.spawn(move || {
                    let outcome = read(address, scans, ledger);
                    told(send.clone(), outcome.is_err());
                    outcome
                })
            })
            .collect();
        let churn = &mut load.churn;
        let churn = scope.spawn(move || {
            let outcome = churn.run(address, send);
            told(send.clone(), outcome.is_err());
            outcome
        });

        let waited = wait(moment, receive, &mut files);
        let killed_at = Instant::now();
        broker.kill();
        for producer in producers {
            producer.join().map_err(|_| "a producer panicked")??;
        }
        for reader in readers {
            reader.join().map_err(|_| "a reader panicked")??;
        }
        let churn = churn.join().map_err(|_| "the churn panicked")??;
        waited.map(|()| (killed_at, churn))
    })?;
    files.extend(receive.try_iter().filter_map(|event| match event {
        Event::File(file) => Some(file),
        _ => None,
    }));
    let begun = files
        .iter()
        .filter_map(|file| roll(&broker.data(), ledger, *file))
        .collect::<Vec<_>>();
    let unanswered = |producer: &Producer| producer.unanswered(killed_at);
    Ok(Kill {
        unanswered: load.producers.iter().map(unanswered).sum(),
        churn,
        in_roll: !begun.is_empty(),
        in_middle: begun.contains(&Roll::InMiddle),
    })
}

/// How far a roll had come.
#[derive(PartialEq, Eq)]
enum Roll {
    /// The new segment is not there or has nothing in it.
    InMiddle,
    /// Nothing in the new segment is acknowledged.
    Unacknowledged,
}

/// What the kill did to the roll that this file belongs to; `None` if that was over.
fn roll(data: &Path, ledger: &Ledger, file: File) -> Option<Roll> {
    let directory = data.join(format!("{TOPIC}-{}", file.partition));
    let log = directory.join(format!("{:020}.log", file.base));
    let size = fs::metadata(log).map(|file| file.len()).ok()?;
    match file.kind {
        Kind::Log | Kind::Snapshot if file.base < ledger.acknowledged_end(file.partition) => None,
        Kind::Log | Kind::Snapshot if size == 0 => Some(Roll::InMiddle),
        Kind::Log | Kind::Snapshot => Some(Roll::Unacknowledged),
        // Of a full segment, whose successor did not come.
        Kind::Index => {
            let newest = fs::read_dir(directory).ok()?.filter_map(|entry| {
                let name = entry.ok()?.file_name();
                name.to_str()?.strip_suffix(".log")?.parse::<i64>().ok()
            });
            let last = newest.max() == Some(file.base) && size > FULL_BYTES_MIN;
            last.then_some(Roll::InMiddle)
        }
    }
}

fn wait(moment: Moment, events: &Receiver<Event>, files: &mut Vec<File>) -> Result<(), String> {
    let (mut batches, mut requests) = (0, 0);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match events.recv_timeout(left) {
            Ok(Event::Acknowledged) => batches += 1,
            Ok(Event::CreateSent) => requests += 1,
            Ok(Event::File(file)) => files.push(file),
            // Whoever failed says why.
            Ok(Event::Failed) => return Ok(()),
            Err(_) => {
                return Err(format!(
                    "{moment:?} did not come: {batches} batches, {requests} creates, {} files",
                    files.len()
                ));
            }
        }
        let pause = match moment {
            Moment::Anywhere { batches: wanted } => (batches >= wanted).then_some(Duration::ZERO),
            Moment::Roll {
                files: wanted,
                kind,
                pause,
            } => {
                let seen = files.iter().filter(|file| file.kind == kind).count();
                (seen as u64 >= wanted).then_some(pause)
            }
            Moment::Create {
                requests: wanted,
                pause,
            } => (requests >= wanted).then_some(pause),
        };
        if let Some(pause) = pause {
            let until = Instant::now() + pause;
            while Instant::now() < until {
                thread::yield_now();
            }
            return Ok(());
        }
    }
}

/// Reads along until the broker is gone.
fn read(address: &str, scans: &mut [Scan], ledger: &Ledger) -> Result<(), String> {
    let mut read = || -> Result<String, WireError> {
        let mut client = WireClient::connect(address)?;
        loop {
            for scan in &mut *scans {
                let step =
                    scan.step(&mut client, TOPIC, ledger, is_idempotent, READ_WAIT_MS_MAX)?;
                if let Err(why) = step {
                    return Ok(why);
                }
            }
        }
    };
    match read() {
        Ok(why) => Err(format!("a reader: {why}")),
        Err(WireError::Closed) => Ok(()),
        Err(error) => Err(format!("a reader: {error}")),
    }
}
