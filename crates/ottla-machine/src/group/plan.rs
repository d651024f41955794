//! Questions that change nothing: ListGroups, DescribeGroups, OffsetFetch.
//!
//! As a plan they show the state as replayed. Asked as a command ([`Request::Ask`](super::Request::Ask))
//! the answer leaves when what it shows is durable.

use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;
use ottla_model::ids::Offset;

use super::classic::CONSUMER;
use super::consumer::DescribedConsumerGroup;
use super::consumer::topics::Topics;
use super::offsets::{FetchOffsets, FetchedTopic};
use super::{
    Answer, Coordinator, GroupId, GroupState, GroupType, InstanceId, Kind, MemberId, Refusal,
};
use crate::contract::{Decision, Reply, Ticket, Wait};

/// A question to a coordinator.
#[derive(Clone, Debug)]
pub enum Query {
    /// What a group committed.
    Offsets(FetchOffsets),
    /// A classic group and its members.
    Describe(GroupId),
    /// A consumer group and its members.
    DescribeConsumer {
        /// The group.
        group: GroupId,
        /// The topics that there are.
        topics: Arc<dyn Topics>,
    },
    /// Which groups there are.
    List(ListFilter),
}

/// Which groups to list.
#[derive(Clone, Default, Debug)]
pub struct ListFilter {
    /// Those in one of these states; `None`: in any.
    pub states: Option<Vec<GroupState>>,
    /// Those of one of these types; `None`: of any.
    pub types: Option<Vec<GroupType>>,
}

/// The answer to a question.
#[derive(Clone, PartialEq, Debug)]
pub enum Plan {
    /// To [`Query::Offsets`].
    Offsets(Vec<FetchedTopic>),
    /// To [`Query::Describe`].
    Described(DescribedGroup),
    /// To [`Query::DescribeConsumer`].
    DescribedConsumer(DescribedConsumerGroup),
    /// To [`Query::List`].
    Listed(Vec<ListedGroup>),
}

/// A group in a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListedGroup {
    /// Its id.
    pub group: GroupId,
    /// What kind of members it has; empty if it never had one.
    pub protocol_type: Arc<str>,
    /// Where it stands.
    pub state: GroupState,
    /// Which protocol it speaks.
    pub group_type: GroupType,
}

/// A classic group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DescribedGroup {
    /// Where it stands.
    pub state: GroupState,
    /// What kind of members it has; empty if it never had one.
    pub protocol_type: Arc<str>,
    /// The assignor that was chosen; empty while the group is not stable.
    pub protocol: Arc<str>,
    /// Its members.
    pub members: Vec<DescribedMember>,
}

/// A member of a classic group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DescribedMember {
    /// Its id.
    pub member: MemberId,
    /// Its instance.
    pub instance: Option<InstanceId>,
    /// `client.id`.
    pub client_id: Arc<str>,
    /// Where the client is.
    pub client_host: Arc<str>,
    /// What it told the chosen assignor; empty while the group is not stable.
    pub metadata: Bytes,
    /// What it was assigned.
    pub assignment: Bytes,
}

impl Coordinator {
    pub(super) fn decide_ask(&self, to: Ticket, query: &Query, out: &mut Decision<Self>) {
        let saw = match query {
            Query::Offsets(question) => {
                let group = self.groups.get(&question.group);
                group.map(|group| group.position.max(group.offsets.position()))
            }
            Query::Describe(group) | Query::DescribeConsumer { group, .. } => self.position(group),
            Query::List(_) => self.positions(),
        };
        out.replies.push(Reply {
            to,
            value: self.plan_query(query).map(Answer::Told),
            saw,
            wait: Wait::Durable,
        });
    }

    pub(super) fn plan_query(&self, query: &Query) -> Result<Plan, Refusal> {
        match query {
            Query::Offsets(question) => self.plan_offsets(question).map(Plan::Offsets),
            Query::Describe(group) => self.plan_describe(group).map(Plan::Described),
            Query::DescribeConsumer { group, topics } => {
                let found = self.groups.get(group).ok_or(Refusal::GroupNotFound)?;
                match &found.kind {
                    Kind::Consumer(group) => Ok(Plan::DescribedConsumer(group.describe(&**topics))),
                    Kind::Classic { .. } => Err(Refusal::NotConsumerGroup),
                }
            }
            Query::List(filter) => Ok(Plan::Listed(self.plan_list(filter))),
        }
    }

    fn plan_describe(&self, group: &GroupId) -> Result<DescribedGroup, Refusal> {
        let group = self.groups.get(group).ok_or(Refusal::GroupNotFound)?;
        match &group.kind {
            Kind::Classic { live, .. } => Ok(live.describe()),
            Kind::Consumer(_) => Err(Refusal::NotClassicGroup),
        }
    }

    fn plan_list(&self, filter: &ListFilter) -> Vec<ListedGroup> {
        let groups = self.groups.iter().map(|(id, group)| ListedGroup {
            group: id.clone(),
            protocol_type: match &group.kind {
                Kind::Classic { live, .. } => live.protocol_type(),
                Kind::Consumer(_) => Arc::from(CONSUMER),
            },
            state: group.kind.state(),
            group_type: group.kind.group_type(),
        });
        let is_asked_for = |group: &ListedGroup| {
            let states = filter.states.as_ref();
            let types = filter.types.as_ref();
            states.is_none_or(|states| states.contains(&group.state))
                && types.is_none_or(|types| types.contains(&group.group_type))
        };
        groups.filter(is_asked_for).collect()
    }

    /// End of the newest record about any group that there is.
    fn positions(&self) -> Option<Offset> {
        let positions = self.groups.values().map(|group| group.position);
        positions.max()
    }
}
