//! CreateTopics: the catalog logs the topics, then their partitions are opened.
//!
//! Answers after its effects are done: a client that hears "created" can produce at once. A crash
//! between the two leaves topics without open partitions, which the catalog's `unfinished` list opens
//! at start.

use ottla_machine::catalog::{Answer, Command};

use super::unexpected;
use crate::api::{CatalogError, CreateTopics, NewTopic, TopicCreated, TopicDefaults, TopicRefusal};
use crate::authorize::Permit;
use crate::handle::Broker;

impl Broker {
    /// Creates topics; each succeeds or fails alone, in the order given.
    ///
    /// # Errors
    /// The catalog refused the whole request, or its storage failed.
    pub async fn create_topics(
        &self,
        _permit: &Permit,
        topics: Vec<NewTopic>,
        validate_only: bool,
    ) -> Result<Vec<Result<TopicCreated, TopicRefusal>>, CatalogError> {
        let request = CreateTopics {
            node: self.node_id(),
            topics,
            defaults: self.topic_defaults(),
            validate_only,
        };
        let Answer::TopicsCreated(created) =
            self.ask_catalog(Command::CreateTopics(request)).await?
        else {
            return Err(unexpected());
        };
        if !validate_only {
            self.acts().barrier().await;
            for topic in created
                .iter()
                .flatten()
                .filter(|t| t.replication_factor_asked > t.replication_factor)
            {
                tracing::info!(
                    topic = %topic.name,
                    asked = topic.replication_factor_asked,
                    "one node holds one replica: replication factor clamped to 1"
                );
            }
        }
        Ok(created)
    }

    /// What a topic gets where its creator says nothing.
    #[must_use]
    pub fn topic_defaults(&self) -> TopicDefaults {
        let settings = self.settings();
        TopicDefaults {
            partitions: settings.number("num.partitions").unwrap_or(1) as i32,
            replication_factor: settings.number("default.replication.factor").unwrap_or(1) as i16,
            config: self.image().default_config().clone(),
        }
    }
}
