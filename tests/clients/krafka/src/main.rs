//! The krafka crate against one broker: see tests/clients/README.md.

use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use client_common::{At, Combo, Found, Header, Library, Record, Result, Sent, WAIT_MAX};
use krafka::admin::{
    AdminClient, CreateTopicsOptions, DeleteTopicsOptions, DescribeTopicsOptions,
    ListOffsetsOptions, NewTopic, OffsetSpec, TopicPartition,
};
use krafka::consumer::{AutoOffsetReset, Consumer, ConsumerRecord};
use krafka::error::ErrorCode;
use krafka::producer::{Acks, Producer};
use krafka::{Compression, Kafka, KrafkaError, Record as KrRecord};
use tokio::runtime::Runtime;

fn main() -> ExitCode {
    client_common::main::<Krafka>()
}

struct Krafka {
    runtime: Runtime,
    kafka: Kafka,
    admin: AdminClient,
    /// Asks for offsets by time, and reads nothing: the admin client repeats the question where none is late enough.
    asking: Consumer,
}

impl Krafka {
    fn wait<T>(&self, what: impl Future<Output = krafka::Result<T>>) -> Result<T> {
        // The library ends its own waits; this is for those that it forgets.
        let limited = async { tokio::time::timeout(WAIT_MAX + Duration::from_secs(1), what).await };
        self.runtime
            .block_on(limited)
            .map_err(|_| "no answer")?
            .map_err(|e| e.to_string())
    }
}

impl Library for Krafka {
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
    type Producer = Producer;
    type Consumer = Consumer;

    fn version() -> String {
        client_common::locked_version(include_str!("../Cargo.lock"), "krafka")
    }

    fn connect(bootstrap: &str, _prompt: bool) -> Result<Self> {
        let runtime = Runtime::new().map_err(|e| e.to_string())?;
        let kafka = runtime
            .block_on(Kafka::builder(bootstrap).connect())
            .map_err(|e| e.to_string())?;
        let admin = kafka.admin();
        let asking = runtime
            .block_on(kafka.consumer_without_group().build())
            .map_err(|e| e.to_string())?;
        Ok(Self {
            runtime,
            kafka,
            admin,
            asking,
        })
    }

    fn create_topic(&mut self, topic: &str, partitions: i32) -> Result<bool> {
        let new = NewTopic::new(topic, partitions, 1)
            .map_err(|e| e.to_string())?
            .with_config("retention.ms", "-1");
        let options = CreateTopicsOptions::default().timeout(WAIT_MAX);
        let mut answered = self.wait(self.admin.create_topics([new], options))?;
        match answered.remove(topic) {
            Some(Ok(())) => Ok(true),
            Some(Err(KrafkaError::Broker {
                code: ErrorCode::TopicAlreadyExists,
                ..
            })) => Ok(false),
            other => Err(format!("creating {topic}: {other:?}")),
        }
    }

    fn delete_topic(&mut self, topic: &str) -> Result<()> {
        let options = DeleteTopicsOptions::default().timeout(WAIT_MAX);
        match self
            .wait(self.admin.delete_topics([topic], options))?
            .remove(topic)
        {
            Some(Ok(())) => Ok(()),
            other => Err(format!("deleting {topic}: {other:?}")),
        }
    }

    fn partitions(&mut self, topic: &str) -> Result<Option<Vec<i32>>> {
        let options = DescribeTopicsOptions::default().timeout(WAIT_MAX);
        match self
            .wait(self.admin.describe_topics([topic], options))?
            .remove(topic)
        {
            Some(Ok(described)) => {
                let led = described
                    .partitions
                    .iter()
                    .filter(|partition| partition.leader.is_some());
                Ok(Some(led.map(|partition| partition.partition).collect()))
            }
            Some(Err(KrafkaError::Broker {
                code: ErrorCode::UnknownTopicOrPartition,
                ..
            })) => Ok(None),
            other => Err(format!("describing {topic}: {other:?}")),
        }
    }

    fn offset(&mut self, topic: &str, partition: i32, at: At) -> Result<Option<i64>> {
        let asked = TopicPartition::new(topic, partition);
        let at = match at {
            At::Earliest => OffsetSpec::Earliest,
            At::Latest => OffsetSpec::Latest,
            At::Time(time) => {
                let asking = async {
                    Ok(self
                        .asking
                        .offsets_for_times(&[(topic, partition)], time)
                        .await)
                };
                let answered = self.wait(asking)?.remove(&(topic.to_owned(), partition));
                let offset = answered
                    .ok_or("no answer for the partition")?
                    .map_err(|e| e.to_string())?;
                return Ok((offset >= 0).then_some(offset));
            }
        };
        let options = ListOffsetsOptions::default().timeout(WAIT_MAX);
        let answered = self
            .wait(self.admin.list_offsets([(asked.clone(), at)], options))?
            .remove(&asked);
        let listed = answered
            .ok_or("no answer for the partition")?
            .map_err(|e| e.to_string())?;
        Ok(Some(listed.offset))
    }

    fn producer(&mut self, combo: &Combo) -> Result<Producer> {
        let codec = match combo.codec {
            "none" => Compression::None,
            "gzip" => Compression::Gzip,
            "snappy" => Compression::Snappy,
            "lz4" => Compression::Lz4,
            "zstd" => Compression::Zstd,
            other => return Err(format!("no codec {other}")),
        };
        let acks = match combo.acks {
            "0" => Acks::None,
            "1" => Acks::Leader,
            _ => Acks::All,
        };
        let building = self
            .kafka
            .producer()
            .compression(codec)
            .acks(acks)
            .idempotent(combo.idempotent);
        // It must not be shorter than a request's own limit.
        self.wait(
            building
                .delivery_timeout(WAIT_MAX + Duration::from_secs(1))
                .build(),
        )
    }

    fn produce(
        &mut self,
        producer: &mut Producer,
        topic: &str,
        records: &[Record],
    ) -> Result<Vec<Sent>> {
        self.wait(async {
            let mut awaited = Vec::with_capacity(records.len());
            for record in records {
                awaited.push(producer.enqueue(kr_record(topic, record)).await?);
            }
            let mut sent = Vec::with_capacity(records.len());
            for delivered in awaited {
                let delivered = delivered.await?;
                let offset = delivered.is_success().then_some(delivered.offset);
                sent.push(Sent {
                    partition: delivered.partition,
                    offset,
                });
            }
            Ok(sent)
        })
    }

    fn consumer(&mut self) -> Result<Consumer> {
        self.wait(
            self.kafka
                .consumer_without_group()
                .auto_offset_reset(AutoOffsetReset::None)
                .build(),
        )
    }

    fn assign(&mut self, consumer: &mut Consumer, topic: &str, partitions: &[i32]) -> Result<()> {
        self.wait(async {
            consumer.assign(topic, partitions.to_vec()).await?;
            for partition in partitions {
                consumer.seek_to_beginning(topic, *partition).await?;
            }
            Ok(())
        })
    }

    fn seek(
        &mut self,
        consumer: &mut Consumer,
        topic: &str,
        partition: i32,
        offset: i64,
    ) -> Result<()> {
        self.wait(consumer.seek(topic, partition, offset))
    }

    fn poll(&mut self, consumer: &mut Consumer, topic: &str) -> Result<Vec<Found>> {
        let came = self.wait(consumer.poll(WAIT_MAX))?;
        if came.is_empty() {
            return Err("no record came".to_owned());
        }
        match came
            .iter()
            .find(|found| &*found.topic != topic || found.leader_epoch.is_none())
        {
            Some(other) => Err(format!(
                "a record of {}, leader epoch {:?}",
                other.topic, other.leader_epoch
            )),
            None => Ok(came.into_iter().map(found).collect()),
        }
    }
}

fn kr_record(topic: &str, record: &Record) -> KrRecord {
    let mut made = KrRecord::new(topic, record.value.clone().unwrap_or_default())
        .timestamp(record.timestamp_ms);
    if record.value.is_none() {
        made = made.without_value();
    }
    if let Some(key) = &record.key {
        made = made.key(key.clone());
    }
    for Header { key, value } in &record.headers {
        made = match value {
            Some(value) => made.header(key, value.clone()),
            None => made.null_header(key),
        };
    }
    made
}

fn found(came: ConsumerRecord) -> Found {
    let header = |(key, value): (String, Option<_>)| Header {
        key,
        value: value.map(Vec::from),
    };
    Found {
        partition: came.partition,
        offset: came.offset,
        record: Record {
            key: came.key.map(Vec::from),
            value: came.value.map(Vec::from),
            headers: came.headers.into_iter().map(header).collect(),
            timestamp_ms: came.timestamp,
        },
    }
}
