//! Dialogues with the gateway over real sockets, by a client that sends what it is told.
#![allow(clippy::unwrap_used, clippy::expect_used)] // Helpers of tests fail like tests.

mod admin;
mod bad_input;
mod bootstrap;
mod durability;
mod fetch;
mod groups;
mod lifecycle;
mod metadata;
mod offsets;
mod old_clients;
mod produce;
mod produce_refused;
mod session_costs;
mod sessions;
mod stall;
mod support;
mod talk;
