//! Whether a partition that is asked for can be read at all, before anything is read.

use ottla_broker::api::{Image, PartitionRef};
use ottla_model::ids::{LeaderEpoch, PartitionIndex};
use ottla_model::marks::Marks;
use ottla_model::names::TopicName;
use ottla_wire::fetch::EpochEndOffset;

use super::old_formats;
use crate::api::Call;
use crate::error_map::{self, ErrorCode};
use crate::fetch_sessions::{Asked, Due, TopicKey};

pub(super) enum Judged {
    /// There is no such partition.
    Unknown(ErrorCode),
    /// There is, and it cannot be read so; with the leader's epoch if the client is behind it.
    Refused(ErrorCode, Option<LeaderEpoch>),
    Diverging(EpochEndOffset, Marks),
    Readable(PartitionRef),
}

/// Judges a partition. Also the name of the topic that its id stands for, as soon as there is one: a
/// session holds on to it, and so tells a topic that was deleted (its name is unknown) or created anew
/// (its id is another) from an id that never was (Kafka `CachedPartition.maybeResolveUnknownName`).
pub(super) fn judge(
    call: &Call<'_>,
    image: &Image,
    is_follower: bool,
    due: &Due,
) -> (Judged, Option<TopicName>) {
    let asked = &due.asked;
    let unknown = Judged::Unknown(ErrorCode::UnknownTopicOrPartition);
    let (topic, id) = match (&asked.topic, &due.name) {
        (TopicKey::Name(name), _) => (image.topic(name), None),
        (TopicKey::Id(id), Some(name)) => (image.topic(name.as_str()), Some(*id)),
        (TopicKey::Id(id), None) => match image.topic_by_id(*id) {
            None => return (Judged::Unknown(ErrorCode::UnknownTopicId), None),
            found => (found, Some(*id)),
        },
    };
    let Some(topic) = topic else {
        return (unknown, None);
    };
    let name = Some(topic.name.clone());
    let index = PartitionIndex(asked.partition);
    if topic.partition(index).is_none() {
        return (unknown, name);
    }
    if id.is_some_and(|id| id != topic.id) {
        let judged = Judged::Refused(ErrorCode::InconsistentTopicId, None);
        return (judged, name);
    }
    if let Some(code) = old_formats::refusal(topic, call.version) {
        return (Judged::Refused(code, None), name);
    }
    let open = call.broker().partition(topic.id, index);
    let Some(partition) = open.filter(|_| !is_follower) else {
        return (Judged::Refused(ErrorCode::NotLeaderOrFollower, None), name);
    };
    if let Some(code) =
        // Anything below 0 is none here, unlike in other APIs (Kafka: `FetchRequest.optionalEpoch`).
        error_map::epoch(
            partition.check_epoch(LeaderEpoch(asked.current_leader_epoch.max(-1))),
        )
    {
        let current = (code == ErrorCode::FencedLeaderEpoch).then(|| partition.leader_epoch());
        return (Judged::Refused(code, current), name);
    }
    let judged = match diverging(call, &partition, asked) {
        Some(judged) => judged,
        None => Judged::Readable(partition),
    };
    (judged, name)
}

/// Whether the client's log, whose last record has the epoch that it names, is one that this log
/// continues (Kafka `Partition.readRecords`).
fn diverging(call: &Call<'_>, partition: &PartitionRef, asked: &Asked) -> Option<Judged> {
    if asked.last_fetched_epoch < 0 {
        return None;
    }
    let out_of_range = Judged::Refused(ErrorCode::OffsetOutOfRange, None);
    let Some(end) = call.broker().epoch_end(
        &call.permit,
        partition,
        LeaderEpoch(asked.last_fetched_epoch),
    ) else {
        return Some(out_of_range);
    };
    let marks = partition.marks();
    if asked.fetch_offset < marks.log_start.0 {
        return Some(out_of_range);
    }
    (end.leader_epoch.0 < asked.last_fetched_epoch || end.end.0 < asked.fetch_offset).then(|| {
        Judged::Diverging(
            EpochEndOffset {
                epoch: end.leader_epoch.0,
                end_offset: end.end.0,
            },
            marks,
        )
    })
}
