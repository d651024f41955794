//! The three messages that cost the most, read and written by `ottla-wire` and, in turn with it, by the
//! crate `kafka-protocol`: in the same run, on the same bytes.
//!
//! Both read from a buffer that stays, and both write into a buffer of their own that starts small, as
//! an answer does, and end with bytes that can be shared. `ottla-wire` keeps shared records apart;
//! `kafka-protocol` copies them.

use std::fmt::Debug;
use std::hint::black_box;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages as theirs;
use kafka_protocol::protocol::{Decodable, Encodable};
use ottla_model::uuid::Uuid;
use ottla_wire::encoder::Encoder;
use ottla_wire::fetch::{FetchResponse, FetchableTopicResponse, PartitionData};
use ottla_wire::metadata::{
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use ottla_wire::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use ottla_wire::{DecodeError, EncodeError, Reader, Records};

use super::{Cost, best};
use crate::wire::{Batch, TOPIC};

/// The last versions that name topics by name where there is a choice; the last that both know.
const PRODUCE_VERSION: i16 = 12;
const FETCH_VERSION: i16 = 17;
const METADATA_VERSION: i16 = 13;
/// Room at the start, as for every frame that `ottla-wire` writes.
const HEAD_BYTES: usize = 512;

/// Runs each for about so long.
///
/// # Errors
/// If the two do not agree on the bytes.
pub(super) fn run(time: Duration) -> Result<Vec<Cost>, String> {
    let mut costs = Vec::new();
    let batch = Batch::new(16 << 10, 100);
    let request = ProduceRequest {
        acks: -1,
        timeout_ms: 30_000,
        topic_data: vec![TopicProduceData {
            name: TOPIC,
            partition_data: vec![PartitionProduceData {
                records: Some(&batch.bytes),
                ..PartitionProduceData::default()
            }],
            ..TopicProduceData::default()
        }],
        ..ProduceRequest::default()
    };
    pair::<theirs::ProduceRequest>(
        &mut costs,
        time,
        "Produce of 16 KB",
        PRODUCE_VERSION,
        |w| request.encode(w, PRODUCE_VERSION),
        |r| ProduceRequest::decode(r, PRODUCE_VERSION).map(|m| drop(black_box(m))),
    )?;
    let response = fetched(&Bytes::from(Batch::new(2 << 10, 100).bytes), 50);
    pair::<theirs::FetchResponse>(
        &mut costs,
        time,
        "Fetch answer, 50 partitions of 2 KB",
        FETCH_VERSION,
        |w| response.encode(w, FETCH_VERSION),
        |r| FetchResponse::decode(r, FETCH_VERSION).map(|m| drop(black_box(m))),
    )?;
    let response = described(1_000);
    pair::<theirs::MetadataResponse>(
        &mut costs,
        time,
        "Metadata, 1000 partitions",
        METADATA_VERSION,
        |w| response.encode(w, METADATA_VERSION),
        |r| MetadataResponse::decode(r, METADATA_VERSION).map(|m| drop(black_box(m))),
    )?;
    Ok(costs)
}

fn fetched(records: &Bytes, partitions: i32) -> FetchResponse<'static> {
    let partition = |partition_index| PartitionData {
        partition_index,
        high_watermark: 1_000,
        last_stable_offset: 1_000,
        log_start_offset: 0,
        aborted_transactions: None,
        records: Some(Records::Shared(records.clone())),
        ..PartitionData::default()
    };
    FetchResponse {
        responses: vec![FetchableTopicResponse {
            topic_id: Uuid([7; 16]),
            partitions: (0..partitions).map(partition).collect(),
            ..FetchableTopicResponse::default()
        }],
        ..FetchResponse::default()
    }
}

fn described(partitions: i32) -> MetadataResponse<'static> {
    let partition = |partition_index| MetadataResponsePartition {
        partition_index,
        leader_id: 1,
        leader_epoch: 3,
        replica_nodes: vec![1].into(),
        isr_nodes: vec![1].into(),
        ..MetadataResponsePartition::default()
    };
    MetadataResponse {
        brokers: vec![MetadataResponseBroker {
            node_id: 1,
            host: "localhost",
            port: 9092,
            rack: None,
        }],
        cluster_id: Some("AAAAAAAAAAAAAAAAAAAAAA"),
        controller_id: 1,
        topics: vec![MetadataResponseTopic {
            name: Some(TOPIC),
            topic_id: Uuid([7; 16]),
            partitions: (0..partitions).map(partition).collect(),
            ..MetadataResponseTopic::default()
        }],
        ..MetadataResponse::default()
    }
}

/// Four costs: decoding and encoding, here and there.
fn pair<T: Decodable + Encodable>(
    costs: &mut Vec<Cost>,
    time: Duration,
    what: &str,
    version: i16,
    encode: impl Fn(&mut Encoder) -> Result<(), EncodeError>,
    decode: impl Fn(&mut Reader<'_>) -> Result<(), DecodeError>,
) -> Result<(), String> {
    let ours = || {
        let mut w = Encoder::with_capacity(HEAD_BYTES);
        encode(&mut w).and_then(|()| w.finish()).map_err(text)
    };
    let frame = ours()?.to_bytes().ok_or("records elsewhere")?;
    let bytes = frame.slice(4..);
    let same = T::decode(&mut bytes.clone(), version).map_err(text)?;
    let theirs = || {
        let mut w = BytesMut::with_capacity(HEAD_BYTES);
        same.encode(&mut w, version).map_err(text)?;
        Ok::<_, String>(w.freeze())
    };
    if theirs()? != bytes {
        return Err(format!("{what}: kafka-protocol writes other bytes"));
    }
    let mut add = |name: String, body: &mut dyn FnMut() -> Result<(), String>| {
        let ns = best(time, body)?;
        costs.push(Cost { name, ns, bytes: 0 });
        Ok::<(), String>(())
    };
    add(format!("decode {what}"), &mut || {
        decode(&mut Reader::new(black_box(&bytes))).map_err(text)
    })?;
    add("  by kafka-protocol".to_owned(), &mut || {
        let message = T::decode(&mut black_box(&bytes).clone(), version).map_err(text)?;
        drop(black_box(message));
        Ok(())
    })?;
    add(format!("encode {what}"), &mut || {
        drop(black_box(ours()?));
        Ok(())
    })?;
    add("  by kafka-protocol".to_owned(), &mut || {
        drop(black_box(theirs()?));
        Ok(())
    })
}

fn text(error: impl Debug) -> String {
    format!("{error:?}")
}
