//! The requests that tests send all the time, each for one topic or one partition.

use ottla_model::uuid::Uuid;
use ottla_wire::api_versions::ApiVersionsRequest;
use ottla_wire::create_topics::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest};
use ottla_wire::delete_topics::DeleteTopicsRequest;
use ottla_wire::fetch::{FetchPartition, FetchRequest, FetchTopic};
use ottla_wire::frame::encode_request;
use ottla_wire::init_producer_id::InitProducerIdRequest;
use ottla_wire::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use ottla_wire::metadata::{MetadataRequest, MetadataRequestTopic};
use ottla_wire::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};

use super::{Pending, WireClient, WireError};

/// The version of every Produce that is sent here.
pub const PRODUCE_VERSION: i16 = 12;
// The others too are the last that name topics by name.
const FETCH: i16 = 12;
const LIST_OFFSETS: i16 = 9;
const METADATA: i16 = 12;
const CREATE_TOPICS: i16 = 7;
const DELETE_TOPICS: i16 = 5;
const INIT_PRODUCER_ID: i16 = 4;

const TIMEOUT_MS: i32 = 30_000;
/// Says "no leader epoch is known", and "no replica but a client".
const NONE: i32 = -1;

/// ListOffsets' timestamp for the end of the partition.
pub const LATEST: i64 = -1;
/// ListOffsets' timestamp for its start.
pub const EARLIEST: i64 = -2;

/// A topic as Metadata tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopicInfo {
    /// Kafka's error code.
    pub error_code: i16,
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: Uuid,
    /// In the order of the answer.
    pub partitions: Vec<PartitionInfo>,
}

/// A partition as Metadata tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PartitionInfo {
    /// Kafka's error code.
    pub error_code: i16,
    /// Its index.
    pub index: i32,
    /// Epoch of its leader.
    pub leader_epoch: i32,
}

/// What CreateTopics answered for one topic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CreatedTopic {
    /// Kafka's error code.
    pub error_code: i16,
    /// The broker's words for it.
    pub error_message: Option<String>,
    /// The new topic's id.
    pub id: Uuid,
}

/// What Produce answered for one partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Produced {
    /// Kafka's error code.
    pub error_code: i16,
    /// The broker's words for it.
    pub error_message: Option<String>,
    /// Offset of the batch's first record.
    pub base_offset: i64,
    /// Start of the partition.
    pub log_start_offset: i64,
}

/// What Fetch answered for one partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fetched {
    /// Kafka's error code.
    pub error_code: i16,
    /// End of what consumers may see.
    pub high_watermark: i64,
    /// Start of the partition.
    pub log_start_offset: i64,
    /// Record batches, the last of which may be incomplete: see [`super::batches`].
    pub records: Vec<u8>,
}

/// What ListOffsets answered for one partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ListedOffset {
    /// Kafka's error code.
    pub error_code: i16,
    /// The offset, or -1.
    pub offset: i64,
    /// Epoch of the leader that appended there.
    pub leader_epoch: i32,
}

/// A whole Produce frame for one batch, for [`WireClient::send_frame`] at [`PRODUCE_VERSION`].
///
/// # Errors
/// If it is longer than a frame can be.
pub fn produce_frame(
    topic: &str,
    partition: i32,
    batch: &[u8],
    acks: i16,
) -> Result<Vec<u8>, WireError> {
    let request = produce_request(topic, partition, batch, acks);
    let frame = encode_request(&request, PRODUCE_VERSION, 0, Some("ottla-test"))?;
    Ok(frame.to_bytes().unwrap_or_default().into())
}

impl WireClient {
    /// The first request of most clients: what the broker speaks, as (key, least, most).
    ///
    /// # Errors
    /// If there is no answer that can be read.
    pub fn api_versions(&mut self) -> Result<Vec<(i16, i16, i16)>, WireError> {
        let request = ApiVersionsRequest {
            client_software_name: "ottla-test",
            client_software_version: "1",
            ..ApiVersionsRequest::default()
        };
        let answer = self.call(&request, 3)?;
        let keys = answer.body()?.api_keys;
        Ok(keys
            .iter()
            .map(|key| (key.api_key, key.min_version, key.max_version))
            .collect())
    }

    /// Topics by name, or all for `None`. Creates none.
    ///
    /// # Errors
    /// If there is no answer that can be read.
    pub fn metadata(&mut self, topics: Option<&[&str]>) -> Result<Vec<TopicInfo>, WireError> {
        let wanted = |name| MetadataRequestTopic {
            name: Some(name),
            ..MetadataRequestTopic::default()
        };
        let request = MetadataRequest {
            topics: topics.map(|names| names.iter().copied().map(wanted).collect()),
            allow_auto_topic_creation: false,
            ..MetadataRequest::default()
        };
        let answer = self.call(&request, METADATA)?;
        let topics = answer.body()?.topics;
        let topic = |topic: &ottla_wire::metadata::MetadataResponseTopic<'_>| TopicInfo {
            error_code: topic.error_code,
            name: topic.name.unwrap_or_default().to_owned(),
            id: topic.topic_id,
            partitions: topic
                .partitions
                .iter()
                .map(|partition| PartitionInfo {
                    error_code: partition.error_code,
                    index: partition.partition_index,
                    leader_epoch: partition.leader_epoch,
                })
                .collect(),
        };
        Ok(topics.iter().map(topic).collect())
    }

    /// Sends a CreateTopics for one topic.
    ///
    /// # Errors
    /// If it cannot be sent.
    pub fn send_create_topic(
        &mut self,
        name: &str,
        partitions: i32,
        configs: &[(&str, &str)],
    ) -> Result<Pending<CreateTopicsRequest<'static>>, WireError> {
        let request = CreateTopicsRequest {
            topics: vec![CreatableTopic {
                name,
                num_partitions: partitions,
                replication_factor: 1,
                assignments: Vec::new(),
                configs: configs
                    .iter()
                    .map(|&(name, value)| CreatableTopicConfig {
                        name,
                        value: Some(value),
                    })
                    .collect(),
            }],
            timeout_ms: TIMEOUT_MS,
            validate_only: false,
        };
        self.send(&request, CREATE_TOPICS).map(Pending::cast)
    }

    /// Creates a topic; the answer may be a refusal.
    ///
    /// # Errors
    /// If there is no answer that can be read.
    pub fn create_topic(
        &mut self,
        name: &str,
        partitions: i32,
        configs: &[(&str, &str)],
    ) -> Result<CreatedTopic, WireError> {
        let pending = self.send_create_topic(name, partitions, configs)?;
        self.receive_created(pending)
    }

    /// Reads the answer to [`send_create_topic`](Self::send_create_topic).
    ///
    /// # Errors
    /// If there is none that can be read.
    pub fn receive_created(
        &mut self,
        pending: Pending<CreateTopicsRequest<'static>>,
    ) -> Result<CreatedTopic, WireError> {
        let answer = self.receive(pending)?;
        let body = answer.body()?;
        let topic = body.topics.first().ok_or(WireError::Missing("topic"))?;
        Ok(CreatedTopic {
            error_code: topic.error_code,
            error_message: topic.error_message.map(str::to_owned),
            id: topic.topic_id,
        })
    }

    /// Deletes a topic by name and answers the error code.
    ///
    /// # Errors
    /// If there is no answer that can be read.
    pub fn delete_topic(&mut self, name: &str) -> Result<i16, WireError> {
        let request = DeleteTopicsRequest {
            topic_names: vec![name],
            timeout_ms: TIMEOUT_MS,
            ..DeleteTopicsRequest::default()
        };
        let answer = self.call(&request, DELETE_TOPICS)?;
        let body = answer.body()?;
        let topic = body.responses.first().ok_or(WireError::Missing("topic"))?;
        Ok(topic.error_code)
    }

    /// Asks for a producer id: (error code, id, epoch).
    ///
    /// # Errors
    /// If there is no answer that can be read.
    pub fn init_producer_id(&mut self) -> Result<(i16, i64, i16), WireError> {
        let request = InitProducerIdRequest {
            transactional_id: None,
            transaction_timeout_ms: TIMEOUT_MS,
            producer_id: -1,
            producer_epoch: -1,
        };
        let answer = self.call(&request, INIT_PRODUCER_ID)?;
        let body = answer.body()?;
        Ok((body.error_code, body.producer_id, body.producer_epoch))
    }

    /// Sends a batch and does not wait. With `acks` 0 no answer comes.
    ///
    /// # Errors
    /// If it cannot be sent.
    pub fn send_produce(
        &mut self,
        topic: &str,
        partition: i32,
        batch: &[u8],
        acks: i16,
    ) -> Result<Pending<ProduceRequest<'static>>, WireError> {
        let request = produce_request(topic, partition, batch, acks);
        self.send(&request, PRODUCE_VERSION).map(Pending::cast)
    }

    /// Reads the answer to [`send_produce`](Self::send_produce).
    ///
    /// # Errors
    /// If there is none that can be read.
    pub fn receive_produced(
        &mut self,
        pending: Pending<ProduceRequest<'static>>,
    ) -> Result<Produced, WireError> {
        let answer = self.receive(pending)?;
        let body = answer.body()?;
        let partition = body
            .responses
            .first()
            .and_then(|topic| topic.partition_responses.first())
            .ok_or(WireError::Missing("partition"))?;
        Ok(Produced {
            error_code: partition.error_code,
            error_message: partition.error_message.map(str::to_owned),
            base_offset: partition.base_offset,
            log_start_offset: partition.log_start_offset,
        })
    }

    /// Appends a batch with acks=all.
    ///
    /// # Errors
    /// If there is no answer that can be read.
    pub fn produce(
        &mut self,
        topic: &str,
        partition: i32,
        batch: &[u8],
    ) -> Result<Produced, WireError> {
        let pending = self.send_produce(topic, partition, batch, -1)?;
        self.receive_produced(pending)
    }

    /// Fetches from one partition without a session: up to `bytes_max`, waiting up to `wait_ms_max`
    /// for a byte.
    ///
    /// # Errors
    /// If there is no answer that can be read.
    pub fn fetch(
        &mut self,
        topic: &str,
        partition: i32,
        offset: i64,
        bytes_max: i32,
        wait_ms_max: i32,
    ) -> Result<Fetched, WireError> {
        let request = FetchRequest {
            max_wait_ms: wait_ms_max,
            min_bytes: 1,
            max_bytes: bytes_max,
            topics: vec![FetchTopic {
                topic,
                partitions: vec![FetchPartition {
                    partition,
                    fetch_offset: offset,
                    partition_max_bytes: bytes_max,
                    ..FetchPartition::default()
                }],
                ..FetchTopic::default()
            }],
            ..FetchRequest::default()
        };
        let answer = self.call(&request, FETCH)?;
        let body = answer.body()?;
        if body.error_code != 0 {
            return Err(WireError::Refused(body.error_code));
        }
        let partition = body
            .responses
            .first()
            .and_then(|topic| topic.partitions.first())
            .ok_or(WireError::Missing("partition"))?;
        let records = partition.records.as_ref().and_then(|r| r.as_slice());
        Ok(Fetched {
            error_code: partition.error_code,
            high_watermark: partition.high_watermark,
            log_start_offset: partition.log_start_offset,
            records: records.unwrap_or_default().to_vec(),
        })
    }

    /// The offset for a timestamp, or for [`LATEST`] or [`EARLIEST`].
    ///
    /// # Errors
    /// If there is no answer that can be read.
    pub fn list_offset(
        &mut self,
        topic: &str,
        partition: i32,
        timestamp: i64,
    ) -> Result<ListedOffset, WireError> {
        let request = ListOffsetsRequest {
            replica_id: NONE,
            topics: vec![ListOffsetsTopic {
                name: topic,
                partitions: vec![ListOffsetsPartition {
                    partition_index: partition,
                    current_leader_epoch: NONE,
                    timestamp,
                    ..ListOffsetsPartition::default()
                }],
            }],
            ..ListOffsetsRequest::default()
        };
        let answer = self.call(&request, LIST_OFFSETS)?;
        let body = answer.body()?;
        let partition = body
            .topics
            .first()
            .and_then(|topic| topic.partitions.first())
            .ok_or(WireError::Missing("partition"))?;
        Ok(ListedOffset {
            error_code: partition.error_code,
            offset: partition.offset,
            leader_epoch: partition.leader_epoch,
        })
    }
}

fn produce_request<'a>(
    topic: &'a str,
    partition: i32,
    batch: &'a [u8],
    acks: i16,
) -> ProduceRequest<'a> {
    ProduceRequest {
        transactional_id: None,
        acks,
        timeout_ms: TIMEOUT_MS,
        topic_data: vec![TopicProduceData {
            name: topic,
            partition_data: vec![PartitionProduceData {
                index: partition,
                records: Some(batch),
            }],
            ..TopicProduceData::default()
        }],
    }
}
