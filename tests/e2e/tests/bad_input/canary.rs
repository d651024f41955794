//! A well-behaved neighbour: produces and fetches on one connection all the time, and never gives up.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ottla_e2e::figures::quantile;
use ottla_model::batch::{BatchBuilder, BatchSpec};
use ottla_testkit::wire_client::{WireClient, batches};

use crate::batches::now_ms;

/// Pause between two rounds: it is a neighbour, not a load.
const PAUSE: Duration = Duration::from_micros(500);

/// What the canary has measured, and how it ended.
pub(crate) struct Canary {
    rounds: Mutex<Vec<Duration>>,
    stop: AtomicBool,
}

impl Canary {
    pub(crate) fn new() -> Canary {
        Canary {
            rounds: Mutex::new(Vec::new()),
            stop: AtomicBool::new(false),
        }
    }

    /// Sings until it is told to stop; each record must come back at once, and as it was.
    pub(crate) fn sing(&self, address: &str, topic: &str) -> Result<u64, String> {
        let mut client = WireClient::connect(address).map_err(|error| error.to_string())?;
        let mut sung = 0_u64;
        while !self.stop.load(Ordering::Relaxed) {
            let value = sung.to_be_bytes();
            let start = Instant::now();
            round(&mut client, topic, &value).map_err(|why| format!("round {sung}: {why}"))?;
            self.rounds.lock().unwrap().push(start.elapsed());
            sung += 1;
            thread::sleep(PAUSE);
        }
        Ok(sung)
    }

    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Rounds since the last call: how many, p50, p99 and the longest, in ms.
    pub(crate) fn figures(&self) -> String {
        let rounds = std::mem::take(&mut *self.rounds.lock().unwrap());
        let count = rounds.len();
        let at = |share| quantile(rounds.clone(), share);
        format!(
            "{count} rounds, p50 {:.2} ms, p99 {:.2} ms, longest {:.2} ms",
            at(0.5),
            at(0.99),
            at(1.0)
        )
    }
}

fn round(client: &mut WireClient, topic: &str, value: &[u8]) -> Result<(), String> {
    let mut builder = BatchBuilder::new(BatchSpec::default(), now_ms());
    builder.push(None, Some(value), &[], now_ms());
    let produced = client.produce(topic, 0, builder.build().bytes());
    let produced = produced.map_err(|error| format!("produce: {error}"))?;
    if produced.error_code != 0 {
        return Err(format!("produce: error {}", produced.error_code));
    }
    let offset = produced.base_offset;
    let fetched = client.fetch(topic, 0, offset, 1 << 20, 1_000);
    let fetched = fetched.map_err(|error| format!("fetch: {error}"))?;
    let mut found = false;
    for batch in batches(&fetched.records)? {
        batch.records(|at, _, stored| found |= at == offset && stored == Some(value))?;
    }
    if fetched.error_code == 0 && found {
        Ok(())
    } else {
        Err(format!(
            "offset {offset} does not come back: error {}, {} bytes",
            fetched.error_code,
            fetched.records.len()
        ))
    }
}
