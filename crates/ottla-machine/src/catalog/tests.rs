//! Data in, data out: a rig that drives the machine as a shard does, one command per turn, and sends
//! every record through the bytes that the log would hold.

mod image;
mod random;
mod refusals;
mod topics;

use std::string::{String, ToString};
use std::sync::Arc;
use std::vec::Vec;

use ottla_model::batch::{BatchBuilder, BatchHead, BatchSpec};
use ottla_model::configs::TopicConfig;
use ottla_model::ids::{NodeId, Offset, PartitionIndex, ProducerId};
use ottla_model::marks::Marks;
use ottla_model::names::TopicName;
use ottla_model::time::{MonoMs, WallMs};
use ottla_model::uuid::Uuid;

use super::*;
use crate::contract::{Emit, Entry, Ids, StoredRecord};

/// Counts.
struct CountedIds(u32);

impl Ids for CountedIds {
    fn uuid(&mut self) -> Uuid {
        self.0 += 1;
        let mut id = [0x1d; 16];
        id[12..].copy_from_slice(&self.0.to_be_bytes());
        Uuid(id)
    }
}

/// A catalog with its log.
struct Rig {
    machine: Catalog,
    /// Each batch as its records.
    log: Vec<Vec<CatalogRecord>>,
    end: Offset,
    ids: CountedIds,
    effects: Vec<Effect>,
}

impl Rig {
    /// An empty catalog.
    fn empty() -> Rig {
        Rig {
            machine: Catalog::default(),
            log: Vec::new(),
            end: Offset::ZERO,
            ids: CountedIds(0),
            effects: Vec::new(),
        }
    }

    /// A catalog that knows node 1.
    fn new() -> Rig {
        let mut rig = Rig::empty();
        rig.command(Command::Bootstrap(node())).unwrap();
        rig
    }

    fn command(&mut self, command: Command) -> Result<Answer, Refusal> {
        let marks = Marks {
            log_start: Offset::ZERO,
            written: self.end,
            durable: self.end,
        };
        let mut cx = Cx {
            end: self.end,
            marks,
            wall: WallMs(0),
            mono: MonoMs(0),
            ids: &mut self.ids,
        };
        let mut out = Decision::default();
        self.machine.decide(Ticket(3), command, &mut cx, &mut out);
        self.effects = out.effects;
        for emit in out.emits {
            match emit {
                Emit::Logged(Entry::Records {
                    producer: None,
                    records,
                }) => self.append(records),
                Emit::Volatile(soft) => self.machine.replay(self.end, Event::Soft(&soft)),
                Emit::Logged(_) => panic!("the catalog writes records of its own only"),
            }
        }
        assert_eq!(out.replies.len(), 1);
        let reply = out.replies.remove(0);
        assert_eq!(
            (reply.to, reply.saw, reply.wait),
            (Ticket(3), None, Wait::Durable)
        );
        reply.value
    }

    fn append(&mut self, records: Vec<CatalogRecord>) {
        let head = head(&records);
        for (i, record) in records.iter().enumerate() {
            let read = through_bytes(record);
            assert_eq!(read, *record);
            self.machine
                .replay(self.end + i as i64, Event::Record(&head, &read));
        }
        self.end = self.end + records.len() as i64;
        self.log.push(records);
    }

    fn create(&mut self, topics: Vec<NewTopic>) -> Vec<Result<TopicCreated, TopicRefusal>> {
        match self.command(create(topics)) {
            Ok(Answer::TopicsCreated(results)) => results,
            other => panic!("{other:?}"),
        }
    }

    fn delete(&mut self, topics: Vec<TopicSelector>) -> Vec<Result<DeletedTopic, TopicRefusal>> {
        match self.command(Command::DeleteTopics(topics)) {
            Ok(Answer::TopicsDeleted(results)) => results,
            other => panic!("{other:?}"),
        }
    }

    /// The machine that a restart would make of the log.
    fn replayed(&self) -> Catalog {
        let mut machine = Catalog::default();
        for batch in &self.log {
            let head = head(batch);
            for record in batch {
                machine.replay(Offset::ZERO, Event::Record(&head, &through_bytes(record)));
            }
        }
        machine
    }

    fn unfinished(&self) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.machine.unfinished(&mut effects);
        effects
    }
}

fn through_bytes(record: &CatalogRecord) -> CatalogRecord {
    let (mut key, mut value) = (Vec::new(), Vec::new());
    assert_eq!(record.encode(&mut key, &mut value), (false, true));
    CatalogRecord::decode(None, Some(&value)).unwrap()
}

fn head(records: &[CatalogRecord]) -> BatchHead {
    let mut builder = BatchBuilder::new(BatchSpec::default(), 0);
    for record in records {
        let mut value = Vec::new();
        record.encode(&mut Vec::new(), &mut value);
        builder.push(None, Some(&value), &[], 0);
    }
    *builder.build().head()
}

fn node() -> RegisterNode {
    RegisterNode {
        node: NodeId(1),
        endpoints: alloc::vec![Endpoint {
            name: "PLAINTEXT".to_string(),
            host: "localhost".to_string(),
            port: 9092,
            security_protocol: 0,
        }],
        rack: None,
        log_dirs: alloc::vec![Uuid([0xd1; 16])],
        features: alloc::vec![FeatureRange {
            name: METADATA_VERSION.to_string(),
            level_min: 7,
            level_max: 30,
        }],
        finalized: alloc::vec![("transaction.version".to_string(), 2)],
    }
}

fn name(name: &str) -> TopicName {
    TopicName::parse(name).unwrap()
}

/// A topic that says nothing but its name.
fn topic(topic: &str) -> NewTopic {
    NewTopic {
        name: name(topic),
        partitions: -1,
        replication_factor: -1,
        assignments: Vec::new(),
        configs: Vec::new(),
    }
}

fn with_configs(topic: NewTopic, configs: &[(&str, Option<&str>)]) -> NewTopic {
    let configs = configs
        .iter()
        .map(|(name, value)| (name.to_string(), value.map(String::from)))
        .collect();
    NewTopic { configs, ..topic }
}

fn with_assignments(topic: NewTopic, assignments: &[(i32, &[i32])]) -> NewTopic {
    let assignments = assignments
        .iter()
        .map(|(partition, replicas)| Assignment {
            partition: *partition,
            replicas: replicas.to_vec(),
        })
        .collect();
    NewTopic {
        assignments,
        ..topic
    }
}

fn defaults() -> TopicDefaults {
    TopicDefaults {
        partitions: 1,
        replication_factor: 1,
        config: Arc::new(TopicConfig::default()),
    }
}

fn create(topics: Vec<NewTopic>) -> Command {
    Command::CreateTopics(CreateTopics {
        node: NodeId(1),
        topics,
        defaults: defaults(),
        validate_only: false,
    })
}

fn by_name(name: &str) -> TopicSelector {
    TopicSelector::Name(name.to_string())
}
