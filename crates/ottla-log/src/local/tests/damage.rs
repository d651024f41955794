//! Damage on the real disk: what is lost with it, what is not, and what is said.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use ottla_model::batch::BatchHead;
use ottla_model::ids::Offset;

use super::{append, batch, open, spec};
use crate::local::LocalStore;
use crate::store::{AppendItem, Log, LogFault, LogStore, ReadError};
use crate::{LocalLog, Recovery};

/// Three segments of batches, stopped cleanly. Returns the batches.
fn filled(root: &Path) -> Vec<(Offset, Bytes)> {
    let (store, _) = open(root);
    let (log, _) = store.open_local(&spec("t")).unwrap();
    let mut batches = Vec::new();
    let mut next = 0;
    for nth in 0..90 {
        let (head, bytes) = batch(next, 1 + nth % 4, 300);
        let mut items = Vec::new();
        if nth % 30 == 0 && nth > 0 {
            items.push(AppendItem::Roll {
                base_offset: Offset(next),
                snapshot: None,
            });
        }
        items.push(AppendItem::Batch {
            head,
            bytes: bytes.clone(),
        });
        log.append(&items).unwrap();
        batches.push((Offset(next), bytes));
        next = head.next_offset().0;
    }
    store.close().unwrap();
    batches
}

fn reopen(root: &Path) -> (Arc<LocalStore>, Arc<LocalLog>, Recovery) {
    let (store, _) = open(root);
    let (log, recovery) = store.open_local(&spec("t")).unwrap();
    (store, log, recovery)
}

fn log_files(root: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(root.join("t-0"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "log"))
        .collect();
    files.sort();
    files
}

/// Reads the batch at an offset alone.
fn read(log: &LocalLog, at: Offset) -> Result<Bytes, ReadError> {
    Ok(log.read(at, Offset(i64::MAX), 1, true)?.bytes()?)
}

/// Regression: one bit of an old segment took everything behind it (NATS #7549).
#[test]
fn a_flipped_bit_costs_one_batch() {
    let root = tempfile::tempdir().unwrap();
    let batches = filled(root.path());
    let middle = &log_files(root.path())[1];
    let content = fs::read(middle).unwrap();
    let in_segment = &batches[30..60];
    let victim = 11;
    let position: usize = in_segment[..victim]
        .iter()
        .map(|(_, bytes)| bytes.len())
        .sum();
    let size = in_segment[victim].1.len();

    // Every byte of the head but the leader epoch, which nothing covers, and some of the records.
    let places = (0..61)
        .filter(|at| !(12..16).contains(at))
        .chain((61..size).step_by(97));
    for at in places {
        for bit in [0, 3, 7] {
            let mut damaged = content.clone();
            damaged[position + at] ^= 1 << bit;
            fs::write(middle, &damaged).unwrap();
            let (store, log, _) = reopen(root.path());
            let reported = log.scrub().unwrap();
            let [
                LogFault::Damaged {
                    path,
                    position: where_,
                    offset,
                    ..
                },
            ] = &reported[..]
            else {
                panic!("byte {at} bit {bit}: {reported:?}");
            };
            let place = (path.as_path(), *where_, *offset);
            assert_eq!(
                place,
                (middle.as_path(), position as u64, in_segment[victim].0),
                "byte {at} bit {bit}"
            );
            for (nth, (base, bytes)) in batches.iter().enumerate() {
                match read(&log, *base) {
                    Ok(found) => assert!(
                        nth != 30 + victim && found == bytes,
                        "byte {at} bit {bit}: {base}"
                    ),
                    Err(ReadError::Fault(LogFault::Damaged { .. })) if nth == 30 + victim => {}
                    Err(error) => panic!("byte {at} bit {bit}: {base}: {error}"),
                }
            }
            store.close().unwrap();
        }
    }
    fs::write(middle, &content).unwrap();
    assert_eq!(reopen(root.path()).1.scrub().unwrap().len(), 0);
}

/// A head that makes no sense is noticed by whoever reads there first; the records behind are not lost.
#[test]
fn damage_that_a_read_meets_is_reported_to_it_alone() {
    let root = tempfile::tempdir().unwrap();
    let batches = filled(root.path());
    let first = &log_files(root.path())[0];
    let position: usize = batches[..7].iter().map(|(_, bytes)| bytes.len()).sum();
    fs::OpenOptions::new()
        .write(true)
        .open(first)
        .unwrap()
        .write_all_at(&[0xff; 61], position as u64)
        .unwrap();

    let (_store, log, recovery) = reopen(root.path());
    assert!(
        recovery.damage.is_empty(),
        "sealed segments are not read at a clean start"
    );
    for (nth, (base, bytes)) in batches.iter().enumerate() {
        match read(&log, *base) {
            Ok(found) => assert!(nth != 7 && found == bytes, "{base}"),
            Err(ReadError::Fault(LogFault::Damaged { offset, .. })) if nth == 7 => {
                assert_eq!(offset, *base)
            }
            Err(error) => panic!("{base}: {error}"),
        }
    }
    let slice = log
        .read(Offset(0), Offset(i64::MAX), usize::MAX, true)
        .unwrap()
        .bytes()
        .unwrap();
    assert_eq!(slice.len(), position, "a read ends where damage begins");
    let mut seen = 0;
    let replay = log.replay(Offset(0), true, &mut |_, _| {
        seen += 1;
        true
    });
    assert!(
        matches!(replay, Err(LogFault::Damaged { .. })),
        "{replay:?}"
    );
    assert_eq!(seen, 7);
    log.replay(batches[8].0, true, &mut |_, _| {
        seen += 1;
        true
    })
    .unwrap();
    assert_eq!(seen, 7 + batches.len() - 8);
}

/// Regression: the recovery mark stood beyond the end of files that had vanished (KAFKA-10101).
#[test]
fn records_below_the_stable_mark_that_are_gone_are_reported_and_their_offsets_stay_theirs() {
    let root = tempfile::tempdir().unwrap();
    let batches = filled(root.path());
    let last = log_files(root.path())[2].clone();
    let keep: usize = batches[60..70].iter().map(|(_, bytes)| bytes.len()).sum();
    fs::OpenOptions::new()
        .write(true)
        .open(&last)
        .unwrap()
        .set_len(keep as u64 + 20)
        .unwrap();
    let end = BatchHead::parse(&batches[89].1).unwrap().next_offset();

    for clean in [true, false] {
        let (store, log, recovery) = reopen(root.path());
        assert!(recovery.cuts.is_empty(), "{recovery:?}");
        assert!(
            recovery.damage.iter().any(
                |fault| matches!(fault, LogFault::Damaged { path, offset, .. }
                if *path == last && *offset == batches[70].0)
            ),
            "{recovery:?}"
        );
        assert!(log.marks().written >= end);
        for (nth, (base, bytes)) in batches.iter().enumerate() {
            match read(&log, *base) {
                Ok(found) => assert!(nth < 70 && found == bytes, "{base}"),
                Err(ReadError::Fault(LogFault::Damaged { .. })) if nth >= 70 => {}
                Err(error) => panic!("{base}: {error}"),
            }
        }
        let new = append(&log, log.marks().written.0, 1, 10);
        while store.flush_round() {}
        assert_eq!(read(&log, end).unwrap().len(), new.len());
        assert_eq!(
            fs::metadata(&last).unwrap().len(),
            keep as u64 + 20,
            "what is damaged is left as it is"
        );
        drop(log);
        if clean {
            drop(store);
            fs::remove_file(log_files(root.path()).last().unwrap()).unwrap();
            fs::remove_file(root.path().join(super::super::marks::MARKS)).unwrap();
            // From here on only Kafka's checkpoint knows; the start is unclean.
        }
    }
}

/// Regression: indexes padded with zeros by a crash made retention take live data (KAFKA-10207).
#[test]
fn indexes_that_lie_are_built_anew() {
    let root = tempfile::tempdir().unwrap();
    let batches = filled(root.path());
    let files = log_files(root.path());
    let latest = {
        let (store, log, _) = reopen(root.path());
        let latest = log.max_timestamp(Offset(i64::MAX)).unwrap();
        store.close().unwrap();
        latest
    };
    type Spoil = fn(&Path);
    let spoils: [Spoil; 6] = [
        |path| fs::remove_file(path).unwrap(),
        |path| fs::write(path, b"").unwrap(),
        |path| fs::write(path, [0; 4096]).unwrap(),
        |path| {
            let mut content = fs::read(path).unwrap();
            content.extend_from_slice(&[0; 240]);
            fs::write(path, content).unwrap();
        },
        |path| {
            let content: Vec<u8> = fs::read(path)
                .unwrap()
                .iter()
                .map(|byte| byte.wrapping_mul(7))
                .collect();
            fs::write(path, content).unwrap();
        },
        |path| {
            let content = fs::read(path).unwrap();
            fs::write(path, &content[..content.len().saturating_sub(3)]).unwrap();
        },
    ];
    for spoil in spoils {
        for clean in [true, false] {
            for log in &files {
                for suffix in ["index", "timeindex"] {
                    let path = log.with_extension(suffix);
                    if path.exists() {
                        spoil(&path);
                    }
                }
            }
            let (store, log, recovery) = reopen(root.path());
            assert_eq!(recovery.checked, !clean);
            assert!(
                recovery.damage.is_empty() && recovery.cuts.is_empty(),
                "{recovery:?}"
            );
            for (base, bytes) in &batches {
                assert_eq!(read(&log, *base).unwrap(), bytes);
            }
            assert_eq!(log.max_timestamp(Offset(i64::MAX)).unwrap(), latest);
            if clean {
                drop((log, store));
            } else {
                store.close().unwrap();
            }
        }
    }
}

/// Losing the mark file loses no record.
#[test]
fn a_lost_mark_file_loses_nothing() {
    let root = tempfile::tempdir().unwrap();
    let batches = filled(root.path());
    for clean in [true, false] {
        fs::remove_file(root.path().join(super::super::marks::MARKS)).unwrap();
        let (store, log, recovery) = reopen(root.path());
        assert!(
            recovery.damage.is_empty() && recovery.cuts.is_empty() && recovery.gap.is_none(),
            "{recovery:?}"
        );
        for (base, bytes) in &batches {
            assert_eq!(read(&log, *base).unwrap(), bytes);
        }
        if clean {
            drop((log, store));
        } else {
            store.close().unwrap();
        }
    }
}

/// A directory that marks say held records is not silently made anew.
#[test]
fn a_missing_directory_is_refused_if_it_held_records() {
    let root = tempfile::tempdir().unwrap();
    filled(root.path());
    fs::rename(root.path().join("t-0"), root.path().join("elsewhere")).unwrap();
    let (store, _) = open(root.path());
    let refused = store.open_local(&spec("t"));
    assert!(
        matches!(&refused, Err(LogFault::Refused { why, .. }) if why.contains("missing")),
        "{refused:?}"
    );
    drop(store);
    fs::rename(root.path().join("elsewhere"), root.path().join("t-0")).unwrap();
    assert!(reopen(root.path()).2.damage.is_empty());
}

/// What a kill or a power loss cut short, above the stable mark: whole batches stay, the rest goes, and
/// is reported.
#[test]
fn a_torn_last_write_is_cut_at_a_batch_border_and_reported() {
    for torn in [1, 60, 61, 200] {
        let root = tempfile::tempdir().unwrap();
        let (store, _) = open(root.path());
        let (log, _) = store.open_local(&spec("t")).unwrap();
        let synced = append(&log, 0, 3, 100);
        assert!(store.flush_round());
        let whole = append(&log, 3, 2, 100);
        let last = append(&log, 5, 4, 100);
        drop((log, store));
        let file = &log_files(root.path())[0];
        let size = fs::metadata(file).unwrap().len();
        let left = size - last.len() as u64 + torn;
        let opened = fs::OpenOptions::new().write(true).open(file).unwrap();
        opened.set_len(left).unwrap();

        let (_store, log, recovery) = reopen(root.path());
        assert!(recovery.damage.is_empty(), "{recovery:?}");
        let [cut] = &recovery.cuts[..] else {
            panic!("{torn}: {recovery:?}");
        };
        let border = (synced.len() + whole.len()) as u64;
        assert_eq!(
            (cut.path.as_path(), cut.position, cut.length_bytes, cut.from),
            (file.as_path(), border, torn, Offset(5))
        );
        assert_eq!(fs::metadata(file).unwrap().len(), border);
        assert_eq!(log.marks().written, Offset(5));
        assert_eq!(read(&log, Offset(0)).unwrap(), synced);
        assert_eq!(read(&log, Offset(3)).unwrap(), whole);
    }
}

/// The machine ran on, so every write that returned is there: a byte that is wrong now was not torn, and
/// what was acknowledged behind it stays. Only the last write can be torn.
#[test]
fn after_a_kill_only_the_last_batch_can_be_torn() {
    for (wrong, cut) in [(1, false), (2, true)] {
        let root = tempfile::tempdir().unwrap();
        let (store, _) = open(root.path());
        let (log, _) = store.open_local(&spec("t")).unwrap();
        append(&log, 0, 3, 100);
        assert!(store.flush_round());
        let above = [append(&log, 3, 2, 100), append(&log, 5, 4, 100)];
        drop((log, store));
        let file = &log_files(root.path())[0];
        let mut bytes = fs::read(file).unwrap();
        let behind: usize = above[wrong..].iter().map(Bytes::len).sum();
        let last_byte = bytes.len() - behind - 1;
        bytes[last_byte] ^= 1;
        fs::write(file, bytes).unwrap();

        let (_store, log, recovery) = reopen(root.path());
        assert_eq!(recovery.cuts.len(), usize::from(cut), "{recovery:?}");
        let end = if cut { Offset(5) } else { Offset(9) };
        assert_eq!(log.marks().written, end);
    }
}

/// Checkpoints are caches of the log, but for the leader epochs of older segments.
#[test]
fn lost_checkpoints_lose_nothing() {
    for clean in [true, false] {
        let root = tempfile::tempdir().unwrap();
        let batches = filled(root.path());
        if !clean {
            drop(reopen(root.path()));
        }
        let mut lost = 0;
        for directory in [root.path().to_owned(), root.path().join("t-0")] {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.to_string_lossy().ends_with("-checkpoint") {
                    fs::remove_file(&path).unwrap();
                    lost += 1;
                }
            }
        }
        assert!(lost >= 2, "only {lost} files were there to be lost");
        let (_store, log, recovery) = reopen(root.path());
        assert_eq!(recovery.checked, !clean);
        assert!(
            recovery.damage.is_empty() && recovery.cuts.is_empty() && recovery.gap.is_none(),
            "{recovery:?}"
        );
        for (base, bytes) in &batches {
            assert_eq!(read(&log, *base).unwrap(), bytes);
        }
    }
}
