//! Frames that are built once and replayed, and the few bytes of an answer that the generator looks at.
//!
//! Produce and Fetch 12, the last versions that name topics by name: one topic, one partition, one
//! batch per request. Their successful answers have the same shape every time, so positions are fixed;
//! the tests hold them against the generated codec. Whatever is no success ends the run.

use std::time::{SystemTime, UNIX_EPOCH};

use ottla_e2e::random::Random;
use ottla_model::batch::{BatchBuilder, BatchSpec};
use ottla_testkit::wire_client::{WireError, produce_frame};
use ottla_wire::fetch::{FetchPartition, FetchRequest, FetchTopic};
use ottla_wire::frame::encode_request;

/// The topic of every row. Its name goes into every frame; shorter than 127 bytes, so that its length
/// takes one.
pub const TOPIC: &str = "bench";
/// The version of every Fetch.
pub const FETCH_VERSION: i16 = 12;
/// The length in front of every frame.
pub const LENGTH_BYTES: usize = 4;
/// What of an answer is looked at, without its length: enough for the first batch's base offset.
pub const HEAD_BYTES: usize = 128;

const CORRELATION_AT: usize = LENGTH_BYTES + 4;
/// Behind the name of the topic in an answer: where each API's fields begin.
const PRODUCED_AT: usize = 7 + TOPIC.len();
const FETCHED_AT: usize = 17 + TOPIC.len();
/// Behind the offset in a Fetch: LastFetchedEpoch, LogStartOffset, PartitionMaxBytes, three tag
/// buffers, no forgotten topic, no rack.
const BEHIND_FETCH_OFFSET: usize = 4 + 8 + 4 + 1 + 1 + 1 + 1 + 1;

/// A record batch that is sent over and over.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The whole of it.
    pub bytes: Vec<u8>,
    /// Records in it.
    pub records: u64,
}

impl Batch {
    /// A batch of at most this size, of records with values of this size that do not compress.
    #[must_use]
    pub fn new(batch_bytes: usize, value_bytes: usize) -> Batch {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_millis() as i64);
        let mut random = Random::new(1);
        let mut value = vec![0; value_bytes];
        let mut builder = BatchBuilder::new(BatchSpec::default(), now);
        // A record's own head takes up to twelve bytes.
        while builder.record_count() == 0 || builder.size_bytes() + value_bytes + 12 <= batch_bytes
        {
            random.fill(&mut value);
            builder.push(None, Some(&value), &[], now);
        }
        let records = builder.record_count() as u64;
        Batch {
            bytes: builder.build().bytes().to_vec(),
            records,
        }
    }
}

/// Frames one after the other, each with its place as correlation id.
#[derive(Clone, Debug)]
pub struct Ring {
    /// All frames.
    pub bytes: Vec<u8>,
    /// Where each ends.
    pub ends: Vec<usize>,
    /// The partition that each names.
    pub partitions: Vec<i32>,
}

impl Ring {
    /// Produce requests of one batch, one frame per partition given.
    ///
    /// # Errors
    /// If a frame cannot be expressed.
    pub fn produce(batch: &Batch, partitions: &[i32], acks: i16) -> Result<Ring, WireError> {
        Self::of(partitions, |partition| {
            produce_frame(TOPIC, partition, &batch.bytes, acks)
        })
    }

    /// One Fetch from a partition without a session, whose offset [`set_fetch_offset`] sets.
    ///
    /// # Errors
    /// If the frame cannot be expressed.
    pub fn fetch(partition: i32, bytes_max: i32) -> Result<Ring, WireError> {
        Self::of(&[partition], |partition| {
            let request = FetchRequest {
                max_wait_ms: 1_000,
                min_bytes: 1,
                max_bytes: bytes_max,
                topics: vec![FetchTopic {
                    topic: TOPIC,
                    partitions: vec![FetchPartition {
                        partition,
                        partition_max_bytes: bytes_max,
                        ..FetchPartition::default()
                    }],
                    ..FetchTopic::default()
                }],
                ..FetchRequest::default()
            };
            let frame = encode_request(&request, FETCH_VERSION, 0, Some("ottla-test"))?;
            Ok(frame.to_bytes().unwrap_or_default().into())
        })
    }

    /// One frame that names no partition.
    #[must_use]
    pub fn one(frame: Vec<u8>) -> Ring {
        Ring {
            ends: vec![frame.len()],
            bytes: frame,
            partitions: Vec::new(),
        }
    }

    /// Number of frames.
    #[must_use]
    pub fn frames(&self) -> usize {
        self.ends.len()
    }

    /// Where a frame begins.
    #[must_use]
    pub fn start(&self, frame: usize) -> usize {
        match frame {
            0 => 0,
            _ => self.ends[frame - 1],
        }
    }

    fn of(
        partitions: &[i32],
        frame: impl Fn(i32) -> Result<Vec<u8>, WireError>,
    ) -> Result<Ring, WireError> {
        let mut ring = Ring {
            bytes: Vec::new(),
            ends: Vec::with_capacity(partitions.len()),
            partitions: partitions.to_vec(),
        };
        for (place, partition) in (0_i32..).zip(partitions) {
            let mut frame = frame(*partition)?;
            frame[CORRELATION_AT..CORRELATION_AT + 4].copy_from_slice(&place.to_be_bytes());
            ring.bytes.extend_from_slice(&frame);
            ring.ends.push(ring.bytes.len());
        }
        Ok(ring)
    }
}

/// Asks from another offset; `frame` is the one of [`Ring::fetch`].
pub fn set_fetch_offset(frame: &mut [u8], offset: u64) {
    let at = frame.len() - BEHIND_FETCH_OFFSET - 8;
    frame[at..at + 8].copy_from_slice(&offset.to_be_bytes());
}

/// The correlation id of an answer, if it is there; `answer` is what follows the length.
#[must_use]
pub fn correlation_id(answer: &[u8]) -> Option<i32> {
    i32_at(answer, 0)
}

/// What Produce answered: the error code and the base offset.
#[must_use]
pub fn produced(answer: &[u8]) -> Option<(i16, i64)> {
    Some((
        i16_at(answer, PRODUCED_AT + 5)?,
        i64_at(answer, PRODUCED_AT + 7)?,
    ))
}

/// The error code that Heartbeat or ConsumerGroupHeartbeat answered.
#[must_use]
pub fn beaten(answer: &[u8]) -> Option<i16> {
    i16_at(answer, 9)
}

/// What Fetch answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FetchedHead {
    /// Kafka's error code, of the request or of the partition.
    pub error_code: i16,
    /// Bytes of record batches.
    pub records_bytes: usize,
    /// Base offset of the first batch, if there is one.
    pub first_offset: Option<i64>,
}

/// Reads the head of a Fetch answer.
#[must_use]
pub fn fetched(answer: &[u8]) -> Option<FetchedHead> {
    let whole = i16_at(answer, 9)?;
    let of_partition = i16_at(answer, FETCHED_AT + 5)?;
    if whole != 0 || of_partition != 0 {
        return Some(FetchedHead {
            error_code: if whole != 0 { whole } else { of_partition },
            records_bytes: 0,
            first_offset: None,
        });
    }
    // Error, three offsets, no aborted transaction, the preferred replica.
    let mut at = FETCHED_AT + 5 + 2 + 24 + 1 + 4;
    let mut length = 0;
    for shift in (0..35).step_by(7) {
        let byte = *answer.get(at)?;
        at += 1;
        length |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    Some(FetchedHead {
        error_code: 0,
        records_bytes: length.saturating_sub(1),
        first_offset: if length > 8 { i64_at(answer, at) } else { None },
    })
}

fn i16_at(bytes: &[u8], at: usize) -> Option<i16> {
    Some(i16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn i64_at(bytes: &[u8], at: usize) -> Option<i64> {
    Some(i64::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use ottla_wire::consumer_group_heartbeat::ConsumerGroupHeartbeatResponse;
    use ottla_wire::fetch::{FetchResponse, FetchableTopicResponse, PartitionData};
    use ottla_wire::frame::{decode_request_header, encode_response};
    use ottla_wire::heartbeat::HeartbeatResponse;
    use ottla_wire::produce::{PartitionProduceResponse, ProduceResponse, TopicProduceResponse};
    use ottla_wire::{ApiKey, Records};

    use super::*;

    #[test]
    fn positions_of_a_produce_answer() {
        let response = ProduceResponse {
            responses: vec![TopicProduceResponse {
                name: TOPIC,
                partition_responses: vec![PartitionProduceResponse {
                    index: 3,
                    error_code: 5,
                    base_offset: 77,
                    ..PartitionProduceResponse::default()
                }],
                ..TopicProduceResponse::default()
            }],
            ..ProduceResponse::default()
        };
        let frame = encode_response(ApiKey::Produce, 12, 9, |w| response.encode(w, 12))
            .unwrap()
            .to_bytes()
            .unwrap();
        assert_eq!(correlation_id(&frame[4..]), Some(9));
        assert_eq!(produced(&frame[4..]), Some((5, 77)));
        assert_eq!(produced(&frame[4..20]), None);
    }

    #[test]
    fn positions_of_heartbeat_answers() {
        let response = HeartbeatResponse {
            error_code: 27,
            ..HeartbeatResponse::default()
        };
        let frame = encode_response(ApiKey::Heartbeat, 4, 0, |w| response.encode(w, 4));
        assert_eq!(beaten(&frame.unwrap().to_bytes().unwrap()[4..]), Some(27));
        let response = ConsumerGroupHeartbeatResponse {
            error_code: 110,
            error_message: Some("fenced"),
            ..ConsumerGroupHeartbeatResponse::default()
        };
        let frame = encode_response(ApiKey::ConsumerGroupHeartbeat, 1, 0, |w| {
            response.encode(w, 1)
        });
        assert_eq!(beaten(&frame.unwrap().to_bytes().unwrap()[4..]), Some(110));
    }

    #[test]
    fn positions_of_a_fetch_and_its_answer() {
        let mut ring = Ring::fetch(2, 1 << 20).unwrap();
        set_fetch_offset(&mut ring.bytes, 123_456);
        let (_, header, mut body) = decode_request_header(&ring.bytes[4..]).unwrap();
        let request = FetchRequest::decode(&mut body, header.request_api_version).unwrap();
        assert_eq!(request.topics[0].partitions[0].fetch_offset, 123_456);
        assert_eq!(request.topics[0].partitions[0].partition_max_bytes, 1 << 20);

        let batch = Batch::new(1 << 10, 100).bytes;
        let answer = |error_code| {
            let response = FetchResponse {
                responses: vec![FetchableTopicResponse {
                    topic: TOPIC,
                    partitions: vec![PartitionData {
                        partition_index: 2,
                        error_code,
                        records: Some(Records::Borrowed(&batch)),
                        ..PartitionData::default()
                    }],
                    ..FetchableTopicResponse::default()
                }],
                ..FetchResponse::default()
            };
            let frame = encode_response(ApiKey::Fetch, FETCH_VERSION, 0, |w| {
                response.encode(w, FETCH_VERSION)
            });
            frame.unwrap()
        };
        let head = |frame: &ottla_wire::encoder::Frame| fetched(&frame.to_bytes().unwrap()[4..]);
        let good = head(&answer(0)).unwrap();
        assert_eq!(
            (good.error_code, good.records_bytes, good.first_offset),
            (0, batch.len(), Some(0))
        );
        assert_eq!(head(&answer(1)).unwrap().error_code, 1);
    }

    #[test]
    fn frames_of_a_ring_name_their_place_and_partition() {
        let batch = Batch::new(1_000, 900);
        assert_eq!(batch.records, 1);
        let ring = Ring::produce(&batch, &[0, 7], -1).unwrap();
        assert_eq!((ring.frames(), ring.start(1)), (2, ring.ends[0]));
        let second = &ring.bytes[ring.start(1) + 4..];
        let (key, header, _) = decode_request_header(second).unwrap();
        assert_eq!((key, header.correlation_id), (ApiKey::Produce, 1));
    }
}
