//! What a Produce request asks for, with the records still in the frame.

use std::ops::Range;
use std::sync::Arc;

use bytes::BytesMut;
use hashbrown::HashSet;
use ottla_broker::api::Image;
use ottla_wire::produce::{ProduceRequest, TopicProduceData};
use ottla_wire::{ApiKey, Reader};

use super::pending::{Label, Refused};
use crate::close::CloseReason;
use crate::error_map::ErrorCode;

/// Records below this are copied out of their frame: a small batch must not keep a large read alive.
pub(super) const COPIED_BYTES_MAX: usize = 4 << 10;

/// Memory that the topics and partitions of a request may take at most, decoded, however many bytes of
/// records it has: about 170,000 partitions.
const HEADS_BYTES_MAX: usize = 4 << 20;

/// A request, decoded.
pub(super) struct Asked {
    pub(super) acks: i16,
    pub(super) timeout_ms: i32,
    pub(super) labels: Vec<Label>,
    pub(super) partitions: Vec<AskedPartition>,
    /// Why all of it is refused.
    pub(super) refused: Option<Refused>,
}

/// What it says of one partition.
pub(super) struct AskedPartition {
    /// Place of the topic in `labels`.
    pub(super) topic: usize,
    pub(super) index: i32,
    /// Where its records lie in the body. Ranges ascend.
    pub(super) records: Option<Range<usize>>,
}

impl Asked {
    pub(super) fn read(body: &[u8], version: i16, image: &Image) -> Result<Asked, CloseReason> {
        let mut reader = Reader::with_memory_limit(body, HEADS_BYTES_MAX);
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

/// The records of each partition of a body, in the order of the request, cut out of it.
pub(super) struct Cuts {
    rest: BytesMut,
    /// Where the rest begins in the body as it came.
    rest_at: usize,
}

impl Cuts {
    pub(super) fn of(body: BytesMut) -> Cuts {
        Cuts {
            rest: body,
            rest_at: 0,
        }
    }

    /// The bytes in `range`, which lies behind all that was cut before. They own themselves alone.
    pub(super) fn cut(&mut self, range: Range<usize>) -> BytesMut {
        let mut records = self.rest.split_off(range.start - self.rest_at);
        self.rest = records.split_off(range.len());
        self.rest_at = range.end;
        if records.len() < COPIED_BYTES_MAX {
            BytesMut::from(&records[..])
        } else {
            records
        }
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
pub(super) fn repeated(asked: &Asked) -> HashSet<usize> {
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
