//! From what was read to a response.

use bytes::Bytes;
use ottla_broker::api::{FetchOutcome, FetchRefusal, Fetched, StorageFault};
use ottla_model::ids::LeaderEpoch;
use ottla_wire::Records;
use ottla_wire::encoder::Frame;
use ottla_wire::fetch::{
    FetchRequest, FetchResponse, FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint,
    PartitionData,
};

use super::{Content, Slot, name_of};
use crate::api::Call;
use crate::close::CloseReason;
use crate::error_map::{self, ErrorCode};

/// From this version on an answer names the leader that a client should go to (KIP-951).
const CURRENT_LEADER_VERSION_MIN: i16 = 16;

pub(super) async fn respond(
    call: &Call<'_>,
    request: &FetchRequest<'_>,
    slots: &[Slot],
    outcome: FetchOutcome,
) -> Result<Frame, CloseReason> {
    let mut read = load(outcome).await;
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
        let mut data = partition_data(slot, &mut read, call.version, request.isolation_level == 1);
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
    call.answer(|w, version| response.encode(w, version))
}

type Loaded = Result<(Fetched, Bytes), FetchRefusal>;

/// Brings the records into memory that are not there, away from the network's threads: the disk may be
/// cold. Whoever sends file slices one day takes them from here on, as [`Records::External`].
async fn load(outcome: FetchOutcome) -> Vec<Loaded> {
    if !outcome.iter().flatten().any(Fetched::is_in_file) {
        return outcome.into_iter().map(load_one).collect();
    }
    let loading = tokio::task::spawn_blocking(|| outcome.into_iter().map(load_one).collect());
    loading.await.unwrap_or_default()
}

fn load_one(outcome: Result<Fetched, FetchRefusal>) -> Loaded {
    let fetched = outcome?;
    match fetched.read.bytes() {
        Ok(bytes) => Ok((fetched, bytes)),
        Err(fault) => Err(FetchRefusal::Fault(StorageFault::new(&fault))),
    }
}

fn partition_data<'a>(
    slot: &Slot,
    read: &mut [Loaded],
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
        Content::Read(place) => match read.get_mut(*place) {
            Some(Ok((fetched, records))) => PartitionData {
                high_watermark: fetched.high_watermark.0,
                last_stable_offset: fetched.last_stable_offset.0,
                log_start_offset: fetched.log_start.0,
                aborted_transactions: committed.then(Vec::new),
                records: Some(Records::Shared(std::mem::take(records))),
                ..nothing()
            },
            Some(Err(refusal)) => {
                if let FetchRefusal::Damaged(fault) | FetchRefusal::Fault(fault) = refusal {
                    tracing::debug!(partition = slot.index.0, %fault, "a fetch failed");
                }
                refused(error_map::fetch(refusal, version))
            }
            // The task that was to read the files did not end well.
            None => refused(error_map::storage_of_fetch(version)),
        },
    }
}
