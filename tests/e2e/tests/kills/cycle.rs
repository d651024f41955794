//! From a restart to the next kill.

use std::fs;
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
use crate::{Event, TOPIC, is_idempotent};

/// Load that brings no kill about for so long does not do what it should.
const PATIENCE: Duration = Duration::from_secs(30);
/// A reader at the end comes back to its other partitions after this.
const READ_WAIT_MS_MAX: i32 = 10;

/// When to kill.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Moment {
    /// After so many acknowledged batches.
    Anywhere { batches: u64 },
    /// So long after a segment appeared, the n-th.
    Roll { segments: u64, pause: Duration },
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
    /// A segment had been made, and nothing in it acknowledged.
    pub(crate) in_roll: bool,
    /// Such a segment had nothing in it at all.
    pub(crate) in_empty_segment: bool,
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
                segments: random.between(1, 12),
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
    let mut segments = Vec::new();
    let (unanswered, churn) = thread::scope(|scope| {
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

        let waited = wait(moment, receive, &mut segments);
        broker.kill();
        let mut unanswered = 0;
        for producer in producers {
            unanswered += producer.join().map_err(|_| "a producer panicked")??;
        }
        for reader in readers {
            reader.join().map_err(|_| "a reader panicked")??;
        }
        let churn = churn.join().map_err(|_| "the churn panicked")??;
        waited.map(|()| (unanswered, churn))
    })?;
    for event in receive.try_iter() {
        if let Event::Segment { partition, base } = event {
            segments.push((partition, base));
        }
    }
    segments.retain(|(partition, base)| *base >= ledger.acknowledged_end(*partition));
    let is_empty = |(partition, base): &(i32, i64)| {
        let path = broker
            .data()
            .join(format!("{TOPIC}-{partition}/{base:020}.log"));
        fs::metadata(path).is_ok_and(|file| file.len() == 0)
    };
    Ok(Kill {
        unanswered,
        churn,
        in_roll: !segments.is_empty(),
        in_empty_segment: segments.iter().any(is_empty),
    })
}

fn wait(
    moment: Moment,
    events: &Receiver<Event>,
    segments: &mut Vec<(i32, i64)>,
) -> Result<(), String> {
    let (mut batches, mut requests) = (0, 0);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match events.recv_timeout(left) {
            Ok(Event::Acknowledged) => batches += 1,
            Ok(Event::CreateSent) => requests += 1,
            Ok(Event::Segment { partition, base }) => segments.push((partition, base)),
            // Whoever failed says why.
            Ok(Event::Failed) => return Ok(()),
            Err(_) => {
                return Err(format!(
                    "{moment:?} did not come: {batches} batches, {requests} creates, {} segments",
                    segments.len()
                ));
            }
        }
        let pause = match moment {
            Moment::Anywhere { batches: wanted } => (batches >= wanted).then_some(Duration::ZERO),
            Moment::Roll {
                segments: wanted,
                pause,
            } => (segments.len() as u64 >= wanted).then_some(pause),
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
    let read = || -> Result<String, WireError> {
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
    let mut read = read;
    match read() {
        Ok(why) => Err(format!("a reader: {why}")),
        Err(WireError::Closed) => Ok(()),
        Err(error) => Err(format!("a reader: {error}")),
    }
}
