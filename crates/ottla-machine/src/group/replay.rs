//! Applying events: the only place where the state of a coordinator changes.
//!
//! The log is believed. What Kafka would not have written changes nothing, or as little as it can.

use alloc::boxed::Box;
use alloc::collections::btree_map::Entry;
use alloc::sync::Arc;

use ottla_model::batch::BatchHead;
use ottla_model::ids::{Offset, ProducerId};

use super::classic::{Classic, ClassicRecord};
use super::consumer::ConsumerRecord;
use super::{Coordinator, Group, GroupId, GroupRecord, Kind, Soft};

impl Coordinator {
    pub(super) fn replay_record(&mut self, at: Offset, head: &BatchHead, record: &GroupRecord) {
        match record {
            GroupRecord::Offset {
                group,
                topic,
                partition,
                value,
            } => {
                let producer = Some(head.producer_id).filter(|id| *id != ProducerId::NONE);
                let entry = match self.groups.entry(group.clone()) {
                    Entry::Occupied(entry) => entry.into_mut(),
                    // A tombstone that compaction left, of a group that is gone.
                    Entry::Vacant(_) if value.is_none() => return,
                    Entry::Vacant(entry) => entry.insert(Group::new(Kind::simple())),
                };
                entry
                    .offsets
                    .replay(at, producer, topic, *partition, value.as_ref());
            }
            GroupRecord::Classic { group, value } => match value {
                Some(record) => self.replay_classic(at, group, record),
                None if !self.is_consumer(group) => self.replay_deleted(at, group),
                None => {}
            },
            GroupRecord::Consumer { group, record } => self.replay_consumer(at, group, record),
            GroupRecord::Other { .. } => {}
        }
    }

    fn replay_classic(&mut self, at: Offset, id: &GroupId, record: &Arc<ClassicRecord>) {
        let kind = Kind::Classic {
            logged: Some(Arc::clone(record)),
            live: Arc::new(Classic::from_record(record)),
        };
        match self.groups.get_mut(id) {
            Some(group) => group.kind = kind,
            None => {
                self.groups.insert(id.clone(), Group::new(kind));
            }
        }
        if let Some(group) = self.groups.get_mut(id) {
            group.position = at.next();
        }
        self.rearm(id);
    }

    fn replay_consumer(&mut self, at: Offset, id: &GroupId, record: &ConsumerRecord) {
        if !self.is_consumer(id) {
            // What is taken away of a group that is gone, or of another kind by now.
            if record.is_tombstone() {
                return;
            }
            let kind = Kind::Consumer(Box::default());
            match self.groups.get_mut(id) {
                Some(group) => group.kind = kind,
                None => {
                    self.groups.insert(id.clone(), Group::new(kind));
                }
            }
        }
        if matches!(record, ConsumerRecord::Epoch(None)) {
            return self.replay_deleted(at, id);
        }
        if let Some(group) = self.groups.get_mut(id) {
            if let Kind::Consumer(consumers) = &mut group.kind {
                consumers.replay(record);
            }
            group.position = at.next();
        }
        self.rearm(id);
    }

    fn is_consumer(&self, id: &GroupId) -> bool {
        let kind = self.groups.get(id).map(|group| &group.kind);
        matches!(kind, Some(Kind::Consumer(_)))
    }

    /// The group is gone; offsets that are not make it one that only holds offsets.
    fn replay_deleted(&mut self, at: Offset, id: &GroupId) {
        let Some(group) = self.groups.get_mut(id) else {
            return;
        };
        if group.offsets.is_empty() {
            self.disarm(id);
            self.dormant.remove(id);
            self.groups.remove(id);
            return;
        }
        group.kind = Kind::simple();
        group.position = at.next();
        self.rearm(id);
    }

    pub(super) fn replay_soft(&mut self, soft: &Soft) {
        match soft {
            Soft::Settings { settings, now } => {
                self.sweep.next = Some(*now + settings.offsets_retention_check_interval_ms);
                self.settings = Some(Arc::clone(settings));
            }
            Soft::Classic { group: id, state } => {
                match self.groups.get_mut(id) {
                    Some(group) => {
                        if let Kind::Classic { live, .. } = &mut group.kind {
                            *live = Arc::clone(state);
                        }
                    }
                    None => {
                        let kind = Kind::Classic {
                            logged: None,
                            live: Arc::clone(state),
                        };
                        self.groups.insert(id.clone(), Group::new(kind));
                    }
                }
                self.rearm(id);
            }
            Soft::Heard {
                group: id,
                member,
                until,
                connection,
            } => {
                let Some(group) = self.groups.get_mut(id) else {
                    return;
                };
                if let Kind::Classic { live, .. } = &mut group.kind {
                    Arc::make_mut(live).hear(member, *until, *connection);
                }
                if group.armed.is_none_or(|armed| armed > *until) {
                    self.rearm(id);
                }
            }
            Soft::Consumer { group: id, change } => {
                if let Some(order) = change.order() {
                    self.last_order = order;
                }
                let Some(group) = self.groups.get_mut(id) else {
                    return;
                };
                if let Kind::Consumer(consumers) = &mut group.kind {
                    consumers.change(change);
                }
                let is_armed = group.armed == group.kind.deadline();
                if !is_armed || !self.dormant.is_empty() {
                    self.rearm(id);
                }
            }
            Soft::Topics(topics) => self.topics = Some(Arc::clone(topics)),
            Soft::Rearm { group } => self.rearm(group),
            Soft::Swept { next, cursor } => {
                self.sweep.next = Some(*next);
                self.sweep.cursor.clone_from(cursor);
            }
        }
    }

    pub(super) fn insert(&mut self, id: GroupId, group: Group) {
        self.groups.insert(id.clone(), group);
        self.rearm(&id);
    }

    /// Sets a group's timer to what the group wants.
    fn rearm(&mut self, id: &GroupId) {
        self.disarm(id);
        let Some(group) = self.groups.get_mut(id) else {
            return;
        };
        if group.kind.is_dormant() {
            self.dormant.insert(id.clone());
        } else {
            self.dormant.remove(id);
        }
        group.armed = group.kind.deadline();
        if let Some(at) = group.armed {
            self.timers.insert((at, id.clone()));
        }
    }

    fn disarm(&mut self, id: &GroupId) {
        if let Some(group) = self.groups.get_mut(id)
            && let Some(at) = group.armed.take()
        {
            self.timers.remove(&(at, id.clone()));
        }
    }
}
