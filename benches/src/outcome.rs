//! Results, as lines of JSON: first what the runs stand on, then one line for each run.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::machine::{Cores, Environment};
use crate::metric::Metric;
use crate::rows::Limit;

/// Who was measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// A mode of the limit program.
    Limit(Limit),
    /// Ottla.
    Ottla,
    /// Apache Kafka.
    Kafka,
}

/// One run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// The row, or the curve.
    pub row: String,
    /// Where on the curve; none for a row.
    #[serde(default)]
    pub at: Option<u64>,
    /// Who was measured.
    pub subject: Subject,
    /// Which repetition.
    pub round: u32,
    /// What was measured.
    pub metrics: BTreeMap<Metric, f64>,
    /// CPU that neither the server nor the generator used while they were measured, as a share of all
    /// cores: neighbours, and what the kernel does for everybody.
    pub neighbours: f64,
    /// Records that were acknowledged and came back; none where nothing is stored.
    pub read_back: u64,
    /// Cores that the server might use.
    pub cores: Cores,
}

/// A line of a file of results.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Line {
    /// What the following runs stand on.
    Environment(Environment),
    /// One run.
    Run(Outcome),
}

/// Appends a line.
///
/// # Errors
/// What the system says.
pub fn append(path: &Path, line: &Line) -> Result<(), String> {
    let mut text = serde_json::to_string(line).map_err(|e| e.to_string())?;
    text.push('\n');
    let file = fs::OpenOptions::new().create(true).append(true).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|e| format!("{}: {e}", path.display()))
}

/// Reads all lines.
///
/// # Errors
/// If the file cannot be read or is none of ours.
pub fn read(path: &Path) -> Result<Vec<Line>, String> {
    let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    text.lines()
        .map(|line| serde_json::from_str(line).map_err(|e| format!("{}: {e}", path.display())))
        .collect()
}
