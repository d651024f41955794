//! The records of `__consumer_offsets`, read into what the machine means by them.
//!
//! The type of a record is the version before its key (Kafka `CoordinatorRecordType`): 0 and 1 committed
//! offsets, 2 classic groups, 3 to 8 and 16 consumer groups (`consumer/record.rs`), the rest groups of
//! later kinds. Values are written in the versions that
//! Kafka 4.x writes.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;
use ottla_model::ids::Offset;
use ottla_model::primitives::{DecodeError, Reader};
use ottla_model::records::consumer_offsets as stored;

use super::classic::{ClassicRecord, StoredMember};
use super::consumer::ConsumerRecord;
use super::offsets::CommittedOffset;
use super::{GroupId, InstanceId, MemberId};
use crate::contract::{KeyPresent, StoredRecord, ValuePresent};

/// Version of an offset's value (`GroupCoordinatorRecordHelpers.offsetCommitValueVersion`).
const OFFSET_VERSION: i16 = 4;
/// The same, with a time to expire at: only this version has one.
const OFFSET_VERSION_EXPIRING: i16 = 1;
/// Version of a classic group's value (`GROUP_METADATA_VALUE_VERSION`).
const CLASSIC_VERSION: i16 = 3;

/// One record of a coordinator.
#[derive(Clone, PartialEq, Debug)]
pub enum GroupRecord {
    /// An offset of a group, or that it is forgotten.
    Offset {
        /// The group.
        group: GroupId,
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: i32,
        /// The offset; `None` forgets it.
        value: Option<CommittedOffset>,
    },
    /// A classic group, or that it is deleted.
    Classic {
        /// The group.
        group: GroupId,
        /// Its generation; `None` deletes it.
        value: Option<Arc<ClassicRecord>>,
    },
    /// Something about a consumer group.
    Consumer {
        /// The group.
        group: GroupId,
        /// What about it.
        record: ConsumerRecord,
    },
    /// A record of a kind that this build does not read: as Kafka does, it is passed over.
    Other {
        /// Its key, with the type before it.
        key: Bytes,
        /// Its value, with the version before it.
        value: Option<Bytes>,
    },
}

impl StoredRecord for GroupRecord {
    #[allow(clippy::expect_used, reason = "names its invariant")]
    fn encode(&self, key: &mut Vec<u8>, value: &mut Vec<u8>) -> (KeyPresent, ValuePresent) {
        const FITS: &str =
            "invariant: texts of groups are below 32 KB, and versions are the build's";
        match self {
            GroupRecord::Offset {
                group,
                topic,
                partition,
                value: offset,
            } => {
                let record_key = stored::OffsetCommitKey {
                    group: group.as_str().into(),
                    topic: (&**topic).into(),
                    partition: *partition,
                };
                record_key.encode_versioned(key, 1).expect(FITS);
                if let Some(offset) = offset {
                    let (record, version) = offset.to_stored();
                    record.encode_versioned(value, version).expect(FITS);
                }
                (true, offset.is_some())
            }
            GroupRecord::Classic {
                group,
                value: classic,
            } => {
                let record_key = stored::GroupMetadataKey {
                    group: group.as_str().into(),
                };
                record_key.encode_versioned(key, 2).expect(FITS);
                if let Some(classic) = classic {
                    let record = classic.to_stored();
                    record.encode_versioned(value, CLASSIC_VERSION).expect(FITS);
                }
                (true, classic.is_some())
            }
            GroupRecord::Consumer { group, record } => {
                let has_value = record.encode(group, key, value).expect(FITS);
                (true, has_value)
            }
            GroupRecord::Other {
                key: record_key,
                value: record_value,
            } => {
                key.extend_from_slice(record_key);
                value.extend_from_slice(record_value.as_deref().unwrap_or_default());
                (true, record_value.is_some())
            }
        }
    }

    fn decode(key: Option<&[u8]>, value: Option<&[u8]>) -> Result<GroupRecord, String> {
        let key = key.ok_or("a record of a group without a key")?;
        decode(key, value).map_err(|error| format!("not a record of a group: {error}"))
    }
}

fn decode(key: &[u8], value: Option<&[u8]>) -> Result<GroupRecord, DecodeError> {
    let mut r = Reader::new(key);
    let kind = r.i16()?;
    let record = match kind {
        0 => {
            let record_key = stored::LegacyOffsetCommitKey::decode(&mut r, kind)?;
            GroupRecord::Offset {
                group: GroupId::from(&*record_key.group),
                topic: Arc::from(&*record_key.topic),
                partition: record_key.partition,
                value: value.map(CommittedOffset::decode).transpose()?,
            }
        }
        1 => {
            let record_key = stored::OffsetCommitKey::decode(&mut r, kind)?;
            GroupRecord::Offset {
                group: GroupId::from(&*record_key.group),
                topic: Arc::from(&*record_key.topic),
                partition: record_key.partition,
                value: value.map(CommittedOffset::decode).transpose()?,
            }
        }
        2 => {
            let record_key = stored::GroupMetadataKey::decode(&mut r, kind)?;
            let value = value.map(ClassicRecord::decode).transpose()?;
            GroupRecord::Classic {
                group: GroupId::from(&*record_key.group),
                value: value.map(Arc::new),
            }
        }
        _ if ConsumerRecord::is_type(kind) => {
            let (group, record) = ConsumerRecord::decode(kind, &mut r, value)?;
            GroupRecord::Consumer { group, record }
        }
        _ => {
            return Ok(GroupRecord::Other {
                key: Bytes::copy_from_slice(key),
                value: value.map(Bytes::copy_from_slice),
            });
        }
    };
    r.finish()?;
    Ok(record)
}

impl CommittedOffset {
    fn to_stored(&self) -> (stored::OffsetCommitValue<'_>, i16) {
        let record = stored::OffsetCommitValue {
            offset: self.offset,
            leader_epoch: self.leader_epoch,
            metadata: (&*self.metadata).into(),
            commit_timestamp: self.commit_time_ms,
            expire_timestamp: self.expire_time_ms.unwrap_or(-1),
            topic_id: self.topic_id,
        };
        let version = match self.expire_time_ms {
            Some(_) => OFFSET_VERSION_EXPIRING,
            None => OFFSET_VERSION,
        };
        (record, version)
    }

    fn decode(value: &[u8]) -> Result<CommittedOffset, DecodeError> {
        let mut r = Reader::new(value);
        let (record, _) = stored::OffsetCommitValue::decode_versioned(&mut r)?;
        r.finish()?;
        Ok(CommittedOffset {
            offset: record.offset,
            leader_epoch: record.leader_epoch,
            metadata: Arc::from(&*record.metadata),
            commit_time_ms: record.commit_timestamp,
            expire_time_ms: Some(record.expire_timestamp).filter(|time| *time != -1),
            topic_id: record.topic_id,
            record_at: Offset::ZERO,
        })
    }
}

impl ClassicRecord {
    fn to_stored(&self) -> stored::GroupMetadataValue<'_> {
        let members = self.members.iter().map(|member| stored::MemberMetadata {
            member_id: member.member.as_str().into(),
            group_instance_id: member.instance.as_ref().map(|id| id.as_str().into()),
            client_id: (&*member.client_id).into(),
            client_host: (&*member.client_host).into(),
            rebalance_timeout: member.rebalance_timeout_ms,
            session_timeout: member.session_timeout_ms,
            subscription: (&member.subscription[..]).into(),
            assignment: (&member.assignment[..]).into(),
        });
        stored::GroupMetadataValue {
            protocol_type: (&*self.protocol_type).into(),
            generation: self.generation,
            protocol: self.protocol.as_deref().map(Into::into),
            leader: self.leader.as_ref().map(|leader| leader.as_str().into()),
            current_state_timestamp: self.state_time_ms.unwrap_or(-1),
            members: members.collect(),
        }
    }

    fn decode(value: &[u8]) -> Result<ClassicRecord, DecodeError> {
        let mut r = Reader::new(value);
        let (record, _) = stored::GroupMetadataValue::decode_versioned(&mut r)?;
        r.finish()?;
        let members = record.members.iter().map(|member| StoredMember {
            member: MemberId::from(&*member.member_id),
            instance: member.group_instance_id.as_deref().map(InstanceId::from),
            client_id: Arc::from(&*member.client_id),
            client_host: Arc::from(&*member.client_host),
            rebalance_timeout_ms: match member.rebalance_timeout {
                -1 => member.session_timeout,
                timeout_ms => timeout_ms,
            },
            session_timeout_ms: member.session_timeout,
            subscription: Bytes::copy_from_slice(&member.subscription),
            assignment: Bytes::copy_from_slice(&member.assignment),
        });
        Ok(ClassicRecord {
            protocol_type: Arc::from(&*record.protocol_type),
            generation: record.generation,
            protocol: record.protocol.as_deref().map(Arc::from),
            leader: record.leader.as_deref().map(MemberId::from),
            state_time_ms: Some(record.current_state_timestamp).filter(|time| *time != -1),
            members: members.collect(),
        })
    }
}
