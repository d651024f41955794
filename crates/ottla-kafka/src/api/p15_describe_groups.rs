//! DescribeGroups (key 15), versions 0 to 6: classic groups and their members, for admins.
//!
//! A group that is not there, or no classic one, is `Dead`, from 6 on with `GROUP_ID_NOT_FOUND` (KIP-1043).
//! 3+ may ask for the operations that the client is permitted (KIP-430). A group that is asked for twice is
//! answered once.

use std::collections::HashSet;

use ottla_broker::api::{DescribedGroup as Found, GroupError, GroupId, GroupRefusal, GroupState};
use ottla_broker::authorize::{Operation, ResourceKind};
use ottla_wire::describe_groups::{
    DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup, DescribedGroupMember,
};
use ottla_wire::{ApiKey, Reader};

use super::call::GROUP_OPERATIONS;
use super::{Answering, Call, Handler, Registration};
use crate::error_map;

pub(super) const API: Registration = Registration {
    key: ApiKey::DescribeGroups,
    versions: 0..=6,
    needs: (Operation::Describe, ResourceKind::Group),
    handler: Handler::Alone(handle),
    note: "",
};

/// From this version on a group that is not there is an error.
const NOT_FOUND: i16 = 6;

fn handle<'a>(call: &'a Call<'a>, mut body: Reader<'a>) -> Answering<'a> {
    Box::pin(async move {
        let request = DescribeGroupsRequest::decode(&mut body, call.version)
            .map_err(|e| call.malformed(e))?;
        let mut seen = HashSet::new();
        let mut groups = Vec::new();
        for id in request.groups.iter().filter(|id| seen.insert(**id)) {
            let group = GroupId::from(*id);
            let found = call.broker().describe_group(&call.permit, &group).await;
            let message = match &found {
                Err(GroupError::Refused(GroupRefusal::NotClassicGroup)) => {
                    format!("Group {id} is not a classic group.")
                }
                _ => format!("Group {id} not found."),
            };
            groups.push((*id, found, message));
        }
        // Of a group that is not there, too, as long as that is no error.
        let authorized_operations = if request.include_authorized_operations {
            GROUP_OPERATIONS
        } else {
            i32::MIN
        };
        let groups = groups.iter().map(|(id, found, not_found)| match found {
            Ok(found) => DescribedGroup {
                authorized_operations,
                ..describe(id, found)
            },
            Err(error) => {
                let is_missing = matches!(
                    error,
                    GroupError::Refused(
                        GroupRefusal::GroupNotFound | GroupRefusal::NotClassicGroup
                    )
                );
                let is_error = !is_missing || call.version >= NOT_FOUND;
                DescribedGroup {
                    group_id: id,
                    group_state: if is_missing {
                        GroupState::Dead.as_str()
                    } else {
                        ""
                    },
                    error_code: if is_error {
                        error_map::group_error(error).code()
                    } else {
                        0
                    },
                    authorized_operations: if is_error {
                        i32::MIN
                    } else {
                        authorized_operations
                    },
                    error_message: (is_missing && is_error).then_some(not_found.as_str()),
                    ..DescribedGroup::default()
                }
            }
        });
        let response = DescribeGroupsResponse {
            groups: groups.collect(),
            ..DescribeGroupsResponse::default()
        };
        call.answer(|w, version| response.encode(w, version))
    })
}

fn describe<'r>(id: &'r str, found: &'r Found) -> DescribedGroup<'r> {
    let members = found.members.iter().map(|member| DescribedGroupMember {
        member_id: &member.member,
        group_instance_id: member.instance.as_deref(),
        client_id: &member.client_id,
        client_host: &member.client_host,
        member_metadata: &member.metadata,
        member_assignment: &member.assignment,
    });
    DescribedGroup {
        group_id: id,
        group_state: found.state.as_str(),
        protocol_type: &found.protocol_type,
        protocol_data: &found.protocol,
        members: members.collect(),
        ..DescribedGroup::default()
    }
}
