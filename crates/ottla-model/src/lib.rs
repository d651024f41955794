//! Values that every room of Ottla may use: ids, offsets, epochs, names, time, the record batch v2,
//! the stored records.
//!
//! Guarantees: no IO, no clock, no randomness (`no_std`); whatever is decoded was checked against the
//! bytes that are there. Knows nothing of Kafka's *requests*.
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod batch;
pub mod configs;
pub mod ids;
pub mod marks;
pub mod names;
pub mod primitives;
pub mod records;
pub mod time;
pub mod uuid;

/// What generated files use.
mod generated {
    pub(crate) use alloc::borrow::Cow;
    pub(crate) use alloc::vec::Vec;

    pub(crate) use crate::message;
    pub(crate) use crate::primitives::message::versioned;
    pub(crate) use crate::primitives::{
        DecodeError, DecodeErrorKind, EncodeError, Reader, Tags, Value, Version, Writer,
    };
    pub(crate) use crate::uuid::Uuid;
}
