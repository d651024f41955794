//! Producing on one connection as fast as the broker takes it, and counting what came back.

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ottla_e2e::figures::{cpu, memory};
use ottla_e2e::random::Random;
use ottla_model::batch::{BatchBuilder, BatchSpec};
use ottla_testkit::broker_process::BrokerProcess;
use ottla_testkit::wire_client::{
    LATEST, PRODUCE_VERSION, WireClient, WireError, batches, produce_frame,
};

/// What is produced.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) name: &'static str,
    batch_bytes: usize,
    value_bytes: usize,
    /// Requests without answer at any time.
    in_flight: usize,
    total_bytes: usize,
}

pub(crate) const LOADS: [Load; 2] = [
    Load {
        name: "16_KB",
        batch_bytes: 16 << 10,
        value_bytes: 100,
        in_flight: 32,
        total_bytes: 512 << 20,
    },
    Load {
        name: "1_MB",
        batch_bytes: 1_000_000,
        value_bytes: 1_000,
        in_flight: 5,
        total_bytes: 1 << 30,
    },
];

const TOPIC: &str = "figures";
/// Before the measurement: files, buffers and code are warm then.
const WARM_BYTES: usize = 64 << 20;
const FETCH_BYTES_MAX: i32 = 8 << 20;
const GB: f64 = 1e9;

/// Produces, reads everything back, and tells what that took.
pub(crate) fn measure(broker: &BrokerProcess, load: Load) -> Result<String, String> {
    let pid = broker.id();
    let wire = |error: WireError| error.to_string();
    let mut client = WireClient::connect(broker.address()).map_err(wire)?;
    let created = client.create_topic(TOPIC, 1, &[]).map_err(wire)?;
    if created.error_code != 0 {
        return Err(format!("{created:?}"));
    }
    let (batch, records) = batch(load);
    let mut frame = produce_frame(TOPIC, 0, &batch, -1).map_err(wire)?;
    let warm = WARM_BYTES / batch.len();
    let count = load.total_bytes / batch.len();
    produce(&mut client, &mut frame, load.in_flight, warm)?;
    let (start, used) = (Instant::now(), cpu(pid));
    produce(&mut client, &mut frame, load.in_flight, count)?;
    let produced = row(
        "produce",
        count * batch.len(),
        start.elapsed(),
        cpu(pid).saturating_sub(used),
    );
    let peak = memory(pid).peak_bytes as f64 / f64::from(1 << 20);

    let (start, used) = (Instant::now(), cpu(pid));
    let read = read_back(&mut client)?;
    let fetched = row(
        "fetch",
        (warm + count) * batch.len(),
        start.elapsed(),
        cpu(pid).saturating_sub(used),
    );
    let wanted = ((warm + count) * records) as i64;
    if read != wanted {
        return Err(format!("{read} records came back of {wanted}"));
    }
    Ok(format!(
        "{count} batches of {} bytes, {} in flight{produced}{fetched}\n  VmHWM {peak:.1} MiB; {read} records came back",
        batch.len(),
        load.in_flight
    ))
}

fn row(what: &str, bytes: usize, took: Duration, used: Duration) -> String {
    let gigabytes = bytes as f64 / GB;
    format!(
        "\n  {what:<8} {:>7.0} MB/s {:>8.3} CPU s/GB of the server",
        gigabytes * 1e3 / took.as_secs_f64(),
        used.as_secs_f64() / gigabytes
    )
}

/// A batch of about this size, and its records. Bytes that do not compress.
fn batch(load: Load) -> (Vec<u8>, usize) {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as i64);
    let mut random = Random::new(1);
    let mut value = vec![0; load.value_bytes];
    let mut builder = BatchBuilder::new(BatchSpec::default(), now);
    // A record's own head takes up to twelve bytes.
    while builder.size_bytes() + load.value_bytes + 12 <= load.batch_bytes {
        random.fill(&mut value);
        builder.push(None, Some(&value), &[], now);
    }
    let records = builder.record_count() as usize;
    (builder.build().bytes().to_vec(), records)
}

fn produce(
    client: &mut WireClient,
    frame: &mut [u8],
    in_flight: usize,
    count: usize,
) -> Result<(), String> {
    let mut pending = VecDeque::new();
    let mut last = -1;
    let mut sent = 0;
    while sent < count || !pending.is_empty() {
        while sent < count && pending.len() < in_flight {
            pending.push_back(
                client
                    .send_frame(frame, PRODUCE_VERSION)
                    .map_err(|error| error.to_string())?,
            );
            sent += 1;
        }
        let Some(oldest) = pending.pop_front() else {
            break;
        };
        let answer = client
            .receive_produced(oldest)
            .map_err(|error| error.to_string())?;
        if answer.error_code != 0 || answer.base_offset <= last {
            return Err(format!("{answer:?} after offset {last}"));
        }
        last = answer.base_offset;
    }
    Ok(())
}

/// Records from the first to the last offset, which must have no gaps.
fn read_back(client: &mut WireClient) -> Result<i64, String> {
    let end = client
        .list_offset(TOPIC, 0, LATEST)
        .map_err(|error| error.to_string())?;
    let (mut position, mut records) = (0, 0);
    while position < end.offset {
        let fetched = client.fetch(TOPIC, 0, position, FETCH_BYTES_MAX, 1_000);
        let fetched = fetched.map_err(|error| error.to_string())?;
        let before = position;
        for batch in batches(&fetched.records)? {
            if batch.head.base_offset.0 != position {
                return Err(format!(
                    "a batch at {} where {position} was due",
                    batch.head.base_offset
                ));
            }
            position = batch.head.next_offset().0;
            records += i64::from(batch.head.record_count);
        }
        if position == before {
            return Err(format!(
                "nothing comes from offset {position}: error {}",
                fetched.error_code
            ));
        }
    }
    Ok(records)
}
