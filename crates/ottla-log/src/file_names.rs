//! Names of files and directories, as Kafka gives them (`LogFileUtils`, `LocalLog`).

use std::path::{Path, PathBuf};

use ottla_model::ids::{Offset, PartitionIndex};
use ottla_model::names::TopicName;

/// Where the epochs of a log lie.
pub(crate) const EPOCHS: &str = "leader-epoch-checkpoint";
/// Where the topic id of a log lies.
pub(crate) const PARTITION_METADATA: &str = "partition.metadata";
/// A file that was not finished; ours and Kafka's.
pub(crate) const UNFINISHED: &str = ".tmp";

/// A compacted segment that is being written.
pub(crate) const CLEANED: &str = ".cleaned";
/// A segment that waits to be deleted: Kafka keeps it for a while.
pub(crate) const DELETED: &str = ".deleted";
/// A compacted segment that takes the place of others.
pub(crate) const SWAP: &str = ".swap";

/// Longest name of a directory.
const NAME_BYTES_MAX: usize = 255;

/// The files that are named by an offset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SegmentFile {
    /// Batches.
    Log,
    /// Offsets to positions.
    OffsetIndex,
    /// Timestamps to offsets.
    TimeIndex,
    /// Aborted transactions.
    TransactionIndex,
    /// The machine's state.
    Snapshot,
}

impl SegmentFile {
    const ALL: [(SegmentFile, &'static str); 5] = [
        (SegmentFile::Log, "log"),
        (SegmentFile::OffsetIndex, "index"),
        (SegmentFile::TimeIndex, "timeindex"),
        (SegmentFile::TransactionIndex, "txnindex"),
        (SegmentFile::Snapshot, "snapshot"),
    ];

    /// The files of a segment, its snapshot left out.
    pub(crate) const OF_SEGMENT: [SegmentFile; 4] = [
        SegmentFile::Log,
        SegmentFile::OffsetIndex,
        SegmentFile::TimeIndex,
        SegmentFile::TransactionIndex,
    ];

    fn suffix(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

/// Path of a file that is named by an offset.
pub(crate) fn segment_file(directory: &Path, base: Offset, kind: SegmentFile) -> PathBuf {
    directory.join(format!("{:020}.{}", base.0, kind.suffix()))
}

/// The path with something behind its name.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// What a file that is named by an offset is; `None` for all others.
pub(crate) fn parse_segment_file(name: &str) -> Option<(Offset, SegmentFile)> {
    let (digits, suffix) = name.split_once('.')?;
    if digits.len() != 20 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let base = Offset(digits.parse().ok()?);
    let (kind, _) = SegmentFile::ALL
        .into_iter()
        .find(|(_, known)| *known == suffix)?;
    Some((base, kind))
}

/// What a directory in the root is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum DirectoryKind {
    /// A partition.
    Log(TopicName, PartitionIndex),
    /// A partition that was removed.
    Deleted,
    /// Put aside, or another broker's unfinished business: left alone.
    Other,
}

/// What a directory's name says.
pub(crate) fn parse_directory(name: &str) -> DirectoryKind {
    let marked = |suffix: &str| {
        name.strip_suffix(suffix)
            .and_then(|rest| rest.rsplit_once('.'))
            .is_some_and(|(_, id)| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    if marked("-delete") {
        return DirectoryKind::Deleted;
    }
    if marked("-stray") || marked("-future") {
        return DirectoryKind::Other;
    }
    let parsed = name.rsplit_once('-').and_then(|(topic, partition)| {
        let canonical = partition == "0" || !partition.starts_with('0');
        if !canonical || !partition.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        Some((
            TopicName::parse(topic).ok()?,
            PartitionIndex(partition.parse().ok()?),
        ))
    });
    match parsed {
        Some((topic, partition)) => DirectoryKind::Log(topic, partition),
        None => DirectoryKind::Other,
    }
}

/// Name of a partition's directory once it is removed (`-delete`) or put aside (`-stray`):
/// `<topic>-<partition>.<32 hex digits><suffix>`, the topic cut so that it fits.
pub(crate) fn marked_directory(directory: &str, id: [u8; 16], suffix: &str) -> String {
    let (topic, partition) = directory.rsplit_once('-').unwrap_or((directory, "0"));
    let hex: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    let rest = format!("-{partition}.{hex}{suffix}");
    let mut keep = topic.len().min(NAME_BYTES_MAX.saturating_sub(rest.len()));
    while !topic.is_char_boundary(keep) {
        keep -= 1;
    }
    format!("{}{rest}", &topic[..keep])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_files_as_kafka_does() {
        let path = segment_file(Path::new("d"), Offset(42), SegmentFile::TimeIndex);
        assert_eq!(path, Path::new("d/00000000000000000042.timeindex"));
        for (kind, _) in SegmentFile::ALL {
            let path = segment_file(Path::new(""), Offset(i64::MAX), kind);
            assert_eq!(
                parse_segment_file(path.to_str().unwrap()),
                Some((Offset(i64::MAX), kind))
            );
        }
        for name in [
            "42.log",
            "00000000000000000042.log.deleted",
            "99999999999999999999.log",
            "x",
            "-0000000000000000042.log",
        ] {
            assert_eq!(parse_segment_file(name), None, "{name}");
        }
    }

    #[test]
    fn tells_directories_apart() {
        let log =
            |name: &str, p| DirectoryKind::Log(TopicName::parse(name).unwrap(), PartitionIndex(p));
        let hex = "0123456789abcdef0123456789abcdef";
        for (name, kind) in [
            ("a-0", log("a", 0)),
            ("a.b-c-17", log("a.b-c", 17)),
            ("a-00", DirectoryKind::Other),
            ("a", DirectoryKind::Other),
            ("-1", DirectoryKind::Other),
            ("lost+found", DirectoryKind::Other),
            (&format!("a.b-0.{hex}-delete"), DirectoryKind::Deleted),
            (&format!("a.b-0.{hex}-stray"), DirectoryKind::Other),
            ("a-delete", DirectoryKind::Other),
        ] {
            assert_eq!(parse_directory(name), kind, "{name}");
        }
        let long = format!("{}-12", "t".repeat(249));
        let marked = marked_directory(&long, [0xab; 16], "-delete");
        assert_eq!(marked.len(), 255);
        assert_eq!(parse_directory(&marked), DirectoryKind::Deleted);
    }
}
