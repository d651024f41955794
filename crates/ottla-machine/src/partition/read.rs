//! What a fetch may read.
//!
//! Example: log start 10, durable 40, written 50. A fetch at 10 to 40 reads up to 40; at 41 to 50 it
//! finds nothing yet; at 9 or 51 it is out of range, and the client resets to where it was told to.

use ottla_model::ids::Offset;
use ottla_model::marks::Marks;

use super::{Partition, Refusal};

/// Which records of transactions a reader sees (KIP-98).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Isolation {
    /// All up to the high watermark.
    ReadUncommitted,
    /// All up to the last stable offset; the reader leaves out what was aborted.
    ReadCommitted,
}

/// What a fetch may read, and what its response says about the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FetchPlan {
    /// First offset to read. The batch that holds it may begin earlier.
    pub start: Offset,
    /// First offset not to read. Not above `start` if there is nothing to read yet.
    pub bound: Offset,
    /// First offset that may be read.
    pub log_start: Offset,
    /// End of what readers may see.
    pub high_watermark: Offset,
    /// End of what readers of committed records may see.
    pub last_stable_offset: Offset,
}

impl FetchPlan {
    /// What may be read of a log without open transactions.
    ///
    /// # Errors
    /// [`Refusal::OffsetOutOfRange`].
    pub fn new(offset: Offset, isolation: Isolation, marks: Marks) -> Result<FetchPlan, Refusal> {
        if offset < marks.log_start || offset > marks.written {
            return Err(Refusal::OffsetOutOfRange {
                log_start: marks.log_start,
                end: marks.written,
            });
        }
        let high_watermark = marks.durable;
        let last_stable_offset = high_watermark;
        Ok(FetchPlan {
            start: offset,
            bound: match isolation {
                Isolation::ReadUncommitted => high_watermark,
                Isolation::ReadCommitted => last_stable_offset,
            },
            log_start: marks.log_start,
            high_watermark,
            last_stable_offset,
        })
    }
}

impl Partition {
    pub(super) fn plan_fetch(
        &self,
        offset: Offset,
        isolation: Isolation,
        marks: Marks,
    ) -> Result<FetchPlan, Refusal> {
        // No transaction is ever open here, so all that is durable is stable.
        FetchPlan::new(offset, isolation, marks)
    }
}
