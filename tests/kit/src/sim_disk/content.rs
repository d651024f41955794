//! Bytes of a file in shared pages, so that a copy costs nothing until it is written to.
//!
//! Guarantees: a page that is missing reads as zeros, and so does what lies beyond the length of an
//! earlier, longer file after the file grew again.

use std::io;
use std::sync::Arc;

/// What a disk writes whole or not at all, in bytes.
pub(super) const SECTOR: u64 = 512;
/// What is shared between copies, and what a failed sync marks clean: a page of the page cache.
const PAGE: u64 = 4096;
/// Largest file; beyond it a write fails like one beyond the file system's limit.
const LENGTH_MAX: u64 = 8 << 30;

const EFBIG: i32 = 27;

type Page = [u8; PAGE as usize];

#[derive(Clone, Default, Debug)]
pub(super) struct Content {
    pages: Arc<Vec<Option<Arc<Page>>>>,
    length: u64,
}

impl Content {
    pub(super) fn len(&self) -> u64 {
        self.length
    }

    pub(super) fn read(&self, buffer: &mut [u8], position: u64) -> usize {
        let left = self.length.saturating_sub(position);
        let size = buffer
            .len()
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        let mut done = 0;
        while done < size {
            let (page, start) = place(position + done as u64);
            let step = (PAGE as usize - start).min(size - done);
            let target = &mut buffer[done..done + step];
            match self.pages.get(page) {
                Some(Some(page)) => target.copy_from_slice(&page[start..start + step]),
                _ => target.fill(0),
            }
            done += step;
        }
        size
    }

    /// Writes within [`check_end`]'s limit; the file grows if need be.
    pub(super) fn write(&mut self, bytes: &[u8], position: u64) {
        if bytes.is_empty() {
            return;
        }
        let end = position + bytes.len() as u64;
        let pages = Arc::make_mut(&mut self.pages);
        let pages_needed = end.div_ceil(PAGE) as usize;
        if pages.len() < pages_needed {
            pages.resize(pages_needed, None);
        }
        let mut done = 0;
        while done < bytes.len() {
            let (page, start) = place(position + done as u64);
            let step = (PAGE as usize - start).min(bytes.len() - done);
            let page = pages[page].get_or_insert_with(|| Arc::new([0; PAGE as usize]));
            Arc::make_mut(page)[start..start + step].copy_from_slice(&bytes[done..done + step]);
            done += step;
        }
        self.length = self.length.max(end);
    }

    pub(super) fn set_len(&mut self, length: u64) {
        if length < self.length {
            self.zero(length, self.length);
            let pages_left = length.div_ceil(PAGE) as usize;
            if self.pages.len() > pages_left {
                Arc::make_mut(&mut self.pages).truncate(pages_left);
            }
        }
        self.length = length;
    }

    /// Makes the bytes from `from` up to `to` zero; the length stays.
    pub(super) fn zero(&mut self, from: u64, to: u64) {
        let to = to.min(self.pages.len() as u64 * PAGE);
        if from >= to {
            return;
        }
        let pages = Arc::make_mut(&mut self.pages);
        let mut at = from;
        while at < to {
            let (page, start) = place(at);
            let step = (PAGE - start as u64).min(to - at);
            if step == PAGE {
                pages[page] = None;
            } else if let Some(page) = &mut pages[page] {
                Arc::make_mut(page)[start..start + step as usize].fill(0);
            }
            at += step;
        }
    }

    /// Takes over the whole pages of `other` that hold the bytes from `from` up to `to`.
    pub(super) fn take_pages(&mut self, other: &Content, from: u64, to: u64) {
        let pages = Arc::make_mut(&mut self.pages);
        let end = (to.div_ceil(PAGE) as usize).min(other.pages.len());
        if pages.len() < end {
            pages.resize(end, None);
        }
        let first = place(from).0.min(end);
        pages[first..end].clone_from_slice(&other.pages[first..end]);
        self.length = self.length.max(to.min(other.length));
    }
}

/// The end of a write, if a file may be that long.
pub(super) fn check_end(position: u64, size: u64) -> io::Result<u64> {
    position
        .checked_add(size)
        .filter(|end| *end <= LENGTH_MAX)
        .ok_or_else(|| io::Error::from_raw_os_error(EFBIG))
}

fn place(position: u64) -> (usize, usize) {
    ((position / PAGE) as usize, (position % PAGE) as usize)
}
