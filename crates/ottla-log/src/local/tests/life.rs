//! Kafka's directories, leftovers, many logs at once.

use std::fs;
use std::path::Path;

use ottla_model::ids::{LeaderEpoch, Offset};

use super::{append, batch, open, spec};
use crate::store::{AppendItem, Log, LogFault, LogStore};

fn kafka_directory(root: &Path, batches: i64) -> Vec<u8> {
    fs::write(
        root.join("meta.properties"),
        "#\n#Tue Sep 01 10:00:00 UTC 2026\ncluster.id=kafkas\ndirectory.id=AAAAAAAAAAAAAAAAAAAAAg\nnode.id=1\nversion=1\n",
    )
    .unwrap();
    let log = root.join("t-0");
    fs::create_dir(&log).unwrap();
    fs::write(
        log.join("partition.metadata"),
        "version: 0\ntopic_id: BwcHBwcHBwcHBwcHBwcHBw",
    )
    .unwrap();
    fs::write(log.join("leader-epoch-checkpoint"), "0\n1\n0 0\n").unwrap();
    let content: Vec<u8> = (0..batches).flat_map(|nth| batch(nth, 1, 100).1).collect();
    fs::write(log.join("00000000000000000000.log"), &content).unwrap();
    // As Kafka preallocates them: zeros up to 10 MiB.
    for name in [
        "00000000000000000000.index",
        "00000000000000000000.timeindex",
    ] {
        fs::File::create(log.join(name))
            .unwrap()
            .set_len(10 * 1024 * 1024)
            .unwrap();
    }
    content
}

#[test]
fn opens_what_kafka_left() {
    for clean in [true, false] {
        let root = tempfile::tempdir().unwrap();
        let content = kafka_directory(root.path(), 500);
        fs::write(root.path().join(".lock"), "").unwrap();
        fs::write(
            root.path().join("recovery-point-offset-checkpoint"),
            "0\n1\nt 0 120\n",
        )
        .unwrap();
        fs::write(
            root.path().join("log-start-offset-checkpoint"),
            "0\n1\nt 0 3\n",
        )
        .unwrap();
        if clean {
            fs::write(
                root.path().join(".kafka_cleanshutdown"),
                "{\"version\":0,\"brokerEpoch\":9}",
            )
            .unwrap();
        }
        let (store, report) = open(root.path());
        assert_eq!(
            (report.clean, report.marks_missing, report.power_loss),
            (clean, true, false)
        );
        assert_eq!(report.cluster_id, "kafkas");
        let (log, recovery) = store.open_local(&spec("t")).unwrap();
        assert!(
            recovery.damage.is_empty() && recovery.cuts.is_empty() && recovery.gap.is_none(),
            "{recovery:?}"
        );
        assert_eq!(
            (log.marks().log_start, log.marks().written),
            (Offset(3), Offset(500))
        );
        while store.flush_round() {}
        assert_eq!(log.marks().durable, Offset(500));
        assert_eq!(
            log.epoch_end(LeaderEpoch(0)),
            Some((LeaderEpoch(0), Offset(500)))
        );
        let size = content.len() / 500;
        let read = log
            .read(Offset(3), Offset(i64::MAX), usize::MAX, true)
            .unwrap()
            .bytes()
            .unwrap();
        assert_eq!(read, &content[3 * size..]);
        append(&log, 500, 1, 10);
        store.close().unwrap();
        let checkpoint = |name: &str| fs::read_to_string(root.path().join(name)).unwrap();
        for name in [
            "recovery-point-offset-checkpoint",
            "replication-offset-checkpoint",
        ] {
            assert_eq!(checkpoint(name), "0\n1\nt 0 501\n");
        }
        assert_eq!(checkpoint("log-start-offset-checkpoint"), "0\n1\nt 0 3\n");
        assert_eq!(checkpoint("cleaner-offset-checkpoint"), "0\n0\n");
        assert_eq!(
            checkpoint(".kafka_cleanshutdown"),
            "{\"version\":0,\"brokerEpoch\":-1}"
        );
        let index = fs::metadata(root.path().join("t-0/00000000000000000000.index"))
            .unwrap()
            .len();
        assert!(
            index > 0 && index < 4096 && index.is_multiple_of(8),
            "{index} bytes of index"
        );
        // A topic of the same name begins anew, and not where the old one was cut.
        drop((log, store));
        let (store, _) = open(root.path());
        let mut next = spec("t");
        store.remove_log(&next.name).unwrap();
        assert_eq!(checkpoint("log-start-offset-checkpoint"), "0\n0\n");
        next.name.topic_id = ottla_model::uuid::Uuid([9; 16]);
        let (log, _) = store.open_local(&next).unwrap();
        assert_eq!(
            (log.marks().log_start, log.marks().written),
            (Offset(0), Offset(0))
        );
    }
}

/// Regression: a dot in the name of a topic whose deletion was under way stopped the start
/// (KAFKA-5232).
#[test]
fn finishes_removals_and_keeps_strays() {
    let root = tempfile::tempdir().unwrap();
    let (store, _) = open(root.path());
    let name = spec("a.b.c").name;
    let (log, _) = store.open_local(&spec("a.b.c")).unwrap();
    append(&log, 0, 1, 10);
    store.remove_log(&name).unwrap();
    drop((log, store));
    let left = |mark: &str| {
        fs::read_dir(root.path())
            .unwrap()
            .filter(|entry| {
                entry
                    .as_ref()
                    .unwrap()
                    .file_name()
                    .to_string_lossy()
                    .ends_with(mark)
            })
            .count()
    };
    assert_eq!(left("-delete"), 1);

    let (store, report) = open(root.path());
    assert_eq!((report.leftovers, report.directories.len()), (1, 0));
    while store.delete_removed() {}
    assert_eq!(left("-delete"), 0);

    let (log, _) = store.open_local(&spec("kept")).unwrap();
    append(&log, 0, 1, 10);
    let refused = store.quarantine("kept-0");
    assert!(
        matches!(refused, Err(LogFault::Refused { .. })),
        "{refused:?}"
    );
    drop((log, store));
    let (store, report) = open(root.path());
    assert_eq!(report.directories[0].name, "kept-0");
    let aside = store.quarantine("kept-0").unwrap();
    assert!(
        aside.starts_with("kept-0.") && aside.ends_with("-stray"),
        "{aside}"
    );
    store.close().unwrap();
    drop(store);
    let (_store, report) = open(root.path());
    assert_eq!((report.others, report.directories.len()), (vec![aside], 0));
}

#[test]
fn one_round_syncs_many_logs_and_marks_are_used_again() {
    let root = tempfile::tempdir().unwrap();
    let (store, _) = open(root.path());
    let size = || {
        fs::metadata(root.path().join(super::super::marks::MARKS))
            .unwrap()
            .len()
    };
    let mut before = 0;
    for round in 0..3u8 {
        let specs: Vec<_> = (0..40)
            .map(|nth| {
                let mut spec = spec(&format!("t{nth}"));
                spec.name.topic_id = ottla_model::uuid::Uuid([round * 40 + nth + 1; 16]);
                spec
            })
            .collect();
        let logs: Vec<_> = specs
            .iter()
            .map(|spec| store.open_local(spec).unwrap().0)
            .collect();
        for log in &logs {
            append(log, 0, 3, 100);
        }
        assert!(store.flush_round());
        for log in &logs {
            assert_eq!(log.marks().durable, Offset(3));
        }
        for spec in &specs {
            store.remove_log(&spec.name).unwrap();
        }
        while store.flush_round() {}
        if round > 0 {
            assert_eq!(size(), before, "slots of removed logs are used again");
        }
        before = size();
    }
}

/// An append that is larger than what one vectored write takes.
#[test]
fn many_batches_go_in_one_append() {
    let root = tempfile::tempdir().unwrap();
    let (store, _) = open(root.path());
    let (log, _) = store.open_local(&spec("t")).unwrap();
    let items: Vec<AppendItem> = (0..5_000)
        .map(|nth| {
            let (head, bytes) = batch(nth, 1, 5);
            AppendItem::Batch { head, bytes }
        })
        .collect();
    assert_eq!(log.append(&items).unwrap().written, Offset(5_000));
    let mut next = 0;
    log.replay(Offset(0), true, &mut |head, bytes| {
        assert!(head.base_offset == Offset(next) && head.crc_matches(bytes));
        next += 1;
        true
    })
    .unwrap();
    assert_eq!(next, 5_000);
}

/// Regression: every start orders the removal of every topic that was ever deleted, and an unreadable
/// partition.metadata made the directory of a live topic of the same name look like theirs.
#[test]
fn a_live_topic_with_damaged_metadata_is_not_deleted_for_an_old_one_of_its_name() {
    let root = tempfile::tempdir().unwrap();
    let (store, _) = open(root.path());
    let (mut old, live) = (spec("t"), spec("t"));
    old.name.topic_id = ottla_model::uuid::Uuid([9; 16]);
    let (log, _) = store.open_local(&live).unwrap();
    append(&log, 0, 5, 100);
    store.close().unwrap();
    drop((log, store));

    fs::write(root.path().join("t-0/partition.metadata"), "vers").unwrap();
    let (store, _) = open(root.path());
    store.remove_log(&old.name).unwrap();
    let (log, _) = store.open_local(&live).unwrap();
    assert_eq!(log.marks().written, Offset(5));
}

/// Regression: under load nothing was ever deleted, because the flusher never had time for it.
#[test]
fn space_comes_back_while_logs_are_dirty() {
    let root = tempfile::tempdir().unwrap();
    let (store, _) = open(root.path());
    let mut busy = spec("busy");
    busy.name.topic_id = ottla_model::uuid::Uuid([9; 16]);
    let (busy, _) = store.open_local(&busy).unwrap();
    let (log, _) = store.open_local(&spec("t")).unwrap();
    append(&log, 0, 1, 10);
    store.remove_log(&spec("t").name).unwrap();
    let deleter = std::thread::spawn({
        let store = store.clone();
        move || store.delete_until_stopped()
    });
    let mut base = 0;
    while fs::read_dir(root.path()).unwrap().any(|entry| {
        entry
            .unwrap()
            .file_name()
            .to_string_lossy()
            .ends_with("-delete")
    }) {
        append(&busy, base, 1, 10);
        base += 1;
        assert!(store.flush_round());
    }
    store.stop();
    deleter.join().unwrap();
}
