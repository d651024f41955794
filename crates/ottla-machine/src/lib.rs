//! The state machines of Ottla: pure, one folder each, blind to each other.
//!
//! A machine decides on a command without changing anything, and changes only by replaying events,
//! live and at start alike ([`contract`]). Guarantees: no IO, no clock, no randomness (`no_std`);
//! same inputs, same events, on every machine. Never knows Kafka's wire, files or threads.
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod catalog;
pub mod contract;
pub mod group;
pub mod partition;
#[cfg(test)]
mod testing;
