//! The limit of a durable acknowledgement: one thread appends to a growing file and syncs it.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::time::Instant;

use super::{Found, Run, Window};
use crate::histogram::Histogram;
use crate::machine::CoreList;
use crate::rows::{Metric, Work};
use crate::wire::Batch;

pub(super) fn run(run: &Run, cores: &CoreList) -> Result<Found, String> {
    let Work::Produce(produce) = run.row.work else {
        return Err("only producing has this limit".to_owned());
    };
    let batch = Batch::new(produce.batch_bytes, produce.value_bytes).bytes;
    let path = run.home.join("fdatasync.log");
    let file = File::create_new(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut latencies = Histogram::default();
    let mut position = 0;
    let window = Window::open(None);
    let begin = Instant::now();
    while begin.elapsed() < run.size.warm + run.size.measure {
        let start = Instant::now();
        file.write_all_at(&batch, position)
            .map_err(|e| e.to_string())?;
        file.sync_data().map_err(|e| e.to_string())?;
        if begin.elapsed() > run.size.warm {
            latencies.add(start.elapsed());
        }
        position += batch.len() as u64;
    }
    let mut found = Found {
        neighbours: window.close(None, cores).neighbours,
        ..Found::default()
    };
    super::traffic::insert_latencies(&mut found.metrics, &latencies);
    found.metrics.insert(
        Metric::Requests,
        latencies.total() as f64 / run.size.measure.as_secs_f64(),
    );
    Ok(found)
}
