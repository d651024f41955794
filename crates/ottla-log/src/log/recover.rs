//! Opening a log: what the last stop left is taken over, checked or cut.
//!
//! After a clean stop everything is trusted, and only the last segment's end is looked for. After an
//! unclean one batches below the stable mark are trusted, every one above is checked, and the log is
//! cut at the first that is not whole. Nothing below the mark is ever cut: damage there is reported
//! and kept. All of it can be interrupted and done again.
//!
//! Where the machine ran on while the process died, the page cache has every write that returned, and
//! the beginning of one that did not: there the heads of all batches are checked, and the CRC of the
//! last one.
//!
//! Worked example. Segments begin at 0, 500 and 900; stable is 700. The walk starts in the segment at
//! 500, at the last index entry below 700. Batches are whole up to 850, then one has a wrong CRC: the
//! file is cut there and the segment at 900 removed, for no record of it was ever reported durable.
//! The log goes on at 850, or behind its reservation if power was lost. Were the mark at 860, the bad
//! batch would be damage: it stays, reads into it fail, and the log goes on behind it.

mod files;
mod scan;

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use ottla_model::ids::{LeaderEpoch, Offset};
use ottla_model::names::TopicPartition;

use super::reserve::STRIDE_MAX;
use super::{Dirty, Epochs, LocalLog, Lost, Reservation, State};
use crate::checkpoint::{self, Synced};
use crate::disk::{Disk, DiskFile};
use crate::file_names::{EPOCHS, PARTITION_METADATA, SegmentFile, segment_file};
use crate::local::Shared;
use crate::local::marks::{Slot, SlotId};
use crate::segment::{Segment, index_paths};
use crate::store::{Gap, LogConfig, LogFault, Recovery};
use files::{keep_snapshots, list};
use scan::{Scan, Scanned};

/// What to open.
pub(crate) struct OpenRequest {
    pub(crate) name: TopicPartition,
    pub(crate) directory: PathBuf,
    pub(crate) config: LogConfig,
    pub(crate) shared: Arc<Shared>,
    /// What the mark file says of the log.
    pub(crate) slot: Option<(SlotId, Slot)>,
    pub(crate) last_stop: LastStop,
    /// The directory has just been made.
    pub(crate) created: bool,
}

/// What is known of the last stop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LastStop {
    pub(crate) clean: bool,
    /// Some log's marks are unreadable, perhaps this one's.
    pub(crate) marks_damaged: bool,
    /// What Kafka's checkpoints say.
    pub(crate) recovery_point: Option<Offset>,
    pub(crate) log_start: Option<Offset>,
}

/// Offsets that the log begins, goes on and ends with.
struct Ends {
    data: Offset,
    /// What the files should at least hold.
    stable: Offset,
    floor: Offset,
    written: Offset,
    gap: bool,
}

impl LocalLog {
    /// Opens the log in a directory that is there.
    pub(crate) fn open(request: OpenRequest) -> Result<(Arc<LocalLog>, Recovery), LogFault> {
        let OpenRequest {
            name,
            directory,
            config,
            shared,
            slot,
            last_stop,
            created,
        } = request;
        let disk = &shared.disk;
        let mut recovery = Recovery {
            created,
            checked: !last_stop.clean && !created,
            ..Recovery::default()
        };
        let listed = list(&shared, &directory)?;
        let marks = slot.map(|(_, slot)| slot);

        let known_stable = marks.map(|marks| marks.stable).or(last_stop.recovery_point);
        let last_base = listed.bases.last().copied().unwrap_or(Offset::ZERO);
        let stable = known_stable.unwrap_or(if last_stop.clean {
            Offset(i64::MAX)
        } else {
            last_base
        });
        let first_checked = match last_stop.clean {
            true => listed.bases.len().saturating_sub(1),
            // Below a segment that begins at the mark itself nothing says that the files of the one
            // before it were synced since it was sealed.
            false => listed
                .bases
                .partition_point(|base| *base < stable)
                .saturating_sub(1),
        };
        let indexed = match (last_stop.clean, marks) {
            (true, _) => Offset(i64::MAX),
            (false, Some(marks)) => marks.indexed.min(stable),
            (false, None) => Offset::ZERO,
        };
        let power_loss =
            !last_stop.clean && marks.is_some_and(|marks| marks.losses < shared.marks.losses());
        let mut scan = Scan {
            disk,
            directory: &directory,
            index_interval_bytes: config.index_interval_bytes,
            stable,
            indexed,
            check: !last_stop.clean,
            cache_survived: marks.is_some() && !power_loss && !last_stop.marks_damaged,
            floor: marks.map(|marks| marks.floor),
            recovery: &mut recovery,
            epochs: Vec::new(),
        };
        let scanned = scan.run(&listed.bases[first_checked..])?;
        let batch_epochs = scan.epochs;

        let data_end = scanned
            .last()
            .map_or(last_stop.log_start.unwrap_or(Offset::ZERO), |last| last.end);
        let ends = ends(data_end, marks, known_stable, &last_stop, &shared, created);
        let lost = lost(&ends, &directory, scanned.last());
        recovery
            .damage
            .extend(lost.iter().map(|lost| lost.fault.clone()));
        recovery.gap = (ends.gap && ends.written > ends.data).then_some(Gap {
            from: ends.data,
            to: ends.written,
        });

        let mut dirty = Dirty::default();
        if !last_stop.clean || created {
            // Names may be in the page cache only; they go with the first sync.
            dirty.directory = true;
            dirty.root = true;
            dirty.files.push(directory.join(PARTITION_METADATA));
        }
        let settled = power_loss || !recovery.cuts.is_empty();
        let stable_now = if last_stop.clean || settled {
            ends.data
        } else {
            stable.min(ends.data)
        };
        let epochs = epochs(
            &**disk,
            &directory,
            &batch_epochs,
            marks,
            ends.data,
            &mut dirty,
        )?;

        let active = scanned.last();
        let first_timestamp_ms = active.and_then(|active| active.first_timestamp_ms);
        let segments = Segments {
            shared: &shared,
            directory: &directory,
            dirty: &mut dirty,
        }
        .assemble(
            &listed.bases[..first_checked],
            &scanned,
            &ends,
            stable_now,
            lost.is_some(),
        )?;
        let replaced = active
            .is_none_or(|active| Some(active.segment.base()) != segments.last().map(|s| s.base()));

        let snapshots = keep_snapshots(&**disk, &directory, listed.snapshots, ends.written)?;
        if !last_stop.clean {
            let unsynced = snapshots.iter().filter(|at| **at >= stable);
            dirty
                .files
                .extend(unsynced.map(|at| segment_file(&directory, *at, SegmentFile::Snapshot)));
        }
        if settled {
            if std::mem::take(&mut dirty.epochs) {
                let bytes = checkpoint::encode_epochs(epochs.rows());
                checkpoint::replace(&**disk, &directory.join(EPOCHS), &bytes, Synced::Yes)?;
            }
            // What was read after a power loss is on the disk; what was cut must stay so.
            for scanned in &scanned {
                let file = scanned.segment.file()?;
                if shared.marks.sync_failed_before() {
                    write_again(&*file, scanned.size_bytes)?;
                }
                file.sync()?;
            }
            for path in std::mem::take(&mut dirty.files) {
                disk.open(&path, false)?.sync()?;
            }
            shared.sync_dir(&directory)?;
            shared.sync_dir(&shared.root)?;
            (dirty.directory, dirty.root) = (false, false);
        }
        let log_start = last_stop
            .log_start
            .unwrap_or(Offset::ZERO)
            .max(segments[0].base())
            .min(ends.written);
        let durable = if stable_now >= ends.data || !shared.waits_for_sync() {
            ends.written
        } else {
            stable_now
        };

        let known = slot.is_some();
        let (slot, claimed) = claim(&shared, &name, slot, &ends, stable_now, indexed)?;
        if recovery.gap.is_some() && !known {
            // Nothing else would lead to the same gap again.
            shared.marks.sync(shared.marks.written())?;
        }
        let unsynced = durable < ends.written || stable_now < ends.data;
        let log = Arc::new_cyclic(|me| LocalLog {
            name,
            directory,
            config,
            slot,
            me: me.clone(),
            writer: Mutex::default(),
            clean: Mutex::default(),
            state: Mutex::new(State {
                segments,
                log_start,
                written: ends.written,
                data_end: ends.data,
                durable: durable.max(log_start),
                durable_place: None,
                first_timestamp_ms: if replaced { None } else { first_timestamp_ms },
                created: (shared.options.clock)(),
                epochs,
                snapshots,
                doubtful_snapshots: (power_loss && stable < ends.written)
                    .then(|| (stable.next(), ends.written)),
                lost,
                dirty,
                reservation: Reservation::known(
                    marks.map_or(Offset::ZERO, |marks| marks.reserved),
                    claimed,
                ),
                listener: None,
                closed: None,
                finished: false,
                touched: recovery.checked || created,
                unsettled: recovery.checked && !settled,
            }),
            shared,
        });
        if unsynced {
            log.ask_for_flush();
        }
        Ok((log, recovery))
    }
}

/// Writes what a file has once more: pages that a failed sync left count as clean, so the next one would
/// pass them by.
fn write_again(file: &dyn DiskFile, size_bytes: u64) -> Result<(), LogFault> {
    let mut buffer = vec![0; 1 << 20];
    let mut position = 0;
    while position < size_bytes {
        let left = usize::try_from(size_bytes - position).unwrap_or(usize::MAX);
        let piece = buffer.len().min(left);
        let piece = &mut buffer[..piece];
        file.read_exact_at(piece, position)?;
        file.write_all_at(&mut [IoSlice::new(piece)], position)?;
        position += piece.len() as u64;
    }
    Ok(())
}

/// Where the log goes on.
fn ends(
    data: Offset,
    marks: Option<Slot>,
    known_stable: Option<Offset>,
    last_stop: &LastStop,
    shared: &Shared,
    created: bool,
) -> Ends {
    let mut floor = marks.map_or(Offset::ZERO, |marks| marks.floor);
    let mut gap = false;
    if let Some(marks) = marks {
        // A directory that is gone although its marks are there went with a power loss, or with
        // somebody's hand: offsets may have been seen either way.
        let lost_power = !last_stop.clean && marks.losses < shared.marks.losses();
        if lost_power || created {
            floor = floor.max(marks.reserved);
            gap = true;
        }
    } else if last_stop.marks_damaged && !last_stop.clean && !created {
        // Nobody knows what was reserved: no more than this beyond what was written.
        floor = data + 2 * STRIDE_MAX;
        gap = true;
    }
    let stable = known_stable.unwrap_or(Offset::ZERO);
    Ends {
        data,
        stable,
        floor,
        written: data.max(floor).max(stable),
        gap,
    }
}

/// Records below the stable mark that are gone with the end of the files.
fn lost(ends: &Ends, directory: &Path, last: Option<&Scanned>) -> Option<Lost> {
    // Offsets of a gap were never records.
    let to = ends.stable;
    if ends.data >= to || to <= ends.floor {
        return None;
    }
    let path = match last {
        Some(last) => last.segment.path().to_path_buf(),
        None => directory.to_path_buf(),
    };
    let fault = LogFault::Damaged {
        path,
        position: last.map_or(0, |last| last.size_bytes),
        offset: ends.data,
        why: format!("the log ends here, but records up to offset {to} were stable"),
    };
    Some(Lost {
        from: ends.data,
        to,
        fault,
    })
}

/// Makes the list of segments, the last of which can be appended to.
struct Segments<'a> {
    shared: &'a Shared,
    directory: &'a Path,
    dirty: &'a mut Dirty,
}

impl Segments<'_> {
    fn assemble(
        &mut self,
        trusted: &[Offset],
        scanned: &[Scanned],
        ends: &Ends,
        stable_now: Offset,
        ends_early: bool,
    ) -> Result<Vec<Arc<Segment>>, LogFault> {
        let disk = &self.shared.disk;
        let mut segments: Vec<Arc<Segment>> = trusted
            .iter()
            .map(|base| Segment::sealed(disk.clone(), self.directory, *base))
            .collect();
        for (nth, one) in scanned.iter().enumerate() {
            let segment = &one.segment;
            let base = segment.base();
            let last = nth + 1 == scanned.len();
            // An empty segment takes its first batch at its base only; damage is not appended to.
            let full = one.size_bytes == 0 || one.damaged || ends_early;
            let goes_on_elsewhere = last && full && ends.written > base;
            if one.end > stable_now {
                self.dirty.add_segment(segment);
            }
            if !last || goes_on_elsewhere {
                self.seal(segment)?;
            }
            segments.push(segment.clone());
            if goes_on_elsewhere {
                segments.push(Segment::create(disk.clone(), self.directory, ends.written)?);
            }
        }
        if scanned.is_empty() {
            // Begins where the log does, so that a gap does not move the log's start.
            let first = Segment::create(disk.clone(), self.directory, ends.data)?;
            segments.push(first.clone());
            if ends.written > ends.data {
                self.seal(&first)?;
                segments.push(Segment::create(disk.clone(), self.directory, ends.written)?);
            }
            self.dirty.directory = true;
        }
        Ok(segments)
    }

    fn seal(&mut self, segment: &Segment) -> Result<(), LogFault> {
        segment.write_index_files()?;
        segment.seal();
        self.dirty.files.extend(index_paths(segment.path()));
        self.dirty.directory = true;
        Ok(())
    }
}

/// The epochs as the checkpoint has them, completed by what was met in batches and what the marks say.
fn epochs(
    disk: &dyn Disk,
    directory: &Path,
    met: &[(LeaderEpoch, Offset)],
    marks: Option<Slot>,
    data_end: Offset,
    dirty: &mut Dirty,
) -> Result<Epochs, LogFault> {
    let mut epochs = match checkpoint::read_epochs(disk, &directory.join(EPOCHS)) {
        Ok(rows) => Epochs::new(rows),
        Err(fault @ LogFault::Refused { .. }) => {
            tracing::warn!(%fault, "older leader epochs are forgotten");
            Epochs::default()
        }
        Err(fault) => return Err(fault),
    };
    dirty.epochs |= epochs.truncate(data_end);
    for (epoch, start) in met {
        dirty.epochs |= epochs.begin(*epoch, *start);
    }
    if let Some(marks) = marks {
        dirty.epochs |= epochs.begin(marks.epoch, data_end);
    }
    Ok(epochs)
}

/// Writes what was found into the log's marks. True if they have to be durable before the first
/// append.
fn claim(
    shared: &Shared,
    name: &TopicPartition,
    slot: Option<(SlotId, Slot)>,
    ends: &Ends,
    stable_now: Offset,
    indexed: Offset,
) -> Result<(SlotId, bool), LogFault> {
    let losses = shared.marks.losses();
    match slot {
        Some((id, known)) => {
            let indexed = known.indexed.min(indexed).min(ends.data);
            let changed =
                known.losses != losses || known.floor != ends.floor || known.indexed != indexed;
            if changed {
                shared.marks.update(id, |slot| {
                    slot.losses = losses;
                    slot.floor = ends.floor;
                    slot.stable = slot.stable.max(stable_now);
                    // What was not loaded from the index files will be overwritten.
                    slot.indexed = indexed;
                })?;
            }
            Ok((id, changed))
        }
        None => shared
            .marks
            .claim(Slot {
                topic_id: name.topic_id,
                partition: name.partition,
                epoch: LeaderEpoch::NONE,
                stable: stable_now,
                reserved: Offset::ZERO,
                floor: ends.floor,
                indexed: Offset::ZERO,
                losses,
            })
            .map(|id| (id, true)),
    }
}
