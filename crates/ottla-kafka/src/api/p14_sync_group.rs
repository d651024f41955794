//! SyncGroup (key 14), versions 0 to 5: the leader of a classic group brings the assignment, every member
//! fetches its part. Answered when the leader's is there: until then nothing else of the connection is.
//!
//! 3+ knows static members (KIP-345). 5 must say which protocol the member takes for chosen, and hears it
//! (KIP-559).

use bytes::Bytes;
use ottla_broker::api::{GroupId, InstanceId, MemberId, SyncGroup};
use ottla_broker::authorize::{Operation, ResourceKind};
use ottla_wire::sync_group::{SyncGroupRequest, SyncGroupResponse};
use ottla_wire::{ApiKey, Reader};

use super::{Answering, Call, Handler, Registration};
use crate::error_map::{self, ErrorCode};

pub(super) const API: Registration = Registration {
    key: ApiKey::SyncGroup,
    versions: 0..=5,
    needs: (Operation::Read, ResourceKind::Group),
    handler: Handler::Alone(handle),
    note: "",
};

/// From this version on the protocol must be named.
const NAMES_PROTOCOL: i16 = 5;

fn handle<'a>(call: &'a Call<'a>, mut body: Reader<'a>) -> Answering<'a> {
    Box::pin(async move {
        let request =
            SyncGroupRequest::decode(&mut body, call.version).map_err(|e| call.malformed(e))?;
        let is_named = request.protocol_type.is_some() && request.protocol_name.is_some();
        if call.version >= NAMES_PROTOCOL && !is_named {
            let response = refuse(ErrorCode::InconsistentGroupProtocol);
            return call.answer(|w, version| response.encode(w, version));
        }
        let group = GroupId::from(request.group_id);
        let assignments = request.assignments.iter().map(|assignment| {
            let member = MemberId::from(assignment.member_id);
            (member, Bytes::copy_from_slice(assignment.assignment))
        });
        let sync = SyncGroup {
            group: group.clone(),
            member: MemberId::from(request.member_id),
            instance: request.group_instance_id.map(InstanceId::from),
            generation: request.generation_id,
            protocol_type: request.protocol_type.map(Into::into),
            protocol: request.protocol_name.map(Into::into),
            assignments: assignments.collect(),
            connection: call.session.id(),
            topics: call.broker().group_topics(),
        };
        let syncing = call.broker().sync_group(&call.permit, sync);
        let synced = call
            .unless_hurried(call.session.speak(&group, syncing))
            .await;
        let response = match &synced {
            Ok(synced) => SyncGroupResponse {
                protocol_type: synced.protocol_type.as_deref(),
                protocol_name: synced.protocol.as_deref(),
                assignment: &synced.assignment,
                ..SyncGroupResponse::default()
            },
            Err(error) => refuse(error_map::group_error(error)),
        };
        call.answer(|w, version| response.encode(w, version))
    })
}

fn refuse(code: ErrorCode) -> SyncGroupResponse<'static> {
    SyncGroupResponse {
        error_code: code.code(),
        ..SyncGroupResponse::default()
    }
}
