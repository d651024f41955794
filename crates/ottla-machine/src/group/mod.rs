//! The machine of one `__consumer_offsets` partition: the coordinator of every group whose id hashes to
//! it. Members and committed offsets are one machine in two modules, so that a commit asks its group
//! and is logged in the same turn.
//!
//! ```text
//!                  JoinGroup, or a member's first offset              DeleteGroups, or nothing left
//!   (unknown) ─────────────────────────────────────────► a group ────────────────────────────────► (unknown)
//!                  an offset of nobody's                  (kind.rs)   for offsets.retention.minutes
//! ```
//! What a group goes through between the two: [`classic`], [`consumer`]. What happens to its
//! offsets: [`offsets`].
//!
//! Its log is a partition of `__consumer_offsets`, its records are Kafka's (`record.rs`), so Kafka's tools
//! read it and a directory of Kafka's can be opened. Logged are offsets and generations; who is joining,
//! sessions and timers are volatile, so they begin anew after a restart.
//!
//! Guarantees: generations only grow; a member has one assignment at a generation, and the one that it
//! is told is logged; a commit of an old generation changes nothing; an answer waits for the newest
//! record about its group, not for those of other groups; what was deleted does not come back. Every
//! request is answered once, at the latest when its member is thrown out.
//! Never does: assigning partitions in classic groups, reading what members tell each other (but
//! for what consumers subscribe to), looking into the catalog: a commit names topics that exist.

pub mod classic;
mod command;
pub mod consumer;
mod delete_group;
mod expire;
mod kind;
mod names;
pub mod offsets;
mod plan;
mod record;
mod refusal;
mod replay;
mod settings;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use ottla_model::ids::Offset;
use ottla_model::marks::Marks;
use ottla_model::time::MonoMs;

pub use command::{
    Answer, AssignOrder, Assigned, Command, CommitOffsets, CommitPartition, CommitTopic,
    DeleteOffsets, DeletedTopic, Effect, Heartbeat, Join, Joined, JoinedMember, Leave, Leaving,
    Protocol, RegexOrder, RegexesResolved, Request, Soft, Sync, Synced,
};
pub use consumer::{
    ConsumerBeat, ConsumerHeartbeat, ConsumerRecord, DescribedConsumer, DescribedConsumerGroup,
    NamedPartitions,
};
use kind::Kind;
pub use kind::{GroupState, GroupType};
pub use names::{ConnectionId, GroupId, InstanceId, MemberId};
pub use offsets::{CommittedOffset, FetchOffsets, FetchTopic, FetchedPartition, FetchedTopic};
pub use plan::{DescribedGroup, DescribedMember, ListFilter, ListedGroup, Plan, Query};
pub use record::GroupRecord;
pub use refusal::Refusal;
pub use settings::{Migration, Settings};

use crate::contract::{Cx, Decision, Emit, Event, Machine, Ticket, Wait};
use classic::ClassicRecord;
use consumer::Consumer;
use consumer::topics::Topics;
use offsets::Offsets;

/// The topic that the logs of coordinators are partitions of.
pub const CONSUMER_OFFSETS_TOPIC: &str = "__consumer_offsets";

/// The partition that a group hashes to, of so many (Kafka `Utils.abs(groupId.hashCode()) % count`).
#[must_use]
pub fn partition_of(group: &str, count: i32) -> i32 {
    let hash = group.encode_utf16().fold(0i32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    });
    // As in Kafka, the one hash without an absolute value is 0.
    hash.checked_abs().unwrap_or(0) % count.max(1)
}

/// The machine of one `__consumer_offsets` partition.
#[derive(Default, Debug)]
pub struct Coordinator {
    groups: BTreeMap<GroupId, Group>,
    /// When each group wants to be looked at; see `expire.rs`.
    timers: BTreeSet<(MonoMs, GroupId)>,
    /// Groups of which the log knows members whose sessions have not begun.
    dormant: BTreeSet<GroupId>,
    /// `None` until the first command.
    settings: Option<Arc<Settings>>,
    /// The newest topics that any command brought.
    topics: Option<Arc<dyn Topics>>,
    sweep: Sweep,
    /// The last number that an order to others had.
    last_order: u64,
}

/// A group and its offsets.
#[derive(Clone, Debug)]
struct Group {
    kind: Kind,
    offsets: Offsets,
    /// End of the newest record about its members: what answers about them wait for.
    position: Offset,
    /// When its timer goes off.
    armed: Option<MonoMs>,
}

/// The search for expired offsets.
#[derive(Default, Debug)]
struct Sweep {
    next: Option<MonoMs>,
    /// The last group that was looked at in this round.
    cursor: Option<GroupId>,
}

/// What the log says of a group.
#[derive(Clone, PartialEq, Debug)]
pub struct GroupSnapshot {
    /// The group.
    pub group: GroupId,
    /// Its newest generation that was logged.
    pub classic: Option<Arc<ClassicRecord>>,
    /// If it is a consumer group, all that was logged of it.
    pub consumer: Option<consumer::Logged>,
    /// Its offsets.
    pub offsets: Offsets,
    /// End of the newest record about its members.
    pub position: Offset,
}

impl Machine for Coordinator {
    type Command = Command;
    type Answer = Answer;
    type Refusal = Refusal;
    type Record = GroupRecord;
    type Soft = Soft;
    type Effect = Effect;
    type Query = Query;
    type Plan = Plan;
    type Snapshot = Vec<GroupSnapshot>;

    fn decide(&self, to: Ticket, command: Command, cx: &mut Cx<'_>, out: &mut Decision<Self>) {
        let settings = command.settings;
        let are_known = |known: &Arc<Settings>| Arc::ptr_eq(known, &settings);
        if !self.settings.as_ref().is_some_and(are_known) {
            out.emits.push(Emit::Volatile(Soft::Settings {
                settings: Arc::clone(&settings),
                now: cx.mono,
            }));
        }
        match command.request {
            Request::Begin => out.answer(to, Answer::Noted, Wait::None),
            Request::Join(request) => self.decide_join(to, request, &settings, cx, out),
            Request::Sync(request) => self.decide_sync(to, request, &settings, cx, out),
            Request::Heartbeat(request) => self.decide_heartbeat(to, request, &settings, cx, out),
            Request::Leave(request) => self.decide_leave(to, request, &settings, cx, out),
            Request::CommitOffsets(request) => {
                self.decide_commit_offsets(to, request, &settings, cx, out);
            }
            Request::DeleteOffsets(request) => self.decide_delete_offsets(to, request, out),
            Request::DeleteGroup(group) => self.decide_delete_group(to, &group, out),
            Request::Ask(query) => self.decide_ask(to, &query, out),
            Request::TopicsDeleted(topics) => self.decide_topics_deleted(to, &topics, out),
            Request::ConsumerHeartbeat(request) => {
                self.decide_consumer_heartbeat(to, request, &settings, cx, out);
            }
            Request::Assigned(outcome) => self.decide_assigned(to, &outcome, cx, out),
            Request::RegexesResolved(outcome) => self.decide_resolved(to, &outcome, cx, out),
            Request::ConnectionClosed { group, connection } => {
                self.decide_connection_closed(to, &group, connection, &settings, cx, out);
            }
        }
    }

    fn expire(&self, cx: &mut Cx<'_>, out: &mut Decision<Self>) {
        self.decide_expire(cx, out);
    }

    fn deadline(&self) -> Option<MonoMs> {
        self.find_deadline()
    }

    fn replay(&mut self, at: Offset, event: Event<'_, Self>) {
        match event {
            // The marker of a transaction: there are none yet.
            Event::Batch(_) => {}
            Event::Record(head, record) => self.replay_record(at, head, record),
            Event::Soft(soft) => self.replay_soft(soft),
        }
    }

    fn plan(&self, query: &Query, _: Marks) -> Result<Plan, Refusal> {
        self.plan_query(query)
    }

    fn unfinished(&self, _: &mut Vec<Effect>) {}

    fn snapshot(&self) -> Vec<GroupSnapshot> {
        let groups = self.groups.iter().map(|(id, group)| GroupSnapshot {
            group: id.clone(),
            classic: match &group.kind {
                Kind::Classic { logged, .. } => logged.clone(),
                Kind::Consumer(_) => None,
            },
            consumer: match &group.kind {
                Kind::Classic { .. } => None,
                Kind::Consumer(group) => Some(group.logged().clone()),
            },
            offsets: group.offsets.clone(),
            position: group.position,
        });
        // A group that nobody joined yet and that holds nothing is volatile altogether.
        groups
            .filter(|group| {
                let is_logged = group.classic.is_some() || group.consumer.is_some();
                is_logged || !group.offsets.is_empty()
            })
            .collect()
    }

    fn restore(snapshot: Vec<GroupSnapshot>) -> Self {
        let mut coordinator = Coordinator::default();
        for logged in snapshot {
            let kind = match (logged.classic, &logged.consumer) {
                (_, Some(logged)) => Kind::Consumer(Box::new(Consumer::from_logged(logged))),
                (Some(record), None) => Kind::Classic {
                    live: Arc::new(classic::Classic::from_record(&record)),
                    logged: Some(record),
                },
                (None, None) => Kind::simple(),
            };
            let group = Group {
                offsets: logged.offsets,
                position: logged.position,
                ..Group::new(kind)
            };
            coordinator.insert(logged.group, group);
        }
        coordinator
    }

    /// No file: the whole log is replayed at start, and compaction keeps it short.
    fn encode_snapshot(_: &Vec<GroupSnapshot>) -> Option<Vec<u8>> {
        None
    }

    fn decode_snapshot(_: Offset, _: &[u8]) -> Option<Vec<GroupSnapshot>> {
        None
    }
}

impl Group {
    fn new(kind: Kind) -> Group {
        Group {
            kind,
            offsets: Offsets::default(),
            position: Offset::ZERO,
            armed: None,
        }
    }
}

impl Coordinator {
    /// A number for an order to others, so that no late outcome is taken for that of a newer one; not even
    /// if this machine was rebuilt in between.
    fn next_order(&self, now: MonoMs) -> u64 {
        self.last_order.max(now.0) + 1
    }

    /// End of the newest record about the group's members; `None` if there is no such group, which only
    /// the whole log can say.
    fn position(&self, group: &str) -> Option<Offset> {
        self.groups.get(group).map(|group| group.position)
    }
}
