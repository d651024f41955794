//! Classic groups of consumers that become consumer groups (KIP-848), and back: what both have in common.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;
use ottla_model::time::MonoMs;

use super::{CONSUMER, Classic, Member, State};
use crate::contract::Ticket;
use crate::group::{ConnectionId, InstanceId, MemberId, Protocol};

/// A member on its way from one kind of group to the other.
#[derive(Clone, Debug)]
pub(in crate::group) struct Converted {
    pub(in crate::group) id: MemberId,
    pub(in crate::group) instance: Option<InstanceId>,
    pub(in crate::group) client_id: Arc<str>,
    pub(in crate::group) client_host: Arc<str>,
    pub(in crate::group) rebalance_timeout_ms: i32,
    pub(in crate::group) session_timeout_ms: i32,
    pub(in crate::group) protocols: Arc<[Protocol]>,
    pub(in crate::group) assignment: Bytes,
    pub(in crate::group) connection: Option<ConnectionId>,
    /// When its session ends.
    pub(in crate::group) until: MonoMs,
}

impl Classic {
    pub(in crate::group) fn size(&self) -> usize {
        self.members.len()
    }

    pub(in crate::group) fn epoch(&self) -> i32 {
        self.generation
    }

    /// Who waits for the group.
    pub(in crate::group) fn waiting(&self) -> Vec<Ticket> {
        let members = self.members.values();
        members
            .flat_map(|member| [member.joining, member.syncing])
            .flatten()
            .collect()
    }

    /// What a member tells the chosen assignor, or its first if it does not know that one.
    pub(in crate::group) fn told(&self, member: &Converted) -> Bytes {
        let chosen = self.protocol.as_deref();
        let mut protocols = member.protocols.iter();
        let known = protocols.find(|known| Some(&*known.name) == chosen);
        let known = known.or_else(|| member.protocols.first());
        known
            .map(|known| known.metadata.clone())
            .unwrap_or_default()
    }

    pub(in crate::group) fn to_converted(&self, now: MonoMs) -> Vec<Converted> {
        let members = self.members.iter().map(|(id, member)| Converted {
            id: id.clone(),
            instance: member.instance.clone(),
            client_id: Arc::clone(&member.client_id),
            client_host: Arc::clone(&member.client_host),
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            session_timeout_ms: member.session_timeout_ms,
            protocols: Arc::clone(&member.protocols),
            assignment: member.assignment.clone(),
            connection: member.connection,
            until: now + super::millis(member.session_timeout_ms),
        });
        members.collect()
    }

    /// The classic group of these members, stable at this generation; `None` if they have no assignor in
    /// common.
    pub(in crate::group) fn from_converted(
        generation: i32,
        now_ms: i64,
        members: Vec<Converted>,
    ) -> Option<Classic> {
        let mut group = Classic::empty(Some(now_ms));
        group.state = State::Stable;
        group.generation = generation;
        group.protocol_type = Some(Arc::from(CONSUMER));
        for converted in members {
            let member = Member {
                instance: converted.instance,
                client_id: converted.client_id,
                client_host: converted.client_host,
                rebalance_timeout_ms: converted.rebalance_timeout_ms.max(0),
                session_timeout_ms: converted.session_timeout_ms,
                protocols: converted.protocols,
                assignment: converted.assignment,
                joining: None,
                syncing: None,
                is_new: false,
                until: Some(converted.until),
                connection: converted.connection,
            };
            group.insert(converted.id, member);
        }
        group.protocol = Some(group.choose_protocol()?);
        group.subscribed = group.find_subscribed();
        Some(group)
    }

    /// Each member gets its assignment.
    pub(in crate::group) fn give(&mut self, mut assignments: BTreeMap<MemberId, Bytes>) {
        for (id, member) in &mut self.members {
            Arc::make_mut(member).assignment = assignments.remove(id).unwrap_or_default();
        }
    }

    /// What each member tells the chosen assignor.
    pub(in crate::group) fn subscriptions(&self) -> impl Iterator<Item = (&MemberId, Bytes)> {
        let protocol = self.protocol.as_deref();
        let members = self.members.iter();
        members.map(move |(id, member)| (id, member.metadata(protocol)))
    }
}
