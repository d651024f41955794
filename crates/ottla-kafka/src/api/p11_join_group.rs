//! JoinGroup (key 11), versions 0 to 9: become or stay a member of a classic group.
//!
//! Answered when the group's rebalance is: until then nothing else of the connection is. A client that
//! hangs up gives up waiting; what becomes of its membership is for its group to say.
//!
//! - 0 has no rebalance timeout of its own: that of the session counts.
//! - 4+ gets `MEMBER_ID_REQUIRED` and an id first (KIP-394), 5+ knows static members (KIP-345), 7+ hears
//!   the protocol type (KIP-559), 9 may be told to skip the assignment (KIP-814).
//! - A protocol that nobody has chosen is empty before 7, and null from then on.

use std::sync::Arc;

use bytes::Bytes;
use ottla_broker::api::{
    GroupError, GroupId, GroupRefusal, InstanceId, Join, Joined, MemberId, Protocol,
};
use ottla_broker::authorize::{Operation, ResourceKind};
use ottla_wire::join_group::{JoinGroupRequest, JoinGroupResponse, JoinGroupResponseMember};
use ottla_wire::{ApiKey, Reader};

use super::call::host;
use super::{Answering, Call, Handler, Registration};
use crate::error_map;

pub(super) const API: Registration = Registration {
    key: ApiKey::JoinGroup,
    versions: 0..=9,
    needs: (Operation::Read, ResourceKind::Group),
    handler: Handler::Alone(handle),
    note: "",
};

/// From this version on a new member is told its id first.
const MEMBER_ID_REQUIRED: i16 = 4;
/// From this version on a protocol may be null.
const NULL_PROTOCOL: i16 = 7;
/// From this version on a leader may be told to skip the assignment.
const SKIP_ASSIGNMENT: i16 = 9;

fn handle<'a>(call: &'a Call<'a>, mut body: Reader<'a>) -> Answering<'a> {
    Box::pin(async move {
        let request =
            JoinGroupRequest::decode(&mut body, call.version).map_err(|e| call.malformed(e))?;
        let group = GroupId::from(request.group_id);
        let protocols = request.protocols.iter().map(|protocol| Protocol {
            name: Arc::from(protocol.name),
            metadata: Bytes::copy_from_slice(protocol.metadata),
        });
        let join = Join {
            group: group.clone(),
            member: MemberId::from(request.member_id),
            instance: request.group_instance_id.map(InstanceId::from),
            client_id: Arc::from(call.client_id.unwrap_or_default()),
            client_host: Arc::from(host(call.peer.remote)),
            connection: call.session.id(),
            session_timeout_ms: request.session_timeout_ms,
            rebalance_timeout_ms: if call.version == 0 {
                request.session_timeout_ms
            } else {
                request.rebalance_timeout_ms
            },
            protocol_type: Arc::from(request.protocol_type),
            protocols: protocols.collect(),
            member_id_required: call.version >= MEMBER_ID_REQUIRED,
            may_skip_assignment: call.version >= SKIP_ASSIGNMENT,
            topics: call.broker().group_topics(),
        };
        let joining = call.broker().join_group(&call.permit, join);
        let joined = call
            .unless_hurried(call.session.speak(&group, joining))
            .await;
        let response = match &joined {
            Ok(joined) => welcome(joined),
            Err(error) => refuse(error, request.member_id),
        };
        let response = JoinGroupResponse {
            protocol_name: match response.protocol_name {
                None | Some("") if call.version >= NULL_PROTOCOL => None,
                name => Some(name.unwrap_or_default()),
            },
            ..response
        };
        call.answer(|w, version| response.encode(w, version))
    })
}

fn welcome(joined: &Joined) -> JoinGroupResponse<'_> {
    let members = joined.members.iter().map(|member| JoinGroupResponseMember {
        member_id: &member.member,
        group_instance_id: member.instance.as_deref(),
        metadata: &member.metadata,
    });
    JoinGroupResponse {
        generation_id: joined.generation,
        protocol_type: joined.protocol_type.as_deref(),
        protocol_name: joined.protocol.as_deref(),
        leader: &joined.leader,
        skip_assignment: joined.skip_assignment,
        member_id: &joined.member,
        members: members.collect(),
        ..JoinGroupResponse::default()
    }
}

/// Which member a refusal names: mostly the one that asked.
fn refuse<'r>(error: &'r GroupError, asked: &'r str) -> JoinGroupResponse<'r> {
    let member_id = match error {
        GroupError::Refused(
            GroupRefusal::MemberIdRequired(member) | GroupRefusal::Replaced(member),
        ) => member,
        GroupError::Refused(GroupRefusal::GroupFull | GroupRefusal::Removed) => "",
        GroupError::Refused(_) | GroupError::NotHere => asked,
    };
    JoinGroupResponse {
        error_code: error_map::group_error(error).code(),
        generation_id: -1,
        member_id,
        ..JoinGroupResponse::default()
    }
}
