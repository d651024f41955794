//! `cargo xtask fuzz`: hostile bytes for everything that reads bytes from a socket or a file
//! (`tests/fuzz`), bounded or guided by coverage.
//!
//! | command | what |
//! |---|---|
//! | `cargo xtask fuzz` | what CI runs, in the release profile |
//! | `cargo xtask fuzz --count 1000000000 batch` | more of one group |
//! | `cargo xtask fuzz replay GROUP HEX` | one input again |
//! | `cargo xtask fuzz list` | the groups |
//! | `cargo xtask fuzz guided GROUP [-runs=N] [-max_total_time=SECONDS] [-fork=N]` | libFuzzer over one group |
//!
//! The last one needs a C++ compiler, and no more than the stable toolchain: coverage is a pass of LLVM.
//! What it learns lies in `target/guided/GROUP`, what it finds beside it.

use std::path::PathBuf;
use std::process::Command;

/// What libFuzzer wants to see of the code (as `cargo fuzz` asks for it), and the checks of a debug build.
const GUIDED_FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 -Cdebug-assertions=on \
    -Coverflow-checks=on";

/// # Errors
/// If it cannot be built, or found something.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    match arguments {
        [first, group, rest @ ..] if first == "guided" => guided(group, rest),
        _ => bounded(arguments.iter().map(String::as_str)),
    }
}

fn bounded<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Result<(), String> {
    let build = [
        "run",
        "--quiet",
        "--release",
        "--package",
        "ottla-fuzz",
        "--bin",
        "ottla-fuzz",
        "--",
    ];
    succeeds(cargo().args(build).args(arguments))
}

fn guided(group: &str, arguments: &[String]) -> Result<(), String> {
    let target = root().join("target/guided");
    let corpus = target.join(group);
    if !corpus.exists() {
        bounded(["corpus", group, &corpus.to_string_lossy()])?;
    }
    let triple = host()?;
    // With a target, the flags do not reach build scripts.
    let build = [
        "build",
        "--release",
        "--package",
        "ottla-fuzz",
        "--features",
        "guided",
    ];
    let build = [
        &build[..],
        &["--bin", "ottla-fuzz-guided", "--target", &triple],
    ]
    .concat();
    succeeds(
        cargo()
            .args(build)
            .env("RUSTFLAGS", GUIDED_FLAGS)
            .env("CARGO_TARGET_DIR", &target),
    )?;
    let program = target.join(&triple).join("release/ottla-fuzz-guided");
    let findings = format!("-artifact_prefix={}/found-{group}-", target.display());
    succeeds(
        Command::new(program)
            .env("OTTLA_FUZZ_GROUP", group)
            .arg(&corpus)
            .arg(findings)
            .args(arguments),
    )
}

/// What this machine runs: `x86_64-unknown-linux-gnu`.
fn host() -> Result<String, String> {
    let output = Command::new("rustc").arg("-vV").output();
    let output = output.map_err(|error| format!("rustc: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned)
        .ok_or_else(|| "rustc names no host".into())
}

fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

fn root() -> PathBuf {
    let mut root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.pop();
    root
}

fn succeeds(command: &mut Command) -> Result<(), String> {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{}: {status}", command.get_program().display())),
        Err(error) => Err(format!("{}: {error}", command.get_program().display())),
    }
}
