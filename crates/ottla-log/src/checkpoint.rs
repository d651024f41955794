//! Small files that are replaced whole: Kafka's checkpoints of offsets and epochs.
//!
//! Layout (Kafka: `CheckpointFile`): a line with the version 0, a line with the number of rows, then
//! the rows, their fields between single spaces. What is read is checked row by row; a file that is
//! damaged is reported by who reads it and treated as missing, for checkpoints are caches.

use std::collections::BTreeMap;
use std::io::IoSlice;
use std::path::{Path, PathBuf};

use ottla_model::ids::{LeaderEpoch, Offset, PartitionIndex};
use ottla_model::names::TopicName;

use crate::disk::Disk;
use crate::file_names::{UNFINISHED, with_suffix};
use crate::store::LogFault;

/// Up to which offsets logs need no recovery.
pub(crate) const RECOVERY_POINTS: &str = "recovery-point-offset-checkpoint";
/// First readable offsets of logs, where deletion moved them.
pub(crate) const LOG_STARTS: &str = "log-start-offset-checkpoint";
/// High watermarks of logs.
pub(crate) const HIGH_WATERMARKS: &str = "replication-offset-checkpoint";
/// Up to which offsets logs are compacted.
pub(crate) const CLEANED: &str = "cleaner-offset-checkpoint";

/// Largest checkpoint that is read: a million partitions with long names.
const BYTES_MAX: usize = 256 * 1024 * 1024;

/// Whether content must be durable before its name is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Synced {
    /// After a crash the old or the new content is there, never a torn one.
    Yes,
    /// For caches whose reader notices a torn one.
    No,
}

/// Writes a file beside its place and renames it over. The name is durable with the directory's sync.
pub(crate) fn replace(
    disk: &dyn Disk,
    path: &Path,
    bytes: &[u8],
    synced: Synced,
) -> Result<(), LogFault> {
    let unfinished = unfinished(path);
    let file = disk.open(&unfinished, true)?;
    file.set_len(0)?;
    file.write_all_at(&mut [IoSlice::new(bytes)], 0)?;
    if synced == Synced::Yes {
        file.sync()?;
    }
    disk.rename(&unfinished, path)
}

/// Where a file lies until it is finished.
pub(crate) fn unfinished(path: &Path) -> PathBuf {
    with_suffix(path, UNFINISHED)
}

/// Offsets by partition.
pub(crate) type Offsets = BTreeMap<(TopicName, PartitionIndex), Offset>;

/// Reads a checkpoint of offsets; empty if there is none.
///
/// # Errors
/// `Refused` if it is damaged; the disk's fault.
pub(crate) fn read_offsets(disk: &dyn Disk, path: &Path) -> Result<Offsets, LogFault> {
    read(disk, path, |row| {
        let mut fields = row.split(' ');
        let topic = TopicName::parse(fields.next()?).ok()?;
        let partition = PartitionIndex(number(fields.next()?)?);
        let offset = Offset(number(fields.next()?)?);
        fields
            .next()
            .is_none()
            .then_some(((topic, partition), offset))
    })
    .map(Offsets::from_iter)
}

/// Writes a checkpoint of offsets.
pub(crate) fn write_offsets(
    disk: &dyn Disk,
    path: &Path,
    offsets: &Offsets,
) -> Result<(), LogFault> {
    let rows = offsets
        .iter()
        .map(|((topic, partition), offset)| format!("{topic} {partition} {offset}"));
    replace(disk, path, &encode(rows), Synced::Yes)
}

/// Reads a checkpoint of epochs, oldest first; empty if there is none.
///
/// # Errors
/// `Refused` if it is damaged; the disk's fault.
pub(crate) fn read_epochs(
    disk: &dyn Disk,
    path: &Path,
) -> Result<Vec<(LeaderEpoch, Offset)>, LogFault> {
    let rows = read(disk, path, |row| {
        let (epoch, offset) = row.split_once(' ')?;
        Some((LeaderEpoch(number(epoch)?), Offset(number(offset)?)))
    })?;
    if rows.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1) {
        Ok(rows)
    } else {
        Err(LogFault::refused(path, "the epochs are not in order"))
    }
}

/// Content of a checkpoint of epochs.
pub(crate) fn encode_epochs(epochs: &[(LeaderEpoch, Offset)]) -> Vec<u8> {
    encode(
        epochs
            .iter()
            .map(|(epoch, offset)| format!("{epoch} {offset}")),
    )
}

fn encode(rows: impl ExactSizeIterator<Item = String>) -> Vec<u8> {
    let mut text = format!("0\n{}\n", rows.len());
    for row in rows {
        text.push_str(&row);
        text.push('\n');
    }
    text.into_bytes()
}

fn read<T>(
    disk: &dyn Disk,
    path: &Path,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, LogFault> {
    let Some(bytes) = disk.read_file(path, BYTES_MAX)? else {
        return Ok(Vec::new());
    };
    let damaged = |why: &str| LogFault::refused(path, why);
    let text = std::str::from_utf8(&bytes).map_err(|_| damaged("the checkpoint is not text"))?;
    let mut lines = text.lines();
    if lines.next() != Some("0") {
        return Err(damaged("the checkpoint does not begin with version 0"));
    }
    let count: usize = lines
        .next()
        .and_then(|count| count.parse().ok())
        .ok_or_else(|| damaged("the checkpoint has no number of rows"))?;
    let rows: Option<Vec<T>> = lines.map(parse).collect();
    let rows = rows.ok_or_else(|| damaged("a row of the checkpoint makes no sense"))?;
    if rows.len() == count {
        Ok(rows)
    } else {
        Err(damaged("the checkpoint has not as many rows as it says"))
    }
}

/// A number that is not negative.
fn number<T: std::str::FromStr + Default + PartialOrd>(text: &str) -> Option<T> {
    text.parse().ok().filter(|number| *number >= T::default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::LocalDisk;

    #[test]
    fn round_trips_and_reports_damage() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("checkpoint");
        assert!(read_offsets(&LocalDisk, &path).unwrap().is_empty());

        let topic = |name: &str| TopicName::parse(name).unwrap();
        let offsets: Offsets = [
            ((topic("a.b"), PartitionIndex(0)), Offset(7)),
            ((topic("c"), PartitionIndex(12)), Offset(i64::MAX)),
        ]
        .into();
        write_offsets(&LocalDisk, &path, &offsets).unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            format!("0\n2\na.b 0 7\nc 12 {}\n", i64::MAX)
        );
        assert_eq!(read_offsets(&LocalDisk, &path).unwrap(), offsets);

        let epochs = vec![
            (LeaderEpoch(0), Offset(0)),
            (LeaderEpoch(3), Offset(10)),
            (LeaderEpoch(4), Offset(10)),
        ];
        replace(&LocalDisk, &path, &encode_epochs(&epochs), Synced::No).unwrap();
        assert_eq!(read_epochs(&LocalDisk, &path).unwrap(), epochs);

        for damaged in [
            "",
            "1\n0\n",
            "0\n",
            "0\n2\n1 1\n",
            "0\n1\n1\n",
            "0\n1\n1 -1\n",
            "0\n2\n2 1\n1 1\n",
            "\0\0\0\0",
            "0\n1\n1 1 1\n",
        ] {
            std::fs::write(&path, damaged).unwrap();
            assert!(
                matches!(
                    read_epochs(&LocalDisk, &path),
                    Err(LogFault::Refused { .. })
                ),
                "{damaged:?}"
            );
        }
    }
}
