//! Read-only memory maps of sealed index files; the only `unsafe` code of this crate.
//!
//! A map is sound as long as nobody changes or cuts the mapped file: then its bytes are constant and
//! no access can fault. What holds that up:
//! - Only index files of sealed segments are mapped, and this crate never writes to such a file
//!   again: an index that proves wrong is built anew beside it and renamed over it, which leaves the
//!   mapped inode as it is. Deleting the file does too.
//! - The directory is locked against other brokers, Kafka's included.
//! - Nothing but plain bytes is read from a map, and each entry is checked against the log before it
//!   is believed, so even bytes that change underfoot could at worst cost a longer walk.
//!
//! What is left is an I/O error of the disk under a page, which the kernel reports as SIGBUS. The
//! loader therefore reads the whole file once before it maps it: a disk that cannot read it answers
//! with an error that names the file.
#![allow(unsafe_code)]

use std::ops::Deref;
use std::path::Path;

use memmap2::Mmap;

use crate::disk::{Disk, DiskFile};
use crate::store::LogFault;

/// Below this size a copy costs less than a map and its pages.
const MAP_BYTES_MIN: usize = 16 * 1024;

/// Content of an index file.
#[derive(Debug)]
pub(crate) enum IndexBytes {
    /// Mapped from the file.
    Mapped(Mmap),
    /// Read, because it is small, the disk has no descriptors, or the kernel has no maps left.
    Memory(Vec<u8>),
}

impl IndexBytes {
    /// Loads the index file at `path`; `None` if there is none. Refuses one above `bytes_max`.
    pub(crate) fn load(
        disk: &dyn Disk,
        path: &Path,
        bytes_max: usize,
    ) -> Result<Option<IndexBytes>, LogFault> {
        let Some(bytes) = disk.read_file(path, bytes_max)? else {
            return Ok(None);
        };
        if bytes.len() >= MAP_BYTES_MIN {
            let file = disk.open(path, false)?;
            if let Some(map) = map(&*file).filter(|map| map.len() == bytes.len()) {
                return Ok(Some(IndexBytes::Mapped(map)));
            }
        }
        Ok(Some(IndexBytes::Memory(bytes)))
    }
}

impl Deref for IndexBytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match self {
            IndexBytes::Mapped(map) => map,
            IndexBytes::Memory(bytes) => bytes,
        }
    }
}

fn map(file: &dyn DiskFile) -> Option<Mmap> {
    let descriptor = file.descriptor()?;
    // SAFETY: see the module's argument: the file is a sealed index, which nobody writes or cuts.
    unsafe { Mmap::map(&descriptor) }.ok()
}
