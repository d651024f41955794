//! ListGroups (key 16), versions 0 to 5: which groups there are. 4+ may ask for some states (KIP-518), 5
//! for some types (KIP-848); a name that is none matches no group, upper and lower case are the same.

use ottla_broker::api::{GroupState, GroupType, ListFilter};
use ottla_broker::authorize::{Operation, ResourceKind};
use ottla_wire::list_groups::{ListGroupsRequest, ListGroupsResponse, ListedGroup};
use ottla_wire::{ApiKey, Reader};

use super::{Answering, Call, Handler, Registration};
use crate::error_map;

pub(super) const API: Registration = Registration {
    key: ApiKey::ListGroups,
    versions: 0..=5,
    needs: (Operation::Describe, ResourceKind::Group),
    handler: Handler::Alone(handle),
    note: "",
};

fn handle<'a>(call: &'a Call<'a>, mut body: Reader<'a>) -> Answering<'a> {
    Box::pin(async move {
        let request =
            ListGroupsRequest::decode(&mut body, call.version).map_err(|e| call.malformed(e))?;
        let filter = ListFilter {
            states: named(&request.states_filter, &GroupState::ALL, GroupState::as_str),
            types: named(&request.types_filter, &GroupType::ALL, GroupType::as_str),
        };
        let listed = call.broker().list_groups(&call.permit, &filter).await;
        let response = match &listed {
            Ok(groups) => {
                let groups = groups.iter().map(|group| ListedGroup {
                    group_id: &group.group,
                    protocol_type: &group.protocol_type,
                    group_state: group.state.as_str(),
                    group_type: group.group_type.as_str(),
                });
                ListGroupsResponse {
                    groups: groups.collect(),
                    ..ListGroupsResponse::default()
                }
            }
            Err(error) => ListGroupsResponse {
                error_code: error_map::group_error(error).code(),
                ..ListGroupsResponse::default()
            },
        };
        call.answer(|w, version| response.encode(w, version))
    })
}

/// Those of `all` that are asked for; `None` if nobody asked.
fn named<T: Copy>(asked: &[&str], all: &[T], name: fn(T) -> &'static str) -> Option<Vec<T>> {
    if asked.is_empty() {
        return None;
    }
    let is_asked = |one: &T| {
        let mut names = asked.iter();
        names.any(|asked| asked.trim().eq_ignore_ascii_case(name(*one)))
    };
    Some(all.iter().copied().filter(is_asked).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_of_unknown_names_matches_nothing() {
        let states = |asked| named(asked, &GroupState::ALL, GroupState::as_str);
        assert_eq!(states(&[]), None);
        assert_eq!(states(&["nonsense"]), Some(vec![]));
        assert_eq!(
            states(&[" stable", "EMPTY", "x"]),
            Some(vec![GroupState::Empty, GroupState::Stable])
        );
    }
}
