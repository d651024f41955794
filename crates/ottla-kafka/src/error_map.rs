//! What the broker refuses, as Kafka's error codes: one function per kind of refusal, and no other
//! place of this crate decides on a code for one.
//!
//! Kafka answers `UNKNOWN_SERVER_ERROR` where it met an exception that it did not expect. A Produce
//! never gets that here: clients take it for fatal or retry it for ever.

use ottla_broker::api::{
    AppendRefusal, CatalogError, CatalogRefusal, EpochCheck, FetchRefusal, GroupError,
    GroupRefusal, PartitionRefusal, StorageFault, TopicRefusal,
};
use ottla_codec::{DowngradeError, Rejection, RejectionKind};
use ottla_model::names::TopicNameError;

pub use crate::error_code::ErrorCode;
use crate::fetch_sessions::SessionError;

/// Of a batch that was not taken as one.
#[must_use]
pub fn rejection(rejection: &Rejection) -> ErrorCode {
    match rejection.kind() {
        RejectionKind::InvalidRecord => ErrorCode::InvalidRecord,
        RejectionKind::CorruptMessage => ErrorCode::CorruptMessage,
        RejectionKind::MessageTooLarge => ErrorCode::MessageTooLarge,
        RejectionKind::UnsupportedCompressionType => ErrorCode::UnsupportedCompressionType,
        RejectionKind::InvalidTimestamp => ErrorCode::InvalidTimestamp,
        // Its CRC holds, so sending it again changes nothing: an error that clients do not retry.
        RejectionKind::Undecodable => ErrorCode::InvalidRecord,
    }
}

/// Of an append.
#[must_use]
pub fn append(refusal: &AppendRefusal) -> ErrorCode {
    match refusal {
        AppendRefusal::Refused(refusal) => partition(refusal),
        AppendRefusal::Fault(fault) => storage(fault),
    }
}

/// Of the machine of a partition.
#[must_use]
pub fn partition(refusal: &PartitionRefusal) -> ErrorCode {
    match refusal {
        PartitionRefusal::OutOfOrderSequence { .. } => ErrorCode::OutOfOrderSequenceNumber,
        PartitionRefusal::InvalidProducerEpoch { .. } => ErrorCode::InvalidProducerEpoch,
        PartitionRefusal::InvalidRecord(_) => ErrorCode::InvalidRecord,
        PartitionRefusal::NoOpenTransaction => ErrorCode::InvalidTxnState,
        PartitionRefusal::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
    }
}

/// Of a fetch, in the given version of Fetch: clients of versions up to 5 do not know the storage
/// error and would not try again (Kafka: `maybeDownConvertStorageError`).
#[must_use]
pub fn fetch(refusal: &FetchRefusal, version: i16) -> ErrorCode {
    match refusal {
        FetchRefusal::OutOfRange => ErrorCode::OffsetOutOfRange,
        FetchRefusal::Gone => ErrorCode::UnknownTopicOrPartition,
        // Clients hand this one to the application, where the storage error would be retried in
        // silence although these bytes will never be readable again.
        FetchRefusal::Damaged(_) => ErrorCode::CorruptMessage,
        FetchRefusal::Fault(_) => storage_of_fetch(version),
    }
}

/// Of a storage that failed, or that was deleted while its client waited.
#[must_use]
pub fn storage(fault: &StorageFault) -> ErrorCode {
    if fault.is_deletion() {
        ErrorCode::UnknownTopicOrPartition
    } else {
        ErrorCode::KafkaStorageError
    }
}

/// Of a request that continues a fetch session.
#[must_use]
pub(crate) fn fetch_session(error: SessionError) -> ErrorCode {
    match error {
        SessionError::IdNotFound => ErrorCode::FetchSessionIdNotFound,
        SessionError::InvalidEpoch => ErrorCode::InvalidFetchSessionEpoch,
        SessionError::TopicId => ErrorCode::FetchSessionTopicIdError,
    }
}

/// Of batches that have no old form.
#[must_use]
pub fn downgrade(error: &DowngradeError) -> ErrorCode {
    match error {
        DowngradeError::Zstd => ErrorCode::UnsupportedCompressionType,
        DowngradeError::Crc | DowngradeError::Decompress(_) | DowngradeError::Record(_) => {
            ErrorCode::CorruptMessage
        }
    }
}

/// The storage error, as a version of Fetch can say it.
#[must_use]
pub fn storage_of_fetch(version: i16) -> ErrorCode {
    if version <= 5 {
        ErrorCode::NotLeaderOrFollower
    } else {
        ErrorCode::KafkaStorageError
    }
}

/// Of a client's idea of the leader's epoch; `None` if that is no error.
#[must_use]
pub fn epoch(check: EpochCheck) -> Option<ErrorCode> {
    match check {
        EpochCheck::Current => None,
        EpochCheck::Fenced => Some(ErrorCode::FencedLeaderEpoch),
        EpochCheck::Unknown => Some(ErrorCode::UnknownLeaderEpoch),
    }
}

/// Of a whole request to the catalog.
#[must_use]
pub fn catalog(error: &CatalogError) -> ErrorCode {
    match error {
        CatalogError::Refused(CatalogRefusal::NotRegistered(_)) => ErrorCode::BrokerIdNotRegistered,
        CatalogError::Refused(CatalogRefusal::TooManyPartitions) => ErrorCode::PolicyViolation,
        CatalogError::Refused(CatalogRefusal::ProducerIdsExhausted) => {
            ErrorCode::UnknownServerError
        }
        CatalogError::Fault(_) => ErrorCode::KafkaStorageError,
    }
}

/// Of a request for a producer id: Kafka's coordinator says that it is loading as long as it cannot
/// get a block of ids, and that is what clients retry.
#[must_use]
pub fn producer_id(error: &CatalogError) -> ErrorCode {
    match error {
        CatalogError::Fault(_) => ErrorCode::CoordinatorLoadInProgress,
        refused => catalog(refused),
    }
}

/// Of one topic of a request to the catalog.
#[must_use]
pub fn topic(refusal: &TopicRefusal) -> ErrorCode {
    match refusal {
        TopicRefusal::AlreadyExists(_) => ErrorCode::TopicAlreadyExists,
        TopicRefusal::Collides { .. } => ErrorCode::InvalidTopicException,
        TopicRefusal::Prohibited | TopicRefusal::AssignmentsAndCounts => ErrorCode::InvalidRequest,
        TopicRefusal::InvalidPartitions(_) => ErrorCode::InvalidPartitions,
        TopicRefusal::InvalidReplicationFactor(_) => ErrorCode::InvalidReplicationFactor,
        TopicRefusal::InvalidAssignment(_) => ErrorCode::InvalidReplicaAssignment,
        TopicRefusal::InvalidConfig(_) => ErrorCode::InvalidConfig,
        TopicRefusal::UnknownName(_) => ErrorCode::UnknownTopicOrPartition,
        TopicRefusal::UnknownId(_) => ErrorCode::UnknownTopicId,
    }
}

/// Of a group's coordinator.
#[must_use]
pub fn group(refusal: &GroupRefusal) -> ErrorCode {
    match refusal {
        GroupRefusal::InvalidGroupId => ErrorCode::InvalidGroupId,
        GroupRefusal::TextTooLong | GroupRefusal::InvalidRequest(_) => ErrorCode::InvalidRequest,
        GroupRefusal::InvalidSessionTimeout => ErrorCode::InvalidSessionTimeout,
        GroupRefusal::MemberIdRequired(_) => ErrorCode::MemberIdRequired,
        GroupRefusal::UnknownMember | GroupRefusal::UnknownInstance | GroupRefusal::Removed => {
            ErrorCode::UnknownMemberId
        }
        GroupRefusal::UnreleasedInstance => ErrorCode::UnreleasedInstanceId,
        GroupRefusal::FencedEpoch(_) => ErrorCode::FencedMemberEpoch,
        GroupRefusal::StaleEpoch => ErrorCode::StaleMemberEpoch,
        GroupRefusal::CommitTooOld => ErrorCode::UnsupportedVersion,
        GroupRefusal::UnsupportedAssignor => ErrorCode::UnsupportedAssignor,
        GroupRefusal::InvalidRegex(_) => ErrorCode::InvalidRegularExpression,
        GroupRefusal::AssignorFailed => ErrorCode::UnknownServerError,
        GroupRefusal::FencedInstance | GroupRefusal::Replaced(_) => ErrorCode::FencedInstanceId,
        GroupRefusal::IllegalGeneration => ErrorCode::IllegalGeneration,
        GroupRefusal::RebalanceInProgress => ErrorCode::RebalanceInProgress,
        GroupRefusal::InconsistentProtocol => ErrorCode::InconsistentGroupProtocol,
        GroupRefusal::GroupFull => ErrorCode::GroupMaxSizeReached,
        GroupRefusal::GroupNotFound
        | GroupRefusal::NotClassicGroup
        | GroupRefusal::CannotUpgrade(_)
        | GroupRefusal::NotConsumerGroup => ErrorCode::GroupIdNotFound,
        GroupRefusal::NonEmptyGroup => ErrorCode::NonEmptyGroup,
        GroupRefusal::OffsetMetadataTooLarge => ErrorCode::OffsetMetadataTooLarge,
        GroupRefusal::CommitTooLarge => ErrorCode::InvalidCommitOffsetSize,
        GroupRefusal::UnstableOffset => ErrorCode::UnstableOffsetCommit,
        GroupRefusal::GroupSubscribed => ErrorCode::GroupSubscribedToTopic,
    }
}

/// Of a request to a group: whoever finds no coordinator asks who it is, and comes again.
#[must_use]
pub fn group_error(error: &GroupError) -> ErrorCode {
    match error {
        GroupError::Refused(refusal) => group(refusal),
        GroupError::NotHere => ErrorCode::NotCoordinator,
    }
}

/// Of an OffsetCommit, in its version: before 9 a group that is not there has another generation.
#[must_use]
pub fn commit(error: &GroupError, version: i16) -> ErrorCode {
    match group_error(error) {
        ErrorCode::GroupIdNotFound if version < 9 => ErrorCode::IllegalGeneration,
        code => code,
    }
}

/// Of a name that no topic can have.
#[must_use]
pub fn topic_name(_: &TopicNameError) -> ErrorCode {
    ErrorCode::InvalidTopicException
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_that_is_deleted_under_a_waiting_request_is_unknown_and_no_fault() {
        let deleted = AppendRefusal::Fault(StorageFault::topic_deleted());
        assert_eq!(append(&deleted), ErrorCode::UnknownTopicOrPartition);
        let failed = AppendRefusal::Fault(StorageFault::closed("a sync failed"));
        assert_eq!(append(&failed), ErrorCode::KafkaStorageError);
    }
}
