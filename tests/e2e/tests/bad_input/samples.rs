//! One good request of every API that is served, at every version: what the lies are made from.

use ottla_wire::api_versions::ApiVersionsRequest;
use ottla_wire::create_topics::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest};
use ottla_wire::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use ottla_wire::describe_cluster::DescribeClusterRequest;
use ottla_wire::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};
use ottla_wire::fetch::{FetchPartition, FetchRequest, FetchTopic};
use ottla_wire::find_coordinator::FindCoordinatorRequest;
use ottla_wire::init_producer_id::InitProducerIdRequest;
use ottla_wire::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use ottla_wire::metadata::{MetadataRequest, MetadataRequestTopic};
use ottla_wire::offset_for_leader_epoch::{
    OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use ottla_wire::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use ottla_wire::{AnyRequest, ApiKey};

/// A topic that exists in no broker under test: samples change nothing.
const NOWHERE: &str = "no-such-topic";

/// A request that a broker understands.
pub(crate) struct Sample {
    pub(crate) key: i16,
    pub(crate) version: i16,
    pub(crate) body: Vec<u8>,
}

/// All of them, for what `spoken` says that the broker speaks.
pub(crate) fn samples(spoken: &[(i16, i16, i16)], batch: &[u8]) -> Vec<Sample> {
    let mut found = Vec::new();
    for &(key, least, most) in spoken {
        let Ok(api) = ApiKey::try_from(key) else {
            continue;
        };
        let least = if api == ApiKey::Produce { 3 } else { least };
        for version in least..=most {
            let mut body = Vec::new();
            if let Some(request) = request(api, version, batch)
                && request.encode(&mut body, version).is_ok()
            {
                found.push(Sample { key, version, body });
            }
        }
    }
    found
}

fn request(api: ApiKey, version: i16, batch: &[u8]) -> Option<AnyRequest<'_>> {
    Some(match api {
        ApiKey::Produce => AnyRequest::Produce(ProduceRequest {
            transactional_id: None,
            acks: -1,
            timeout_ms: 1_000,
            topic_data: vec![TopicProduceData {
                name: NOWHERE,
                partition_data: vec![PartitionProduceData {
                    index: 0,
                    records: Some(batch),
                }],
                ..TopicProduceData::default()
            }],
        }),
        ApiKey::Fetch => AnyRequest::Fetch(FetchRequest {
            max_wait_ms: 0,
            topics: vec![FetchTopic {
                topic: NOWHERE,
                partitions: vec![FetchPartition {
                    partition_max_bytes: 1 << 20,
                    ..FetchPartition::default()
                }],
                ..FetchTopic::default()
            }],
            ..FetchRequest::default()
        }),
        ApiKey::ListOffsets => AnyRequest::ListOffsets(ListOffsetsRequest {
            replica_id: -1,
            topics: vec![ListOffsetsTopic {
                name: NOWHERE,
                partitions: vec![ListOffsetsPartition {
                    partition_index: 0,
                    current_leader_epoch: -1,
                    timestamp: -1,
                    ..ListOffsetsPartition::default()
                }],
            }],
            ..ListOffsetsRequest::default()
        }),
        ApiKey::Metadata => AnyRequest::Metadata(MetadataRequest {
            topics: Some(vec![MetadataRequestTopic {
                name: Some(NOWHERE),
                ..MetadataRequestTopic::default()
            }]),
            // Below version 4 it cannot be said, and creation is what the broker's config allows.
            allow_auto_topic_creation: version < 4,
            ..MetadataRequest::default()
        }),
        ApiKey::FindCoordinator => AnyRequest::FindCoordinator(FindCoordinatorRequest {
            key: if version < 4 { "group" } else { "" },
            coordinator_keys: if version < 4 { vec![] } else { vec!["group"] },
            ..FindCoordinatorRequest::default()
        }),
        ApiKey::ApiVersions => AnyRequest::ApiVersions(ApiVersionsRequest {
            client_software_name: "hostile",
            client_software_version: "1",
            ..ApiVersionsRequest::default()
        }),
        ApiKey::CreateTopics => AnyRequest::CreateTopics(CreateTopicsRequest {
            topics: vec![CreatableTopic {
                name: NOWHERE,
                num_partitions: 1,
                replication_factor: 1,
                assignments: Vec::new(),
                configs: vec![CreatableTopicConfig {
                    name: "cleanup.policy",
                    value: Some("delete"),
                }],
            }],
            timeout_ms: 1_000,
            validate_only: true,
        }),
        ApiKey::DeleteTopics => AnyRequest::DeleteTopics(DeleteTopicsRequest {
            topics: match version {
                6.. => vec![DeleteTopicState {
                    name: Some(NOWHERE),
                    ..DeleteTopicState::default()
                }],
                _ => Vec::new(),
            },
            topic_names: if version < 6 { vec![NOWHERE] } else { vec![] },
            timeout_ms: 1_000,
        }),
        ApiKey::InitProducerId => AnyRequest::InitProducerId(InitProducerIdRequest {
            transactional_id: None,
            transaction_timeout_ms: 1_000,
            producer_id: -1,
            producer_epoch: -1,
        }),
        ApiKey::OffsetForLeaderEpoch => {
            AnyRequest::OffsetForLeaderEpoch(OffsetForLeaderEpochRequest {
                replica_id: -1,
                topics: vec![OffsetForLeaderTopic {
                    topic: NOWHERE,
                    partitions: vec![OffsetForLeaderPartition {
                        partition: 0,
                        current_leader_epoch: -1,
                        leader_epoch: 0,
                    }],
                }],
            })
        }
        ApiKey::DescribeConfigs => AnyRequest::DescribeConfigs(DescribeConfigsRequest {
            resources: vec![DescribeConfigsResource {
                resource_type: 2,
                resource_name: NOWHERE,
                configuration_keys: Some(vec!["cleanup.policy"]),
            }],
            ..DescribeConfigsRequest::default()
        }),
        ApiKey::DescribeCluster => AnyRequest::DescribeCluster(DescribeClusterRequest {
            endpoint_type: 1,
            ..DescribeClusterRequest::default()
        }),
        _ => return None,
    })
}
