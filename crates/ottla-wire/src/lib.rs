//! Kafka's messages and their framing, generated from the compact schema in `schema/` by
//! `cargo xtask codegen`.
//!
//! Guarantees: no IO, no clock (`no_std`); decoding borrows from the frame and never panics, and every
//! count is held against the bytes that are left before anything is allocated; encoding does not copy
//! record bytes.
//! Never decides anything: what a request means is for the crates above.
//!
//! One module per API: [`fetch::FetchRequest`] and [`fetch::FetchResponse`], each with
//! `decode(&mut Reader, version)` and `encode(&mut impl Writer, version)`. [`AnyRequest`] and
//! [`AnyResponse`] hold any of them. [`frame`] adds the headers and the length.
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod apis;
pub mod encoder;
pub mod frame;
// Versions and defaults are written out even where a shorter form exists: the text follows the schema.
#[allow(
    unused_variables,
    clippy::manual_range_contains,
    clippy::nonminimal_bool,
    clippy::derivable_impls
)]
mod r#gen;
mod numbers;
mod records;
mod request;

pub use r#gen::*;
pub use numbers::{Number, Numbers};
pub use ottla_model::primitives::{DecodeError, DecodeErrorKind, EncodeError, Reader, Writer};
pub use records::Records;
pub use request::{HeaderVersions, Request};

/// What generated files use.
mod generated {
    pub(crate) use alloc::vec::Vec;

    pub(crate) use ottla_model::message;
    pub(crate) use ottla_model::primitives::{
        DecodeError, DecodeErrorKind, EncodeError, Reader, Tags, Value, Version, Writer,
        read_optional, write_optional,
    };
    pub(crate) use ottla_model::uuid::Uuid;

    pub(crate) use crate::{Numbers, Records, Request};
}
