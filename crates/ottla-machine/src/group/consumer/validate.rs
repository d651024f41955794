//! What is checked of a heartbeat before anybody looks for its group.

use super::assignor::Assignor;
use super::{ConsumerHeartbeat, LEAVES, LEAVES_FOR_A_WHILE};
use crate::group::Refusal;
use crate::group::names::TEXT_BYTES_MAX;

/// Most bytes of names that a member may subscribe to. Kafka's bound is that of the record that they lie
/// in, `max.message.bytes` of the topic.
const SUBSCRIPTION_BYTES_MAX: usize = 1 << 20;

impl ConsumerHeartbeat {
    /// What has to hold wherever the group is (Kafka `throwIfConsumerGroupHeartbeatRequestIsInvalid`).
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self) -> Result<(), Refusal> {
        let request = self;
        let invalid = |why| Err(Refusal::InvalidRequest(why));
        let is_empty = |text: &str| text.trim().is_empty();
        let needs_id = request.makes_own_id || request.epoch > 0 || request.epoch == LEAVES;
        if needs_id && is_empty(&request.member) {
            return invalid("MemberId can't be empty.");
        }
        if is_empty(&request.group) {
            return invalid("GroupId can't be empty.");
        }
        if request.instance.as_deref().is_some_and(is_empty) {
            return invalid("InstanceId can't be empty.");
        }
        if request.rack.as_deref().is_some_and(is_empty) {
            return invalid("RackId can't be empty.");
        }
        match request.epoch {
            0 if request.rebalance_timeout_ms == -1 => {
                return invalid("RebalanceTimeoutMs must be provided in first request.");
            }
            0 if request.owned.as_ref().is_none_or(|owned| !owned.is_empty()) => {
                return invalid("TopicPartitions must be empty when (re-)joining.");
            }
            0 if request.subscribed.is_none() && request.regex.is_none() => {
                return invalid(
                    "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
                );
            }
            LEAVES_FOR_A_WHILE if request.instance.is_none() => {
                return invalid("InstanceId can't be null.");
            }
            epoch if epoch < LEAVES_FOR_A_WHILE => return invalid("MemberEpoch is invalid."),
            _ => {}
        }
        if let Some(assignor) = &request.assignor
            && Assignor::from_name(assignor).is_none()
        {
            return Err(Refusal::UnsupportedAssignor);
        }
        let names = request.subscribed.iter().flatten();
        if names.map(|name| name.len() + 4).sum::<usize>() > SUBSCRIPTION_BYTES_MAX {
            return invalid("SubscribedTopicNames are longer than 1 MiB.");
        }
        // What stands in the keys of records.
        let texts = [&*request.group, &*request.member];
        let optional = [request.regex.as_deref(), request.instance.as_deref()];
        let mut texts = texts.into_iter().chain(optional.into_iter().flatten());
        if texts.any(|text| text.len() > TEXT_BYTES_MAX) {
            return Err(Refusal::TextTooLong);
        }
        Ok(())
    }
}
