//! `__cluster_metadata-0`: every record decodes, and the topics it ends with are those on the disk.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::super::rows::Row;
use super::files::{Partition, Problems};

pub(super) fn compare(
    data: &Path,
    partitions: &BTreeMap<String, Partition>,
) -> Result<Row, String> {
    let log = partitions
        .get("__cluster_metadata-0")
        .ok_or("no such directory")?;
    let mut topics: BTreeMap<String, String> = BTreeMap::new();
    let mut parts: BTreeMap<(String, i64), ()> = BTreeMap::new();
    for record in &log.metadata {
        let data = &record["data"];
        let text = |name: &str| data[name].as_str().unwrap_or_default().to_owned();
        match record["type"].as_str() {
            Some("TOPIC_RECORD") => drop(topics.insert(text("topicId"), text("name"))),
            Some("REMOVE_TOPIC_RECORD") => {
                let id = text("topicId");
                topics.remove(&id);
                parts.retain(|(topic, _), ()| *topic != id);
            }
            Some("PARTITION_RECORD") => {
                let number = data["partitionId"]
                    .as_i64()
                    .ok_or_else(|| format!("no partition: {record}"))?;
                parts.insert((text("topicId"), number), ());
            }
            Some(_) => {}
            None => return Err(format!("a record without a type: {record}")),
        }
    }
    let mut problems = Problems::default();
    let mut known = 0;
    for (id, number) in parts.keys() {
        let Some(name) = topics.get(id) else {
            problems.add(format!("a partition of the unknown topic {id}"));
            continue;
        };
        let folder = format!("{name}-{number}");
        known += 1;
        match written_id(data, &folder) {
            Ok(found) if found == *id => {}
            Ok(found) => problems.add(format!(
                "{folder}: partition.metadata says {found}, the log {id}"
            )),
            Err(why) => problems.add(why),
        }
    }
    let on_disk = partitions
        .keys()
        .filter(|name| *name != "__cluster_metadata-0")
        .count();
    if on_disk != known {
        problems.add(format!("{on_disk} partitions on disk, {known} in the log"));
    }
    problems.outcome()?;
    Ok(Row::ok(&[
        ("case", "cluster-metadata"),
        ("topics", &topics.len().to_string()),
        ("partitions", &known.to_string()),
        ("metadata_records", &log.metadata.len().to_string()),
    ]))
}

fn written_id(data: &Path, folder: &str) -> Result<String, String> {
    let path = data.join(folder).join("partition.metadata");
    let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let id = text
        .lines()
        .find_map(|line| line.strip_prefix("topic_id: "));
    id.map(|id| id.trim().to_owned())
        .ok_or_else(|| format!("{}: no topic_id", path.display()))
}
