//! From what was read to a response.

use ottla_broker::api::{FetchOutcome, FetchRefusal, Fetched, Read};
use ottla_model::ids::LeaderEpoch;
use ottla_wire::Records;
use ottla_wire::fetch::{
    FetchRequest, FetchResponse, FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint,
    PartitionData,
};

use super::{Content, Slot, name_of};
use crate::api::{Call, FileSlice, Reply};
use crate::close::CloseReason;
use crate::error_map::{self, ErrorCode};

/// From this version on an answer names the leader that a client should go to (KIP-951).
const CURRENT_LEADER_VERSION_MIN: i16 = 16;

pub(super) fn respond(
    call: &Call<'_>,
    request: &FetchRequest<'_>,
    slots: &[Slot],
    outcome: FetchOutcome,
) -> Result<Reply, CloseReason> {
    let mut slices = Vec::new();
    let mut read: Vec<_> = outcome.into_iter().map(Some).collect();
    let endpoint = call.endpoint();
    let node = call.broker().node_id();
    let mut names_leader = false;
    let mut responses: Vec<FetchableTopicResponse<'_>> = Vec::with_capacity(request.topics.len());
    let mut last = None;
    for slot in slots {
        if last != Some(slot.topic) {
            let (topic, topic_id) = name_of(&request.topics[slot.topic]);
            responses.push(FetchableTopicResponse {
                topic,
                topic_id,
                partitions: Vec::new(),
            });
            last = Some(slot.topic);
        }
        let mut data = partition_data(
            slot,
            &mut read,
            &mut slices,
            call.version,
            request.isolation_level == 1,
        );
        if let Content::Refused(_, Some(LeaderEpoch(leader_epoch))) = slot.content
            && call.version >= CURRENT_LEADER_VERSION_MIN
        {
            data.current_leader = LeaderIdAndEpoch {
                leader_id: node.0,
                leader_epoch,
            };
            names_leader = true;
        }
        if let Some(topic) = responses.last_mut() {
            topic.partitions.push(data);
        }
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
        responses,
        node_endpoints,
        ..FetchResponse::default()
    };
    let reply = call.answer(|w, version| response.encode(w, version))?;
    Ok(Reply { slices, ..reply })
}

fn partition_data<'a>(
    slot: &Slot,
    read: &mut [Option<Result<Fetched, FetchRefusal>>],
    slices: &mut Vec<FileSlice>,
    version: i16,
    committed: bool,
) -> PartitionData<'a> {
    let nothing = || PartitionData {
        partition_index: slot.index.0,
        high_watermark: -1,
        last_stable_offset: -1,
        log_start_offset: -1,
        aborted_transactions: None,
        // Kafka sends no records as an empty list, never as null.
        records: Some(Records::Borrowed(&[])),
        ..PartitionData::default()
    };
    let refused = |code: ErrorCode| PartitionData {
        error_code: code.code(),
        ..nothing()
    };
    match &slot.content {
        Content::Unknown(code) => PartitionData {
            aborted_transactions: Some(Vec::new()),
            ..refused(*code)
        },
        Content::Refused(code, _) => refused(*code),
        Content::Diverging(end, marks) => PartitionData {
            diverging_epoch: end.clone(),
            high_watermark: marks.durable.0,
            last_stable_offset: marks.durable.0,
            log_start_offset: marks.log_start.0,
            ..nothing()
        },
        Content::Read(place) => match read.get_mut(*place).and_then(Option::take) {
            Some(Ok(fetched)) => PartitionData {
                high_watermark: fetched.high_watermark.0,
                last_stable_offset: fetched.last_stable_offset.0,
                log_start_offset: fetched.log_start.0,
                aborted_transactions: committed.then(Vec::new),
                records: Some(records(fetched.read, slices)),
                ..nothing()
            },
            Some(Err(refusal)) => {
                if let FetchRefusal::Damaged(fault) | FetchRefusal::Fault(fault) = &refusal {
                    tracing::debug!(partition = slot.index.0, %fault, "a fetch failed");
                }
                refused(error_map::fetch(&refusal, version))
            }
            // Every place has one outcome, and is taken once.
            None => refused(error_map::storage_of_fetch(version)),
        },
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
