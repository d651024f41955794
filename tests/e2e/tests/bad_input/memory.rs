//! Few bytes that ask for much memory. Not for Apache Kafka, which gives it to them.

use std::thread;
use std::time::{Duration, Instant};

use ottla_codec::compress;
use ottla_e2e::figures::memory;
use ottla_model::batch::{
    Attributes, BATCH_HEADER_BYTES, BatchBuilder, BatchHead, BatchSpec, Codec,
};
use ottla_testkit::wire_client::{LATEST, WireClient, WireError, produce_frame};
use ottla_wire::fetch::{FetchPartition, FetchRequest, FetchTopic};
use ottla_wire::frame::encode_request;

use crate::batches::{Victim, now_ms, produce};
use crate::probe::{Bytes, Verdicts, frame};

const MIB: u64 = 1 << 20;
const INVALID_RECORD: i16 = 87;
const MESSAGE_TOO_LARGE: i16 = 10;

/// The same bomb on so many connections.
const BOMBS_AT_ONCE: usize = 8;
/// Each of two workers may hold what a batch may decompress to, 128 MiB.
const BOMBS_BYTES_MAX: u64 = 320 * MIB;

/// Connections that claim the largest frame, and what each sends of it.
const CLAIMS: usize = 200;
const CLAIM_SENT_BYTES: usize = 64 << 10;
/// What those bytes may cost above themselves.
const CLAIMS_BYTES_MAX: u64 = 64 * MIB;

/// Connections that ask and never read.
const DEAF: usize = 32;
const DEAF_REQUESTS: usize = 400;
/// What one answer may hold: `fetch.max.bytes`, and as much is there.
const FETCH_BYTES_MAX: i32 = 55 << 20;
const FILL_BATCHES: usize = 64;
const DEAF_BYTES_MAX: u64 = 96 * MIB;

/// Connections that do nothing at all.
const IDLE: usize = 1_000;
const IDLE_BYTES_MAX: u64 = 64 * MIB;

/// Connections whose request waits when they go.
const GONE: usize = 100;

/// Until something that the broker does by itself has happened.
const PATIENCE: Duration = Duration::from_secs(10);

/// A record whose value decompresses to far more than a batch may hold, in each codec that can, and
/// headers of compressed blocks that promise more than there is.
pub(crate) fn bombs(victim: &Victim<'_>, pid: u32) -> Result<String, String> {
    let before = memory(pid).resident_bytes;
    let mut verdicts = Verdicts::default();
    let mut sizes = Vec::new();
    for (codec, megabytes) in [(Codec::Gzip, 300), (Codec::Lz4, 220), (Codec::Zstd, 1_024)] {
        let (bytes, records) = bomb(codec, megabytes << 20);
        sizes.push(format!(
            "{codec:?} {megabytes} MiB in {} KB",
            bytes.len() / 1000
        ));
        let outcomes: Vec<_> = thread::scope(|scope| {
            let send = || produce(victim.address, victim.topic, 0, 12, -1, Some(&bytes));
            let sent: Vec<_> = (0..BOMBS_AT_ONCE).map(|_| scope.spawn(send)).collect();
            sent.into_iter()
                .map(|one| one.join().expect("it cannot panic"))
                .collect()
        });
        for got in outcomes {
            verdicts.holds(
                format!("{codec:?}, one record of {megabytes} MiB"),
                matches!(got, Ok(MESSAGE_TOO_LARGE)),
                || format!("{got:?}, {records} bytes of records"),
            );
        }
    }
    // Snappy packs at most 21 to 1, so it can only lie.
    for (what, codec, records) in [
        (
            "snappy block of 4 GiB",
            Codec::Snappy,
            Bytes::default().raw(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0]).0,
        ),
        ("xerial chunk of 2 GiB", Codec::Snappy, xerial(i32::MAX)),
        ("xerial chunk of -1", Codec::Snappy, xerial(-1)),
        ("zstd frame of 2^60 bytes", Codec::Zstd, zstd_of(1 << 60)),
        (
            "zstd window of 2 GiB",
            Codec::Zstd,
            vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 1, 0, 0],
        ),
    ] {
        let bytes = sealed(codec, &records);
        let got = produce(victim.address, victim.topic, 0, 12, -1, Some(&bytes));
        verdicts.holds(
            what,
            matches!(got, Ok(INVALID_RECORD | MESSAGE_TOO_LARGE)),
            || format!("{got:?}"),
        );
    }
    verdicts.end()?;
    let what = format!("{BOMBS_AT_ONCE} at once of {}", sizes.join(", "));
    bounded(before, memory(pid).peak_bytes, BOMBS_BYTES_MAX, &what)
}

/// Frames that claim 100 MiB and stay unfinished.
pub(crate) fn claims(victim: &Victim<'_>, pid: u32) -> Result<String, String> {
    let before = memory(pid).resident_bytes;
    let honest = produce_frame(victim.topic, 0, &[0; CLAIM_SENT_BYTES], -1);
    let honest = honest.map_err(|error| error.to_string())?;
    let mut claiming = Bytes::default().i32(100 << 20).raw(&honest[4..]).0;
    claiming.truncate(CLAIM_SENT_BYTES);
    let mut held = Vec::new();
    for _ in 0..CLAIMS {
        let mut client = WireClient::connect(victim.address).map_err(|error| error.to_string())?;
        // It may hang up instead: that costs it nothing either.
        let _ = client.send_raw(&claiming);
        held.push(client);
    }
    // A whole round trip: the others' bytes were there before.
    settle(victim)?;
    let now = memory(pid);
    drop(held);
    bounded(
        before,
        now.resident_bytes,
        CLAIMS_BYTES_MAX,
        "200 unfinished frames of 100 MiB, 64 KiB sent of each",
    )
}

/// Clients that ask for a lot and never read an answer.
pub(crate) fn deaf(victim: &Victim<'_>, pid: u32) -> Result<String, String> {
    let mut writer = WireClient::connect(victim.address).map_err(|error| error.to_string())?;
    for _ in 0..FILL_BATCHES {
        let mut builder = BatchBuilder::new(BatchSpec::default(), now_ms());
        builder.push(Some(b"key"), Some(&vec![7; 900_000]), &[], now_ms());
        let produced = writer.produce(victim.topic, 0, builder.build().bytes());
        let produced = produced.map_err(|error| error.to_string())?;
        if produced.error_code != 0 {
            return Err(format!("produce: error {}", produced.error_code));
        }
    }
    let request = FetchRequest {
        max_bytes: FETCH_BYTES_MAX,
        topics: vec![FetchTopic {
            topic: victim.topic,
            partitions: vec![FetchPartition {
                partition_max_bytes: FETCH_BYTES_MAX,
                ..FetchPartition::default()
            }],
            ..FetchTopic::default()
        }],
        ..FetchRequest::default()
    };
    let fetch = encode_request(&request, 12, 1, None).map_err(|error| error.to_string())?;
    let fetch = fetch.to_bytes().unwrap_or_default();
    let metadata = frame(3, 1, &(-1_i32).to_be_bytes());

    let before = memory(pid).resident_bytes;
    let mut held = Vec::new();
    for index in 0..DEAF {
        let mut client = WireClient::connect(victim.address).map_err(|error| error.to_string())?;
        let asked = if index % 2 == 0 {
            &fetch[..]
        } else {
            &metadata
        };
        // The broker stops reading at some point, and then the socket is full.
        client
            .set_time_limit(Duration::from_millis(20))
            .map_err(|error| error.to_string())?;
        let _ = client.send_raw(&asked.repeat(DEAF_REQUESTS));
        held.push(client);
    }
    settle(victim)?;
    let now = memory(pid);
    drop(held);
    bounded(
        before,
        now.resident_bytes,
        DEAF_BYTES_MAX,
        "32 clients that never read",
    )
}

/// Connections alone, and their descriptors, which must come back.
pub(crate) fn idle(victim: &Victim<'_>, pid: u32) -> Result<String, String> {
    let before = memory(pid).resident_bytes;
    let open_before = descriptors(pid);
    let held: Vec<WireClient> = (0..IDLE)
        .map(|_| WireClient::connect(victim.address))
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())?;
    settle(victim)?;
    let now = memory(pid);
    drop(held);
    come_back(pid, open_before)?;
    bounded(
        before,
        now.resident_bytes,
        IDLE_BYTES_MAX,
        "1,000 idle connections",
    )
}

/// Clients that ask for a fetch that waits for weeks, and go.
pub(crate) fn gone(victim: &Victim<'_>, pid: u32) -> Result<String, String> {
    let wire = |error: WireError| error.to_string();
    let mut client = WireClient::connect(victim.address).map_err(wire)?;
    let latest = client.list_offset(victim.topic, 0, LATEST).map_err(wire)?;
    let request = FetchRequest {
        max_wait_ms: i32::MAX,
        min_bytes: 1,
        topics: vec![FetchTopic {
            topic: victim.topic,
            partitions: vec![FetchPartition {
                fetch_offset: latest.offset,
                partition_max_bytes: 1 << 20,
                ..FetchPartition::default()
            }],
            ..FetchTopic::default()
        }],
        ..FetchRequest::default()
    };
    settle(victim)?;
    let before = descriptors(pid);
    let mut held = Vec::new();
    for _ in 0..GONE {
        let mut client = WireClient::connect(victim.address).map_err(wire)?;
        let _ = client.send(&request, 12).map_err(wire)?;
        held.push(client);
    }
    settle(victim)?;
    let open = descriptors(pid);
    if open + 4 < before + GONE {
        return Err(format!(
            "{open} descriptors are open, {before} were: the fetches do not wait"
        ));
    }
    drop(held);
    come_back(pid, before)?;
    Ok(format!("{GONE} connections"))
}

/// Waits until the broker has given back what it opened for connections that are gone.
fn come_back(pid: u32, before: usize) -> Result<(), String> {
    let start = Instant::now();
    // A segment or two may have been opened meanwhile.
    while descriptors(pid) > before + 4 {
        if start.elapsed() > PATIENCE {
            return Err(format!(
                "{} descriptors are open, {before} were",
                descriptors(pid)
            ));
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Open descriptors of a process.
fn descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// Returns when the broker has had time for all that came before.
fn settle(victim: &Victim<'_>) -> Result<(), String> {
    let mut client = WireClient::connect(victim.address).map_err(|error| error.to_string())?;
    for _ in 0..20 {
        client.api_versions().map_err(|error| error.to_string())?;
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn bounded(before: u64, now: u64, max: u64, what: &str) -> Result<String, String> {
    let grown = now.saturating_sub(before);
    let text = format!("{what}: {:.1} MiB more", grown as f64 / MIB as f64);
    if grown <= max {
        Ok(text)
    } else {
        Err(format!("{text}, at most {} MiB were expected", max / MIB))
    }
}

/// A batch of one record with a value of so many zeros, and the size of its records before.
fn bomb(codec: Codec, bytes: usize) -> (Vec<u8>, usize) {
    let mut builder = BatchBuilder::new(BatchSpec::default(), now_ms());
    builder.push(None, Some(&vec![0; bytes]), &[], now_ms());
    let batch = builder.build();
    let records = &batch.bytes()[BATCH_HEADER_BYTES..];
    (
        sealed(codec, &compress(codec, records, Some(9))),
        records.len(),
    )
}

/// A batch of one record whose compressed records these bytes are.
fn sealed(codec: Codec, records: &[u8]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchSpec::default(), now_ms());
    builder.push(None, Some(b""), &[], now_ms());
    let mut head: BatchHead = *builder.build().head();
    head.attributes = Attributes(0).with_codec(codec);
    let mut bytes = [&[0; BATCH_HEADER_BYTES][..], records].concat();
    head.seal(&mut bytes);
    bytes
}

/// Snappy in xerial's framing, one chunk of this length with four bytes in it.
fn xerial(length: i32) -> Vec<u8> {
    Bytes::default()
        .raw(b"\x82SNAPPY\0")
        .i32(1)
        .i32(1)
        .i32(length)
        .raw(&[4, 0, 0, 0])
        .0
}

/// A zstd frame that says how much it holds, and holds an empty block.
fn zstd_of(bytes: u64) -> Vec<u8> {
    // Frame header descriptor: content size in 8 bytes, single segment.
    [
        &[0x28, 0xb5, 0x2f, 0xfd, 0xe0][..],
        &bytes.to_le_bytes(),
        &[1, 0, 0],
    ]
    .concat()
}
