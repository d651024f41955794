//! Forgetting offsets that nobody will ask for (KIP-211; Kafka `cleanupGroupMetadata`).
//!
//! From time to time every group is looked at, some at a turn. An offset expires
//! `offsets.retention.minutes` after its group became empty; in a group of consumers also if they do
//! not subscribe to the topic and nothing was committed for so long; in a group without members ever,
//! if nothing was committed for so long. A group without members and offsets is deleted then.

use alloc::vec::Vec;
use core::ops::Bound;

use super::CommittedOffset;
use super::delete::{log_apart, tombstone};
use crate::contract::{Cx, Decision, Emit};
use crate::group::{Coordinator, Group, GroupId, GroupRecord, Settings, Soft};

/// Most groups that one turn looks at.
const GROUPS_MAX: usize = 64;

/// Since when an offset counts as unused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::group) enum UnusedSince {
    /// Its own commit.
    Commit,
    /// The time given, in ms since 1970: the group became empty.
    Time(i64),
}

impl Coordinator {
    /// Looks at the next groups. `settings` are known, or nothing expires.
    pub(in crate::group) fn decide_sweep(
        &self,
        settings: &Settings,
        cx: &mut Cx<'_>,
        out: &mut Decision<Self>,
    ) {
        let after = match &self.sweep.cursor {
            Some(cursor) => Bound::Excluded(cursor),
            None => Bound::Unbounded,
        };
        let mut groups = self.groups.range::<GroupId, _>((after, Bound::Unbounded));
        let mut records = Vec::new();
        let mut cursor = None;
        for (id, group) in groups.by_ref().take(GROUPS_MAX) {
            group.expire(id, settings, cx.wall.0, &mut records);
            cursor = Some(id.clone());
        }
        let (next, cursor) = match groups.next() {
            Some(_) => (cx.mono, cursor),
            None => (cx.mono + settings.offsets_retention_check_interval_ms, None),
        };
        log_apart(records, out);
        out.emits.push(Emit::Volatile(Soft::Swept { next, cursor }));
    }
}

impl Group {
    fn expire(
        &self,
        id: &GroupId,
        settings: &Settings,
        now_ms: i64,
        records: &mut Vec<GroupRecord>,
    ) {
        let mut nothing_left = self.offsets.undecided.is_empty();
        if !self.offsets.committed.is_empty() {
            let Some(since) = self.kind.offsets_unused_since() else {
                return;
            };
            for (topic, partition, offset) in self.offsets.all() {
                let expired = offset.is_expired(since, now_ms, settings.offsets_retention_ms)
                    && !self.kind.is_subscribed_to(topic)
                    && !self.offsets.is_undecided(topic, partition);
                if expired {
                    records.push(tombstone(id, topic, partition));
                } else {
                    nothing_left = false;
                }
            }
        }
        if nothing_left && self.kind.is_empty() {
            self.kind.delete(id, records);
        }
    }
}

impl CommittedOffset {
    fn is_expired(&self, since: UnusedSince, now_ms: i64, retention_ms: i64) -> bool {
        match (self.expire_time_ms, since) {
            (Some(time_ms), _) => now_ms >= time_ms,
            (None, UnusedSince::Commit) => {
                now_ms.saturating_sub(self.commit_time_ms) >= retention_ms
            }
            (None, UnusedSince::Time(time_ms)) => now_ms.saturating_sub(time_ms) >= retention_ms,
        }
    }
}
