//! A consumer group of the next-generation protocol (KIP-848): the broker assigns, members report what
//! they own, and a partition is handed over only after its owner gave it up (Kafka
//! `modern/consumer/ConsumerGroup.java`).
//!
//! ```text
//! the group         a member joins            target computed           all members reconciled
//!          Empty ──────────────────► Assigning ─────────────► Reconciling ─────────────────► Stable
//!            ▲                         ▲                          │                            │
//!            └─ the last one leaves ───┼──────────────────────────┴─── a member joins, leaves, ┘
//!                                      └────────────────────────────── subscribes anew; topics change
//!
//! a member               has to give partitions up             said that it gave them up
//!          Stable ────────────────────────────────► Unrevoked ───────────────────────────┐
//!            ▲ │                                                                          │
//!            │ └── what it is to get is still another's ──► Unreleased ◄── the same ──────┤
//!            │                                                  │                         │
//!            └───────────── it has all that it is to get ───────┴─────────────────────────┘
//! ```
//! Three numbers: the *group's epoch* grows when targets have to be computed anew; the *target's epoch* says
//! of which epoch the targets are; a *member's epoch* is the target's that it has been reconciled to. A
//! member in Unrevoked stays in its epoch and is fenced if it does not give up in its rebalance timeout.
//!
//! Logged is all of that. Volatile are sessions and timers, whether a target or expressions are being
//! computed elsewhere, and the heartbeats that wait for that: after a restart sessions begin anew.
//!
//! A heartbeat that brings or finds a new epoch waits until the targets are computed, outside the turn
//! ([`assign`]), so that its answer is as fresh as if that had been done at once. Any other heartbeat is
//! answered at once and costs a few look-ups, however large the group is.
//!
//! State changes by records and by small volatile changes; the group is never copied. What a decision
//! needs of the state as it will be, it computes from the state as it is and what it is about to log.

pub mod assignor;
pub mod topics;

mod assign;
mod case;
#[cfg(test)]
mod checks;

mod classic_side;
mod commit;
mod convert;
mod describe;
mod embedded;
mod expire;
mod hash;
mod heartbeat;
mod index;
mod join;
mod leave;
mod live;
mod reconcile;
mod record;
mod replay;
mod resolve;
mod seat;
mod update;
mod validate;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use ottla_model::time::MonoMs;
use ottla_model::uuid::Uuid;

pub use describe::{DescribedConsumer, DescribedConsumerGroup, NamedPartitions};
pub use heartbeat::{ConsumerBeat, ConsumerHeartbeat};
pub use live::Change;
pub use record::{ConsumerRecord, GroupEpoch, TargetEpoch};

use super::{GroupId, GroupRecord, GroupState, InstanceId, MemberId, Protocol, Refusal};
use assignor::Partitions;
use index::Index;
use live::Live;

/// The partitions that a member has, and since which epoch of its own; no topic without partitions.
pub type Owned = BTreeMap<Uuid, BTreeMap<i32, i32>>;

/// The epoch of a member that leaves.
const LEAVES: i32 = -1;
/// The epoch of a static member that leaves and will come back.
const LEAVES_FOR_A_WHILE: i32 = -2;

/// A consumer group.
#[derive(Clone, Default, Debug)]
pub struct Consumer {
    logged: Logged,
    index: Index,
    live: Live,
}

/// What the log says of a group.
#[derive(Clone, PartialEq, Debug)]
pub struct Logged {
    epoch: GroupEpoch,
    target: TargetEpoch,
    members: BTreeMap<MemberId, Member>,
    targets: BTreeMap<MemberId, Arc<Partitions>>,
    /// Regular expressions that are resolved.
    regexes: BTreeMap<Arc<str>, Arc<ResolvedRegex>>,
    /// There is an obsolete record to be taken away.
    has_partition_metadata: bool,
}

/// A member.
#[derive(Clone, PartialEq, Default, Debug)]
struct Member {
    facts: Arc<MemberFacts>,
    current: Arc<Current>,
}

/// What a member says of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemberFacts {
    /// Its instance, if it is static.
    pub instance: Option<InstanceId>,
    /// Where it reads from best.
    pub rack: Option<Arc<str>>,
    /// `client.id`.
    pub client_id: Arc<str>,
    /// Where the client is.
    pub client_host: Arc<str>,
    /// The topics that it subscribes to by name.
    pub topics: Arc<BTreeSet<Arc<str>>>,
    /// The regular expression that it subscribes to; empty: none.
    pub regex: Arc<str>,
    /// How long it may take to give partitions up, ms; -1: not said.
    pub rebalance_timeout_ms: i32,
    /// The assignor that it would like.
    pub assignor: Option<Arc<str>>,
    /// What it says as a member that speaks the classic protocol, if it does.
    pub classic: Option<ClassicSide>,
}

/// What a member says that speaks the classic protocol.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClassicSide {
    /// How long it may be silent.
    pub session_timeout_ms: i32,
    /// The assignors that it knows, and what it would tell them.
    pub protocols: Arc<[Protocol]>,
}

/// What a member has, and where it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Current {
    /// The epoch of the targets that it is reconciled to; -1: it is leaving, -2: static, and away.
    pub epoch: i32,
    /// The one before: it may not have heard of the newest.
    pub previous_epoch: i32,
    /// Where it stands.
    pub state: MemberState,
    /// What it has, and may use.
    pub assigned: Owned,
    /// What it has, and is to give up.
    pub revoking: Owned,
}

/// Where a member stands. See the module's head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MemberState {
    /// It has all that its epoch gives it.
    Stable,
    /// It has to give partitions up first.
    Unrevoked,
    /// Others still have partitions that it is to get.
    Unreleased,
    /// A later Kafka wrote something else: it has to come back with nothing.
    Unknown,
}

/// The topics that a regular expression matches.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ResolvedRegex {
    /// Their names.
    pub topics: BTreeSet<Arc<str>>,
    /// Version of the topics that were asked.
    pub version: i64,
    /// When that was, in ms since 1970.
    pub time_ms: i64,
}

impl Default for Logged {
    /// As Kafka's: a group begins at epoch 1, with nothing to assign.
    fn default() -> Logged {
        Logged {
            epoch: GroupEpoch {
                epoch: 1,
                metadata_hash: 0,
            },
            target: TargetEpoch {
                epoch: 1,
                time_ms: 0,
            },
            members: BTreeMap::new(),
            targets: BTreeMap::new(),
            regexes: BTreeMap::new(),
            has_partition_metadata: false,
        }
    }
}

impl Default for MemberFacts {
    fn default() -> MemberFacts {
        MemberFacts {
            instance: None,
            rack: None,
            client_id: Arc::from(""),
            client_host: Arc::from(""),
            topics: Arc::default(),
            regex: Arc::from(""),
            rebalance_timeout_ms: -1,
            assignor: None,
            classic: None,
        }
    }
}

impl Default for Current {
    fn default() -> Current {
        Current {
            epoch: 0,
            previous_epoch: -1,
            state: MemberState::Stable,
            assigned: Owned::new(),
            revoking: Owned::new(),
        }
    }
}

impl Current {
    /// True if the member has all that the targets of `epoch` give it.
    fn is_reconciled_to(&self, epoch: i32) -> bool {
        self.state == MemberState::Stable && self.epoch == epoch
    }

    /// Since when it has the partition.
    fn owns_since(&self, topic: Uuid, partition: i32) -> Option<i32> {
        let find = |owned: &Owned| owned.get(&topic)?.get(&partition).copied();
        find(&self.assigned).or_else(|| find(&self.revoking))
    }
}

impl MemberState {
    fn to_stored(self) -> i8 {
        match self {
            MemberState::Stable => 0,
            MemberState::Unrevoked => 1,
            MemberState::Unreleased => 2,
            MemberState::Unknown => 127,
        }
    }

    fn from_stored(state: i8) -> MemberState {
        match state {
            0 => MemberState::Stable,
            1 => MemberState::Unrevoked,
            2 => MemberState::Unreleased,
            _ => MemberState::Unknown,
        }
    }
}

impl Consumer {
    /// The group as the log says it is; sessions have not begun.
    pub(super) fn from_logged(logged: &Logged) -> Consumer {
        Consumer {
            index: Index::of(logged),
            logged: logged.clone(),
            live: Live::default(),
        }
    }

    /// What the log says of it.
    pub(super) fn logged(&self) -> &Logged {
        &self.logged
    }

    pub(super) fn state(&self) -> GroupState {
        if self.logged.members.is_empty() {
            GroupState::Empty
        } else if self.logged.epoch.epoch > self.logged.target.epoch {
            GroupState::Assigning
        } else if self.index.settled < self.logged.members.len() {
            GroupState::Reconciling
        } else {
            GroupState::Stable
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.logged.members.is_empty()
    }

    /// Whether members subscribe to the topic, by name or by expression.
    pub(super) fn is_subscribed_to(&self, topic: &str) -> bool {
        self.index.topics.contains_key(topic)
    }

    /// True if sessions of members have not begun.
    pub(super) fn is_dormant(&self) -> bool {
        self.live.sessions.len() < self.logged.members.len()
    }

    /// When time, or work that was put off, changes something next.
    pub(super) fn deadline(&self) -> Option<MonoMs> {
        if self.live.wants_assignment() {
            return Some(MonoMs(0));
        }
        self.live.deadline()
    }

    /// The records that delete the group, its epoch last: if a crash tears them apart, there still is a
    /// group.
    pub(super) fn delete(&self, id: &GroupId, records: &mut Vec<GroupRecord>) {
        let mut push = |record| records.push(of(id, record));
        let logged = &self.logged;
        for member in logged.members.keys() {
            push(ConsumerRecord::Current(member.clone(), None));
        }
        for member in logged.targets.keys() {
            push(ConsumerRecord::Target(member.clone(), None));
        }
        push(ConsumerRecord::TargetEpoch(None));
        for member in logged.members.keys() {
            push(ConsumerRecord::Member(member.clone(), None));
        }
        for regex in logged.regexes.keys() {
            push(ConsumerRecord::Regex(Arc::clone(regex), None));
        }
        if logged.has_partition_metadata {
            push(ConsumerRecord::PartitionMetadata(None));
        }
        push(ConsumerRecord::Epoch(None));
    }

    fn member(&self, id: &str) -> Result<&Member, Refusal> {
        self.logged.members.get(id).ok_or(Refusal::UnknownMember)
    }

    /// The static member of this instance.
    fn static_member(&self, instance: &InstanceId) -> Option<(&MemberId, &Member)> {
        let id = self.index.statics.get(instance)?;
        self.logged.members.get_key_value(id)
    }

    /// Whether the member subscribes to a topic of this name.
    fn subscribes(&self, facts: &MemberFacts, topic: &str) -> bool {
        facts.topics.contains(topic)
            || self
                .logged
                .regexes
                .get(&facts.regex)
                .is_some_and(|resolved| resolved.topics.contains(topic))
    }
}

/// A record about the group.
fn of(group: &GroupId, record: ConsumerRecord) -> GroupRecord {
    GroupRecord::Consumer {
        group: group.clone(),
        record,
    }
}
