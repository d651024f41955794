//! What the members of a group of consumers subscribe to: the one part of what members tell each
//! other that the broker reads.
//!
//! `[version i16][topics: array of string]` begins every version of the consumers' protocol
//! (`ConsumerProtocolSubscription.json`).

use alloc::collections::BTreeSet;
use alloc::sync::Arc;

use ottla_model::primitives::{DecodeError, Reader, Version};

use super::Classic;

impl Classic {
    /// The topics of all members; `None` if it is no group of consumers, or one speaks so that
    /// the broker does not understand.
    pub(super) fn find_subscribed(&self) -> Option<BTreeSet<Arc<str>>> {
        if !self.is_of_consumers() {
            return None;
        }
        if self.members.is_empty() {
            return Some(BTreeSet::new());
        }
        let protocol = self.protocol.as_deref()?;
        let mut topics = BTreeSet::new();
        for member in self.members.values() {
            read_topics(&member.metadata(Some(protocol)), &mut topics).ok()?;
        }
        Some(topics)
    }
}

fn read_topics(metadata: &[u8], topics: &mut BTreeSet<Arc<str>>) -> Result<(), DecodeError> {
    let mut r = Reader::new(metadata);
    r.i16()?;
    for topic in r.array::<&str>(Version::INFLEXIBLE)? {
        if !topics.contains(topic) {
            topics.insert(Arc::from(topic));
        }
    }
    Ok(())
}
