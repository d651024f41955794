//! What admins see of a classic group.

use alloc::sync::Arc;

use bytes::Bytes;

use super::{Classic, State};
use crate::group::{DescribedGroup, DescribedMember};

impl Classic {
    pub(in crate::group) fn protocol_type(&self) -> Arc<str> {
        self.protocol_type.clone().unwrap_or_default()
    }

    pub(in crate::group) fn describe(&self) -> DescribedGroup {
        let protocol = self
            .protocol
            .clone()
            .filter(|_| self.state == State::Stable);
        let members = self.members.iter().map(|(id, member)| DescribedMember {
            member: id.clone(),
            instance: member.instance.clone(),
            client_id: Arc::clone(&member.client_id),
            client_host: Arc::clone(&member.client_host),
            metadata: match &protocol {
                Some(protocol) => member.metadata(Some(protocol)),
                None => Bytes::new(),
            },
            assignment: member.assignment.clone(),
        });
        DescribedGroup {
            state: self.shown_state(),
            protocol_type: self.protocol_type(),
            members: members.collect(),
            protocol: protocol.unwrap_or_default(),
        }
    }
}
