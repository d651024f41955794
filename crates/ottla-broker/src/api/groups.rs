//! Groups and their offsets, each asked in the partition of `__consumer_offsets` that it hashes to.
//!
//! Answers leave when what they tell is durable. JoinGroup and SyncGroup may wait for other members:
//! dropping the future gives up waiting, not membership.

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ottla_machine::group::{
    Answer, Command, CommitOffsets, ConnectionId, Coordinator, DeleteOffsets, DeletedTopic,
    DescribedGroup, FetchOffsets, FetchedTopic, GroupId, Heartbeat, Join, Joined, Leave,
    ListFilter, ListedGroup, Plan, Query, Refusal, Request, Sync, Synced, partition_of,
};
use ottla_model::ids::PartitionIndex;
use tokio::sync::oneshot;

use crate::authorize::Permit;
use crate::drive::Driven;
use crate::handle::Broker;
use crate::shard::{Outcome, StorageFault};
use crate::wiring::{CONSUMER_OFFSETS_TOPIC, GroupShard, Tenant};

/// Most groups that a connection is remembered in.
const GROUPS_MAX: usize = 1_000;

/// Why a request to a group has no answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GroupError {
    /// Its coordinator said no.
    Refused(Refusal),
    /// Its coordinator is not open: nobody has asked for one yet, or its storage failed.
    NotHere,
}

/// A client's connection: what it is known by in groups. When it is dropped, the groups that it spoke to
/// are told.
pub struct Session {
    broker: Broker,
    id: ConnectionId,
    /// Groups that members of this connection spoke to.
    groups: Mutex<BTreeSet<GroupId>>,
}

impl Broker {
    /// A session for a connection that was just opened.
    #[must_use]
    pub fn session(&self) -> Session {
        Session {
            broker: self.clone(),
            id: ConnectionId(self.next_session()),
            groups: Mutex::default(),
        }
    }

    /// JoinGroup.
    ///
    /// # Errors
    /// The coordinator's refusal, or that there is none.
    pub async fn join_group(&self, _: &Permit, request: Join) -> Result<Joined, GroupError> {
        let group = request.group.clone();
        match self.ask_group(&group, Request::Join(request)).await? {
            Answer::Joined(joined) => Ok(joined),
            _ => Err(GroupError::NotHere),
        }
    }

    /// SyncGroup.
    ///
    /// # Errors
    /// The coordinator's refusal, or that there is none.
    pub async fn sync_group(&self, _: &Permit, request: Sync) -> Result<Synced, GroupError> {
        let group = request.group.clone();
        match self.ask_group(&group, Request::Sync(request)).await? {
            Answer::Synced(synced) => Ok(synced),
            _ => Err(GroupError::NotHere),
        }
    }

    /// Heartbeat.
    ///
    /// # Errors
    /// The coordinator's refusal, or that there is none.
    pub async fn heartbeat(&self, _: &Permit, request: Heartbeat) -> Result<(), GroupError> {
        let group = request.group.clone();
        self.ask_group(&group, Request::Heartbeat(request)).await?;
        Ok(())
    }

    /// LeaveGroup; one result per member.
    ///
    /// # Errors
    /// The coordinator's refusal, or that there is none.
    pub async fn leave_group(
        &self,
        _: &Permit,
        request: Leave,
    ) -> Result<Vec<Result<(), Refusal>>, GroupError> {
        let group = request.group.clone();
        match self.ask_group(&group, Request::Leave(request)).await? {
            Answer::Left(results) => Ok(results),
            _ => Err(GroupError::NotHere),
        }
    }

    /// OffsetCommit; one result per partition, by topic. The topics exist.
    ///
    /// # Errors
    /// The coordinator's refusal, or that there is none.
    pub async fn commit_offsets(
        &self,
        _: &Permit,
        request: CommitOffsets,
    ) -> Result<Vec<Vec<Result<(), Refusal>>>, GroupError> {
        let group = request.group.clone();
        match self
            .ask_group(&group, Request::CommitOffsets(request))
            .await?
        {
            Answer::Committed(results) => Ok(results),
            _ => Err(GroupError::NotHere),
        }
    }

    /// OffsetFetch.
    ///
    /// # Errors
    /// The coordinator's refusal, or that there is none.
    pub async fn fetch_offsets(
        &self,
        _: &Permit,
        question: FetchOffsets,
    ) -> Result<Vec<FetchedTopic>, GroupError> {
        let group = question.group.clone();
        match self.ask_about(&group, Query::Offsets(question)).await? {
            Plan::Offsets(topics) => Ok(topics),
            _ => Err(GroupError::NotHere),
        }
    }

    /// OffsetDelete; one result per partition, by topic.
    ///
    /// # Errors
    /// The coordinator's refusal, or that there is none.
    pub async fn delete_offsets(
        &self,
        _: &Permit,
        request: DeleteOffsets,
    ) -> Result<Vec<Vec<Result<(), Refusal>>>, GroupError> {
        let group = request.group.clone();
        match self
            .ask_group(&group, Request::DeleteOffsets(request))
            .await?
        {
            Answer::OffsetsDeleted(results) => Ok(results),
            _ => Err(GroupError::NotHere),
        }
    }

    /// DeleteGroups, of one group.
    ///
    /// # Errors
    /// The coordinator's refusal, or that there is none.
    pub async fn delete_group(&self, _: &Permit, group: GroupId) -> Result<(), GroupError> {
        let request = Request::DeleteGroup(group.clone());
        self.ask_group(&group, request).await?;
        Ok(())
    }

    /// DescribeGroups, of one classic group.
    ///
    /// # Errors
    /// The coordinator's refusal, or that there is none.
    pub async fn describe_group(
        &self,
        _: &Permit,
        group: &GroupId,
    ) -> Result<DescribedGroup, GroupError> {
        match self
            .ask_about(group, Query::Describe(group.clone()))
            .await?
        {
            Plan::Described(described) => Ok(described),
            _ => Err(GroupError::NotHere),
        }
    }

    /// ListGroups: those of every coordinator that is open.
    ///
    /// # Errors
    /// A coordinator's refusal.
    pub async fn list_groups(
        &self,
        _: &Permit,
        filter: &ListFilter,
    ) -> Result<Vec<ListedGroup>, GroupError> {
        let mut waiting = Vec::new();
        for shard in self.coordinators() {
            waiting.push(self.submit(&shard, Request::Ask(Query::List(filter.clone()))));
        }
        let mut groups = Vec::new();
        for answer in waiting {
            match receive(answer).await {
                Ok(Answer::Told(Plan::Listed(listed))) => groups.extend(listed),
                // As in Kafka, the groups of one that is closed are missing.
                Ok(_) | Err(GroupError::NotHere) => {}
                Err(refused) => return Err(refused),
            }
        }
        Ok(groups)
    }

    /// Forgets offsets of topics that are gone.
    pub(crate) async fn forget_offsets(&self, topics: Vec<DeletedTopic>) {
        if topics.is_empty() {
            return;
        }
        let coordinators = self.coordinators();
        let waiting: Vec<_> = coordinators
            .iter()
            .map(|shard| self.submit(shard, Request::TopicsDeleted(topics.clone())))
            .collect();
        for answer in waiting {
            // One whose storage failed forgets them when the offsets expire.
            let _ = receive(answer).await;
        }
    }

    pub(super) async fn ask_about(
        &self,
        group: &GroupId,
        query: Query,
    ) -> Result<Plan, GroupError> {
        match self.ask_group(group, Request::Ask(query)).await? {
            Answer::Told(plan) => Ok(plan),
            _ => Err(GroupError::NotHere),
        }
    }

    pub(super) async fn ask_group(
        &self,
        group: &GroupId,
        request: Request,
    ) -> Result<Answer, GroupError> {
        let Some(shard) = self.coordinator(group) else {
            // Nobody coordinates a group without a name, so this is no question of where.
            return Err(match request {
                Request::Join(_)
                | Request::Sync(_)
                | Request::Heartbeat(_)
                | Request::Leave(_)
                | Request::DeleteOffsets(_)
                    if group.is_empty() =>
                {
                    GroupError::Refused(Refusal::InvalidGroupId)
                }
                _ => GroupError::NotHere,
            });
        };
        let answer = self.submit(&shard, request);
        receive(answer).await
    }

    fn submit(
        &self,
        shard: &Arc<Driven<GroupShard>>,
        request: Request,
    ) -> oneshot::Receiver<Outcome<Coordinator>> {
        let (handle, answer) = oneshot::channel();
        let command = Command {
            settings: Arc::clone(self.group_settings()),
            request,
        };
        shard.shard().submit(handle, command);
        self.driver().run(shard);
        answer
    }

    /// The shard that a group hashes to, if it is open.
    fn coordinator(&self, group: &str) -> Option<Arc<Driven<GroupShard>>> {
        let image = self.image();
        let topic = image.topic(CONSUMER_OFFSETS_TOPIC)?;
        let count = i32::try_from(topic.partitions.len()).ok()?;
        let partition = PartitionIndex(partition_of(group, count));
        groups_of(&self.registry().get(topic.id, partition)?.tenant)
    }

    fn coordinators(&self) -> Vec<Arc<Driven<GroupShard>>> {
        let image = self.image();
        let topic = image.topic(CONSUMER_OFFSETS_TOPIC);
        let partitions = topic.into_iter().flat_map(|topic| {
            let indexes = topic.partitions.iter();
            indexes.filter_map(|p| self.registry().get(topic.id, p.index))
        });
        partitions
            .filter_map(|partition| groups_of(&partition.tenant))
            .collect()
    }
}

fn groups_of(tenant: &Tenant) -> Option<Arc<Driven<GroupShard>>> {
    match tenant {
        Tenant::Groups(driven) => Some(Arc::clone(driven)),
        Tenant::Data(_) => None,
    }
}

async fn receive(answer: oneshot::Receiver<Outcome<Coordinator>>) -> Result<Answer, GroupError> {
    match answer.await {
        Ok(Outcome::Answer(answer)) => Ok(answer),
        Ok(Outcome::Refusal(refusal)) => Err(GroupError::Refused(refusal)),
        Ok(Outcome::Fault(fault)) => {
            told(&fault);
            Err(GroupError::NotHere)
        }
        Err(_) => Err(GroupError::NotHere),
    }
}

/// The storage's faults are told by the log; here only what a client was told instead.
fn told(fault: &StorageFault) {
    tracing::debug!(%fault, "a request to a group was not answered");
}

impl Session {
    /// What the connection is known by.
    #[must_use]
    pub fn id(&self) -> ConnectionId {
        self.id
    }

    /// A request of a member of this group. Unless it is refused, the group is told when the connection
    /// is dropped; also if that is while the request waits.
    ///
    /// # Errors
    /// Those of the request.
    pub async fn speak<T>(
        &self,
        group: &GroupId,
        request: impl Future<Output = Result<T, GroupError>>,
    ) -> Result<T, GroupError> {
        let is_new = self.remember(group);
        let answer = request.await;
        let is_member = matches!(
            answer,
            Ok(_) | Err(GroupError::Refused(Refusal::MemberIdRequired(_)))
        );
        if is_new && !is_member {
            self.groups().remove(group);
        }
        answer
    }

    /// True if the group is new to the connection. Anyone can name groups without end, so only so many
    /// are remembered, and none where nobody asks.
    fn remember(&self, group: &GroupId) -> bool {
        if self.broker.group_settings().disconnect_grace_ms.is_none() {
            return false;
        }
        let mut groups = self.groups();
        !groups.contains(group) && groups.len() < GROUPS_MAX && groups.insert(group.clone())
    }

    fn groups(&self) -> MutexGuard<'_, BTreeSet<GroupId>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.broker.group_settings().disconnect_grace_ms.is_none() {
            return;
        }
        let groups = self
            .groups
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        for group in std::mem::take(groups) {
            if let Some(shard) = self.broker.coordinator(&group) {
                let connection = self.id;
                let request = Request::ConnectionClosed { group, connection };
                // Nobody waits for the answer.
                drop(self.broker.submit(&shard, request));
            }
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "session {}", self.id.0)
    }
}
