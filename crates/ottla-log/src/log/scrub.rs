//! Checking every batch against its CRC, for `verify` and for a background scrub.

use ottla_model::ids::Offset;

use super::LocalLog;
use crate::segment::Segment;
use crate::store::LogFault;
use crate::walk::{Step, Walk};

impl LocalLog {
    /// Reads the whole log and reports every damage, which from then on reads are refused that touch
    /// it; all others go on. Takes no lock for longer than a look: appends go on, too.
    ///
    /// # Errors
    /// The disk's fault; a removed log.
    pub fn scrub(&self) -> Result<Vec<LogFault>, LogFault> {
        let (segments, written, lost) = {
            let state = self.lock();
            state.refuse_if_removed()?;
            let lost = state.lost.as_ref().map(|lost| lost.fault.clone());
            (state.segments.clone(), state.written, lost)
        };
        let mut damage = Vec::new();
        for segment in segments {
            scrub_segment(&segment, written)?;
            damage.extend(segment.holes().iter().map(|hole| segment.damaged(hole)));
        }
        damage.extend(lost);
        Ok(damage)
    }
}

fn scrub_segment(segment: &Segment, written: Offset) -> Result<(), LogFault> {
    let (file, size_bytes) = (segment.file()?, segment.size_bytes()?);
    let mut from = (0, segment.base());
    'walk: loop {
        let holes = segment.holes();
        let mut walk = Walk::new(&*file, segment.base(), from, size_bytes, &holes).far();
        loop {
            match walk.step()? {
                Step::End => return Ok(()),
                Step::Batch { head, .. } if head.base_offset >= written => return Ok(()),
                Step::Batch { head, position } => {
                    if !head.crc_matches(walk.batch_bytes(&head, position)?) {
                        let why = String::from("the CRC does not match");
                        let hole = segment.add_hole(position, head.base_offset, size_bytes, why)?;
                        from = (hole.end, hole.to);
                        continue 'walk;
                    }
                }
                Step::Bad {
                    position,
                    expected,
                    why,
                } => {
                    let hole = segment.add_hole(position, expected, size_bytes, why)?;
                    from = (hole.end, hole.to);
                    continue 'walk;
                }
            }
        }
    }
}
