//! What coordinators of groups may know of the catalog: one immutable value for all commands between two changes of the
//! image, so that a heartbeat that brings it copies nothing.

use std::fmt;
use std::sync::Arc;

use ottla_machine::catalog::Image;
use ottla_machine::group::consumer::topics::{TopicFacts, Topics};
use ottla_model::uuid::Uuid;

/// The topics of an image.
#[derive(Default)]
pub(crate) struct GroupTopics {
    image: Arc<Image>,
    version: u64,
}

impl GroupTopics {
    pub(crate) fn new(image: Arc<Image>, version: u64) -> GroupTopics {
        GroupTopics { image, version }
    }
}

impl Topics for GroupTopics {
    fn version(&self) -> u64 {
        self.version
    }

    fn topic(&self, name: &str) -> Option<TopicFacts> {
        let topic = self.image.topic(name)?;
        Some(TopicFacts {
            id: topic.id,
            partitions: i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX),
        })
    }

    fn name(&self, id: Uuid) -> Option<Arc<str>> {
        self.image.topic_by_id(id).map(|topic| topic.name.shared())
    }

    fn each_name(&self, see: &mut dyn FnMut(&str)) {
        for topic in self.image.topics() {
            see(&topic.name);
        }
    }
}

/// A command that is printed does not list every topic.
impl fmt::Debug for GroupTopics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.image.topic_count();
        write!(f, "{count} topics of version {}", self.version)
    }
}
