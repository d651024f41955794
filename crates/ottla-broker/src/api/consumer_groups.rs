//! Consumer groups (KIP-848): what `groups.rs` does for all groups, for what only they have.

use ottla_machine::group::{
    Answer, ConsumerBeat, ConsumerHeartbeat, DescribedConsumerGroup, GroupId, Plan, Query, Request,
};

use super::GroupError;
use crate::authorize::Permit;
use crate::handle::Broker;

impl Broker {
    /// ConsumerGroupHeartbeat. May wait until it is computed what the members are to have: dropping the future
    /// gives up waiting, not membership.
    ///
    /// # Errors
    /// The coordinator's refusal, or that there is none.
    pub async fn consumer_heartbeat(
        &self,
        _: &Permit,
        request: ConsumerHeartbeat,
    ) -> Result<ConsumerBeat, GroupError> {
        // As in Kafka, before it matters where the group is.
        request.check().map_err(GroupError::Refused)?;
        let group = request.group.clone();
        let request = Request::ConsumerHeartbeat(request);
        match self.ask_group(&group, request).await? {
            Answer::Beat(beat) => Ok(beat),
            _ => Err(GroupError::NotHere),
        }
    }

    /// ConsumerGroupDescribe, of one group.
    ///
    /// # Errors
    /// The coordinator's refusal, or that there is none.
    pub async fn describe_consumer_group(
        &self,
        _: &Permit,
        group: &GroupId,
    ) -> Result<DescribedConsumerGroup, GroupError> {
        let query = Query::DescribeConsumer {
            group: group.clone(),
            topics: self.group_topics(),
        };
        match self.ask_about(group, query).await? {
            Plan::DescribedConsumer(described) => Ok(described),
            _ => Err(GroupError::NotHere),
        }
    }
}
