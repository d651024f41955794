//! The walls of the house as tests: which crate may use which, what the pure crates never pull in, and
//! who in the broker may name a feature.

#![allow(clippy::expect_used, reason = "the file is a test, its helpers too")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

/// Which rooms each room may use. A new edge is a change of the design.
const EDGES: &[(&str, &[&str])] = &[
    ("ottla-model", &[]),
    ("ottla-codec", &["ottla-model"]),
    ("ottla-machine", &["ottla-model"]),
    ("ottla-log", &["ottla-model", "ottla-codec"]),
    (
        "ottla-broker",
        &["ottla-model", "ottla-codec", "ottla-machine", "ottla-log"],
    ),
    ("ottla-wire", &["ottla-model"]),
    (
        "ottla-kafka",
        &["ottla-model", "ottla-codec", "ottla-wire", "ottla-broker"],
    ),
    ("ottla-admin", &["ottla-model", "ottla-broker"]),
    (
        "ottla",
        &[
            "ottla-model",
            "ottla-codec",
            "ottla-machine",
            "ottla-log",
            "ottla-broker",
            "ottla-wire",
            "ottla-kafka",
            "ottla-admin",
        ],
    ),
];

/// Crates whose compiler must refuse clocks, files and threads.
const PURE: &[&str] = &["ottla-model", "ottla-machine", "ottla-wire"];

/// What no pure crate may pull in, however deep.
const IMPURE: &[&str] = &[
    "tokio",
    "mio",
    "memmap2",
    "rustix",
    "rand",
    "getrandom",
    "libc",
];

fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .exec()
        .expect("cargo metadata runs")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies in the workspace")
        .into()
}

/// Normal dependencies of a package by name.
fn normal_dependencies(metadata: &Metadata, name: &str) -> BTreeSet<String> {
    let package = metadata.packages.iter().find(|p| p.name.as_str() == name);
    let package = package.unwrap_or_else(|| panic!("there is no crate {name}"));
    let normal = package
        .dependencies
        .iter()
        .filter(|d| d.kind == DependencyKind::Normal);
    normal.map(|d| d.name.clone()).collect()
}

#[test]
fn dependencies_only_point_down() {
    let metadata = metadata();
    let allowed: BTreeMap<_, BTreeSet<_>> = EDGES
        .iter()
        .map(|(name, uses)| (*name, uses.iter().copied().collect()))
        .collect();
    let mut shipped = BTreeSet::new();
    for package in metadata.workspace_packages() {
        if package
            .manifest_path
            .starts_with(metadata.workspace_root.join("crates"))
        {
            shipped.insert(package.name.to_string());
        }
    }
    assert_eq!(
        shipped,
        allowed.keys().map(|n| n.to_string()).collect(),
        "the rooms of the design"
    );
    for (name, uses) in &allowed {
        for dependency in normal_dependencies(&metadata, name) {
            if shipped.contains(&dependency) {
                assert!(
                    uses.contains(dependency.as_str()),
                    "{name} may not use {dependency}"
                );
            }
        }
    }
}

#[test]
fn pure_crates_are_no_std_and_pull_in_nothing_impure() {
    let metadata = metadata();
    for name in PURE {
        let lib = root().join("crates").join(name).join("src/lib.rs");
        let text = fs::read_to_string(&lib).expect("a crate has a lib.rs");
        assert!(text.contains("#![no_std]"), "{name} is no_std");
        let mut seen = BTreeSet::new();
        let mut left = vec![(*name).to_owned()];
        while let Some(next) = left.pop() {
            if !seen.insert(next.clone())
                || !metadata.packages.iter().any(|p| p.name.as_str() == next)
            {
                continue;
            }
            assert!(!IMPURE.contains(&next.as_str()), "{name} pulls in {next}");
            let package = metadata.packages.iter().find(|p| p.name.as_str() == next);
            let needed = package.into_iter().flat_map(|p| &p.dependencies);
            // An optional dependency is one that a feature of ours would have to ask for.
            let needed = needed
                .filter(|d| d.kind == DependencyKind::Normal && !d.optional && d.target.is_none());
            left.extend(needed.map(|d| d.name.clone()));
        }
    }
}

#[test]
fn only_flows_api_and_wiring_name_a_feature() {
    let source = root().join("crates/ottla-broker/src");
    let mut checked = 0;
    for file in rust_files(&source) {
        let place = file
            .strip_prefix(&source)
            .expect("below the source")
            .to_path_buf();
        let may = place.starts_with("flows")
            || place.starts_with("api")
            || place == Path::new("wiring.rs");
        // Tests drive shards with real machines.
        let is_test =
            place.file_stem().is_some_and(|s| s == "tests") || place.iter().any(|p| p == "tests");
        if may || is_test {
            continue;
        }
        checked += 1;
        for (line, text) in (1..).zip(fs::read_to_string(&file).expect("a source file").lines()) {
            let names_machine =
                text.contains("ottla_machine::") && !text.contains("ottla_machine::contract");
            assert!(
                !names_machine,
                "{}:{line} names a machine: {text}",
                place.display()
            );
        }
    }
    assert!(checked > 10, "the broker's files were found");
}

#[test]
fn machines_are_blind_to_each_other() {
    let source = root().join("crates/ottla-machine/src");
    let folders: Vec<_> = fs::read_dir(&source)
        .expect("the machines")
        .filter_map(|entry| entry.ok().map(|e| e.path()))
        .filter(|path| path.is_dir())
        .collect();
    assert!(folders.len() >= 2, "partition and catalog are there");
    for folder in &folders {
        for file in rust_files(folder) {
            let text = fs::read_to_string(&file).expect("a source file");
            for other in folders.iter().filter(|other| *other != folder) {
                let name = other
                    .file_name()
                    .and_then(|n| n.to_str())
                    .expect("a folder's name");
                assert!(
                    !text.contains(&format!("crate::{name}")),
                    "{} imports {name}",
                    file.display()
                );
            }
        }
    }
}

#[test]
fn modules_open_with_what_they_own() {
    for (name, _) in EDGES {
        for file in rust_files(&root().join("crates").join(name).join("src")) {
            let is_test =
                file.file_stem().is_some_and(|s| s == "tests") || file.iter().any(|p| p == "tests");
            if is_test {
                continue;
            }
            let text = fs::read_to_string(&file).expect("a source file");
            assert!(
                text.starts_with("//!"),
                "{} has no opening words",
                file.display()
            );
        }
    }
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut left = vec![folder.to_path_buf()];
    while let Some(next) = left.pop() {
        for entry in fs::read_dir(&next).unwrap_or_else(|e| panic!("{}: {e}", next.display())) {
            let path = entry.expect("a directory entry").path();
            if path.is_dir() {
                left.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                files.push(path);
            }
        }
    }
    files
}
