//! What the tests of several crates share. Not shipped; may panic where a test would.

pub mod broker_process;
#[cfg(test)]
mod compaction;
pub mod conformance;
pub mod conformance_crash;
#[cfg(test)]
mod conformance_faults;
#[cfg(test)]
mod conformance_tests;
pub mod sim_disk;
pub mod stall_disk;
pub mod wire_client;
