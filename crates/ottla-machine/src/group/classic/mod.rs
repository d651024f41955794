//! A classic group: the broker brings the members together, the leader among them assigns (Kafka
//! `classic/ClassicGroup.java`).
//!
//! ```text
//!                    a member joins                       all rejoined, or time is up
//!   Empty ───────────────────────────► PreparingRebalance ──────────────────────────► CompletingRebalance
//!     ▲                                  │   ▲      ▲                                     │        │
//!     └── nobody rejoined ───────────────┘   │      └── a member joins, leaves, is lost, ─┘        │
//!                                            │          or does not sync in time                  │
//!                                            │                                                    ▼
//!                                            └── a member joins anew, leaves or is lost ─────── Stable
//!                                                                            the leader brought the assignment
//! ```
//! Empty: no members; offsets may remain. PreparingRebalance: JoinGroups wait; from Empty for the
//! initial delay, which new members extend, otherwise until all known members rejoined, at most for
//! the longest rebalance timeout among them. CompletingRebalance: the generation is told, SyncGroups wait
//! for the leader's. Stable: everyone has an assignment.
//!
//! Logged is the generation: when the leader brought its assignment, when a static member changed its id
//! without a rebalance, and when the last member left. All else is volatile: after a restart a group is
//! Empty or Stable as it was logged, with the sessions of its members begun anew, so that old members
//! find their group.
//!
//! Decisions work on a copy of the group ([`turn`]) and emit it as it ends up; members are shared
//! between the copies.

#[cfg(test)]
pub(super) mod checks;
mod commit;
mod convert;
mod describe;
mod expire;
mod heartbeat;
mod join;
mod leave;
mod protocols;
mod subscription;
mod sync;
mod turn;

pub(super) use convert::Converted;
pub(super) use protocols::bytes_of;
pub(super) use turn::Turn;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;
use ottla_model::time::MonoMs;

use super::offsets::UnusedSince;
use super::{
    ConnectionId, GroupId, GroupRecord, GroupState, InstanceId, MemberId, Protocol, Refusal,
};
use crate::contract::Ticket;

/// The protocol type of consumers: only of these the broker knows what they subscribe to.
pub const CONSUMER: &str = "consumer";

/// Where a classic group stands. See the module's head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// No members.
    Empty,
    /// Members are joining.
    PreparingRebalance {
        /// The group was empty before.
        initial: bool,
    },
    /// The leader is assigning.
    CompletingRebalance,
    /// Everyone has an assignment.
    Stable,
}

/// A classic group.
#[derive(Clone, PartialEq, Debug)]
pub struct Classic {
    state: State,
    /// Since when, in ms since 1970; `None` if the log does not say.
    state_time_ms: Option<i64>,
    generation: i32,
    /// `None`: never had a member.
    protocol_type: Option<Arc<str>>,
    /// The assignor that was chosen.
    protocol: Option<Arc<str>>,
    leader: Option<MemberId>,
    members: BTreeMap<MemberId, Arc<Member>>,
    /// Who has which instance id.
    statics: BTreeMap<InstanceId, MemberId>,
    /// Members that were told their id and have not come back with it.
    pending: BTreeMap<MemberId, Pending>,
    /// Members of the generation that have not synced.
    unsynced: BTreeSet<MemberId>,
    /// What the members subscribe to, where the broker can tell.
    subscribed: Option<BTreeSet<Arc<str>>>,
    /// The log names no leader: see [`Turn::log_converted`].
    is_leaderless: bool,
    /// A member joined since the initial delay began.
    member_added: bool,
    join_timer: Option<JoinTimer>,
    sync_until: Option<MonoMs>,
}

/// A member of a classic group.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Member {
    instance: Option<InstanceId>,
    client_id: Arc<str>,
    client_host: Arc<str>,
    rebalance_timeout_ms: i32,
    session_timeout_ms: i32,
    protocols: Arc<[Protocol]>,
    assignment: Bytes,
    /// Its JoinGroup waits.
    joining: Option<Ticket>,
    /// Its SyncGroup waits.
    syncing: Option<Ticket>,
    /// No JoinGroup of it was answered yet, so it knows nothing of its id and is not heard of.
    is_new: bool,
    /// When its session ends. `None`: since a restart, not begun.
    until: Option<MonoMs>,
    /// The connection over which it spoke last.
    connection: Option<ConnectionId>,
}

/// A member that was told its id and has not come back with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Pending {
    until: MonoMs,
    connection: ConnectionId,
}

/// When the joining ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum JoinTimer {
    /// The initial delay: `delay_ms` of it run now, `remaining_ms` may follow if members keep coming.
    Initial {
        at: MonoMs,
        delay_ms: u64,
        remaining_ms: u64,
    },
    /// Whoever has not rejoined by then is out.
    Rebalance { at: MonoMs },
}

/// A generation as it is logged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClassicRecord {
    /// Empty: none.
    pub protocol_type: Arc<str>,
    /// The generation.
    pub generation: i32,
    /// The assignor that was chosen.
    pub protocol: Option<Arc<str>>,
    /// Who assigned.
    pub leader: Option<MemberId>,
    /// Since when the group is in its state, in ms since 1970.
    pub state_time_ms: Option<i64>,
    /// The members.
    pub members: Vec<StoredMember>,
}

/// A member as it is logged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredMember {
    /// Its id.
    pub member: MemberId,
    /// Its instance.
    pub instance: Option<InstanceId>,
    /// `client.id`.
    pub client_id: Arc<str>,
    /// Where the client is.
    pub client_host: Arc<str>,
    /// How long a rebalance waits for it.
    pub rebalance_timeout_ms: i32,
    /// How long it may be silent.
    pub session_timeout_ms: i32,
    /// What it told the chosen assignor.
    pub subscription: Bytes,
    /// What it was assigned.
    pub assignment: Bytes,
}

impl Classic {
    /// A group without members ever.
    pub(super) fn empty(state_time_ms: Option<i64>) -> Classic {
        Classic {
            state: State::Empty,
            state_time_ms,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            statics: BTreeMap::new(),
            pending: BTreeMap::new(),
            unsynced: BTreeSet::new(),
            subscribed: None,
            is_leaderless: false,
            member_added: false,
            join_timer: None,
            sync_until: None,
        }
    }

    /// The group as a restart finds it.
    pub(super) fn from_record(record: &ClassicRecord) -> Classic {
        let mut group = Classic::empty(record.state_time_ms);
        group.generation = record.generation;
        group.protocol_type =
            Some(Arc::clone(&record.protocol_type)).filter(|kind| !kind.is_empty());
        group.protocol.clone_from(&record.protocol);
        group.leader.clone_from(&record.leader);
        if !record.members.is_empty() {
            group.state = State::Stable;
        }
        for stored in &record.members {
            let protocol = Protocol {
                name: record.protocol.clone().unwrap_or_default(),
                metadata: stored.subscription.clone(),
            };
            let member = Member {
                instance: stored.instance.clone(),
                client_id: Arc::clone(&stored.client_id),
                client_host: Arc::clone(&stored.client_host),
                rebalance_timeout_ms: stored.rebalance_timeout_ms,
                session_timeout_ms: stored.session_timeout_ms,
                protocols: Arc::from([protocol]),
                assignment: stored.assignment.clone(),
                joining: None,
                syncing: None,
                is_new: false,
                until: None,
                connection: None,
            };
            group.insert(stored.member.clone(), member);
        }
        group.is_leaderless = record.leader.is_none() && !record.members.is_empty();
        // A log of someone else may name a leader that is none of its members.
        if !group.is_leader_a_member() {
            group.leader = group.members.keys().next().cloned();
        }
        group.subscribed = group.find_subscribed();
        group
    }

    /// The group as it is logged.
    fn to_record(&self) -> ClassicRecord {
        let members = self.members.iter().map(|(id, member)| StoredMember {
            member: id.clone(),
            instance: member.instance.clone(),
            client_id: Arc::clone(&member.client_id),
            client_host: Arc::clone(&member.client_host),
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            session_timeout_ms: member.session_timeout_ms,
            subscription: member.metadata(self.protocol.as_deref()),
            assignment: member.assignment.clone(),
        });
        ClassicRecord {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            state_time_ms: self.state_time_ms,
            members: members.collect(),
        }
    }

    pub(super) fn state(&self) -> State {
        self.state
    }

    /// True if no session of a member has begun: so it is after a restart.
    pub(super) fn is_dormant(&self) -> bool {
        self.members.values().any(|member| member.until.is_none())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.state == State::Empty && self.pending.is_empty()
    }

    /// True if nobody is a member; some may be about to be.
    pub(super) fn has_no_members(&self) -> bool {
        self.state == State::Empty
    }

    pub(super) fn is_of_consumers(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER)
    }

    /// Whether members subscribe to the topic; yes, if the broker cannot tell.
    pub(super) fn is_subscribed_to(&self, topic: &str) -> bool {
        match &self.subscribed {
            Some(topics) => topics.contains(topic),
            None => self.is_of_consumers(),
        }
    }

    /// Since when offsets count as unused; `None`: none of them expires now.
    pub(super) fn offsets_unused_since(&self) -> Option<UnusedSince> {
        match (&self.protocol_type, self.state) {
            (None, _) => Some(UnusedSince::Commit),
            (Some(_), State::Empty) => Some(match self.state_time_ms {
                Some(time_ms) => UnusedSince::Time(time_ms),
                None => UnusedSince::Commit,
            }),
            (Some(_), State::Stable) if self.is_of_consumers() && self.subscribed.is_some() => {
                Some(UnusedSince::Commit)
            }
            (Some(_), _) => None,
        }
    }

    /// Whether offsets may be deleted one by one.
    pub(super) fn check_offset_delete(&self) -> Result<(), Refusal> {
        if self.state == State::Empty || self.is_of_consumers() {
            Ok(())
        } else {
            Err(Refusal::NonEmptyGroup)
        }
    }

    /// The member that the request comes from, unless another one has its instance id.
    fn check_member(
        &self,
        member: &str,
        instance: Option<&InstanceId>,
    ) -> Result<&Member, Refusal> {
        if let Some(instance) = instance {
            match self.statics.get(instance) {
                None => return Err(Refusal::UnknownMember),
                Some(current) if current.as_str() != member => {
                    return Err(Refusal::FencedInstance);
                }
                Some(_) => {}
            }
        }
        let member = self.members.get(member);
        member.map(|member| &**member).ok_or(Refusal::UnknownMember)
    }

    /// Adds a member; the first one leads and says what kind of group it is.
    fn insert(&mut self, id: MemberId, member: Member) {
        if let Some(instance) = &member.instance {
            self.statics.insert(instance.clone(), id.clone());
        }
        if self.leader.is_none() {
            self.leader = Some(id.clone());
        }
        self.pending.remove(&id);
        self.members.insert(id, Arc::new(member));
    }

    /// Takes a member out, pending or not; another one leads if it led.
    fn remove(&mut self, id: &str) -> Option<Arc<Member>> {
        let removed = self.members.remove(id);
        if let Some(instance) = removed.as_ref().and_then(|member| member.instance.as_ref())
            && self
                .statics
                .get(instance)
                .is_some_and(|current| current.as_str() == id)
        {
            self.statics.remove(instance);
        }
        if self.is_leader(id) {
            self.leader = self.members.keys().next().cloned();
        }
        self.pending.remove(id);
        self.unsynced.remove(id);
        removed
    }

    fn is_leader(&self, id: &str) -> bool {
        self.leader
            .as_ref()
            .is_some_and(|leader| leader.as_str() == id)
    }

    fn is_leader_a_member(&self) -> bool {
        self.leader
            .as_ref()
            .is_some_and(|leader| self.members.contains_key(leader))
    }

    fn joining(&self) -> usize {
        let members = self.members.values();
        members.filter(|member| member.joining.is_some()).count()
    }

    fn all_joined(&self) -> bool {
        self.pending.is_empty() && self.members.values().all(|member| member.joining.is_some())
    }

    /// How long a rebalance waits: as long as the most patient member asks for.
    fn rebalance_timeout_ms(&self) -> u64 {
        let timeouts = self
            .members
            .values()
            .map(|member| member.rebalance_timeout_ms);
        timeouts.max().map_or(0, millis)
    }

    /// The earliest moment at which time changes something.
    pub(super) fn deadline(&self) -> Option<MonoMs> {
        let members = self.members.values().filter_map(|member| member.until);
        let pending = self.pending.values().map(|pending| pending.until);
        let joining = self.join_timer.map(|timer| timer.at());
        members
            .chain(pending)
            .chain(joining)
            .chain(self.sync_until)
            .min()
    }

    /// A member was heard of.
    pub(super) fn hear(&mut self, member: &str, until: MonoMs, connection: Option<ConnectionId>) {
        if let Some(member) = self.members.get_mut(member) {
            let member = Arc::make_mut(member);
            member.until = Some(until);
            member.connection = connection.or(member.connection);
        }
    }

    /// The name of the state, as Kafka tells it.
    pub(super) fn shown_state(&self) -> GroupState {
        match self.state {
            State::Empty => GroupState::Empty,
            State::PreparingRebalance { .. } => GroupState::PreparingRebalance,
            State::CompletingRebalance => GroupState::CompletingRebalance,
            State::Stable => GroupState::Stable,
        }
    }

    /// The records that delete the group.
    pub(super) fn delete(id: &GroupId, records: &mut Vec<GroupRecord>) {
        records.push(GroupRecord::Classic {
            group: id.clone(),
            value: None,
        });
    }
}

impl Member {
    /// What it tells an assignor.
    fn metadata(&self, protocol: Option<&str>) -> Bytes {
        let mut protocols = self.protocols.iter();
        let known = protocols.find(|known| Some(&*known.name) == protocol);
        known
            .map(|known| known.metadata.clone())
            .unwrap_or_default()
    }

    /// Whose session cannot end because the broker holds its request. A new member's can: it knows
    /// nothing of its id and may never ask again.
    fn is_waiting(&self) -> bool {
        !self.is_new && (self.joining.is_some() || self.syncing.is_some())
    }
}

impl JoinTimer {
    fn at(self) -> MonoMs {
        match self {
            JoinTimer::Initial { at, .. } | JoinTimer::Rebalance { at } => at,
        }
    }
}

/// A timeout that a client named: below zero is at once.
pub(super) fn millis(timeout_ms: i32) -> u64 {
    u64::try_from(timeout_ms).unwrap_or(0)
}
