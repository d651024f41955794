//! Deleting topics (Kafka `ReplicationControlManager.deleteTopics`).

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use ottla_model::uuid::Uuid;

use super::{
    Answer, Catalog, CatalogRecord, DeletedTopic, Effect, Soft, TopicRefusal, TopicSelector,
};
use crate::contract::{Decision, Emit};

impl Catalog {
    pub(super) fn decide_delete_topics(
        &self,
        topics: Vec<TopicSelector>,
        out: &mut Decision<Self>,
    ) -> Answer {
        // Gone by this request already: the state does not show it yet.
        let mut gone = BTreeSet::new();
        let results = topics.into_iter().map(|selector| {
            let topic = match &selector {
                TopicSelector::Name(name) => self.image.topic(name),
                TopicSelector::Id(id) => self.image.topic_by_id(*id),
            };
            let Some(topic) = topic.filter(|topic| gone.insert(topic.id)) else {
                return Err(match selector {
                    TopicSelector::Name(name) => TopicRefusal::UnknownName(name),
                    TopicSelector::Id(id) => TopicRefusal::UnknownId(id),
                });
            };
            out.log(alloc::vec![CatalogRecord::RemoveTopic { id: topic.id }]);
            out.effects.push(Effect::remove(topic));
            Ok(DeletedTopic {
                name: topic.name.clone(),
                topic_id: topic.id,
            })
        });
        Answer::TopicsDeleted(results.collect())
    }

    pub(super) fn decide_forget_removed(&self, topic_id: Uuid, out: &mut Decision<Self>) -> Answer {
        if self.removed.contains_key(&topic_id) {
            out.emits
                .push(Emit::Volatile(Soft::ForgetRemoved(topic_id)));
        }
        Answer::RemovedForgotten
    }
}
