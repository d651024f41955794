//! Producing and fetching.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use ottla_testkit::wire_client::{LATEST, WireClient, WireError};
use ottla_wire::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};

use super::idle::{self, Idle};
use super::read_back::read_back;
use super::{Found, Run, Window, megabytes, milliseconds};
use crate::histogram::Histogram;
use crate::load::{Extent, Lane, Measured, Pace, Stored, drive};
use crate::machine::{CoreList, pre_touch};
use crate::outcome::Subject;
use crate::profile::Recording;
use crate::rows::{Fetch, Metric, Produce, READ, SMALL};
use crate::server::Server;
use crate::wire::{Batch, Ring, TOPIC};

/// Requests in flight while something is stored that will be read.
pub(super) const STORED_IN_FLIGHT: usize = 32;
/// What a start after a kill finds: fewer requests than small batches would take.
pub(super) const KILLED: Produce = Produce {
    batch_bytes: 64 << 10,
    value_bytes: READ.value_bytes,
    in_flight: STORED_IN_FLIGHT,
    ..SMALL
};
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
    let mut server = Server::start(run.server.clone(), cores)?;
    let partitions = run.size.count(load.partitions);
    let begin = Instant::now();
    create_topic(run, &server, partitions)?;
    let created = begin.elapsed();
    let mut idle = Idle::connect(&server, run.size.count(load.idle_connections))?;
    let batch = Batch::new(load.batch_bytes, load.value_bytes);
    let mut lanes = producers(&server, &batch, load, partitions)?;
    let pace = load.per_second.map_or(Pace::Closed, Pace::Open);
    let shares = (partitions * FIRST_BYTES) as u64;
    let warmed = warm(run, &mut lanes, pace, shares)?;
    let dirty = will_dirty(run, &warmed);
    let (measured, mut found) = measure(run, cores, &server, &mut lanes, pace, dirty)?;
    insert_costs(&mut found, &measured);
    found.metrics.insert(Metric::Create, milliseconds(created));
    let resident = megabytes(server.resident_bytes());
    found.metrics.insert(Metric::Resident, resident);
    idle.answer()?;
    if run.row.metrics.contains(&Metric::IdleCpu) {
        let spent = idle::nothing(run, cores, &server);
        found.metrics.insert(Metric::IdleCpu, spent);
    }
    if run.row.metrics.contains(&Metric::Ready) {
        restart(&mut found, &mut server, cores, &[TOPIC], partitions)?;
    }
    if run.subject != Subject::Limit(crate::rows::Limit::Echo) {
        found.read_back = verify(run, &server, &lanes)?;
    }
    Ok(found)
}

pub(super) fn fetch(run: &Run, cores: &CoreList, load: Fetch) -> Result<Found, String> {
    let server = Server::start(run.server.clone(), cores)?;
    create_topic(run, &server, 1)?;
    let fill = Produce {
        batch_bytes: load.batch_bytes,
        value_bytes: load.value_bytes,
        in_flight: STORED_IN_FLIGHT,
        ..SMALL
    };
    let (producers, stored) = fill_partition(run, &server, fill, load.stored_bytes)?;
    let batches = stored.end_offset / stored.batch_records;
    let mut lanes = Vec::with_capacity(load.consumers);
    for at in 0..load.consumers as u64 {
        let from = batches * at / load.consumers as u64 * stored.batch_records;
        lanes.push(consumer(&server, stored, load.bytes_max, from)?);
    }
    warm(run, &mut lanes, Pace::Closed, 0)?;
    let (measured, mut found) = measure(run, cores, &server, &mut lanes, Pace::Closed, 0)?;
    insert_costs(&mut found, &measured);
    let resident = megabytes(server.resident_bytes());
    found.metrics.insert(Metric::Resident, resident);
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
    let batch = Batch::new(KILLED.batch_bytes, KILLED.value_bytes);
    let mut lanes = producers(&server, &batch, KILLED, partitions)?;
    let extent = Extent {
        duration: NO_LIMIT,
        bytes_max: run.size.bytes(bytes),
    };
    drive(&mut lanes, Pace::Closed, extent)?;
    let mut found = Found::default();
    restart(&mut found, &mut server, cores, &[TOPIC], partitions)?;
    found.read_back = verify(run, &server, &lanes)?;
    Ok(found)
}

/// `kill -9` and a start, until topics with so many partitions each are served.
pub(super) fn restart(
    found: &mut Found,
    server: &mut Server,
    cores: &CoreList,
    topics: &[&str],
    partitions: usize,
) -> Result<(), String> {
    server.kill_and_restart(cores)?;
    found
        .metrics
        .insert(Metric::FirstReply, milliseconds(server.first_reply_after));
    wait_for_leaders(server, topics, partitions)?;
    found
        .metrics
        .insert(Metric::Ready, milliseconds(server.started.elapsed()));
    Ok(())
}

/// Appends so many bytes to one partition.
pub(super) fn fill_partition(
    run: &Run,
    server: &Server,
    load: Produce,
    bytes: u64,
) -> Result<(Vec<Lane>, Stored), String> {
    let batch = Batch::new(load.batch_bytes, load.value_bytes);
    let mut producers = producers(server, &batch, load, 1)?;
    let extent = Extent {
        duration: NO_LIMIT,
        bytes_max: run.size.bytes(bytes),
    };
    drive(&mut producers, Pace::Closed, extent)?;
    let stored = Stored {
        batch_bytes: batch.bytes.len() as u64,
        batch_records: batch.records,
        begin_offset: 0,
        end_offset: producers[0]
            .acknowledged()
            .map(|(_, records)| records)
            .sum(),
    };
    Ok((producers, stored))
}

/// Reads from an offset on, in pieces of at most so many bytes.
pub(super) fn consumer(
    server: &Server,
    stored: Stored,
    bytes_max: usize,
    from: u64,
) -> Result<Lane, String> {
    // Whole batches, so that no broker sends a part of one that a client throws away.
    let batch_bytes = stored.batch_bytes as usize;
    let whole = (bytes_max / batch_bytes).max(1) * batch_bytes;
    let ring = Ring::fetch(0, i32::try_from(whole).map_err(|e| e.to_string())?);
    let ring = ring.map_err(|e| e.to_string())?;
    Lane::consumer(server.address(), ring, stored, from)
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
pub(super) fn measure(
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
    if measured.bytes > 0 {
        let gigabytes = measured.bytes as f64 / 1e9;
        found.metrics.insert(Metric::CpuPerGb, used / gigabytes);
    }
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
pub(super) fn warm(
    run: &Run,
    lanes: &mut [Lane],
    pace: Pace,
    partition_bytes: u64,
) -> Result<Measured, String> {
    let shares = Extent {
        duration: NO_LIMIT,
        bytes_max: partition_bytes,
    };
    drive(lanes, Pace::Closed, shares)?;
    let extent = Extent {
        duration: run.size.warm,
        bytes_max: run.size.bytes_max,
    };
    drive(lanes, pace, extent)
}

/// How much memory the counted load may take, going by the one before; generously, for that was slower.
pub(super) fn will_dirty(run: &Run, warmed: &Measured) -> u64 {
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
pub(super) fn verify(run: &Run, server: &Server, lanes: &[Lane]) -> Result<u64, String> {
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

pub(super) fn create_topic(run: &Run, server: &Server, partitions: usize) -> Result<(), String> {
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
    wait_for_leaders(server, &[TOPIC], partitions)
}

/// Apache Kafka answers before its partitions have leaders.
pub(super) fn wait_for_leaders(
    server: &Server,
    topics: &[&str],
    partitions: usize,
) -> Result<(), String> {
    let mut client = WireClient::connect(server.address()).map_err(|e| e.to_string())?;
    let begin = Instant::now();
    while begin.elapsed() < LEADER_LIMIT {
        if all_have_leaders(&mut client, topics, partitions).map_err(|e| e.to_string())? {
            return Ok(());
        }
        thread::sleep(LEADER_POLL);
    }
    Err(format!(
        "not all partitions have leaders after {LEADER_LIMIT:?}"
    ))
}

fn all_have_leaders(
    client: &mut WireClient,
    topics: &[&str],
    partitions: usize,
) -> Result<bool, WireError> {
    let asked = |name| ListOffsetsTopic {
        name,
        partitions: (0_i32..)
            .take(partitions)
            .map(|partition_index| ListOffsetsPartition {
                partition_index,
                current_leader_epoch: -1,
                timestamp: LATEST,
                ..ListOffsetsPartition::default()
            })
            .collect(),
    };
    let request = ListOffsetsRequest {
        replica_id: -1,
        topics: topics.iter().map(|name| asked(*name)).collect(),
        ..ListOffsetsRequest::default()
    };
    let answer = client.call(&request, 9)?;
    let body = answer.body()?;
    let mut answered = body.topics.iter().flat_map(|topic| &topic.partitions);
    let count = answered.clone().count();
    Ok(count == topics.len() * partitions && answered.all(|partition| partition.error_code == 0))
}
