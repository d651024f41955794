//! Where reads ended lately: the next fetch of the same consumer begins there.
//!
//! Only borders between batches that readers may see are kept. Such batches stay where they are as
//! long as their segment lives; all are forgotten when damage is found in it, or reads would begin there.

use ottla_model::ids::Offset;

use super::Located;

/// Consumers of one segment that read at the same time, more or less. Few bytes, and no search.
const SLOTS: usize = 16;

/// The batches behind the ends of recent reads. Takes no memory before the first.
#[derive(Default, Debug)]
pub(super) struct Borders {
    slots: Option<Box<[Option<Located>; SLOTS]>>,
}

impl Borders {
    /// Keeps a batch that somebody is likely to ask for next.
    pub(super) fn keep(&mut self, next: Located) {
        let slots = self.slots.get_or_insert_default();
        slots[slot(next.head.base_offset)] = Some(next);
    }

    /// Forgets all of them.
    pub(super) fn clear(&mut self) {
        self.slots = None;
    }

    /// The batch that begins with `offset`, if it is known.
    pub(super) fn find(&self, offset: Offset) -> Option<Located> {
        let located = self.slots.as_ref()?[slot(offset)];
        located.filter(|located| located.head.base_offset == offset)
    }
}

/// Spreads offsets that are multiples of a round number, too.
fn slot(offset: Offset) -> usize {
    const GOLDEN_RATIO: u64 = 0x9E37_79B9_7F4A_7C15;
    ((offset.0 as u64).wrapping_mul(GOLDEN_RATIO) >> 32) as usize % SLOTS
}
