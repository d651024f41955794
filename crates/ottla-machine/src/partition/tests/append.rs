//! The rules for idempotent producers, and what each answer waits for.

use super::*;
use crate::partition::{InvalidRecord, Isolation, Query};

#[test]
fn appends_get_consecutive_offsets() {
    let mut rig = Rig::default();
    assert_eq!(rig.append(plain_batch(3)), appended(0));
    assert_eq!(rig.append(batch(7, 0, 0, 2)), appended(3));
    assert_eq!(rig.append(plain_batch(1)), appended(5));
    assert_eq!(
        rig.machine.snapshot().producers.len(),
        1,
        "no state for producers without id"
    );
}

#[test]
fn judges_each_batch_by_its_producers_state() {
    // One producer: (epoch, sequence, count) → verdict, in order; offsets show what was appended.
    let mut rig = Rig::default();
    for (epoch, sequence, count, verdict) in [
        // Nothing is known: any sequence.
        (3, 40, 5, appended(0)),
        // In sequence, then a gap, a repetition, an overlap with another end.
        (3, 45, 5, appended(5)),
        (3, 51, 1, out_of_order(50, 51)),
        (3, 45, 5, duplicate(5, 1045)),
        (3, 40, 5, duplicate(0, 1040)),
        (3, 45, 4, out_of_order(50, 45)),
        (3, 46, 4, out_of_order(50, 46)),
        (3, 50, 1, appended(10)),
        // An older incarnation, even with a sequence that would fit.
        (2, 51, 1, old_epoch(3, 2)),
        (2, 0, 1, old_epoch(3, 2)),
        // A newer one starts at 0 and makes the old window void.
        (4, 51, 1, out_of_order(0, 51)),
        (4, 0, 1, appended(11)),
        (3, 50, 1, old_epoch(4, 3)),
        (4, 0, 1, duplicate(11, 1000)),
        (4, 1, 1, appended(12)),
    ] {
        let got = rig.append(batch(9, epoch, sequence, count));
        assert_eq!(
            got, verdict,
            "epoch {epoch} sequence {sequence} count {count}"
        );
    }
    // Another producer is not concerned.
    assert_eq!(rig.append(batch(10, 0, 0, 1)), appended(13));
}

#[test]
fn remembers_exactly_five_batches() {
    let mut rig = Rig::default();
    for sequence in 0..6 {
        rig.append(batch(1, 0, sequence, 1)).unwrap();
    }
    assert_eq!(rig.append(batch(1, 0, 0, 1)), out_of_order(6, 0));
    for sequence in 1..6 {
        let timestamp_ms = 1000 + i64::from(sequence);
        assert_eq!(
            rig.append(batch(1, 0, sequence, 1)),
            duplicate(i64::from(sequence), timestamp_ms)
        );
    }
    assert_eq!(rig.log.len(), 6);
}

#[test]
fn sequences_wrap_to_zero() {
    let mut rig = Rig::default();
    assert_eq!(rig.append(batch(1, 0, i32::MAX - 1, 1)), appended(0));
    // Ends at 1: MAX, 0, 1.
    assert_eq!(rig.append(batch(1, 0, i32::MAX, 3)), appended(1));
    assert_eq!(
        rig.append(batch(1, 0, i32::MAX, 2)),
        out_of_order(2, i32::MAX)
    );
    assert_eq!(
        rig.append(batch(1, 0, i32::MAX, 3)),
        duplicate(1, 1000 + i64::from(i32::MAX))
    );
    assert_eq!(rig.append(batch(1, 0, 2, 1)), appended(4));

    // Ends exactly at MAX.
    assert_eq!(rig.append(batch(2, 0, i32::MAX, 1)), appended(5));
    assert_eq!(rig.append(batch(2, 0, 1, 1)), out_of_order(0, 1));
    assert_eq!(rig.append(batch(2, 0, 0, 1)), appended(6));
}

#[test]
fn a_producer_id_without_epoch_is_not_held_to_a_sequence() {
    let mut rig = Rig::default();
    assert_eq!(rig.append(batch(1, -1, 5, 1)), appended(0));
    assert_eq!(rig.append(batch(1, -1, 9, 1)), appended(1));
    assert_eq!(rig.append(batch(1, -1, 9, 1)), duplicate(1, 1009));
    assert_eq!(rig.append(batch(1, -2, 9, 1)), old_epoch(-1, -2));
    assert_eq!(rig.append(batch(1, 0, 3, 1)), appended(2));
}

#[test]
fn an_answer_waits_for_what_it_saw() {
    let mut rig = Rig::default();
    rig.append(batch(1, 0, 0, 5)).unwrap();
    rig.append(batch(2, 0, 0, 5)).unwrap();
    let command = |batch, wait| Command::Append {
        batch,
        wait,
        append_time: false,
    };

    // The retry saw the original (0 to 4), not what another producer wrote behind it.
    let reply = rig.command(command(batch(1, 0, 0, 5), Wait::Durable));
    assert_eq!((reply.saw, reply.wait), (Offset(5), Wait::Durable));
    // A gap is judged by the same batch.
    let reply = rig.command(command(batch(1, 0, 9, 1), Wait::Written));
    assert_eq!((reply.saw, reply.wait), (Offset(5), Wait::Written));
    let reply = rig.command(command(batch(2, -1, 9, 1), Wait::Durable));
    assert_eq!(reply.value, old_epoch(0, -1));
    assert_eq!((reply.saw, reply.wait), (Offset(10), Wait::Durable));
    // An append waits for itself.
    let reply = rig.command(command(batch(1, 0, 5, 3), Wait::Durable));
    assert_eq!((reply.saw, reply.wait), (Offset(13), Wait::Durable));
    let reply = rig.command(command(plain_batch(1), Wait::None));
    assert_eq!((reply.saw, reply.wait), (Offset(14), Wait::None));
}

#[test]
fn latest_is_the_written_end_once_it_is_durable() {
    let mut rig = Rig::default();
    rig.append(plain_batch(4)).unwrap();
    let reply = rig.command(Command::Latest);
    assert_eq!(
        reply,
        Replied {
            value: Ok(Answer::Latest { offset: Offset(4) }),
            saw: Offset(4),
            wait: Wait::Durable
        }
    );
}

#[test]
fn stamps_the_time_of_the_turn_where_the_topic_asks_for_it() {
    let mut rig = Rig {
        wall: WallMs(5_000_000),
        ..Rig::default()
    };
    let command = |batch| Command::Append {
        batch,
        wait: Wait::Durable,
        append_time: true,
    };
    let stamped = |duplicate| {
        Ok(Answer::Appended {
            base_offset: Offset(0),
            append_time: Some(WallMs(5_000_000)),
            log_start: Offset(0),
            duplicate,
        })
    };
    assert_eq!(
        rig.command(command(batch(1, 0, 0, 2))).value,
        stamped(false)
    );
    assert_eq!(rig.log[0].max_timestamp_ms, 5_000_000);

    // A retry gets the time of the original.
    rig.wall = WallMs(6_000_000);
    assert_eq!(rig.command(command(batch(1, 0, 0, 2))).value, stamped(true));
}

#[test]
fn every_refusal_is_reached() {
    let mut rig = Rig {
        log_start: Offset(1),
        ..Rig::default()
    };
    rig.append(batch(1, 5, 0, 3)).unwrap();
    let control = Attributes::default().with_control();
    let transactional = Attributes::default().with_transactional();
    let fetch = Query::Fetch {
        offset: Offset(9),
        isolation: Isolation::ReadUncommitted,
    };
    let marks = Marks {
        log_start: Offset(1),
        written: Offset(3),
        durable: Offset(3),
    };
    let refusals = [
        rig.append(batch(1, 5, 9, 1)).unwrap_err(),
        rig.append(batch(1, 4, 0, 1)).unwrap_err(),
        rig.append(batch_with(control, 1, 5, -1, 1)).unwrap_err(),
        rig.append(batch(1, 5, -7, 1)).unwrap_err(),
        rig.append(batch_with(transactional, 1, 5, 3, 1))
            .unwrap_err(),
        rig.machine.plan(&fetch, marks).unwrap_err(),
    ];
    // Exhaustive: a new refusal does not compile until it has a place here.
    let place = |refusal: &Refusal| match refusal {
        Refusal::OutOfOrderSequence { .. } => 0,
        Refusal::InvalidProducerEpoch { .. } => 1,
        Refusal::InvalidRecord(InvalidRecord::ControlBatch) => 2,
        Refusal::InvalidRecord(InvalidRecord::NoSequence(Sequence(-7))) => 3,
        Refusal::InvalidRecord(InvalidRecord::NoSequence(_)) => panic!("which batch was this?"),
        Refusal::NoOpenTransaction => 4,
        Refusal::OffsetOutOfRange { .. } => 5,
    };
    let places: Vec<usize> = refusals.iter().map(place).collect();
    assert_eq!(places, [0, 1, 2, 3, 4, 5]);
    assert_eq!(rig.log.len(), 1, "a refused batch leaves nothing");
}
