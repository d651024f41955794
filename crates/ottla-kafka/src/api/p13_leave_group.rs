//! LeaveGroup (key 13), versions 0 to 5: members leave a classic group. Up to 2 one member, with the error
//! at the top; from 3 on several, each with its own (KIP-345). A reason (5, KIP-800) is for logs only.

use ottla_broker::api::{GroupId, InstanceId, Leave, Leaving, MemberId};
use ottla_broker::authorize::{Operation, ResourceKind};
use ottla_wire::leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberResponse};
use ottla_wire::{ApiKey, Reader};

use super::{Answering, Call, Handler, Registration};
use crate::error_map::{self, ErrorCode};

pub(super) const API: Registration = Registration {
    key: ApiKey::LeaveGroup,
    versions: 0..=5,
    needs: (Operation::Read, ResourceKind::Group),
    handler: Handler::Alone(handle),
    note: "",
};

/// From this version on several members may leave at once.
const BATCHED: i16 = 3;

fn handle<'a>(call: &'a Call<'a>, mut body: Reader<'a>) -> Answering<'a> {
    Box::pin(async move {
        let request =
            LeaveGroupRequest::decode(&mut body, call.version).map_err(|e| call.malformed(e))?;
        let members = if call.version >= BATCHED {
            let members = request.members.iter().map(|member| Leaving {
                member: MemberId::from(member.member_id),
                instance: member.group_instance_id.map(InstanceId::from),
            });
            members.collect()
        } else {
            vec![Leaving {
                member: MemberId::from(request.member_id),
                instance: None,
            }]
        };
        let leave = Leave {
            group: GroupId::from(request.group_id),
            members,
        };
        let left = call.broker().leave_group(&call.permit, leave).await;
        let codes: Result<Vec<ErrorCode>, ErrorCode> = match &left {
            Ok(results) => Ok(results
                .iter()
                .map(|result| match result {
                    Ok(()) => ErrorCode::None,
                    Err(refusal) => error_map::group(refusal),
                })
                .collect()),
            Err(error) => Err(error_map::group_error(error)),
        };
        let response = match codes {
            Err(code) => LeaveGroupResponse {
                error_code: code.code(),
                ..LeaveGroupResponse::default()
            },
            Ok(codes) if call.version < BATCHED => LeaveGroupResponse {
                error_code: codes.first().copied().unwrap_or(ErrorCode::None).code(),
                ..LeaveGroupResponse::default()
            },
            Ok(codes) => {
                let members = request.members.iter().zip(codes);
                LeaveGroupResponse {
                    members: members
                        .map(|(member, code)| MemberResponse {
                            member_id: member.member_id,
                            group_instance_id: member.group_instance_id,
                            error_code: code.code(),
                        })
                        .collect(),
                    ..LeaveGroupResponse::default()
                }
            }
        };
        call.answer(|w, version| response.encode(w, version))
    })
}
