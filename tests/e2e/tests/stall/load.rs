//! Who writes and who asks while the disk stalls.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ottla_model::batch::{BatchBuilder, BatchSpec};
use ottla_testkit::wire_client::{EARLIEST, WireClient, WireError};
use ottla_wire::find_coordinator::FindCoordinatorRequest;

/// More than the freeze takes, whatever else the machine does.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
pub(crate) const TOPIC: &str = "load";
/// A partition that nobody writes to.
pub(crate) const QUIET: &str = "quiet";
/// Many more than there are threads for the network, and than the pool for appends has.
pub(crate) const PARTITIONS: i32 = 64;
pub(crate) const PRODUCERS: i32 = 8;
pub(crate) const FLOODERS: i32 = 16;
/// What each sends without reading an answer, and how large each is.
const FLOOD_BATCHES: u64 = 16;
pub(crate) const FLOOD_BATCH_BYTES: usize = 512 << 10;
pub(crate) const FLOOD_BYTES: usize =
    FLOOD_BATCH_BYTES * FLOOD_BATCHES as usize * FLOODERS as usize;
const BATCH_BYTES: usize = 16 << 10;
const IN_FLIGHT: usize = 4;
/// Keeps the data small enough to be read back.
const PACE: Duration = Duration::from_millis(5);
const LONG_POLL_MS: i32 = 100;
const REQUEST_TIMED_OUT: i16 = 7;

/// Where the run is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    Before,
    Frozen,
    After,
    Over,
}

/// What everybody shares.
pub(crate) struct Run {
    phase: AtomicU8,
    address: String,
    /// By partition and offset: what was acknowledged there.
    pub(crate) acknowledged: Mutex<HashMap<(i32, i64), u64>>,
    /// When `acks=-1` was answered well.
    pub(crate) answered: Mutex<Vec<Instant>>,
    pub(crate) timed_out: Mutex<u64>,
    pub(crate) latencies: Mutex<Vec<(&'static str, Phase, Duration)>>,
}

impl Run {
    pub(crate) fn new(address: &str) -> Run {
        Run {
            phase: AtomicU8::new(0),
            address: address.to_owned(),
            acknowledged: Mutex::default(),
            answered: Mutex::default(),
            timed_out: Mutex::default(),
            latencies: Mutex::default(),
        }
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
    }

    fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Before,
            1 => Phase::Frozen,
            2 => Phase::After,
            _ => Phase::Over,
        }
    }

    pub(crate) fn client(&self) -> Result<WireClient, WireError> {
        let mut client = WireClient::connect(&self.address)?;
        client.set_time_limit(PATIENCE)?;
        Ok(client)
    }

    /// Writes to its share of the partitions with `acks=-1` until the run is over.
    pub(crate) fn produce(&self, producer: i32) -> Result<u64, String> {
        let mut client = self.client().map_err(|error| error.to_string())?;
        let partitions: Vec<i32> = (producer..PARTITIONS).step_by(PRODUCERS as usize).collect();
        let mut sent = VecDeque::new();
        let mut next = u64::from(producer as u32) << 32;
        let answer = |client: &mut WireClient, sent: &mut VecDeque<_>| {
            let Some((partition, stamp, began, pending)) = sent.pop_front() else {
                return Ok(());
            };
            let produced = client.receive_produced(pending);
            let produced = produced.map_err(|error| format!("producer {producer}: {error}"))?;
            self.note("Produce, acks=-1", began);
            match produced.error_code {
                0 => {
                    self.answered.lock().unwrap().push(Instant::now());
                    self.acknowledge(partition, produced.base_offset, stamp)
                }
                // It may be there or not.
                REQUEST_TIMED_OUT => {
                    *self.timed_out.lock().unwrap() += 1;
                    Ok(())
                }
                _ => Err(format!("producer {producer}: {produced:?}")),
            }
        };
        for partition in partitions.iter().cycle() {
            if self.phase() == Phase::Over {
                break;
            }
            let batch = batch(next, BATCH_BYTES);
            let pending = client.send_produce(TOPIC, *partition, &batch, -1);
            let pending = pending.map_err(|error| format!("producer {producer}: {error}"))?;
            sent.push_back((*partition, next, Instant::now(), pending));
            next += 1;
            if sent.len() == IN_FLIGHT {
                answer(&mut client, &mut sent)?;
            }
            thread::sleep(PACE);
        }
        while !sent.is_empty() {
            answer(&mut client, &mut sent)?;
        }
        Ok(next & u64::from(u32::MAX))
    }

    /// Sends much with `acks=1`, reads no answer before all is sent, then all of them.
    pub(crate) fn flood(&self, flooder: i32) -> Result<(), String> {
        let told = |error: WireError| format!("flooder {flooder}: {error}");
        let mut client = self.client().map_err(told)?;
        let first = u64::from((PRODUCERS + flooder) as u32) << 32;
        let mut sent = Vec::new();
        for stamp in first..first + FLOOD_BATCHES {
            let partition = (stamp as i32 + flooder) % PARTITIONS;
            let batch = batch(stamp, FLOOD_BATCH_BYTES);
            let pending = client.send_produce(TOPIC, partition, &batch, 1);
            sent.push((partition, stamp, pending.map_err(told)?));
        }
        for (partition, stamp, pending) in sent {
            let produced = client.receive_produced(pending).map_err(told)?;
            if produced.error_code != 0 {
                return Err(format!("flooder {flooder}: {produced:?}"));
            }
            self.acknowledge(partition, produced.base_offset, stamp)?;
        }
        Ok(())
    }

    /// Asks again and again for what needs no disk, each kind on a connection of its own.
    pub(crate) fn ask(&self, kind: Kind) -> Result<(), String> {
        let told = |error: WireError| format!("{kind:?}: {error}");
        let mut client = self.client().map_err(told)?;
        let mut turn = 0;
        while self.phase() != Phase::Over {
            let began = Instant::now();
            let phase = self.phase();
            turn += 1;
            let partition = turn % PARTITIONS;
            let good = match kind {
                Kind::Connect => {
                    let mut fresh = self.client().map_err(told)?;
                    !fresh.api_versions().map_err(told)?.is_empty()
                }
                Kind::ApiVersions => !client.api_versions().map_err(told)?.is_empty(),
                Kind::Metadata => {
                    let topics = client.metadata(None).map_err(told)?;
                    topics.iter().any(|topic| topic.name == TOPIC)
                }
                Kind::FindCoordinator => {
                    let request = FindCoordinatorRequest {
                        key: "group",
                        ..FindCoordinatorRequest::default()
                    };
                    let answer = client.call(&request, 3).map_err(told)?;
                    answer.body().is_ok()
                }
                Kind::ListOffsets => {
                    let found = client.list_offset(TOPIC, partition, EARLIEST);
                    found.map_err(told)?.offset == 0
                }
                Kind::Fetch => {
                    let fetched = client.fetch(TOPIC, partition, 0, 64 << 10, 0);
                    let fetched = fetched.map_err(told)?;
                    let recent = (fetched.high_watermark - 2).max(0);
                    let fetched = client.fetch(TOPIC, partition, recent, 64 << 10, 0);
                    !fetched.map_err(told)?.records.is_empty()
                }
                Kind::LongPoll => {
                    let nothing = client.fetch(QUIET, 0, 0, 64 << 10, LONG_POLL_MS);
                    let nothing = nothing.map_err(told)?;
                    nothing.error_code == 0 && nothing.records.is_empty()
                }
            };
            if !good {
                return Err(format!("{kind:?}: not what was asked for, while {phase:?}"));
            }
            // One that spans two phases belongs to neither.
            if self.phase() == phase {
                let latency = (kind.name(), phase, began.elapsed());
                self.latencies.lock().unwrap().push(latency);
            }
            thread::sleep(PACE);
        }
        Ok(())
    }

    fn note(&self, what: &'static str, began: Instant) {
        let latency = (what, self.phase(), began.elapsed());
        self.latencies.lock().unwrap().push(latency);
    }

    fn acknowledge(&self, partition: i32, offset: i64, stamp: u64) -> Result<(), String> {
        let mut acknowledged = self.acknowledged.lock().unwrap();
        match acknowledged.insert((partition, offset), stamp) {
            None => Ok(()),
            Some(other) => Err(format!(
                "offset {offset} of partition {partition} is both {other:x} and {stamp:x}"
            )),
        }
    }
}

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Connect,
    ApiVersions,
    Metadata,
    FindCoordinator,
    ListOffsets,
    Fetch,
    LongPoll,
}

impl Kind {
    pub(crate) const ALL: [Kind; 7] = [
        Kind::Connect,
        Kind::ApiVersions,
        Kind::Metadata,
        Kind::FindCoordinator,
        Kind::ListOffsets,
        Kind::Fetch,
        Kind::LongPoll,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Connect => "connect, ApiVersions",
            Kind::ApiVersions => "ApiVersions",
            Kind::Metadata => "Metadata",
            Kind::FindCoordinator => "FindCoordinator",
            Kind::ListOffsets => "ListOffsets, earliest",
            Kind::Fetch => "2 Fetches, old and recent",
            Kind::LongPoll => "Fetch, 100 ms long poll",
        }
    }
}

/// A batch of one record that says which it is.
fn batch(stamp: u64, bytes: usize) -> Vec<u8> {
    let mut value = stamp.to_be_bytes().to_vec();
    value.resize(bytes, stamp as u8);
    let mut builder = BatchBuilder::new(BatchSpec::default(), 1_700_000_000_000);
    builder.push(None, Some(&value), &[], 1_700_000_000_000);
    builder.build().bytes().to_vec()
}
