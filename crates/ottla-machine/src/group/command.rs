//! What a coordinator is asked, what it answers, and its volatile events.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;
use ottla_model::time::MonoMs;
use ottla_model::uuid::Uuid;

use super::classic::Classic;
use super::consumer::assignor::{Assignor, AssignorInput, GroupAssignment};
use super::consumer::topics::Topics;
use super::consumer::{Change, ConsumerBeat, ConsumerHeartbeat};
use super::{ConnectionId, GroupId, InstanceId, MemberId, Plan, Query, Refusal, Settings};

/// What a coordinator is asked, and the settings that hold for it.
#[derive(Clone, Debug)]
pub struct Command {
    /// The broker's; the same `Arc` each time, so that passing it on costs nothing.
    pub settings: Arc<Settings>,
    /// What is asked.
    pub request: Request,
}

/// What a coordinator is asked.
#[derive(Clone, Debug)]
pub enum Request {
    /// Nothing: brings the settings after a start, so that time may pass.
    Begin,
    /// Become or stay a member of a classic group. Answered when the group's rebalance is.
    Join(Join),
    /// Bring or fetch the assignment of a generation. Answered when the leader brought it.
    Sync(Sync),
    /// A member of a classic group is alive.
    Heartbeat(Heartbeat),
    /// Members of a classic group leave.
    Leave(Leave),
    /// Become, stay or stop being a member of a consumer group (KIP-848). Answered when what the member is
    /// to have is known.
    ConsumerHeartbeat(ConsumerHeartbeat),
    /// Commit offsets.
    CommitOffsets(CommitOffsets),
    /// Forget committed offsets (KIP-496).
    DeleteOffsets(DeleteOffsets),
    /// Delete a group that has no members (KIP-229).
    DeleteGroup(GroupId),
    /// A question, answered when what the answer shows is durable.
    Ask(Query),
    /// These topics are gone: forget their offsets.
    TopicsDeleted(Vec<DeletedTopic>),
    /// The outcome of [`Effect::Assign`].
    Assigned(Assigned),
    /// The outcome of [`Effect::ResolveRegexes`].
    RegexesResolved(RegexesResolved),
    /// A connection closed over which members of this group spoke last.
    ConnectionClosed {
        /// The group.
        group: GroupId,
        /// The connection.
        connection: ConnectionId,
    },
}

/// JoinGroup.
#[derive(Clone, Debug)]
pub struct Join {
    /// The group.
    pub group: GroupId,
    /// Empty: a new member, or a static one that lost its id.
    pub member: MemberId,
    /// Makes the member static.
    pub instance: Option<InstanceId>,
    /// `client.id`, the first part of a new member's id.
    pub client_id: Arc<str>,
    /// Where the client is, as Kafka writes it: `/127.0.0.1`.
    pub client_host: Arc<str>,
    /// The connection that it came over.
    pub connection: ConnectionId,
    /// The member is gone if nothing is heard of it for so long.
    pub session_timeout_ms: i32,
    /// How long a rebalance waits for the member.
    pub rebalance_timeout_ms: i32,
    /// What kind of group it is, `consumer` or `connect`.
    pub protocol_type: Arc<str>,
    /// The assignors that the member knows, the best first, and what it tells each of them.
    pub protocols: Vec<Protocol>,
    /// A new dynamic member is told its id and has to come again with it (KIP-394).
    pub member_id_required: bool,
    /// The member understands that a leader may be asked to assign nothing (KIP-814).
    pub may_skip_assignment: bool,
    /// The topics that there are.
    pub topics: Arc<dyn Topics>,
}

/// An assignor that a member knows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Protocol {
    /// Its name.
    pub name: Arc<str>,
    /// What the member tells it: for `consumer` its subscription. Opaque to the broker.
    pub metadata: Bytes,
}

/// SyncGroup.
#[derive(Clone, Debug)]
pub struct Sync {
    /// The group.
    pub group: GroupId,
    /// The member.
    pub member: MemberId,
    /// Its instance.
    pub instance: Option<InstanceId>,
    /// The generation that it joined.
    pub generation: i32,
    /// What kind of group it takes it for, if it says so (KIP-559).
    pub protocol_type: Option<Arc<str>>,
    /// The assignor that it takes for chosen, if it says so.
    pub protocol: Option<Arc<str>>,
    /// From the leader: what each member gets.
    pub assignments: Vec<(MemberId, Bytes)>,
    /// The connection that it came over.
    pub connection: ConnectionId,
    /// The topics that there are.
    pub topics: Arc<dyn Topics>,
}

/// Heartbeat.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    /// The group.
    pub group: GroupId,
    /// The member.
    pub member: MemberId,
    /// Its instance.
    pub instance: Option<InstanceId>,
    /// The generation that it joined.
    pub generation: i32,
    /// The connection that it came over.
    pub connection: ConnectionId,
}

/// LeaveGroup.
#[derive(Clone, Debug)]
pub struct Leave {
    /// The group.
    pub group: GroupId,
    /// Who leaves.
    pub members: Vec<Leaving>,
}

/// A member that leaves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Leaving {
    /// The member; empty if it is named by its instance alone.
    pub member: MemberId,
    /// Its instance.
    pub instance: Option<InstanceId>,
}

/// OffsetCommit.
#[derive(Clone, Debug)]
pub struct CommitOffsets {
    /// The group.
    pub group: GroupId,
    /// The member; empty if the committer is none.
    pub member: MemberId,
    /// Its instance.
    pub instance: Option<InstanceId>,
    /// The generation, or the member's epoch; -1 if the committer is no member.
    pub generation: i32,
    /// The client's version of the request knows epochs of members (9 and up).
    pub knows_epochs: bool,
    /// How long the offsets are kept, in ms, where a client of before 2.1 says so.
    pub retention_ms: Option<i64>,
    /// What is committed, of topics that exist.
    pub topics: Vec<CommitTopic>,
}

/// A topic of a commit.
#[derive(Clone, Debug)]
pub struct CommitTopic {
    /// Its name.
    pub name: Arc<str>,
    /// Its id.
    pub topic_id: Uuid,
    /// Its partitions.
    pub partitions: Vec<CommitPartition>,
}

/// A partition of a commit.
#[derive(Clone, Debug)]
pub struct CommitPartition {
    /// Which.
    pub partition: i32,
    /// The offset that is to be read next.
    pub offset: i64,
    /// Leader epoch of the record before it; -1 if not known.
    pub leader_epoch: i32,
    /// Text that the committer gets back.
    pub metadata: Arc<str>,
}

/// OffsetDelete.
#[derive(Clone, Debug)]
pub struct DeleteOffsets {
    /// The group.
    pub group: GroupId,
    /// The partitions, by topic.
    pub topics: Vec<(Arc<str>, Vec<i32>)>,
}

/// A topic that is gone.
#[derive(Clone, Debug)]
pub struct DeletedTopic {
    /// Its name; another topic may have it by now.
    pub name: Arc<str>,
    /// Its id.
    pub topic_id: Uuid,
}

/// What a coordinator answers.
#[derive(Clone, PartialEq, Debug)]
pub enum Answer {
    /// To [`Request::Join`].
    Joined(Joined),
    /// To [`Request::Sync`].
    Synced(Synced),
    /// To [`Request::Heartbeat`].
    Alive,
    /// To [`Request::ConsumerHeartbeat`].
    Beat(ConsumerBeat),
    /// To [`Request::Leave`], in the order of the request.
    Left(Vec<Result<(), Refusal>>),
    /// To [`Request::CommitOffsets`], in the order of the request, by topic.
    Committed(Vec<Vec<Result<(), Refusal>>>),
    /// To [`Request::DeleteOffsets`], in the order of the request, by topic.
    OffsetsDeleted(Vec<Vec<Result<(), Refusal>>>),
    /// To [`Request::DeleteGroup`].
    GroupDeleted,
    /// To [`Request::Ask`].
    Told(Plan),
    /// To what the runtime tells: nothing to answer.
    Noted,
}

/// What a member learns of its generation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Joined {
    /// The member's id.
    pub member: MemberId,
    /// The generation.
    pub generation: i32,
    /// What kind of group it is.
    pub protocol_type: Option<Arc<str>>,
    /// The assignor that was chosen.
    pub protocol: Option<Arc<str>>,
    /// Who assigns.
    pub leader: MemberId,
    /// The leader need not assign: the assignment stands (KIP-814).
    pub skip_assignment: bool,
    /// For the leader: all members.
    pub members: Vec<JoinedMember>,
}

/// What the leader learns of a member.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JoinedMember {
    /// The member.
    pub member: MemberId,
    /// Its instance.
    pub instance: Option<InstanceId>,
    /// What it tells the chosen assignor.
    pub metadata: Bytes,
}

/// A member's part of an assignment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Synced {
    /// What kind of group it is.
    pub protocol_type: Option<Arc<str>>,
    /// The assignor that was chosen.
    pub protocol: Option<Arc<str>>,
    /// The member's part.
    pub assignment: Bytes,
}

/// A volatile event.
#[derive(Clone, Debug)]
pub enum Soft {
    /// The settings that hold from now on.
    Settings {
        /// The settings.
        settings: Arc<Settings>,
        /// The time.
        now: MonoMs,
    },
    /// How a classic group is now.
    Classic {
        /// The group.
        group: GroupId,
        /// Its state.
        state: Arc<Classic>,
    },
    /// A member of a classic group was heard of.
    Heard {
        /// The group.
        group: GroupId,
        /// The member.
        member: MemberId,
        /// When its session ends.
        until: MonoMs,
        /// The connection over which it spoke, if it is known.
        connection: Option<ConnectionId>,
    },
    /// A consumer group changed, in what is not logged.
    Consumer {
        /// The group.
        group: GroupId,
        /// What changed.
        change: Change,
    },
    /// The newest topics.
    Topics(Arc<dyn Topics>),
    /// The timer of a group went off, and nothing was due.
    Rearm {
        /// The group.
        group: GroupId,
    },
    /// How far the search for expired offsets has come.
    Swept {
        /// When it goes on.
        next: MonoMs,
        /// The last group that was looked at; `None`: it starts over.
        cursor: Option<GroupId>,
    },
}

/// What a coordinator asks of others: heavy pure work, done outside the turn. Each is answered by one
/// request. Nothing is lost with them: a member that comes later asks anew.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Compute who is to get which partition; answered with [`Request::Assigned`].
    Assign(AssignOrder),
    /// Find the topics that match regular expressions; answered with [`Request::RegexesResolved`].
    ResolveRegexes(RegexOrder),
}

/// Which assignment to compute.
#[derive(Clone, Debug)]
pub struct AssignOrder {
    /// The group.
    pub group: GroupId,
    /// Comes back with the outcome.
    pub order: u64,
    /// Who assigns.
    pub assignor: Assignor,
    /// All that it needs to know.
    pub input: Arc<AssignorInput>,
}

/// An assignment that was computed.
#[derive(Clone, Debug)]
pub struct Assigned {
    /// The group.
    pub group: GroupId,
    /// Which order it was.
    pub order: u64,
    /// Who is to get what; `None`: the assignor failed.
    pub assignment: Option<GroupAssignment>,
}

/// Which regular expressions to resolve.
#[derive(Clone, Debug)]
pub struct RegexOrder {
    /// The group.
    pub group: GroupId,
    /// Comes back with the outcome.
    pub order: u64,
    /// The expressions; each compiles.
    pub regexes: Vec<Arc<str>>,
    /// Among these topics.
    pub topics: Arc<dyn Topics>,
}

/// Regular expressions that were resolved.
#[derive(Clone, Debug)]
pub struct RegexesResolved {
    /// The group.
    pub group: GroupId,
    /// Which order it was.
    pub order: u64,
    /// Each expression and the names that it matches whole; none if the work failed.
    pub resolved: Vec<(Arc<str>, BTreeSet<Arc<str>>)>,
    /// As ordered.
    pub topics: Arc<dyn Topics>,
}
