//! Who may commit offsets in a classic group (Kafka `ClassicGroup.validateOffsetCommit`).

use ottla_model::time::MonoMs;

use super::{Classic, State, millis};
use crate::group::{CommitOffsets, Refusal, Soft};

impl Classic {
    /// Whether the committer may; a member's commit says that it is alive, too.
    pub(in crate::group) fn check_commit(
        &self,
        request: &CommitOffsets,
        now: MonoMs,
    ) -> Result<Option<Soft>, Refusal> {
        if request.generation < 0 && self.state == State::Empty {
            return Ok(None);
        }
        if request.generation < 0 && request.member.is_empty() && request.instance.is_none() {
            return Err(Refusal::UnknownMember);
        }
        let member = self.check_member(&request.member, request.instance.as_ref())?;
        if request.generation != self.generation {
            return Err(Refusal::IllegalGeneration);
        }
        match self.state {
            // It knows its generation, and not yet what is its own in it.
            State::CompletingRebalance => Err(Refusal::RebalanceInProgress),
            State::Stable | State::PreparingRebalance { .. } => Ok(Some(Soft::Heard {
                group: request.group.clone(),
                member: request.member.clone(),
                until: now + millis(member.session_timeout_ms),
                connection: None,
            })),
            State::Empty => Ok(None),
        }
    }
}
