//! JoinGroup (Kafka `classicGroupJoin`): KIP-394 known member ids, KIP-345 static members, KIP-814
//! leaders that need not assign.

use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;

use super::protocols::{PROTOCOLS_MAX, bytes_of};
use super::turn::Turn;
use super::{Classic, Member, Pending, State, millis};
use crate::contract::{Cx, Decision, Reply, Ticket, Wait};
use crate::group::names::TEXT_BYTES_MAX;
use crate::group::{Answer, Coordinator, Join, Kind, MemberId, Refusal, Settings};

/// How long a new member's first JoinGroup may wait, ms: it knows nothing of its id, so a client that is
/// gone cannot be told from one that waits (Kafka `CLASSIC_GROUP_NEW_MEMBER_JOIN_TIMEOUT_MS`).
const NEW_MEMBER_JOIN_TIMEOUT_MS: u64 = 5 * 60 * 1000;

/// Most members of one group that were told their id and have not come back: anyone can ask for ids
/// without end, and each is remembered for a session. Kafka has no such bound.
pub(in crate::group) const PENDING_MAX: usize = 10_000;

/// Most bytes that all members of a group tell their assignor. Kafka's bound is that of the record that
/// they lie in, `max.message.bytes` of the topic: 1 MB.
const METADATA_BYTES_MAX: usize = 32 << 20;

impl Coordinator {
    pub(in crate::group) fn decide_join(
        &self,
        to: Ticket,
        request: Join,
        settings: &Settings,
        cx: &mut Cx<'_>,
        out: &mut Decision<Self>,
    ) {
        // Below zero is at once, as it is live in Kafka; logged, -1 would come back as the session timeout.
        let request = Join {
            rebalance_timeout_ms: request.rebalance_timeout_ms.max(0),
            ..request
        };
        let id = request.group.clone();
        let position = self.position(&id);
        let mut before = Vec::new();
        let found = self.groups.get(&id).map(|group| &group.kind);
        let found = match (check(&request, settings), found) {
            (Err(refusal), _) => Err(refusal),
            (Ok(()), Some(Kind::Consumer(group))) if !group.is_empty() => {
                return self.join_consumers(to, request, group, settings, cx, out);
            }
            (Ok(()), Some(Kind::Classic { live, .. })) => Ok(Classic::clone(live)),
            (Ok(()), _) if !request.member.is_empty() => Err(Refusal::UnknownMember),
            (Ok(()), Some(Kind::Consumer(group))) => {
                group.delete(&id, &mut before);
                Ok(Classic::empty(Some(cx.wall.0)))
            }
            (Ok(()), None) => Ok(Classic::empty(Some(cx.wall.0))),
        };
        let group = match found {
            Ok(group) => group,
            Err(refusal) => {
                out.replies.push(Reply {
                    to,
                    value: Err(refusal),
                    saw: position,
                    wait: Wait::Durable,
                });
                return;
            }
        };
        let mut turn = Turn::new(&id, group, position.unwrap_or_default(), settings, cx, out);
        if !before.is_empty() {
            turn.clear(before);
        }
        turn.join(to, request, cx);
        turn.finish();
    }
}

fn check(request: &Join, settings: &Settings) -> Result<(), Refusal> {
    if request.group.is_empty() {
        return Err(Refusal::InvalidGroupId);
    }
    let texts = [
        &*request.group,
        &*request.member,
        &*request.client_id,
        &*request.client_host,
    ];
    if request.protocols.len() > PROTOCOLS_MAX {
        return Err(Refusal::InconsistentProtocol);
    }
    let names = request.protocols.iter().map(|protocol| &*protocol.name);
    let too_long = |text: &str| text.len() > TEXT_BYTES_MAX;
    if texts.into_iter().chain(names).any(too_long)
        || too_long(&request.protocol_type)
        || request.instance.as_deref().is_some_and(too_long)
    {
        return Err(Refusal::TextTooLong);
    }
    let allowed = settings.session_timeout_ms_min..=settings.session_timeout_ms_max;
    if !allowed.contains(&request.session_timeout_ms) {
        return Err(Refusal::InvalidSessionTimeout);
    }
    Ok(())
}

impl Turn<'_> {
    fn join(&mut self, to: Ticket, request: Join, cx: &mut Cx<'_>) {
        let group = &self.group;
        if !group.has_room_for(&request.member, self.settings.members_max) {
            self.group.remove(&request.member);
            return self.refuse(to, Refusal::GroupFull);
        }
        if !group.has_room_for_metadata(&request) {
            return self.refuse(to, Refusal::GroupFull);
        }
        if !group.has_common_protocol(&request.protocol_type, &request.protocols) {
            return self.refuse(to, Refusal::InconsistentProtocol);
        }
        if request.member.is_empty() {
            self.join_new(to, request, cx);
        } else if group.pending.contains_key(&request.member) {
            if request.instance.is_some() {
                // A static member is never told to come again. Kafka: UNKNOWN_SERVER_ERROR.
                return self.refuse(to, Refusal::UnknownMember);
            }
            let id = request.member.clone();
            self.add(to, id, request);
        } else {
            match group.check_member(&request.member, request.instance.as_ref()) {
                Ok(_) => self.rejoin(to, request),
                Err(refusal) => self.refuse(to, refusal),
            }
        }
    }

    fn join_new(&mut self, to: Ticket, request: Join, cx: &mut Cx<'_>) {
        let prefix = request.instance.as_deref().unwrap_or(&request.client_id);
        let id = MemberId::from(&*format!("{prefix}-{}", hyphenated(cx.ids.uuid().0)));
        match &request.instance {
            Some(instance) => match self.group.statics.get(instance).cloned() {
                Some(old) => self.replace(to, &old, id, request),
                None => self.add(to, id, request),
            },
            None if request.member_id_required => {
                if self.group.pending.len() >= PENDING_MAX {
                    return self.refuse(to, Refusal::GroupFull);
                }
                let pending = Pending {
                    until: self.now + millis(request.session_timeout_ms),
                    connection: request.connection,
                };
                self.group.pending.insert(id.clone(), pending);
                self.refuse(to, Refusal::MemberIdRequired(id));
            }
            None => self.add(to, id, request),
        }
    }

    /// A new member.
    fn add(&mut self, to: Ticket, id: MemberId, request: Join) {
        if self.group.members.is_empty() {
            self.group.protocol_type = Some(request.protocol_type);
        }
        if self.group.state == (State::PreparingRebalance { initial: true }) {
            self.group.member_added = true;
        }
        let member = Member {
            instance: request.instance,
            client_id: request.client_id,
            client_host: request.client_host,
            rebalance_timeout_ms: request.rebalance_timeout_ms,
            session_timeout_ms: request.session_timeout_ms,
            protocols: Arc::from(request.protocols),
            assignment: Bytes::new(),
            joining: Some(to),
            syncing: None,
            is_new: true,
            until: Some(self.now + NEW_MEMBER_JOIN_TIMEOUT_MS),
            connection: Some(request.connection),
        };
        self.group.insert(id, member);
        self.rebalance();
    }

    /// A member that the group knows.
    fn rejoin(&mut self, to: Ticket, request: Join) {
        let id = request.member.clone();
        let known = self.group.members.get(&id);
        let unchanged = known.is_some_and(|member| *member.protocols == *request.protocols);
        let answers_at_once = match self.group.state {
            State::PreparingRebalance { .. } => false,
            // It may not have got the answer to its first JoinGroup.
            State::CompletingRebalance => unchanged,
            // A leader that joins again wants a rebalance: what it knows of topics has changed.
            State::Stable => unchanged && !self.group.is_leader(&id),
            State::Empty => return self.refuse(to, Refusal::UnknownMember),
        };
        if answers_at_once {
            if let Some(member) = self.member(&id) {
                member.connection = Some(request.connection);
            }
            return self.tell_generation(to, &id);
        }
        self.update(to, &id, request);
        self.rebalance();
    }

    /// Takes over what a member says of itself, and lets it wait.
    fn update(&mut self, to: Ticket, id: &MemberId, request: Join) {
        let Some(member) = self.member(id) else {
            return;
        };
        member.protocols = Arc::from(request.protocols);
        member.rebalance_timeout_ms = request.rebalance_timeout_ms;
        member.session_timeout_ms = request.session_timeout_ms;
        member.connection = Some(request.connection);
        // Kafka never answers the earlier one.
        if let Some(earlier) = member.joining.replace(to) {
            self.refuse(earlier, Refusal::RebalanceInProgress);
        }
    }

    /// A static member comes back without its id: it gets a new one, and whoever has the old one is
    /// fenced. No rebalance, if that would choose the same assignor.
    fn replace(&mut self, to: Ticket, old: &MemberId, id: MemberId, request: Join) {
        let old_leader = self.group.leader.clone();
        let was_unsynced = self.group.unsynced.remove(old);
        let Some(member) = self.group.members.remove(old) else {
            return self.refuse(to, Refusal::UnknownMember);
        };
        if let Some(earlier) = member.joining {
            self.refuse(earlier, Refusal::Replaced(old.clone()));
        }
        if let Some(earlier) = member.syncing {
            self.refuse(earlier, Refusal::FencedInstance);
        }
        if self.group.is_leader(old) {
            self.group.leader = Some(id.clone());
        }
        if was_unsynced {
            self.group.unsynced.insert(id.clone());
        }
        let member = Member {
            joining: None,
            syncing: None,
            is_new: false,
            until: Some(self.now + millis(member.session_timeout_ms)),
            ..Member::clone(&member)
        };
        self.group.insert(id.clone(), member);
        let may_skip_assignment = request.may_skip_assignment;
        self.update(to, &id, request);
        match self.group.state {
            State::Stable if self.group.choose_protocol() == self.group.protocol => {
                self.group.subscribed = self.group.find_subscribed();
                self.log();
                if let Some(member) = self.member(&id) {
                    member.joining = None;
                }
                self.tell_replaced(to, &id, old_leader, may_skip_assignment);
            }
            // The leader may be assigning to the old id.
            State::CompletingRebalance => self.prepare_rebalance(),
            _ => self.rebalance(),
        }
    }

    /// The generation goes on. An old client must not think that it leads: it would assign anew, and
    /// nobody would ask for it. A newer one is told to skip that.
    fn tell_replaced(
        &mut self,
        to: Ticket,
        id: &MemberId,
        old_leader: Option<MemberId>,
        may_skip_assignment: bool,
    ) {
        let mut joined = self.joined(id, alloc::vec::Vec::new());
        if may_skip_assignment {
            joined.skip_assignment = self.group.is_leader(id);
            if joined.skip_assignment {
                joined.members = self.group.joined_members();
            }
        } else if let Some(old_leader) = old_leader {
            joined.leader = old_leader;
        }
        self.reply(to, Ok(Answer::Joined(joined)));
    }
}

impl Classic {
    /// Whether the group takes the member, or is full. While members join, those that wait count, so
    /// that the last to come are out if the limit was lowered.
    fn has_room_for(&self, member: &str, members_max: usize) -> bool {
        let known = self.members.get(member);
        match self.state {
            State::Empty => true,
            State::PreparingRebalance { .. } => {
                known.is_some_and(|member| member.joining.is_some()) || self.joining() < members_max
            }
            State::CompletingRebalance | State::Stable => {
                known.is_some() || self.members.len() < members_max
            }
        }
    }

    /// Whether what members tell their assignors stays within bounds: all of it is in memory, and that for
    /// the chosen one in the record of a generation.
    fn has_room_for_metadata(&self, request: &Join) -> bool {
        let others = self.members.iter().filter(|(id, _)| **id != request.member);
        let others: usize = others.map(|(_, member)| bytes_of(&member.protocols)).sum();
        others + bytes_of(&request.protocols) <= METADATA_BYTES_MAX
    }
}

/// As Java writes a UUID.
fn hyphenated(bytes: [u8; 16]) -> alloc::string::String {
    let n = u128::from_be_bytes(bytes);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        n >> 96,
        (n >> 80) & 0xffff,
        (n >> 64) & 0xffff,
        (n >> 48) & 0xffff,
        n & 0xffff_ffff_ffff
    )
}
