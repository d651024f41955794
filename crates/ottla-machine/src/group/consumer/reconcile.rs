//! What a member is told to give up and may take (Kafka `CurrentAssignmentBuilder`).
//!
//! A member first gives up what its target does not hold, and only then gets to the target's epoch. Of the
//! rest it gets what nobody else has; what others still have it gets when they have given it up.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;

use ottla_model::uuid::Uuid;

use super::assignor::Partitions;
use super::topics::Topics;
use super::{Consumer, Current, Member, MemberState, Owned};
use crate::group::{MemberId, Refusal};

/// A member on its way to its target.
pub(super) struct Reconcile<'a> {
    pub(super) group: &'a Consumer,
    /// The member with what it says now.
    pub(super) member: &'a Member,
    pub(super) id: &'a MemberId,
    /// The static member whose place it takes in this very decision.
    pub(super) replaces: Option<&'a MemberId>,
    /// The epoch of the targets.
    pub(super) target_epoch: i32,
    /// What it subscribes to has just changed.
    pub(super) has_subscription_changed: bool,
    /// What it says that it has, if it says so.
    pub(super) owned: Option<&'a Partitions>,
    pub(super) topics: &'a dyn Topics,
}

impl Reconcile<'_> {
    /// What the member has from now on; `None`: as before.
    ///
    /// # Errors
    /// The member has to come back with nothing.
    pub(super) fn run(&self) -> Result<Option<Arc<Current>>, Refusal> {
        let current = &self.member.current;
        if !self.has_subscription_changed && current.is_reconciled_to(self.target_epoch) {
            return Ok(None);
        }
        let next = match current.state {
            MemberState::Stable if current.epoch != self.target_epoch => self.next(current.epoch),
            MemberState::Stable if self.has_subscription_changed => self.narrowed(),
            MemberState::Stable => return Ok(None),
            MemberState::Unrevoked if self.still_has(&current.revoking) => {
                if !self.has_subscription_changed {
                    return Ok(None);
                }
                self.narrowed()
            }
            MemberState::Unrevoked | MemberState::Unreleased => self.next(current.epoch),
            MemberState::Unknown if self.owned.is_none_or(|owned| !owned.is_empty()) => {
                return Err(Refusal::FencedEpoch(current.epoch));
            }
            MemberState::Unknown => self.next(self.target_epoch),
        };
        Ok((next != **current).then(|| Arc::new(next)))
    }

    /// On to the target, as far as it goes.
    fn next(&self, epoch: i32) -> Current {
        let current = &self.member.current;
        let nothing = BTreeMap::new();
        let mut assigned = Owned::new();
        let mut revoking = Owned::new();
        let mut gained = Owned::new();
        let mut has_unreleased = false;
        let targets = &self.group.logged.targets;
        let of_member = targets.get(self.replaces.unwrap_or(self.id));
        let topics: BTreeSet<Uuid> = of_member
            .into_iter()
            .flat_map(|topics| topics.keys())
            .chain(current.assigned.keys())
            .copied()
            .collect();
        for topic in topics {
            let target = of_member
                .and_then(|topics| topics.get(&topic))
                .filter(|_| self.subscribes(topic));
            let target: &[i32] = target.map_or(&[], |partitions| partitions);
            let has = current.assigned.get(&topic).unwrap_or(&nothing);
            let (keeps, gives_up): (BTreeMap<i32, i32>, BTreeMap<i32, i32>) =
                has.iter().partition(|(partition, _)| {
                    // Ascending, see `Partitions`.
                    target.binary_search(partition).is_ok()
                });
            let mut gets = BTreeMap::new();
            for partition in target {
                if keeps.contains_key(partition) {
                    continue;
                }
                if self.is_free(topic, *partition) {
                    gets.insert(*partition, self.target_epoch);
                } else {
                    has_unreleased = true;
                }
            }
            for (into, partitions) in [
                (&mut assigned, keeps),
                (&mut revoking, gives_up),
                (&mut gained, gets),
            ] {
                if !partitions.is_empty() {
                    into.insert(topic, partitions);
                }
            }
        }
        if !revoking.is_empty() && self.still_has(&revoking) {
            return Current {
                epoch,
                previous_epoch: current.epoch,
                state: MemberState::Unrevoked,
                assigned,
                revoking,
            };
        }
        for (topic, partitions) in gained {
            assigned.entry(topic).or_default().extend(partitions);
        }
        Current {
            epoch: self.target_epoch,
            previous_epoch: current.epoch,
            state: if has_unreleased {
                MemberState::Unreleased
            } else {
                MemberState::Stable
            },
            assigned,
            revoking: Owned::new(),
        }
    }

    /// Without the topics that it does not subscribe to any more.
    fn narrowed(&self) -> Current {
        let current = &*self.member.current;
        let (assigned, dropped): (Owned, Owned) = current
            .assigned
            .clone()
            .into_iter()
            .partition(|(topic, _)| self.subscribes(*topic));
        if dropped.is_empty() {
            return current.clone();
        }
        let mut revoking = current.revoking.clone();
        for (topic, partitions) in dropped {
            revoking.entry(topic).or_default().extend(partitions);
        }
        if self.still_has(&revoking) {
            Current {
                epoch: current.epoch,
                previous_epoch: current.epoch,
                state: MemberState::Unrevoked,
                assigned,
                revoking,
            }
        } else {
            Current {
                previous_epoch: current.epoch,
                assigned,
                ..current.clone()
            }
        }
    }

    /// Whether the member still has one of these; yes, if it does not say.
    fn still_has(&self, revoking: &Owned) -> bool {
        let Some(owned) = self.owned else {
            return true;
        };
        owned.iter().any(|(topic, partitions)| {
            let revoking = revoking.get(topic);
            revoking.is_some_and(|of| partitions.iter().any(|index| of.contains_key(index)))
        })
    }

    /// True if nobody else has the partition. What the member itself is about to give up does not count.
    fn is_free(&self, topic: Uuid, partition: i32) -> bool {
        let owner = self.group.index.owner(topic, partition);
        owner.is_none_or(|owner| owner == self.id || Some(owner) == self.replaces)
    }

    fn subscribes(&self, topic: Uuid) -> bool {
        let name = self.topics.name(topic);
        name.is_some_and(|name| self.group.subscribes(&self.member.facts, &name))
    }
}
