//! What the broker costs, measured beside what the hardware needs for the same work and beside Apache
//! Kafka. `docs/PERFORMANCE.md` says how to run it and how to read it.
//!
//! Owns the rows and their gates ([`rows`]), the generator ([`load`]) and its frames ([`wire`]), the
//! limit program ([`limit`]), one run of one row against one server ([`run`]), the results ([`outcome`])
//! and their table ([`table`]), members of groups ([`members`]), how cost grows ([`curves`]), flame graphs
//! ([`profile`]), micro benchmarks ([`micro`]). The command `ottla-bench` has a face for each;
//! `cargo xtask bench` drives it. Never asserts a time.

pub mod curves;
pub mod histogram;
pub mod limit;
pub mod load;
pub mod machine;
pub mod members;
pub mod metric;
pub mod micro;
pub mod outcome;
pub mod profile;
pub mod rows;
pub mod run;
pub mod server;
pub mod table;
pub mod wire;
