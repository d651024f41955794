//! Bytes written out by hand, from Kafka's message definitions and KIP-482.

use bytes::Bytes;
use ottla_wire::api_versions::{
    ApiVersion, ApiVersionsRequest, ApiVersionsResponse, SupportedFeatureKey,
};
use ottla_wire::encoder::Segment;
use ottla_wire::fetch::{FetchResponse, FetchableTopicResponse, PartitionData};
use ottla_wire::frame::{decode_request_header, decode_response, encode_request, encode_response};
use ottla_wire::metadata::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseTopic,
};
use ottla_wire::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use ottla_wire::{
    ApiKey, DecodeError, DecodeErrorKind, EncodeError, HeaderVersions, Reader, Records,
};

#[test]
fn api_versions_response_v0() {
    let golden = [
        0, 35, // error: unsupported version
        0, 0, 0, 1, // one API
        0, 18, 0, 0, 0, 5, // ApiVersions, 0 to 5
    ];
    let response = ApiVersionsResponse {
        error_code: 35,
        api_keys: vec![ApiVersion {
            api_key: 18,
            min_version: 0,
            max_version: 5,
        }],
        // Versions below 1 and 3 have none of these; all are ignorable.
        throttle_time_ms: 7,
        finalized_features_epoch: 9,
        ..Default::default()
    };
    let mut bytes = Vec::new();
    response.encode(&mut bytes, 0).unwrap();
    assert_eq!(bytes, golden);
    let read = ApiVersionsResponse::decode(&mut Reader::new(&golden), 0).unwrap();
    let expected = ApiVersionsResponse {
        throttle_time_ms: 0,
        finalized_features_epoch: -1,
        ..response
    };
    assert_eq!(read, expected);
}

#[test]
fn api_versions_response_v3_has_tagged_fields_and_the_old_header() {
    let response = ApiVersionsResponse {
        api_keys: vec![ApiVersion {
            api_key: 3,
            min_version: 0,
            max_version: 13,
        }],
        supported_features: vec![SupportedFeatureKey {
            name: "a.b",
            min_version: 1,
            max_version: 2,
        }],
        finalized_features_epoch: 5,
        ..Default::default()
    };
    let frame = encode_response(ApiKey::ApiVersions, 3, 77, |w| response.encode(w, 3)).unwrap();
    let golden = [
        &[0, 0, 0, 41][..], // length
        &[0, 0, 0, 77],     // header v0: correlation id, no tagged fields
        &[0, 0],            // no error
        &[2],               // one API
        &[0, 3, 0, 0, 0, 13, 0],
        &[0, 0, 0, 0],                                   // throttle time
        &[2],                                            // two tagged fields
        &[0, 10, 2, 4, b'a', b'.', b'b', 0, 1, 0, 2, 0], // tag 0: one feature, 10 bytes
        &[1, 8, 0, 0, 0, 0, 0, 0, 0, 5],                 // tag 1: the epoch, 8 bytes
    ]
    .concat();
    let bytes = frame.to_bytes().unwrap();
    assert_eq!(bytes, golden);
    let (id, read) = decode_response::<ApiVersionsRequest<'_>>(&bytes[4..], 3).unwrap();
    assert_eq!((id, read), (77, response));
}

#[test]
fn metadata_request_v1() {
    let golden = [0, 0, 0, 2, 0, 1, b'a', 0, 2, b'b', b'c'];
    let topic = |name| MetadataRequestTopic {
        name: Some(name),
        ..Default::default()
    };
    let request = MetadataRequest {
        topics: Some(vec![topic("a"), topic("bc")]),
        ..Default::default()
    };
    let mut bytes = Vec::new();
    request.encode(&mut bytes, 1).unwrap();
    assert_eq!(bytes, golden);
    assert_eq!(
        MetadataRequest::decode(&mut Reader::new(&golden), 1),
        Ok(request)
    );

    // Null means all topics from version 1 on; in version 0 an empty list does, and null is refused.
    let null = [0xff, 0xff, 0xff, 0xff];
    let all = MetadataRequest::decode(&mut Reader::new(&null), 1).unwrap();
    assert_eq!(all.topics, None);
    assert!(
        all.allow_auto_topic_creation,
        "the default where the version has no such field"
    );
    let refused = MetadataRequest::decode(&mut Reader::new(&null), 0);
    assert_eq!(
        refused,
        Err(DecodeError {
            kind: DecodeErrorKind::UnexpectedNull,
            at: 0
        })
    );
}

#[test]
fn request_frame_with_header_v2_keeps_the_classic_client_id() {
    let request = ApiVersionsRequest {
        client_software_name: "x",
        client_software_version: "1",
        ..Default::default()
    };
    let bytes = encode_request(&request, 3, 9, Some("me"))
        .unwrap()
        .to_bytes()
        .unwrap();
    let golden = [
        &[0, 0, 0, 18][..],
        &[0, 18, 0, 3, 0, 0, 0, 9], // key, version, correlation id
        &[0, 2, b'm', b'e'],        // a 16-bit length although the header is flexible
        &[0],                       // tagged fields of the header
        &[2, b'x', 2, b'1', 0],
    ]
    .concat();
    assert_eq!(bytes, golden);
    let (key, header, mut body) = decode_request_header(&bytes[4..]).unwrap();
    assert_eq!(
        (key, header.request_api_version, header.correlation_id),
        (ApiKey::ApiVersions, 3, 9)
    );
    assert_eq!(header.client_id, Some("me"));
    assert_eq!(ApiVersionsRequest::decode(&mut body, 3), Ok(request));
    assert_eq!(body.remaining(), 0);
}

#[test]
fn headers_of_versions_and_keys() {
    let versions = |key: ApiKey, version| {
        let HeaderVersions { request, response } = key.header_versions(version);
        (request, response)
    };
    assert_eq!(versions(ApiKey::Fetch, 11), (1, 0));
    assert_eq!(versions(ApiKey::Fetch, 12), (2, 1));
    assert_eq!(versions(ApiKey::ApiVersions, 2), (1, 0));
    assert_eq!(versions(ApiKey::ApiVersions, 3), (2, 0));
    assert_eq!(versions(ApiKey::ApiVersions, 99), (2, 0));
    assert_eq!(versions(ApiKey::SaslHandshake, 1), (1, 0));
    assert_eq!(versions(ApiKey::DescribeCluster, 0), (2, 1));

    let unknown = decode_request_header(&[0, 95, 0, 0, 0, 0, 0, 1, 0xff, 0xff]);
    assert_eq!(unknown.err().unwrap().kind, DecodeErrorKind::UnknownKey(95));
    let short = decode_request_header(&[0, 18, 0]);
    assert_eq!(short.err().unwrap().kind, DecodeErrorKind::Truncated);
}

#[test]
fn produced_records_are_found_in_the_frame() {
    let request = ProduceRequest {
        acks: -1,
        topic_data: vec![TopicProduceData {
            name: "t",
            partition_data: vec![PartitionProduceData {
                index: 0,
                records: Some(b"batch"),
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let frame = encode_request(&request, 9, 1, None)
        .unwrap()
        .to_bytes()
        .unwrap();
    let (_, _, mut r) = decode_request_header(&frame[4..]).unwrap();
    let read = ProduceRequest::decode(&mut r, 9).unwrap();
    assert_eq!(read, request);
    let records = read.topic_data[0].partition_data[0].records.unwrap();
    let range = r.offset_of(records).unwrap();
    let mut whole = frame.slice(4..);
    assert_eq!(whole.split_off(range.start).split_to(range.len()), "batch");
}

#[test]
fn record_bytes_of_a_response_are_not_copied() {
    let big = Bytes::from(vec![7u8; 5000]);
    let small = Bytes::from_static(b"small");
    let partition = |records| PartitionData {
        records: Some(records),
        ..Default::default()
    };
    let response = FetchResponse {
        responses: vec![FetchableTopicResponse {
            topic: "t",
            partitions: vec![
                partition(Records::Shared(big.clone())),
                partition(Records::External {
                    key: 42,
                    length: 1_000_000,
                }),
                partition(Records::Shared(small)),
                PartitionData::default(),
            ],
            ..Default::default()
        }],
        ..Default::default()
    };
    let frame = encode_response(ApiKey::Fetch, 12, 1, |w| response.encode(w, 12)).unwrap();
    let [
        Segment::Bytes(head),
        Segment::Bytes(first),
        Segment::Bytes(between),
        external,
        Segment::Bytes(rest),
    ] = &frame.segments[..]
    else {
        panic!("{:?}", frame.segments)
    };
    assert_eq!(first.as_ptr(), big.as_ptr(), "the very same bytes");
    assert_eq!(
        external,
        &Segment::External {
            key: 42,
            length: 1_000_000
        }
    );
    assert!(
        rest.windows(5).any(|w| w == b"small"),
        "few bytes are copied"
    );
    let sum = head.len() + 5000 + between.len() + 1_000_000 + rest.len();
    assert_eq!(sum, frame.bytes);
    assert_eq!(head[..4], ((sum - 4) as u32).to_be_bytes());
    assert_eq!(frame.to_bytes(), None, "external bytes are not here");
    assert_eq!(
        response.encode(&mut Vec::new(), 12),
        Err(EncodeError::ExternalRecords)
    );
}

#[test]
fn shared_records_read_back_as_borrowed_ones() {
    for length in [0, 1, 1024, 1025, 70_000] {
        let bytes = Bytes::from(vec![b'r'; length]);
        let response = FetchResponse {
            responses: vec![FetchableTopicResponse {
                topic: "t",
                partitions: vec![PartitionData {
                    records: Some(Records::Shared(bytes)),
                    ..Default::default()
                }],
                ..Default::default()
            }],
            ..Default::default()
        };
        for version in [4, 11, 12] {
            let frame = encode_response(ApiKey::Fetch, version, 1, |w| response.encode(w, version))
                .unwrap();
            let bytes = frame.to_bytes().unwrap();
            let (_, read) =
                decode_response::<ottla_wire::fetch::FetchRequest<'_>>(&bytes[4..], version)
                    .unwrap();
            assert_eq!(
                read.responses[0].partitions[0].records,
                response.responses[0].partitions[0].records
            );
        }
    }
}

#[test]
fn what_a_version_cannot_express_is_refused() {
    let nameless = MetadataResponse {
        topics: vec![MetadataResponseTopic {
            name: None,
            ..Default::default()
        }],
        ..Default::default()
    };
    assert_eq!(
        nameless.encode(&mut Vec::new(), 11),
        Err(EncodeError::UnexpectedNull("MetadataResponseTopic.name"))
    );
    assert_eq!(nameless.encode(&mut Vec::new(), 12), Ok(()));
    assert_eq!(
        nameless.encode(&mut Vec::new(), 14),
        Err(EncodeError::UnsupportedVersion("MetadataResponse", 14))
    );
    let strict = MetadataRequest {
        allow_auto_topic_creation: false,
        ..Default::default()
    };
    let refused = Err(EncodeError::NotInVersion(
        "MetadataRequest.allow_auto_topic_creation",
        3,
    ));
    let result = strict.encode(&mut Vec::new(), 3);
    assert_eq!(
        result,
        if cfg!(debug_assertions) {
            refused
        } else {
            Ok(())
        }
    );
}

#[test]
fn a_short_body_cannot_claim_much_memory() {
    // Metadata v12 with 2^32-2 topics: five bytes that abort a decoder which allocates by what they claim.
    let bomb = [0xff, 0xff, 0xff, 0xff, 0x0f];
    let refused = MetadataRequest::decode(&mut Reader::new(&bomb), 12);
    assert_eq!(
        refused.unwrap_err().kind,
        DecodeErrorKind::CountTooLarge(u32::MAX - 1)
    );
    // A count that the bytes can hold, of elements that are small on the wire only.
    let mut many = vec![0x81, 0x80, 0x80, 0x01]; // 2^21 topics
    many.resize(4 + 18 * (1 << 21), 0);
    let limited = MetadataRequest::decode(&mut Reader::with_memory_limit(&many, 1 << 20), 12);
    assert_eq!(
        limited.unwrap_err().kind,
        DecodeErrorKind::MemoryLimit(1 << 21)
    );
}
