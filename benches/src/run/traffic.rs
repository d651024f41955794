//! Producing and fetching.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use ottla_testkit::wire_client::{LATEST, WireClient, WireError};
use ottla_wire::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};

use super::read_back::read_back;
use super::{Found, Run, Window, milliseconds};
use crate::histogram::Histogram;
use crate::load::{Extent, Lane, Measured, Pace, Stored, drive};
use crate::machine::{CoreList, pre_touch};
use crate::outcome::Subject;
use crate::profile::Recording;
use crate::rows::{Metric, Produce};
use crate::server::Server;
use crate::wire::{Batch, Ring, TOPIC};

/// What consumers read: batches of this size, in one partition, so many bytes in all.
const STORED_BATCH_BYTES: usize = 16 << 10;
const STORED_VALUE_BYTES: usize = 100;
const STORED_BYTES: u64 = 512 << 20;
const STORED_IN_FLIGHT: u64 = 32;
/// What a start after a kill finds: fewer requests than small batches would take.
const KILLED_BATCH_BYTES: usize = 64 << 10;
/// What every partition gets before anything is counted: several entries of each index.
const FIRST_BYTES: usize = 16 << 10;
/// Frames that are sent in one call, if they are small.
const BURST_BYTES: usize = 256 << 10;
/// How long a new topic may take until every partition has its leader.
const LEADER_LIMIT: Duration = Duration::from_secs(60);
const LEADER_POLL: Duration = Duration::from_millis(1);
/// Without an end but the other one.
const NO_LIMIT: Duration = Duration::from_secs(3_600);

pub(super) fn produce(run: &Run, cores: &CoreList, load: Produce) -> Result<Found, String> {
    let server = Server::start(run.server.clone(), cores)?;
    let partitions = run.size.count(load.partitions);
    create_topic(run, &server, partitions)?;
    let batch = Batch::new(load.batch_bytes, load.value_bytes);
    let mut lanes = producers(&server, &batch, load, partitions)?;
    let pace = load.per_second.map_or(Pace::Closed, Pace::Open);
    let shares = (partitions * FIRST_BYTES) as u64;
    let warmed = warm(run, &mut lanes, pace, shares)?;
    let dirty = will_dirty(run, &warmed);
    let (measured, mut found) = measure(run, cores, &server, &mut lanes, pace, dirty)?;
    insert_costs(&mut found, &measured);
    if run.subject != Subject::Limit(crate::rows::Limit::Echo) {
        found.read_back = verify(run, &server, &lanes)?;
    }
    Ok(found)
}

pub(super) fn fetch(
    run: &Run,
    cores: &CoreList,
    consumers: usize,
    bytes_max: usize,
) -> Result<Found, String> {
    let server = Server::start(run.server.clone(), cores)?;
    create_topic(run, &server, 1)?;
    let batch = Batch::new(STORED_BATCH_BYTES, STORED_VALUE_BYTES);
    let fill = Produce {
        batch_bytes: STORED_BATCH_BYTES,
        value_bytes: STORED_VALUE_BYTES,
        connections: 1,
        in_flight: STORED_IN_FLIGHT as usize,
        partitions: 1,
        acks: -1,
        per_second: None,
    };
    let mut producers = producers(&server, &batch, fill, 1)?;
    let extent = Extent {
        duration: NO_LIMIT,
        bytes_max: run.size.bytes(STORED_BYTES),
    };
    drive(&mut producers, Pace::Closed, extent)?;

    let end_offset = producers[0]
        .acknowledged()
        .map(|(_, records)| records)
        .sum();
    let stored = Stored {
        batch_bytes: batch.bytes.len() as u64,
        batch_records: batch.records,
        end_offset,
    };
    // Whole batches, so that no broker sends a part of one that a client throws away.
    let whole = bytes_max / batch.bytes.len() * batch.bytes.len();
    let batches = end_offset / batch.records;
    let mut lanes = Vec::with_capacity(consumers);
    for at in 0..consumers as u64 {
        let ring = Ring::fetch(0, i32::try_from(whole).map_err(|e| e.to_string())?);
        let ring = ring.map_err(|e| e.to_string())?;
        let from = batches * at / consumers as u64 * batch.records;
        lanes.push(Lane::consumer(server.address(), ring, stored, from)?);
    }
    warm(run, &mut lanes, Pace::Closed, 0)?;
    let (measured, mut found) = measure(run, cores, &server, &mut lanes, Pace::Closed, 0)?;
    insert_costs(&mut found, &measured);
    found.read_back = verify(run, &server, &producers)?;
    Ok(found)
}

/// Fills partitions, kills the server with -9, starts it again.
pub(super) fn recover(
    run: &Run,
    cores: &CoreList,
    partitions: usize,
    bytes: u64,
) -> Result<Found, String> {
    let partitions = run.size.count(partitions);
    let mut server = Server::start(run.server.clone(), cores)?;
    create_topic(run, &server, partitions)?;
    let batch = Batch::new(KILLED_BATCH_BYTES, STORED_VALUE_BYTES);
    let load = Produce {
        batch_bytes: KILLED_BATCH_BYTES,
        value_bytes: STORED_VALUE_BYTES,
        connections: 1,
        in_flight: STORED_IN_FLIGHT as usize,
        partitions,
        acks: -1,
        per_second: None,
    };
    let mut lanes = producers(&server, &batch, load, partitions)?;
    let extent = Extent {
        duration: NO_LIMIT,
        bytes_max: run.size.bytes(bytes),
    };
    drive(&mut lanes, Pace::Closed, extent)?;
    let mut found = Found::default();
    server.kill_and_restart(cores)?;
    found
        .metrics
        .insert(Metric::FirstReply, milliseconds(server.first_reply_after));
    wait_for_leaders(&server, partitions)?;
    found
        .metrics
        .insert(Metric::Ready, milliseconds(server.started.elapsed()));
    found.read_back = verify(run, &server, &lanes)?;
    Ok(found)
}

pub(super) fn insert_latencies(metrics: &mut BTreeMap<Metric, f64>, latencies: &Histogram) {
    for (metric, share) in [
        (Metric::P50, 0.5),
        (Metric::P99, 0.99),
        (Metric::P999, 0.999),
    ] {
        if let Some(latency) = latencies.quantile(share) {
            metrics.insert(metric, latency.as_secs_f64() * 1e6);
        }
    }
}

/// The load that is counted, which will take so much memory of the page cache.
fn measure(
    run: &Run,
    cores: &CoreList,
    server: &Server,
    lanes: &mut [Lane],
    pace: Pace,
    dirty_bytes: u64,
) -> Result<(Measured, Found), String> {
    let recording = run
        .profile
        .as_ref()
        .map(|_| Recording::begin(server.id(), &run.home));
    let recording = recording.transpose()?;
    // Last: it does not hold for long.
    pre_touch(&run.home, dirty_bytes)?;
    let window = Window::open(Some(server));
    let extent = Extent {
        duration: run.size.measure,
        bytes_max: run.size.bytes_max,
    };
    let outcome = drive(lanes, pace, extent);
    let measured = outcome.map_err(|why| format!("{why}; it said: {}", server.last_words()))?;
    let spent = window.close(Some(server), cores);
    if let (Some(recording), Some(path)) = (recording, &run.profile) {
        recording.end(path, run.row.name)?;
    }
    let mut found = Found {
        neighbours: spent.neighbours,
        ..Found::default()
    };
    let used = spent.server.as_secs_f64();
    found
        .metrics
        .insert(Metric::CpuPerGb, used / (measured.bytes as f64 / 1e9));
    found
        .metrics
        .insert(Metric::CpuPerRequest, used * 1e6 / measured.requests as f64);
    Ok((measured, found))
}

fn insert_costs(found: &mut Found, measured: &Measured) {
    let seconds = measured.elapsed.as_secs_f64();
    found
        .metrics
        .insert(Metric::Throughput, measured.bytes as f64 / 1e6 / seconds);
    found
        .metrics
        .insert(Metric::Requests, measured.requests as f64 / seconds);
    insert_latencies(&mut found.metrics, &measured.latencies);
}

/// The load that is not counted. Every partition gets its share first: Apache Kafka pays for the first
/// entries of an index, which come after some kilobytes, milliseconds each.
fn warm(
    run: &Run,
    lanes: &mut [Lane],
    pace: Pace,
    partition_bytes: u64,
) -> Result<Measured, String> {
    let shares = Extent {
        duration: NO_LIMIT,
        bytes_max: partition_bytes,
    };
    drive(lanes, pace, shares)?;
    let extent = Extent {
        duration: run.size.warm,
        bytes_max: run.size.bytes_max,
    };
    drive(lanes, pace, extent)
}

/// How much memory the counted load may take, going by the one before; generously, for that was slower.
fn will_dirty(run: &Run, warmed: &Measured) -> u64 {
    let per_second = warmed.bytes as f64 / warmed.elapsed.as_secs_f64();
    let bytes = per_second * run.size.measure.as_secs_f64() * 2.0;
    (bytes as u64).min(run.size.bytes_max)
}

/// Connections, and the frames of each: as many partitions as there are, spread over the connections.
fn producers(
    server: &Server,
    batch: &Batch,
    load: Produce,
    partitions: usize,
) -> Result<Vec<Lane>, String> {
    let mut lanes = Vec::with_capacity(load.connections);
    for at in 0..load.connections {
        let mut own: Vec<i32> = (0..partitions)
            .filter(|partition| partition % load.connections == at % partitions)
            .filter_map(|partition| i32::try_from(partition).ok())
            .collect();
        // What is in flight goes out in one call, if the frames of one partition lie side by side.
        let burst = load.in_flight.min(BURST_BYTES / batch.bytes.len()).max(1);
        if let [only] = own[..] {
            own = vec![only; burst];
        }
        let ring = Ring::produce(batch, &own, load.acks).map_err(|e| e.to_string())?;
        lanes.push(Lane::producer(
            server.address(),
            ring,
            batch,
            load.in_flight as u64,
        )?);
    }
    Ok(lanes)
}

/// Everything that was acknowledged, by partition; the limit program has but one log.
fn verify(run: &Run, server: &Server, lanes: &[Lane]) -> Result<u64, String> {
    let mut expected = BTreeMap::new();
    for (partition, records) in lanes.iter().flat_map(Lane::acknowledged) {
        *expected.entry(partition).or_default() += records;
    }
    let is_broker = !matches!(run.subject, Subject::Limit(_));
    let expected: Vec<(i32, u64)> = if is_broker {
        expected.into_iter().collect()
    } else {
        vec![(0, expected.into_values().sum())]
    };
    read_back(server.address(), &expected, is_broker)
}

fn create_topic(run: &Run, server: &Server, partitions: usize) -> Result<(), String> {
    if matches!(run.subject, Subject::Limit(_)) {
        return Ok(());
    }
    let mut client = WireClient::connect(server.address()).map_err(|e| e.to_string())?;
    let configs: Vec<(&str, &str)> = run
        .topic_configs
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let count = i32::try_from(partitions).map_err(|e| e.to_string())?;
    let created = client
        .create_topic(TOPIC, count, &configs)
        .map_err(|e| e.to_string())?;
    if created.error_code != 0 {
        return Err(format!("{created:?}"));
    }
    wait_for_leaders(server, partitions)
}

/// Apache Kafka answers before its partitions have leaders.
fn wait_for_leaders(server: &Server, partitions: usize) -> Result<(), String> {
    let mut client = WireClient::connect(server.address()).map_err(|e| e.to_string())?;
    let begin = Instant::now();
    while begin.elapsed() < LEADER_LIMIT {
        if all_have_leaders(&mut client, partitions).map_err(|e| e.to_string())? {
            return Ok(());
        }
        thread::sleep(LEADER_POLL);
    }
    Err(format!(
        "not all partitions have leaders after {LEADER_LIMIT:?}"
    ))
}

fn all_have_leaders(client: &mut WireClient, partitions: usize) -> Result<bool, WireError> {
    let request = ListOffsetsRequest {
        replica_id: -1,
        topics: vec![ListOffsetsTopic {
            name: TOPIC,
            partitions: (0_i32..)
                .take(partitions)
                .map(|partition_index| ListOffsetsPartition {
                    partition_index,
                    current_leader_epoch: -1,
                    timestamp: LATEST,
                    ..ListOffsetsPartition::default()
                })
                .collect(),
        }],
        ..ListOffsetsRequest::default()
    };
    let answer = client.call(&request, 9)?;
    let body = answer.body()?;
    let mut answered = body.topics.iter().flat_map(|topic| &topic.partitions);
    let count = body
        .topics
        .iter()
        .map(|topic| topic.partitions.len())
        .sum::<usize>();
    Ok(count == partitions && answered.all(|partition| partition.error_code == 0))
}
