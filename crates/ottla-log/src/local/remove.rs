//! Taking directories out of use: a log that is removed, a directory that is put aside.

use ottla_model::names::TopicPartition;

use super::{Durability, LocalStore};
use crate::checkpoint::{LOG_STARTS, write_offsets};
use crate::file_names::{PARTITION_METADATA, marked_directory};
use crate::meta::read_partition_metadata;
use crate::store::LogFault;

impl LocalStore {
    pub(super) fn remove_one(&self, name: &TopicPartition) -> Result<(), LogFault> {
        let directory = name.directory();
        let open = {
            let mut logs = self.logs();
            match logs.get(&directory) {
                Some(log) if log.name() == name => logs.remove(&directory),
                // Another incarnation of the topic lives there by now.
                Some(_) => return self.shared.marks.release(name),
                None => None,
            }
        };
        if let Some(log) = open {
            log.close(&LogFault::Closed("it was removed".into()), true);
        }
        let (shared, root) = (&self.shared, &self.shared.root);
        let metadata = root.join(&directory).join(PARTITION_METADATA);
        let lives_there = read_partition_metadata(&*shared.disk, &metadata)?;
        if lives_there.is_some_and(|topic_id| topic_id != name.topic_id) {
            return shared.marks.release(name);
        }
        {
            // Before the directory goes, or the next incarnation would begin where this one did.
            let mut starts = self.log_starts();
            if starts
                .remove(&(name.topic.clone(), name.partition))
                .is_some()
            {
                write_offsets(&*shared.disk, &root.join(LOG_STARTS), &starts)?;
                shared.sync_dir(root)?;
            }
        }
        let removed = root.join(marked_directory(
            &directory,
            (shared.options.random)(),
            "-delete",
        ));
        match shared.disk.rename(&root.join(&directory), &removed) {
            Ok(()) => {
                // The catalog has already forgotten the topic, so in dev mode a name that comes back
                // is deleted at the next start.
                if shared.options.durability == Durability::Synced {
                    shared.sync_dir(root)?;
                } else {
                    self.unsynced_removals().insert(directory.clone());
                }
                self.unopened().remove(&directory);
                shared.queue.discard(removed);
            }
            Err(fault) if fault.is_not_found() => {}
            Err(fault) => return Err(fault),
        }
        shared.marks.release(name)
    }

    /// Puts the directory of an unknown partition aside, as Kafka does: `<name>.<id>-stray`. Nothing
    /// in it is deleted, now or later. Says what its name is now.
    ///
    /// # Errors
    /// The disk's fault; `Refused` if a log is open there.
    pub fn quarantine(&self, directory: &str) -> Result<String, LogFault> {
        let root = &self.shared.root;
        if self.logs().contains_key(directory) {
            return Err(LogFault::refused(&root.join(directory), "the log is open"));
        }
        let aside = marked_directory(directory, (self.shared.options.random)(), "-stray");
        self.shared
            .disk
            .rename(&root.join(directory), &root.join(&aside))?;
        self.unopened().remove(directory);
        self.shared.sync_dir(root)?;
        Ok(aside)
    }
}
