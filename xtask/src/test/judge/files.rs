//! The files of each partition directory: what the tool says of them, and whether it agrees with our own walk.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::super::setup::Java;
use super::super::stored::Stored;
use super::dump::{self, Dump, View};
use super::walk::{self, Batch};

/// Above this size, a segment of several appends must have an index entry (Kafka adds one every 4 KiB).
const INDEXED_BYTES: u64 = 256 * 1024;
/// A batch of a few short records may not shrink when it is compressed.
const INCOMPRESSIBLE_BYTES_MAX: u64 = 1024;
const PROBLEMS_SHOWN: usize = 5;

/// What is wrong with something, if anything.
#[derive(Clone, Debug, Default)]
pub(super) struct Problems(Vec<String>);

impl Problems {
    pub(super) fn add(&mut self, what: String) {
        self.0.push(what);
    }

    /// Whether a problem mentions this text.
    pub(super) fn mention(&self, text: &str) -> bool {
        self.0.iter().any(|problem| problem.contains(text))
    }

    pub(super) fn outcome(&self) -> Result<(), String> {
        if self.0.is_empty() {
            return Ok(());
        }
        let more = self.0.len().saturating_sub(PROBLEMS_SHOWN);
        let shown = self.0[..self.0.len() - more].join("; ");
        Err(if more == 0 {
            shown
        } else {
            format!("{shown}; and {more} more")
        })
    }
}

/// One partition directory.
pub(super) struct Partition {
    /// `topic-0`.
    pub(super) name: String,
    pub(super) problems: Problems,
    /// Decoded records, in order, if this is the metadata log.
    pub(super) metadata: Vec<serde_json::Value>,
    segments: Vec<Segment>,
}

struct Segment {
    batches: Vec<Batch>,
    records: u64,
}

impl Partition {
    pub(super) fn records(&self) -> u64 {
        self.segments.iter().map(|segment| segment.records).sum()
    }

    pub(super) fn batches(&self) -> impl Iterator<Item = &Batch> {
        self.segments.iter().flat_map(|segment| &segment.batches)
    }

    /// What clients stored must be all that lies here, in the way they asked for.
    pub(super) fn agrees(&self, stored: &Stored, problems: &mut Problems) {
        let name = &self.name;
        if self.records() != stored.records {
            problems.add(format!(
                "{name}: {} records, clients stored {}",
                self.records(),
                stored.records
            ));
        }
        // librdkafka sends a batch as it is where compressing makes it no smaller.
        let told = |batch: &&Batch| batch.codec != "none" || batch.size > INCOMPRESSIBLE_BYTES_MAX;
        let codecs: BTreeSet<&str> = self
            .batches()
            .filter(told)
            .map(|batch| batch.codec.as_str())
            .collect();
        if codecs.iter().any(|codec| *codec != stored.codec)
            || (codecs.is_empty() && stored.codec != "none")
        {
            problems.add(format!(
                "{name}: batches in {codecs:?}, clients asked for {}",
                stored.codec
            ));
        }
        if self
            .batches()
            .any(|batch| (batch.producer_id >= 0) != stored.idempotent)
        {
            let asked = if stored.idempotent {
                "an idempotent producer"
            } else {
                "a producer without an id"
            };
            problems.add(format!("{name}: batches not of {asked}"));
        }
        let mut next = 0;
        for batch in self.batches() {
            if batch.base_offset != next || batch.last_offset + 1 != next + batch.count {
                problems.add(format!(
                    "{name}: offsets do not run on at {next}: {batch:?}"
                ));
                return;
            }
            next = batch.last_offset + 1;
        }
    }
}

/// Dumps and walks every partition directory below `data`, by name.
pub(super) fn inspect(
    java: &Java,
    data: &Path,
    work: &Path,
) -> Result<BTreeMap<String, Partition>, String> {
    let folders = folders(data)?;
    let mut jobs = Vec::new();
    for folder in &folders {
        jobs.extend(views(folder)?);
    }
    let dumps = dump::run(java, &jobs, work)?;
    let partitions = folders.iter().map(|folder| {
        let partition = partition(folder, &dumps)?;
        Ok((partition.name.clone(), partition))
    });
    partitions.collect()
}

/// Directories named like a partition.
fn folders(data: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(data).map_err(|e| format!("{}: {e}", data.display()))?;
    let mut folders: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    folders.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        path.is_dir()
            && name
                .rsplit_once('-')
                .is_some_and(|(_, number)| number.parse::<u32>().is_ok())
    });
    folders.sort();
    Ok(folders)
}

fn views(folder: &Path) -> Result<Vec<(PathBuf, View)>, String> {
    let metadata = folder.ends_with("__cluster_metadata-0");
    let entries = fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut views = Vec::new();
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let wanted: &[View] = match path.extension().and_then(|extension| extension.to_str()) {
            Some("log" | "checkpoint") if metadata => &[View::Metadata],
            Some("log") => &[View::Log],
            Some("index") => &[View::Index, View::IndexSanity],
            Some("timeindex") => &[View::TimeIndex, View::TimeIndexSanity],
            Some("snapshot" | "txnindex") => &[View::Producers],
            _ => &[],
        };
        views.extend(wanted.iter().map(|view| (path.clone(), *view)));
    }
    // Checkpoints of the metadata log come before what follows them.
    views.sort_by_key(|(path, view)| {
        (
            path.extension().is_some_and(|extension| extension == "log"),
            path.clone(),
            *view,
        )
    });
    Ok(views)
}

fn partition(folder: &Path, dumps: &BTreeMap<(PathBuf, View), Dump>) -> Result<Partition, String> {
    let name = folder
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let mut partition = Partition {
        name,
        problems: Problems::default(),
        metadata: Vec::new(),
        segments: Vec::new(),
    };
    let mut end = None;
    for (path, view) in views(folder)? {
        let dump = dumps
            .get(&(path.clone(), view))
            .ok_or_else(|| format!("{} was not dumped", path.display()))?;
        let file = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        for problem in &dump.problems {
            partition
                .problems
                .add(format!("{file} ({view:?}): {problem}"));
        }
        partition.metadata.extend(dump.payloads.iter().cloned());
        if path.extension().is_none_or(|extension| extension != "log") {
            continue;
        }
        match segment(&path, dump, dumps) {
            Ok(segment) => {
                let base = path
                    .file_stem()
                    .and_then(|stem| stem.to_str()?.parse::<i64>().ok());
                if end.is_some() && end != base {
                    partition
                        .problems
                        .add(format!("{file}: the segment before it ends at {end:?}"));
                }
                end = segment
                    .batches
                    .last()
                    .map_or(base, |batch| Some(batch.last_offset + 1));
                partition.segments.push(segment);
            }
            Err(why) => partition.problems.add(format!("{file}: {why}")),
        }
    }
    if partition.segments.is_empty() {
        partition.problems.add("no readable .log".into());
    }
    Ok(partition)
}

/// A `.log` with its indexes.
fn segment(
    log: &Path,
    dump: &Dump,
    dumps: &BTreeMap<(PathBuf, View), Dump>,
) -> Result<Segment, String> {
    let batches = walk::batches(log)?;
    let records: i64 = batches.iter().map(|batch| batch.count).sum();
    if dump.batches != batches {
        let differ = dump
            .batches
            .iter()
            .zip(&batches)
            .find(|(theirs, ours)| theirs != ours);
        return Err(format!(
            "{} batches, we count {}; {differ:?}",
            dump.batches.len(),
            batches.len()
        ));
    }
    if i64::try_from(dump.records) != Ok(records) {
        return Err(format!("{} records, we count {records}", dump.records));
    }
    let of = |extension: &str, view: View| {
        let path = log.with_extension(extension);
        let dump = dumps
            .get(&(path.clone(), view))
            .ok_or_else(|| format!("no .{extension}"))?;
        Ok::<_, String>((path, dump))
    };
    let (path, index) = of("index", View::Index)?;
    offsets(&index.entries, &batches)
        .and_then(|()| rest_is_zero(&path, 8 * index.entries.len()))?;
    let size: u64 = batches.iter().map(|batch| batch.size).sum();
    if index.entries.is_empty() && batches.len() > 8 && size > INDEXED_BYTES {
        return Err(format!(
            "an empty .index for {size} bytes in {} batches",
            batches.len()
        ));
    }
    let (path, times) = of("timeindex", View::TimeIndex)?;
    timestamps(&times.entries, &batches)
        .and_then(|()| rest_is_zero(&path, 12 * times.entries.len()))?;
    Ok(Segment {
        batches,
        records: dump.records,
    })
}

/// Each entry names a batch by its last offset and its position, in order.
fn offsets(entries: &[(i64, i64)], batches: &[Batch]) -> Result<(), String> {
    let mut batches = batches.iter();
    for (offset, position) in entries {
        let named = |batch: &Batch| {
            batch.last_offset == *offset && i64::try_from(batch.position) == Ok(*position)
        };
        if !batches.any(named) {
            return Err(format!(
                ".index: no batch, or none in order, ends at offset {offset} and lies at {position}"
            ));
        }
    }
    Ok(())
}

/// Each entry names a batch whose latest timestamp is later than all before it; the last one is the segment's latest.
fn timestamps(entries: &[(i64, i64)], batches: &[Batch]) -> Result<(), String> {
    let mut walk = batches.iter();
    let mut latest = i64::MIN;
    for (timestamp, offset) in entries {
        let Some(batch) = walk.by_ref().find(|batch| {
            let named = batch.last_offset == *offset;
            if !named {
                latest = latest.max(batch.max_timestamp);
            }
            named
        }) else {
            return Err(format!(
                ".timeindex: no batch, or none in order, ends at offset {offset}"
            ));
        };
        if batch.max_timestamp != *timestamp || *timestamp <= latest {
            return Err(format!(
                ".timeindex: {timestamp} at {offset}, the batch has {}, before it {latest}",
                batch.max_timestamp
            ));
        }
        latest = *timestamp;
    }
    let last = entries.last().map(|(timestamp, _)| *timestamp);
    // Records of message format v0 have no time, -1, and no entry.
    let times = batches.iter().map(|batch| batch.max_timestamp);
    let expected = times.filter(|timestamp| *timestamp >= 0).max();
    if last == expected {
        Ok(())
    } else {
        Err(format!(
            ".timeindex ends with {last:?}, the latest timestamp is {expected:?}"
        ))
    }
}

/// The tool stops at the first empty entry: what it did not read must be the unused tail.
fn rest_is_zero(path: &Path, read: usize) -> Result<(), String> {
    let bytes = fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
    match bytes.get(read..) {
        Some(rest) if rest.iter().all(|byte| *byte == 0) => Ok(()),
        _ => Err(format!(
            "{}: something lies after the entries",
            path.display()
        )),
    }
}
