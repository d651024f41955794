//! DeleteGroups (key 42), versions 0 to 2: groups without members go, with their offsets (KIP-229). Each
//! succeeds or fails alone; one that is named twice is deleted once.

use std::collections::HashSet;

use ottla_broker::api::GroupId;
use ottla_broker::authorize::{Operation, ResourceKind};
use ottla_wire::delete_groups::{DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse};
use ottla_wire::{ApiKey, Reader};

use super::{Answering, Call, Handler, Registration};
use crate::error_map::{self, ErrorCode};

pub(super) const API: Registration = Registration {
    key: ApiKey::DeleteGroups,
    versions: 0..=2,
    needs: (Operation::Delete, ResourceKind::Group),
    handler: Handler::Alone(handle),
    note: "",
};

fn handle<'a>(call: &'a Call<'a>, mut body: Reader<'a>) -> Answering<'a> {
    Box::pin(async move {
        let request =
            DeleteGroupsRequest::decode(&mut body, call.version).map_err(|e| call.malformed(e))?;
        let mut seen = HashSet::new();
        let mut results = Vec::new();
        for id in request.groups_names.iter().filter(|id| seen.insert(**id)) {
            let group = GroupId::from(*id);
            let deleted = call.broker().delete_group(&call.permit, group).await;
            let code = deleted.map_or_else(|e| error_map::group_error(&e), |()| ErrorCode::None);
            results.push(DeletableGroupResult {
                group_id: id,
                error_code: code.code(),
                ..DeletableGroupResult::default()
            });
        }
        let response = DeleteGroupsResponse {
            results,
            ..DeleteGroupsResponse::default()
        };
        call.answer(|w, version| response.encode(w, version))
    })
}
