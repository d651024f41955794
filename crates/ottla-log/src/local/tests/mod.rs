//! The store on the real disk: identity, lock, restarts, damage.

mod compaction;
mod damage;
mod life;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use ottla_model::batch::{BatchBuilder, BatchHead, BatchSpec};
use ottla_model::ids::{LeaderEpoch, NodeId, Offset, PartitionIndex};
use ottla_model::names::{TopicName, TopicPartition};
use ottla_model::uuid::Uuid;

use super::*;
use crate::disk::LocalDisk;
use crate::store::{AppendItem, Log, LogConfig, LogStore};

fn options(durability: Durability) -> StoreOptions {
    let counter = std::sync::atomic::AtomicU8::new(1);
    let random = move || [counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed); 16];
    StoreOptions::new(NodeId(1), durability, Arc::new(random))
}

fn open(root: &Path) -> (Arc<LocalStore>, StartReport) {
    LocalStore::open(Arc::new(LocalDisk), root, options(Durability::Synced)).unwrap()
}

fn spec(name: &str) -> LogSpec {
    LogSpec {
        name: TopicPartition {
            topic: TopicName::parse(name).unwrap(),
            topic_id: Uuid([7; 16]),
            partition: PartitionIndex(0),
        },
        config: LogConfig::default(),
    }
}

fn batch(base: i64, records: i64, size: usize) -> (BatchHead, Bytes) {
    let mut builder = BatchBuilder::new(BatchSpec::default(), 1_000 + base);
    for i in 0..records {
        builder.push(None, Some(&vec![b'x'; size]), &[], 1_000 + base + i);
    }
    let mut batch = builder.build();
    batch.stamp(Offset(base), LeaderEpoch(0));
    batch.freeze()
}

fn append(log: &LocalLog, base: i64, records: i64, size: usize) -> Bytes {
    let (head, bytes) = batch(base, records, size);
    log.append(&[AppendItem::Batch {
        head,
        bytes: bytes.clone(),
    }])
    .unwrap();
    bytes
}

#[test]
fn a_second_process_and_a_foreign_directory_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let (store, report) = open(root.path());
    assert!(report.created && report.clean && !report.power_loss);
    let second = LocalStore::open(
        Arc::new(LocalDisk),
        root.path(),
        options(Durability::Synced),
    );
    assert!(matches!(second, Err(OpenError::Locked(_))), "{second:?}");
    drop(store);

    let (store, again) = open(root.path());
    assert_eq!(
        (again.cluster_id, again.directory_id),
        (report.cluster_id, report.directory_id)
    );
    drop(store);

    let mut other = options(Durability::Synced);
    other.node_id = NodeId(2);
    let foreign = LocalStore::open(Arc::new(LocalDisk), root.path(), other);
    assert!(
        matches!(foreign, Err(OpenError::Foreign { .. })),
        "{foreign:?}"
    );

    let full = tempfile::tempdir().unwrap();
    std::fs::write(full.path().join("letter.txt"), "dear").unwrap();
    let foreign = LocalStore::open(
        Arc::new(LocalDisk),
        full.path(),
        options(Durability::Synced),
    );
    assert!(
        matches!(&foreign, Err(OpenError::Foreign { why, .. }) if why.contains("letter.txt")),
        "{foreign:?}"
    );
}

#[test]
fn restarts_keep_what_was_written() {
    let root = tempfile::tempdir().unwrap();
    let (store, _) = open(root.path());
    let (log, recovery) = store.open_local(&spec("t")).unwrap();
    assert!(recovery.created);
    let mut bytes = Vec::new();
    for i in 0..100 {
        bytes.extend_from_slice(&append(&log, i * 10, 10, 100));
    }
    assert_eq!(log.marks().durable, Offset(0));
    assert!(store.flush_round());
    assert_eq!(log.marks().durable, Offset(1_000));
    drop((log, store));

    // Killed.
    let (store, report) = open(root.path());
    assert!(!report.clean && !report.power_loss);
    let (log, recovery) = store.open_local(&spec("t")).unwrap();
    assert!(
        recovery.cuts.is_empty() && recovery.damage.is_empty() && recovery.gap.is_none(),
        "{recovery:?}"
    );
    assert_eq!(log.marks().written, Offset(1_000));
    let read = log
        .read(Offset(0), Offset(1_000), usize::MAX, true)
        .unwrap();
    assert_eq!(read.bytes().unwrap(), bytes);
    append(&log, 1_000, 1, 10);
    store.close().unwrap();
    assert!(log.append(&[]).is_err());
    drop((log, store));

    let (store, report) = open(root.path());
    assert!(report.clean);
    assert_eq!(report.directories.len(), 1);
    assert_eq!(report.directories[0].topic_id, Some(Uuid([7; 16])));
    let (log, recovery) = store.open_local(&spec("t")).unwrap();
    assert!(!recovery.checked);
    assert_eq!(log.marks().durable, Offset(1_001));
    for name in [
        "00000000000000000000.log",
        "00000000000000000000.index",
        "00000000000000000000.timeindex",
        "partition.metadata",
    ] {
        assert!(root.path().join("t-0").join(name).exists(), "{name}");
    }
    for from in [0, 5, 9, 10, 500, 994, 1_000] {
        let read = log
            .read(Offset(from), Offset(1_001), 1, true)
            .unwrap()
            .bytes()
            .unwrap();
        let head = BatchHead::parse(&read).unwrap();
        assert!(
            head.base_offset.0 <= from && from <= head.last_offset().0,
            "{from}: {head:?}"
        );
        assert_eq!(head.size_bytes(), read.len());
    }
}
