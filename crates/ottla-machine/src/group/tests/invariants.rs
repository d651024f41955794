//! What must hold after every step.

use super::*;
use crate::group::classic::{Classic, State};

/// Panics if the rig's coordinator is not as it must be.
pub(super) fn check(rig: &mut Rig) {
    let machine = &rig.machine;
    let replayed = rig.replayed();
    assert_eq!(
        machine.snapshot(),
        replayed.snapshot(),
        "what the log says, live and after a restart"
    );
    let restored = Coordinator::restore(machine.snapshot());
    assert_eq!(restored.snapshot(), machine.snapshot());
    let mut tickets = BTreeSet::new();
    for (id, group) in &machine.groups {
        let (epoch, waiting) = match &group.kind {
            Kind::Classic { logged, live } => {
                check_classic(live);
                live.check_against(logged.as_deref());
                (live.generation(), live.tickets())
            }
            Kind::Consumer(group) => {
                group.check();
                (group.epoch(), group.tickets())
            }
        };
        for ticket in waiting {
            assert!(tickets.insert(ticket), "{ticket:?} waits twice");
        }
        let armed = group.armed;
        assert_eq!(
            armed.is_some(),
            machine
                .timers
                .iter()
                .any(|(at, of)| Some(*at) == armed && of == id)
        );
        let wanted = group.kind.deadline();
        assert!(
            wanted.is_none_or(|at| armed.is_some_and(|armed| armed <= at)),
            "a timer goes off in time"
        );
        let now = Told {
            of: group.kind.group_type(),
            was_empty: group.kind.is_empty(),
            epoch,
        };
        let told = rig.generations.insert(id.clone(), now);
        // One that was empty and is of another kind now began anew.
        let told = told.filter(|told| told.of == now.of || !told.was_empty);
        assert!(
            told.is_none_or(|told| epoch >= told.epoch),
            "generations and epochs only grow"
        );
    }
    assert_eq!(
        machine.timers.len(),
        machine
            .groups
            .values()
            .filter(|group| group.armed.is_some())
            .count()
    );
    // A deleted group may begin again from 0.
    rig.generations
        .retain(|id, _| machine.groups.contains_key(id));
    assert_eq!(tickets, rig.waiting, "who waits is known to the groups");
}

fn check_classic(group: &Classic) {
    group.check();
    if let State::Empty = group.state() {
        assert_eq!(group.member_ids().count(), 0, "nobody is in an empty group");
    }
}
