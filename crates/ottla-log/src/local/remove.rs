//! Taking directories out of use: a log that is removed, a directory that is put aside.

use std::path::{Path, PathBuf};

use ottla_model::ids::PartitionIndex;
use ottla_model::names::{TopicName, TopicPartition};

use super::{Durability, LocalStore};
use crate::checkpoint::{LOG_STARTS, Offsets, write_offsets};
use crate::file_names::marked_directory;
use crate::store::LogFault;

impl LocalStore {
    /// Renames the directories of these logs away, then makes that durable with one sync.
    pub(super) fn remove_all(&self, names: &[TopicPartition]) -> Result<(), LogFault> {
        let mut first_fault = None;
        let mut renamed = Vec::new();
        for name in names {
            match self.rename_away(name) {
                Ok(away) => renamed.extend(away.map(|away| (name.directory(), away))),
                Err(fault) => first_fault = first_fault.or(Some(fault)),
            }
        }
        let shared = &self.shared;
        if !renamed.is_empty() {
            // The catalog has already forgotten the topic, so in dev mode a name that comes back is
            // deleted at the next start.
            if shared.options.durability == Durability::Synced {
                shared.sync_dir(&shared.root)?;
            } else {
                let directories = renamed.iter().map(|(directory, _)| directory.clone());
                self.unsynced_removals().extend(directories);
            }
        }
        for (_, away) in renamed {
            shared.discarded.push(away);
        }
        if let Some(fault) = first_fault {
            return Err(fault);
        }
        names.iter().try_for_each(|name| shared.marks.release(name))
    }

    /// Closes a log and gives its directory a name that says that it is being deleted. `None` if
    /// there is no directory of this log.
    fn rename_away(&self, name: &TopicPartition) -> Result<Option<PathBuf>, LogFault> {
        let directory = name.directory();
        let open = {
            let mut logs = self.logs();
            match logs.get(&directory) {
                Some(log) if log.name() == name => logs.remove(&directory),
                // Another incarnation of the topic lives there by now.
                Some(_) => return Ok(None),
                None => None,
            }
        };
        match open {
            Some(log) => log.close_for_removal(),
            None => {
                // Every start orders the removal of every topic that was ever deleted: most are long
                // gone, and the name may be another topic's.
                let is_ours = match self.unopened().get(&directory) {
                    None => false,
                    Some(Some(topic_id)) => *topic_id == name.topic_id,
                    // Nobody knows whose it is. Without marks of ours it stays: who opens the name
                    // looks whether it is theirs, and what nobody opens becomes a stray.
                    Some(None) => self.shared.marks.find(name).is_some(),
                };
                if !is_ours {
                    return Ok(None);
                }
            }
        }
        let (shared, root) = (&self.shared, &self.shared.root);
        {
            // Before the directory goes, or the next incarnation would begin where this one did.
            let key = (name.topic.clone(), name.partition);
            let starts = root.join(LOG_STARTS);
            let had_start = self.forget_offset(&mut self.log_starts(), &key, &starts)?;
            if self.forget_cleaned(&key)? || had_start {
                shared.sync_dir(root)?;
            }
        }
        let away = root.join(marked_directory(
            &directory,
            (shared.options.random)(),
            "-delete",
        ));
        match shared.disk.rename(&root.join(&directory), &away) {
            Ok(()) => {}
            Err(fault) if fault.is_not_found() => return Ok(None),
            Err(fault) => return Err(fault),
        }
        self.unopened().remove(&directory);
        Ok(Some(away))
    }

    /// Takes a partition out of a checkpoint; true if it was there. Forgotten in memory only once it is
    /// written: a retry must not find it gone.
    pub(super) fn forget_offset(
        &self,
        offsets: &mut Offsets,
        key: &(TopicName, PartitionIndex),
        path: &Path,
    ) -> Result<bool, LogFault> {
        if !offsets.contains_key(key) {
            return Ok(false);
        }
        let mut others = offsets.clone();
        others.remove(key);
        write_offsets(&*self.shared.disk, path, &others)?;
        *offsets = others;
        Ok(true)
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
