//! What a server costs while it does nothing, and how long it takes to come and go.

use std::thread;
use std::time::Duration;

use ottla_testkit::wire_client::WireClient;

use super::{Found, Run, Spent, Window, megabytes, milliseconds};
use crate::machine::CoreList;
use crate::outcome::Subject;
use crate::rows::{Metric, Work};
use crate::server::Server;

/// A JVM goes on working for a while after its first reply.
const SETTLE: u32 = 2;

/// From nothing to the first reply; from SIGTERM to the end.
pub(super) fn start(run: &Run, cores: &CoreList) -> Result<Found, String> {
    let server = Server::start(run.server.clone(), cores)?;
    let mut found = Found::default();
    found
        .metrics
        .insert(Metric::FirstReply, milliseconds(server.first_reply_after));
    let stopped = server.terminate()?;
    // The limit program has nothing to put in order: it dies of the signal.
    if !matches!(run.subject, Subject::Limit(_)) {
        found.metrics.insert(Metric::Stop, milliseconds(stopped));
    }
    Ok(found)
}

/// Memory and CPU while nothing happens, with so many idle connections or with none.
pub(super) fn idle(run: &Run, cores: &CoreList, connections: usize) -> Result<Found, String> {
    let server = Server::start(run.server.clone(), cores)?;
    // As long as the row is measured: a size of its own would need another option.
    let time = run.size.measure;
    thread::sleep(settle(run, time));
    let before = server.resident_bytes();
    let mut clients = Idle::connect(&server, connections)?;
    if connections > 0 {
        thread::sleep(settle(run, time));
    }
    let window = Window::open(Some(&server));
    thread::sleep(time);
    let spent = window.close(Some(&server), cores);
    let resident = server.resident_bytes();
    clients.answer()?;
    let mut found = Found {
        neighbours: spent.neighbours,
        ..Found::default()
    };
    found.metrics.insert(Metric::IdleCpu, share(&spent));
    match run.row.work {
        Work::IdleConnections { .. } => {
            let extra = resident.saturating_sub(before);
            found.metrics.insert(Metric::Extra, megabytes(extra));
        }
        _ => {
            found.metrics.insert(Metric::Resident, megabytes(resident));
        }
    }
    Ok(found)
}

/// CPU while nothing happens after a load, as hundredths of one core.
pub(super) fn nothing(run: &Run, cores: &CoreList, server: &Server) -> f64 {
    thread::sleep(settle(run, run.size.measure));
    let window = Window::open(Some(server));
    thread::sleep(run.size.measure);
    share(&window.close(Some(server), cores))
}

/// Clients that said hello and stay.
pub(super) struct Idle(Vec<WireClient>);

impl Idle {
    pub(super) fn connect(server: &Server, count: usize) -> Result<Idle, String> {
        let mut clients = Vec::with_capacity(count);
        for _ in 0..count {
            let mut client = WireClient::connect(server.address()).map_err(|e| e.to_string())?;
            client.api_versions().map_err(|e| e.to_string())?;
            clients.push(client);
        }
        Ok(Idle(clients))
    }

    /// Each is still answered.
    pub(super) fn answer(&mut self) -> Result<(), String> {
        self.0.iter_mut().try_for_each(|client| {
            let answered = client.metadata(Some(&[]));
            answered
                .map(drop)
                .map_err(|e| format!("an idle connection: {e}"))
        })
    }
}

pub(super) fn share(spent: &Spent) -> f64 {
    spent.server.as_secs_f64() / spent.elapsed.as_secs_f64() * 100.0
}

fn settle(run: &Run, time: Duration) -> Duration {
    match run.subject {
        Subject::Kafka => time * SETTLE,
        _ => time / SETTLE,
    }
}
