//! What follows from the log and is asked often: counts and owners, kept as records come in, so that no
//! question looks at all members.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;

use ottla_model::uuid::Uuid;

use super::{ClassicSide, Current, Logged, MemberFacts, Owned, ResolvedRegex};
use crate::group::{InstanceId, MemberId};

/// See the module's head.
#[derive(Clone, PartialEq, Default, Debug)]
pub(super) struct Index {
    /// Who has which instance id.
    pub(super) statics: BTreeMap<InstanceId, MemberId>,
    /// How often each topic is subscribed to.
    pub(super) topics: BTreeMap<Arc<str>, Subscribers>,
    /// How many members subscribe to each expression.
    pub(super) regexes: BTreeMap<Arc<str>, usize>,
    /// How many members would like each assignor.
    pub(super) assignors: BTreeMap<Arc<str>, usize>,
    /// Who has which partition: to use, or to give up.
    pub(super) owners: BTreeMap<Uuid, BTreeMap<i32, MemberId>>,
    /// How many members have all that the targets give them.
    pub(super) settled: usize,
    /// How many members speak the classic protocol.
    pub(super) classic: usize,
    /// How many of those know each assignor of theirs.
    pub(super) protocols: BTreeMap<Arc<str>, usize>,
    /// What members say of themselves, in bytes.
    pub(super) bytes: usize,
}

/// How often a topic is subscribed to.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Subscribers {
    /// By members, by name.
    pub(super) names: usize,
    /// By resolved expressions.
    pub(super) regexes: usize,
}

impl Index {
    pub(super) fn of(logged: &Logged) -> Index {
        let mut index = Index::default();
        for (id, member) in &logged.members {
            index.add_facts(id, &member.facts);
            index.add_current(id, &member.current);
        }
        for resolved in logged.regexes.values() {
            index.add_regex(resolved);
        }
        index.recount(logged);
        index
    }

    pub(super) fn add_facts(&mut self, id: &MemberId, facts: &MemberFacts) {
        self.bytes += facts.bytes(id);
        if let Some(instance) = &facts.instance {
            self.statics.insert(instance.clone(), id.clone());
        }
        for topic in &*facts.topics {
            self.topics.entry(Arc::clone(topic)).or_default().names += 1;
        }
        if !facts.regex.is_empty() {
            *self.regexes.entry(Arc::clone(&facts.regex)).or_default() += 1;
        }
        if let Some(assignor) = &facts.assignor {
            *self.assignors.entry(Arc::clone(assignor)).or_default() += 1;
        }
        if let Some(classic) = &facts.classic {
            self.classic += 1;
            for name in classic.known() {
                *self.protocols.entry(Arc::clone(name)).or_default() += 1;
            }
        }
    }

    pub(super) fn drop_facts(&mut self, id: &MemberId, facts: &MemberFacts) {
        self.bytes -= facts.bytes(id);
        if let Some(instance) = &facts.instance
            && self.statics.get(instance) == Some(id)
        {
            self.statics.remove(instance);
        }
        for topic in &*facts.topics {
            self.drop_subscriber(topic, |subscribers| &mut subscribers.names);
        }
        if !facts.regex.is_empty() {
            decrease(&mut self.regexes, &facts.regex);
        }
        if let Some(assignor) = &facts.assignor {
            decrease(&mut self.assignors, assignor);
        }
        if let Some(classic) = &facts.classic {
            self.classic = self.classic.saturating_sub(1);
            for name in classic.known() {
                decrease(&mut self.protocols, name);
            }
        }
    }

    pub(super) fn add_current(&mut self, id: &MemberId, current: &Current) {
        for (topic, partitions) in current.assigned.iter().chain(&current.revoking) {
            let owners = self.owners.entry(*topic).or_default();
            owners.extend(partitions.keys().map(|partition| (*partition, id.clone())));
        }
    }

    pub(super) fn drop_current(&mut self, id: &MemberId, current: &Current) {
        self.release(id, &current.assigned);
        self.release(id, &current.revoking);
    }

    pub(super) fn add_regex(&mut self, resolved: &ResolvedRegex) {
        for topic in &resolved.topics {
            self.topics.entry(Arc::clone(topic)).or_default().regexes += 1;
        }
    }

    pub(super) fn drop_regex(&mut self, resolved: &ResolvedRegex) {
        for topic in &resolved.topics {
            self.drop_subscriber(topic, |subscribers| &mut subscribers.regexes);
        }
    }

    /// Counts the members anew that have all that the targets give them.
    pub(super) fn recount(&mut self, logged: &Logged) {
        let members = logged.members.values();
        let settled = members.filter(|m| m.current.is_reconciled_to(logged.target.epoch));
        self.settled = settled.count();
    }

    /// Who has the partition.
    pub(super) fn owner(&self, topic: Uuid, partition: i32) -> Option<&MemberId> {
        self.owners.get(&topic)?.get(&partition)
    }

    fn release(&mut self, id: &MemberId, owned: &Owned) {
        for (topic, partitions) in owned {
            let Some(owners) = self.owners.get_mut(topic) else {
                continue;
            };
            for partition in partitions.keys() {
                if owners.get(partition) == Some(id) {
                    owners.remove(partition);
                }
            }
            if owners.is_empty() {
                self.owners.remove(topic);
            }
        }
    }

    fn drop_subscriber(
        &mut self,
        topic: &Arc<str>,
        count: impl FnOnce(&mut Subscribers) -> &mut usize,
    ) {
        let Some(subscribers) = self.topics.get_mut(topic) else {
            return;
        };
        let count = count(subscribers);
        *count = count.saturating_sub(1);
        if *subscribers == Subscribers::default() {
            self.topics.remove(topic);
        }
    }
}

impl ClassicSide {
    /// The names of the assignors, each once.
    fn known(&self) -> BTreeSet<&Arc<str>> {
        self.protocols.iter().map(|known| &known.name).collect()
    }
}

fn decrease(counts: &mut BTreeMap<Arc<str>, usize>, name: &Arc<str>) {
    if let Some(count) = counts.get_mut(name) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(name);
        }
    }
}
