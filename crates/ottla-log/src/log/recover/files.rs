//! What lies in a log's directory.

use std::path::Path;

use ottla_model::ids::Offset;

use crate::clean::swap::Place;
use crate::disk::Disk;
use crate::file_names::{
    CLEANED, DELETED, SWAP, SegmentFile, UNFINISHED, parse_segment_file, segment_file,
};
use crate::local::Shared;
use crate::store::LogFault;

/// Files of a log's directory.
pub(super) struct Listed {
    /// Base offsets of the segments, oldest first.
    pub(super) bases: Vec<Offset>,
    /// Offsets of the snapshots, oldest first.
    pub(super) snapshots: Vec<Offset>,
}

/// Lists a log's directory and removes what was never finished.
pub(super) fn list(shared: &Shared, directory: &Path) -> Result<Listed, LogFault> {
    let disk = &*shared.disk;
    let mut entries = disk.list(directory)?;
    if entries.iter().any(|(name, _)| name.ends_with(SWAP)) {
        let place = Place {
            disk,
            directory,
            sync: &|| shared.sync_dir(directory),
        };
        let names: Vec<String> = entries.into_iter().map(|(name, _)| name).collect();
        if place.recover(&names)? {
            tracing::info!(directory = %directory.display(), "a compaction that was interrupted is complete");
        }
        entries = disk.list(directory)?;
    }
    let mut listed = Listed {
        bases: Vec::new(),
        snapshots: Vec::new(),
    };
    let mut indexes = Vec::new();
    for (name, is_dir) in entries {
        if is_dir {
            continue;
        }
        match parse_segment_file(&name) {
            Some((base, SegmentFile::Log)) => listed.bases.push(base),
            Some((at, SegmentFile::Snapshot)) => listed.snapshots.push(at),
            Some((base, _)) => indexes.push((base, name)),
            // Kafka: `.cleaned` was being written, `.deleted` waited to be deleted.
            None if [UNFINISHED, CLEANED, DELETED]
                .iter()
                .any(|end| name.ends_with(end)) =>
            {
                disk.remove_file(&directory.join(name))?;
            }
            None => {}
        }
    }
    listed.bases.sort();
    listed.snapshots.sort();
    for (base, name) in indexes {
        if listed.bases.binary_search(&base).is_err() {
            disk.remove_file(&directory.join(name))?;
        }
    }
    Ok(listed)
}

/// Deletes snapshots above an offset.
pub(super) fn keep_snapshots(
    disk: &dyn Disk,
    directory: &Path,
    snapshots: Vec<Offset>,
    end: Offset,
) -> Result<Vec<Offset>, LogFault> {
    let (kept, ahead): (Vec<Offset>, Vec<Offset>) =
        snapshots.into_iter().partition(|at| *at <= end);
    for at in ahead {
        disk.remove_file(&segment_file(directory, at, SegmentFile::Snapshot))?;
    }
    Ok(kept)
}
