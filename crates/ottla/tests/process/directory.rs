//! What is wrong with the data directory, and that nothing is changed in it then.

use std::fs;
use std::path::Path;

use super::{ottla, refused};

#[track_caller]
fn refused_on(data: &Path, more: &[&str], code: i32, words: &[&str]) {
    let args = [
        "--listen",
        "127.0.0.1:0",
        "--admin-listen",
        "none",
        "--log-level",
        "warn",
        "--data",
    ];
    let args = [&args[..], &[data.to_str().unwrap()], more].concat();
    refused(&args, code, &[words, &[data.to_str().unwrap()]].concat());
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_second_process_fails_at_once_and_the_first_goes_on() {
    let mut broker = ottla().start();
    refused_on(
        &broker.data(),
        &[],
        4,
        &["in use by another broker process", "--data"],
    );
    let health = ottla().args(["health", "--listen", broker.address()]).run();
    assert_eq!(health.code, Some(0), "{health:?}");
    assert!(broker.data().join("ottla.address").exists());
    assert_eq!(broker.terminate(), Some(0));
}

#[test]
fn a_directory_of_somebody_else_is_left_alone() {
    let mut broker = ottla()
        .args(["--cluster-id", "ours", "--node-id", "7"])
        .start();
    let data = broker.data();
    assert_eq!(broker.terminate(), Some(0));
    let before = names(&data);
    refused_on(
        &data,
        &["--node-id", "7", "--cluster-id", "another"],
        6,
        &["cluster ours, not another"],
    );
    refused_on(&data, &["--node-id", "8"], 6, &["node 7, not 8"]);
    assert_eq!(names(&data), before);
    broker.restart();
    assert_eq!(broker.terminate(), Some(0));

    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("thesis.txt"), "years").unwrap();
    refused_on(root.path(), &[], 6, &["thesis.txt"]);
    assert!(
        names(root.path())
            .iter()
            .all(|name| name == "thesis.txt" || name == ".lock")
    );
}

#[test]
fn a_directory_that_cannot_be_written() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("file");
    fs::write(&file, "").unwrap();
    refused_on(&file.join("data"), &[], 7, &["Not a directory", "--data"]);
    refused_on(&file, &[], 7, &["--data"]);
    refused_on(Path::new("/proc/nothing"), &[], 7, &["--data"]);
}

#[test]
fn a_damaged_identity_or_catalog_ends_the_start() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("meta.properties"), "version=1\n").unwrap();
    refused_on(root.path(), &[], 8, &["meta.properties"]);

    let mut broker = ottla().start();
    let catalog = broker.data().join("__cluster_metadata-0");
    assert_eq!(broker.terminate(), Some(0));
    let log = fs::read_dir(&catalog)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let log = log
        .into_iter()
        .find(|path| path.extension().is_some_and(|e| e == "log"))
        .unwrap();
    let mut bytes = fs::read(&log).unwrap();
    // Within the records of the first batch, behind its header of 61 bytes.
    bytes[70] ^= 1;
    fs::write(&log, &bytes).unwrap();
    refused_on(&broker.data(), &[], 8, &["__cluster_metadata-0"]);
    assert_eq!(fs::read(&log).unwrap(), bytes, "nothing was cut");
}

#[test]
fn directories_that_no_catalog_knows_are_put_aside() {
    let mut broker = ottla().start();
    let data = broker.data();
    for name in ["orphan-0", "notes"] {
        fs::create_dir(data.join(name)).unwrap();
        fs::write(data.join(name).join("x"), "kept").unwrap();
    }
    broker.kill();
    broker.restart();
    let after = names(&data);
    assert!(!after.iter().any(|name| name == "orphan-0"), "{after:?}");
    let aside = after
        .iter()
        .find(|name| name.starts_with("orphan-0.") && name.ends_with("-stray"))
        .unwrap();
    assert_eq!(
        fs::read_to_string(data.join(aside).join("x")).unwrap(),
        "kept"
    );
    assert_eq!(
        fs::read_to_string(data.join("notes").join("x")).unwrap(),
        "kept"
    );
    assert!(
        broker.stderr().contains("orphan-0 is in no catalog"),
        "{}",
        broker.stderr()
    );
    assert_eq!(broker.terminate(), Some(0));
}
