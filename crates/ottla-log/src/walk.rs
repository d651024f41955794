//! Walking the batches of one segment file, head by head, in few reads.
//!
//! Every length comes from the file and is checked against the file's end before it is used, so a
//! lie can neither allocate nor lead out of the file.

use ottla_model::batch::{BATCH_HEADER_BYTES, BatchHead};
use ottla_model::ids::Offset;

use crate::disk::DiskFile;
use crate::store::LogFault;

/// Read at once where heads lie close together.
const BLOCK_BYTES: usize = 64 * 1024;
/// Read at once where batches are large: the head and a little.
const SKIP_BYTES: usize = 1024;

/// Batches above this are skipped rather than read: a call costs as much as copying so much.
const LARGE_BYTES: u64 = 4096;

/// Goes through a segment file from batch to batch.
pub(crate) struct Walk<'a> {
    file: &'a dyn DiskFile,
    segment_base: Offset,
    position: u64,
    end: u64,
    expected: Offset,
    holes: &'a [Hole],
    block_bytes: usize,
    /// The caller knows the first batch's base offset and checks it.
    first_is_known: bool,
    buffer: Vec<u8>,
    buffer_at: u64,
}

/// Bytes of a segment that are known not to be batches.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Hole {
    /// First byte.
    pub(crate) position: u64,
    /// First byte of the next batch, or the end of the file.
    pub(crate) end: u64,
    /// First offset that is lost.
    pub(crate) from: Offset,
    /// First offset that is not.
    pub(crate) to: Offset,
    /// What is wrong.
    pub(crate) why: String,
}

/// What is at the walk's position.
#[derive(Debug)]
pub(crate) enum Step {
    /// The end that the walk was given.
    End,
    /// A batch whose head makes sense.
    Batch { head: BatchHead, position: u64 },
    /// No batch; the walk cannot go on.
    Bad {
        position: u64,
        expected: Offset,
        why: String,
    },
}

impl<'a> Walk<'a> {
    /// Starts at a batch border: `position`, where the next batch has `expected` or a later offset.
    /// Goes up to `end`, jumping over `holes`.
    pub(crate) fn new(
        file: &'a dyn DiskFile,
        segment_base: Offset,
        (position, expected): (u64, Offset),
        end: u64,
        holes: &'a [Hole],
    ) -> Walk<'a> {
        Walk {
            file,
            segment_base,
            position,
            end,
            expected,
            holes,
            block_bytes: SKIP_BYTES,
            first_is_known: false,
            buffer: Vec::new(),
            buffer_at: 0,
        }
    }

    /// Reads larger blocks from the start: for walks that will go far.
    pub(crate) fn far(mut self) -> Self {
        self.block_bytes = BLOCK_BYTES;
        self
    }

    /// Believes the first batch's base offset: the caller compares it with what an index says.
    pub(crate) fn believing_first(mut self, known: bool) -> Self {
        self.first_is_known = known;
        self
    }

    /// Where the next batch begins.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Goes on to the next batch.
    pub(crate) fn step(&mut self) -> Result<Step, LogFault> {
        while let Some(hole) = self
            .holes
            .iter()
            .find(|hole| hole.position == self.position)
        {
            self.position = hole.end;
            self.expected = self.expected.max(hole.to);
        }
        if self.position >= self.end {
            return Ok(Step::End);
        }
        let position = self.position;
        let left = self.end - position;
        let wanted = left.min(BATCH_HEADER_BYTES as u64) as usize;
        self.fill(position, wanted)?;
        let bytes = &self.buffer[(position - self.buffer_at) as usize..];
        let bad = |why: String| {
            Ok(Step::Bad {
                position,
                expected: self.expected,
                why,
            })
        };
        let head = match BatchHead::parse(bytes) {
            Ok(head) => head,
            Err(error) => return bad(error.to_string()),
        };
        if let Err(why) = head_is_sane(&head, self.segment_base, self.expected, left) {
            return bad(why);
        }
        let size = head.size_bytes() as u64;
        let known = std::mem::take(&mut self.first_is_known);
        if head.base_offset > self.expected
            && !known
            && self.is_displaced(&head, position + size)?
        {
            let why = format!(
                "base offset {} beyond that of the batch behind it",
                head.base_offset
            );
            return Ok(Step::Bad {
                position,
                expected: self.expected,
                why,
            });
        }
        self.block_bytes = if size > LARGE_BYTES {
            SKIP_BYTES
        } else {
            (self.block_bytes * 2).min(BLOCK_BYTES)
        };
        self.position = position + size;
        self.expected = head.next_offset();
        Ok(Step::Batch { head, position })
    }

    /// Whether a batch behind a gap claims offsets that the batch behind it has: nothing else tells
    /// that its base offset, which no CRC covers, is damaged.
    fn is_displaced(&self, head: &BatchHead, next: u64) -> Result<bool, LogFault> {
        if next + BATCH_HEADER_BYTES as u64 > self.end {
            return Ok(false);
        }
        let mut read = [0; BATCH_HEADER_BYTES];
        let at = (next - self.buffer_at) as usize;
        let bytes = match self.buffer.get(at..at + BATCH_HEADER_BYTES) {
            Some(bytes) => bytes,
            None if self.file.read_at(&mut read, next)? < BATCH_HEADER_BYTES => return Ok(false),
            None => &read,
        };
        Ok(BatchHead::parse(bytes).is_ok_and(|behind| {
            behind.base_offset < head.next_offset()
                && head_is_sane(&behind, self.segment_base, self.expected, self.end - next).is_ok()
        }))
    }

    /// Whether the walk can go on: a batch whose CRC is wrong may have a wrong length, too.
    pub(crate) fn goes_on(&mut self) -> Result<bool, LogFault> {
        let (position, expected) = (self.position, self.expected);
        let step = self.step()?;
        (self.position, self.expected) = (position, expected);
        Ok(!matches!(step, Step::Bad { .. }))
    }

    /// All bytes of a batch that [`step`](Self::step) just found.
    pub(crate) fn batch_bytes(
        &mut self,
        head: &BatchHead,
        position: u64,
    ) -> Result<&[u8], LogFault> {
        let size = head.size_bytes();
        self.fill(position, size)?;
        let from = (position - self.buffer_at) as usize;
        Ok(&self.buffer[from..from + size])
    }

    /// The bytes of the head that [`step`](Self::step) just found.
    pub(crate) fn head_bytes(&mut self, position: u64) -> Result<&[u8], LogFault> {
        self.fill(position, BATCH_HEADER_BYTES)?;
        let from = (position - self.buffer_at) as usize;
        Ok(&self.buffer[from..from + BATCH_HEADER_BYTES])
    }

    /// Makes the buffer hold `wanted` bytes from `position` on, which lie before the walk's end.
    fn fill(&mut self, position: u64, wanted: usize) -> Result<(), LogFault> {
        let buffer_end = self.buffer_at + self.buffer.len() as u64;
        if position >= self.buffer_at && position + wanted as u64 <= buffer_end {
            return Ok(());
        }
        let block = (self.block_bytes.max(wanted) as u64).min(self.end - position) as usize;
        self.buffer.resize(block, 0);
        self.buffer_at = position;
        let read = self.file.read_at(&mut self.buffer, position);
        // What was not read must not be taken for content by a later step.
        self.buffer.truncate(*read.as_ref().unwrap_or(&0));
        let read = read?;
        if read < wanted {
            return Err(LogFault::io(
                "read",
                &self.file.path(),
                std::io::ErrorKind::UnexpectedEof.into(),
            ));
        }
        Ok(())
    }
}

/// Whether a head can stand where it was found: offsets rise, stay within 2^31 of the segment's
/// base as the index demands, and the batch ends within the `left` bytes.
pub(crate) fn head_is_sane(
    head: &BatchHead,
    segment_base: Offset,
    expected: Offset,
    left: u64,
) -> Result<(), String> {
    if head.size_bytes() as u64 > left {
        return Err(format!(
            "a batch of {} bytes where {left} are left",
            head.size_bytes()
        ));
    }
    if head.base_offset < expected {
        return Err(format!(
            "base offset {} where {expected} or more must follow",
            head.base_offset
        ));
    }
    // The base is not negative here, and the delta is 32 bits wide: no sum below can overflow once
    // the base is known to be near the segment's.
    if head.last_offset_delta < 0
        || head.base_offset.0 - segment_base.0 > i64::from(i32::MAX)
        || head.last_offset() - segment_base > i64::from(i32::MAX)
    {
        return Err(format!(
            "offsets {} and {} more do not fit a segment that begins at {segment_base}",
            head.base_offset, head.last_offset_delta
        ));
    }
    Ok(())
}
