//! The passing of time: which groups are due, and in what order.
//!
//! A group has one timer, armed at the earliest moment at which one of its members or its rebalance
//! wants something. Whoever moves such a moment later leaves the timer as it is: when it goes off it
//! is armed anew. So a heartbeat costs no timer, and an idle group costs a look per session.

use super::classic::{Classic, Turn};
use super::consumer::Consumer;
use super::{Coordinator, GroupId, Kind, Settings, Soft};
use crate::contract::{Cx, Decision, Emit};
use ottla_model::time::MonoMs;

/// Most groups that one turn cares for.
const GROUPS_MAX: usize = 256;

impl Coordinator {
    pub(super) fn decide_expire(&self, cx: &mut Cx<'_>, out: &mut Decision<Self>) {
        let default = Settings::default();
        let settings = self.settings.as_deref().unwrap_or(&default);
        for id in self.dormant.iter().take(GROUPS_MAX) {
            self.in_turn(
                id,
                settings,
                cx,
                out,
                |turn| turn.wake(),
                |group, cx, out| {
                    Self::wake_consumer(id, group, settings, cx, out);
                },
            );
        }
        let due = self.timers.iter().take_while(|(at, _)| *at <= cx.mono);
        for (_, id) in due.take(GROUPS_MAX) {
            let deadline = self.groups.get(id).and_then(|group| group.kind.deadline());
            if self.dormant.contains(id) {
                // Its sessions have just begun.
                continue;
            }
            if deadline.is_some_and(|at| at <= cx.mono) {
                self.in_turn(
                    id,
                    settings,
                    cx,
                    out,
                    |turn| turn.expire(),
                    |group, cx, out| {
                        self.expire_consumer(id, group, settings, cx, out);
                    },
                );
            } else {
                out.emits
                    .push(Emit::Volatile(Soft::Rearm { group: id.clone() }));
            }
        }
        if self.sweep_at().is_some_and(|at| at <= cx.mono)
            && let Some(settings) = &self.settings
        {
            self.decide_sweep(settings, cx, out);
        }
    }

    pub(super) fn find_deadline(&self) -> Option<MonoMs> {
        if !self.dormant.is_empty() {
            return Some(MonoMs(0));
        }
        let timer = self.timers.first().map(|(at, _)| *at);
        timer.into_iter().chain(self.sweep_at()).min()
    }

    /// When offsets are looked at next; not before the settings are known.
    fn sweep_at(&self) -> Option<MonoMs> {
        self.sweep.next.filter(|_| !self.groups.is_empty())
    }

    fn in_turn(
        &self,
        id: &GroupId,
        settings: &Settings,
        cx: &Cx<'_>,
        out: &mut Decision<Self>,
        act: impl FnOnce(&mut Turn<'_>),
        act_on_consumers: impl FnOnce(&Consumer, &Cx<'_>, &mut Decision<Self>),
    ) {
        let Some(group) = self.groups.get(id) else {
            return;
        };
        let live = match &group.kind {
            Kind::Classic { live, .. } => live,
            Kind::Consumer(group) => return act_on_consumers(group, cx, out),
        };
        let mut turn = Turn::new(id, Classic::clone(live), group.position, settings, cx, out);
        act(&mut turn);
        turn.finish();
    }
}
