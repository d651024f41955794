//! How often memory is allocated for the messages of the data path: a binary of its own, because its
//! allocator counts. How long they take is printed by `cargo xtask bench --micro`.

#![allow(clippy::unwrap_used, reason = "the file is a test, its helpers too")]

use allocation_counter::{AllocationInfo, measure};
use bytes::Bytes;
use ottla_model::uuid::Uuid;
use ottla_wire::encoder::{Encoder, Frame, Segment};
use ottla_wire::fetch::{FetchResponse, FetchableTopicResponse, PartitionData};
use ottla_wire::metadata::{
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use ottla_wire::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use ottla_wire::{EncodeError, Reader, Records};

/// What `frame` allocates, and the frame.
fn framed(body: impl Fn(&mut Encoder) -> Result<(), EncodeError>) -> (AllocationInfo, Frame) {
    let mut frame = None;
    let info = measure(|| {
        let mut w = Encoder::with_capacity(512);
        body(&mut w).unwrap();
        frame = Some(w.finish().unwrap());
    });
    (info, frame.unwrap())
}

#[test]
fn a_produce_allocates_for_its_topics_and_for_their_partitions_and_copies_no_record() {
    let records = vec![1; 16 << 10];
    let request = ProduceRequest {
        topic_data: vec![TopicProduceData {
            name: "topic",
            partition_data: vec![PartitionProduceData {
                records: Some(&records),
                ..PartitionProduceData::default()
            }],
            ..TopicProduceData::default()
        }],
        ..ProduceRequest::default()
    };
    let mut bytes = Vec::new();
    request.encode(&mut bytes, 12).unwrap();
    let info = measure(|| {
        let read = ProduceRequest::decode(&mut Reader::new(&bytes), 12).unwrap();
        assert_eq!(
            read.topic_data[0].partition_data[0].records,
            Some(&records[..])
        );
    });
    assert_eq!(info.count_total, 2);
    assert!(info.bytes_total < 256, "{info:?}");
}

fn fetched(records: &Bytes, partitions: i32) -> FetchResponse<'static> {
    let partition = |partition_index| PartitionData {
        partition_index,
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

#[test]
fn the_answer_to_a_fetch_is_heads_between_records_that_stay_where_they_are() {
    let records = Bytes::from(vec![1; 1 << 20]);
    let response = fetched(&records, 50);
    let (info, frame) = framed(|w| response.encode(w, 17));
    let kept = frame.segments.iter().filter(|segment| match segment {
        Segment::Bytes(bytes) => bytes.as_ptr() == records.as_ptr() && bytes.len() == records.len(),
        Segment::External { .. } => false,
    });
    assert_eq!(kept.count(), 50);
    assert!(info.bytes_total < 32 << 10, "{info:?}");
    // The head and where records belong grow by doubling.
    assert!(info.count_total <= 12, "{info:?}");
}

#[test]
fn a_fetch_answer_of_which_nothing_is_kept_is_one_segment() {
    let response = fetched(&Bytes::from_static(b"small"), 50);
    let (info, frame) = framed(|w| response.encode(w, 17));
    assert_eq!(frame.segments.len(), 1);
    assert!(info.count_total <= 6, "{info:?}");
}

fn described<'a>(replicas: &'a [i32], partitions: i32) -> MetadataResponse<'a> {
    let partition = |partition_index| MetadataResponsePartition {
        partition_index,
        replica_nodes: replicas.into(),
        isr_nodes: replicas.into(),
        ..MetadataResponsePartition::default()
    };
    MetadataResponse {
        brokers: vec![MetadataResponseBroker {
            host: "localhost",
            ..MetadataResponseBroker::default()
        }],
        topics: vec![MetadataResponseTopic {
            name: Some("topic"),
            partitions: (0..partitions).map(partition).collect(),
            ..MetadataResponseTopic::default()
        }],
        ..MetadataResponse::default()
    }
}

#[test]
fn metadata_of_more_partitions_allocates_more_bytes_but_not_more_often() {
    let allocations = |partitions| {
        let mut response = None;
        let made = measure(|| response = Some(described(&[1, 2, 3], partitions)));
        let response = response.unwrap();
        let (written, frame) = framed(|w| response.encode(w, 13));
        let bytes = frame.to_bytes().unwrap();
        let read = measure(|| {
            let read = MetadataResponse::decode(&mut Reader::new(&bytes[4..]), 13).unwrap();
            assert_eq!(read.topics[0].partitions.len(), partitions as usize);
        });
        (made.count_total, written.count_total, read.count_total)
    };
    let (made, written, read) = allocations(1_000);
    assert!(
        made <= 3 && written <= 6 && read <= 3,
        "{made} {written} {read}"
    );
    assert_eq!(allocations(1_000), allocations(10_000));
}
