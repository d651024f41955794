//! What members of the classic protocol tell each other about subscriptions and assignments, where their
//! group has become a consumer group, or is about to (`ConsumerProtocolSubscription.json`,
//! `ConsumerProtocolAssignment.json`).
//!
//! A version is read as the newest that is known if it is newer: later ones only add to the end.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;
use ottla_model::primitives::{
    DecodeError, DecodeErrorKind, EncodeError, Reader, Value, Version, Writer,
};

use super::assignor::Partitions;
use super::topics::Topics;

/// Newest version that is known, of both.
const VERSION_MAX: i16 = 3;

/// What a member subscribes to.
pub(super) struct Subscription {
    pub(super) topics: BTreeSet<Arc<str>>,
    /// What it has; nothing, if its version does not say.
    pub(super) owned: Partitions,
    pub(super) rack: Option<Arc<str>>,
}

#[derive(Default)]
struct OfTopic<'a> {
    topic: &'a str,
    partitions: Vec<i32>,
}

impl<'a> Value<'a> for OfTopic<'a> {
    const BYTES_MIN: usize = 6;

    fn read(&mut self, r: &mut Reader<'a>, v: Version) -> Result<(), DecodeError> {
        self.topic.read(r, v)?;
        self.partitions.read(r, v)
    }

    fn write<W: Writer>(&self, w: &mut W, v: Version) -> Result<(), EncodeError> {
        self.topic.write(w, v)?;
        self.partitions.write(w, v)
    }
}

impl Subscription {
    /// Reads a subscription; partitions of topics that are gone are left out.
    pub(super) fn read(bytes: &[u8], topics: &dyn Topics) -> Result<Subscription, DecodeError> {
        let mut r = Reader::new(bytes);
        let version = version(&mut r)?;
        let names = r.array::<&str>(Version::INFLEXIBLE)?;
        r.nullable_bytes(false)?;
        let owned = match version {
            0 => Vec::new(),
            _ => r.array::<OfTopic<'_>>(Version::INFLEXIBLE)?,
        };
        if version >= 2 {
            r.i32()?;
        }
        let rack = match version {
            3.. => r.nullable_str(false)?,
            _ => None,
        };
        Ok(Subscription {
            topics: names.into_iter().map(Arc::from).collect(),
            owned: by_id(&owned, topics),
            rack: rack.filter(|rack| !rack.is_empty()).map(Arc::from),
        })
    }
}

/// Reads an assignment; `None` if it carries something that only the members' own assignor understands.
pub(super) fn read_assignment(
    bytes: &[u8],
    topics: &dyn Topics,
) -> Result<Option<Partitions>, DecodeError> {
    if bytes.is_empty() {
        return Ok(Some(Partitions::new()));
    }
    let mut r = Reader::new(bytes);
    version(&mut r)?;
    let assigned = r.array::<OfTopic<'_>>(Version::INFLEXIBLE)?;
    let user_data = r.nullable_bytes(false)?;
    let is_plain = user_data.is_none_or(<[u8]>::is_empty);
    Ok(is_plain.then(|| by_id(&assigned, topics)))
}

/// Writes an assignment for a member that subscribes so; topics that are gone are left out.
pub(super) fn write_assignment(
    subscription: &[u8],
    partitions: impl Iterator<Item = (ottla_model::uuid::Uuid, Vec<i32>)>,
    topics: Option<&dyn Topics>,
) -> Result<Bytes, DecodeError> {
    let mut r = Reader::new(subscription);
    let version = version(&mut r)?;
    let named: Vec<(Arc<str>, Vec<i32>)> = partitions
        .filter_map(|(topic, of)| Some((topics?.name(topic)?, of)))
        .collect();
    let assigned: Vec<OfTopic<'_>> = named
        .iter()
        .map(|(topic, partitions)| OfTopic {
            topic,
            partitions: partitions.clone(),
        })
        .collect();
    let mut out = Vec::new();
    out.i16(version);
    let written = assigned
        .write(&mut out, Version::INFLEXIBLE)
        .and_then(|()| out.nullable_bytes(None, false));
    // Names of topics fit, and no request is large enough for so many partitions.
    written.map_err(|_| r.error(DecodeErrorKind::CountTooLarge(u32::MAX)))?;
    Ok(Bytes::from(out))
}

fn version(r: &mut Reader<'_>) -> Result<i16, DecodeError> {
    let version = r.i16()?;
    if version < 0 {
        return Err(r.error(DecodeErrorKind::UnsupportedVersion(version)));
    }
    Ok(version.min(VERSION_MAX))
}

fn by_id(named: &[OfTopic<'_>], topics: &dyn Topics) -> Partitions {
    let mut partitions = Partitions::new();
    for of in named {
        if let Some(topic) = topics.topic(of.topic) {
            let into = partitions.entry(topic.id).or_default();
            into.extend_from_slice(&of.partitions);
        }
    }
    partitions.retain(|_, of| {
        of.sort_unstable();
        of.dedup();
        !of.is_empty()
    });
    partitions
}
