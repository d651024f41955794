//! Produce (key 0), versions 3 to 13, advertised from 0: append record batches.
//!
//! - A batch is checked on the connection's own task and submitted with its neighbours of the same
//!   read, so that all of them become one write per partition. The answer leaves when the log is where
//!   `acks` asks for: 0 decided and never answered, 1 written, -1 durable. Whatever goes wrong with
//!   `acks=0` closes the connection, which is the only thing that such a client can notice.
//! - `acks` other than -1, 0 and 1 is `INVALID_REQUIRED_ACKS` for every partition that exists.
//! - Up to 12 topics have names, from 13 on ids (KIP-516): an unknown name is
//!   `UNKNOWN_TOPIC_OR_PARTITION`, an unknown id `UNKNOWN_TOPIC_ID`. Both are retried by clients, and so
//!   is `NOT_LEADER_OR_FOLLOWER`, for a partition that is not open (yet). The hint of 10+ where the
//!   leader is instead (KIP-951) is left out: there is no other broker.
//! - A partition that occurs twice gets the last of its batches, as in Kafka.
//! - 7+ may carry zstd. 8+ names the records at fault and says why (KIP-467).
//! - Transactional batches without a transactional id are refused whole, with
//!   `TRANSACTIONAL_ID_AUTHORIZATION_FAILED` as in Kafka; those with one get `INVALID_TXN_STATE`: no
//!   transaction can be open, because InitProducerId opens none yet.
//! - Kafka answers `UNKNOWN_SERVER_ERROR` to compression that it cannot undo; here it is
//!   `INVALID_RECORD`, which no client retries.
//! - A Kafka of one broker never answers `REQUEST_TIMED_OUT`, because its appends wait for no disk.
//!   Here a disk that hangs for longer than `timeout_ms` does it.
//! - 0 to 2 are advertised and close the connection, as in Kafka 4 (KAFKA-18659): librdkafka up to
//!   2.11 takes a broker whose Produce does not start at 0 for one without compression.

mod judge;
mod pending;

use std::ops::Range;
use std::sync::Arc;

use bytes::BytesMut;
use hashbrown::HashSet;
use ottla_broker::api::{Burst, Image, Wait};
use ottla_broker::authorize::{Operation, Permit, ResourceKind};
use ottla_model::time::WallMs;
use ottla_wire::produce::{ProduceRequest, TopicProduceData};
use ottla_wire::{ApiKey, Reader};
use tokio::time::{Duration, Instant};

use super::{Handler, Registration};
use crate::close::CloseReason;
use crate::error_map::ErrorCode;
use crate::gateway::Gateway;
use judge::Batch;
pub(crate) use pending::Pending;
use pending::{Label, Origin, Partition, Refused, State};

pub(super) const API: Registration = Registration {
    key: ApiKey::Produce,
    versions: 3..=13,
    advertised_min: 0,
    needs: (Operation::Write, ResourceKind::Topic),
    handler: Handler::Submit(submit),
    note: "no transactions yet; 0 to 2 close the connection, as in Kafka 4",
};

/// Records below this are copied out of their frame: a small batch must not keep a large read alive.
const COPIED_BYTES_MAX: usize = 4 << 10;

/// Submits a request. What it cannot take is in the answer; only what cannot be read is an error.
pub(crate) type Submit = fn(&mut Submission<'_>, Request) -> Result<Pending, CloseReason>;

/// A request whose header was read.
pub(crate) struct Request {
    pub(crate) body: BytesMut,
    /// Of the whole frame.
    pub(crate) bytes: usize,
    pub(crate) version: i16,
    pub(crate) correlation_id: i32,
    pub(crate) permit: Permit,
    pub(crate) client_id: Option<Arc<str>>,
}

/// Consecutive requests of one read: their appends run together.
pub(crate) struct Submission<'g> {
    gateway: &'g Gateway,
    burst: Burst<'g>,
    /// Read once: what all of them are judged by.
    image: Arc<Image>,
    now: WallMs,
    started: Instant,
}

impl<'g> Submission<'g> {
    pub(crate) fn open(gateway: &'g Gateway) -> Submission<'g> {
        let broker = gateway.broker();
        Submission {
            gateway,
            burst: broker.burst(),
            image: broker.image(),
            now: broker.clock().now().wall,
            started: Instant::now(),
        }
    }

    /// Runs all appends that were submitted.
    pub(crate) fn run(self) {
        self.burst.run();
    }
}

fn submit(submission: &mut Submission<'_>, request: Request) -> Result<Pending, CloseReason> {
    let mut body = request.body;
    let asked = Asked::read(&body, request.version, &submission.image)?;
    let repeated = repeated(&asked);
    let wait = match asked.acks {
        0 => Some(Wait::None),
        1 => Some(Wait::Written),
        -1 => Some(Wait::Durable),
        _ => None,
    };
    let mut partitions = Vec::with_capacity(asked.partitions.len());
    // Where the rest of the body begins in the body as it came: ranges ascend, it is cut from its front.
    let mut rest_at = 0;
    for (place, partition) in asked.partitions.into_iter().enumerate() {
        let records = match partition.records {
            Some(range) => {
                let records = cut(&mut body, range.start - rest_at, range.len());
                rest_at = range.end;
                records
            }
            None => BytesMut::new(),
        };
        if repeated.contains(&place) {
            continue;
        }
        let batch = Batch {
            topic: &asked.labels[partition.topic],
            index: partition.index,
            records,
            version: request.version,
            client_id: request.client_id.as_deref(),
        };
        let state = match &asked.refused {
            Some(refused) => State::Refused(refused.clone()),
            None => batch.submit(submission, &request.permit, wait),
        };
        partitions.push(Partition {
            topic: partition.topic,
            index: partition.index,
            state,
        });
    }

    let timeout_ms = u64::try_from(asked.timeout_ms)
        .unwrap_or(0)
        .max(submission.gateway.options().produce_timeout_ms_min);
    let deadline = (wait == Some(Wait::Durable))
        .then(|| submission.started + Duration::from_millis(timeout_ms));
    let origin = Origin {
        version: request.version,
        correlation_id: request.correlation_id,
        client_id: request.client_id,
        bytes: request.bytes,
        acks: asked.acks,
        deadline,
    };
    Ok(Pending::new(origin, asked.labels, partitions))
}

/// Takes `length` bytes from `skip` on out of the front of `body`, and what lies before them away.
fn cut(body: &mut BytesMut, skip: usize, length: usize) -> BytesMut {
    let mut records = body.split_off(skip);
    *body = records.split_off(length);
    if records.len() < COPIED_BYTES_MAX {
        BytesMut::from(&records[..])
    } else {
        records
    }
}

/// A request, with its records still in the frame.
struct Asked {
    acks: i16,
    timeout_ms: i32,
    labels: Vec<Label>,
    partitions: Vec<AskedPartition>,
    /// Why all of it is refused.
    refused: Option<Refused>,
}

struct AskedPartition {
    /// Place of the topic in `labels`.
    topic: usize,
    index: i32,
    /// Where its records lie in the body.
    records: Option<Range<usize>>,
}

impl Asked {
    fn read(body: &[u8], version: i16, image: &Image) -> Result<Asked, CloseReason> {
        let mut reader = Reader::new(body);
        let request = ProduceRequest::decode(&mut reader, version).map_err(|error| {
            CloseReason::Malformed {
                api: Some(ApiKey::Produce),
                version,
                error,
            }
        })?;
        let mut partitions = Vec::new();
        for (topic, data) in request.topic_data.iter().enumerate() {
            partitions.extend(data.partition_data.iter().map(|partition| {
                AskedPartition {
                    topic,
                    index: partition.index,
                    records: partition
                        .records
                        .and_then(|records| reader.offset_of(records)),
                }
            }));
        }
        Ok(Asked {
            acks: request.acks,
            timeout_ms: request.timeout_ms,
            labels: request
                .topic_data
                .iter()
                .map(|topic| label(topic, version, image))
                .collect(),
            partitions,
            refused: refuse_all(&request),
        })
    }
}

fn label(topic: &TopicProduceData<'_>, version: i16, image: &Image) -> Label {
    let found = if version >= 13 {
        image.topic_by_id(topic.topic_id)
    } else {
        image.topic(topic.name)
    };
    match found {
        Some(image) => Label::Known(Arc::clone(image)),
        None if version >= 13 => Label::UnknownId(topic.topic_id),
        None => Label::UnknownName(topic.name.into()),
    }
}

/// Kafka asks for the right to the transactional id before all else, and there is none to none.
fn refuse_all(request: &ProduceRequest<'_>) -> Option<Refused> {
    let batches = request
        .topic_data
        .iter()
        .flat_map(|topic| &topic.partition_data);
    let is_transactional = batches
        .filter_map(|partition| partition.records)
        .any(is_transactional);
    (is_transactional && request.transactional_id.is_none()).then(|| {
        Refused::new(
            ErrorCode::TransactionalIdAuthorizationFailed,
            "transactional records need a transactional id",
        )
    })
}

/// What the first batch claims of itself.
fn is_transactional(records: &[u8]) -> bool {
    const MAGIC_AT: usize = 16;
    const ATTRIBUTES_AT: usize = 21;
    const TRANSACTIONAL: u8 = 0x10;
    matches!(
        (records.get(MAGIC_AT), records.get(ATTRIBUTES_AT + 1)),
        (Some(2), Some(low)) if low & TRANSACTIONAL != 0
    )
}

/// The places of batches that a later one for the same partition replaces.
fn repeated(asked: &Asked) -> HashSet<usize> {
    let mut repeated = HashSet::new();
    if asked.partitions.len() > 1 {
        let mut seen = HashSet::with_capacity(asked.partitions.len());
        for (place, partition) in asked.partitions.iter().enumerate().rev() {
            if let Label::Known(topic) = &asked.labels[partition.topic]
                && !seen.insert((topic.id, partition.index))
            {
                repeated.insert(place);
            }
        }
    }
    repeated
}

#[cfg(test)]
mod tests;
