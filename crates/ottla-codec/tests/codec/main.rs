//! The crate's face, from outside: bytes in, batches and rejections out.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "tests"
)]

mod codecs;
mod common;
mod fuzz;
mod golden;
mod old_down;
mod old_fuzz;
mod old_sets;
mod old_up;
mod verify;
