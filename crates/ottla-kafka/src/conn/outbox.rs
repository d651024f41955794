//! Answers on their way out.
//!
//! What lies in memory goes out in vectored writes, many answers at once. Records in files are read
//! piece by piece as the client takes them, so a client that takes nothing costs one piece of memory,
//! whatever it asked for. A piece that is not in the page cache is read away from the network's
//! threads. Large pieces in the page cache go out by sendfile, which spares the copies.

mod zero_copy;

use std::cell::Cell;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use ottla_wire::encoder::Segment;
use ottla_wire::{ApiKey, EncodeError};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Duration, Timeout, timeout};

use super::NEVER;
use crate::api::{FileSlice, Reply};
use crate::close::CloseReason;
use crate::metrics::Metrics;

/// Pieces of one vectored write; the system takes 1,024.
const SLICES_MAX: usize = 64;

/// What is read from files at a time: enough for few system calls, little enough to stay in the
/// processor's cache until it is sent.
const CHUNK_BYTES: usize = 128 << 10;

thread_local! {
    /// A chunk that nobody uses now. A connection that waits for its client has one of its own.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Where answers go, and what is known of the way.
pub(super) struct Way<'a> {
    pub(super) stream: &'a mut TcpStream,
    pub(super) metrics: &'a Metrics,
    /// Longest time in which the client may take nothing.
    pub(super) silence_max: Option<Duration>,
}

#[derive(Default)]
pub(super) struct Outbox {
    pieces: VecDeque<Piece>,
    /// How many pieces are in files.
    files: usize,
}

enum Piece {
    Bytes(Bytes),
    File(FileSlice),
}

impl Outbox {
    /// Puts an answer behind the others.
    ///
    /// # Errors
    /// Its frame names a slice that it does not have. A bug of ours.
    pub(super) fn push(
        &mut self,
        reply: impl Into<Reply>,
        api: ApiKey,
        version: i16,
    ) -> Result<(), CloseReason> {
        let Reply { frame, slices } = reply.into();
        let mut slices = slices.into_iter().map(Some).collect::<Vec<_>>();
        for segment in frame.segments {
            let piece = match segment {
                Segment::Bytes(bytes) => Piece::Bytes(bytes),
                Segment::External { key, .. } => {
                    let slice = slices.get_mut(key as usize).and_then(Option::take);
                    let Some(slice) = slice else {
                        let error = EncodeError::ExternalRecords;
                        return Err(CloseReason::Unanswerable {
                            api,
                            version,
                            error,
                        });
                    };
                    self.files += 1;
                    Piece::File(slice)
                }
            };
            self.pieces.push_back(piece);
        }
        Ok(())
    }

    /// Writes all of it. Waits while the client does not read, but no longer than `silence_max` for
    /// anything to go out.
    pub(super) async fn flush(&mut self, way: &mut Way<'_>) -> Result<(), CloseReason> {
        while !self.pieces.is_empty() {
            if self.files > 0 {
                self.write_files(way).await?;
            } else {
                let write = poll_fn(|cx| self.poll_write_pieces(cx, way.stream));
                let written = patiently(way.silence_max, write).await??;
                way.metrics.bytes_out.inc_by(written as u64);
            }
        }
        // What a busy moment needed is not kept for ever.
        if self.pieces.capacity() > SLICES_MAX {
            self.pieces = VecDeque::new();
        }
        Ok(())
    }

    fn poll_write_pieces(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut TcpStream,
    ) -> Poll<Result<usize, CloseReason>> {
        // Here and not in a future: every connection, idle or not, has room for its largest future.
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let mut count = 0;
        for (slot, piece) in slices.iter_mut().zip(&self.pieces) {
            let Piece::Bytes(bytes) = piece else { break };
            *slot = IoSlice::new(bytes);
            count += 1;
        }
        let written = ready!(Pin::new(stream).poll_write_vectored(cx, &slices[..count]))?;
        if written == 0 {
            return Poll::Ready(Err(CloseReason::Gone));
        }
        let mut taken = 0;
        while taken < written {
            // What was written are bytes of pieces at the front.
            taken += self.take_bytes(written - taken, |_| {});
        }
        Poll::Ready(Ok(written))
    }

    /// Takes up to `bytes_max` bytes off a piece in memory at the front. 0 if there is none.
    fn take_bytes(&mut self, bytes_max: usize, take: impl FnOnce(&[u8])) -> usize {
        let Some(Piece::Bytes(front)) = self.pieces.front_mut() else {
            return 0;
        };
        let count = front.len().min(bytes_max);
        take(&front[..count]);
        front.advance(count);
        if front.is_empty() {
            self.pieces.pop_front();
        }
        count
    }

    /// Writes until no piece is in a file, chunk by chunk; small pieces in memory go along.
    async fn write_files(&mut self, way: &mut Way<'_>) -> Result<(), CloseReason> {
        let mut chunk = Vec::new();
        while self.files > 0 {
            let sent = patiently(way.silence_max, self.send_front(way.stream)).await??;
            if sent > 0 {
                way.metrics.bytes_out.inc_by(sent as u64);
                continue;
            }
            if chunk.is_empty() {
                chunk = SPARE.take();
                // Zeroed once: fresh pages for each fetch cost more than the copy into them.
                chunk.resize(CHUNK_BYTES, 0);
            }
            let filled;
            (chunk, filled) = self.gather(chunk).await?;
            patiently(way.silence_max, way.stream.write_all(&chunk[..filled])).await??;
            way.metrics.bytes_out.inc_by(filled as u64);
        }
        SPARE.set(chunk);
        Ok(())
    }

    /// Fills `chunk` from the front of the pieces, at least partly.
    async fn gather(&mut self, mut chunk: Vec<u8>) -> Result<(Vec<u8>, usize), CloseReason> {
        let mut filled = 0;
        while filled < chunk.len() {
            let room = &mut chunk[filled..];
            let room_bytes = room.len();
            let copied = self.take_bytes(room_bytes, |bytes| {
                room[..bytes.len()].copy_from_slice(bytes)
            });
            filled += copied;
            if copied > 0 {
                continue;
            }
            let Some(Piece::File(slice)) = self.pieces.front_mut() else {
                break;
            };
            let wanted = slice.length.min(room_bytes);
            let now = slice
                .file
                .read_now(&mut chunk[filled..filled + wanted], slice.position);
            let read = match now.map_err(|error| fault(&error))? {
                Some(read) => read,
                // What is there already need not wait for the disk.
                None if filled > 0 => break,
                None => {
                    let (file, position) = (Arc::clone(&slice.file), slice.position);
                    let reading = tokio::task::spawn_blocking(move || {
                        let result = file.read_exact_at(&mut chunk[..wanted], position);
                        result.map(|()| chunk)
                    });
                    // The runtime ends.
                    let read = reading.await.map_err(|_| CloseReason::Gone)?;
                    chunk = read.map_err(|error| fault(&error))?;
                    wanted
                }
            };
            filled += read;
            self.advance_file(read);
        }
        Ok((chunk, filled))
    }

    /// So many bytes of the file at the front are on their way.
    fn advance_file(&mut self, bytes: usize) {
        let Some(Piece::File(slice)) = self.pieces.front_mut() else {
            return;
        };
        slice.position += bytes as u64;
        slice.length -= bytes;
        if slice.length == 0 {
            self.files -= 1;
            self.pieces.pop_front();
        }
    }
}

fn fault(fault: &dyn ToString) -> CloseReason {
    CloseReason::Storage(fault.to_string())
}

/// A write that is given up when the client takes nothing for so long. No `async fn`: that would have
/// room for the write twice.
fn patiently<F: Future>(silence_max: Option<Duration>, write: F) -> Timeout<F> {
    timeout(silence_max.unwrap_or(NEVER), write)
}

#[cfg(test)]
mod tests;
