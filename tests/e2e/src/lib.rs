//! What the end-to-end tests share: the broker under test, its figures, dice, and the closing line.
//!
//! Each file of `tests/` is a program of its own that starts the real binary, prints what it measures
//! and ends with cargo's result line. They run one after the other, so that none disturbs another's
//! figures. Not shipped; panics where a test would.
#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test program: it talks to a person and ends where it would have to lie"
)]

pub mod cases;
pub mod figures;
pub mod random;
pub mod subject;
