//! Stops, injected failures and held operations.

use std::thread;

use ottla_log::LogFault;

use super::super::{DiskError, Fault, Operation};
use super::*;

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

fn code<T>(result: Result<T, LogFault>) -> Option<i32> {
    match result.map(drop) {
        Err(LogFault::Io { error, .. }) => error.raw_os_error(),
        other => panic!("no failure of the system: {other:?}"),
    }
}

fn append(file: &dyn DiskFile, bytes: &[u8]) -> Result<(), LogFault> {
    file.write_all_at(&mut [IoSlice::new(bytes)], file.len()?)
}

#[test]
fn a_process_dies_at_its_stop_and_stays_dead() {
    let disk = SimDisk::new();
    let file = open(&disk, "/a");
    disk.stop_at(3);
    append(&*file, b"1").unwrap();
    append(&*file, b"2").unwrap();
    assert_eq!(file.len().unwrap(), 2);
    assert!(!disk.stopped());
    append(&*file, b"3").unwrap_err();
    assert!(disk.stopped());
    assert_eq!(disk.operations(), 3);
    file.len().unwrap_err();
    file.sync().unwrap_err();
    file.read_at(&mut [0], 0).unwrap_err();
    disk.read_file(Path::new("/a"), 10).unwrap_err();
    disk.list(Path::new("/")).unwrap_err();
    disk.open(Path::new("/a"), false).unwrap_err();
    assert!(disk.lock(Path::new("/a")).is_err());
    let image = disk.kill_image();
    assert_eq!(read(&image, "/a").unwrap(), b"12");
    assert_eq!(image.operations(), 0);
}

#[test]
fn a_stop_hits_the_removal_of_a_directory_midway() {
    let disk = SimDisk::new();
    disk.create_dir(Path::new("/d")).unwrap();
    for path in ["/d/a", "/d/b", "/d/c"] {
        open(&disk, path);
    }
    disk.stop_at(disk.operations() + 2);
    disk.remove_dir(Path::new("/d")).unwrap_err();
    assert_eq!(names(&disk.kill_image()), "d d/c");
}

#[test]
fn recorded_moments_are_those_of_stopped_runs() {
    fn history(disk: &SimDisk) -> Result<(), LogFault> {
        let root = Path::new("/");
        disk.create_dir(Path::new("/t-0"))?;
        disk.sync_dir(root)?;
        let file = disk.open(Path::new("/t-0/0.log"), true)?;
        append(&*file, &[1; 700])?;
        file.sync()?;
        append(&*file, &[2; 700])?;
        file.set_len(900)?;
        disk.rename(Path::new("/t-0/0.log"), Path::new("/t-0/1.log"))?;
        disk.sync_dir(Path::new("/t-0"))?;
        disk.remove_dir(Path::new("/t-0"))
    }
    let recorder = SimDisk::new();
    recorder.record();
    history(&recorder).unwrap();
    assert_eq!(recorder.operations(), 11);
    for operations in 0..=recorder.operations() {
        let recorded = recorder.recorded(operations).unwrap();
        let stopped = SimDisk::new();
        stopped.stop_at(operations);
        assert_eq!(history(&stopped).is_err(), operations < 11);
        assert_eq!(
            dump(&recorded),
            dump(&stopped.kill_image()),
            "after {operations}"
        );
        for seed in 0..50 {
            let (one, other) = (recorded.crash(seed), stopped.crash(seed));
            assert_eq!(dump(&one), dump(&other), "after {operations}, seed {seed}");
            assert_eq!(one.boot_id(), other.boot_id());
        }
    }
    assert!(recorder.recorded(12).is_none());
}

#[test]
fn the_nth_write_on_a_path_fails_once() {
    let disk = SimDisk::new();
    let (log, index) = (open(&disk, "/0.log"), open(&disk, "/0.index"));
    disk.inject(
        Fault::new(Operation::Write, DiskError::Io)
            .on(".log")
            .after(1),
    );
    append(&*log, b"1").unwrap();
    append(&*index, b"1").unwrap();
    append(&*index, b"2").unwrap();
    assert_eq!(code(append(&*log, b"2")), Some(EIO));
    append(&*log, b"3").unwrap();
    assert_eq!(read(&disk, "/0.log").unwrap(), b"13");
}

#[test]
fn a_full_disk_fails_until_healed_and_takes_a_part() {
    let disk = SimDisk::new();
    let log = open(&disk, "/0.log");
    disk.inject(
        Fault::new(Operation::Write, DiskError::NoSpace)
            .lasting()
            .short(3),
    );
    for _ in 0..2 {
        let before = log.len().unwrap();
        let mut pieces = [IoSlice::new(b"ab"), IoSlice::new(b"cd")];
        assert_eq!(code(log.write_all_at(&mut pieces, before)), Some(ENOSPC));
        assert_eq!(log.len().unwrap(), before + 3);
    }
    assert_eq!(read(&disk, "/0.log").unwrap(), b"abcabc");
    disk.heal();
    append(&*log, b"d").unwrap();
}

#[test]
fn every_kind_of_operation_can_fail_and_then_changes_nothing() {
    let check = |operation: Operation,
                 act: &dyn Fn(&SimDisk, &dyn DiskFile) -> Result<(), LogFault>| {
        let disk = SimDisk::new();
        disk.create_dir(Path::new("/d/e")).unwrap();
        let file = durable(&disk, "/d/a", b"1");
        let before = dump(&disk);
        let operations = disk.operations();
        disk.inject(Fault::new(operation, DiskError::Io));
        assert_eq!(code(act(&disk, &*file)), Some(EIO), "{operation:?}");
        assert_eq!(dump(&disk), before, "{operation:?}");
        assert_eq!(
            disk.operations() - operations,
            u64::from(operation != Operation::Read)
        );
        act(&disk, &*file).unwrap();
    };
    let path = Path::new;
    check(Operation::CreateFile, &|disk, _| {
        disk.open(path("/d/b"), true).map(drop)
    });
    check(Operation::CreateFile, &|disk, _| {
        disk.lock(path("/d/.lock")).map(drop)
    });
    check(Operation::CreateDir, &|disk, _| {
        disk.create_dir(path("/d/f"))
    });
    check(Operation::Write, &|_, file| append(file, b"2"));
    check(Operation::SetLen, &|_, file| file.set_len(0));
    check(Operation::Sync, &|_, file| file.sync());
    check(Operation::SyncDir, &|disk, _| disk.sync_dir(path("/d")));
    check(Operation::Rename, &|disk, _| {
        disk.rename(path("/d/a"), path("/d/b"))
    });
    check(Operation::Remove, &|disk, _| disk.remove_file(path("/d/a")));
    check(Operation::Remove, &|disk, _| disk.remove_dir(path("/d/e")));
    check(Operation::Read, &|_, file| {
        file.read_at(&mut [0], 0).map(drop)
    });
    check(Operation::Read, &|disk, _| {
        disk.read_file(path("/d/a"), 9).map(drop)
    });
}

#[test]
fn a_held_write_waits_for_its_release() {
    let disk = SimDisk::new();
    let log = open(&disk, "/0.log");
    let held = disk.hold_next(Operation::Write, ".log");
    append(&*open(&disk, "/0.index"), b"1").unwrap();
    assert!(!held.has_arrived());
    let writer = {
        let log = Arc::clone(&log);
        thread::spawn(move || append(&*log, b"1"))
    };
    held.wait_arrived();
    assert!(held.has_arrived());
    let operations = disk.operations();
    assert_eq!(read(&disk, "/0.log").unwrap(), b"");
    // Others go on, a second write to the same file included.
    write(&*log, b"22", 0);
    held.release();
    writer.join().unwrap().unwrap();
    assert_eq!(disk.operations(), operations + 2);
    assert_eq!(read(&disk, "/0.log").unwrap(), b"12");
}

#[test]
fn a_held_operation_can_fail() {
    let disk = SimDisk::new();
    let log = open(&disk, "/0.log");
    let held = disk.hold_next(Operation::Write, ".log");
    thread::scope(|scope| {
        let writer = scope.spawn(|| append(&*log, b"123"));
        held.wait_arrived();
        held.fail_short(DiskError::NoSpace, 1);
        assert_eq!(code(writer.join().unwrap()), Some(ENOSPC));
    });
    assert_eq!(read(&disk, "/0.log").unwrap(), b"1");

    let held = disk.hold_next(Operation::Sync, "");
    thread::scope(|scope| {
        let flusher = scope.spawn(|| log.sync());
        held.wait_arrived();
        held.fail(DiskError::Io);
        assert_eq!(code(flusher.join().unwrap()), Some(EIO));
    });
}

#[test]
fn a_gate_left_before_anyone_came_holds_no_one() {
    let disk = SimDisk::new();
    let log = open(&disk, "/0.log");
    drop(disk.hold_next(Operation::Write, ".log"));
    append(&*log, b"1").unwrap();
    disk.hold_next(Operation::Write, ".log").fail(DiskError::Io);
    assert_eq!(code(append(&*log, b"2")), Some(EIO));
    append(&*log, b"2").unwrap();
}
