//! Requests that need several machines: one file each, a straight line of awaited answers.
//!
//! What a crash would lose of a flow is in some machine's `unfinished` list; each flow says whether
//! it answers before or after its effects are done.

mod create_topics;
mod delete_topics;
mod group_topics;
mod group_work;
mod offsets_topic;
mod producer_id;
mod topic_regex;

pub(crate) use group_topics::GroupTopics;
pub(crate) use group_work::GroupWork;
pub(crate) use offsets_topic::OffsetsTopic;
pub(crate) use producer_id::ProducerIds;
pub(crate) use topic_regex::TopicRegex;
pub use topic_regex::{InvalidTopicRegex, check_topic_regex};

use ottla_machine::catalog::{Answer, Catalog, Command};
use tokio::sync::oneshot;

use crate::api::CatalogError;
use crate::handle::Broker;
use crate::shard::{Outcome, StorageFault};

/// An answer of another command: a fault of the broker's own, but no reason to panic.
fn unexpected() -> CatalogError {
    CatalogError::Fault(StorageFault::closed("the catalog answered something else"))
}

impl Broker {
    /// Asks the catalog and waits for its released answer.
    pub(crate) async fn ask_catalog(&self, command: Command) -> Result<Answer, CatalogError> {
        let (handle, answer) = oneshot::channel::<Outcome<Catalog>>();
        self.catalog().shard().submit(handle, command);
        self.driver().run(self.catalog());
        match answer.await {
            Ok(Outcome::Answer(answer)) => Ok(answer),
            Ok(Outcome::Refusal(refusal)) => Err(CatalogError::Refused(refusal)),
            Ok(Outcome::Fault(fault)) => Err(CatalogError::Fault(fault)),
            Err(_) => Err(CatalogError::Fault(StorageFault::closed(
                "the broker is stopping",
            ))),
        }
    }
}
