//! `cargo xtask codegen [--check]`: from `crates/ottla-wire/schema` to the checked-in Rust of
//! `crates/ottla-wire/src/gen` (messages) and `crates/ottla-model/src/records/gen` (stored records).
//!
//! `ottla-schema` turns the notation into the model; [`emit`] turns the model into Rust.

mod emit;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use ottla_schema::{entries, load, read, root};

/// Path within the workspace, and text, of everything that is generated.
type Files = BTreeMap<String, String>;

const WIRE: &str = "crates/ottla-wire/src/gen";
const RECORDS: &str = "crates/ottla-model/src/records/gen";

/// Writes the generated files, or with `--check` compares them.
///
/// # Errors
/// A schema that makes no sense, a file that cannot be written, or (with `--check`) any difference.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let check = match arguments {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => return Err("usage: cargo xtask codegen [--check]".into()),
    };
    let expected = generate()?;
    let found = found()?;
    if check {
        return compare(&expected, &found);
    }
    for path in found.keys().filter(|path| !expected.contains_key(*path)) {
        fs::remove_file(root().join(path)).map_err(|e| format!("{path}: {e}"))?;
    }
    for (path, text) in &expected {
        if found.get(path) == Some(text) {
            continue;
        }
        let target = root().join(path);
        fs::create_dir_all(target.parent().unwrap_or(&target))
            .and_then(|()| fs::write(&target, text))
            .map_err(|e| format!("{path}: {e}"))?;
        println!("wrote {path}");
    }
    Ok(())
}

fn generate() -> Result<Files, String> {
    let schema = load()?;
    let mut files = Files::new();
    for (path, text) in emit::wire(&schema.keys, &schema.wire) {
        files.insert(format!("{WIRE}/{path}"), rustfmt(&path, &text)?);
    }
    for (path, text) in emit::records(&schema.records) {
        files.insert(format!("{RECORDS}/{path}"), rustfmt(&path, &text)?);
    }
    Ok(files)
}

/// What lies in the two target folders now.
fn found() -> Result<Files, String> {
    let mut files = Files::new();
    for folder in [WIRE, RECORDS] {
        if !root().join(folder).exists() {
            continue;
        }
        for path in entries(&root().join(folder))? {
            let source = read(&path)?;
            files.insert(source.path, source.text);
        }
    }
    Ok(files)
}

fn compare(expected: &Files, found: &Files) -> Result<(), String> {
    let mut differences: Vec<&str> = Vec::new();
    for path in expected.keys().chain(found.keys()) {
        if expected.get(path) != found.get(path) && !differences.contains(&path.as_str()) {
            differences.push(path);
        }
    }
    if differences.is_empty() {
        return Ok(());
    }
    Err(format!(
        "generated files differ from their schema; run `cargo xtask codegen`:\n  {}",
        differences.join("\n  ")
    ))
}

fn rustfmt(path: &str, text: &str) -> Result<String, String> {
    let failed = |e: std::io::Error| format!("rustfmt of {path}: {e}");
    let mut child = std::process::Command::new("rustfmt")
        .args(["--edition", "2024", "--emit", "stdout"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let mut stdin = child
        .stdin
        .take()
        .ok_or_else(|| format!("rustfmt of {path}: no stdin"))?;
    // rustfmt reads all of its input before it writes, so this cannot block on a full pipe.
    stdin.write_all(text.as_bytes()).map_err(failed)?;
    drop(stdin);
    let output = child.wait_with_output().map_err(failed)?;
    if !output.status.success() {
        return Err(format!("rustfmt refuses {path}"));
    }
    String::from_utf8(output.stdout).map_err(|e| format!("rustfmt of {path}: {e}"))
}
