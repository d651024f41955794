//! Acts of the runtime that machines asked for: opening and removing partitions.
//!
//! One thread performs them in the order in which they were ordered, because they wait for the disk
//! and the threads that order them must not. A barrier tells when all that was ordered before it is
//! done. Acts are idempotent: the wiring repeats them for the whole state after a start.

use std::sync::Arc;
use std::sync::mpsc;

use ottla_model::ids::{LeaderEpoch, PartitionIndex};
use ottla_model::names::{TopicName, TopicPartition};
use ottla_model::uuid::Uuid;
use tokio::sync::oneshot;

/// Work for the thread.
#[derive(Debug)]
pub(crate) enum Act {
    /// Open these partitions where they are not open, and create what is not there.
    Open(Vec<(TopicPartition, LeaderEpoch)>),
    /// Close these partitions and delete them.
    Remove {
        topic: TopicName,
        topic_id: Uuid,
        partitions: Vec<PartitionIndex>,
    },
    /// Tell that all before is done.
    Barrier(oneshot::Sender<()>),
    /// End the thread.
    Stop,
}

/// Where acts are ordered.
#[derive(Clone)]
pub(crate) struct Acts {
    queue: mpsc::Sender<Act>,
}

/// Performs acts.
pub(crate) trait Actor: Send + Sync + 'static {
    fn open(&self, partitions: &[(TopicPartition, LeaderEpoch)]);
    fn remove(&self, topic: &TopicName, topic_id: Uuid, partitions: &[PartitionIndex]);
}

impl Acts {
    /// A queue, and its end for [`perform`].
    pub(crate) fn new() -> (Acts, mpsc::Receiver<Act>) {
        let (queue, orders) = mpsc::channel();
        (Acts { queue }, orders)
    }

    pub(crate) fn order(&self, act: Act) {
        // The thread ends only when the broker stops: what is not done then is repeated at start.
        let _ = self.queue.send(act);
    }

    /// Waits until all acts ordered so far are done.
    pub(crate) async fn barrier(&self) {
        let (done, wait) = oneshot::channel();
        self.order(Act::Barrier(done));
        let _ = wait.await;
    }
}

/// The thread's work: performs acts until it is told to stop.
pub(crate) fn perform(actor: &Arc<impl Actor>, orders: &mpsc::Receiver<Act>) {
    let mut next = None;
    while let Some(act) = next.take().or_else(|| orders.recv().ok()) {
        match act {
            Act::Open(mut partitions) => {
                // All that were ordered together, because they share the syncs that they need.
                loop {
                    match orders.try_recv() {
                        Ok(Act::Open(more)) => partitions.extend(more),
                        other => break next = other.ok(),
                    }
                }
                actor.open(&partitions);
            }
            Act::Remove {
                topic,
                topic_id,
                partitions,
            } => actor.remove(&topic, topic_id, &partitions),
            Act::Barrier(done) => {
                let _ = done.send(());
            }
            Act::Stop => return,
        }
    }
}
