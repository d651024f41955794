//! Micro benchmarks: the steps of the data path alone, on one thread, without a network.
//!
//! Each does its step on data that is hot in the cache, so they say what code costs, not memory. Their
//! figures are the best of several repetitions: what disturbs only ever adds.

mod messages;

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use ottla_codec::{Rules, TimestampRule, verify};
use ottla_model::batch::BatchHead;
use ottla_model::ids::{LeaderEpoch, Offset};
use ottla_model::time::WallMs;
use ottla_wire::ApiKey;
use ottla_wire::frame::{decode_request_header, encode_response};
use ottla_wire::produce::{
    PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceResponse,
};

use crate::wire::{Batch, Ring, TOPIC};

const REPETITIONS: usize = 5;

/// What one step costs.
#[derive(Clone, Debug)]
pub struct Cost {
    /// The step and its size.
    pub name: String,
    /// Time of one, in nanoseconds.
    pub ns: f64,
    /// Bytes that one looks at.
    pub bytes: usize,
}

/// Runs every step for about so long.
///
/// # Errors
/// If a step does not answer what it must.
pub fn run(time: Duration) -> Result<Vec<Cost>, String> {
    let mut costs = Vec::new();
    for (size, batch_bytes, value_bytes) in [
        ("1 KB", 1_024, 940),
        ("16 KB of 100 B", 16 << 10, 100),
        ("1 MB of 1 KB", 1_000_000, 1_000),
    ] {
        let batch = Batch::new(batch_bytes, value_bytes);
        let bytes = batch.bytes.len();
        let mut step = |name: &str, body: &mut dyn FnMut() -> Result<(), String>| {
            let ns = best(time, body)?;
            costs.push(Cost {
                name: format!("{name}, {size}"),
                ns,
                bytes,
            });
            Ok::<(), String>(())
        };
        let mut copy = vec![0; bytes];
        step("copy", &mut || {
            copy.copy_from_slice(black_box(&batch.bytes));
            black_box(&mut copy);
            Ok(())
        })?;
        step("CRC-32C", &mut || {
            let head = BatchHead::parse(&batch.bytes).map_err(|e| e.to_string())?;
            if head.crc_matches(black_box(&batch.bytes)) {
                Ok(())
            } else {
                Err("the CRC does not match".to_owned())
            }
        })?;
        let rules = Rules {
            max_message_bytes: bytes,
            key_required: false,
            timestamp: TimestampRule::CreateTime {
                before_max_ms: i64::MAX,
                after_max_ms: i64::MAX,
                now: WallMs(0),
            },
            produce_version: 12,
            decompressed_bytes_max: bytes,
            from_client: true,
        };
        let mut own = BytesMut::from(&batch.bytes[..]);
        step("verify and stamp", &mut || {
            let mut verified = verify(std::mem::take(&mut own), &rules)
                .map_err(|refused| format!("{refused:?}"))?;
            verified.stamp(Offset::ZERO, LeaderEpoch(0));
            let (_, bytes) = verified.freeze();
            // The only owner: it gets the same memory back.
            own = bytes
                .try_into_mut()
                .map_err(|_| "the bytes are shared".to_owned())?;
            Ok(())
        })?;
        let ring = Ring::produce(&batch, &[0], -1).map_err(|e| e.to_string())?;
        step("decode a Produce", &mut || {
            let frame = black_box(&ring.bytes[4..]);
            let (_, header, mut body) = decode_request_header(frame).map_err(|e| e.to_string())?;
            let request = ProduceRequest::decode(&mut body, header.request_api_version)
                .map_err(|e| e.to_string())?;
            let records = request.topic_data[0].partition_data[0].records;
            if records.map(<[u8]>::len) == Some(bytes) {
                Ok(())
            } else {
                Err("other records came out".to_owned())
            }
        })?;
    }
    let ns = best(time, &mut || {
        let response = ProduceResponse {
            responses: vec![TopicProduceResponse {
                name: TOPIC,
                partition_responses: vec![PartitionProduceResponse::default()],
                ..TopicProduceResponse::default()
            }],
            ..ProduceResponse::default()
        };
        let frame = encode_response(ApiKey::Produce, 12, 7, |w| response.encode(w, 12));
        black_box(frame.map_err(|e| e.to_string())?);
        Ok(())
    })?;
    costs.push(Cost {
        name: "encode the answer to a Produce".to_owned(),
        ns,
        bytes: 0,
    });
    costs.extend(messages::run(time)?);
    Ok(costs)
}

/// The costs as lines to read.
#[must_use]
pub fn text(costs: &[Cost]) -> String {
    let line = |cost: &Cost| {
        let ns = cost.ns;
        let rate = if cost.bytes == 0 {
            String::new()
        } else {
            format!("{:>8.1} GB/s", cost.bytes as f64 / ns)
        };
        format!("{:<44} {ns:>12.1} ns {rate}\n", cost.name)
    };
    costs.iter().map(line).collect()
}

/// The nanoseconds of one call in the best of several repetitions.
fn best(time: Duration, body: &mut dyn FnMut() -> Result<(), String>) -> Result<f64, String> {
    // So many calls that reading the clock is nothing beside them.
    let mut calls = 1;
    loop {
        let took = repeat(calls, body)?;
        if took * (REPETITIONS as u32) * 2 > time {
            break;
        }
        calls *= 2;
    }
    let mut best = Duration::MAX;
    for _ in 0..REPETITIONS {
        best = best.min(repeat(calls, body)?);
    }
    Ok(best.as_secs_f64() * 1e9 / f64::from(calls))
}

fn repeat(calls: u32, body: &mut dyn FnMut() -> Result<(), String>) -> Result<Duration, String> {
    let begin = Instant::now();
    for _ in 0..calls {
        body()?;
    }
    Ok(begin.elapsed())
}
