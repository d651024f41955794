//! `__consumer_offsets`: made when the first client asks who coordinates its group.
//!
//! Answers after its partitions are open, so the client can join at once; Kafka lets it ask again. A
//! crash in between leaves what CreateTopics leaves: the catalog opens it at the next start.

use std::sync::Arc;

use ottla_model::names::TopicName;
use tokio::sync::Mutex;

use crate::api::{CatalogError, NewTopic, StorageFault, TopicImage, TopicRefusal};
use crate::authorize::Permit;
use crate::handle::Broker;
use crate::wiring::CONSUMER_OFFSETS_TOPIC;

/// Whoever makes the topic.
#[derive(Debug, Default)]
pub(crate) struct OffsetsTopic(Mutex<()>);

impl Broker {
    /// Makes sure that there is a topic for groups and their offsets.
    ///
    /// # Errors
    /// The catalog refused, or its storage failed.
    pub async fn ensure_offsets_topic(
        &self,
        permit: &Permit,
    ) -> Result<Arc<TopicImage>, CatalogError> {
        let find = || self.image().topic(CONSUMER_OFFSETS_TOPIC).cloned();
        let is_open = |topic: &TopicImage| {
            let open = |index| self.registry().get(topic.id, index).is_some();
            topic.partitions.iter().all(|p| open(p.index))
        };
        if let Some(topic) = find().filter(|topic| is_open(topic)) {
            return Ok(topic);
        }
        // Whoever makes it holds this until its partitions are open.
        let _alone = self.offsets_topic().0.lock().await;
        if let Some(topic) = find() {
            // Or a client made it by name. One whose storage failed stays closed.
            self.acts().barrier().await;
            return Ok(topic);
        }
        let mut created = self
            .create_topics(permit, vec![self.new_offsets_topic()?], false)
            .await?;
        match created.pop() {
            // A client may have created it by name meanwhile.
            Some(Ok(_) | Err(TopicRefusal::AlreadyExists(_))) => find().ok_or_else(missing),
            Some(Err(refusal)) => Err(CatalogError::Fault(StorageFault::closed(
                &refusal.to_string(),
            ))),
            None => Err(missing()),
        }
    }

    /// As Kafka makes it (`GroupCoordinatorService.groupMetadataTopicConfigs`).
    fn new_offsets_topic(&self) -> Result<NewTopic, CatalogError> {
        let number = |name| self.settings().number(name);
        let config = |name: &str, value: String| (name.to_owned(), Some(value));
        let segment_bytes = number("offsets.topic.segment.bytes").unwrap_or(100 << 20);
        Ok(NewTopic {
            name: TopicName::parse(CONSUMER_OFFSETS_TOPIC).map_err(|_| missing())?,
            partitions: number("offsets.topic.num.partitions").unwrap_or(50) as i32,
            // Kafka's default of 3 is worth no line in the log; what somebody set is.
            replication_factor: match self.settings().get("offsets.topic.replication.factor") {
                Some(_) => number("offsets.topic.replication.factor").unwrap_or(-1) as i16,
                None => -1,
            },
            assignments: Vec::new(),
            configs: vec![
                config("cleanup.policy", "compact".into()),
                config("compression.type", "producer".into()),
                config("segment.bytes", segment_bytes.to_string()),
            ],
        })
    }
}

fn missing() -> CatalogError {
    CatalogError::Fault(StorageFault::closed(
        "the topic __consumer_offsets is not there",
    ))
}
