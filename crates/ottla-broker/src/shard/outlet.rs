//! Where released things go.

use std::fmt;
use std::sync::Arc;

use ottla_log::LogFault;
use ottla_machine::contract::Machine;
use ottla_model::ids::Offset;
use ottla_model::marks::Marks;

/// Receives what a shard releases, in order, outside the shard's lock.
pub trait Outlet<M: Machine>: Send + Sync + Sized + 'static {
    /// Names whoever submitted a command.
    type Handle: Send + 'static;

    /// True if [`records`](Self::records) wants the machine's own records once they are durable.
    const WANTS_RECORDS: bool = false;

    /// A command's end.
    fn answer(&self, to: Self::Handle, outcome: Outcome<M>);
    /// Work for others, now durable.
    fn effect(&self, effect: M::Effect);
    /// Records of the machine's own, now durable; before the answers that saw them.
    fn records(&self, records: Vec<(Offset, M::Record)>);
    /// The durable mark or the start of the log moved, or never will again: the shard was closed. Of a
    /// mark that moved, before the answers that waited for it.
    fn advanced(&self, marks: Marks);
}

/// How a command ended.
pub enum Outcome<M: Machine> {
    /// As asked.
    Answer(M::Answer),
    /// The machine said no.
    Refusal(M::Refusal),
    /// The storage failed: what became of the command is what the log says after the next start.
    Fault(StorageFault),
}

/// The storage failed or was taken away, and why, for a person.
#[derive(Clone)]
pub struct StorageFault {
    why: Arc<str>,
    deleted: bool,
}

impl StorageFault {
    /// From the log's own words.
    #[must_use]
    pub fn new(fault: &LogFault) -> StorageFault {
        StorageFault::closed(&fault.to_string())
    }

    /// The shard was closed on purpose, for the reason given.
    #[must_use]
    pub fn closed(reason: &str) -> StorageFault {
        StorageFault {
            why: Arc::from(reason),
            deleted: false,
        }
    }

    /// The topic was deleted, and its log with it.
    #[must_use]
    pub fn topic_deleted() -> StorageFault {
        StorageFault {
            deleted: true,
            ..StorageFault::closed("the topic was deleted")
        }
    }

    /// True if nothing failed: the topic was deleted.
    #[must_use]
    pub fn is_deletion(&self) -> bool {
        self.deleted
    }

    pub(super) fn rebuilding() -> StorageFault {
        StorageFault::closed("the partition is being rebuilt after a storage fault")
    }

    pub(super) fn refusing() -> StorageFault {
        StorageFault::closed("the log refuses appends until its disk takes data again")
    }
}

impl fmt::Display for StorageFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl fmt::Debug for StorageFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}
