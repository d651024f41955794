//! The rdkafka crate, with the librdkafka that it brings, against one broker: see tests/clients/README.md.

use std::collections::HashMap;
use std::process::ExitCode;

use client_common::{At, Combo, Found, Header, Library, Record, Result, Sent, WAIT_MAX};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header as RdHeader, Headers, Message, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode;
use tokio::runtime::Runtime;

fn main() -> ExitCode {
    client_common::main::<RdKafka>()
}

struct RdKafka {
    bootstrap: String,
    runtime: Runtime,
    admin: AdminClient<DefaultClientContext>,
    /// Asks for offsets and metadata, and reads nothing.
    asking: BaseConsumer,
}

impl RdKafka {
    fn config(bootstrap: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", bootstrap)
            .set("message.timeout.ms", "30000");
        config
    }

    fn consumer_config(bootstrap: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", bootstrap)
            // librdkafka refuses an assignment without it; nothing joins this group, and nothing is committed.
            .set("group.id", "rdkafka-unused")
            .set("enable.auto.commit", "false")
            // A seek takes effect when the fetch that is under way was answered.
            .set("fetch.wait.max.ms", "50")
            .set("auto.offset.reset", "error")
            .set("allow.auto.create.topics", "false");
        config
    }
}

impl Library for RdKafka {
    const COMBOS: &'static [Combo] = &[
        Combo {
            codec: "none",
            acks: "0",
            idempotent: false,
        },
        Combo {
            codec: "gzip",
            acks: "1",
            idempotent: false,
        },
        Combo {
            codec: "snappy",
            acks: "all",
            idempotent: false,
        },
        Combo {
            codec: "lz4",
            acks: "0",
            idempotent: false,
        },
        Combo {
            codec: "none",
            acks: "all",
            idempotent: true,
        },
        Combo {
            codec: "zstd",
            acks: "all",
            idempotent: true,
        },
    ];
    const PLAIN: Combo = Combo {
        codec: "none",
        acks: "all",
        idempotent: true,
    };
    type Producer = FutureProducer;
    type Consumer = BaseConsumer;

    fn version() -> String {
        let crate_version = client_common::locked_version(include_str!("../Cargo.lock"), "rdkafka");
        format!(
            "{crate_version} librdkafka={}",
            rdkafka::util::get_rdkafka_version().1
        )
    }

    fn connect(bootstrap: &str, _prompt: bool) -> Result<Self> {
        Ok(Self {
            bootstrap: bootstrap.to_owned(),
            runtime: Runtime::new().map_err(|e| e.to_string())?,
            admin: Self::config(bootstrap)
                .create()
                .map_err(|e| e.to_string())?,
            asking: Self::consumer_config(bootstrap)
                .create()
                .map_err(|e| e.to_string())?,
        })
    }

    fn create_topic(&mut self, topic: &str, partitions: i32) -> Result<bool> {
        let new =
            NewTopic::new(topic, partitions, TopicReplication::Fixed(1)).set("retention.ms", "-1");
        let options = AdminOptions::new().request_timeout(Some(WAIT_MAX));
        let answered = self
            .runtime
            .block_on(self.admin.create_topics([&new], &options))
            .map_err(|e| e.to_string())?;
        match answered.as_slice() {
            [Ok(_)] => Ok(true),
            [Err((_, RDKafkaErrorCode::TopicAlreadyExists))] => Ok(false),
            other => Err(format!("creating {topic}: {other:?}")),
        }
    }

    fn delete_topic(&mut self, topic: &str) -> Result<()> {
        let options = AdminOptions::new().request_timeout(Some(WAIT_MAX));
        let answered = self
            .runtime
            .block_on(self.admin.delete_topics(&[topic], &options))
            .map_err(|e| e.to_string())?;
        match answered.as_slice() {
            [Ok(_)] => Ok(()),
            other => Err(format!("deleting {topic}: {other:?}")),
        }
    }

    fn partitions(&mut self, topic: &str) -> Result<Option<Vec<i32>>> {
        // Asked for all topics: asking for one makes librdkafka keep it among those that it knows.
        let metadata = self
            .asking
            .fetch_metadata(None, WAIT_MAX)
            .map_err(|e| e.to_string())?;
        let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else {
            return Ok(None);
        };
        let led = found
            .partitions()
            .iter()
            .filter(|partition| partition.leader() >= 0);
        let mut led: Vec<i32> = led.map(rdkafka::metadata::MetadataPartition::id).collect();
        led.sort_unstable();
        Ok(Some(led))
    }

    fn offset(&mut self, topic: &str, partition: i32, at: At) -> Result<Option<i64>> {
        let time = match at {
            At::Time(time) => time,
            At::Earliest | At::Latest => {
                let marks = self
                    .asking
                    .fetch_watermarks(topic, partition, WAIT_MAX)
                    .map_err(|e| e.to_string())?;
                return Ok(Some(if matches!(at, At::Earliest) {
                    marks.0
                } else {
                    marks.1
                }));
            }
        };
        let mut asked = TopicPartitionList::new();
        asked
            .add_partition_offset(topic, partition, Offset::Offset(time))
            .map_err(|e| e.to_string())?;
        let found = self
            .asking
            .offsets_for_times(asked, WAIT_MAX)
            .map_err(|e| e.to_string())?;
        let found = found
            .find_partition(topic, partition)
            .ok_or("no answer for the partition")?;
        found.error().map_err(|e| e.to_string())?;
        match found.offset() {
            Offset::Offset(offset) => Ok(Some(offset)),
            Offset::End => Ok(None),
            other => Err(format!("offset {other:?}")),
        }
    }

    fn producer(&mut self, combo: &Combo) -> Result<FutureProducer> {
        let mut config = Self::config(&self.bootstrap);
        config
            .set("compression.codec", combo.codec)
            .set("acks", combo.acks)
            .set("enable.idempotence", combo.idempotent.to_string());
        config.create().map_err(|e| e.to_string())
    }

    fn produce(
        &mut self,
        producer: &mut FutureProducer,
        topic: &str,
        records: &[Record],
    ) -> Result<Vec<Sent>> {
        let mut awaited = Vec::with_capacity(records.len());
        for record in records {
            let mut headers = OwnedHeaders::new();
            for Header { key, value } in &record.headers {
                headers = headers.insert(RdHeader {
                    key,
                    value: value.as_ref(),
                });
            }
            let message = FutureRecord::<Vec<u8>, Vec<u8>> {
                topic,
                partition: None,
                payload: record.value.as_ref(),
                key: record.key.as_ref(),
                timestamp: Some(record.timestamp_ms),
                headers: (!record.headers.is_empty()).then_some(headers),
            };
            awaited.push(
                producer
                    .send_result(message)
                    .map_err(|(e, _)| e.to_string())?,
            );
        }
        producer.flush(WAIT_MAX).map_err(|e| e.to_string())?;
        self.runtime.block_on(async {
            let mut sent = Vec::with_capacity(awaited.len());
            for delivered in awaited {
                let delivery = delivered
                    .await
                    .map_err(|e| e.to_string())?
                    .map_err(|(e, _)| e.to_string())?;
                sent.push(Sent {
                    partition: delivery.partition,
                    offset: Some(delivery.offset),
                });
            }
            Ok(sent)
        })
    }

    fn consumer(&mut self) -> Result<BaseConsumer> {
        Self::consumer_config(&self.bootstrap)
            .create()
            .map_err(|e| e.to_string())
    }

    fn assign(
        &mut self,
        consumer: &mut BaseConsumer,
        topic: &str,
        partitions: &[i32],
    ) -> Result<()> {
        let start = |partition: &i32| ((topic.to_owned(), *partition), Offset::Beginning);
        let starts: HashMap<(String, i32), Offset> = partitions.iter().map(start).collect();
        let starts = TopicPartitionList::from_topic_map(&starts).map_err(|e| e.to_string())?;
        consumer.assign(&starts).map_err(|e| e.to_string())
    }

    fn seek(
        &mut self,
        consumer: &mut BaseConsumer,
        topic: &str,
        partition: i32,
        offset: i64,
    ) -> Result<()> {
        consumer
            .seek(topic, partition, Offset::Offset(offset), WAIT_MAX)
            .map_err(|e| e.to_string())
    }

    fn poll(&mut self, consumer: &mut BaseConsumer, topic: &str) -> Result<Vec<Found>> {
        let message = consumer
            .poll(WAIT_MAX)
            .ok_or("no record came")?
            .map_err(|e| e.to_string())?;
        if message.topic() != topic {
            return Err(format!("a record of {}", message.topic()));
        }
        let headers = message.headers().map(|headers| {
            let header = |header: RdHeader<'_, &[u8]>| Header {
                key: header.key.to_owned(),
                value: header.value.map(<[u8]>::to_vec),
            };
            headers.iter().map(header).collect()
        });
        Ok(vec![Found {
            partition: message.partition(),
            offset: message.offset(),
            record: Record {
                key: message.key().map(<[u8]>::to_vec),
                value: message.payload().map(<[u8]>::to_vec),
                headers: headers.unwrap_or_default(),
                timestamp_ms: message.timestamp().to_millis().unwrap_or(-1),
            },
        }])
    }
}
