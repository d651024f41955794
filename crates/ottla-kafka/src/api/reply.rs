//! An answer on its way to the socket.

use std::sync::Arc;

use ottla_broker::api::DiskFile;
use ottla_wire::encoder::Frame;

/// A frame, and the file slices that belong into it.
pub(crate) struct Reply {
    pub(crate) frame: Frame,
    /// By the key of the frame's external records.
    pub(crate) slices: Vec<FileSlice>,
}

/// Bytes of a file. As long as this is held, the file keeps them.
#[derive(Clone, Debug)]
pub(crate) struct FileSlice {
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) position: u64,
    pub(crate) length: usize,
}

impl From<Frame> for Reply {
    fn from(frame: Frame) -> Reply {
        Reply {
            frame,
            slices: Vec::new(),
        }
    }
}
