//! Whose directory this is: `meta.properties`, `partition.metadata`, and the mark of a clean stop.

use std::path::Path;

use ottla_model::ids::NodeId;
use ottla_model::uuid::Uuid;

use crate::checkpoint::{Synced, replace};
use crate::disk::Disk;
use crate::store::LogFault;

/// Name of the file that says whose directory this is.
pub(crate) const META_PROPERTIES: &str = "meta.properties";
/// Name of the file that says that the last stop was clean (Kafka: `CleanShutdownFileHandler`).
pub(crate) const CLEAN_STOP: &str = ".kafka_cleanshutdown";

/// Largest of these files that is read.
const BYTES_MAX: usize = 64 * 1024;

/// Content of `meta.properties`, version 1 (Kafka: `MetaProperties`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct MetaProperties {
    pub(crate) cluster_id: String,
    pub(crate) node_id: NodeId,
    /// `None` in directories that Kafka wrote before 3.7.
    pub(crate) directory_id: Option<Uuid>,
}

/// Why `meta.properties` says nothing.
#[derive(Clone, Debug)]
pub(crate) enum MetaError {
    /// It is of a version that this broker does not know.
    Version(String),
    /// It is not what a broker writes.
    Damaged(String),
    /// The disk's fault.
    Fault(LogFault),
}

impl MetaProperties {
    /// Reads the file; `None` if there is none.
    pub(crate) fn read(disk: &dyn Disk, path: &Path) -> Result<Option<MetaProperties>, MetaError> {
        let Some(bytes) = disk.read_file(path, BYTES_MAX).map_err(MetaError::Fault)? else {
            return Ok(None);
        };
        let text =
            std::str::from_utf8(&bytes).map_err(|_| MetaError::Damaged("it is not text".into()))?;
        let property = |name: &str| {
            text.lines()
                .map(str::trim)
                .filter(|line| !line.starts_with(['#', '!']))
                .filter_map(|line| line.split_once('='))
                .find(|(key, _)| key.trim() == name)
                .map(|(_, value)| value.trim().replace('\\', ""))
        };
        let missing = |name: &str| MetaError::Damaged(format!("it has no valid {name}"));
        match property("version").as_deref() {
            Some("1") => {}
            Some(other) => return Err(MetaError::Version(other.to_owned())),
            None => return Err(missing("version")),
        }
        let directory_id = match property("directory.id") {
            None => None,
            Some(id) => Some(Uuid::parse(&id).ok_or_else(|| missing("directory.id"))?),
        };
        Ok(Some(MetaProperties {
            cluster_id: property("cluster.id")
                .filter(|id| !id.is_empty())
                .ok_or_else(|| missing("cluster.id"))?,
            node_id: property("node.id")
                .and_then(|id| id.parse().ok())
                .map(NodeId)
                .ok_or_else(|| missing("node.id"))?,
            directory_id,
        }))
    }

    /// Writes the file, durable but for its name.
    pub(crate) fn write(&self, disk: &dyn Disk, path: &Path) -> Result<(), LogFault> {
        let mut text = format!(
            "#\nversion=1\ncluster.id={}\nnode.id={}\n",
            self.cluster_id, self.node_id
        );
        if let Some(id) = self.directory_id {
            text.push_str(&format!("directory.id={id}\n"));
        }
        replace(disk, path, text.as_bytes(), Synced::Yes)
    }
}

/// Content of a `partition.metadata` file (Kafka: `PartitionMetadata`).
pub(crate) fn encode_partition_metadata(topic_id: Uuid) -> String {
    format!("version: 0\ntopic_id: {topic_id}\n")
}

/// Reads the topic id of a partition's directory. `None` if the file is missing or not whole.
pub(crate) fn read_partition_metadata(
    disk: &dyn Disk,
    path: &Path,
) -> Result<Option<Uuid>, LogFault> {
    let Some(bytes) = disk.read_file(path, BYTES_MAX)? else {
        return Ok(None);
    };
    Ok(std::str::from_utf8(&bytes).ok().and_then(|text| {
        let mut lines = text.lines();
        (lines.next()?.trim() == "version: 0").then_some(())?;
        Uuid::parse(lines.next()?.strip_prefix("topic_id:")?.trim())
    }))
}

/// Content of the file that says that the last stop was clean.
pub(crate) const CLEAN_STOP_CONTENT: &str = "{\"version\":0,\"brokerEpoch\":-1}";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::LocalDisk;

    #[test]
    fn reads_what_kafka_writes_and_refuses_what_it_does_not_know() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join(META_PROPERTIES);
        assert_eq!(MetaProperties::read(&LocalDisk, &path).unwrap(), None);

        let kafka = "#\n#Tue Sep 01 10:00:00 UTC 2026\ncluster.id=WMdYq-v4T9u\\=x\ndirectory.id=AAAAAAAAAAAAAAAAAAAAAQ\nnode.id=1\nversion=1\n";
        std::fs::write(&path, kafka).unwrap();
        let read = MetaProperties::read(&LocalDisk, &path).unwrap().unwrap();
        assert_eq!(
            read,
            MetaProperties {
                cluster_id: "WMdYq-v4T9u=x".into(),
                node_id: NodeId(1),
                directory_id: Some(Uuid::METADATA_TOPIC)
            }
        );
        read.write(&LocalDisk, &path).unwrap();
        assert_eq!(MetaProperties::read(&LocalDisk, &path).unwrap(), Some(read));

        for (content, version) in [
            ("version=0\nbroker.id=1\n", "0"),
            ("version=2\ncluster.id=a\nnode.id=1\n", "2"),
        ] {
            std::fs::write(&path, content).unwrap();
            let error = MetaProperties::read(&LocalDisk, &path);
            assert!(
                matches!(&error, Err(MetaError::Version(v)) if v == version),
                "{error:?}"
            );
        }
        for damaged in [
            "",
            "version=1\ncluster.id=\nnode.id=1\n",
            "version=1\ncluster.id=a\nnode.id=x\n",
            "version=1\ncluster.id=a\nnode.id=1\ndirectory.id=short\n",
        ] {
            std::fs::write(&path, damaged).unwrap();
            assert!(
                matches!(
                    MetaProperties::read(&LocalDisk, &path),
                    Err(MetaError::Damaged(_))
                ),
                "{damaged:?}"
            );
        }
    }

    #[test]
    fn partition_metadata_round_trips() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("partition.metadata");
        for (content, id) in [
            (
                encode_partition_metadata(Uuid::METADATA_TOPIC).as_str(),
                Some(Uuid::METADATA_TOPIC),
            ),
            ("", None),
            ("version: 1\ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ\n", None),
            ("version: 0\ntopic_id: AAAA\n", None),
            ("\0\0\0\0\0\0\0\0", None),
        ] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(
                read_partition_metadata(&LocalDisk, &path).unwrap(),
                id,
                "{content:?}"
            );
        }
    }
}
