//! The volatile part of a consumer group: sessions and what else of a member runs out, what is being
//! computed elsewhere, and who waits for it. Gone after a restart.
//!
//! A member has one alarm, at the latest at the first moment at which something of it runs out. A
//! heartbeat moves that moment and leaves the alarm: when it goes off too early it is set anew. So it costs
//! one look-up here.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;

use ottla_model::time::MonoMs;

use super::{Consumer, Current};
use crate::contract::Ticket;
use crate::group::{ConnectionId, MemberId};

/// How long work that was ordered may take before it is taken for lost, ms.
pub(super) const WORK_MS_MAX: u64 = 60_000;

/// See the module's head.
#[derive(Clone, Default, Debug)]
pub(super) struct Live {
    pub(super) sessions: BTreeMap<MemberId, Session>,
    /// The alarms of all sessions.
    alarms: BTreeSet<(MonoMs, MemberId)>,
    /// Version of the topics that the metadata hash was computed of; `None`: since a restart, of none.
    pub(super) topics_version: Option<u64>,
    /// When all expressions were resolved together; `None`: not since a restart.
    pub(super) resolved: Option<Resolved>,
    /// An assignment is being computed.
    pub(super) computing: Option<Computing>,
    /// Expressions are being resolved.
    pub(super) resolving: Option<Resolving>,
    /// Who waits for an assignment: of each member its last request.
    pub(super) waiting: BTreeMap<MemberId, Waiting>,
}

/// What runs out for a member.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Session {
    /// It is gone if nothing was heard of it by then.
    pub(super) until: MonoMs,
    /// It is gone if it has not left the epoch by then: it has partitions to give up.
    pub(super) revoke: Option<(MonoMs, i32)>,
    /// Of the classic protocol: it is gone if it has not joined again by then.
    pub(super) join: Option<MonoMs>,
    /// Of the classic protocol: it is gone if it has not synced by then.
    pub(super) sync: Option<MonoMs>,
    /// The connection over which it spoke last.
    pub(super) connection: Option<ConnectionId>,
    /// When its alarm goes off; the group's business.
    pub(super) alarm: Option<MonoMs>,
}

/// An assignment that is being computed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Computing {
    /// Which order it is.
    pub(super) order: u64,
    /// The group's epoch that it is for.
    pub(super) epoch: i32,
    /// A static member took another's place since, so it is of no use.
    pub(super) outdated: bool,
    /// It is taken for lost then.
    pub(super) until: MonoMs,
}

/// Expressions that are being resolved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Resolving {
    /// Which order it is.
    pub(super) order: u64,
    /// It is taken for lost then.
    pub(super) until: MonoMs,
}

/// When all expressions were resolved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Resolved {
    /// The version of the topics that were asked.
    pub(super) version: u64,
    /// In ms since 1970.
    pub(super) time_ms: i64,
}

/// A request that waits for an assignment.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// To be answered.
    pub(super) to: Ticket,
    /// What it asked.
    pub(super) asked: Asked,
}

/// What of a request matters to its answer.
#[derive(Clone, Default, Debug)]
pub(super) struct Asked {
    /// It joined, or told all that it has: it is told its assignment in any case.
    pub(super) is_full: bool,
    /// It has just changed what it subscribes to.
    pub(super) has_subscription_changed: bool,
    /// What it says that it has, if it says so.
    pub(super) owned: Option<Arc<super::assignor::Partitions>>,
    /// It asked by JoinGroup.
    pub(super) by_join: bool,
    /// What it had when it asked.
    pub(super) had: Arc<Current>,
}

/// A volatile change of a consumer group.
#[derive(Clone, Debug)]
pub enum Change {
    /// What runs out for a member.
    Session(MemberId, Session),
    /// Its alarm went off too early.
    Alarm(MemberId),
    /// The metadata hash is of these topics.
    Hashed(u64),
    /// A member waits for an assignment. What it asked before is answered.
    Wait(MemberId, Waiting),
    /// An assignment was ordered.
    Computing(Computing),
    /// A static member took another's place: what is being computed is of no use.
    Replaced,
    /// The assignment came, or came to nothing.
    Computed,
    /// Expressions are being resolved.
    Resolving(Resolving),
    /// They are, or could not be; `Some`: those are all that there are.
    Resolved(Option<Resolved>),
    /// What the member waited for is answered.
    Answered(MemberId),
    /// All that waited are answered.
    AllAnswered,
}

impl Change {
    /// The number of the order that was given.
    pub(in crate::group) fn order(&self) -> Option<u64> {
        match self {
            Change::Computing(Computing { order, .. })
            | Change::Resolving(Resolving { order, .. }) => Some(*order),
            _ => None,
        }
    }
}

impl Session {
    pub(super) fn new(until: MonoMs, connection: Option<ConnectionId>) -> Session {
        Session {
            until,
            revoke: None,
            join: None,
            sync: None,
            connection,
            alarm: None,
        }
    }

    /// The first moment at which something runs out.
    pub(super) fn earliest(&self) -> MonoMs {
        let revoke = self.revoke.map(|(at, _)| at);
        let others = [revoke, self.join, self.sync];
        others.into_iter().flatten().fold(self.until, MonoMs::min)
    }
}

impl Live {
    /// True if answers wait for an assignment, and nobody is at work for the group.
    pub(super) fn wants_assignment(&self) -> bool {
        !self.waiting.is_empty() && self.computing.is_none() && self.resolving.is_none()
    }

    /// When time changes something next.
    pub(super) fn deadline(&self) -> Option<MonoMs> {
        let alarm = self.alarms.first().map(|(at, _)| *at);
        let computing = self.computing.map(|computing| computing.until);
        let resolving = self.resolving.map(|resolving| resolving.until);
        let all = [alarm, computing, resolving];
        all.into_iter().flatten().min()
    }

    #[cfg(test)]
    pub(super) fn alarms(&self) -> impl Iterator<Item = &(MonoMs, MemberId)> {
        self.alarms.iter()
    }

    /// Whose alarms have gone off.
    pub(super) fn alarmed(&self, now: MonoMs) -> impl Iterator<Item = &MemberId> {
        let due = self.alarms.iter().take_while(move |(at, _)| *at <= now);
        due.map(|(_, id)| id)
    }

    pub(super) fn forget(&mut self, id: &MemberId) {
        if let Some(session) = self.sessions.remove(id)
            && let Some(alarm) = session.alarm
        {
            self.alarms.remove(&(alarm, id.clone()));
        }
    }

    /// What runs out for a member from now on; nothing does for who `is_member` says is none.
    fn set(&mut self, id: &MemberId, session: &Session, is_member: impl FnOnce() -> bool) {
        match self.sessions.get_mut(id) {
            Some(known) => {
                *known = Session {
                    alarm: known.alarm,
                    ..session.clone()
                };
                arm(&mut self.alarms, id, known);
            }
            None if is_member() => {
                let mut session = Session {
                    alarm: None,
                    ..session.clone()
                };
                arm(&mut self.alarms, id, &mut session);
                self.sessions.insert(id.clone(), session);
            }
            None => {}
        }
    }
}

/// Sets a member's alarm to the first moment at which something runs out, unless it goes off by then.
fn arm(alarms: &mut BTreeSet<(MonoMs, MemberId)>, id: &MemberId, session: &mut Session) {
    let earliest = session.earliest();
    if session.alarm.is_some_and(|alarm| alarm <= earliest) {
        return;
    }
    if let Some(alarm) = session.alarm.replace(earliest) {
        alarms.remove(&(alarm, id.clone()));
    }
    alarms.insert((earliest, id.clone()));
}

impl Consumer {
    /// Applies a volatile change.
    pub(in crate::group) fn change(&mut self, change: &Change) {
        let live = &mut self.live;
        match change {
            Change::Session(id, session) => {
                let members = &self.logged.members;
                live.set(id, session, || members.contains_key(id));
            }
            Change::Alarm(id) => {
                if let Some(session) = live.sessions.get_mut(id) {
                    if let Some(alarm) = session.alarm.take() {
                        live.alarms.remove(&(alarm, id.clone()));
                    }
                    arm(&mut live.alarms, id, session);
                }
            }
            Change::Hashed(version) => live.topics_version = Some(*version),
            Change::Wait(id, waiting) => {
                live.waiting.insert(id.clone(), waiting.clone());
            }
            Change::Computing(computing) => live.computing = Some(*computing),
            Change::Replaced => {
                if let Some(computing) = &mut live.computing {
                    computing.outdated = true;
                }
            }
            Change::Computed => live.computing = None,
            Change::Resolving(resolving) => live.resolving = Some(*resolving),
            Change::Resolved(all) => {
                live.resolving = None;
                live.resolved = all.or(live.resolved);
            }
            Change::Answered(id) => {
                live.waiting.remove(id);
            }
            Change::AllAnswered => live.waiting.clear(),
        }
    }
}
