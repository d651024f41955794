//! What many topics cost that are created one by one, and a start over them after `kill -9`.

use std::time::Instant;

use ottla_testkit::wire_client::WireClient;

use super::traffic::{restart, wait_for_leaders};
use super::{Found, Run, Window, megabytes, milliseconds};
use crate::machine::CoreList;
use crate::profile::Recording;
use crate::rows::Metric;
use crate::server::Server;

pub(super) fn run(run: &Run, cores: &CoreList, count: usize) -> Result<Found, String> {
    let mut server = Server::start(run.server.clone(), cores)?;
    let names: Vec<String> = (0..count).map(|at| format!("bench-{at:05}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut client = WireClient::connect(server.address()).map_err(|e| e.to_string())?;
    let recording = run
        .profile
        .as_ref()
        .map(|_| Recording::begin(server.id(), &run.home));
    let recording = recording.transpose()?;
    let window = Window::open(Some(&server));
    let begin = Instant::now();
    for name in &names {
        let created = client
            .create_topic(name, 1, &[])
            .map_err(|e| format!("{name}: {e}"))?;
        if created.error_code != 0 {
            return Err(format!("{created:?}"));
        }
    }
    wait_for_leaders(&server, &names, 1)?;
    let elapsed = begin.elapsed();
    let spent = window.close(Some(&server), cores);
    if let (Some(recording), Some(path)) = (recording, &run.profile) {
        recording.end(path, run.row.name)?;
    }
    let mut found = Found {
        neighbours: spent.neighbours,
        ..Found::default()
    };
    found.metrics.insert(
        Metric::CpuPerCreate,
        spent.server.as_secs_f64() * 1e6 / count as f64,
    );
    found.metrics.insert(Metric::Create, milliseconds(elapsed));
    let resident = megabytes(server.resident_bytes());
    found.metrics.insert(Metric::Resident, resident);
    restart(&mut found, &mut server, cores, &names, 1)?;
    Ok(found)
}
