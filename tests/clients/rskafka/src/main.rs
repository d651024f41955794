//! The rskafka crate against one broker: see tests/clients/README.md.
//!
//! rskafka leaves to its user what others do: the partition of a record, the size of a batch, the next offset. It always
//! asks for acks=all, knows no producer id, and creates topics without configs: the broker's retention holds, which
//! looks at a log only long after this program ended.

use std::collections::{BTreeMap, HashSet};
use std::future::Future;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use client_common::{At, Combo, Found, Header, Library, Record, Result, Sent, WAIT_MAX};
use rskafka::BackoffConfig;
use rskafka::client::controller::ControllerClient;
use rskafka::client::error::{Error, ProtocolError};
use rskafka::client::partition::{Compression, OffsetAt, PartitionClient, UnknownTopicHandling};
use rskafka::client::{Client, ClientBuilder};
use rskafka::record::Record as RsRecord;
use tokio::runtime::Runtime;

/// Large ones: rskafka sends a request in two parts over a socket that waits for an acknowledgement between them, 40 ms.
const BATCH_RECORDS_MAX: usize = 1000;
const BATCH_BYTES_MAX: usize = 900_000;
const FETCH_BYTES_MAX: i32 = 1 << 20;
const PARTITIONS: i32 = 3;
const TIMEOUT_MS: i32 = 30_000;

fn main() -> ExitCode {
    client_common::main::<RsKafka>()
}

struct RsKafka {
    runtime: Runtime,
    client: Client,
    controller: ControllerClient,
    unknown_topic: UnknownTopicHandling,
}

/// The connections of one user, made at the first need and kept, to the partitions of one topic.
#[derive(Default)]
struct Connections(BTreeMap<i32, Arc<PartitionClient>>);

struct Producer {
    compression: Compression,
    connections: Connections,
}

#[derive(Default)]
struct Consumer {
    connections: Connections,
    /// The next offset of each assigned partition.
    next: BTreeMap<i32, i64>,
}

impl RsKafka {
    fn wait<T>(&self, what: impl Future<Output = std::result::Result<T, Error>>) -> Result<T> {
        let limited = async { tokio::time::timeout(WAIT_MAX, what).await };
        self.runtime
            .block_on(limited)
            .map_err(|_| "no answer")?
            .map_err(|e| e.to_string())
    }

    fn connect_to(
        &self,
        connections: &mut Connections,
        topic: &str,
        partition: i32,
    ) -> Result<Arc<PartitionClient>> {
        if let Some(made) = connections
            .0
            .get(&partition)
            .filter(|made| made.topic() == topic)
        {
            return Ok(Arc::clone(made));
        }
        let made = Arc::new(self.wait(self.client.partition_client(
            topic,
            partition,
            self.unknown_topic,
        ))?);
        connections.0.insert(partition, Arc::clone(&made));
        Ok(made)
    }
}

impl Library for RsKafka {
    const COMBOS: &'static [Combo] = &[
        Combo {
            codec: "none",
            acks: "all",
            idempotent: false,
        },
        Combo {
            codec: "gzip",
            acks: "all",
            idempotent: false,
        },
        Combo {
            codec: "snappy",
            acks: "all",
            idempotent: false,
        },
        Combo {
            codec: "lz4",
            acks: "all",
            idempotent: false,
        },
        Combo {
            codec: "zstd",
            acks: "all",
            idempotent: false,
        },
    ];
    const PLAIN: Combo = Combo {
        codec: "none",
        acks: "all",
        idempotent: false,
    };
    type Producer = Producer;
    type Consumer = Consumer;

    fn version() -> String {
        client_common::locked_version(include_str!("../Cargo.lock"), "rskafka")
    }

    fn connect(bootstrap: &str, prompt: bool) -> Result<Self> {
        let runtime = Runtime::new().map_err(|e| e.to_string())?;
        let backoff = BackoffConfig {
            init_backoff: Duration::from_millis(20),
            max_backoff: Duration::from_secs(1),
            deadline: Some(WAIT_MAX),
            ..BackoffConfig::default()
        };
        let building = ClientBuilder::new(vec![bootstrap.to_owned()])
            .backoff_config(backoff)
            .build();
        let client = runtime.block_on(building).map_err(|e| e.to_string())?;
        let controller = client.controller_client().map_err(|e| e.to_string())?;
        let unknown_topic = if prompt {
            UnknownTopicHandling::Error
        } else {
            UnknownTopicHandling::Retry
        };
        Ok(Self {
            runtime,
            client,
            controller,
            unknown_topic,
        })
    }

    /// Headers are a map of names to values that are not null.
    fn restrict(record: &mut Record) {
        let mut names = HashSet::new();
        record
            .headers
            .retain(|header| header.value.is_some() && names.insert(header.key.clone()));
        record.headers.sort_by(|a, b| a.key.cmp(&b.key));
    }

    fn create_topic(&mut self, topic: &str, partitions: i32) -> Result<bool> {
        let creating = async {
            match self
                .controller
                .create_topic(topic, partitions, 1, TIMEOUT_MS)
                .await
            {
                Ok(()) => Ok(true),
                Err(Error::ServerError {
                    protocol_error: ProtocolError::TopicAlreadyExists,
                    ..
                }) => Ok(false),
                Err(other) => Err(other),
            }
        };
        self.wait(creating)
    }

    fn delete_topic(&mut self, topic: &str) -> Result<()> {
        self.wait(self.controller.delete_topic(topic, TIMEOUT_MS))
    }

    /// Leaders are not listed: whether a partition has one shows when its offsets are asked.
    fn partitions(&mut self, topic: &str) -> Result<Option<Vec<i32>>> {
        let topics = self.wait(self.client.list_topics())?;
        let found = topics.into_iter().find(|found| found.name == topic);
        Ok(found.map(|found| found.partitions.into_iter().collect()))
    }

    fn offset(&mut self, topic: &str, partition: i32, at: At) -> Result<Option<i64>> {
        let connection = self.connect_to(&mut Connections::default(), topic, partition)?;
        let at = match at {
            At::Earliest => OffsetAt::Earliest,
            At::Latest => OffsetAt::Latest,
            At::Time(time) => OffsetAt::Timestamp(time_of(time)?),
        };
        let offset = self.wait(connection.get_offset(at))?;
        Ok((offset >= 0).then_some(offset))
    }

    fn producer(&mut self, combo: &Combo) -> Result<Producer> {
        let compression = match combo.codec {
            "none" => Compression::NoCompression,
            "gzip" => Compression::Gzip,
            "snappy" => Compression::Snappy,
            "lz4" => Compression::Lz4,
            "zstd" => Compression::Zstd,
            other => return Err(format!("no codec {other}")),
        };
        Ok(Producer {
            compression,
            connections: Connections::default(),
        })
    }

    /// Deals the records out to the partitions, and sends the batches of each one after the other.
    fn produce(
        &mut self,
        producer: &mut Producer,
        topic: &str,
        records: &[Record],
    ) -> Result<Vec<Sent>> {
        let mut sent = vec![
            Sent {
                partition: -1,
                offset: None
            };
            records.len()
        ];
        for partition in 0..PARTITIONS {
            let connection = self.connect_to(&mut producer.connections, topic, partition)?;
            let first = usize::try_from(partition).map_err(|e| e.to_string())?;
            let mut left = (first..records.len())
                .step_by(PARTITIONS as usize)
                .peekable();
            while left.peek().is_some() {
                let (mut batch, mut indexes, mut bytes) = (Vec::new(), Vec::new(), 0);
                while let Some(index) =
                    left.next_if(|_| indexes.len() < BATCH_RECORDS_MAX && bytes < BATCH_BYTES_MAX)
                {
                    let record = rs_record(&records[index])?;
                    bytes += record.approximate_size();
                    batch.push(record);
                    indexes.push(index);
                }
                let offsets = self.wait(connection.produce(batch, producer.compression))?;
                for (index, offset) in indexes.into_iter().zip(offsets) {
                    sent[index] = Sent {
                        partition,
                        offset: Some(offset),
                    };
                }
            }
        }
        Ok(sent)
    }

    fn consumer(&mut self) -> Result<Consumer> {
        Ok(Consumer::default())
    }

    fn assign(&mut self, consumer: &mut Consumer, topic: &str, partitions: &[i32]) -> Result<()> {
        consumer.next.clear();
        for partition in partitions {
            let connection = self.connect_to(&mut consumer.connections, topic, *partition)?;
            let start = self.wait(connection.get_offset(OffsetAt::Earliest))?;
            consumer.next.insert(*partition, start);
        }
        Ok(())
    }

    fn seek(
        &mut self,
        consumer: &mut Consumer,
        _topic: &str,
        partition: i32,
        offset: i64,
    ) -> Result<()> {
        let next = consumer
            .next
            .get_mut(&partition)
            .ok_or("the partition is not assigned")?;
        *next = offset;
        Ok(())
    }

    /// A fetch of each partition in turn; one of those that have nothing more waits a moment.
    fn poll(&mut self, consumer: &mut Consumer, topic: &str) -> Result<Vec<Found>> {
        let deadline = std::time::Instant::now() + WAIT_MAX;
        while std::time::Instant::now() < deadline {
            let mut came = Vec::new();
            for (partition, next) in &mut consumer.next {
                let connection = self.connect_to(&mut consumer.connections, topic, *partition)?;
                let (fetched, _) =
                    self.wait(connection.fetch_records(*next, 1..FETCH_BYTES_MAX, 50))?;
                for found in fetched {
                    *next = found.offset + 1;
                    came.push(Found {
                        partition: *partition,
                        offset: found.offset,
                        record: record(found.record),
                    });
                }
            }
            if !came.is_empty() {
                return Ok(came);
            }
        }
        Err("no record came".to_owned())
    }
}

fn time_of(timestamp_ms: i64) -> Result<DateTime<Utc>> {
    DateTime::from_timestamp_millis(timestamp_ms).ok_or_else(|| format!("no date: {timestamp_ms}"))
}

fn rs_record(record: &Record) -> Result<RsRecord> {
    let header = |header: &Header| Some((header.key.clone(), header.value.clone()?));
    Ok(RsRecord {
        key: record.key.clone(),
        value: record.value.clone(),
        headers: record.headers.iter().filter_map(header).collect(),
        timestamp: time_of(record.timestamp_ms)?,
    })
}

fn record(found: RsRecord) -> Record {
    let header = |(key, value)| Header {
        key,
        value: Some(value),
    };
    Record {
        key: found.key,
        value: found.value,
        headers: found.headers.into_iter().map(header).collect(),
        timestamp_ms: found.timestamp.timestamp_millis(),
    }
}
