use ottla_broker::api::{Image, TopicImage};
use ottla_model::batch::{Attributes, BatchBuilder, BatchSpec};
use ottla_model::names::TopicName;
use ottla_model::uuid::Uuid;
use ottla_wire::produce::PartitionProduceData;

use super::*;

#[test]
fn records_are_cut_out_of_the_front() {
    let bytes: Vec<u8> = (0..20_000u32).map(|n| n as u8).collect();
    let mut cuts = Cuts::of(BytesMut::from(&bytes[..]));
    for range in [10..20, 30..9_000, 9_000..9_000, 9_100..20_000] {
        let mut records = cuts.cut(range.clone());
        assert_eq!(records, bytes[range]);
        // Each owns its bytes: the log stamps them in place.
        records.iter_mut().for_each(|byte| *byte = 0);
    }
    assert!(cuts.rest.is_empty());
}

#[test]
fn small_records_let_their_frame_go() {
    let mut cuts = Cuts::of(BytesMut::zeroed(100_000));
    let small = cuts.cut(5..5 + COPIED_BYTES_MAX - 1);
    assert!(small.capacity() < 2 * COPIED_BYTES_MAX);
    let large = cuts.cut(50_000..50_000 + COPIED_BYTES_MAX);
    assert_eq!(large.len(), COPIED_BYTES_MAX);
}

fn known(name: &str, id: u8) -> Label {
    Label::Known(Arc::new(TopicImage {
        id: Uuid([id; 16]),
        name: TopicName::parse(name).unwrap(),
        partitions: Vec::new(),
        configs: Default::default(),
        config: Arc::default(),
    }))
}

#[test]
fn the_last_batch_for_a_partition_counts() {
    let asked = |partitions: &[(usize, i32)]| Asked {
        acks: 1,
        timeout_ms: 0,
        labels: vec![
            known("a", 1),
            known("b", 2),
            known("a", 1),
            Label::UnknownName("u".into()),
        ],
        partitions: partitions
            .iter()
            .map(|&(topic, index)| AskedPartition {
                topic,
                index,
                records: None,
            })
            .collect(),
        refused: None,
    };
    let places = |partitions| {
        let mut places: Vec<_> = repeated(&asked(partitions)).into_iter().collect();
        places.sort_unstable();
        places
    };
    assert_eq!(places(&[]), []);
    assert_eq!(places(&[(0, 0)]), []);
    assert_eq!(places(&[(0, 0), (0, 1), (1, 0)]), []);
    assert_eq!(places(&[(0, 0), (0, 1), (0, 0), (2, 0)]), [0, 2]);
    // What is unknown is refused, however often.
    assert_eq!(places(&[(3, 0), (3, 0)]), []);
}

#[test]
fn transactional_records_need_an_id() {
    let batch = |attributes| {
        let mut builder = BatchBuilder::new(
            BatchSpec {
                attributes,
                ..BatchSpec::default()
            },
            0,
        );
        builder.push(None, None, &[], 0);
        builder.build().bytes().to_vec()
    };
    let plain = batch(Attributes::default());
    let transactional = batch(Attributes::default().with_transactional());
    assert!(!is_transactional(&plain));
    assert!(is_transactional(&transactional));
    assert!(!is_transactional(&transactional[..22]));
    let request = |transactional_id, records| ProduceRequest {
        transactional_id,
        topic_data: vec![TopicProduceData {
            partition_data: vec![PartitionProduceData {
                index: 0,
                records: Some(records),
            }],
            ..TopicProduceData::default()
        }],
        ..ProduceRequest::default()
    };
    assert_eq!(refuse_all(&request(None, &plain)), None);
    assert_eq!(refuse_all(&request(Some("id"), &transactional)), None);
    let refused = refuse_all(&request(None, &transactional)).unwrap();
    assert_eq!(refused.code, ErrorCode::TransactionalIdAuthorizationFailed);
}

#[test]
fn topics_are_labelled_as_the_version_names_them() {
    let image = Image::default();
    let topic = TopicProduceData {
        name: "t",
        topic_id: Uuid([3; 16]),
        ..TopicProduceData::default()
    };
    assert!(matches!(label(&topic, 12, &image), Label::UnknownName(name) if &*name == "t"));
    assert!(matches!(label(&topic, 13, &image), Label::UnknownId(Uuid(id)) if id == [3; 16]));
}
