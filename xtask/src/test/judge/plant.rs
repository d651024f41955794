//! The judges judged: copies of a sound partition are damaged, each in one way, and the damage must be found.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::super::report::Section;
use super::super::rows::Row;
use super::super::setup::Java;
use super::files::{self, Partition};
use super::walk;

/// A way to damage a partition directory, and the words that must then be said.
struct Plant {
    kind: &'static str,
    says: &'static str,
    damage: fn(&Path) -> Result<(), String>,
}

const PLANTS: &[Plant] = &[
    // The control: an untouched copy has no problem, so the others fail for what was planted.
    Plant {
        kind: "nothing",
        says: "",
        damage: |_| Ok(()),
    },
    Plant {
        kind: "index-position",
        says: "Mismatches in",
        damage: index_position,
    },
    Plant {
        kind: "index-sanity",
        says: "Corrupt index found",
        damage: index_sanity,
    },
    Plant {
        kind: "timeindex-timestamp",
        says: "timestamp mismatch",
        damage: timeindex_timestamp,
    },
    Plant {
        kind: "timeindex-sanity",
        says: "Corrupt time index found",
        damage: timeindex_sanity,
    },
    Plant {
        kind: "flipped-bit",
        says: "not valid",
        damage: flipped_bit,
    },
    Plant {
        kind: "lost-batch",
        says: "Non-consecutive offsets",
        damage: lost_batch,
    },
    Plant {
        kind: "trailing-bytes",
        says: "invalid bytes at the end",
        damage: trailing_bytes,
    },
];

pub(super) fn run(
    section: &Section,
    java: &Java,
    data: &Path,
    partitions: &BTreeMap<String, Partition>,
    work: &Path,
) -> Vec<Row> {
    match try_run(java, data, partitions, work) {
        Ok(outcomes) => {
            let sound = |(kind, outcome): (&str, Result<(), String>)| {
                let row = Row::ok(&[("case", "planted"), ("kind", kind)]);
                section
                    .case(&format!("planted {kind}"), outcome)
                    .then_some(row)
            };
            outcomes.into_iter().filter_map(sound).collect()
        }
        Err(why) => {
            section.failed(format!("planted damage: {why}"));
            Vec::new()
        }
    }
}

type Outcome = (&'static str, Result<(), String>);

fn try_run(
    java: &Java,
    data: &Path,
    partitions: &BTreeMap<String, Partition>,
    work: &Path,
) -> Result<Vec<Outcome>, String> {
    // The first segment needs an index worth damaging, and batches after the damage.
    let has_index = |partition: &&Partition| {
        let file = |end: &str| {
            let name = format!("00000000000000000000.{end}");
            fs::read(data.join(&partition.name).join(name))
        };
        partition.problems.outcome().is_ok()
            && file("index").is_ok_and(|bytes| bytes.len() >= 5 * 8 && bytes[32..40] != [0; 8])
            // Records of message format v0 have no times to index.
            && file("timeindex").is_ok_and(|bytes| bytes.len() >= 2 * 12)
    };
    let plain = |partition: &&Partition| partition.batches().all(|batch| batch.codec == "none");
    let chosen = partitions
        .values()
        .filter(|partition| !partition.name.starts_with("__"))
        .filter(plain)
        .filter(has_index)
        .min_by_key(|partition| partition.batches().map(|batch| batch.size).sum::<u64>());
    let chosen = chosen.ok_or("no sound partition with five index entries")?;
    let garden = work.join("planted");
    for (number, plant) in PLANTS.iter().enumerate() {
        let copy = garden.join(format!("{}-{number}", plant.kind));
        copy_folder(&data.join(&chosen.name), &copy)?;
        (plant.damage)(&copy).map_err(|why| format!("{}: {why}", plant.kind))?;
    }
    let found = files::inspect(java, &garden, work)?;
    fs::remove_dir_all(&garden).map_err(|e| format!("{}: {e}", garden.display()))?;
    let outcome = |(number, plant): (usize, &Plant)| {
        let name = format!("{}-{number}", plant.kind);
        let problems = &found
            .get(&name)
            .ok_or_else(|| format!("{name} was not read"))?
            .problems;
        let outcome = match problems.outcome() {
            ok if plant.says.is_empty() => {
                ok.map_err(|why| format!("an untouched copy of {}: {why}", chosen.name))
            }
            Ok(()) => Err("nobody noticed".into()),
            Err(_) if problems.mention(plant.says) => Ok(()),
            Err(why) => Err(format!(
                "noticed, but kafka-dump-log did not say {:?}: {why}",
                plant.says
            )),
        };
        Ok((plant.kind, outcome))
    };
    PLANTS.iter().enumerate().map(outcome).collect()
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), String> {
    fs::create_dir_all(to).map_err(|e| format!("{}: {e}", to.display()))?;
    let entries = fs::read_dir(from).map_err(|e| format!("{}: {e}", from.display()))?;
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if let Some(name) = path.file_name() {
            fs::copy(&path, to.join(name)).map_err(|e| format!("{}: {e}", path.display()))?;
        }
    }
    Ok(())
}

/// The second entry points where the third batch does not begin.
fn index_position(folder: &Path) -> Result<(), String> {
    change(folder, "index", |bytes| bytes.copy_within(4..8, 12))
}

/// The last entry lies before the segment's first offset. (An empty tail, which a killed broker leaves, passes.)
fn index_sanity(folder: &Path) -> Result<(), String> {
    change(folder, "index", |bytes| {
        bytes.extend([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0])
    })
}

/// An empty tail: in a time index it does not pass.
fn timeindex_sanity(folder: &Path) -> Result<(), String> {
    change(folder, "timeindex", |bytes| bytes.extend([0; 12]))
}

fn timeindex_timestamp(folder: &Path) -> Result<(), String> {
    change(folder, "timeindex", |bytes| bytes[12 + 7] ^= 1)
}

/// In the last byte of the third batch: a header's or a value's.
fn flipped_bit(folder: &Path) -> Result<(), String> {
    let (_, end) = third_batch(folder)?;
    change(folder, "log", |bytes| bytes[end - 1] ^= 1)
}

fn lost_batch(folder: &Path) -> Result<(), String> {
    let (start, end) = third_batch(folder)?;
    change(folder, "log", |bytes| drop(bytes.drain(start..end)))
}

fn trailing_bytes(folder: &Path) -> Result<(), String> {
    change(folder, "log", |bytes| bytes.extend([0; 7]))
}

fn third_batch(folder: &Path) -> Result<(usize, usize), String> {
    let batches = walk::batches(&folder.join("00000000000000000000.log"))?;
    let third = batches.get(2).ok_or("fewer than three batches")?;
    let start = usize::try_from(third.position).map_err(|e| e.to_string())?;
    let size = usize::try_from(third.size).map_err(|e| e.to_string())?;
    Ok((start, start + size))
}

fn change(folder: &Path, extension: &str, edit: impl FnOnce(&mut Vec<u8>)) -> Result<(), String> {
    let path = folder
        .join("00000000000000000000")
        .with_extension(extension);
    let mut bytes = fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    edit(&mut bytes);
    fs::write(&path, bytes).map_err(|e| format!("{}: {e}", path.display()))
}
