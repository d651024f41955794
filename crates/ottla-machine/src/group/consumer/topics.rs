//! What a coordinator may know of topics. Members subscribe by name, assignments are by id: a request that
//! may need one for the other brings along what the catalog published last.

use alloc::sync::Arc;
use core::fmt::Debug;

use ottla_model::uuid::Uuid;

/// The topics that there are: immutable, cheap to pass on. The runtime implements it over the catalog's
/// image.
pub trait Topics: Debug + Send + Sync {
    /// Larger whenever a topic came, went or grew since; equal if nothing of that happened.
    fn version(&self) -> u64;

    /// Finds a topic by name.
    fn topic(&self, name: &str) -> Option<TopicFacts>;

    /// The name of a topic.
    fn name(&self, id: Uuid) -> Option<Arc<str>>;

    /// Shows every topic's name, in no particular order.
    fn each_name(&self, see: &mut dyn FnMut(&str));
}

/// What a group knows of a topic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TopicFacts {
    /// Its id.
    pub id: Uuid,
    /// How many partitions it has, numbered from 0.
    pub partitions: i32,
}
