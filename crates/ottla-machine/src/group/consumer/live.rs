//! The volatile part of a consumer group: sessions and what else of a member runs out, what is being
//! computed elsewhere, and who waits for it. Gone after a restart.
//!
//! A member has one alarm, at the latest at the first moment at which something of it runs out. A
//! heartbeat moves that moment and leaves the alarm: when it goes off too early it is set anew. So it costs
//! one look-up here.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use ottla_model::time::MonoMs;

use super::{Consumer, Current};
use crate::contract::Ticket;
use crate::group::consumer::topics::Topics;
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
    /// Version of the topics that the expressions were resolved in; `None`: since a restart, in none.
    pub(super) regex_version: Option<u64>,
    /// An assignment is being computed.
    pub(super) computing: Option<Computing>,
    /// Expressions are being resolved, at the latest until then.
    pub(super) resolving: Option<MonoMs>,
    /// Who waits for an assignment, in order.
    pub(super) waiting: Vec<Waiting>,
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
pub(super) struct Computing {
    /// The group's epoch that it is for.
    pub(super) epoch: i32,
    /// A static member took another's place since, so it is of no use.
    pub(super) outdated: bool,
    /// It is taken for lost then.
    pub(super) until: MonoMs,
}

/// Who waits for an assignment.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// To be answered.
    pub(super) to: Ticket,
    /// The member.
    pub(super) member: MemberId,
    /// What it asked.
    pub(super) asked: Asked,
    /// The topics that there were.
    pub(super) topics: Arc<dyn Topics>,
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
    /// An answer waits for an assignment.
    Wait(Waiting),
    /// An assignment was ordered for this epoch; it is taken for lost then.
    Ordered(i32, MonoMs),
    /// A static member took another's place: what is being computed is of no use.
    Replaced,
    /// The assignment came, or came to nothing; `true`: all that waited for it are answered.
    Computed(bool),
    /// Expressions are being resolved; that is taken for lost then.
    Resolving(MonoMs),
    /// They are resolved, in topics of this version; `None`: they could not be.
    Resolved(Option<u64>),
    /// Those that wait for the member are answered.
    Answered(MemberId),
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
        let all = [alarm, computing, self.resolving];
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
            Change::Wait(waiting) => live.waiting.push(waiting.clone()),
            Change::Ordered(epoch, until) => {
                live.computing = Some(Computing {
                    epoch: *epoch,
                    outdated: false,
                    until: *until,
                });
            }
            Change::Replaced => {
                if let Some(computing) = &mut live.computing {
                    computing.outdated = true;
                }
            }
            Change::Computed(answered) => {
                live.computing = None;
                if *answered {
                    live.waiting.clear();
                }
            }
            Change::Resolving(until) => live.resolving = Some(*until),
            Change::Resolved(version) => {
                live.resolving = None;
                live.regex_version = version.or(live.regex_version);
            }
            Change::Answered(id) => live.waiting.retain(|waiting| waiting.member != *id),
        }
    }
}
