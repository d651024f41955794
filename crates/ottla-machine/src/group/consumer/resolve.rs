//! Regular expressions that members subscribe to: when the topics that they match are looked for, and
//! what becomes of the outcome (Kafka `maybeUpdateRegularExpressions`, `handleRegularExpressionsResult`).
//!
//! All expressions of a group are resolved together, outside the turn and one time at once, so that one
//! change of topics leads to one new assignment. A new expression is resolved at once, and whoever brought
//! it waits for that; Kafka leaves up to ten seconds in between. Topics that are new are looked for at most
//! every `regex_refresh_ms_min`, all topics every `group.consumer.regex.refresh.interval.ms`.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use ottla_model::time::MonoMs;

use super::live::WORK_MS_MAX;
use super::topics::Topics;
use super::update::Draft;
use super::{Change, Consumer, ConsumerRecord, MemberFacts, ResolvedRegex};
use crate::contract::{Cx, Decision, Ticket, Wait};
use crate::group::{
    Answer, Coordinator, Effect, GroupId, Kind, Refusal, RegexOrder, RegexesResolved, Settings,
};

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
        if !self.index.regexes.contains_key(&new.regex)
            && let Some(fault) = fault
        {
            return Err(Refusal::InvalidRegex(Arc::clone(fault)));
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
        let mut regexes: BTreeSet<&Arc<str>> = self.index.regexes.keys().collect();
        if old.regex != new.regex {
            if self.index.regexes.get(&old.regex) == Some(&1) {
                regexes.remove(&old.regex);
            }
            if !new.regex.is_empty() {
                regexes.insert(&new.regex);
            }
        }
        let resolved = &self.logged.regexes;
        let is_unresolved = regexes.iter().any(|regex| !resolved.contains_key(*regex));
        let since_ms = resolved
            .values()
            .next()
            .map_or(i64::MAX, |first| now_ms.saturating_sub(first.time_ms));
        let is_stale = since_ms > settings.regex_refresh_ms_min
            && self.live.regex_version != Some(topics.version())
            || since_ms > settings.regex_refresh_interval_ms;
        let is_due = !regexes.is_empty() && (is_unresolved || is_stale);
        is_due.then(|| regexes.into_iter().cloned().collect())
    }
}

/// Has expressions resolved.
pub(super) fn order(
    group: &GroupId,
    regexes: Vec<Arc<str>>,
    topics: &Arc<dyn Topics>,
    now: MonoMs,
    draft: &mut Draft,
    out: &mut Decision<Coordinator>,
) {
    draft.changes.push(Change::Resolving(now + WORK_MS_MAX));
    out.effects.push(Effect::ResolveRegexes(RegexOrder {
        group: group.clone(),
        regexes,
        topics: Arc::clone(topics),
    }));
}

impl Coordinator {
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
        let topics = self.newest(&outcome.topics);
        let mut draft = Draft::default();
        let version = (!outcome.resolved.is_empty()).then(|| outcome.topics.version());
        draft.changes.push(Change::Resolved(version));
        let mut counts: BTreeMap<&Arc<str>, isize> = BTreeMap::new();
        let mut has_changed = false;
        for (regex, matches) in &outcome.resolved {
            if !group.index.regexes.contains_key(regex) {
                continue;
            }
            let old = group.logged.regexes.get(regex);
            let old = old.into_iter().flat_map(|resolved| &resolved.topics);
            if !old.clone().eq(matches.iter()) {
                has_changed = true;
                old.for_each(|topic| *counts.entry(topic).or_default() -= 1);
                matches
                    .iter()
                    .for_each(|topic| *counts.entry(topic).or_default() += 1);
            }
            let resolved = ResolvedRegex {
                topics: matches.clone(),
                version: outcome.topics.version().cast_signed(),
                time_ms: cx.wall.0,
            };
            let resolved = Some(Arc::new(resolved));
            draft
                .records
                .push(ConsumerRecord::Regex(Arc::clone(regex), resolved));
        }
        if !draft.records.is_empty() {
            for (name, of) in &group.index.topics {
                *counts.entry(name).or_default() += (of.names + of.regexes).cast_signed();
            }
            let names = counts.into_iter().filter(|(_, count)| *count > 0);
            let names: Vec<&Arc<str>> = names.map(|(name, _)| name).collect();
            group.bump(has_changed, &names, &**topics, &mut draft);
        }
        draft.emit(id, out);
    }
}
