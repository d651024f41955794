//! DeleteTopics: the catalog logs the removal, then the partitions are closed and their files deleted.
//!
//! Answers after the partitions are closed and renamed away, so that a topic of the same name can be
//! created at once, and after the groups forgot their offsets of it; a crash before that leaves offsets
//! that name a topic id which is gone. Deleted means deleted: the catalog remembers the id until its directories are
//! gone, and finishes at start what a crash left.

use ottla_machine::catalog::{Answer, Command};
use ottla_machine::group::DeletedTopic as DeletedOffsets;

use super::unexpected;
use crate::api::{CatalogError, DeletedTopic, TopicRefusal, TopicSelector};
use crate::authorize::Permit;
use crate::handle::Broker;

impl Broker {
    /// Deletes topics; each succeeds or fails alone, in the order given.
    ///
    /// # Errors
    /// The catalog refused the whole request, or its storage failed.
    pub async fn delete_topics(
        &self,
        _permit: &Permit,
        topics: Vec<TopicSelector>,
    ) -> Result<Vec<Result<DeletedTopic, TopicRefusal>>, CatalogError> {
        let Answer::TopicsDeleted(deleted) =
            self.ask_catalog(Command::DeleteTopics(topics)).await?
        else {
            return Err(unexpected());
        };
        self.acts().barrier().await;
        let gone = deleted.iter().flatten().map(|topic| DeletedOffsets {
            name: topic.name.as_str().into(),
            topic_id: topic.topic_id,
        });
        self.forget_offsets(gone.collect()).await;
        for topic in deleted.iter().flatten() {
            // Volatile: after a crash the removal is simply done again.
            let _ = self
                .ask_catalog(Command::ForgetRemoved {
                    topic_id: topic.topic_id,
                })
                .await;
        }
        Ok(deleted)
    }
}
