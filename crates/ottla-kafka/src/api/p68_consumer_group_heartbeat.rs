//! ConsumerGroupHeartbeat (key 68), versions 0 and 1: a member joins, stays in or leaves a consumer group
//! (KIP-848), and hears what it is to have.
//!
//! In 1 members make their own ids (KIP-1082), and may subscribe by a regular expression. A heartbeat that
//! changes what members are to have is answered when that is computed.

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_broker::api::{
    ConsumerHeartbeat, GroupError, GroupId, GroupRefusal, InstanceId, MemberId, check_topic_regex,
};
use ottla_broker::authorize::{Operation, ResourceKind};
use ottla_wire::consumer_group_heartbeat::{
    Assignment, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, TopicPartitions,
};
use ottla_wire::{ApiKey, Reader};

use super::call::host;
use super::{Answering, Call, Handler, Registration};
use crate::error_map;

pub(super) const API: Registration = Registration {
    key: ApiKey::ConsumerGroupHeartbeat,
    versions: 0..=1,
    needs: (Operation::Read, ResourceKind::Group),
    handler: Handler::Alone(handle),
    note: "",
};

/// From this version on members make their own ids.
const OWN_IDS: i16 = 1;

fn handle<'a>(call: &'a Call<'a>, mut body: Reader<'a>) -> Answering<'a> {
    Box::pin(async move {
        let request = ConsumerGroupHeartbeatRequest::decode(&mut body, call.version)
            .map_err(|e| call.malformed(e))?;
        let heartbeat = heartbeat(call, &request);
        let group = heartbeat.group.clone();
        let beating = call.broker().consumer_heartbeat(&call.permit, heartbeat);
        let beat = call
            .unless_hurried(call.session.speak(&group, beating))
            .await;
        let beat = match beat {
            Ok(beat) => beat,
            Err(error) => {
                let message = message(&error, &request);
                let response = ConsumerGroupHeartbeatResponse {
                    error_code: error_map::group_error(&error).code(),
                    error_message: message.as_deref(),
                    ..ConsumerGroupHeartbeatResponse::default()
                };
                return call.answer(|w, version| response.encode(w, version));
            }
        };
        let assignment = beat.assignment.as_ref().map(|current| {
            let topics = current.assigned.iter();
            let topics = topics.map(|(topic, partitions)| TopicPartitions {
                topic_id: *topic,
                partitions: partitions.keys().copied().collect(),
            });
            Assignment {
                topic_partitions: topics.collect(),
            }
        });
        let response = ConsumerGroupHeartbeatResponse {
            member_id: Some(&beat.member),
            member_epoch: beat.epoch,
            heartbeat_interval_ms: beat.heartbeat_interval_ms,
            assignment,
            ..ConsumerGroupHeartbeatResponse::default()
        };
        call.answer(|w, version| response.encode(w, version))
    })
}

fn heartbeat(call: &Call<'_>, request: &ConsumerGroupHeartbeatRequest<'_>) -> ConsumerHeartbeat {
    let text = |text: Option<&str>| text.map(Arc::from);
    let regex = request.subscribed_topic_regex;
    let fault = regex
        .filter(|regex| !regex.is_empty())
        .and_then(|regex| Some((regex, check_topic_regex(regex).err()?)));
    let owned = request.topic_partitions.as_ref().map(|topics| {
        let mut owned = BTreeMap::<_, Vec<i32>>::new();
        for topic in topics {
            // A topic may be named more than once.
            let of = owned.entry(topic.topic_id).or_default();
            of.extend(topic.partitions.iter());
        }
        owned
    });
    let names = request.subscribed_topic_names.as_ref();
    ConsumerHeartbeat {
        group: GroupId::from(request.group_id),
        member: MemberId::from(request.member_id),
        makes_own_id: call.version >= OWN_IDS,
        epoch: request.member_epoch,
        instance: request.instance_id.map(InstanceId::from),
        rack: text(request.rack_id),
        rebalance_timeout_ms: request.rebalance_timeout_ms,
        subscribed: names.map(|names| names.iter().copied().map(Arc::from).collect()),
        regex: text(regex),
        regex_fault: fault.map(|(regex, why)| {
            Arc::from(format!(
                "SubscribedTopicRegex `{regex}` is not a valid regular expression: {why}."
            ))
        }),
        assignor: text(request.server_assignor),
        owned,
        client_id: Arc::from(call.client_id.unwrap_or_default()),
        client_host: Arc::from(host(call.peer.remote)),
        connection: call.session.id(),
        topics: call.broker().group_topics(),
    }
}

/// What the client is told beside the code: in Kafka's words where they name no other member.
fn message(error: &GroupError, request: &ConsumerGroupHeartbeatRequest<'_>) -> Option<String> {
    let GroupError::Refused(refusal) = error else {
        return None;
    };
    let (group, member) = (request.group_id, request.member_id);
    Some(match refusal {
        GroupRefusal::GroupNotFound if request.member_epoch < 0 => {
            format!("Group {group} not found.")
        }
        GroupRefusal::GroupNotFound => format!("Consumer group {group} not found."),
        GroupRefusal::NotConsumerGroup => format!("Group {group} is not a consumer group."),
        GroupRefusal::CannotUpgrade(why) => {
            format!("Cannot upgrade classic group {group} to consumer group because {why}.")
        }
        GroupRefusal::UnknownMember => {
            format!("Member {member} is not a member of group {group}.")
        }
        GroupRefusal::UnknownInstance => {
            format!(
                "Instance id {} is unknown.",
                request.instance_id.unwrap_or_default()
            )
        }
        GroupRefusal::UnsupportedAssignor => {
            let assignor = request.server_assignor.unwrap_or_default();
            format!(
                "ServerAssignor {assignor} is not supported. Supported assignors: uniform, range."
            )
        }
        GroupRefusal::FencedEpoch(known) => {
            let epoch = request.member_epoch;
            let how = if epoch > *known { "greater" } else { "smaller" };
            format!(
                "The consumer group member has a {how} member epoch ({epoch}) than the one known by the group coordinator ({known}). The member must abandon all its partitions and rejoin."
            )
        }
        other => other.to_string(),
    })
}
