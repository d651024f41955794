//! Writing at the end, and taking it back when it fails.

use std::io::IoSlice;
use std::sync::Arc;

use bytes::Bytes;
use ottla_model::batch::BatchHead;
use ottla_model::ids::Offset;
use ottla_model::marks::Marks;
use ottla_model::time::WallMs;

use super::LocalLog;
use crate::file_names::{SegmentFile, segment_file};
use crate::segment::{IndexMark, Segment, index_paths};
use crate::store::{AppendItem, LogFault};

/// Name of the file that a probe writes; a start that finds one deletes it.
const PROBE: &str = "probe.tmp";
/// A probe writes at least this: enough to need a block of its own.
const PROBE_BYTES_MIN: usize = 4096;
/// Written again and again by one that is larger.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// An append under way: written, but seen by nobody.
struct Progress {
    /// The segment that the next batch goes to, and its size.
    segment: Arc<Segment>,
    size_bytes: u64,
    expected: Offset,
    first_timestamp_ms: Option<i64>,
    created: WallMs,
    /// Segments that were filled and sealed, with their sizes.
    filled: Vec<(Arc<Segment>, u64)>,
    snapshots: Vec<Offset>,
}

/// What it was before.
struct Before {
    segment: Arc<Segment>,
    size_bytes: u64,
    indexes: Option<IndexMark>,
}

impl LocalLog {
    pub(super) fn append_items(&self, items: &[AppendItem]) -> Result<Marks, LogFault> {
        let _writer = self.lock_writer();
        let (mut progress, written) = {
            let state = self.lock();
            state.refuse_if_closed()?;
            let segment = state.active().clone();
            let progress = Progress {
                size_bytes: segment.size_bytes()?,
                segment,
                expected: state.written,
                first_timestamp_ms: state.first_timestamp_ms,
                created: state.created,
                filled: Vec::new(),
                snapshots: Vec::new(),
            };
            (progress, state.written)
        };
        let end = items.iter().rev().find_map(|item| match item {
            AppendItem::Batch { head, .. } => Some(head.next_offset()),
            AppendItem::Roll { .. } => None,
        });
        self.reserve(end.unwrap_or(written))?;

        let before = Before {
            segment: progress.segment.clone(),
            size_bytes: progress.size_bytes,
            indexes: progress.segment.index_mark(),
        };
        match self.write_items(items, &mut progress) {
            Ok(()) => Ok(self.publish(progress)),
            Err(fault) => {
                self.undo(&progress, &before);
                Err(fault)
            }
        }
    }

    fn write_items(&self, items: &[AppendItem], progress: &mut Progress) -> Result<(), LogFault> {
        let mut run: Vec<(&BatchHead, &Bytes)> = Vec::with_capacity(items.len());
        for item in items {
            match item {
                AppendItem::Batch { head, bytes } => run.push((head, bytes)),
                AppendItem::Roll {
                    base_offset,
                    snapshot,
                } => {
                    self.write_run(&run, progress)?;
                    run.clear();
                    self.roll(*base_offset, snapshot.as_deref(), progress)?;
                }
            }
        }
        self.write_run(&run, progress)
    }

    /// Writes batches into one segment with one vectored write.
    fn write_run(
        &self,
        run: &[(&BatchHead, &Bytes)],
        progress: &mut Progress,
    ) -> Result<(), LogFault> {
        if run.is_empty() {
            return Ok(());
        }
        let (segment, start) = (&progress.segment, progress.size_bytes);
        let mut pieces: Vec<IoSlice<'_>> = Vec::with_capacity(run.len());
        let mut expected = progress.expected;
        let mut position = start;
        for (head, bytes) in run {
            position += bytes.len() as u64;
            let fits = head.size_bytes() == bytes.len()
                // Recovery tells a torn base offset by it.
                && head.base_offset == expected
                && head.last_offset_delta >= 0
                && head.last_offset() - segment.base() <= i64::from(i32::MAX)
                && position <= i32::MAX as u64;
            if !fits {
                return Err(LogFault::refused(
                    segment.path(),
                    format!(
                        "batch {}..{} of {} bytes does not fit behind offset {expected} at byte {start}",
                        head.base_offset,
                        head.next_offset(),
                        bytes.len()
                    ),
                ));
            }
            expected = head.next_offset();
            pieces.push(IoSlice::new(bytes));
        }
        segment.file()?.write_all_at(&mut pieces, start)?;

        let mut position = start;
        for (head, bytes) in run {
            segment.index_batch(head, position, self.config.index_interval_bytes);
            position += bytes.len() as u64;
            progress
                .first_timestamp_ms
                .get_or_insert(head.max_timestamp_ms);
        }
        progress.size_bytes = position;
        progress.expected = expected;
        Ok(())
    }

    /// Completes the segment's indexes and goes on in a new one.
    fn roll(
        &self,
        base: Offset,
        snapshot: Option<&[u8]>,
        progress: &mut Progress,
    ) -> Result<(), LogFault> {
        if base != progress.expected || base <= progress.segment.base() {
            return Err(LogFault::refused(
                progress.segment.path(),
                format!(
                    "a segment at {base} cannot follow offset {}",
                    progress.expected
                ),
            ));
        }
        progress.segment.write_index_files()?;
        let next = Segment::create(self.shared.disk.clone(), &self.directory, base)?;
        let filled = std::mem::replace(&mut progress.segment, next);
        progress.filled.push((filled, progress.size_bytes));
        progress.size_bytes = 0;
        progress.expected = base;
        progress.first_timestamp_ms = None;
        progress.created = (self.shared.options.clock)();
        if let Some(bytes) = snapshot {
            self.put_snapshot(base, bytes)?;
            progress.snapshots.push(base);
        }
        Ok(())
    }

    /// Lets readers see the append, and asks for a sync.
    fn publish(&self, progress: Progress) -> Marks {
        let Progress {
            segment,
            size_bytes,
            expected,
            filled,
            snapshots,
            ..
        } = progress;
        let synced = self.shared.waits_for_sync();
        let rolled = !filled.is_empty();
        let (marks, wants_flush) = {
            let mut guard = self.lock();
            let state = &mut *guard;
            for (filled, size_bytes) in &filled {
                filled.publish(*size_bytes);
                filled.seal();
                state.dirty.add_segment(filled);
                state.dirty.files.extend(index_paths(filled.path()));
            }
            segment.publish(size_bytes);
            state.dirty.add_segment(&segment);
            if rolled {
                let new = filled.iter().skip(1).map(|(segment, _)| segment.clone());
                state.segments.extend(new.chain([segment.clone()]));
                state.dirty.directory = true;
                state.dirty.indexed = segment.base();
            }
            for at in snapshots {
                state.add_snapshot(at);
                state
                    .dirty
                    .files
                    .push(segment_file(&self.directory, at, SegmentFile::Snapshot));
            }
            if expected > state.written {
                state.data_end = expected;
            }
            state.written = state.written.max(expected);
            state.first_timestamp_ms = progress.first_timestamp_ms;
            state.created = progress.created;
            state.touched = true;
            if !synced {
                state.durable = state.written;
                state.durable_place = None;
            }
            (
                state.marks(),
                synced || rolled || state.reservation.runs_low(state.written),
            )
        };
        if wants_flush {
            self.ask_for_flush();
        }
        if let Some(indexed) = segment.spill_indexes(self.shared.options.index_chunk_entries) {
            let mut state = self.lock();
            state.dirty.indexed = indexed;
            state.dirty.files.extend(index_paths(segment.path()));
            state.dirty.directory = true;
            drop(state);
            self.ask_for_flush();
        }
        if !synced {
            self.announce(marks);
        }
        marks
    }

    /// Makes the files what they were. What cannot be taken back would come up as records that were
    /// refused, so then the log closes.
    fn undo(&self, progress: &Progress, before: &Before) {
        let cut = || -> Result<(), LogFault> {
            let disk = &self.shared.disk;
            let new = progress.filled.iter().map(|(segment, _)| segment).skip(1);
            let created: Vec<&Arc<Segment>> = new
                .chain([&progress.segment])
                .filter(|segment| segment.base() != before.segment.base())
                .collect();
            for segment in &created {
                for kind in [
                    SegmentFile::Log,
                    SegmentFile::OffsetIndex,
                    SegmentFile::TimeIndex,
                    SegmentFile::Snapshot,
                ] {
                    disk.remove_file(&segment_file(&self.directory, segment.base(), kind))?;
                }
            }
            let file = before.segment.file()?;
            if file.len()? > before.size_bytes {
                file.set_len(before.size_bytes)?;
                // Later appends overwrite the bytes that were cut. Should a crash keep those appends
                // and lose the cut, whole batches that were refused could come up behind them.
                file.sync()?;
            }
            if let Some(mark) = &before.indexes {
                before.segment.index_restore(mark);
            }
            if !created.is_empty() {
                self.shared.sync_dir(&self.directory)?;
            }
            Ok(())
        };
        if let Err(fault) = cut() {
            tracing::error!(log = %self.name, %fault, "an append could not be taken back");
            self.close(&fault, false);
        }
    }

    /// Writes where no record is: a file of its own, which is removed again. As much as an append
    /// that failed: a disk that is nearly full takes small writes for long.
    pub(super) fn probe_disk(&self, bytes: usize) -> Result<(), LogFault> {
        let _writer = self.lock_writer();
        self.lock().refuse_if_closed()?;
        // Without its marks no append succeeds.
        self.shared.marks.refuse_if_failed()?;
        let (disk, path) = (&self.shared.disk, self.directory.join(PROBE));
        let bytes = bytes.max(PROBE_BYTES_MIN);
        let mut pieces: Vec<IoSlice<'_>> = vec![IoSlice::new(&ZEROS); bytes / ZEROS.len()];
        pieces.push(IoSlice::new(&ZEROS[..bytes % ZEROS.len()]));
        let written = disk
            .open(&path, true)
            .and_then(|file| file.write_all_at(&mut pieces, 0));
        disk.remove_file(&path)?;
        written
    }
}
