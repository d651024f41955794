//! Which assignor a group uses: one that all members know. What members list is counted in maps, because
//! a member can list as many as fit into its request.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;

use super::{Classic, Protocol, State};

/// Most assignors that a member may list. Clients list one to three; Kafka has no bound.
pub(super) const PROTOCOLS_MAX: usize = 100;

/// What a member's assignors take, in bytes.
pub(in crate::group) fn bytes_of(protocols: &[Protocol]) -> usize {
    let bytes = protocols.iter();
    bytes.map(|of| of.name.len() + of.metadata.len()).sum()
}

impl Classic {
    /// Whether an assignor would be left that all members know and the one that joins, too.
    pub(super) fn has_common_protocol(&self, protocol_type: &str, protocols: &[Protocol]) -> bool {
        if self.state == State::Empty {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        if self.protocol_type.as_deref() != Some(protocol_type) {
            return false;
        }
        let common = self.common_protocols();
        let mut names = protocols.iter().map(|protocol| &protocol.name);
        names.any(|name| self.members.is_empty() || common.contains(name))
    }

    /// The assignor that most members like best among those that all know; of several the first by
    /// name. `None` without members.
    pub(super) fn choose_protocol(&self) -> Option<Arc<str>> {
        let common = self.common_protocols();
        let mut votes: BTreeMap<&Arc<str>, usize> = BTreeMap::new();
        for member in self.members.values() {
            let mut names = member.protocols.iter().map(|protocol| &protocol.name);
            if let Some(vote) = names.find(|name| common.contains(*name)) {
                *votes.entry(vote).or_default() += 1;
            }
        }
        let most = votes.values().max().copied()?;
        let winner = votes.into_iter().find(|(_, count)| *count == most);
        winner.map(|(name, _)| Arc::clone(name))
    }

    /// The assignors that all members know.
    pub(super) fn common_protocols(&self) -> BTreeSet<&Arc<str>> {
        let mut members = self.members.values().map(|member| {
            let names = member.protocols.iter().map(|protocol| &protocol.name);
            names.collect::<BTreeSet<_>>()
        });
        let first = members.next().unwrap_or_default();
        members.fold(first, |mut common, known| {
            common.retain(|name| known.contains(name));
            common
        })
    }
}
