//! Appending, snapshots, epochs, and the life of a log.

use std::sync::Arc;

use bytes::Bytes;
use ottla_log::{ActiveSegment, AppendItem, LogFault, LogStore};
use ottla_model::ids::{LeaderEpoch, Offset};

use super::batches::BatchMaker;
use super::model::Model;
use super::{log, partition, spec};

pub(super) fn appends_nothing_that_does_not_fit<S: LogStore>(store: &Arc<S>, seed: u64) {
    let log = log(store);
    let end = Model::fill(&log, seed, 10).end();
    let mut maker = BatchMaker::new(seed + 1);
    let early = maker.batch();
    maker.next = end;
    let (first, second) = (maker.batch(), maker.batch());
    let mut short = first.item();
    if let AppendItem::Batch { bytes, .. } = &mut short {
        bytes.truncate(bytes.len() - 1);
    }
    let roll = |base_offset| AppendItem::Roll {
        base_offset,
        snapshot: None,
    };
    for refused in [
        vec![early.item()],
        vec![short],
        vec![second.item()],
        vec![second.item(), first.item()],
        vec![first.item(), early.item()],
        vec![roll(end), first.item(), roll(end), second.item()],
        vec![first.item(), roll(second.head.next_offset()), second.item()],
    ] {
        let before = (log.marks(), log.active_segment());
        assert!(log.append(&refused).is_err(), "{refused:?}");
        assert_eq!((log.marks(), log.active_segment()), before);
    }
    // Nothing is in the way of what does fit.
    let all = [first.item(), roll(second.head.base_offset), second.item()];
    assert_eq!(
        log.append(&all).expect("the disk is well").written,
        second.head.next_offset()
    );
    let bytes = log
        .read(end, Offset(i64::MAX), 0, true)
        .expect("inside")
        .bytes()
        .expect("the disk is well");
    assert_eq!(bytes, first.bytes);
    let bytes = log
        .read(first.head.next_offset(), Offset(i64::MAX), 0, true)
        .expect("inside");
    assert_eq!(bytes.bytes().expect("the disk is well"), second.bytes);
}

pub(super) fn keeps_the_newest_snapshots<S: LogStore>(store: &Arc<S>, seed: u64) {
    let log = log(store);
    assert_eq!(log.snapshots(), []);
    let mut maker = BatchMaker::new(seed);
    log.append(&[maker.batch().item()])
        .expect("the disk is well");
    let mut newest = Vec::new();
    for round in 0..6u8 {
        let at = maker.next;
        let snapshot = Some(Bytes::from(vec![round; 100 * usize::from(round)]));
        log.append(&[
            AppendItem::Roll {
                base_offset: at,
                snapshot,
            },
            maker.batch().item(),
        ])
        .expect("the disk is well");
        newest.insert(0, at);
        let known = log.snapshots();
        assert_eq!(known[..known.len().min(2)], newest[..newest.len().min(2)]);
        assert_eq!(
            log.read_snapshot(at).expect("it is there"),
            vec![round; 100 * usize::from(round)]
        );
        store.flush_round();
    }
    let end = log.marks().written;
    log.write_snapshot(end, b"at the end")
        .expect("the disk is well");
    assert_eq!(log.snapshots()[0], end);
    assert_eq!(
        log.read_snapshot(end).expect("it is there"),
        &b"at the end"[..]
    );
    assert!(log.read_snapshot(Offset(i64::MAX)).is_err());
}

pub(super) fn knows_the_active_segment<S: LogStore>(store: &Arc<S>, seed: u64) {
    let log = log(store);
    let model = Model::fill(&log, seed, 60);
    let base = model.rolls.last().copied().unwrap_or(Offset::ZERO);
    let found = log.active_segment();
    let mut expected = ActiveSegment::empty(base, found.created);
    model
        .batches
        .iter()
        .filter(|batch| batch.head.base_offset >= base)
        .for_each(|batch| expected.add(&batch.head));
    assert_eq!(found, expected);
}

pub(super) fn knows_leader_epochs<S: LogStore>(store: &Arc<S>, seed: u64) {
    let log = log(store);
    assert_eq!(log.epoch_end(LeaderEpoch(0)), None);
    assert_eq!(log.epoch_at(Offset(0)), None);
    let mut maker = BatchMaker::new(seed);
    let mut begun: Vec<(LeaderEpoch, Offset)> = Vec::new();
    for (epoch, appends) in [(0, 3), (1, 0), (4, 2), (5, 1), (7, 0)] {
        maker.epoch = LeaderEpoch(epoch);
        log.begin_epoch(maker.epoch).expect("the disk is well");
        log.begin_epoch(LeaderEpoch(epoch - 1))
            .expect("an older epoch is no news");
        begun.push((maker.epoch, maker.next));
        for _ in 0..appends {
            log.append(&[maker.batch().item()])
                .expect("the disk is well");
        }
    }
    // Epoch 1 has no record, so nobody can have seen it end.
    let (zero, four, five, seven) = (begun[0], begun[2], begun[3], begun[4]);
    let end = maker.next;
    for (asked, answer) in [
        (-1, None),
        (0, Some((zero.0, four.1))),
        (1, Some((zero.0, four.1))),
        (3, Some((zero.0, four.1))),
        (4, Some((four.0, five.1))),
        (6, Some((five.0, seven.1))),
        (7, Some((seven.0, end))),
        (8, None),
    ] {
        assert_eq!(log.epoch_end(LeaderEpoch(asked)), answer, "epoch {asked}");
    }
    assert_eq!(log.epoch_at(Offset(0)), Some(zero.0));
    assert_eq!(log.epoch_at(Offset(four.1.0 - 1)), Some(zero.0));
    assert_eq!(log.epoch_at(four.1), Some(four.0));
    assert_eq!(log.epoch_at(end), Some(seven.0));
}

pub(super) fn a_probe_leaves_no_trace<S: LogStore>(store: &Arc<S>, seed: u64) {
    let log = log(store);
    let model = Model::fill(&log, seed, 5);
    let before = (log.marks(), log.active_segment());
    log.probe(1 << 20).expect("the disk is well");
    assert_eq!((log.marks(), log.active_segment()), before);
    let mut batches = 0;
    log.replay(Offset(0), true, &mut |_, _| {
        batches += 1;
        true
    })
    .expect("the disk is well");
    assert_eq!(batches, model.batches.len());
}

pub(super) fn removes_and_creates_again<S: LogStore>(store: &Arc<S>, seed: u64) {
    let missing = partition("nowhere", 1);
    store
        .remove_log(&missing)
        .expect("nothing to remove is fine");

    let old = log(store);
    Model::fill(&old, seed, 5);
    assert!(matches!(
        store.open_log(&spec("conformance", 1)),
        Err(LogFault::Refused { .. })
    ));
    store
        .remove_log(&partition("conformance", 1))
        .expect("the disk is well");
    let mut maker = BatchMaker::new(seed);
    assert!(matches!(
        old.append(&[maker.batch().item()]),
        Err(LogFault::Closed(_))
    ));

    let (new, recovery) = store
        .open_log(&spec("conformance", 2))
        .expect("the name is free");
    assert!(recovery.created);
    assert_eq!(new.marks().written, Offset(0));
    // A late removal of the old incarnation does not touch the new one.
    store
        .remove_log(&partition("conformance", 1))
        .expect("nothing to remove is fine");
    Model::fill(&new, seed, 5);
    while store.flush_round() {}
    assert_eq!(new.marks().durable, new.marks().written);
}

pub(super) fn a_closed_store_takes_nothing<S: LogStore>(store: &Arc<S>, seed: u64) {
    let log = log(store);
    let end = Model::fill(&log, seed, 5).end();
    store.close().expect("the disk is well");
    assert_eq!(log.marks().durable, end);
    let mut maker = BatchMaker::new(seed);
    maker.next = end;
    assert!(matches!(
        log.append(&[maker.batch().item()]),
        Err(LogFault::Closed(_))
    ));
    assert!(store.open_log(&spec("late", 1)).is_err());
}
