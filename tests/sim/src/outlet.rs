//! An outlet that keeps what a shard releases, for the loop to pick up.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use ottla_broker::shard::{Outcome, Outlet};
use ottla_machine::contract::Machine;
use ottla_model::ids::Offset;
use ottla_model::marks::Marks;

/// Keeps answers under the number of their request.
pub struct Recorder<M: Machine> {
    answers: Mutex<VecDeque<(u64, Outcome<M>)>>,
    advances: AtomicUsize,
}

impl<M: Machine> Default for Recorder<M> {
    fn default() -> Self {
        Recorder {
            answers: Mutex::default(),
            advances: AtomicUsize::new(0),
        }
    }
}

impl<M: Machine> Recorder<M> {
    /// The oldest answer that nobody picked up yet.
    pub fn next(&self) -> Option<(u64, Outcome<M>)> {
        self.answers
            .lock()
            .expect("no panic while the recorder is locked")
            .pop_front()
    }

    /// How often those who wait for the durable mark were woken.
    pub fn advances(&self) -> usize {
        self.advances.load(Ordering::Relaxed)
    }
}

impl<M: Machine> Outlet<M> for Recorder<M> {
    type Handle = u64;

    fn answer(&self, to: u64, outcome: Outcome<M>) {
        self.answers
            .lock()
            .expect("no panic while the recorder is locked")
            .push_back((to, outcome));
    }
    fn effect(&self, _: M::Effect) {}
    fn records(&self, _: Vec<(Offset, M::Record)>) {}
    fn advanced(&self, _: Marks) {
        self.advances.fetch_add(1, Ordering::Relaxed);
    }
}
