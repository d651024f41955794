//! The records of consumer groups: types 3 to 8 and 16 (Kafka `GroupCoordinatorRecordHelpers`).
//!
//! All values are written in version 0, as by Kafka 4.x. What the machine means by a record is in
//! `mod.rs`; here only its bytes.

use alloc::borrow::Cow;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;
use ottla_model::primitives::{DecodeError, EncodeError, Reader};
use ottla_model::records::consumer_group as stored;

use super::assignor::Partitions;
use super::{ClassicSide, Current, MemberFacts, MemberState, Owned, ResolvedRegex};
use crate::group::{GroupId, InstanceId, MemberId, Protocol};

/// Version of every value.
const VALUE_VERSION: i16 = 0;

/// One record about a consumer group. A value of `None` takes what it is about away.
#[derive(Clone, PartialEq, Debug)]
pub enum ConsumerRecord {
    /// The group's epoch, and a hash of the topics that it subscribes to (type 3).
    Epoch(Option<GroupEpoch>),
    /// Obsolete: Kafka before 4.1 kept the topics here. Only ever taken away (type 4).
    PartitionMetadata(Option<Bytes>),
    /// What a member says of itself (type 5).
    Member(MemberId, Option<Arc<MemberFacts>>),
    /// At which epoch of the group its targets were computed (type 6).
    TargetEpoch(Option<TargetEpoch>),
    /// What a member is to get (type 7).
    Target(MemberId, Option<Arc<Partitions>>),
    /// What a member has, and where it stands (type 8).
    Current(MemberId, Option<Arc<Current>>),
    /// The topics that a regular expression matches (type 16).
    Regex(Arc<str>, Option<Arc<ResolvedRegex>>),
}

/// The epoch of a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GroupEpoch {
    /// Grows whenever the targets have to be computed anew.
    pub epoch: i32,
    /// Hash of the topics that the group subscribes to.
    pub metadata_hash: i64,
}

/// When targets were computed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TargetEpoch {
    /// Of which epoch of the group they are.
    pub epoch: i32,
    /// When that was, in ms since 1970; 0: not known.
    pub time_ms: i64,
}

impl ConsumerRecord {
    /// Encodes the record; true if it has a value.
    pub(in crate::group) fn encode(
        &self,
        group: &GroupId,
        key: &mut Vec<u8>,
        value: &mut Vec<u8>,
    ) -> Result<bool, EncodeError> {
        let group_id: Cow<'_, str> = group.as_str().into();
        let v = VALUE_VERSION;
        match self {
            Self::Epoch(epoch) => {
                stored::ConsumerGroupMetadataKey { group_id }.encode_versioned(key, 3)?;
                let Some(epoch) = epoch else { return Ok(false) };
                let record = stored::ConsumerGroupMetadataValue {
                    epoch: epoch.epoch,
                    metadata_hash: epoch.metadata_hash,
                };
                record.encode_versioned(value, v)?;
            }
            Self::PartitionMetadata(bytes) => {
                stored::ConsumerGroupPartitionMetadataKey { group_id }.encode_versioned(key, 4)?;
                let Some(bytes) = bytes else { return Ok(false) };
                value.extend_from_slice(bytes);
            }
            Self::Member(member, facts) => {
                let member_id = member.as_str().into();
                let record = stored::ConsumerGroupMemberMetadataKey {
                    group_id,
                    member_id,
                };
                record.encode_versioned(key, 5)?;
                let Some(facts) = facts else { return Ok(false) };
                facts.to_stored().encode_versioned(value, v)?;
            }
            Self::TargetEpoch(target) => {
                let record = stored::ConsumerGroupTargetAssignmentMetadataKey { group_id };
                record.encode_versioned(key, 6)?;
                let Some(target) = target else {
                    return Ok(false);
                };
                let record = stored::ConsumerGroupTargetAssignmentMetadataValue {
                    assignment_epoch: target.epoch,
                    assignment_timestamp: target.time_ms,
                };
                record.encode_versioned(value, v)?;
            }
            Self::Target(member, partitions) => {
                let member_id = member.as_str().into();
                let record = stored::ConsumerGroupTargetAssignmentMemberKey {
                    group_id,
                    member_id,
                };
                record.encode_versioned(key, 7)?;
                let Some(partitions) = partitions else {
                    return Ok(false);
                };
                let topics = partitions.iter().map(|(topic, of)| stored::TopicPartition {
                    topic_id: *topic,
                    partitions: of.clone(),
                });
                let record = stored::ConsumerGroupTargetAssignmentMemberValue {
                    topic_partitions: topics.collect(),
                };
                record.encode_versioned(value, v)?;
            }
            Self::Current(member, current) => {
                let member_id = member.as_str().into();
                let record = stored::ConsumerGroupCurrentMemberAssignmentKey {
                    group_id,
                    member_id,
                };
                record.encode_versioned(key, 8)?;
                let Some(current) = current else {
                    return Ok(false);
                };
                current.to_stored().encode_versioned(value, v)?;
            }
            Self::Regex(regex, resolved) => {
                let regular_expression = (&**regex).into();
                let record = stored::ConsumerGroupRegularExpressionKey {
                    group_id,
                    regular_expression,
                };
                record.encode_versioned(key, 16)?;
                let Some(resolved) = resolved else {
                    return Ok(false);
                };
                let record = stored::ConsumerGroupRegularExpressionValue {
                    topics: resolved.topics.iter().map(|t| (&**t).into()).collect(),
                    version: resolved.version,
                    timestamp: resolved.time_ms,
                };
                record.encode_versioned(value, v)?;
            }
        }
        Ok(true)
    }

    /// True if the record takes something away.
    pub(in crate::group) fn is_tombstone(&self) -> bool {
        match self {
            Self::Epoch(value) => value.is_none(),
            Self::PartitionMetadata(value) => value.is_none(),
            Self::Member(_, value) => value.is_none(),
            Self::TargetEpoch(value) => value.is_none(),
            Self::Target(_, value) => value.is_none(),
            Self::Current(_, value) => value.is_none(),
            Self::Regex(_, value) => value.is_none(),
        }
    }

    /// True if records of this type are about consumer groups.
    pub(in crate::group) fn is_type(kind: i16) -> bool {
        matches!(kind, 3..=8 | 16)
    }

    /// Decodes a record of a type that [`is_type`](Self::is_type) knows; `key` stands behind the type.
    pub(in crate::group) fn decode(
        kind: i16,
        key: &mut Reader<'_>,
        value: Option<&[u8]>,
    ) -> Result<(GroupId, ConsumerRecord), DecodeError> {
        let mut value = value.map(Reader::new);
        let (group, record) = match kind {
            3 => {
                let at = stored::ConsumerGroupMetadataKey::decode(key, kind)?;
                let epoch = value.as_mut().map(|r| {
                    let (read, _) = stored::ConsumerGroupMetadataValue::decode_versioned(r)?;
                    Ok(GroupEpoch {
                        epoch: read.epoch,
                        metadata_hash: read.metadata_hash,
                    })
                });
                (at.group_id, Self::Epoch(epoch.transpose()?))
            }
            4 => {
                let at = stored::ConsumerGroupPartitionMetadataKey::decode(key, kind)?;
                let bytes = value.take().map(|mut r| {
                    let rest = r.remaining();
                    r.take(rest).map(Bytes::copy_from_slice)
                });
                (at.group_id, Self::PartitionMetadata(bytes.transpose()?))
            }
            5 => {
                let at = stored::ConsumerGroupMemberMetadataKey::decode(key, kind)?;
                let facts = value.as_mut().map(|r| {
                    let (read, _) = stored::ConsumerGroupMemberMetadataValue::decode_versioned(r)?;
                    Ok(Arc::new(MemberFacts::from_stored(&read)))
                });
                let member = MemberId::from(&*at.member_id);
                (at.group_id, Self::Member(member, facts.transpose()?))
            }
            6 => {
                let at = stored::ConsumerGroupTargetAssignmentMetadataKey::decode(key, kind)?;
                let target = value.as_mut().map(|r| {
                    let (read, _) =
                        stored::ConsumerGroupTargetAssignmentMetadataValue::decode_versioned(r)?;
                    Ok(TargetEpoch {
                        epoch: read.assignment_epoch,
                        time_ms: read.assignment_timestamp,
                    })
                });
                (at.group_id, Self::TargetEpoch(target.transpose()?))
            }
            7 => {
                let at = stored::ConsumerGroupTargetAssignmentMemberKey::decode(key, kind)?;
                let partitions = value.as_mut().map(|r| {
                    let (read, _) =
                        stored::ConsumerGroupTargetAssignmentMemberValue::decode_versioned(r)?;
                    Ok(Arc::new(partitions_of(read.topic_partitions)))
                });
                let member = MemberId::from(&*at.member_id);
                (at.group_id, Self::Target(member, partitions.transpose()?))
            }
            8 => {
                let at = stored::ConsumerGroupCurrentMemberAssignmentKey::decode(key, kind)?;
                let current = value.as_mut().map(|r| {
                    let (read, _) =
                        stored::ConsumerGroupCurrentMemberAssignmentValue::decode_versioned(r)?;
                    Ok(Arc::new(Current::from_stored(&read)))
                });
                let member = MemberId::from(&*at.member_id);
                (at.group_id, Self::Current(member, current.transpose()?))
            }
            _ => {
                let at = stored::ConsumerGroupRegularExpressionKey::decode(key, kind)?;
                let resolved = value.as_mut().map(|r| {
                    let (read, _) =
                        stored::ConsumerGroupRegularExpressionValue::decode_versioned(r)?;
                    Ok(Arc::new(ResolvedRegex {
                        topics: read
                            .topics
                            .iter()
                            .map(|topic| Arc::from(&**topic))
                            .collect(),
                        version: read.version,
                        time_ms: read.timestamp,
                    }))
                });
                let regex = Arc::from(&*at.regular_expression);
                (at.group_id, Self::Regex(regex, resolved.transpose()?))
            }
        };
        if let Some(rest) = value {
            rest.finish()?;
        }
        Ok((GroupId::from(&*group), record))
    }
}

impl MemberFacts {
    fn to_stored(&self) -> stored::ConsumerGroupMemberMetadataValue<'_> {
        let classic = self.classic.as_ref();
        stored::ConsumerGroupMemberMetadataValue {
            instance_id: self.instance.as_ref().map(|id| id.as_str().into()),
            rack_id: self.rack.as_deref().map(Into::into),
            client_id: (&*self.client_id).into(),
            client_host: (&*self.client_host).into(),
            subscribed_topic_names: self.topics.iter().map(|topic| (&**topic).into()).collect(),
            // Kafka writes none as the empty text, too.
            subscribed_topic_regex: Some((&*self.regex).into()),
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            server_assignor: self.assignor.as_deref().map(Into::into),
            classic_member_metadata: classic.map(|classic| stored::ClassicMemberMetadata {
                session_timeout_ms: classic.session_timeout_ms,
                supported_protocols: classic
                    .protocols
                    .iter()
                    .map(|protocol| stored::ClassicProtocol {
                        name: (&*protocol.name).into(),
                        metadata: (&protocol.metadata[..]).into(),
                    })
                    .collect(),
            }),
        }
    }

    fn from_stored(read: &stored::ConsumerGroupMemberMetadataValue<'_>) -> MemberFacts {
        let classic = read.classic_member_metadata.as_ref();
        let topics: BTreeSet<Arc<str>> = read
            .subscribed_topic_names
            .iter()
            .map(|topic| Arc::from(&**topic))
            .collect();
        MemberFacts {
            instance: read.instance_id.as_deref().map(InstanceId::from),
            rack: read.rack_id.as_deref().map(Arc::from),
            client_id: Arc::from(&*read.client_id),
            client_host: Arc::from(&*read.client_host),
            topics: Arc::new(topics),
            regex: Arc::from(read.subscribed_topic_regex.as_deref().unwrap_or_default()),
            rebalance_timeout_ms: read.rebalance_timeout_ms,
            assignor: read.server_assignor.as_deref().map(Arc::from),
            classic: classic.map(|classic| ClassicSide {
                session_timeout_ms: classic.session_timeout_ms,
                protocols: classic
                    .supported_protocols
                    .iter()
                    .map(|protocol| Protocol {
                        name: Arc::from(&*protocol.name),
                        metadata: Bytes::copy_from_slice(&protocol.metadata),
                    })
                    .collect(),
            }),
        }
    }
}

impl Current {
    fn to_stored(&self) -> stored::ConsumerGroupCurrentMemberAssignmentValue {
        stored::ConsumerGroupCurrentMemberAssignmentValue {
            member_epoch: self.epoch,
            previous_member_epoch: self.previous_epoch,
            state: self.state.to_stored(),
            assigned_partitions: owned_to_stored(&self.assigned),
            partitions_pending_revocation: owned_to_stored(&self.revoking),
        }
    }

    fn from_stored(read: &stored::ConsumerGroupCurrentMemberAssignmentValue) -> Current {
        // A static member that left has the epoch -2; what it keeps it has since the beginning.
        let epoch = read.member_epoch.max(0);
        Current {
            epoch: read.member_epoch,
            previous_epoch: read.previous_member_epoch,
            state: MemberState::from_stored(read.state),
            assigned: owned_from_stored(&read.assigned_partitions, epoch),
            revoking: owned_from_stored(&read.partitions_pending_revocation, epoch),
        }
    }
}

fn owned_to_stored(owned: &Owned) -> Vec<stored::TopicPartitions> {
    let topics = owned.iter().map(|(topic, of)| stored::TopicPartitions {
        topic_id: *topic,
        partitions: of.keys().copied().collect(),
        assignment_epochs: Some(of.values().copied().collect()),
    });
    topics.collect()
}

/// `epoch`: since when the member has partitions whose record does not say (Kafka before 4.3).
fn owned_from_stored(topics: &[stored::TopicPartitions], epoch: i32) -> Owned {
    let mut owned = Owned::new();
    for topic in topics {
        let epochs = topic.assignment_epochs.as_ref();
        let epochs = epochs.filter(|epochs| epochs.len() == topic.partitions.len());
        let of = topic.partitions.iter().enumerate().map(|(place, index)| {
            let since = epochs.and_then(|epochs| epochs.get(place).copied());
            (*index, since.unwrap_or(epoch))
        });
        let of: BTreeMap<i32, i32> = of.collect();
        if !of.is_empty() {
            owned.insert(topic.topic_id, of);
        }
    }
    owned
}

fn partitions_of(topics: Vec<stored::TopicPartition>) -> Partitions {
    let mut partitions = Partitions::new();
    for topic in topics {
        let mut of = topic.partitions;
        of.sort_unstable();
        of.dedup();
        if !of.is_empty() {
            partitions.insert(topic.topic_id, of);
        }
    }
    partitions
}
