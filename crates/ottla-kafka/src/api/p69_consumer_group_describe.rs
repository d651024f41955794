//! ConsumerGroupDescribe (key 69), versions 0 and 1: consumer groups and their members, for admins (KIP-848).
//! 1 tells which protocol each member speaks (KIP-1099).

use ottla_broker::api::{
    DescribedConsumer, DescribedConsumerGroup, GroupError, GroupId, GroupRefusal, NamedPartitions,
};
use ottla_broker::authorize::{Operation, ResourceKind};
use ottla_wire::consumer_group_describe::{
    Assignment, ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, DescribedGroup,
    Member, TopicPartitions,
};
use ottla_wire::{ApiKey, Numbers, Reader};

use super::call::GROUP_OPERATIONS;
use super::{Answering, Call, Handler, Registration};
use crate::error_map::{self, ErrorCode};

pub(super) const API: Registration = Registration {
    key: ApiKey::ConsumerGroupDescribe,
    versions: 0..=1,
    needs: (Operation::Describe, ResourceKind::Group),
    handler: Handler::Alone(handle),
    note: "",
};

/// A member that speaks the classic protocol, and one that speaks the consumer protocol.
const CLASSIC: i8 = 0;
const CONSUMER: i8 = 1;

fn handle<'a>(call: &'a Call<'a>, mut body: Reader<'a>) -> Answering<'a> {
    Box::pin(async move {
        let request = ConsumerGroupDescribeRequest::decode(&mut body, call.version)
            .map_err(|e| call.malformed(e))?;
        let mut groups = Vec::new();
        for id in &request.group_ids {
            let group = GroupId::from(*id);
            let found = if id.is_empty() {
                Err(GroupError::Refused(GroupRefusal::InvalidGroupId))
            } else {
                let permit = &call.permit;
                call.broker().describe_consumer_group(permit, &group).await
            };
            let message = found.as_ref().err().and_then(|error| message(error, id));
            groups.push((*id, found, message));
        }
        let groups = groups.iter().map(|(id, found, message)| match found {
            Ok(found) => DescribedGroup {
                authorized_operations: if request.include_authorized_operations {
                    GROUP_OPERATIONS
                } else {
                    i32::MIN
                },
                ..describe(id, found)
            },
            Err(error) => DescribedGroup {
                group_id: id,
                error_code: error_map::group_error(error).code(),
                error_message: message.as_deref(),
                ..DescribedGroup::default()
            },
        });
        let response = ConsumerGroupDescribeResponse {
            groups: groups.collect(),
            ..ConsumerGroupDescribeResponse::default()
        };
        call.answer(|w, version| response.encode(w, version))
    })
}

fn message(error: &GroupError, id: &str) -> Option<String> {
    match error {
        GroupError::Refused(GroupRefusal::NotConsumerGroup) => {
            Some(format!("Group {id} is not a consumer group."))
        }
        error if error_map::group_error(error) == ErrorCode::GroupIdNotFound => {
            Some(format!("Group {id} not found."))
        }
        _ => None,
    }
}

fn describe<'r>(id: &'r str, found: &'r DescribedConsumerGroup) -> DescribedGroup<'r> {
    DescribedGroup {
        group_id: id,
        group_state: found.state.as_str(),
        group_epoch: found.epoch,
        assignment_epoch: found.target_epoch,
        assignor_name: found.assignor.as_str(),
        members: found.members.iter().map(member).collect(),
        ..DescribedGroup::default()
    }
}

fn member(found: &DescribedConsumer) -> Member<'_> {
    let facts = &found.facts;
    Member {
        member_id: &found.member,
        instance_id: facts.instance.as_deref(),
        rack_id: facts.rack.as_deref(),
        member_epoch: found.epoch,
        client_id: &facts.client_id,
        client_host: &facts.client_host,
        subscribed_topic_names: facts.topics.iter().map(|topic| &**topic).collect(),
        subscribed_topic_regex: Some(&facts.regex),
        assignment: assignment(&found.assigned),
        target_assignment: assignment(&found.target),
        member_type: match facts.classic {
            Some(_) => CLASSIC,
            None => CONSUMER,
        },
    }
}

fn assignment(partitions: &[NamedPartitions]) -> Assignment<'_> {
    let topics = partitions.iter().map(|topic| TopicPartitions {
        topic_id: topic.topic_id,
        topic_name: &topic.name,
        partitions: Numbers::from(&topic.partitions[..]),
    });
    Assignment {
        topic_partitions: topics.collect(),
    }
}
