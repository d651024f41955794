//! Answers on their way out: as many as there are in one vectored write.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};
use ottla_wire::encoder::{Frame, Segment};
use ottla_wire::{ApiKey, EncodeError};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::close::CloseReason;
use crate::metrics::Metrics;

/// Pieces of one write; the system takes 1,024.
const SLICES_MAX: usize = 64;

#[derive(Default)]
pub(super) struct Outbox {
    pieces: VecDeque<Bytes>,
}

impl Outbox {
    /// Puts a frame behind the others.
    ///
    /// # Errors
    /// It has records that are not in memory. No handler makes such yet: this is the place where file
    /// slices will go to the socket.
    pub(super) fn push(
        &mut self,
        frame: Frame,
        api: ApiKey,
        version: i16,
    ) -> Result<(), CloseReason> {
        for segment in frame.segments {
            match segment {
                Segment::Bytes(bytes) => self.pieces.push_back(bytes),
                Segment::External { .. } => {
                    let error = EncodeError::ExternalRecords;
                    return Err(CloseReason::Unanswerable {
                        api,
                        version,
                        error,
                    });
                }
            }
        }
        Ok(())
    }

    /// Writes all of it. Waits as long as the client does not read.
    pub(super) async fn flush(
        &mut self,
        stream: &mut TcpStream,
        metrics: &Metrics,
    ) -> Result<(), CloseReason> {
        while !self.pieces.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let mut count = 0;
            for (slot, piece) in slices.iter_mut().zip(&self.pieces) {
                *slot = IoSlice::new(piece);
                count += 1;
            }
            let written = stream.write_vectored(&slices[..count]).await?;
            if written == 0 {
                return Err(CloseReason::Gone);
            }
            metrics.bytes_out.inc_by(written as u64);
            self.advance(written);
        }
        // What a busy moment needed is not kept for ever.
        if self.pieces.capacity() > SLICES_MAX {
            self.pieces = VecDeque::new();
        }
        Ok(())
    }

    fn advance(&mut self, mut written: usize) {
        while let Some(front) = self.pieces.front_mut() {
            if written < front.len() {
                front.advance(written);
                return;
            }
            written -= front.len();
            self.pieces.pop_front();
        }
    }
}
