//! From what was read to a response.

use std::collections::HashMap;

use ottla_broker::api::Read;
use ottla_model::ids::LeaderEpoch;
use ottla_model::uuid::Uuid;
use ottla_wire::Records;
use ottla_wire::fetch::{
    FetchResponse, FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint, PartitionData,
};

use super::{Content, Part};
use crate::api::{Call, FileSlice, Reply};
use crate::close::CloseReason;
use crate::error_map::{self, ErrorCode};
use crate::fetch_sessions::{Answer, TopicKey};

/// From this version on an answer names the leader that a client should go to (KIP-951).
const CURRENT_LEADER_VERSION_MIN: i16 = 16;

/// The answer that tells those parts that are to be told. Neighbours of one topic share its name.
pub(super) fn respond(
    call: &Call<'_>,
    parts: Vec<Part>,
    answer: &Answer,
    is_committed: bool,
) -> Result<Reply, CloseReason> {
    let mut parts: HashMap<u64, Part> = parts.into_iter().map(|part| (part.key, part)).collect();
    let told: Vec<Part> = answer
        .told
        .iter()
        .filter_map(|key| parts.remove(key))
        .collect();
    let topics: Vec<(TopicKey, usize)> = runs(&told);
    let mut told = told.into_iter();
    let mut slices = Vec::new();
    let endpoint = call.endpoint();
    let node = call.broker().node_id();
    let mut names_leader = false;
    let mut responses: Vec<FetchableTopicResponse<'_>> = Vec::with_capacity(topics.len());
    for (topic, length) in &topics {
        let (topic, topic_id) = match topic {
            TopicKey::Name(name) => (&**name, Uuid::ZERO),
            TopicKey::Id(id) => ("", *id),
        };
        let mut partitions = Vec::with_capacity(*length);
        for part in told.by_ref().take(*length) {
            let behind = match part.content {
                Content::Refused(_, current) => current,
                _ => None,
            };
            let mut data = partition_data(part, &mut slices, call.version, is_committed);
            if let Some(LeaderEpoch(leader_epoch)) = behind
                && call.version >= CURRENT_LEADER_VERSION_MIN
            {
                data.current_leader = LeaderIdAndEpoch {
                    leader_id: node.0,
                    leader_epoch,
                };
                names_leader = true;
            }
            partitions.push(data);
        }
        responses.push(FetchableTopicResponse {
            topic,
            topic_id,
            partitions,
        });
    }
    let node_endpoints = if names_leader {
        vec![NodeEndpoint {
            node_id: node.0,
            host: &endpoint.host,
            port: endpoint.port,
            rack: call.broker().settings().get("broker.rack"),
        }]
    } else {
        Vec::new()
    };
    let response = FetchResponse {
        session_id: answer.session_id,
        responses,
        node_endpoints,
        ..FetchResponse::default()
    };
    let reply = call.answer(|w, version| response.encode(w, version))?;
    Ok(Reply { slices, ..reply })
}

/// The topics of neighbouring parts, and how many parts each run has.
fn runs(parts: &[Part]) -> Vec<(TopicKey, usize)> {
    parts
        .chunk_by(|one, next| one.topic == next.topic)
        .map(|run| (run[0].topic.clone(), run.len()))
        .collect()
}

fn partition_data<'a>(
    part: Part,
    slices: &mut Vec<FileSlice>,
    version: i16,
    is_committed: bool,
) -> PartitionData<'a> {
    let nothing = PartitionData {
        partition_index: part.partition,
        high_watermark: -1,
        last_stable_offset: -1,
        log_start_offset: -1,
        aborted_transactions: None,
        // Kafka sends no records as an empty list, never as null.
        records: Some(Records::Borrowed(&[])),
        ..PartitionData::default()
    };
    let refused = |code: ErrorCode, nothing| PartitionData {
        error_code: code.code(),
        ..nothing
    };
    match part.content {
        Content::Unknown(code) => PartitionData {
            aborted_transactions: Some(Vec::new()),
            ..refused(code, nothing)
        },
        Content::Refused(code, _) => refused(code, nothing),
        Content::Diverging(end, marks) => PartitionData {
            diverging_epoch: end,
            high_watermark: marks.durable.0,
            last_stable_offset: marks.durable.0,
            log_start_offset: marks.log_start.0,
            ..nothing
        },
        Content::Read(Ok(fetched)) => PartitionData {
            high_watermark: fetched.high_watermark.0,
            last_stable_offset: fetched.last_stable_offset.0,
            log_start_offset: fetched.log_start.0,
            aborted_transactions: is_committed.then(Vec::new),
            records: Some(records(fetched.read, slices)),
            ..nothing
        },
        Content::Read(Err(refusal)) => refused(error_map::fetch(&refusal, version), nothing),
    }
}

/// Records in memory go into the frame as they are, those in a file as a slice that the connection
/// sends from there: an answer that its client does not take must not lie in memory.
fn records<'a>(read: Read, slices: &mut Vec<FileSlice>) -> Records<'a> {
    match read {
        Read::Empty => Records::Borrowed(&[]),
        Read::Memory(bytes) => Records::Shared(bytes),
        Read::File {
            file,
            position,
            length,
        } => {
            let slice = FileSlice {
                file,
                position,
                length,
            };
            // Limits of requests are 31 bits, and a batch is smaller.
            let (Ok(key), Ok(length)) = (u32::try_from(slices.len()), u32::try_from(length)) else {
                return Records::Borrowed(&[]);
            };
            slices.push(slice);
            Records::External { key, length }
        }
    }
}
