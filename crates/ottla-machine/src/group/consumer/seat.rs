//! The place of a member in its group: its own, a new one, or that of a static member that comes back under
//! another id (Kafka `getOrMaybeSubscribeDynamicConsumerGroupMember`,
//! `getOrMaybeSubscribeStaticConsumerGroupMember`).

use alloc::sync::Arc;

use super::assignor::Partitions;
use super::update::Draft;
use super::{
    Consumer, ConsumerHeartbeat, ConsumerRecord, Current, LEAVES_FOR_A_WHILE, Member, MemberFacts,
    Owned,
};
use crate::group::classic::bytes_of;
use crate::group::{InstanceId, MemberId, Refusal};

/// The place of a member in its group.
pub(super) struct Seat {
    pub(super) member: Member,
    /// The static member whose place it takes.
    pub(super) replaces: Option<MemberId>,
}

/// Most bytes that the members of a group may say of themselves: their subscriptions, what those of the
/// classic protocol tell their assignors, their names. Kafka's bound is that of each member's record,
/// `max.message.bytes` of the topic.
const FACTS_BYTES_MAX: usize = 32 << 20;

impl Consumer {
    /// Whether there is room for what a member says of itself from now on.
    pub(super) fn has_room_for_facts(
        &self,
        id: &MemberId,
        old: &Arc<MemberFacts>,
        facts: &Arc<MemberFacts>,
    ) -> bool {
        if Arc::ptr_eq(old, facts) {
            return true;
        }
        let (old, new) = (old.bytes(id), facts.bytes(id));
        // Whoever says less than before may: the group may be larger than that since it was a classic one.
        new <= old || self.index.bytes.saturating_sub(old) + new <= FACTS_BYTES_MAX
    }

    pub(super) fn has_room_for(
        &self,
        member: &MemberId,
        instance: Option<&InstanceId>,
        members_max: usize,
    ) -> bool {
        instance.is_some_and(|id| self.index.statics.contains_key(id))
            || self.logged.members.len() < members_max
            || self.logged.members.contains_key(member)
    }

    pub(super) fn find_seat(
        &self,
        id: &MemberId,
        request: &ConsumerHeartbeat,
        draft: &mut Draft,
    ) -> Result<Seat, Refusal> {
        let joins = request.epoch == 0;
        let seated = |member: &Member| Seat {
            member: member.clone(),
            replaces: None,
        };
        if !joins {
            let (_, member) = self.find_member(id, request.instance.as_ref())?;
            return member.check_epoch(request).map(|()| seated(member));
        }
        let instance = request.instance.as_ref();
        let Some((old_id, old)) = instance.and_then(|instance| self.static_member(instance)) else {
            // Also one that the group knows, and that was not static before.
            return Ok(seated(self.member(id).unwrap_or(&Member::default())));
        };
        if old.facts.classic.is_none() && old.current.epoch != LEAVES_FOR_A_WHILE {
            return Err(Refusal::UnreleasedInstance);
        }
        // Under the id of yet another member it would take that one's place, too.
        if old_id != id && self.logged.members.contains_key(id) {
            return Err(Refusal::FencedInstance);
        }
        Ok(self.replace(old_id, old, id, draft))
    }

    /// The member of this id; a static one by its own instance id.
    pub(super) fn find_member(
        &self,
        id: &MemberId,
        instance: Option<&InstanceId>,
    ) -> Result<(&MemberId, &Member), Refusal> {
        let Some(instance) = instance else {
            let found = self.logged.members.get_key_value(id);
            return found.ok_or(Refusal::UnknownMember);
        };
        let found = self.static_member(instance);
        let (known, member) = found.ok_or(Refusal::UnknownInstance)?;
        if known == id {
            Ok((known, member))
        } else {
            Err(Refusal::FencedInstance)
        }
    }

    /// A static member comes back, with all that it had, under another id.
    pub(super) fn replace(
        &self,
        old_id: &MemberId,
        old: &Member,
        id: &MemberId,
        draft: &mut Draft,
    ) -> Seat {
        let current = Current {
            epoch: 0,
            previous_epoch: 0,
            ..Current::clone(&old.current)
        };
        let current = Arc::new(current);
        let target = self.logged.targets.get(old_id).cloned().unwrap_or_default();
        draft.remove(old_id);
        draft.records.extend([
            ConsumerRecord::Member(id.clone(), Some(Arc::clone(&old.facts))),
            ConsumerRecord::Target(id.clone(), Some(target)),
            ConsumerRecord::Current(id.clone(), Some(Arc::clone(&current))),
        ]);
        Seat {
            member: Member {
                facts: Arc::clone(&old.facts),
                current,
            },
            replaces: (old_id != id).then(|| old_id.clone()),
        }
    }
}

impl MemberFacts {
    /// What it takes, roughly, in bytes.
    pub(super) fn bytes(&self, id: &MemberId) -> usize {
        let texts = [
            self.instance.as_deref(),
            self.rack.as_deref(),
            self.assignor.as_deref(),
        ];
        let texts = texts.into_iter().flatten().map(str::len);
        let topics = self.topics.iter().map(|topic| topic.len());
        let classic = self.classic.as_ref();
        id.len()
            + self.client_id.len()
            + self.client_host.len()
            + self.regex.len()
            + texts.chain(topics).sum::<usize>()
            + classic.map_or(0, |classic| bytes_of(&classic.protocols))
    }
}

impl Member {
    /// Whether the request is of the epoch that the member is in, or of the one before while what it has
    /// did not grow less: it may not have heard of the new one.
    fn check_epoch(&self, request: &ConsumerHeartbeat) -> Result<(), Refusal> {
        let current = &self.current;
        let has_heard = request.epoch == 0 || request.epoch == current.epoch;
        let is_behind = request.epoch == current.previous_epoch
            && request.epoch < current.epoch
            && request
                .owned
                .as_ref()
                .is_some_and(|owned| is_within(owned, &current.assigned));
        if has_heard || is_behind {
            Ok(())
        } else {
            Err(Refusal::FencedEpoch(current.epoch))
        }
    }
}

fn is_within(owned: &Partitions, assigned: &Owned) -> bool {
    owned.iter().all(|(topic, partitions)| {
        let assigned = assigned.get(topic);
        assigned.is_some_and(|of| partitions.iter().all(|index| of.contains_key(index)))
    })
}
