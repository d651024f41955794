//! Output storage that is filled piece by piece and reused.

use std::cell::RefCell;
use std::ops::Deref;

/// Bytes that a decoder appends to. Dereferences to what was written.
///
/// Its storage stays initialised between uses, so that a reused buffer costs no clearing.
#[derive(Clone, Default, Debug)]
pub struct Buffer {
    storage: Vec<u8>,
    written: usize,
}

impl Buffer {
    /// An empty buffer.
    #[must_use]
    pub fn new() -> Buffer {
        Buffer::default()
    }

    /// Bytes that it occupies, whatever was written last.
    #[must_use]
    pub fn storage_bytes(&self) -> usize {
        self.storage.capacity()
    }

    /// Forgets what was written and keeps the storage.
    pub(crate) fn clear(&mut self) {
        self.written = 0;
    }

    /// Bytes that can be appended without growing.
    pub(crate) fn spare_bytes(&self) -> usize {
        self.storage.len() - self.written
    }

    /// The next `bytes` bytes, to be written and then taken in with [`advance`](Self::advance).
    /// Callers have bounded `bytes` by a limit and by what the input can expand to.
    pub(crate) fn room(&mut self, bytes: usize) -> &mut [u8] {
        let end = self.written + bytes;
        if self.storage.len() < end {
            self.storage.resize(end, 0);
        }
        &mut self.storage[self.written..end]
    }

    /// Counts `bytes` of the last [`room`](Self::room) as written.
    pub(crate) fn advance(&mut self, bytes: usize) {
        self.written += bytes;
        assert!(
            self.written <= self.storage.len(),
            "invariant: only room is written to"
        );
    }

    fn release_above(&mut self, kept_bytes_max: usize) {
        if self.storage.capacity() > kept_bytes_max {
            *self = Buffer::new();
        }
    }
}

impl Deref for Buffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.storage[..self.written]
    }
}

/// What a thread keeps for its next batch; a larger buffer is given back at once.
const KEPT_BYTES_MAX: usize = 4 << 20;

thread_local! {
    static SCRATCH: RefCell<Buffer> = const { RefCell::new(Buffer { storage: Vec::new(), written: 0 }) };
}

/// Lends this thread's buffer. `work` must not ask for it again.
pub(crate) fn with_scratch<T>(work: impl FnOnce(&mut Buffer) -> T) -> T {
    SCRATCH.with_borrow_mut(|buffer| {
        let answer = work(buffer);
        buffer.release_above(KEPT_BYTES_MAX);
        answer
    })
}
