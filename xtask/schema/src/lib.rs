//! The schema of Kafka's messages and stored records, as it lies in `crates/ottla-wire/schema`.
//!
//! [`load`] turns the notation into the [`model`] and refuses what makes no sense, naming file and line;
//! [`random`] writes values of it. The notation is described in the schema's own README.
//! Uses nothing that is generated, so that it can judge it: the generator, the conversations with Apache
//! Kafka and the fuzz harness all start from here. Not shipped.

pub mod model;
pub mod parse;
pub mod random;

use std::fs;
use std::path::{Path, PathBuf};

/// Where the schema lies within the workspace.
pub const FOLDER: &str = "crates/ottla-wire/schema";

/// The schema of messages and of stored records.
#[derive(Debug)]
pub struct Schema {
    /// All APIs that Kafka has, by key.
    pub keys: Vec<model::KeyLine>,
    /// Headers and messages.
    pub wire: Vec<model::Module>,
    /// What lies in files.
    pub records: Vec<model::Module>,
}

/// Reads the schema of this workspace.
///
/// # Errors
/// A schema that makes no sense, or a file that cannot be read.
pub fn load() -> Result<Schema, String> {
    let folder = root().join(FOLDER);
    let keys = parse::keys(&read(&folder.join("api_keys.schema"))?)?;
    let wire = modules(&folder)?;
    let records = modules(&folder.join("records"))?;
    parse::check_keys(&keys, &wire)?;
    Ok(Schema {
        keys,
        wire,
        records,
    })
}

/// The root of this workspace.
#[must_use]
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// A file of this workspace.
///
/// # Errors
/// It cannot be read.
pub fn read(path: &Path) -> Result<parse::Source, String> {
    let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let path = path
        .strip_prefix(root())
        .unwrap_or(path)
        .display()
        .to_string();
    Ok(parse::Source { path, text })
}

/// The files of a folder, in order of their names.
///
/// # Errors
/// It cannot be read.
pub fn entries(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let failed = |e: std::io::Error| format!("{}: {e}", folder.display());
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// Every `*.schema` file of a folder but the list of keys, in order of its name.
fn modules(folder: &Path) -> Result<Vec<model::Module>, String> {
    let mut paths = entries(folder)?;
    paths.retain(|path| path.extension().is_some_and(|ext| ext == "schema"));
    paths.retain(|path| !path.ends_with("api_keys.schema"));
    paths
        .iter()
        .map(|path| parse::module(&read(path)?))
        .collect()
}
