//! What a crash leaves of names, and locks.

use super::*;

fn names_seen(disk: &SimDisk) -> BTreeSet<String> {
    outcomes(disk, |image, _| names(image))
}

#[test]
fn a_synced_file_without_a_synced_name_may_vanish() {
    let disk = SimDisk::new();
    let file = open(&disk, "/a");
    write(&*file, b"1", 0);
    file.sync().unwrap();
    assert_eq!(names_seen(&disk), set(&["", "a"]));
    sync_dir(&disk, "/");
    let seen = outcomes(&disk, |image, _| read(image, "/a"));
    assert_eq!(seen, BTreeSet::from([Some(b"1".to_vec())]));
}

#[test]
fn a_synced_name_does_not_save_the_bytes() {
    let disk = SimDisk::new();
    write(&*open(&disk, "/a"), b"1", 0);
    sync_dir(&disk, "/");
    let seen = outcomes(&disk, |image, _| read(image, "/a").unwrap());
    assert_eq!(seen, BTreeSet::from([vec![], vec![0], b"1".to_vec()]));
}

#[test]
fn creations_are_lost_independently() {
    let disk = SimDisk::new();
    for path in ["/a", "/b", "/c"] {
        open(&disk, path);
    }
    assert_eq!(
        names_seen(&disk),
        set(&["", "a", "b", "c", "a b", "a c", "b c", "a b c"])
    );
}

#[test]
fn a_rename_is_lost_or_done_and_never_half() {
    let disk = SimDisk::new();
    durable(&disk, "/a", b"1");
    rename(&disk, "/a", "/b");
    assert_eq!(names_seen(&disk), set(&["a", "b"]));
    rename(&disk, "/b", "/c");
    assert_eq!(names_seen(&disk), set(&["a", "b", "c"]));
    sync_dir(&disk, "/");
    assert_eq!(names_seen(&disk), set(&["c"]));
}

#[test]
fn a_replacing_rename_leaves_the_old_or_the_new_content() {
    let disk = SimDisk::new();
    durable(&disk, "/mark", b"old");
    let file = open(&disk, "/mark.tmp");
    write(&*file, b"new", 0);
    file.sync().unwrap();
    rename(&disk, "/mark.tmp", "/mark");
    let seen = outcomes(&disk, |image, _| {
        (
            names(image),
            String::from_utf8(read(image, "/mark").unwrap()).unwrap(),
        )
    });
    let pair = |names: &str, bytes: &str| (names.to_owned(), bytes.to_owned());
    assert_eq!(
        seen,
        BTreeSet::from([
            pair("mark", "old"),
            pair("mark mark.tmp", "old"),
            pair("mark", "new")
        ])
    );
}

#[test]
fn a_rename_before_the_sync_of_the_file_may_leave_it_empty() {
    let disk = SimDisk::new();
    durable(&disk, "/mark", b"old");
    write(&*open(&disk, "/mark.tmp"), b"new", 0);
    rename(&disk, "/mark.tmp", "/mark");
    sync_dir(&disk, "/");
    let seen = outcomes(&disk, |image, _| read(image, "/mark").unwrap());
    assert_eq!(
        seen,
        BTreeSet::from([
            vec![],
            vec![0],
            vec![0; 2],
            vec![0; 3],
            b"n".to_vec(),
            b"ne".to_vec(),
            b"new".to_vec()
        ])
    );
}

#[test]
fn a_rename_across_directories_is_never_half() {
    let disk = SimDisk::new();
    disk.create_dir(Path::new("/x")).unwrap();
    disk.create_dir(Path::new("/y")).unwrap();
    sync_dir(&disk, "/");
    durable(&disk, "/x/a", b"1");
    rename(&disk, "/x/a", "/y/a");
    assert_eq!(names_seen(&disk), set(&["x x/a y", "x y y/a"]));
    for synced in ["/x", "/y"] {
        let disk = disk.kill_image();
        sync_dir(&disk, synced);
        assert_eq!(names_seen(&disk), set(&["x y y/a"]));
    }
}

#[test]
fn a_removal_is_lost_or_done_until_synced() {
    let disk = SimDisk::new();
    durable(&disk, "/a", b"1");
    disk.remove_file(Path::new("/a")).unwrap();
    assert_eq!(read(&disk, "/a"), None);
    let seen = outcomes(&disk, |image, _| read(image, "/a"));
    assert_eq!(seen, BTreeSet::from([None, Some(b"1".to_vec())]));
    // A new file of that name is never there while the removal of the old one is lost.
    write(&*open(&disk, "/a"), b"22", 0);
    let seen = outcomes(&disk, |image, _| read(image, "/a"));
    let all = [
        None,
        Some(vec![]),
        Some(vec![0]),
        Some(vec![0; 2]),
        Some(b"1".to_vec()),
        Some(b"2".to_vec()),
        Some(b"22".to_vec()),
    ];
    assert_eq!(seen, BTreeSet::from(all));
    disk.remove_file(Path::new("/a")).unwrap();
    sync_dir(&disk, "/");
    assert_eq!(names_seen(&disk), set(&[""]));
}

#[test]
fn a_directory_vanishes_with_all_in_it_until_its_parent_is_synced() {
    let disk = SimDisk::new();
    disk.create_dir(Path::new("/logs/t-0")).unwrap();
    durable(&disk, "/logs/t-0/0.log", b"1");
    assert_eq!(
        names_seen(&disk),
        set(&["", "logs", "logs logs/t-0 logs/t-0/0.log"])
    );
    sync_dir(&disk, "/logs");
    sync_dir(&disk, "/");
    assert_eq!(names_seen(&disk), set(&["logs logs/t-0 logs/t-0/0.log"]));
}

#[test]
fn a_renamed_directory_keeps_what_is_in_it() {
    let disk = SimDisk::new();
    disk.create_dir(Path::new("/t-0")).unwrap();
    sync_dir(&disk, "/");
    let file = durable(&disk, "/t-0/0.log", b"1");
    rename(&disk, "/t-0", "/t-0-delete");
    write(&*file, b"2", 0);
    file.sync().unwrap();
    assert_eq!(
        names_seen(&disk),
        set(&["t-0 t-0/0.log", "t-0-delete t-0-delete/0.log"])
    );
    assert_eq!(read(&disk, "/t-0-delete/0.log").unwrap(), b"2");
}

#[test]
fn a_removed_directory_goes_entry_by_entry() {
    let disk = SimDisk::new();
    disk.create_dir(Path::new("/d/sub")).unwrap();
    for path in ["/d/a", "/d/sub/b"] {
        durable(&disk, path, b"1");
    }
    sync_dir(&disk, "/");
    let all = "d d/a d/sub d/sub/b";
    assert_eq!(names_seen(&disk), set(&[all]));
    disk.remove_dir(Path::new("/d")).unwrap();
    assert_eq!(names(&disk), "");
    // Never a directory gone whose entries are back elsewhere, nor `sub` gone before `b`.
    assert_eq!(
        names_seen(&disk),
        set(&[
            all,
            "d d/sub d/sub/b",
            "d d/a d/sub",
            "d d/sub",
            "d d/a",
            "d",
            ""
        ])
    );
    sync_dir(&disk, "/");
    assert_eq!(names_seen(&disk), set(&[""]));
}

#[test]
fn an_open_file_outlives_its_name() {
    let disk = SimDisk::new();
    let file = durable(&disk, "/a", b"123");
    disk.remove_file(Path::new("/a")).unwrap();
    sync_dir(&disk, "/");
    let mut buffer = [0; 3];
    file.read_exact_at(&mut buffer, 0).unwrap();
    assert_eq!(&buffer, b"123");
    assert_eq!(file.path(), Path::new("/a"));
}

#[test]
fn one_process_holds_a_lock_until_it_drops_it_or_dies() {
    let disk = SimDisk::new();
    let path = Path::new("/.lock");
    let lock = disk.lock(path).unwrap();
    assert!(lock.is_some());
    assert!(disk.clone().lock(path).unwrap().is_none());
    assert!(disk.kill_image().lock(path).unwrap().is_some());
    assert!(disk.crash(1).lock(path).unwrap().is_some());
    assert!(disk.lock(path).unwrap().is_none());
    drop(lock);
    assert!(disk.lock(path).unwrap().is_some());
    assert_eq!(names(&disk), ".lock");
}
