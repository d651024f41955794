//! One decision about one classic group: a copy of the group that the decision works on, and the steps
//! that every command may lead to (Kafka `GroupMetadataManager`: `prepareRebalance`,
//! `completeClassicGroupJoin`).

use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;
use ottla_model::ids::Offset;
use ottla_model::time::{MonoMs, WallMs};

use super::{Classic, ClassicRecord, JoinTimer, Member, State, millis};
use crate::contract::{Cx, Decision, Emit, Reply, Ticket, Wait};
use crate::group::{
    Answer, Coordinator, GroupId, GroupRecord, Joined, JoinedMember, MemberId, Refusal, Settings,
    Soft, Synced,
};

/// How long a rebalance to which nobody came waits before it looks again, at least, ms: its members may
/// have said that they need no time at all.
const NOBODY_CAME_MS: u64 = 1_000;

/// A decision about a classic group. [`finish`](Self::finish) emits how the group ends up.
pub(in crate::group) struct Turn<'a> {
    id: &'a GroupId,
    pub(super) group: Classic,
    pub(super) settings: &'a Settings,
    pub(super) now: MonoMs,
    pub(super) wall: WallMs,
    out: &'a mut Decision<Coordinator>,
    /// End of the newest record about the group: what answers wait for.
    position: Offset,
    /// The decision has logged a record, so answers from then on wait for that.
    logged: bool,
}

impl<'a> Turn<'a> {
    pub(in crate::group) fn new(
        id: &'a GroupId,
        group: Classic,
        position: Offset,
        settings: &'a Settings,
        cx: &Cx<'_>,
        out: &'a mut Decision<Coordinator>,
    ) -> Turn<'a> {
        Turn {
            id,
            group,
            settings,
            now: cx.mono,
            wall: cx.wall,
            out,
            position,
            logged: false,
        }
    }

    /// Emits the group as the decision leaves it.
    pub(in crate::group) fn finish(self) {
        self.out.emits.push(Emit::Volatile(Soft::Classic {
            group: self.id.clone(),
            state: Arc::new(self.group),
        }));
    }

    pub(super) fn reply(&mut self, to: Ticket, value: Result<Answer, Refusal>) {
        self.out.replies.push(Reply {
            to,
            value,
            saw: (!self.logged).then_some(self.position),
            wait: Wait::Durable,
        });
    }

    pub(super) fn refuse(&mut self, to: Ticket, refusal: Refusal) {
        self.reply(to, Err(refusal));
    }

    pub(super) fn member(&mut self, id: &str) -> Option<&mut Member> {
        self.group.members.get_mut(id).map(Arc::make_mut)
    }

    /// Begins a member's session anew.
    pub(super) fn renew(&mut self, id: &str) {
        let now = self.now;
        if let Some(member) = self.member(id) {
            member.until = Some(now + millis(member.session_timeout_ms));
        }
    }

    /// Logs the generation as it is.
    pub(super) fn log(&mut self) {
        let record = self.group.to_record();
        self.log_record(Vec::new(), record);
    }

    /// Logs the group behind these records, as one batch: it is made of a consumer group, of which members
    /// left if it `rebalances`. What they had is nobody's until then, so the record names no leader:
    /// whoever reads it after a restart rebalances, too.
    pub(in crate::group) fn log_converted(&mut self, records: Vec<GroupRecord>, rebalances: bool) {
        let mut record = self.group.to_record();
        if rebalances {
            record.leader = None;
        }
        self.log_record(records, record);
    }

    fn log_record(&mut self, mut records: Vec<GroupRecord>, record: ClassicRecord) {
        records.push(GroupRecord::Classic {
            group: self.id.clone(),
            value: Some(Arc::new(record)),
        });
        self.out.log(records);
        self.logged = true;
    }

    /// Logs what makes room for the group: a group of another kind is gone.
    pub(in crate::group) fn clear(&mut self, records: Vec<GroupRecord>) {
        self.out.log(records);
        self.logged = true;
    }

    pub(super) fn enter(&mut self, state: State) {
        self.group.state = state;
        self.group.state_time_ms = Some(self.wall.0);
    }

    /// Tells a member its generation; the leader learns who else is in it.
    pub(super) fn tell_generation(&mut self, to: Ticket, id: &MemberId) {
        let members = if self.group.is_leader(id) {
            self.group.joined_members()
        } else {
            Vec::new()
        };
        let joined = self.joined(id, members);
        self.reply(to, Ok(Answer::Joined(joined)));
    }

    pub(super) fn joined(&self, id: &MemberId, members: Vec<JoinedMember>) -> Joined {
        let group = &self.group;
        Joined {
            member: id.clone(),
            generation: group.generation,
            protocol_type: group.protocol_type.clone(),
            protocol: group.protocol.clone(),
            leader: group.leader.clone().unwrap_or_else(|| MemberId::from("")),
            skip_assignment: false,
            members,
        }
    }

    pub(super) fn tell_assignment(&mut self, to: Ticket, assignment: Bytes) {
        let synced = Synced {
            protocol_type: self.group.protocol_type.clone(),
            protocol: self.group.protocol.clone(),
            assignment,
        };
        self.reply(to, Ok(Answer::Synced(synced)));
    }

    /// The group has to rebalance, or goes on with the rebalance that it is in.
    pub(super) fn rebalance(&mut self) {
        if let State::PreparingRebalance { .. } = self.group.state {
            self.go_on_joining();
        } else {
            self.prepare_rebalance();
        }
    }

    /// Everyone has to join again.
    pub(in crate::group) fn prepare_rebalance(&mut self) {
        if self.group.state == State::CompletingRebalance {
            self.cancel_syncs();
        }
        self.group.unsynced.clear();
        self.group.sync_until = None;
        let initial = self.group.state == State::Empty;
        self.enter(State::PreparingRebalance { initial });
        let timeout_ms = self.group.rebalance_timeout_ms();
        if initial {
            // The group is new: others are about to join.
            let delay_ms = self.settings.initial_rebalance_delay_ms;
            self.group.member_added = false;
            self.group.join_timer = Some(JoinTimer::Initial {
                at: self.now + delay_ms,
                delay_ms,
                remaining_ms: timeout_ms.saturating_sub(delay_ms),
            });
        } else if self.group.all_joined() {
            self.complete_join();
        } else {
            self.group.join_timer = Some(JoinTimer::Rebalance {
                at: self.now + timeout_ms,
            });
        }
    }

    /// Ends the joining if nobody else is expected. The initial delay is waited for nevertheless.
    pub(super) fn go_on_joining(&mut self) {
        let waits_for_members = State::PreparingRebalance { initial: false };
        if self.group.state == waits_for_members && self.group.all_joined() {
            self.complete_join();
        }
    }

    /// Ends the joining if nobody else is expected, the initial delay too: a member was lost.
    pub(super) fn go_on_without(&mut self) {
        if let State::PreparingRebalance { .. } = self.group.state
            && self.group.all_joined()
        {
            self.complete_join();
        }
    }

    /// The joining is over: dynamic members that did not come are out, the others learn their
    /// generation. Static members may come later.
    pub(super) fn complete_join(&mut self) {
        self.group.join_timer = None;
        let missing: Vec<MemberId> = self
            .group
            .members
            .iter()
            .filter(|(_, member)| member.joining.is_none() && member.instance.is_none())
            .map(|(id, _)| id.clone())
            .collect();
        for id in &missing {
            self.group.remove(id);
        }
        if !self.group.elect_joined_leader() && !self.group.members.is_empty() {
            // Static members only, and none of them came: their sessions will end it.
            let timeout_ms = self.group.rebalance_timeout_ms().max(NOBODY_CAME_MS);
            self.group.join_timer = Some(JoinTimer::Rebalance {
                at: self.now + timeout_ms,
            });
            return;
        }
        self.group.generation = self.group.generation.saturating_add(1);
        self.group.protocol = self.group.choose_protocol();
        self.group.subscribed = self.group.find_subscribed();
        self.group.unsynced.clear();
        if self.group.members.is_empty() {
            self.enter(State::Empty);
            self.log();
            return;
        }
        self.enter(State::CompletingRebalance);
        self.group.sync_until = Some(self.now + self.group.rebalance_timeout_ms());
        let ids: Vec<MemberId> = self.group.members.keys().cloned().collect();
        for id in ids {
            let waiting = self.member(&id).and_then(|member| {
                member.is_new = false;
                member.joining.take()
            });
            if let Some(to) = waiting {
                self.tell_generation(to, &id);
            }
            self.renew(&id);
            self.group.unsynced.insert(id);
        }
    }

    /// Takes a member out and lets go of what it waits for.
    pub(super) fn remove(&mut self, id: &MemberId) {
        let Some(member) = self.group.remove(id) else {
            return;
        };
        if let Some(to) = member.joining {
            self.refuse(to, Refusal::Removed);
        }
        if let Some(to) = member.syncing {
            self.refuse(to, Refusal::UnknownMember);
        }
    }

    /// Nobody gets an assignment of this generation.
    fn cancel_syncs(&mut self) {
        let ids: Vec<MemberId> = self.group.members.keys().cloned().collect();
        for id in ids {
            let waiting = self.member(&id).and_then(|member| {
                member.assignment = Bytes::new();
                member.syncing.take()
            });
            if let Some(to) = waiting {
                self.refuse(to, Refusal::RebalanceInProgress);
                self.renew(&id);
            }
        }
    }
}

impl Classic {
    /// What the leader learns.
    pub(super) fn joined_members(&self) -> Vec<JoinedMember> {
        let members = self.members.iter();
        members
            .map(|(id, member)| JoinedMember {
                member: id.clone(),
                instance: member.instance.clone(),
                metadata: member.metadata(self.protocol.as_deref()),
            })
            .collect()
    }

    /// Makes sure that the leader is one that joined; false if nobody did.
    fn elect_joined_leader(&mut self) -> bool {
        let joined = |id: &MemberId| {
            self.members
                .get(id)
                .is_some_and(|member| member.joining.is_some())
        };
        match &self.leader {
            None => false,
            Some(leader) if joined(leader) => true,
            Some(_) => {
                let Some(leader) = self.members.keys().find(|id| joined(id)).cloned() else {
                    return false;
                };
                self.leader = Some(leader);
                true
            }
        }
    }
}
