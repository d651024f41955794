//! Heartbeat (Kafka `classicGroupHeartbeat`): says that a member is alive, and hears if the group
//! rebalances. Costs two look-ups: it neither copies the group nor touches its timers.

use super::{Classic, State, millis};
use crate::contract::{Cx, Decision, Emit, Reply, Ticket, Wait};
use crate::group::{Answer, Coordinator, Heartbeat, Kind, Refusal, Settings, Soft};

impl Coordinator {
    pub(in crate::group) fn decide_heartbeat(
        &self,
        to: Ticket,
        request: Heartbeat,
        settings: &Settings,
        cx: &mut Cx<'_>,
        out: &mut Decision<Self>,
    ) {
        let group = self.groups.get(&request.group);
        let live = match group.map(|group| &group.kind) {
            Some(Kind::Consumer(group)) => {
                return self.hear_classic_consumer(to, &request, group, settings, cx, out);
            }
            _ if request.group.is_empty() => Err(Refusal::InvalidGroupId),
            Some(Kind::Classic { live, .. }) => Ok(live),
            None => Err(Refusal::UnknownMember),
        };
        let value = live.and_then(|live| live.check_heartbeat(&request));
        let value = value.map(|(state, timeout_ms)| {
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
            saw: group.map(|group| group.position),
            wait: Wait::Durable,
        });
    }
}

impl Classic {
    /// The group's state, and how long the member's session is, in ms.
    fn check_heartbeat(&self, request: &Heartbeat) -> Result<(State, u64), Refusal> {
        let member = self.check_member(&request.member, request.instance.as_ref())?;
        if request.generation != self.generation {
            return Err(Refusal::IllegalGeneration);
        }
        Ok((self.state, millis(member.session_timeout_ms)))
    }
}
