//! Heartbeat (Kafka `classicGroupHeartbeat`): says that a member is alive, and hears if the group
//! rebalances. Costs two look-ups: it neither copies the group nor touches its timers.

use super::{Classic, State, millis};
use crate::contract::{Cx, Decision, Emit, Reply, Ticket, Wait};
use crate::group::{Answer, Coordinator, Heartbeat, Kind, Refusal, Soft};

impl Coordinator {
    pub(in crate::group) fn decide_heartbeat(
        &self,
        to: Ticket,
        request: Heartbeat,
        cx: &mut Cx<'_>,
        out: &mut Decision<Self>,
    ) {
        if let Some(Kind::Consumer(group)) = self.groups.get(&request.group).map(|g| &g.kind) {
            return self.hear_classic_consumer(to, &request, group, cx, out);
        }
        let saw = self.position(&request.group);
        let value = self.check_heartbeat(&request).map(|(state, timeout_ms)| {
            out.emits.push(Emit::Volatile(Soft::Heard {
                group: request.group,
                member: request.member,
                until: cx.mono + timeout_ms,
                connection: Some(request.connection),
            }));
            state
        });
        let value = match value {
            Ok(State::PreparingRebalance { .. }) => Err(Refusal::RebalanceInProgress),
            Ok(_) => Ok(Answer::Alive),
            Err(refusal) => Err(refusal),
        };
        out.replies.push(Reply {
            to,
            value,
            saw,
            wait: Wait::Durable,
        });
    }

    fn check_heartbeat(&self, request: &Heartbeat) -> Result<(State, u64), Refusal> {
        if request.group.is_empty() {
            return Err(Refusal::InvalidGroupId);
        }
        match self.groups.get(&request.group).map(|group| &group.kind) {
            None => Err(Refusal::UnknownMember),
            Some(Kind::Classic { live, .. }) => live.check_heartbeat(request),
            Some(Kind::Consumer(_)) => Err(Refusal::UnknownMember),
        }
    }
}

impl Classic {
    /// The group's state, and how long the member's session is, in ms.
    fn check_heartbeat(&self, request: &Heartbeat) -> Result<(State, u64), Refusal> {
        self.check_member(&request.member, request.instance.as_ref())?;
        if request.generation != self.generation {
            return Err(Refusal::IllegalGeneration);
        }
        Ok((self.state, self.session_timeout_ms(&request.member)))
    }

    pub(super) fn session_timeout_ms(&self, member: &str) -> u64 {
        let member = self.members.get(member);
        member.map_or(0, |member| millis(member.session_timeout_ms))
    }
}
