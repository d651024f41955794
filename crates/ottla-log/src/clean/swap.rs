//! Putting compacted segments in the place of others, so that a crash at any moment leaves the old
//! ones whole or the new ones (Kafka: `LocalLog.replaceSegments`, `LogLoader`).
//!
//! `.cleaned` files are not finished, and a start deletes them. Once all of them are called `.swap`
//! they are the log: a start deletes the segments whose offsets they cover and takes the suffix off.
//! Where there is one `.cleaned` file yet, a `.swap` at its offset or above is not believed, so the
//! renaming goes from the last segment to the first, and the second one from the first to the last.
//!
//! Names reach the disk in any order between two syncs of the directory. What must not be reordered
//! has a sync between: Kafka trusts the file system's journal with that.

use std::path::Path;

use ottla_model::ids::Offset;

use super::output::FILES;
use crate::disk::Disk;
use crate::file_names::{
    CLEANED, SWAP, SegmentFile, parse_segment_file, segment_file, with_suffix,
};
use crate::store::LogFault;
use crate::walk::{Step, Walk};

/// A directory in which names are changed.
pub(crate) struct Place<'a> {
    pub(crate) disk: &'a dyn Disk,
    pub(crate) directory: &'a Path,
    pub(crate) sync: &'a dyn Fn() -> Result<(), LogFault>,
}

impl Place<'_> {
    /// First half: from here on the segments that begin at `new` are the log, oldest first. The directory
    /// was synced since they were written.
    pub(crate) fn arrive(&self, new: &[Offset]) -> Result<(), LogFault> {
        for base in new.iter().rev() {
            for kind in FILES {
                let path = segment_file(self.directory, *base, kind);
                self.disk
                    .rename(&with_suffix(&path, CLEANED), &with_suffix(&path, SWAP))?;
            }
            (self.sync)()?;
        }
        Ok(())
    }

    /// Second half: the segments that begin at `old` go, and the new ones get their names.
    pub(crate) fn settle(&self, old: &[Offset], new: &[Offset]) -> Result<(), LogFault> {
        for base in old {
            // What is replaced goes with the renaming. Aborted records went with the pass, so there
            // is nothing for a transaction index to list.
            let gone: &[SegmentFile] = if new.contains(base) {
                &[SegmentFile::TransactionIndex]
            } else {
                &SegmentFile::OF_SEGMENT
            };
            for kind in gone {
                self.disk
                    .remove_file(&segment_file(self.directory, *base, *kind))?;
            }
        }
        (self.sync)()?;
        for base in new {
            for kind in FILES {
                let path = segment_file(self.directory, *base, kind);
                self.disk.rename(&with_suffix(&path, SWAP), &path)?;
            }
            // Or a start could take it for a segment that the `.swap` files around it replace.
            (self.sync)()?;
        }
        Ok(())
    }

    /// What a start does with the files of a directory that a swap left. True if any name changed.
    pub(crate) fn recover(&self, names: &[String]) -> Result<bool, LogFault> {
        let base_of = |name: &str, suffix: &str| {
            parse_segment_file(name.strip_suffix(suffix)?).map(|(base, _)| base)
        };
        let unfinished = names.iter().filter_map(|name| base_of(name, CLEANED)).min();
        let (mut believed, mut doubted) = (Vec::new(), Vec::new());
        for name in names {
            match base_of(name, SWAP) {
                Some(base) if unfinished.is_some_and(|first| base >= first) => doubted.push(name),
                Some(_) => believed.push(name),
                None => {}
            }
        }
        if believed.is_empty() && doubted.is_empty() {
            return Ok(false);
        }
        if !doubted.is_empty() {
            for name in doubted {
                self.disk.remove_file(&self.directory.join(name))?;
            }
            // Without the `.cleaned` file that says so they would be believed.
            (self.sync)()?;
        }
        if believed.is_empty() {
            return Ok(true);
        }
        // A killed process may have renamed them just now.
        (self.sync)()?;
        let mut covered: Option<(Offset, Offset)> = None;
        for name in &believed {
            let Some((base, SegmentFile::Log)) =
                name.strip_suffix(SWAP).and_then(parse_segment_file)
            else {
                continue;
            };
            let end = self.end_of(name, base)?;
            let (from, to) = covered.unwrap_or((base, end));
            covered = Some((from.min(base), to.max(end)));
        }
        if let Some((from, to)) = covered {
            for name in names {
                let Some((base, kind)) = parse_segment_file(name) else {
                    continue;
                };
                // A snapshot is the machine's, whatever segment begins there.
                if kind != SegmentFile::Snapshot && from <= base && base < to {
                    self.disk.remove_file(&self.directory.join(name))?;
                }
            }
            (self.sync)()?;
        }
        // Names begin with the offset.
        believed.sort();
        for of_segment in believed.chunk_by(|a, b| base_of(a, SWAP) == base_of(b, SWAP)) {
            for name in of_segment {
                let path = self.directory.join(name);
                let named = self.directory.join(name.strip_suffix(SWAP).unwrap_or(name));
                self.disk.rename(&path, &named)?;
            }
            (self.sync)()?;
        }
        Ok(true)
    }

    /// Offset behind the last batch of a file.
    fn end_of(&self, name: &str, base: Offset) -> Result<Offset, LogFault> {
        let file = self.disk.open(&self.directory.join(name), false)?;
        let mut walk = Walk::new(&*file, base, (0, base), file.len()?, &[]).far();
        let mut end = base;
        while let Step::Batch { head, .. } = walk.step()? {
            end = head.next_offset();
        }
        Ok(end)
    }
}
