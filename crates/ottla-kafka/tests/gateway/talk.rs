//! What the tests of fetch sessions say, and how they write down what they hear.

use ottla_model::uuid::Uuid;
use ottla_testkit::wire_client::{Answer, WireClient};
use ottla_wire::Records;
use ottla_wire::fetch::{FetchPartition, FetchRequest, FetchTopic, ForgottenTopic};

use crate::support::{Server, batch};

/// A topic as a request calls it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Topic {
    Name(&'static str),
    Id(Uuid),
}
use Topic::{Id, Name};

impl Topic {
    fn on_wire(self) -> (&'static str, Uuid) {
        match self {
            Name(name) => (name, Uuid::ZERO),
            Id(id) => ("", id),
        }
    }
}

pub(crate) type Asked = (Topic, FetchPartition);

pub(crate) fn at(topic: Topic, partition: i32, fetch_offset: i64) -> Asked {
    let asked = FetchPartition {
        partition,
        fetch_offset,
        partition_max_bytes: 1 << 20,
        ..FetchPartition::default()
    };
    (topic, asked)
}

pub(crate) fn request(
    session: (i32, i32),
    asked: &[Asked],
    forgotten: &[(Topic, i32)],
) -> FetchRequest<'static> {
    let mut topics: Vec<FetchTopic<'static>> = Vec::new();
    for run in asked.chunk_by(|one, next| one.0 == next.0) {
        let (topic, topic_id) = run[0].0.on_wire();
        topics.push(FetchTopic {
            topic,
            topic_id,
            partitions: run.iter().map(|(_, asked)| asked.clone()).collect(),
        });
    }
    let forget = |(topic, partition): &(Topic, i32)| {
        let (topic, topic_id) = topic.on_wire();
        ForgottenTopic {
            topic,
            topic_id,
            partitions: vec![*partition].into(),
        }
    };
    FetchRequest {
        min_bytes: 1,
        max_bytes: 1 << 20,
        session_id: session.0,
        session_epoch: session.1,
        topics,
        forgotten_topics_data: forgotten.iter().map(forget).collect(),
        ..FetchRequest::default()
    }
}

/// The session of an answer, and what it says: the error or the partitions in order, each as
/// `partition:error high_watermark/log_start+bytes`, `!` behind a diverging one.
pub(crate) fn said(answer: &Answer<FetchRequest<'_>>) -> (i32, String) {
    let body = answer.body().unwrap();
    let mut words = Vec::new();
    if body.error_code != 0 {
        words.push(format!("error {}", body.error_code));
    }
    for topic in &body.responses {
        if !topic.topic.is_empty() {
            words.push(topic.topic.to_owned());
        } else if topic.topic_id != Uuid::ZERO {
            words.push(format!("#{}", topic.topic_id.0[0]));
        }
        for data in &topic.partitions {
            let records = data.records.as_ref().and_then(Records::as_slice);
            let bytes = records.expect("never null").len();
            words.push(if data.error_code != 0 {
                assert_eq!(
                    (data.high_watermark, data.log_start_offset, bytes),
                    (-1, -1, 0)
                );
                format!("{}:e{}", data.partition_index, data.error_code)
            } else {
                let diverging = if data.diverging_epoch.epoch < 0 {
                    ""
                } else {
                    "!"
                };
                format!(
                    "{}:{}/{}+{bytes}{diverging}",
                    data.partition_index, data.high_watermark, data.log_start_offset
                )
            });
        }
    }
    (body.session_id, words.join(" "))
}

/// A client with a session: its id, and the epoch of its next fetch.
pub(crate) struct Talk {
    pub(crate) client: WireClient,
    pub(crate) version: i16,
    pub(crate) session: (i32, i32),
}

impl Talk {
    pub(crate) fn new(client: WireClient, version: i16) -> Talk {
        Talk {
            client,
            version,
            session: (0, 0),
        }
    }

    pub(crate) fn call(&mut self, request: &FetchRequest<'_>) -> (i32, String) {
        said(&self.client.call(request, self.version).unwrap())
    }

    /// Opens a session.
    pub(crate) fn open(&mut self, asked: &[Asked]) -> String {
        let (id, said) = self.call(&request((0, 0), asked, &[]));
        self.session = (id, 1);
        said
    }

    /// The next fetch of the session; must be answered in it.
    pub(crate) fn next(&mut self, asked: &[Asked], forgotten: &[(Topic, i32)]) -> String {
        let (id, said) = self.call(&request(self.session, asked, forgotten));
        assert_eq!(id, self.session.0, "{said}");
        self.session.1 += 1;
        said
    }

    pub(crate) fn produce(&mut self, topic: &str, partition: i32, values: &[&str]) {
        let produced = self.client.produce(topic, partition, &batch(values));
        assert_eq!(produced.unwrap().error_code, 0);
    }
}

/// Topic `a` with three partitions and `b` with one, three records in each.
pub(crate) fn filled(server: &Server) -> Talk {
    let mut talk = Talk::new(server.client_with("a", 3, &[]), 12);
    assert_eq!(talk.client.create_topic("b", 1, &[]).unwrap().error_code, 0);
    for (topic, partition) in [("a", 0), ("a", 1), ("a", 2), ("b", 0)] {
        talk.produce(topic, partition, &["a", "b", "c"]);
    }
    talk
}
