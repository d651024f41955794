//! Heartbeat (key 12), versions 0 to 4: a member of a classic group is alive, and hears if it has to join
//! again (`REBALANCE_IN_PROGRESS`). 3+ knows static members (KIP-345).

use ottla_broker::api::{GroupId, Heartbeat, InstanceId, MemberId};
use ottla_broker::authorize::{Operation, ResourceKind};
use ottla_wire::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use ottla_wire::{ApiKey, Reader};

use super::{Answering, Call, Handler, Registration};
use crate::error_map::{self, ErrorCode};

pub(super) const API: Registration = Registration {
    key: ApiKey::Heartbeat,
    versions: 0..=4,
    needs: (Operation::Read, ResourceKind::Group),
    handler: Handler::Alone(handle),
    note: "",
};

fn handle<'a>(call: &'a Call<'a>, mut body: Reader<'a>) -> Answering<'a> {
    Box::pin(async move {
        let request =
            HeartbeatRequest::decode(&mut body, call.version).map_err(|e| call.malformed(e))?;
        let group = GroupId::from(request.group_id);
        let heartbeat = Heartbeat {
            group: group.clone(),
            member: MemberId::from(request.member_id),
            instance: request.group_instance_id.map(InstanceId::from),
            generation: request.generation_id,
            connection: call.session.id(),
        };
        let heard = call.broker().heartbeat(&call.permit, heartbeat);
        let heard = call.session.speak(&group, heard).await;
        let code = heard.map_or_else(|error| error_map::group_error(&error), |()| ErrorCode::None);
        let response = HeartbeatResponse {
            error_code: code.code(),
            ..HeartbeatResponse::default()
        };
        call.answer(|w, version| response.encode(w, version))
    })
}
