//! A segment that takes the place of others, and those that give way.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use ottla_model::ids::Offset;

use super::{Indexes, Segment};
use crate::disk::{Disk, DiskFile};
use crate::maps::IndexBytes;
use crate::segment::indexes::SealedIndexes;
use crate::store::LogFault;

/// Whether the names of a segment's files are its own: not so before it has arrived, and not after
/// it gave way.
#[derive(Debug)]
pub(super) struct Names(Mutex<bool>);

impl Default for Names {
    fn default() -> Names {
        Names(Mutex::new(true))
    }
}

impl Names {
    /// Does something with the files of these names, unless they are another's. They stay what they
    /// are meanwhile.
    pub(super) fn with(&self, act: impl FnOnce()) {
        let own = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *own {
            act();
        }
    }

    fn set(&self, own: bool) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = own;
    }
}

impl Segment {
    /// A sealed segment whose files have other names yet: it is read by what is open and in memory.
    pub(crate) fn arriving(
        disk: Arc<dyn Disk>,
        directory: &Path,
        base: Offset,
        (file, size_bytes): (Arc<dyn DiskFile>, u64),
        (offsets, times): (Vec<u8>, Vec<u8>),
    ) -> Arc<Segment> {
        let segment = Segment::new(disk, directory, base, Some(size_bytes));
        {
            let mut state = segment.lock();
            state.file = Some(file);
            state.indexes = Indexes::Sealed(Some(Arc::new(SealedIndexes {
                offsets: IndexBytes::Memory(offsets),
                times: IndexBytes::Memory(times),
            })));
        }
        segment.names.set(false);
        Arc::new(segment)
    }

    /// The files have their names now, and are opened by them from here on.
    pub(crate) fn arrived(&self) {
        let mut state = self.lock();
        state.file = None;
        state.indexes = Indexes::sealed();
        drop(state);
        self.names.set(true);
    }

    /// Opens and loads what a reader may need once another segment has the names.
    pub(crate) fn hold(&self) -> Result<(), LogFault> {
        self.file()?;
        self.size_bytes()?;
        self.sealed_indexes()?;
        Ok(())
    }

    /// From here on the files are another's, or gone.
    pub(crate) fn give_way(&self) {
        self.names.set(false);
    }
}
