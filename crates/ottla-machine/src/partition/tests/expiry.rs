//! Forgetting idle producers.

use super::*;
use crate::partition::PRODUCER_EXPIRATION_MS_DEFAULT;

const DAY_MS: u64 = PRODUCER_EXPIRATION_MS_DEFAULT;
const MINUTE_MS: u64 = 60_000;

/// Runs every expiry that is due, and tells how many turns that took.
fn expire_all(rig: &mut Rig) -> usize {
    let mut turns = 0;
    while rig.machine.deadline().is_some_and(|at| at <= rig.mono) {
        rig.expire();
        turns += 1;
        assert!(turns < 10_000, "the deadline never moves on");
    }
    turns
}

fn known(rig: &Rig) -> Vec<i64> {
    rig.machine
        .snapshot()
        .producers
        .iter()
        .map(|p| p.id.0)
        .collect()
}

#[test]
fn a_partition_without_producers_has_no_deadline() {
    let mut rig = Rig::default();
    rig.append(plain_batch(1)).unwrap();
    assert_eq!(rig.machine.deadline(), None);
    assert_eq!(rig.soft_count, 0);
}

#[test]
fn forgets_a_producer_that_was_idle_for_a_day_and_not_before() {
    let start = 5_000;
    let mut rig = Rig {
        mono: MonoMs(start),
        ..Rig::default()
    };
    rig.append(batch(1, 0, 0, 1)).unwrap();
    rig.append(batch(2, 0, 0, 1)).unwrap();
    rig.mono = MonoMs(start + DAY_MS / 2);
    rig.append(batch(2, 0, 1, 1)).unwrap();

    rig.mono = MonoMs(start + DAY_MS);
    expire_all(&mut rig);
    assert_eq!(
        known(&rig),
        [1, 2],
        "a day to the millisecond is not yet more than a day"
    );
    rig.mono = MonoMs(start + DAY_MS + MINUTE_MS);
    expire_all(&mut rig);
    assert_eq!(known(&rig), [2]);
    // Without state any sequence goes, as in Kafka.
    assert_eq!(rig.append(batch(1, 0, 77, 1)), appended(3));
    assert_eq!(rig.append(batch(2, 0, 9, 1)), out_of_order(2, 9));

    rig.mono = MonoMs(start + DAY_MS + DAY_MS / 2 + MINUTE_MS);
    expire_all(&mut rig);
    assert_eq!(known(&rig), [1]);
    rig.mono = MonoMs(start + 3 * DAY_MS);
    expire_all(&mut rig);
    assert_eq!(known(&rig), []);
    assert_eq!(rig.machine.deadline(), None);
}

#[test]
fn the_clock_is_told_once_a_minute_not_once_a_batch() {
    let mut rig = Rig {
        mono: MonoMs(1),
        ..Rig::default()
    };
    for sequence in 0..600 {
        rig.append(batch(1, 0, sequence, 1)).unwrap();
        rig.mono.0 += 1_000;
    }
    assert_eq!(rig.soft_count, 10);
}

#[test]
fn many_idle_producers_are_forgotten_a_bounded_number_per_turn() {
    let mut rig = Rig {
        mono: MonoMs(1),
        ..Rig::default()
    };
    for id in 0..5_000 {
        rig.append(batch(id, 0, 0, 1)).unwrap();
    }
    rig.mono = MonoMs(1 + DAY_MS + MINUTE_MS);
    assert_eq!(expire_all(&mut rig), 5);
    assert_eq!(known(&rig), []);
}

#[test]
fn the_time_of_a_restored_producer_begins_when_the_clock_is_told() {
    let mut rig = Rig {
        mono: MonoMs(1),
        ..Rig::default()
    };
    // Timestamps are 1000 and 1001: one producer of today and one who fills in old data.
    rig.append(batch(1, 0, 0, 1)).unwrap();
    rig.append(batch(2, 0, 1, 1)).unwrap();
    let now = WallMs(1001 + i64::try_from(DAY_MS).unwrap());
    let mut snapshot = rig.machine.snapshot();
    snapshot.producers[0].last_timestamp = now;

    // The monotonic clock of this process began long ago.
    let start = 100 * DAY_MS;
    let mut rig = Rig {
        machine: Partition::restore(snapshot),
        mono: MonoMs(start),
        wall: now,
        ..Rig::default()
    };
    assert!(rig.machine.deadline().is_some_and(|at| at <= rig.mono));
    expire_all(&mut rig);
    assert_eq!(known(&rig), [1, 2], "a retry may be under way");

    rig.mono = MonoMs(start + 60 * MINUTE_MS);
    expire_all(&mut rig);
    assert_eq!(known(&rig), [1, 2]);
    rig.mono = MonoMs(start + 61 * MINUTE_MS);
    expire_all(&mut rig);
    assert_eq!(known(&rig), [1]);
    rig.mono = MonoMs(start + DAY_MS + MINUTE_MS);
    expire_all(&mut rig);
    assert_eq!(known(&rig), []);
}

#[test]
fn the_time_is_configured() {
    let mut rig = Rig {
        mono: MonoMs(1),
        ..Rig::default()
    };
    let reply = rig.command(Command::SetProducerExpiration {
        expiration_ms: 1_000,
    });
    assert_eq!(reply.value, Ok(Answer::ProducerExpirationSet));
    rig.append(batch(1, 0, 0, 1)).unwrap();
    rig.mono = MonoMs(1 + 1_000 + MINUTE_MS);
    expire_all(&mut rig);
    assert_eq!(known(&rig), []);

    // The largest number overflows nothing.
    rig.command(Command::SetProducerExpiration {
        expiration_ms: u64::MAX,
    });
    rig.append(batch(1, 0, 0, 1)).unwrap();
    assert!(
        rig.machine
            .deadline()
            .is_some_and(|at| at > MonoMs(u64::MAX >> 3))
    );
}
