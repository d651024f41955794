//! Compaction on the real disk: what other incarnations and Apache Kafka leave, damage, removal.

use std::fs;
use std::path::PathBuf;

use super::*;
use crate::checkpoint::CLEANED;
use crate::store::{Cleanup, CompactRule};

/// A compacted topic of an incarnation.
fn compacted(incarnation: u8) -> LogSpec {
    let mut spec = spec("compacted");
    spec.name.topic_id = Uuid([incarnation; 16]);
    spec.config.cleanup = Cleanup::Compact(CompactRule {
        dirty_ratio_min: 0.0,
        ..CompactRule::default()
    });
    spec
}

/// Appends `key n % 3`, value n for each offset, two to a segment, the last one in an active segment
/// of its own, and makes it durable.
fn fill(store: &LocalStore, log: &LocalLog, offsets: std::ops::Range<i64>) {
    let last = offsets.end - 1;
    for offset in offsets {
        let mut builder = BatchBuilder::new(BatchSpec::default(), 1_000 + offset);
        let (key, value) = (format!("key {}", offset % 3), offset.to_string());
        builder.push(
            Some(key.as_bytes()),
            Some(value.as_bytes()),
            &[],
            1_000 + offset,
        );
        let mut batch = builder.build();
        batch.stamp(Offset(offset), LeaderEpoch(0));
        let (head, bytes) = batch.freeze();
        let mut items = vec![AppendItem::Batch { head, bytes }];
        if offset > 0 && (offset % 2 == 0 || offset == last) {
            let base_offset = Offset(offset);
            items.insert(
                0,
                AppendItem::Roll {
                    base_offset,
                    snapshot: None,
                },
            );
        }
        log.append(&items).unwrap();
    }
    store.flush_round();
}

/// Offsets of the records that there are.
fn offsets(log: &LocalLog) -> Vec<i64> {
    let mut found = Vec::new();
    log.replay(Offset::ZERO, true, &mut |head, _| {
        found.extend((head.record_count > 0).then_some(head.base_offset.0));
        true
    })
    .unwrap();
    found
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with('0'))
        .collect();
    names.sort();
    names
}

/// Else what is dirty in the new one would be taken for clean, and its tombstones dropped before
/// what they hide.
#[test]
fn a_topic_made_again_does_not_inherit_how_far_it_was_compacted() {
    let root = tempfile::tempdir().unwrap();
    let checkpoint = || fs::read_to_string(root.path().join(CLEANED)).unwrap();
    let (store, _) = open(root.path());
    let (log, _) = store.open_local(&compacted(1)).unwrap();
    fill(&store, &log, 0..10);
    assert!(store.clean_round());
    assert!(!store.clean_round());
    assert_eq!(offsets(&log), [6, 7, 8, 9]);
    assert_eq!(checkpoint(), "0\n1\ncompacted 0 9\n");

    store.remove_log(&compacted(1).name).unwrap();
    assert_eq!(checkpoint(), "0\n0\n");
    // As if the removal had been somebody else's.
    fs::write(root.path().join(CLEANED), "0\n1\ncompacted 0 9\n").unwrap();
    drop((log, store));
    let (store, _) = open(root.path());
    let (log, _) = store.open_local(&compacted(2)).unwrap();
    assert_eq!(checkpoint(), "0\n0\n");
    fill(&store, &log, 0..10);
    assert!(store.clean_round());
    assert_eq!(offsets(&log), [6, 7, 8, 9]);
}

#[test]
fn a_compacted_log_comes_back_after_a_clean_stop_and_goes_on_where_it_was() {
    let root = tempfile::tempdir().unwrap();
    let (store, _) = open(root.path());
    let (log, _) = store.open_local(&compacted(1)).unwrap();
    fill(&store, &log, 0..10);
    assert!(store.clean_round());
    store.close().unwrap();
    drop((log, store));

    let (store, report) = open(root.path());
    assert!(report.clean);
    let (log, recovery) = store.open_local(&compacted(1)).unwrap();
    assert!(recovery.damage.is_empty() && recovery.cuts.is_empty());
    assert_eq!(offsets(&log), [6, 7, 8, 9]);
    assert!(!store.clean_round(), "nothing new was sealed");
    fill(&store, &log, 10..16);
    assert!(store.clean_round());
    assert_eq!(offsets(&log), [12, 13, 14, 15]);
}

/// The states that `LogLoader` completes or undoes: what was not renamed yet is not believed.
#[test]
fn an_interrupted_swap_of_kafkas_is_completed_or_undone() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("compacted-0");
    let (store, _) = open(root.path());
    let (log, _) = store.open_local(&compacted(1)).unwrap();
    fill(&store, &log, 0..10);
    let before: Vec<(PathBuf, Vec<u8>)> = names(&directory)
        .iter()
        .map(|name| {
            (
                directory.join(name),
                fs::read(directory.join(name)).unwrap(),
            )
        })
        .collect();
    assert!(store.clean_round());
    let first = format!("{:020}", 0);
    let new = fs::read(directory.join(format!("{first}.log"))).unwrap();
    drop((log, store));

    let old = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
    let cases: [(&str, &[&str], &[i64]); 5] = [
        ("still being written", &["log.cleaned"], &old),
        ("not all renamed", &["log.swap", "index.cleaned"], &old),
        (
            "all renamed",
            &["log.swap", "timeindex.swap"],
            &[6, 7, 8, 9],
        ),
        ("the log has its name", &["timeindex.swap"], &old),
        ("waits for deletion", &["log.deleted"], &old),
    ];
    for (case, left, wanted) in cases {
        names(&directory)
            .iter()
            .for_each(|name| fs::remove_file(directory.join(name)).unwrap());
        for (path, bytes) in &before {
            fs::write(path, bytes).unwrap();
        }
        for suffix in left {
            let content: &[u8] = if suffix.starts_with("log") { &new } else { &[] };
            fs::write(directory.join(format!("{first}.{suffix}")), content).unwrap();
        }
        let (store, _) = open(root.path());
        let (log, recovery) = store.open_local(&compacted(1)).unwrap();
        assert!(
            recovery.damage.is_empty() && recovery.cuts.is_empty(),
            "{case}: {recovery:?}"
        );
        assert_eq!(offsets(&log), wanted, "{case}");
        let unfinished = |name: &String| !name.ends_with("log") && !name.ends_with("index");
        assert!(
            !names(&directory).iter().any(unfinished),
            "{case}: {:?}",
            names(&directory)
        );
    }
}

#[test]
fn a_damaged_log_is_not_compacted() {
    let root = tempfile::tempdir().unwrap();
    let (store, _) = open(root.path());
    let (log, _) = store.open_local(&compacted(1)).unwrap();
    fill(&store, &log, 0..10);
    let path = log.directory().join(format!("{:020}.log", 4));
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&path, &bytes).unwrap();

    let before = names(log.directory());
    assert!(store.clean_round(), "it was tried");
    assert!(!store.clean_round(), "and is not tried again");
    assert_eq!(names(log.directory()), before);
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[test]
fn a_store_that_stops_ends_its_pass() {
    let root = tempfile::tempdir().unwrap();
    let (store, _) = open(root.path());
    let (log, _) = store.open_local(&compacted(1)).unwrap();
    fill(&store, &log, 0..10);
    let before = names(log.directory());
    store.stop();
    assert!(store.clean_round(), "it was begun");
    assert_eq!(names(log.directory()), before);
    // The thread, too.
    store.clean_until_stopped();
    store.close().unwrap();
}
