//! Long random histories: against the real file system, and against what was synced.

use std::io::ErrorKind;

use ottla_log::LogFault;
use ottla_log::disk::LocalDisk;

use super::super::random::Random;
use super::*;

const PATHS: [&str; 7] = ["a", "b", "d", "d/a", "d/e", "d/e/a", "d/e/f"];

/// What an operation answered, without what differs between disks.
type Answer = Result<String, ErrorKind>;

fn answer<T>(result: Result<T, LogFault>, show: impl Fn(T) -> String) -> Answer {
    result.map(show).map_err(|fault| match fault {
        LogFault::Io { error, .. } => error.kind(),
        other => panic!("not the system's: {other}"),
    })
}

/// One random operation on a disk whose tree lies at `root`.
fn step(disk: &dyn Disk, root: &Path, random: &mut Random) -> (String, Answer) {
    let mut path = || root.join(PATHS[random.below(PATHS.len() as u64) as usize]);
    let (one, other) = (path(), path());
    let kind = random.below(16);
    let (position, size) = (random.below(9000), random.below(6000));
    let byte = random.below(255) as u8 + 1;
    let silent = |()| String::new();
    let with_file = |act: &dyn Fn(&dyn DiskFile) -> Answer| match disk.open(&one, false) {
        Ok(file) => act(&*file),
        Err(fault) => answer::<()>(Err(fault), silent),
    };
    let answer = match kind {
        0 | 1 => answer(disk.open(&one, true), |_| String::new()),
        2 => answer(disk.create_dir(&one), silent),
        3 => answer(disk.rename(&one, &other), silent),
        4 => answer(disk.remove_file(&one), silent),
        5 => answer(disk.remove_dir(&one), silent),
        6 => answer(disk.list(&one), |mut names| {
            names.sort();
            format!("{names:?}")
        }),
        7 => answer(disk.read_file(&one, 8000), |bytes| format!("{bytes:?}")),
        8 => with_file(&|file| answer(file.set_len(position), silent)),
        9 => with_file(&|file| answer(file.sync(), silent)),
        10 => with_file(&|file| answer(file.len(), |length| length.to_string())),
        11 | 12 => with_file(&|file| {
            let mut buffer = vec![0; size as usize];
            answer(file.read_at(&mut buffer, position), |read| {
                format!("{:?}", &buffer[..read])
            })
        }),
        _ => with_file(&|file| {
            let bytes = vec![byte; size as usize];
            let (left, right) = bytes.split_at(bytes.len() / 3);
            let mut pieces = [IoSlice::new(left), IoSlice::new(right)];
            answer(file.write_all_at(&mut pieces, position), silent)
        }),
    };
    (
        format!("kind {kind} on {} and {}", one.display(), other.display()),
        answer,
    )
}

#[test]
fn answers_are_those_of_the_local_disk() {
    let mut done = 0;
    for seed in 0..60 {
        let temp = tempfile::tempdir().unwrap();
        let sim = SimDisk::new();
        let (mut dice, mut same_dice) = (Random::new(seed), Random::new(seed));
        for number in 0..150 {
            let (what, local) = step(&LocalDisk, temp.path(), &mut dice);
            let (_, simulated) = step(&sim, Path::new("/"), &mut same_dice);
            assert_eq!(simulated, local, "seed {seed}, step {number}: {what}");
            done += usize::from(local.is_ok());
        }
    }
    assert!(done > 2500, "only {done} steps did anything");
}

#[test]
fn every_image_of_a_random_history_obeys_the_rules() {
    for seed in 0..40 {
        let mut random = Random::new(seed);
        let disk = SimDisk::new();
        // Sectors of synced files that no unsynced change has touched, by path.
        let names = ["/a", "/b", "/c"];
        let files = names.map(|name| durable(&disk, name, &[1; 4096]));
        let mut firm = names.map(|_| vec![Some(1_u8); 64]);
        let mut shown = names.map(|_| vec![1_u8; 8]);
        for _ in 0..40 {
            let at = random.below(3) as usize;
            if random.chance(2) {
                files[at].sync().unwrap();
                for (sector, byte) in shown[at].iter().enumerate() {
                    firm[at][sector] = Some(*byte);
                }
            } else {
                let byte = random.below(255) as u8 + 1;
                let (first, count) = (random.below(40), random.between(1, 4));
                write(&*files[at], &vec![byte; 512 * count as usize], first * 512);
                let end = (first + count) as usize;
                if shown[at].len() < end {
                    shown[at].resize(end, 0);
                }
                for sector in first as usize..end {
                    shown[at][sector] = byte;
                    firm[at][sector] = None;
                }
            }
            for crash_seed in 0..20 {
                let image = disk.crash(crash_seed);
                assert_eq!(
                    dump(&image),
                    dump(&disk.crash(crash_seed)),
                    "seed {seed}: not the same twice"
                );
                for (at, name) in names.iter().enumerate() {
                    let bytes = read(&image, name).unwrap();
                    assert!(bytes.len() <= shown[at].len() * 512);
                    for (sector, chunk) in bytes.chunks(512).enumerate() {
                        let one = chunk.iter().all(|byte| *byte == chunk[0]);
                        let right = firm[at][sector].is_none_or(|byte| byte == chunk[0])
                            || sector >= 8 && chunk[0] == 0;
                        assert!(
                            one && right,
                            "seed {seed}, image {crash_seed}, {name}, sector {sector}"
                        );
                    }
                }
            }
        }
        for (file, name) in files.iter().zip(names) {
            file.sync().unwrap();
            for crash_seed in 0..20 {
                assert_eq!(
                    read(&disk.crash(crash_seed), name),
                    read(&disk, name),
                    "seed {seed}"
                );
            }
        }
    }
}
