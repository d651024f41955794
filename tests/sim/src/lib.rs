//! Deterministic simulation without tokio: the broker's own `Shard` in a plain loop with virtual time.
//!
//! [`pair`] plays producers and readers against one shard over any log, with a network that delays and
//! cuts. [`history`] plays a history over the simulated disk, where every disk operation is a crash
//! point. Same seed, same run, to the byte.

#![allow(
    clippy::expect_used,
    reason = "the crate is a test: a broken expectation is its finding"
)]

pub mod cluster;
pub mod history;
pub mod outlet;
pub mod pair;
pub mod payload;
pub mod random;
