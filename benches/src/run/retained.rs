//! What a partition costs that holds much already: reading in its middle and at its end, a start after
//! `kill -9`, and appending to it.

use super::traffic::{
    KILLED, consumer, create_topic, fill_partition, measure, restart, verify, warm, will_dirty,
};
use super::{Found, Run};
use crate::load::{Pace, Stored};
use crate::machine::CoreList;
use crate::rows::{Metric, READ};
use crate::server::Server;
use crate::wire::TOPIC;

/// What a consumer reads over and over, where it stands.
const WINDOW_BYTES: u64 = 8 << 20;

pub(super) fn run(run: &Run, cores: &CoreList, bytes: u64) -> Result<Found, String> {
    let mut server = Server::start(run.server.clone(), cores)?;
    create_topic(run, &server, 1)?;
    let (mut producers, stored) = fill_partition(run, &server, KILLED, bytes)?;

    let batches = stored.end_offset / stored.batch_records;
    let window = (WINDOW_BYTES / stored.batch_bytes).min(batches / 2).max(1);
    let mut found = Found::default();
    for (metric, from) in [
        (Metric::MiddleCpuPerGb, batches / 2),
        (Metric::EndCpuPerGb, batches - window),
    ] {
        let there = Stored {
            begin_offset: from * stored.batch_records,
            end_offset: (from + window) * stored.batch_records,
            ..stored
        };
        let lane = consumer(&server, there, READ.bytes_max, there.begin_offset)?;
        let mut lanes = [lane];
        warm(run, &mut lanes, Pace::Closed, 0)?;
        let (_, read) = measure(run, cores, &server, &mut lanes, Pace::Closed, 0)?;
        found.metrics.extend(
            read.metrics
                .get(&Metric::CpuPerGb)
                .map(|cost| (metric, *cost)),
        );
        found.neighbours = found.neighbours.max(read.neighbours);
    }

    // The producers keep their count, not their connections.
    restart(&mut found, &mut server, cores, &[TOPIC], 1)?;
    for lane in &mut producers {
        lane.connect(server.address())?;
    }
    let warmed = warm(run, &mut producers, Pace::Closed, 0)?;
    let dirty = will_dirty(run, &warmed);
    let (_, produced) = measure(run, cores, &server, &mut producers, Pace::Closed, dirty)?;
    found.metrics.extend(produced.metrics);
    found.neighbours = found.neighbours.max(produced.neighbours);
    found.read_back = verify(run, &server, &producers)?;
    Ok(found)
}
