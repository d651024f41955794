//! A consumer group of the next-generation protocol (KIP-848): the broker assigns, members report what
//! they own, and a partition is handed over only after its owner gave it up.
//!
//! Not there yet. It goes here, beside [`classic`](super::classic), with types of its own for members and
//! epochs, one file per command:
//!
//! - `mod.rs` the group, its members and epochs, the state diagram; [`Kind`](super::Kind) gets a variant
//!   `Consumer`, and the compiler names every place that has to know (`kind.rs`, `offsets/commit.rs`,
//!   `replay.rs`, `expire.rs`).
//! - `heartbeat.rs` ConsumerGroupHeartbeat, `describe.rs` ConsumerGroupDescribe: variants of
//!   [`Request`](super::Request) and [`Query`](super::Query).
//! - `reconcile.rs` what a member is told to give up and may take; `assign_uniform.rs`, `assign_range.rs` the
//!   assignors as pure functions; `convert.rs` from and to classic groups.
//! - Records with keys 3 and up are variants of [`GroupRecord`](super::GroupRecord), today
//!   [`Other`](super::GroupRecord::Other); they are written with `position` of their group as all
//!   membership records are.
//! - Assignors and regular expressions leave the turn: an [`Effect`](super::Effect) carries the
//!   assignor's name and its whole input, with the group's epoch; the runtime runs it elsewhere and submits a
//!   [`Request`](super::Request) with the result and that epoch. A result of an older epoch is
//!   dropped. After a restart `unfinished` lists the assignments whose target epoch is behind the
//!   group's.

pub mod assignor;
pub mod topics;
