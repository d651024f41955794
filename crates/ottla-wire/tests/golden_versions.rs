//! Bytes written out by hand, from Kafka's message definitions, of versions that the crate kafka-protocol
//! does not know: the newest (4.4), and those below the floor of Kafka 4 (as of 3.9).

use std::fmt::Debug;

use ottla_model::uuid::Uuid;
use ottla_wire::Reader;
use ottla_wire::api_versions::ApiVersionsRequest;
use ottla_wire::create_topics::{CreatableTopic, CreatableTopicResult, CreateTopicsRequest};
use ottla_wire::create_topics::{CreatableTopicConfig, CreateTopicsResponse};
use ottla_wire::delete_groups::{DeletableGroupResult, DeleteGroupsResponse};
use ottla_wire::describe_configs::{
    DescribeConfigsResourceResult, DescribeConfigsResponse, DescribeConfigsResult,
};
use ottla_wire::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use ottla_wire::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestTopic, OffsetFetchResponse, OffsetFetchResponsePartition,
    OffsetFetchResponseTopic,
};
use ottla_wire::streams_group_describe::{self as described, StreamsGroupDescribeResponse};
use ottla_wire::streams_group_heartbeat::{
    Endpoint, EndpointToPartitions, Status, StreamsGroupHeartbeatResponse, TaskIds, TopicPartition,
};
use ottla_wire::streams_group_topology_description_update::{
    StreamsGroupTopologyDescriptionUpdateRequest, TopologyDescription,
    TopologyDescriptionGlobalStore, TopologyDescriptionNode, TopologyDescriptionSubtopology,
};
use ottla_wire::txn_offset_commit::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
    TxnOffsetCommitResponse, TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use ottla_wire::unregister_controller::{
    UnregisterControllerRequest, UnregisterControllerResponse,
};
use ottla_wire::write_txn_markers::{WritableTxnMarker, WriteTxnMarkersRequest};

/// Holds a message against its bytes, both ways.
macro_rules! golden {
    ($ty:ident, $version:expr, $message:expr, $bytes:expr) => {{
        let (message, bytes): (_, Vec<u8>) = ($message, $bytes.concat());
        let mut written = Vec::new();
        message.encode(&mut written, $version).unwrap();
        same(&written, &bytes);
        let mut r = Reader::new(&bytes);
        same(&$ty::decode(&mut r, $version).unwrap(), &message);
        assert_eq!(r.remaining(), 0);
    }};
}

fn same<T: Debug + PartialEq>(left: &T, right: &T) {
    assert_eq!(left, right);
}

const ID: Uuid = Uuid([7; 16]);

#[test]
fn txn_offset_commit_v6_names_topics_by_id() {
    let request = TxnOffsetCommitRequest {
        transactional_id: "x",
        group_id: "g",
        producer_id: 5,
        producer_epoch: 1,
        generation_id_or_member_epoch: 3,
        member_id: "m",
        group_instance_id: None,
        topics: vec![TxnOffsetCommitRequestTopic {
            topic_id: ID,
            partitions: vec![TxnOffsetCommitRequestPartition {
                partition_index: 2,
                committed_offset: 9,
                committed_leader_epoch: -1,
                committed_metadata: None,
            }],
            ..Default::default()
        }],
    };
    let bytes = [
        &[2, b'x', 2, b'g'][..],
        &[0, 0, 0, 0, 0, 0, 0, 5, 0, 1],
        &[0, 0, 0, 3, 2, b'm', 0], // epoch, member, no instance id
        &[2],
        &[7; 16], // in place of the name
        &[2, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 9],
        &[0xff, 0xff, 0xff, 0xff, 0], // leader epoch, null metadata
        &[0, 0, 0],                   // tags of partition, topic, request
    ];
    golden!(TxnOffsetCommitRequest, 6, request, bytes);

    let response = TxnOffsetCommitResponse {
        throttle_time_ms: 1,
        topics: vec![TxnOffsetCommitResponseTopic {
            topic_id: ID,
            partitions: vec![TxnOffsetCommitResponsePartition {
                partition_index: 2,
                error_code: 100,
            }],
            ..Default::default()
        }],
    };
    let bytes = [
        &[0, 0, 0, 1, 2][..],
        &[7; 16],
        &[2, 0, 0, 0, 2, 0, 100, 0, 0, 0],
    ];
    golden!(TxnOffsetCommitResponse, 6, response, bytes);
}

#[test]
fn write_txn_markers_v2_ends_with_the_transaction_version() {
    let request = WriteTxnMarkersRequest {
        markers: vec![WritableTxnMarker {
            producer_id: 5,
            producer_epoch: 1,
            transaction_result: true,
            coordinator_epoch: 4,
            transaction_version: 2,
            ..Default::default()
        }],
    };
    let bytes = [
        &[2][..],
        &[0, 0, 0, 0, 0, 0, 0, 5, 0, 1, 1],
        &[1],                   // no topics
        &[0, 0, 0, 4, 2, 0, 0], // coordinator epoch, transaction version, tags
    ];
    golden!(WriteTxnMarkersRequest, 2, request, bytes);
}

#[test]
fn api_versions_request_v5_says_whom_it_means() {
    let request = ApiVersionsRequest {
        client_software_name: "n",
        client_software_version: "1",
        cluster_id: Some("c"),
        node_id: 3,
    };
    let bytes = [&[2, b'n', 2, b'1', 2, b'c', 0, 0, 0, 3, 0][..]];
    golden!(ApiVersionsRequest, 5, request, bytes);
}

#[test]
fn delete_groups_response_v3_has_a_message() {
    let response = DeleteGroupsResponse {
        throttle_time_ms: 0,
        results: vec![DeletableGroupResult {
            group_id: "g",
            error_code: 68,
            error_message: Some("no"),
        }],
    };
    let bytes = [&[0, 0, 0, 0, 2, 2, b'g', 0, 68, 3, b'n', b'o', 0, 0][..]];
    golden!(DeleteGroupsResponse, 3, response, bytes);
}

#[test]
fn unregister_controller_v0() {
    let request = UnregisterControllerRequest { controller_id: 7 };
    golden!(
        UnregisterControllerRequest,
        0,
        request,
        [&[0, 0, 0, 7, 0][..]]
    );
    let response = UnregisterControllerResponse {
        throttle_time_ms: 0,
        error_code: 136,
        error_message: None,
    };
    let bytes = [&[0, 0, 0, 0, 0, 136, 0, 0][..]];
    golden!(UnregisterControllerResponse, 0, response, bytes);
}

#[test]
fn topology_description_update_v0() {
    let node = |name, node_type| TopologyDescriptionNode {
        name,
        node_type,
        ..Default::default()
    };
    let request = StreamsGroupTopologyDescriptionUpdateRequest {
        group_id: "g",
        member_id: "m",
        topology_epoch: 4,
        topology_description: TopologyDescription {
            subtopologies: vec![TopologyDescriptionSubtopology {
                subtopology_id: "0",
                nodes: vec![TopologyDescriptionNode {
                    name: "k",
                    node_type: 3,
                    source_topics: vec!["a"],
                    sink_topic: Some("z"),
                    stores: vec!["s"],
                    successors: vec!["n"],
                }],
            }],
            global_stores: vec![TopologyDescriptionGlobalStore {
                source: node("q", 1),
                processor: node("p", 2),
            }],
        },
    };
    let bytes = [
        &[2, b'g', 2, b'm', 0, 0, 0, 4][..],
        &[2, 2, b'0'],       // one subtopology, its id
        &[2, 2, b'k', 3],    // one node, a sink
        &[2, 2, b'a'],       // source topics
        &[2, b'z'],          // sink topic
        &[2, 2, b's'],       // stores
        &[2, 2, b'n', 0, 0], // successors, tags of node and subtopology
        &[2],                // one global store
        &[2, b'q', 1, 1, 0, 1, 1, 0],
        &[2, b'p', 2, 1, 0, 1, 1, 0],
        &[0, 0, 0], // tags of store, description, request
    ];
    golden!(
        StreamsGroupTopologyDescriptionUpdateRequest,
        0,
        request,
        bytes
    );
}

#[test]
fn streams_group_heartbeat_response_v1_has_the_lag_later_and_wider() {
    let tasks = |id| {
        Some(vec![TaskIds {
            subtopology_id: id,
            partitions: vec![1].into(),
        }])
    };
    let response = StreamsGroupHeartbeatResponse {
        member_id: "m",
        member_epoch: 2,
        heartbeat_interval_ms: 5000,
        task_offset_interval_ms: 60000,
        acceptable_recovery_lag: 10000,
        status: Some(vec![Status {
            status_code: 5,
            status_detail: "",
        }]),
        active_tasks: tasks("0"),
        standby_tasks: tasks("1"),
        warmup_tasks: None,
        topology_description_required: true,
        endpoint_information_epoch: 1,
        partitions_by_user_endpoint: Some(vec![EndpointToPartitions {
            user_endpoint: Endpoint {
                host: "h",
                port: 65535,
            },
            active_partitions: vec![TopicPartition {
                topic: "t",
                partitions: vec![0].into(),
            }],
            standby_partitions: vec![],
        }]),
        ..Default::default()
    };
    let bytes = [
        &[0, 0, 0, 0, 0, 0, 0][..], // throttle time, error, message
        &[2, b'm', 0, 0, 0, 2, 0, 0, 0x13, 0x88],
        &[0, 0, 0xea, 0x60],             // version 0 has a 32-bit lag before this
        &[0, 0, 0, 0, 0, 0, 0x27, 0x10], // the lag
        &[2, 5, 1, 0],                   // one status
        &[2, 2, b'0', 2, 0, 0, 0, 1, 0],
        &[2, 2, b'1', 2, 0, 0, 0, 1, 0],
        &[0, 1],       // null warm-up tasks, description wanted
        &[0, 0, 0, 1], // endpoint epoch
        &[2, 2, b'h', 0xff, 0xff, 0],
        &[2, 2, b't', 2, 0, 0, 0, 0, 0],
        &[1, 0, 0],
    ];
    golden!(StreamsGroupHeartbeatResponse, 1, response, bytes);
}

#[test]
fn streams_group_describe_response_v1_ends_with_description_and_assignor() {
    let group = |topology_description, topology_description_status| described::DescribedGroup {
        group_id: "g",
        group_state: "Empty",
        topology_description,
        topology_description_status,
        assignor_name: Some("s"),
        ..Default::default()
    };
    let here = described::TopologyDescription::default();
    let response = StreamsGroupDescribeResponse {
        throttle_time_ms: 0,
        groups: vec![group(None, 0), group(Some(here), 3)],
    };
    let head = [
        &[0, 0, 0][..], // error, message
        &[2, b'g', 6, b'E', b'm', b'p', b't', b'y'],
        &[0, 0, 0, 0, 0, 0, 0, 0], // epochs
        &[0xff, 1],                // null topology, no members
        &[0x80, 0, 0, 0],          // operations
    ]
    .concat();
    let bytes = [
        &[0, 0, 0, 0, 3][..],
        &head,
        &[0xff, 0, 2, b's', 0],
        &head,
        &[1, 1, 1, 0, 3, 2, b's', 0], // present, two empty lists, tags, status
        &[0],
    ];
    golden!(StreamsGroupDescribeResponse, 1, response, bytes);
}

#[test]
fn offset_commit_request_v0_knows_no_members() {
    let request = |commit_timestamp| OffsetCommitRequest {
        group_id: "g",
        topics: vec![OffsetCommitRequestTopic {
            name: "t",
            partitions: vec![OffsetCommitRequestPartition {
                partition_index: 1,
                committed_offset: 9,
                commit_timestamp,
                committed_metadata: Some("d"),
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let bytes = [
        &[0, 1, b'g'][..],
        &[0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1],
        &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, b'd'],
    ];
    golden!(OffsetCommitRequest, 0, request(-1), bytes);

    // Version 1 alone has a time between offset and metadata.
    let bytes = [
        &[0, 1, b'g', 0xff, 0xff, 0xff, 0xff, 0, 0][..], // generation, member
        &[0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1],
        &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9],
        &[0, 0, 0, 0, 0, 0, 0, 8, 0, 1, b'd'],
    ];
    golden!(OffsetCommitRequest, 1, request(8), bytes);
}

#[test]
fn offset_fetch_v0() {
    let request = OffsetFetchRequest {
        group_id: "g",
        topics: Some(vec![OffsetFetchRequestTopic {
            name: "t",
            partition_indexes: vec![1].into(),
        }]),
        ..Default::default()
    };
    let bytes = [
        &[0, 1, b'g', 0, 0, 0, 1, 0, 1, b't'][..],
        &[0, 0, 0, 1, 0, 0, 0, 1],
    ];
    golden!(OffsetFetchRequest, 0, request, bytes);
    let response = OffsetFetchResponse {
        topics: vec![OffsetFetchResponseTopic {
            name: "t",
            partitions: vec![OffsetFetchResponsePartition {
                partition_index: 1,
                committed_offset: -1,
                metadata: Some(""),
                error_code: 3,
                ..Default::default()
            }],
        }],
        ..Default::default()
    };
    let bytes = [
        &[0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1, 0, 0, 0, 1][..],
        &[0xff; 8],
        &[0, 0, 0, 3], // empty metadata, error; version 2 adds one for the group
    ];
    golden!(OffsetFetchResponse, 0, response, bytes);
}

#[test]
fn create_topics_v0_neither_validates_nor_explains() {
    let request = CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: "t",
            num_partitions: 1,
            replication_factor: 1,
            assignments: vec![],
            configs: vec![CreatableTopicConfig {
                name: "c",
                value: Some("v"),
            }],
        }],
        timeout_ms: 5,
        validate_only: false,
    };
    let bytes = [
        &[0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1, 0, 1][..],
        &[0, 0, 0, 0, 0, 0, 0, 1, 0, 1, b'c', 0, 1, b'v'],
        &[0, 0, 0, 5],
    ];
    golden!(CreateTopicsRequest, 0, request, bytes);
    let result = CreatableTopicResult {
        name: "t",
        error_code: 36,
        ..Default::default()
    };
    let response = CreateTopicsResponse {
        throttle_time_ms: 7, // Ignorable: not in version 0.
        topics: vec![result],
    };
    let mut written = Vec::new();
    response.encode(&mut written, 0).unwrap();
    assert_eq!(written, [0, 0, 0, 1, 0, 1, b't', 0, 36]);
}

#[test]
fn describe_configs_response_v0_says_only_whether_it_is_the_default() {
    let response = DescribeConfigsResponse {
        throttle_time_ms: 0,
        results: vec![DescribeConfigsResult {
            resource_type: 2,
            resource_name: "t",
            configs: vec![DescribeConfigsResourceResult {
                name: "c",
                value: Some("v"),
                read_only: false,
                is_default: true,
                is_sensitive: false,
                ..Default::default()
            }],
            ..Default::default()
        }],
    };
    let bytes = [
        &[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 2, 0, 1, b't'][..],
        &[0, 0, 0, 1, 0, 1, b'c', 0, 1, b'v', 0, 1, 0],
    ];
    let mut written = Vec::new();
    response.encode(&mut written, 0).unwrap();
    assert_eq!(written, bytes.concat());
    let read = DescribeConfigsResponse::decode(&mut Reader::new(&written), 0).unwrap();
    assert!(read.results[0].configs[0].is_default);
    let message = read.results[0].error_message;
    assert_eq!(message, Some(""), "an empty message is not null");
}
