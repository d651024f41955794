//! Where the broker under test comes from, and where it keeps its data.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use tempfile::TempDir;

/// The release build of the broker: `OTTLA_BIN`, or built here, once.
///
/// # Panics
/// If it cannot be built.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| match env::var_os("OTTLA_BIN") {
        Some(path) => PathBuf::from(path),
        None => build(),
    })
}

/// The address of another broker to be tested instead, in `OTTLA_E2E_FOREIGN`: how the expectations
/// of `bad_input` are held against Apache Kafka itself.
#[must_use]
pub fn foreign() -> Option<String> {
    env::var("OTTLA_E2E_FOREIGN").ok()
}

/// An empty directory below `parent`, cargo's own for tests: on a disk, where `/tmp` may be memory.
///
/// # Panics
/// If it cannot be made.
#[must_use]
pub fn directory(parent: &str, name: &str) -> TempDir {
    fs::create_dir_all(parent).unwrap_or_else(|error| panic!("{parent}: {error}"));
    tempfile::Builder::new()
        .prefix(&format!("{name}-"))
        .tempdir_in(parent)
        .unwrap_or_else(|error| panic!("{parent}: {error}"))
}

fn build() -> PathBuf {
    println!("OTTLA_BIN is not set: building the broker");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--release", "--package", "ottla"])
        .args(["--message-format", "json-render-diagnostics"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo runs");
    assert!(built.status.success(), "cargo build: {}", built.status);
    let messages = String::from_utf8_lossy(&built.stdout);
    let executable = messages
        .lines()
        .filter_map(|line| line.split_once(r#""executable":""#)?.1.split_once('"'))
        .map(|(path, _)| path)
        .find(|path| path.ends_with("/ottla"));
    PathBuf::from(executable.expect("cargo says where the executable is"))
}
