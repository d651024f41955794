//! A clean stop: everything durable, Kafka's checkpoints, and last the mark that says so.

use std::sync::{Arc, PoisonError};

use super::LocalStore;
use crate::checkpoint::{
    CLEANED, HIGH_WATERMARKS, LOG_STARTS, Offsets, RECOVERY_POINTS, Synced, replace, write_offsets,
};
use crate::log::{Extent, LocalLog};
use crate::meta::{CLEAN_STOP, CLEAN_STOP_CONTENT};
use crate::store::{Log, LogFault};

impl LocalStore {
    pub(super) fn close_all(&self) -> Result<(), LogFault> {
        let mut logs: Vec<Arc<LocalLog>> = self.logs().drain().map(|(_, log)| log).collect();
        logs.sort_by(|a, b| a.directory().cmp(b.directory()));
        let result = self.leave_clean(&logs);
        let stopped = LogFault::Closed("the store is closed".into());
        for log in &logs {
            log.close(&stopped, false);
            // Before the directory is another process's.
            log.wait_for_pass();
        }
        *self
            .shared
            .lock
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = None;
        result
    }

    fn leave_clean(&self, logs: &[Arc<LocalLog>]) -> Result<(), LogFault> {
        let shared = &self.shared;
        if let Some(fault) = logs.iter().find_map(|log| log.closed_by()) {
            return Err(fault);
        }
        // A clean stop vouches for every log, so each must have been recovered.
        if !self.start.clean
            && let Some(directory) = self.unopened().keys().next()
        {
            let path = shared.root.join(directory);
            return Err(LogFault::refused(
                &path,
                "the log was not opened since an unclean stop",
            ));
        }
        let mut touched = Vec::new();
        for log in logs {
            if log.finish()? {
                touched.push(log.clone());
            }
        }
        if !shared.flush(&touched, Extent::All) {
            let fault = touched.iter().find_map(|log| log.closed_by());
            return Err(
                fault.unwrap_or_else(|| LogFault::Closed("the marks could not be written".into()))
            );
        }
        shared.marks.sync(shared.marks.written())?;
        self.write_checkpoints(logs)?;
        replace(
            &*shared.disk,
            &shared.root.join(CLEAN_STOP),
            CLEAN_STOP_CONTENT.as_bytes(),
            Synced::Yes,
        )?;
        shared.sync_dir(&shared.root)
    }

    fn write_checkpoints(&self, logs: &[Arc<LocalLog>]) -> Result<(), LogFault> {
        let mut ends = Offsets::new();
        let mut starts = Offsets::new();
        for log in logs {
            let (marks, key) = (
                log.marks(),
                (log.name().topic.clone(), log.name().partition),
            );
            // Kafka leaves out the logs that begin with their first segment.
            if marks.log_start > log.first_segment_base() {
                starts.insert(key.clone(), marks.log_start);
            }
            ends.insert(key, marks.written);
        }
        let (disk, root) = (&*self.shared.disk, &self.shared.root);
        write_offsets(disk, &root.join(RECOVERY_POINTS), &ends)?;
        write_offsets(disk, &root.join(HIGH_WATERMARKS), &ends)?;
        write_offsets(disk, &root.join(LOG_STARTS), &starts)?;
        match disk.open(&root.join(CLEANED), false) {
            Err(fault) if fault.is_not_found() => {
                write_offsets(disk, &root.join(CLEANED), &Offsets::new())
            }
            other => other.map(drop),
        }
    }
}
