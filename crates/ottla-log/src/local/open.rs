//! Opening the directory: lock, identity, clean or not, marks, what lies in it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use ottla_model::uuid::Uuid;

use super::clean::Stopper;
use super::discarded::Discarded;
use super::flush::Queue;
use super::marks::MarkFile;
use super::{FoundDirectory, LocalStore, OpenError, Shared, Start, StartReport, StoreOptions};
use crate::checkpoint::{self, CLEANED, LOG_STARTS, Offsets, RECOVERY_POINTS};
use crate::disk::Disk;
use crate::file_names::{DirectoryKind, PARTITION_METADATA, UNFINISHED, parse_directory};
use crate::meta::{self, CLEAN_STOP, META_PROPERTIES, MetaError, MetaProperties};
use crate::store::LogFault;

const LOCK: &str = ".lock";
/// What a directory without an owner may hold: nothing, what file systems put there, and what a
/// first start that was interrupted left.
const UNOWNED: [&str; 3] = [LOCK, "lost+found", "meta.properties.tmp"];

impl LocalStore {
    /// Opens the store in `root`, and makes it this node's if the directory is empty. Changes
    /// nothing in a directory that is another's.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(
        disk: Arc<dyn Disk>,
        root: &Path,
        options: StoreOptions,
    ) -> Result<(Arc<LocalStore>, StartReport), OpenError> {
        disk.create_dir(root).map_err(OpenError::Unwritable)?;
        let lock = disk
            .lock(&root.join(LOCK))
            .map_err(OpenError::Unwritable)?
            .ok_or_else(|| OpenError::Locked(root.to_path_buf()))?;
        let entries = disk.list(root).map_err(OpenError::Unwritable)?;
        let (identity, created) = identify(&*disk, root, &entries, &options)?;

        let unwritable = OpenError::Unwritable;
        // Gone durably before anything is written, or a crash would look like a clean stop. An
        // earlier start may have been killed between the removal and the sync.
        let clean = entries.iter().any(|(name, _)| name == CLEAN_STOP);
        if clean {
            disk.remove_file(&root.join(CLEAN_STOP))
                .map_err(unwritable)?;
        }
        disk.sync_dir(root).map_err(unwritable)?;
        let (marks, found) =
            MarkFile::open(&*disk, root, &disk.boot_id(), clean).map_err(unwritable)?;
        let shared = Arc::new(Shared {
            disk: disk.clone(),
            root: root.to_path_buf(),
            filesystem: disk.filesystem(root).map_err(unwritable)?,
            options,
            marks,
            queue: Queue::default(),
            discarded: Discarded::default(),
            cleaner: Stopper::default(),
            lock: Mutex::new(Some(lock)),
        });

        let mut report = StartReport {
            created,
            cluster_id: identity.cluster_id,
            directory_id: identity.directory_id,
            clean: clean || created,
            power_loss: found.power_loss,
            marks_missing: found.created && !created,
            marks_damaged: found.damaged,
            directories: Vec::new(),
            others: Vec::new(),
            leftovers: 0,
        };
        let mut topic_ids = HashMap::new();
        for (name, is_dir) in entries {
            let path = root.join(&name);
            if !is_dir {
                if name.ends_with(UNFINISHED) {
                    disk.remove_file(&path).map_err(unwritable)?;
                }
                continue;
            }
            match parse_directory(&name) {
                DirectoryKind::Log(topic, partition) => {
                    let topic_id =
                        meta::read_partition_metadata(&*disk, &path.join(PARTITION_METADATA))
                            .map_err(unwritable)?;
                    topic_ids.insert(name.clone(), topic_id);
                    report.directories.push(FoundDirectory {
                        name,
                        topic,
                        partition,
                        topic_id,
                    });
                }
                DirectoryKind::Deleted => {
                    report.leftovers += 1;
                    shared.discarded.push(path);
                }
                DirectoryKind::Other => report.others.push(name),
            }
        }
        report.directories.sort_by(|a, b| a.name.cmp(&b.name));
        report.others.sort();

        let start = Start {
            clean,
            found,
            recovery_points: offsets(&*disk, &root.join(RECOVERY_POINTS)).map_err(unwritable)?,
        };
        let log_starts = offsets(&*disk, &root.join(LOG_STARTS)).map_err(unwritable)?;
        let cleaned = offsets(&*disk, &root.join(CLEANED)).map_err(unwritable)?;
        let unopened = Mutex::new(topic_ids);
        Ok((
            Arc::new(LocalStore {
                shared,
                start,
                unopened,
                log_starts: Mutex::new(log_starts),
                cleaned: Mutex::new(cleaned),
                unsynced_removals: Mutex::default(),
                logs: Mutex::default(),
            }),
            report,
        ))
    }
}

/// Whose directory it is; it becomes ours if it is nobody's.
fn identify(
    disk: &dyn Disk,
    root: &Path,
    entries: &[(String, bool)],
    options: &StoreOptions,
) -> Result<(MetaProperties, bool), OpenError> {
    let path = root.join(META_PROPERTIES);
    let foreign = |why: String| OpenError::Foreign {
        path: path.clone(),
        why,
    };
    match MetaProperties::read(disk, &path) {
        Ok(Some(known)) => {
            if let Some(wanted) = options
                .cluster_id
                .as_ref()
                .filter(|id| **id != known.cluster_id)
            {
                return Err(foreign(format!(
                    "it belongs to cluster {}, not {wanted}",
                    known.cluster_id
                )));
            }
            if known.node_id != options.node_id {
                return Err(foreign(format!(
                    "it belongs to node {}, not {}",
                    known.node_id, options.node_id
                )));
            }
            return Ok((known, false));
        }
        Ok(None) => {}
        Err(MetaError::Version(version)) => {
            return Err(foreign(format!(
                "its version is {version}, and this broker knows only 1"
            )));
        }
        Err(MetaError::Damaged(why)) => return Err(OpenError::Damaged { path, why }),
        Err(MetaError::Fault(fault)) => return Err(OpenError::Unwritable(fault)),
    }
    if let Some((name, _)) = entries
        .iter()
        .find(|(name, _)| !UNOWNED.contains(&name.as_str()))
    {
        return Err(OpenError::Foreign {
            path: root.to_path_buf(),
            why: format!("the directory is no broker's, yet it is not empty: it holds {name:?}"),
        });
    }
    let identity = MetaProperties {
        cluster_id: options
            .cluster_id
            .clone()
            .unwrap_or_else(|| Uuid::from_random((options.random)()).to_string()),
        node_id: options.node_id,
        directory_id: Some(Uuid::from_random((options.random)())),
    };
    identity.write(disk, &path).map_err(OpenError::Unwritable)?;
    disk.sync_dir(root).map_err(OpenError::Unwritable)?;
    // The root's own name, too. Its parent may be unreadable to us; then its name was made by
    // somebody else long ago.
    if let Some(parent) = root
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        && let Err(fault) = disk.sync_dir(parent)
    {
        tracing::debug!(%fault, "the parent of the directory was not synced");
    }
    Ok((identity, true))
}

/// A checkpoint that is damaged is no worse than one that is missing.
fn offsets(disk: &dyn Disk, path: &Path) -> Result<Offsets, LogFault> {
    match checkpoint::read_offsets(disk, path) {
        Err(fault @ LogFault::Refused { .. }) => {
            tracing::warn!(%fault, "ignored");
            Ok(Offsets::new())
        }
        other => other,
    }
}
