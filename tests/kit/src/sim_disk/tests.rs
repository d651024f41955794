//! Tests of the simulated disk. A seed that breaks a rule is in the message of the assertion.

mod faults;
mod files;
mod histories;
mod names;

use std::collections::{BTreeMap, BTreeSet};
use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;

use ottla_log::disk::{Disk, DiskFile};

use super::SimDisk;

/// Enough for outcomes with odds of 1 in 200 to be seen for certain.
const SEEDS: u64 = 4000;

fn open(disk: &SimDisk, path: &str) -> Arc<dyn DiskFile> {
    disk.open(Path::new(path), true).unwrap()
}

fn write(file: &dyn DiskFile, bytes: &[u8], position: u64) {
    file.write_all_at(&mut [IoSlice::new(bytes)], position)
        .unwrap();
}

fn read(disk: &SimDisk, path: &str) -> Option<Vec<u8>> {
    disk.read_file(Path::new(path), usize::MAX).unwrap()
}

fn rename(disk: &SimDisk, from: &str, to: &str) {
    disk.rename(Path::new(from), Path::new(to)).unwrap();
}

fn sync_dir(disk: &SimDisk, path: &str) {
    disk.sync_dir(Path::new(path)).unwrap();
}

/// A file whose content and name are durable.
fn durable(disk: &SimDisk, path: &str, bytes: &[u8]) -> Arc<dyn DiskFile> {
    let file = open(disk, path);
    write(&*file, bytes, 0);
    file.sync().unwrap();
    sync_dir(disk, Path::new(path).parent().unwrap().to_str().unwrap());
    file
}

/// Every file with its bytes and every directory with nothing, by path.
fn dump(disk: &SimDisk) -> BTreeMap<String, Option<Vec<u8>>> {
    fn walk(disk: &SimDisk, dir: &str, into: &mut BTreeMap<String, Option<Vec<u8>>>) {
        for (name, is_dir) in disk.list(Path::new(dir)).unwrap() {
            let path = format!("{dir}/{name}");
            if is_dir {
                walk(disk, &path, into);
                into.insert(path, None);
            } else {
                let bytes = read(disk, &path);
                into.insert(path, bytes);
            }
        }
    }
    let mut into = BTreeMap::new();
    walk(disk, "", &mut into);
    into
}

/// What `look` says of the crash images of many seeds.
fn outcomes<T: Ord>(disk: &SimDisk, look: impl Fn(&SimDisk, u64) -> T) -> BTreeSet<T> {
    (0..SEEDS)
        .map(|seed| look(&disk.crash(seed), seed))
        .collect()
}

/// Names of the files, as one string.
fn names(disk: &SimDisk) -> String {
    dump(disk)
        .keys()
        .map(|path| &path[1..])
        .collect::<Vec<_>>()
        .join(" ")
}

fn set<T: Ord + Clone, U: Clone + Into<T>>(items: &[U]) -> BTreeSet<T> {
    items.iter().cloned().map(Into::into).collect()
}
