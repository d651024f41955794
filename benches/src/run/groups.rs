//! Members join groups, one more joins each group, all send heartbeats without a pause, then one each three
//! seconds, and at last nobody does anything.
//!
//! Members have a connection each and go on as soon as they are answered: what a broker needs for a
//! rebalance, without the time that clients wait between two heartbeats.

use std::time::Duration;

use ottla_testkit::wire_client::WireClient;
use ottla_wire::find_coordinator::FindCoordinatorRequest;

use super::idle;
use super::traffic::{create_topic, measure, wait_for_leaders, warm};
use super::{Found, Run, Window, milliseconds};
use crate::load::{Extent, Lane, Pace, drive};
use crate::machine::CoreList;
use crate::members::Crowd;
use crate::rows::{Groups, Metric};
use crate::server::Server;
use crate::wire::TOPIC;

const OFFSETS_TOPIC: &str = "__consumer_offsets";
/// `offsets.topic.num.partitions` as it comes.
const OFFSETS_PARTITIONS: usize = 50;
const FIND_VERSION: i16 = 4;
/// `heartbeat.interval.ms` of clients as they come.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(3);

pub(super) fn run(run: &Run, cores: &CoreList, load: Groups) -> Result<Found, String> {
    let server = Server::start(run.server.clone(), cores)?;
    let partitions = run.size.count(load.partitions);
    create_topic(run, &server, partitions)?;
    find_coordinators(&server)?;
    let mut crowd = Crowd::new(load.protocol, run.size.count(load.groups), partitions);
    for _ in 0..run.size.count(load.members) {
        crowd.connect(server.address())?;
    }
    let mut found = Found::default();
    let before = server.resident_bytes();
    join(
        &mut crowd,
        &server,
        cores,
        &mut found,
        [Metric::Join, Metric::JoinCpu],
    )?;
    let extra = server.resident_bytes().saturating_sub(before);
    let per_member = extra as f64 / 1e3 / crowd.count() as f64;
    crowd.connect(server.address())?;
    let both = [Metric::Rebalance, Metric::RebalanceCpu];
    join(&mut crowd, &server, cores, &mut found, both)?;

    let mut lanes = crowd.into_lanes()?;
    let acting = load.acting.min(lanes.len());
    let acting = &mut lanes[..acting];
    warm(run, acting, Pace::Closed, 0)?;
    let (_, beaten) = measure(run, cores, &server, acting, Pace::Closed, 0)?;
    found.neighbours = beaten.neighbours;
    found.metrics.extend(beaten.metrics);
    found.metrics.insert(Metric::PerMember, per_member);
    let alive = stay_alive(run, cores, &server, &mut lanes)?;
    found.metrics.insert(Metric::BeatingCpu, alive);
    // All are members still, and silent.
    let spent = idle::nothing(run, cores, &server);
    found.metrics.insert(Metric::IdleCpu, spent);
    Ok(found)
}

/// CPU while all do what idle clients do, as hundredths of one core.
fn stay_alive(
    run: &Run,
    cores: &CoreList,
    server: &Server,
    lanes: &mut [Lane],
) -> Result<f64, String> {
    let pace = Pace::Open(lanes.len() as f64 / HEARTBEAT_INTERVAL.as_secs_f64());
    let extent = Extent {
        duration: run.size.measure,
        bytes_max: u64::MAX,
    };
    let window = Window::open(Some(server));
    drive(lanes, pace, extent)?;
    Ok(idle::share(&window.close(Some(server), cores)))
}

/// Until every group has settled; how long that took, and what of the server.
fn join(
    crowd: &mut Crowd,
    server: &Server,
    cores: &CoreList,
    found: &mut Found,
    [time, cpu]: [Metric; 2],
) -> Result<(), String> {
    let window = Window::open(Some(server));
    let joined = crowd.join();
    joined.map_err(|why| format!("{why}; it said: {}", server.last_words()))?;
    let spent = window.close(Some(server), cores);
    found.metrics.insert(time, milliseconds(spent.elapsed));
    found.metrics.insert(cpu, milliseconds(spent.server));
    Ok(())
}

/// Has the topic made that groups live in.
fn find_coordinators(server: &Server) -> Result<(), String> {
    let mut client = WireClient::connect(server.address()).map_err(|e| e.to_string())?;
    let request = FindCoordinatorRequest {
        coordinator_keys: vec![TOPIC],
        ..FindCoordinatorRequest::default()
    };
    client
        .call(&request, FIND_VERSION)
        .map_err(|e| e.to_string())?;
    wait_for_leaders(server, &[OFFSETS_TOPIC], OFFSETS_PARTITIONS)
}
