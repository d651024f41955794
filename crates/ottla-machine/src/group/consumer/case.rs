//! What every decision about one group begins with, and how a member's request ends.

use ottla_model::ids::Offset;

use super::heartbeat::Seated;
use super::live::Waiting;
use super::update::Draft;
use super::{Change, Consumer};
use crate::contract::{Cx, Decision, Reply, Wait};
use crate::group::{Coordinator, GroupId, Refusal, Settings};

/// A group that is decided about, and what holds for it.
#[derive(Clone, Copy)]
pub(super) struct Case<'a, 'c> {
    pub(super) id: &'a GroupId,
    pub(super) group: &'a Consumer,
    /// End of the newest record about it; `None`: there is none.
    pub(super) position: Option<Offset>,
    pub(super) settings: &'a Settings,
    pub(super) cx: &'a Cx<'c>,
}

impl Coordinator {
    /// A member whose place and facts are settled is answered; or it waits for an assignment if it `must`.
    pub(super) fn conclude(
        case: Case<'_, '_>,
        seated: Seated<'_>,
        waiting: Waiting,
        must_wait: bool,
        mut draft: Draft,
        out: &mut Decision<Self>,
    ) -> Result<(), Refusal> {
        let group = case.group;
        if let Some(old) = seated.replaces {
            draft.changes.push(Change::Replaced);
            group.refuse_waiting(old, &Refusal::FencedInstance, &mut draft, out);
        }
        if must_wait {
            let (id, session) = (seated.id, seated.session);
            draft.changes.push(Change::Session(id.clone(), session));
            group.refuse_waiting(id, &Refusal::RebalanceInProgress, &mut draft, out);
            draft.changes.push(Change::Wait(id.clone(), waiting));
            draft.emit(case.id, out);
            return Ok(());
        }
        let Waiting { to, asked } = waiting;
        let answer = group.finish(seated, &asked, case.settings, case.cx, &mut draft)?;
        let saw = draft.saw(case.position);
        draft.emit(case.id, out);
        out.replies.push(Reply {
            to,
            value: Ok(answer),
            saw,
            wait: Wait::Durable,
        });
        Ok(())
    }
}
