//! Judges of the files that a stopped broker leaves: Apache Kafka's kafka-dump-log reads every segment, index and
//! snapshot, and what it prints must agree with a walk of our own over the same bytes and with what clients stored.
//!
//! The tool never fails by its exit code, so nothing it prints is passed over: a line that is not understood is a
//! problem, and so is any word on standard error. [`plant`] proves that by breaking copies.
//!
//! [`records`] asks Kafka what tests hold on record of it, which needs no broker.

mod dump;
mod files;
mod groups;
mod metadata;
mod plant;
pub(super) mod records;
mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use self::files::{Partition, Problems};
use super::broker::Target;
use super::report::Section;
use super::rows::Row;
use super::setup::Java;
use super::stored::Stored;

/// Reads the whole data directory; answers a row per topic, per kind of planted damage, and for the metadata log.
pub(super) fn run(
    section: &Section,
    java: &Java,
    data: &Path,
    stored: &[Stored],
    work: &Path,
) -> Vec<Row> {
    let partitions = match files::inspect(java, data, work) {
        Ok(partitions) => partitions,
        Err(why) => {
            section.failed(format!("kafka-dump-log: {why}"));
            return Vec::new();
        }
    };
    for partition in partitions.values() {
        section.case(&partition.name, partition.problems.outcome());
    }
    let mut rows = Vec::new();
    let topics: BTreeSet<&str> = stored.iter().map(|stored| stored.topic.as_str()).collect();
    for topic in topics {
        let of_topic: Vec<&Stored> = stored
            .iter()
            .filter(|stored| stored.topic == topic)
            .collect();
        match compare(&partitions, &of_topic) {
            Ok(row) => {
                section.passed(1);
                rows.push(row);
            }
            Err(why) => section.failed(format!("{topic}: {why}")),
        }
    }
    match metadata::compare(data, &partitions) {
        Ok(row) => {
            section.passed(1);
            rows.push(row);
        }
        Err(why) => section.failed(format!("__cluster_metadata: {why}")),
    }
    rows.extend(plant::run(section, java, data, &partitions, work));
    rows
}

/// Groups, with a broker of their own; answers a row for each tool and protocol.
pub(super) fn groups(
    section: &Section,
    java: &Java,
    target: &Target<'_>,
    root: &Path,
    work: &Path,
) -> Vec<Row> {
    groups::run(section, java, target, root, work)
}

/// What clients stored in a topic against what lies there.
fn compare(partitions: &BTreeMap<String, Partition>, stored: &[&Stored]) -> Result<Row, String> {
    let mut problems = Problems::default();
    let (mut records, mut batches) = (0, 0);
    for stored in stored {
        let name = stored.directory();
        let Some(partition) = partitions.get(&name) else {
            problems.add(format!("no directory {name}"));
            continue;
        };
        partition.agrees(stored, &mut problems);
        records += partition.records();
        batches += partition.batches().count();
    }
    problems.outcome()?;
    let first = stored.first().ok_or("nothing stored")?;
    Ok(Row::ok(&[
        ("case", "stored"),
        ("topic", &first.topic),
        ("codec", &first.codec),
        ("idempotent", if first.idempotent { "on" } else { "off" }),
        ("records", &records.to_string()),
        ("partitions", &stored.len().to_string()),
        ("batches", &batches.to_string()),
    ]))
}
