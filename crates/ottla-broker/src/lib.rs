//! The runtime of Ottla: shards, flows, timers, waiting fetches, the one authorisation gate.
//!
//! Its face is the [`Broker`] handle and the words in [`api`]. Guarantees: see [`shard`] for what may
//! leave when; what the catalog knows reaches everyone as one consistent [`api::Image`]. Outside
//! `flows/`, `api/` and `wiring.rs` nothing here knows what any machine does, only the contract.
//! Never knows Kafka's wire.

mod acts;
pub mod api;
mod appends;
pub mod authorize;
mod backlog;
mod clock;
mod drive;
mod flows;
mod handle;
mod ids;
mod keeper;
mod metrics;
mod registry;
pub mod shard;
mod waiters;
mod wiring;

pub use clock::Clock;
pub use handle::{Broker, BrokerOptions, StartError};
pub use ids::{RandomIds, random_uuid};
pub use metrics::Metrics;
