//! The local store on a disk that fails on purpose.

use std::path::Path;
use std::sync::{Arc, Mutex, Weak};

use bytes::Bytes;
use ottla_log::{
    AppendItem, Durability, LocalStore, Log, LogFault, LogStore, MarkListener, StoreOptions,
};
use ottla_model::ids::{LeaderEpoch, NodeId, Offset};
use ottla_model::marks::Marks;

use crate::conformance::{Batch, BatchMaker, spec};
use crate::sim_disk::{DiskError, Fault, Operation, SimDisk};

#[derive(Default)]
struct Closings(Mutex<Vec<String>>);

impl MarkListener for Closings {
    fn advanced(&self, _: Marks) {}
    fn closed(&self, fault: &LogFault) {
        self.0.lock().unwrap().push(fault.to_string());
    }
}

struct Rig {
    disk: SimDisk,
    store: Arc<LocalStore>,
    log: Arc<dyn Log>,
    maker: BatchMaker,
    closings: Arc<Closings>,
}

impl Rig {
    fn new() -> Rig {
        Rig::on(SimDisk::new())
    }

    fn on(disk: SimDisk) -> Rig {
        let options = StoreOptions::new(NodeId(1), Durability::Synced, Arc::new(|| [5; 16]));
        let (store, _) =
            LocalStore::open(Arc::new(disk.clone()), Path::new("/data"), options).unwrap();
        let (log, _) = store.open_log(&spec("t", 1)).unwrap();
        let closings = Arc::new(Closings::default());
        let weak: Weak<dyn MarkListener> =
            Arc::downgrade(&(closings.clone() as Arc<dyn MarkListener>));
        log.listen(weak);
        let mut maker = BatchMaker::new(3);
        maker.next = log.marks().written;
        Rig {
            disk,
            store,
            log,
            maker,
            closings,
        }
    }

    fn append(&mut self) -> Result<Batch, LogFault> {
        let before = self.maker.next;
        let batch = self.maker.batch();
        match self.log.append(&[batch.item()]) {
            Ok(_) => Ok(batch),
            Err(fault) => {
                self.maker.next = before;
                Err(fault)
            }
        }
    }

    fn content(&self) -> Vec<Bytes> {
        let mut content = Vec::new();
        self.log
            .replay(Offset(0), true, &mut |_, bytes| {
                content.push(Bytes::copy_from_slice(bytes));
                true
            })
            .unwrap();
        content
    }

    /// After a kill the log is what it was.
    fn survives_a_kill(self) {
        let content = self.content();
        let disk = self.disk.kill_image();
        drop((self.log, self.store));
        assert_eq!(Rig::on(disk).content(), content);
    }
}

#[test]
fn a_failed_append_leaves_nothing_and_the_next_one_goes_on() {
    for operation in [
        Operation::Write,
        Operation::CreateFile,
        Operation::Rename,
        Operation::SetLen,
    ] {
        for short in [0, 1, 100] {
            for after in 0..4 {
                let mut rig = Rig::new();
                let mut kept = vec![rig.append().unwrap().bytes];
                let before = rig.log.marks();
                let first = rig.maker.batch();
                let second = rig.maker.batch();
                let snapshot = Some(Bytes::from_static(b"state"));
                let items = [
                    first.item(),
                    AppendItem::Roll {
                        base_offset: second.head.base_offset,
                        snapshot,
                    },
                    second.item(),
                ];
                let fault = Fault::new(operation, DiskError::NoSpace)
                    .after(after)
                    .short(short);
                rig.disk.inject(fault);
                let result = rig.log.append(&items);
                rig.disk.heal();
                let place = format!("{operation:?} {after}, {short} bytes");
                match result {
                    Ok(_) => kept.extend([first.bytes, second.bytes]),
                    Err(_) => {
                        assert_eq!(rig.log.marks(), before, "{place}");
                        assert_eq!(rig.log.snapshots(), [], "{place}");
                        rig.log.probe(1).unwrap();
                        rig.maker.next = before.written;
                    }
                }
                assert_eq!(rig.content(), kept, "{place}");
                kept.push(rig.append().unwrap().bytes);
                while rig.store.flush_round() {}
                assert_eq!(rig.log.marks().durable, rig.maker.next, "{place}");
                assert_eq!(rig.content(), kept, "{place}");
                rig.survives_a_kill();
            }
        }
    }
}

#[test]
fn a_log_that_cannot_be_cut_back_closes() {
    for operation in [Operation::SetLen, Operation::Sync] {
        let mut rig = Rig::new();
        let kept = rig.append().unwrap();
        while rig.store.flush_round() {}
        rig.disk.inject(
            Fault::new(Operation::Write, DiskError::Io)
                .on(".log")
                .short(10),
        );
        rig.disk
            .inject(Fault::new(operation, DiskError::Io).on(".log"));
        assert!(rig.append().is_err());
        rig.disk.heal();
        assert_eq!(rig.closings.0.lock().unwrap().len(), 1, "{operation:?}");
        assert!(matches!(rig.append(), Err(LogFault::Closed(_))));
        // What was durable can still be read.
        let read = rig.log.read(Offset(0), Offset(i64::MAX), 0, true).unwrap();
        assert_eq!(read.bytes().unwrap(), kept.bytes);
        assert!(rig.store.close().is_err(), "such a stop is not a clean one");
    }
}

/// Regression: a sync that failed once succeeds the next time, with the data gone (fsyncgate).
#[test]
fn a_failed_sync_is_final() {
    for operation in [Operation::Sync, Operation::SyncDir] {
        let mut rig = Rig::new();
        rig.append().unwrap();
        let path = if operation == Operation::Sync {
            ".log"
        } else {
            "t-0"
        };
        rig.disk
            .inject(Fault::new(operation, DiskError::Io).on(path));
        rig.store.flush_round();
        rig.disk.heal();
        assert_eq!(rig.closings.0.lock().unwrap().len(), 1, "{operation:?}");
        assert!(matches!(rig.append(), Err(LogFault::Closed(_))));
        while rig.store.flush_round() {}
        assert_eq!(
            rig.log.marks().durable,
            Offset(0),
            "no later success counts"
        );
        assert!(rig.store.close().is_err());
    }
}

/// Regression: the next start took what the failed sync had left in the page cache for durable, as its
/// own sync of pages that count as clean succeeded. A power loss took it then.
#[test]
fn what_a_failed_sync_left_is_on_the_disk_after_the_next_start() {
    let mut rig = Rig::new();
    let mut kept = vec![rig.append().unwrap().bytes];
    while rig.store.flush_round() {}
    kept.push(rig.append().unwrap().bytes);
    rig.disk
        .inject(Fault::new(Operation::Sync, DiskError::Io).on(".log"));
    rig.store.flush_round();
    rig.disk.heal();
    let Rig {
        disk, store, log, ..
    } = rig;
    drop((store, log));

    let rig = Rig::on(disk);
    while rig.store.flush_round() {}
    assert_eq!(rig.content(), kept);
    assert_eq!(rig.log.marks().durable, rig.log.marks().written);
    for seed in 0..20 {
        assert_eq!(Rig::on(rig.disk.crash(seed)).content(), kept, "seed {seed}");
    }
}

#[test]
fn a_failed_sync_of_the_root_closes_the_logs_with_new_names_only() {
    let mut rig = Rig::new();
    rig.append().unwrap();
    while rig.store.flush_round() {}
    let (fresh, _) = rig.store.open_log(&spec("fresh", 1)).unwrap();
    let mut maker = BatchMaker::new(1);
    fresh.append(&[maker.batch().item()]).unwrap();
    rig.append().unwrap();
    rig.disk
        .inject(Fault::new(Operation::SyncDir, DiskError::Io).on("/data"));
    rig.store.flush_round();
    rig.disk.heal();
    assert!(matches!(
        fresh.append(&[maker.batch().item()]),
        Err(LogFault::Closed(_))
    ));
    assert_eq!(rig.log.marks().durable, rig.maker.next);
    rig.append().unwrap();
}

/// Many logs are synced at once; if the disk cannot, each for itself.
#[test]
fn many_logs_are_durable_after_one_sync_of_the_file_system_or_one_of_each() {
    for fails in [false, true] {
        let rig = Rig::new();
        let mut logs = Vec::new();
        for nth in 0..20 {
            let spec = spec(&format!("many-{nth}"), 1);
            let (log, _) = rig.store.open_log(&spec).unwrap();
            let mut maker = BatchMaker::new(nth);
            log.append(&[maker.batch().item()]).unwrap();
            logs.push((spec, log, maker));
        }
        // Names, and whatever else is new.
        while rig.store.flush_round() {}
        for (_, log, maker) in &mut logs {
            log.append(&[maker.batch().item()]).unwrap();
        }
        let fault = Fault::new(Operation::SyncFilesystem, DiskError::Io);
        if fails {
            rig.disk.inject(fault);
        } else {
            // None of the files is synced.
            let fault = Fault::new(Operation::Sync, DiskError::Io).on(".log");
            rig.disk.inject(fault.lasting());
        }
        rig.store.flush_round();
        rig.disk.heal();
        assert!(rig.closings.0.lock().unwrap().is_empty());
        let disk = rig.disk.crash(7);
        let after = Rig::on(disk);
        for (spec, log, maker) in logs {
            assert_eq!(log.marks().durable, maker.next, "{fails}");
            let (log, _) = after.store.open_log(&spec).unwrap();
            let mut batches = 0;
            log.replay(Offset(0), true, &mut |_, _| {
                batches += 1;
                true
            })
            .unwrap();
            assert_eq!(batches, 2, "{fails}");
        }
    }
}

/// No record is written above a reservation that may not be durable.
#[test]
fn an_append_waits_for_its_reservation() {
    let mut rig = Rig::new();
    rig.disk
        .inject(Fault::new(Operation::Sync, DiskError::Io).on("ottla-marks"));
    assert!(rig.append().is_err());
    rig.disk.heal();
    assert!(
        rig.append().is_err(),
        "a failed sync of the marks is final, too"
    );
    assert_eq!(rig.log.marks().written, Offset(0));
}

/// While an append waits for the disk, reads, marks and rounds of other logs go on.
#[test]
fn a_held_append_holds_nobody_else() {
    let mut rig = Rig::new();
    let first = rig.append().unwrap();
    while rig.store.flush_round() {}
    let (other, _) = rig.store.open_log(&spec("other", 1)).unwrap();
    let held = rig
        .disk
        .hold_next(Operation::Write, "t-0/00000000000000000000.log");
    let (log, batch) = (rig.log.clone(), rig.maker.batch());
    let appender =
        std::thread::spawn(move || log.append(&[batch.item()]).map(|marks| marks.written));
    held.wait_arrived();
    let read = rig.log.read(Offset(0), Offset(i64::MAX), 0, true).unwrap();
    assert_eq!(read.bytes().unwrap(), first.bytes);
    assert_eq!(rig.log.marks().written, first.head.next_offset());
    let mut maker = BatchMaker::new(1);
    other.append(&[maker.batch().item()]).unwrap();
    while rig.store.flush_round() {}
    assert_eq!(other.marks().durable, maker.next);
    held.release();
    assert_eq!(appender.join().unwrap().unwrap(), rig.maker.next);
}

/// What is appended while a round runs belongs to the next one.
#[test]
fn a_round_covers_what_was_there_when_it_began() {
    let mut rig = Rig::new();
    rig.append().unwrap();
    let covered = rig.maker.next;
    let held = rig.disk.hold_next(Operation::Sync, ".log");
    let store = rig.store.clone();
    let flusher = std::thread::spawn(move || store.flush_round());
    held.wait_arrived();
    rig.append().unwrap();
    held.release();
    assert!(flusher.join().unwrap());
    assert_eq!(rig.log.marks().durable, covered);
    assert!(rig.store.flush_round());
    assert_eq!(rig.log.marks().durable, rig.maker.next);
}

/// Regression: each deleted partition cost a sync of the root of its own, one after the other.
#[test]
fn many_logs_are_removed_with_one_sync() {
    let rig = Rig::new();
    let names: Vec<_> = (0..5).map(|nth| spec(&format!("d{nth}"), 1)).collect();
    for spec in &names {
        rig.store.open_log(spec).unwrap();
    }
    rig.disk
        .inject(Fault::new(Operation::SyncDir, DiskError::Io).after(1));
    let names: Vec<_> = names.into_iter().map(|spec| spec.name).collect();
    rig.store.remove_logs(&names).unwrap();
}

/// Regression: a start looked at the disk for every partition that was ever deleted.
#[test]
fn removing_what_is_long_gone_asks_the_disk_nothing() {
    let rig = Rig::new();
    for operation in [Operation::Read, Operation::Rename] {
        rig.disk
            .inject(Fault::new(operation, DiskError::Io).lasting());
    }
    let before = rig.disk.operations();
    rig.store.remove_log(&spec("gone", 1).name).unwrap();
    rig.store.remove_log(&spec("t", 9).name).unwrap();
    assert_eq!(rig.disk.operations(), before);
}

/// Regression: the directory went while an append was making files in it.
#[test]
fn a_removal_waits_for_the_append_in_flight() {
    let mut rig = Rig::new();
    let (first, second) = (rig.maker.batch(), rig.maker.batch());
    let held = rig.disk.hold_next(Operation::Write, ".log");
    let log = rig.log.clone();
    let appender = std::thread::spawn(move || {
        let roll = AppendItem::Roll {
            base_offset: second.head.base_offset,
            snapshot: None,
        };
        log.append(&[first.item(), roll, second.item()]).map(drop)
    });
    held.wait_arrived();
    let store = rig.store.clone();
    let remover = std::thread::spawn(move || store.remove_log(&spec("t", 1).name));
    while rig.log.read(Offset(0), Offset(0), 0, true).is_ok() {
        std::thread::yield_now();
    }
    // Time for a removal that does not wait.
    for _ in 0..10_000 {
        std::thread::yield_now();
    }
    held.release();
    appender.join().unwrap().unwrap();
    remover.join().unwrap().unwrap();
}

/// Regression: an append could slip in between the last sync of a clean stop and the mark that says
/// that it was clean, and the next start would have trusted it.
#[test]
fn a_clean_stop_takes_no_append_behind_its_last_sync() {
    let mut rig = Rig::new();
    rig.append().unwrap();
    let held = rig.disk.hold_next(Operation::Sync, ".log");
    let store = rig.store.clone();
    let closer = std::thread::spawn(move || store.close());
    held.wait_arrived();
    assert!(matches!(rig.append(), Err(LogFault::Closed(_))));
    held.release();
    closer.join().unwrap().unwrap();
}

/// Regression: a burst of first appends stood in line for one sync of the marks each, and after a
/// kill for two more, on the threads that serve the network.
#[test]
fn first_appends_wait_for_no_sync_once_they_are_prepared() {
    let disk = SimDisk::new();
    for start in 0..2 {
        let disk = if start == 0 {
            disk.clone()
        } else {
            disk.kill_image()
        };
        let rig = Rig::on(disk);
        let specs: Vec<_> = (0..6)
            .map(|nth| spec(&format!("p{nth}"), nth + 1))
            .collect();
        let logs: Vec<_> = specs
            .iter()
            .map(|spec| rig.store.open_log(spec).unwrap().0)
            .collect();
        for log in &logs {
            log.begin_epoch(LeaderEpoch(start)).unwrap();
        }
        // One sync of the marks for all of them.
        rig.disk.inject(
            Fault::new(Operation::Sync, DiskError::Io)
                .on("ottla-marks")
                .after(1),
        );
        let names: Vec<_> = specs.into_iter().map(|spec| spec.name).collect();
        rig.store.prepare_appends(&names).unwrap();
        rig.store.settle();
        for operation in [Operation::Sync, Operation::SyncDir] {
            rig.disk
                .inject(Fault::new(operation, DiskError::Io).lasting());
        }
        for log in &logs {
            let mut maker = BatchMaker::new(1);
            maker.next = log.marks().written;
            maker.epoch = LeaderEpoch(start);
            log.append(&[maker.batch().item()]).unwrap();
        }
        rig.disk.heal();
        while rig.store.flush_round() {}
    }
}
