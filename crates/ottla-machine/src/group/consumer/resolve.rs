//! Regular expressions that members subscribe to: when the topics that they match are looked for, and
//! what becomes of the outcome (Kafka `maybeUpdateRegularExpressions`, `handleRegularExpressionsResult`).
//!
//! Expressions are resolved outside the turn, of a group one order at a time. One that is new is resolved
//! at once, alone, and whoever brought it waits for that; Kafka leaves up to ten seconds in between. All
//! of a group are resolved together when topics changed, at most every `regex_refresh_ms_min`, and every
//! `group.consumer.regex.refresh.interval.ms`; what matches as before is not logged again.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::live::{Resolved, Resolving, WORK_MS_MAX};
use super::topics::Topics;
use super::update::Draft;
use super::{Change, Consumer, ConsumerRecord, MemberFacts, ResolvedRegex};
use crate::contract::{Cx, Decision, Ticket, Wait};
use crate::group::{
    Answer, Coordinator, Effect, GroupId, Kind, Refusal, RegexOrder, RegexesResolved, Settings,
};

/// Most expressions of one group: each is matched with each topic. Kafka has no bound.
const REGEXES_MAX: usize = 250;

/// What a member's request means for its expression.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum RegexChange {
    /// It is as it was.
    None,
    /// It is another one, that is not resolved yet.
    Unresolved,
    /// It is another one, or none any more: what it stands for is known.
    Resolved,
}

impl RegexChange {
    pub(super) fn is_any(self) -> bool {
        self != RegexChange::None
    }

    /// True if the targets have to be computed anew. Not yet if nobody knows what it matches.
    pub(super) fn bumps(self) -> bool {
        self == RegexChange::Resolved
    }
}

impl Consumer {
    /// What changes if a member that said `old` says `new`. `fault`: why the new one does not compile.
    pub(super) fn change_regex(
        &self,
        old: &MemberFacts,
        new: &MemberFacts,
        fault: Option<&Arc<str>>,
        draft: &mut Draft,
    ) -> Result<RegexChange, Refusal> {
        if old.regex == new.regex {
            return Ok(RegexChange::None);
        }
        if self.index.regexes.get(&old.regex) == Some(&1) {
            let left = Arc::clone(&old.regex);
            draft.records.push(ConsumerRecord::Regex(left, None));
        }
        if new.regex.is_empty() {
            return Ok(RegexChange::Resolved);
        }
        if !self.index.regexes.contains_key(&new.regex) {
            if let Some(fault) = fault {
                return Err(Refusal::InvalidRegex(Arc::clone(fault)));
            }
            if self.index.regexes.len() >= REGEXES_MAX {
                let why = "the members of the group subscribe to 250 regular expressions already";
                return Err(Refusal::InvalidRegex(Arc::from(why)));
            }
        }
        Ok(if self.logged.regexes.contains_key(&new.regex) {
            RegexChange::Resolved
        } else {
            RegexChange::Unresolved
        })
    }

    /// The expressions to resolve now, if any: those of the group once a member that said `old` says `new`.
    pub(super) fn regexes_due(
        &self,
        old: &MemberFacts,
        new: &MemberFacts,
        topics: &dyn Topics,
        settings: &Settings,
        now_ms: i64,
    ) -> Option<Vec<Arc<str>>> {
        if new.regex.is_empty() && self.index.regexes.is_empty() || self.live.resolving.is_some() {
            return None;
        }
        let has_come = !new.regex.is_empty() && !self.logged.regexes.contains_key(&new.regex);
        let is_stale = self.are_regexes_stale(topics, settings, now_ms);
        if !has_come && !is_stale && !self.has_unresolved() {
            return None;
        }
        let mut regexes: BTreeSet<&Arc<str>> = self.index.regexes.keys().collect();
        if old.regex != new.regex {
            if self.index.regexes.get(&old.regex) == Some(&1) {
                regexes.remove(&old.regex);
            }
            if !new.regex.is_empty() {
                regexes.insert(&new.regex);
            }
        }
        if !is_stale {
            regexes.retain(|regex| !self.logged.regexes.contains_key(*regex));
        }
        (!regexes.is_empty()).then(|| regexes.into_iter().cloned().collect())
    }

    /// Whether members that subscribe to the expression are to have anything.
    fn has_targets_by(&self, regex: &Arc<str>) -> bool {
        let mut members = self.logged.members.iter();
        members.any(|(id, member)| {
            let target = self.logged.targets.get(id);
            member.facts.regex == *regex && target.is_some_and(|target| !target.is_empty())
        })
    }

    fn has_unresolved(&self) -> bool {
        self.logged.regexes.len() < self.index.regexes.len()
    }

    /// True if what the expressions match has to be looked for anew. Since a restart they are as old as the
    /// log says of the first, which may be older than it is.
    fn are_regexes_stale(&self, topics: &dyn Topics, settings: &Settings, now_ms: i64) -> bool {
        let logged = self.logged.regexes.values().next();
        let resolved = self.live.resolved;
        let Some(time_ms) = resolved
            .map(|all| all.time_ms)
            .or(logged.map(|first| first.time_ms))
        else {
            return false;
        };
        let since_ms = now_ms.saturating_sub(time_ms);
        let has_changed = resolved.is_none_or(|all| all.version != topics.version());
        since_ms > settings.regex_refresh_ms_min && has_changed
            || since_ms > settings.regex_refresh_interval_ms
    }
}

impl Coordinator {
    /// Has expressions resolved.
    pub(super) fn order_regexes(
        &self,
        group: &GroupId,
        regexes: Vec<Arc<str>>,
        topics: &Arc<dyn Topics>,
        cx: &Cx<'_>,
        draft: &mut Draft,
        out: &mut Decision<Coordinator>,
    ) {
        let order = self.next_order(cx.mono);
        draft.changes.push(Change::Resolving(Resolving {
            order,
            until: cx.mono + WORK_MS_MAX,
        }));
        out.effects.push(Effect::ResolveRegexes(RegexOrder {
            group: group.clone(),
            order,
            regexes,
            topics: Arc::clone(topics),
        }));
    }

    /// Expressions were resolved, or could not be.
    pub(in crate::group) fn decide_resolved(
        &self,
        to: Ticket,
        outcome: &RegexesResolved,
        cx: &Cx<'_>,
        out: &mut Decision<Self>,
    ) {
        out.answer(to, Answer::Noted, Wait::None);
        let id = &outcome.group;
        let Some(Kind::Consumer(group)) = self.groups.get(id).map(|group| &group.kind) else {
            return;
        };
        let resolving = group.live.resolving;
        if resolving.is_none_or(|of| of.order != outcome.order) {
            return;
        }
        let topics = self.newest(&outcome.topics);
        let version = outcome.topics.version();
        let mut draft = Draft::default();
        let mut counts: BTreeMap<&Arc<str>, isize> = BTreeMap::new();
        let mut has_changed = false;
        // Of those that members still subscribe to.
        let mut known = 0;
        for (regex, matches) in &outcome.resolved {
            if !group.index.regexes.contains_key(regex) {
                continue;
            }
            known += 1;
            let old = group.logged.regexes.get(regex);
            has_changed |= match old {
                Some(old) if old.topics == *matches => continue,
                // What its members had by another expression has to go to others.
                None if matches.is_empty() => group.has_targets_by(regex),
                _ => true,
            };
            let old = old.into_iter().flat_map(|resolved| &resolved.topics);
            old.for_each(|topic| *counts.entry(topic).or_default() -= 1);
            matches
                .iter()
                .for_each(|topic| *counts.entry(topic).or_default() += 1);
            let resolved = ResolvedRegex {
                topics: matches.clone(),
                version: version.cast_signed(),
                time_ms: cx.wall.0,
            };
            let resolved = Some(Arc::new(resolved));
            draft
                .records
                .push(ConsumerRecord::Regex(Arc::clone(regex), resolved));
        }
        if has_changed {
            for (name, of) in &group.index.topics {
                *counts.entry(name).or_default() += (of.names + of.regexes).cast_signed();
            }
            let names = counts.into_iter().filter(|(_, count)| *count > 0);
            let names: Vec<&Arc<str>> = names.map(|(name, _)| name).collect();
            group.bump(true, &names, &**topics, &mut draft);
        }
        let all = Resolved {
            version,
            time_ms: cx.wall.0,
        };
        let are_all = known > 0 && known == group.index.regexes.len();
        draft.changes.push(Change::Resolved(are_all.then_some(all)));
        // Others came meanwhile, and their members wait.
        let came = group.index.regexes.keys().filter(|regex| {
            !group.logged.regexes.contains_key(*regex)
                && !outcome.resolved.iter().any(|(done, _)| done == *regex)
        });
        let came: Vec<Arc<str>> = came.cloned().collect();
        if !came.is_empty() && !outcome.resolved.is_empty() {
            self.order_regexes(id, came, topics, cx, &mut draft, out);
        }
        draft.emit(id, out);
    }
}
