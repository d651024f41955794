//! Why a coordinator refuses.

use alloc::sync::Arc;
use core::fmt;

use super::MemberId;

/// Why a coordinator refuses a request, or a part of it. In brackets, what Kafka calls it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The empty group id may only hold offsets (`INVALID_GROUP_ID`).
    InvalidGroupId,
    /// A field is not as it has to be (`INVALID_REQUEST`).
    InvalidRequest(&'static str),
    /// A name is longer than a record can hold (`INVALID_REQUEST`).
    TextTooLong,
    /// The session timeout is outside of what the broker allows (`INVALID_SESSION_TIMEOUT`).
    InvalidSessionTimeout,
    /// A new member has to come again with this id (`MEMBER_ID_REQUIRED`, KIP-394).
    MemberIdRequired(MemberId),
    /// The group knows no such member, or there is no such group (`UNKNOWN_MEMBER_ID`).
    UnknownMember,
    /// The member was removed while it waited for the group (`UNKNOWN_MEMBER_ID`).
    Removed,
    /// Another member has the instance id by now (`FENCED_INSTANCE_ID`).
    FencedInstance,
    /// Another member took the instance id over while this one waited; it had this member id
    /// (`FENCED_INSTANCE_ID`).
    Replaced(MemberId),
    /// Nobody has the instance id (`UNKNOWN_MEMBER_ID`).
    UnknownInstance,
    /// The instance id is another member's, who has not left (`UNRELEASED_INSTANCE_ID`).
    UnreleasedInstance,
    /// The epoch is not the member's, which is this: it has to give up all it has and join again
    /// (`FENCED_MEMBER_EPOCH`).
    FencedEpoch(i32),
    /// The member has another epoch by now (`STALE_MEMBER_EPOCH`).
    StaleEpoch,
    /// Members of consumer groups commit with version 9 or later (`UNSUPPORTED_VERSION`).
    CommitTooOld,
    /// There is no such assignor (`UNSUPPORTED_ASSIGNOR`).
    UnsupportedAssignor,
    /// The regular expression does not compile, or is one too many, and why (`INVALID_REGULAR_EXPRESSION`).
    InvalidRegex(Arc<str>),
    /// The assignor failed (`UNKNOWN_SERVER_ERROR`).
    AssignorFailed,
    /// The group is a consumer group (`GROUP_ID_NOT_FOUND`).
    NotClassicGroup,
    /// The group is a classic one and cannot become a consumer group, and why (`GROUP_ID_NOT_FOUND`).
    CannotUpgrade(&'static str),
    /// The group is a classic one (`GROUP_ID_NOT_FOUND`).
    NotConsumerGroup,
    /// The generation is not the group's (`ILLEGAL_GENERATION`).
    IllegalGeneration,
    /// The group is rebalancing: join again (`REBALANCE_IN_PROGRESS`).
    RebalanceInProgress,
    /// No assignor would be left that all members know, or the group is of another kind
    /// (`INCONSISTENT_GROUP_PROTOCOL`).
    InconsistentProtocol,
    /// The group is full (`GROUP_MAX_SIZE_REACHED`).
    GroupFull,
    /// There is no such group (`GROUP_ID_NOT_FOUND`).
    GroupNotFound,
    /// The group has members (`NON_EMPTY_GROUP`).
    NonEmptyGroup,
    /// The text committed with an offset is too long (`OFFSET_METADATA_TOO_LARGE`).
    OffsetMetadataTooLarge,
    /// All offsets of a commit together are larger than a record batch may be
    /// (`INVALID_COMMIT_OFFSET_SIZE`; Kafka: `UNKNOWN_SERVER_ERROR`).
    CommitTooLarge,
    /// A transaction has not decided on the offset yet (`UNSTABLE_OFFSET_COMMIT`, KIP-447).
    UnstableOffset,
    /// Members of the group subscribe to the topic (`GROUP_SUBSCRIBED_TO_TOPIC`).
    GroupSubscribed,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InvalidGroupId => "the group id is empty",
            Self::InvalidRequest(why) => why,
            Self::TextTooLong => "a name is longer than 32 KB",
            Self::InvalidSessionTimeout => {
                "the session timeout is outside of group.min.session.timeout.ms and group.max.session.timeout.ms"
            }
            Self::MemberIdRequired(member) => {
                return write!(f, "join again with the member id {member}");
            }
            Self::UnknownMember => "the group knows no such member",
            Self::Removed => "the member was removed while it waited",
            Self::FencedInstance => "another member has the instance id by now",
            Self::Replaced(member) => {
                return write!(f, "another member took the instance id of {member} over");
            }
            Self::UnknownInstance => "nobody has the instance id",
            Self::UnreleasedInstance => "another member has the instance id and has not left",
            Self::FencedEpoch(_) => "the member has to give up all partitions and join again",
            Self::StaleEpoch => "the member has another epoch by now",
            Self::CommitTooOld => {
                "members of consumer groups commit with version 9 of OffsetCommit or later"
            }
            Self::UnsupportedAssignor => "there is no such assignor",
            Self::InvalidRegex(why) => return f.write_str(why),
            Self::AssignorFailed => "the assignor failed",
            Self::NotClassicGroup => "the group is not a classic group",
            Self::CannotUpgrade(why) => why,
            Self::NotConsumerGroup => "the group is not a consumer group",
            Self::IllegalGeneration => "the generation is not the group's",
            Self::RebalanceInProgress => "the group is rebalancing",
            Self::InconsistentProtocol => {
                "the group is of another kind, or has no assignor in common with the member"
            }
            Self::GroupFull => "the group is full",
            Self::GroupNotFound => "there is no such group",
            Self::NonEmptyGroup => "the group has members",
            Self::OffsetMetadataTooLarge => {
                "the text committed with an offset is longer than offset.metadata.max.bytes"
            }
            Self::CommitTooLarge => "the offsets committed at once are larger than a record batch may be",
            Self::UnstableOffset => "a transaction has not decided on the offset yet",
            Self::GroupSubscribed => "members of the group subscribe to the topic",
        })
    }
}

impl core::error::Error for Refusal {}
