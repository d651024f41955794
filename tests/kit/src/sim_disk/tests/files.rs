//! What a crash leaves of a file's bytes and size.

use super::*;

#[test]
fn synced_bytes_are_in_every_image() {
    let disk = SimDisk::new();
    let file = durable(&disk, "/a.log", &[7; 5000]);
    write(&*file, &[8; 3000], 5000);
    for seed in 0..SEEDS {
        let bytes = read(&disk.crash(seed), "/a.log").unwrap();
        assert!(
            bytes.len() >= 5000 && bytes[..5000] == [7; 5000],
            "seed {seed}"
        );
    }
}

#[test]
fn an_unsynced_append_may_be_there_whole_in_part_or_not() {
    let disk = SimDisk::new();
    let file = durable(&disk, "/a.log", &[7; 1024]);
    write(&*file, &[8; 1536], 1024);
    // Per appended sector: n for new, 0 for a hole; and the size.
    let seen = outcomes(&disk, |image, seed| {
        let bytes = read(image, "/a.log").unwrap();
        let sectors: String = bytes[1024..]
            .chunks(512)
            .map(|sector| match sector {
                _ if sector.iter().all(|byte| *byte == 8) => 'n',
                _ if sector.iter().all(|byte| *byte == 0) => '0',
                _ => panic!("seed {seed}: a sector is torn"),
            })
            .collect();
        (sectors, bytes.len().is_multiple_of(512))
    });
    for sectors in [
        "", "nnn", "000", "n00", "0n0", "00n", "nn0", "n0n", "0nn", "nn", "0n", "n", "0",
    ] {
        let partial_size = sectors.len() == 3 || sectors.is_empty();
        assert!(
            seen.contains(&(sectors.to_owned(), partial_size)),
            "{sectors:?} was never seen: {seen:?}"
        );
    }
}

#[test]
fn an_overwrite_is_torn_at_sector_borders_only() {
    let disk = SimDisk::new();
    let file = durable(&disk, "/a", &[1; 2048]);
    write(&*file, &[2; 1000], 300);
    let seen = outcomes(&disk, |image, seed| {
        let bytes = read(image, "/a").unwrap();
        assert_eq!(bytes.len(), 2048, "seed {seed}");
        let of = |range: std::ops::Range<usize>| {
            let first = bytes[range.start];
            assert!(
                bytes[range].iter().all(|byte| *byte == first),
                "seed {seed}: torn within a sector"
            );
            first
        };
        assert_eq!(
            (of(0..300), of(1300..2048)),
            (1, 1),
            "seed {seed}: bytes that nobody wrote"
        );
        [of(300..512), of(512..1024), of(1024..1300)]
    });
    assert_eq!(seen.len(), 8, "{seen:?}");
}

#[test]
fn writes_of_one_file_and_of_two_files_are_reordered() {
    let disk = SimDisk::new();
    let one = durable(&disk, "/one", &[0; 2048]);
    let two = durable(&disk, "/two", &[0; 512]);
    write(&*one, &[1; 512], 0);
    write(&*one, &[1; 512], 1024);
    write(&*two, &[1; 512], 0);
    let seen = outcomes(&disk, |image, _| {
        let one = read(image, "/one").unwrap();
        [one[0], one[1024], read(image, "/two").unwrap()[0]]
    });
    assert_eq!(seen.len(), 8, "{seen:?}");
}

#[test]
fn a_sector_written_twice_may_be_as_after_the_first_write() {
    let disk = SimDisk::new();
    let file = durable(&disk, "/a", &[0; 512]);
    write(&*file, &[1; 512], 0);
    write(&*file, &[2; 100], 0);
    let seen = outcomes(&disk, |image, _| {
        let bytes = read(image, "/a").unwrap();
        (bytes[0], bytes[511])
    });
    assert_eq!(seen, set(&[(0, 0), (1, 1), (2, 1)]));
}

#[test]
fn no_byte_from_before_a_truncation_is_seen_after_the_file_grew_again() {
    let disk = SimDisk::new();
    let file = durable(&disk, "/a", &[1; 3000]);
    file.set_len(100).unwrap();
    write(&*file, &[2; 10], 5000);
    let seen = outcomes(&disk, |image, seed| {
        let bytes = read(image, "/a").unwrap();
        assert!(bytes[..100].iter().all(|byte| *byte == 1), "seed {seed}");
        if bytes.len() > 3000 {
            assert!(
                bytes[100..bytes.len().min(5000)]
                    .iter()
                    .all(|byte| *byte == 0),
                "seed {seed}"
            );
        }
        bytes.len()
    });
    for size in [3000, 100, 5010] {
        assert!(seen.contains(&size), "{size} was never seen");
    }
    assert!(seen.iter().any(|size| (101..3000).contains(size)));
    assert!(seen.iter().any(|size| (3001..5000).contains(size)));
}

#[test]
fn a_truncation_alone_makes_no_zeros() {
    let disk = SimDisk::new();
    let file = durable(&disk, "/a", &[1; 3000]);
    file.set_len(100).unwrap();
    let seen = outcomes(&disk, |image, seed| {
        let bytes = read(image, "/a").unwrap();
        assert!(bytes.iter().all(|byte| *byte == 1), "seed {seed}");
        bytes.len()
    });
    assert_eq!((seen.first(), seen.last()), (Some(&100), Some(&3000)));
    assert!(seen.len() > 2, "never a size between");
}

#[test]
fn a_failed_sync_leaves_bytes_that_no_later_sync_saves() {
    use super::super::{DiskError, Fault, Operation};
    let disk = SimDisk::new();
    let file = durable(&disk, "/a", b"old.");
    write(&*file, &[1; 4096], 4096);
    disk.inject(Fault::new(Operation::Sync, DiskError::Io));
    file.sync().unwrap_err();
    write(&*file, &[2; 10], 8192);
    file.sync().unwrap();
    let now = read(&disk, "/a").unwrap();
    assert_eq!((now.len(), now[5000], now[8192]), (8202, 1, 2));
    for seed in 0..100 {
        let image = disk.kill_image().crash(seed);
        let bytes = read(&image, "/a").unwrap();
        assert_eq!(
            (bytes.len(), bytes[5000], bytes[8192]),
            (8202, 0, 2),
            "seed {seed}"
        );
        assert_eq!(&bytes[..4], b"old.", "seed {seed}");
    }
    write(&*file, &[1; 4096], 4096);
    file.sync().unwrap();
    assert_eq!(read(&disk.crash(1), "/a"), read(&disk, "/a"));
}

#[test]
fn a_killed_process_leaves_what_it_wrote_and_a_crash_may_still_take_it() {
    let disk = SimDisk::new();
    let file = durable(&disk, "/a", b"1");
    write(&*file, b"2", 1);
    write(&*open(&disk, "/b"), b"3", 0);
    let killed = disk.kill_image();
    assert_eq!(dump(&killed), dump(&disk));
    assert_eq!(killed.boot_id(), disk.boot_id());
    let seen = outcomes(&killed, |image, _| dump(image));
    assert!(seen.contains(&dump(&disk)));
    assert!(seen.contains(&BTreeMap::from([("/a".to_owned(), Some(b"1".to_vec()))])));
}

#[test]
fn images_are_disks_of_their_own() {
    let disk = SimDisk::new();
    let file = durable(&disk, "/a", &[1; 10_000]);
    let (crashed, killed) = (disk.crash(1), disk.kill_image());
    assert_ne!(crashed.boot_id(), disk.boot_id());
    write(&*file, &[2; 10], 4090);
    write(&*open(&killed, "/a"), &[3; 10], 4090);
    assert_eq!(read(&crashed, "/a").unwrap(), [1; 10_000]);
    assert_eq!(read(&disk, "/a").unwrap()[4090..4100], [2; 10]);
    assert_eq!(read(&killed, "/a").unwrap()[4090..4100], [3; 10]);
    // Everything in a crash image is durable.
    let before = dump(&disk.crash(5));
    assert_eq!(dump(&disk.crash(5).crash(9)), before);
}
