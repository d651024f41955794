//! One pass over the sealed segments of a log.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use ottla_codec::{Buffer, payload};
use ottla_model::batch::{BatchHead, ControlType, records};
use ottla_model::ids::Offset;

use super::choice::groups;
use super::filter::{Filter, PAYLOAD_BYTES_MAX, Verdict, control_type};
use super::offset_map::{Full, OffsetMap};
use super::output::{Finished, Output, OutputLimits, discard, discard_leftovers};
use super::survey::Survey;
use crate::disk::Disk;
use crate::segment::Segment;
use crate::store::LogFault;
use crate::walk::{Step, Walk};

/// How much is read before the pass asks whether it may go on.
const STEP_BYTES: u64 = 256 * 1024;

/// Asked every so many bytes: waits if the pass is too fast, fails if it has to stop.
pub(crate) type GoOn<'a> = &'a dyn Fn(u64) -> Result<(), LogFault>;

/// Sealed segments to look at, oldest first.
pub(crate) struct Pass<'a> {
    pub(crate) disk: &'a Arc<dyn Disk>,
    pub(crate) directory: &'a Path,
    pub(crate) segments: &'a [Arc<Segment>],
    pub(crate) limits: OutputLimits,
    pub(crate) go_on: GoOn<'a>,
}

/// What the heads of the segments say.
pub(crate) struct Surveyed {
    pub(crate) survey: Survey,
    /// Last offset of each segment's last batch.
    last_offsets: Vec<Option<Offset>>,
    /// Records in batches with dirty offsets.
    dirty_records: u64,
}

impl Pass<'_> {
    /// Deletes what passes that failed left in the directory. It need not be durable: a swap syncs first.
    pub(crate) fn discard_leftovers(&self) -> Result<(), LogFault> {
        discard_leftovers(&**self.disk, self.directory)
    }

    /// Walks all heads.
    pub(crate) fn survey(&self, dirty_from: Offset) -> Result<Surveyed, LogFault> {
        let mut survey = Survey::default();
        let mut last_offsets = Vec::with_capacity(self.segments.len());
        let mut dirty_records = 0;
        for segment in self.segments {
            let mut last = None;
            self.each_batch(segment, |walk, head, position| {
                last = Some(head.last_offset());
                if head.last_offset() >= dirty_from {
                    dirty_records += head.record_count.max(0) as u64;
                }
                let control = match head.attributes.is_control() {
                    true => self.control_type(segment, walk, head, position)?,
                    false => None,
                };
                survey.observe(head, control);
                Ok(true)
            })?;
            last_offsets.push(last);
        }
        Ok(Surveyed {
            survey,
            last_offsets,
            dirty_records,
        })
    }

    /// Takes the latest offset of each key from `from` on, as many as fit. Says up to which offset
    /// the map knows all: the last one before `to` if all fit.
    pub(crate) fn map(
        &self,
        surveyed: &Surveyed,
        (from, to): (Offset, Offset),
        bytes_max: u64,
    ) -> Result<(OffsetMap, Offset), LogFault> {
        let mut map = OffsetMap::new(surveyed.dirty_records, bytes_max);
        let mut mapped = from + -1;
        let mut full = false;
        let mut buffer = Buffer::new();
        for (nth, segment) in self.segments.iter().enumerate() {
            let next = self.segments.get(nth + 1).map_or(to, |next| next.base());
            if next <= from || segment.base() >= to {
                continue;
            }
            self.each_batch(segment, |walk, head, position| {
                if head.last_offset() < from {
                    return Ok(true);
                }
                let skip = head.attributes.is_control() || surveyed.survey.is_aborted(head);
                if !skip {
                    let batch = checked(segment, walk, head, position)?;
                    let bad = |why: String| unreadable(segment, head, position, why);
                    let payload = payload(head, batch, PAYLOAD_BYTES_MAX, &mut buffer)
                        .map_err(|error| bad(error.to_string()))?;
                    for record in records(payload, head.record_count) {
                        let record = record.map_err(|error| bad(error.to_string()))?;
                        let offset = head.base_offset + i64::from(record.offset_delta);
                        if offset < from {
                            continue;
                        }
                        let put = record.key.map_or(Ok(()), |key| map.put(key, offset));
                        if put == Err(Full) {
                            full = true;
                            return Ok(false);
                        }
                        mapped = offset;
                    }
                }
                mapped = head.last_offset();
                Ok(true)
            })?;
            if full {
                return Ok((map, mapped));
            }
        }
        Ok((map, to + -1))
    }

    /// Runs of segments that go into one each.
    pub(crate) fn groups(
        &self,
        end: Offset,
        segment_bytes: u64,
    ) -> Result<Vec<Range<usize>>, LogFault> {
        let mut sizes = Vec::with_capacity(self.segments.len());
        for segment in self.segments {
            sizes.push((segment.base(), segment.size_bytes()?));
        }
        Ok(groups(&sizes, end, segment_bytes))
    }

    /// Writes what stays of a group. `None` if that is all there is in its one segment.
    pub(crate) fn rewrite(
        &self,
        group: Range<usize>,
        surveyed: &Surveyed,
        filter: &mut Filter<'_>,
    ) -> Result<Option<Vec<Finished>>, LogFault> {
        // The last batch stays at least as an empty one, so that a start that finds the new segment
        // beside the old ones sees by its end that it covers them.
        let closing = surveyed.last_offsets[group.clone()]
            .iter()
            .flatten()
            .last()
            .copied();
        let segments = &self.segments[group];
        if let [only] = segments {
            let mut probe = filter.clone();
            if self.stays_whole(only, closing, &mut probe)? {
                *filter = probe;
                return Ok(None);
            }
        }
        let mut writer = Writer {
            pass: self,
            output: Some(self.output(segments[0].base())?),
            done: Vec::new(),
            unasked_bytes: 0,
        };
        for segment in segments {
            self.each_batch(segment, |walk, head, position| {
                let batch = checked(segment, walk, head, position)?;
                let closes = closing == Some(head.last_offset());
                match filter
                    .judge(head, batch, closes)
                    .map_err(|why| unreadable(segment, head, position, why))?
                {
                    Verdict::Drop => {}
                    Verdict::Keep => writer.push(head, batch)?,
                    Verdict::Replace(head, bytes) => writer.push(&head, &bytes)?,
                }
                Ok(true)
            })?;
        }
        writer.finish().map(Some)
    }

    /// Whether nothing of a segment goes or changes. Stops at the first batch that does.
    fn stays_whole(
        &self,
        segment: &Segment,
        closing: Option<Offset>,
        filter: &mut Filter<'_>,
    ) -> Result<bool, LogFault> {
        let mut whole = true;
        self.each_batch(segment, |walk, head, position| {
            let batch = checked(segment, walk, head, position)?;
            let verdict = filter
                .judge(head, batch, closing == Some(head.last_offset()))
                .map_err(|why| unreadable(segment, head, position, why))?;
            whole = verdict == Verdict::Keep;
            Ok(whole)
        })?;
        Ok(whole)
    }

    fn output(&self, base: Offset) -> Result<Output, LogFault> {
        Output::create(self.disk, self.directory, base, self.limits)
    }

    fn control_type(
        &self,
        segment: &Segment,
        walk: &mut Walk<'_>,
        head: &BatchHead,
        position: u64,
    ) -> Result<Option<ControlType>, LogFault> {
        // What a marker says decides on batches that were checked long ago.
        let batch = checked(segment, walk, head, position)?;
        let mut buffer = Buffer::new();
        payload(head, batch, PAYLOAD_BYTES_MAX, &mut buffer)
            .map_err(|error| error.to_string())
            .and_then(|payload| control_type(head, payload))
            .map_err(|why| unreadable(segment, head, position, why))
    }

    /// Hands the batches of a segment to `visit` until it returns false. Damage is an error.
    fn each_batch(
        &self,
        segment: &Segment,
        mut visit: impl FnMut(&mut Walk<'_>, &BatchHead, u64) -> Result<bool, LogFault>,
    ) -> Result<(), LogFault> {
        let (file, size_bytes, holes) = (segment.file()?, segment.size_bytes()?, segment.holes());
        if let Some(hole) = holes.first() {
            return Err(segment.damaged(hole));
        }
        let from = (0, segment.base());
        let mut walk = Walk::new(&*file, segment.base(), from, size_bytes, &holes).far();
        let mut asked_at = 0;
        loop {
            match walk.step()? {
                Step::End => return (self.go_on)(size_bytes - asked_at),
                Step::Batch { head, position } => {
                    if position - asked_at >= STEP_BYTES {
                        (self.go_on)(position - asked_at)?;
                        asked_at = position;
                    }
                    if !visit(&mut walk, &head, position)? {
                        return Ok(());
                    }
                }
                Step::Bad {
                    position,
                    expected,
                    why,
                } => {
                    let hole = segment.add_hole(position, expected, size_bytes, why)?;
                    return Err(segment.damaged(&hole));
                }
            }
        }
    }
}

/// Writes the segments of a group; deletes them if it is dropped before it is finished.
struct Writer<'a> {
    pass: &'a Pass<'a>,
    output: Option<Output>,
    done: Vec<Finished>,
    /// Written since the pass asked whether it may go on.
    unasked_bytes: u64,
}

impl Writer<'_> {
    fn push(&mut self, head: &BatchHead, batch: &[u8]) -> Result<(), LogFault> {
        self.unasked_bytes += batch.len() as u64;
        if self.unasked_bytes >= STEP_BYTES {
            (self.pass.go_on)(std::mem::take(&mut self.unasked_bytes))?;
        }
        if self
            .output
            .as_ref()
            .is_some_and(|output| output.overflows(head))
        {
            let next = self.pass.output(head.base_offset)?;
            self.done
                .extend(self.output.replace(next).map(Output::finish).transpose()?);
        }
        match &mut self.output {
            Some(output) => output.push(head, batch),
            None => Ok(()),
        }
    }

    fn finish(mut self) -> Result<Vec<Finished>, LogFault> {
        let last = self.output.take().map(Output::finish).transpose()?;
        self.done.extend(last);
        Ok(std::mem::take(&mut self.done))
    }
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        let bases = self.done.iter().map(Finished::base);
        for base in bases.chain(self.output.as_ref().map(Output::base)) {
            discard(&**self.pass.disk, self.pass.directory, base);
        }
    }
}

/// All bytes of a batch, whose CRC is right.
fn checked<'w>(
    segment: &Segment,
    walk: &'w mut Walk<'_>,
    head: &BatchHead,
    position: u64,
) -> Result<&'w [u8], LogFault> {
    let batch = walk.batch_bytes(head, position)?;
    if head.crc_matches(batch) {
        return Ok(batch);
    }
    let why = String::from("the CRC does not match");
    let hole = segment.add_hole(position, head.base_offset, segment.size_bytes()?, why)?;
    Err(segment.damaged(&hole))
}

fn unreadable(segment: &Segment, head: &BatchHead, position: u64, why: String) -> LogFault {
    LogFault::Damaged {
        path: segment.path().to_path_buf(),
        position,
        offset: head.base_offset,
        why,
    }
}
