//! Opening one log: is it there, whose is it, may it be created.

use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;

use super::LocalStore;
use crate::disk::Disk;
use crate::file_names::{PARTITION_METADATA, SegmentFile, parse_segment_file};
use crate::log::{LastStop, LocalLog, OpenRequest};
use crate::meta::encode_partition_metadata;
use crate::store::{LogFault, LogSpec, Recovery};

impl LocalStore {
    /// [`LogStore::open_log`](crate::LogStore::open_log), for who wants to [scrub](LocalLog::scrub)
    /// the log, too.
    ///
    /// # Errors
    /// The same.
    pub fn open_local(&self, spec: &LogSpec) -> Result<(Arc<LocalLog>, Recovery), LogFault> {
        let shared = &self.shared;
        let disk = &shared.disk;
        let name = &spec.name;
        let key = name.directory();
        let directory = shared.root.join(&key);
        if shared.is_closed() {
            return Err(LogFault::Closed("the store is closed".into()));
        }
        if self.logs().contains_key(&key) {
            return Err(LogFault::refused(&directory, "the log is open already"));
        }
        let slot = shared.marks.find(name);
        let checkpoint_key = (name.topic.clone(), name.partition);
        // Where there are marks, a log without any is a new one.
        let unmarked = self.start.found.created || self.start.found.damaged > 0;
        let mut there = self.unopened().get(&key).copied();
        if there == Some(None) && slot.is_none() && !unmarked && holds_records(&**disk, &directory)?
        {
            // Left over from an earlier incarnation, whose removal a power loss undid.
            let aside = self.quarantine(&key)?;
            tracing::warn!(directory = %key, %aside, "a directory without topic id was put aside");
            there = None;
        }
        match there {
            None => {
                if let Some((_, marks)) = slot.filter(|(_, marks)| marks.stable.0 > 0) {
                    let why = format!(
                        "the directory is missing, though it held records up to offset {}",
                        marks.stable
                    );
                    return Err(LogFault::refused(&directory, why));
                }
                if self.unsynced_removals().contains(&key) {
                    // Should the removal be undone, the old records must not be taken for new ones.
                    shared.sync_dir(&shared.root)?;
                    self.unsynced_removals().clear();
                }
                if self.forget_cleaned(&checkpoint_key)? {
                    shared.sync_dir(&shared.root)?;
                }
                // Should anything fail from here on, a removal must find it.
                self.unopened().insert(key.clone(), None);
                disk.create_dir(&directory)?;
            }
            Some(Some(topic_id)) if topic_id != name.topic_id => {
                let why = format!("it belongs to topic id {topic_id}, not {}", name.topic_id);
                return Err(LogFault::refused(&directory, why));
            }
            Some(_) => {}
        }
        if !matches!(there, Some(Some(_))) {
            // Missing, or not durable yet when the machine stopped. Synced with the log's first batch.
            let file = disk.open(&directory.join(PARTITION_METADATA), true)?;
            file.set_len(0)?;
            let text = encode_partition_metadata(name.topic_id);
            file.write_all_at(&mut [IoSlice::new(text.as_bytes())], 0)?;
        }
        // What Kafka's checkpoint says of a new log may be of an earlier incarnation.
        let recovery_point = self
            .start
            .recovery_points
            .get(&checkpoint_key)
            .copied()
            .filter(|_| unmarked && there.is_some());
        let (log, recovery) = LocalLog::open(OpenRequest {
            name: name.clone(),
            directory,
            config: spec.config,
            shared: shared.clone(),
            slot,
            last_stop: LastStop {
                clean: self.start.clean,
                marks_damaged: self.start.found.damaged > 0,
                recovery_point,
                log_start: self.log_starts().get(&checkpoint_key).copied(),
            },
            created: there.is_none(),
        })?;
        // Should it be of an earlier incarnation, what is dirty would be taken for clean.
        let cleaned = self.cleaned().get(&checkpoint_key).copied();
        log.set_cleaned(cleaned.filter(|_| there.is_some()));
        self.unopened().remove(&key);
        self.logs().insert(key, log.clone());
        Ok((log, recovery))
    }
}

fn holds_records(disk: &dyn Disk, directory: &Path) -> Result<bool, LogFault> {
    for (name, _) in disk.list(directory)? {
        if matches!(parse_segment_file(&name), Some((_, SegmentFile::Log)))
            && !disk.open(&directory.join(name), false)?.is_empty()?
        {
            return Ok(true);
        }
    }
    Ok(false)
}
