//! From bytes to frames, holding no more than came.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use ottla_wire::ApiKey;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::api;
use crate::close::CloseReason;
use crate::gateway::GatewayOptions;
use crate::wrong_protocol::WrongProtocol;

/// What is read before frames are looked at: enough that a busy connection submits many requests at
/// once, little enough that it stays in the processor's cache until it is hashed.
const BURST_BYTES_MAX: usize = 256 << 10;

/// The first read of a quiet connection.
const READ_BYTES_MIN: usize = 4 << 10;

/// The length before each frame.
const LENGTH_BYTES: usize = 4;

/// What was read and not handled yet.
#[derive(Default)]
pub(super) struct Input {
    buffer: BytesMut,
    /// Size of the next read, from how much the last ones found.
    read_bytes: usize,
    negotiated: bool,
    ended: bool,
}

impl Input {
    /// True once the client has closed its side.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// From now on the connection has the full limit: a request was understood.
    pub(super) fn negotiated(&mut self) {
        self.negotiated = true;
    }

    /// Reads what is there, up to a burst. Ready with the number of bytes, 0 at the end.
    ///
    /// While nothing is there, no buffer is held.
    pub(super) fn poll_burst(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut TcpStream,
    ) -> Poll<Result<usize, CloseReason>> {
        if self.buffer.is_empty() && stream.poll_read_ready(cx)?.is_pending() {
            self.buffer = BytesMut::new();
            return Poll::Pending;
        }
        let mut total = 0;
        while total < BURST_BYTES_MAX {
            if total > 0 && self.room() == 0 && self.missing_bytes() == Some(0) {
                // Growing would move frames that can be taken out now.
                break;
            }
            self.make_room();
            let room = self.room();
            match pin!(stream.read_buf(&mut self.buffer)).poll(cx) {
                Poll::Ready(Ok(0)) => {
                    self.ended = true;
                    return Poll::Ready(Ok(total));
                }
                Poll::Ready(Ok(bytes)) => {
                    total += bytes;
                    if bytes == room {
                        self.read_bytes = (self.read_bytes * 2).min(BURST_BYTES_MAX);
                    }
                }
                // What came before the client reset the connection is handled first: it may be
                // records that it wants no answer to.
                Poll::Ready(Err(_)) if total > 0 => {
                    self.ended = true;
                    return Poll::Ready(Ok(total));
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Pending => break,
            }
        }
        if total == 0 {
            if self.buffer.is_empty() {
                self.buffer = BytesMut::new();
            }
            return Poll::Pending;
        }
        if total < self.read_bytes / 4 {
            self.read_bytes /= 2;
        }
        Poll::Ready(Ok(total))
    }

    /// Room for the next read. The rest of a large frame gets room as its bytes come, never more than
    /// came already (or a burst), so who announces 100 MiB and sends none takes none.
    fn make_room(&mut self) {
        self.read_bytes = self.read_bytes.max(READ_BYTES_MIN);
        let (needed, wanted) = match self.missing_bytes() {
            Some(missing) if missing > 0 => {
                let step = missing.min(self.buffer.len().max(BURST_BYTES_MAX));
                (missing.min(READ_BYTES_MIN), step.max(self.read_bytes))
            }
            _ => (READ_BYTES_MIN, self.read_bytes),
        };
        if self.room() < needed {
            self.buffer.reserve(wanted);
        }
    }

    fn room(&self) -> usize {
        self.buffer.capacity() - self.buffer.len()
    }

    /// How much of the frame at the front is missing, if its length is there and possible.
    fn missing_bytes(&self) -> Option<usize> {
        let whole = LENGTH_BYTES + usize::try_from(self.length()?).ok()?;
        Some(whole.saturating_sub(self.buffer.len()))
    }

    fn length(&self) -> Option<i32> {
        self.buffer
            .first_chunk::<LENGTH_BYTES>()
            .map(|bytes| i32::from_be_bytes(*bytes))
    }

    /// Takes the next frame if all of it is there, without its length.
    ///
    /// The frame owns its bytes alone, beside those of its neighbours in the same allocation.
    ///
    /// # Errors
    /// Its length is impossible or more than is read, as soon as that is known.
    pub(super) fn next_frame(
        &mut self,
        options: &GatewayOptions,
    ) -> Result<Option<BytesMut>, CloseReason> {
        let Some(length) = self.length() else {
            return Ok(None);
        };
        // Kafka's smallest request is a header of 8 bytes; 0 and below it closes the connection for.
        let bytes = match usize::try_from(length) {
            Ok(bytes) if bytes > 0 => bytes,
            _ => return Err(CloseReason::FrameLength(length)),
        };
        let limit = self.limit(bytes, options);
        if bytes > limit {
            if !self.negotiated
                && let Some(protocol) = WrongProtocol::of(length)
            {
                return Err(CloseReason::WrongProtocol(protocol));
            }
            return Err(CloseReason::FrameTooLarge {
                bytes: length,
                bytes_max: limit,
            });
        }
        if self.buffer.len() < LENGTH_BYTES + bytes {
            return Ok(None);
        }
        self.buffer.advance(LENGTH_BYTES);
        Ok(Some(self.buffer.split_to(bytes)))
    }

    /// Largest frame that is read here and now: its head tells what it can be worth. A client may begin
    /// with a large Produce, as those do that ask for no versions.
    fn limit(&self, bytes: usize, options: &GatewayOptions) -> usize {
        let large = options.frame_bytes_max;
        let middle = options.frame_bytes_max_without_records.min(large);
        let small = options.frame_bytes_max_unnegotiated.min(middle);
        if bytes <= small {
            return large;
        }
        match self.buffer.get(LENGTH_BYTES..LENGTH_BYTES + 4) {
            Some(&[k0, k1, v0, v1]) => {
                let (key, version) = (i16::from_be_bytes([k0, k1]), i16::from_be_bytes([v0, v1]));
                let served = api::is_served(key, version);
                match ApiKey::try_from(key) {
                    Ok(ApiKey::Produce) if served => large,
                    _ if served || self.negotiated => middle,
                    _ => small,
                }
            }
            // Not there yet: the next bytes decide.
            _ => large,
        }
    }
}

/// What a connection makes of bytes that came at once: its frames, and why it would close. `negotiated`:
/// a request was understood before.
pub fn split_frames(
    bytes: BytesMut,
    negotiated: bool,
    options: &GatewayOptions,
) -> (Vec<BytesMut>, Option<String>) {
    let mut input = Input {
        buffer: bytes,
        negotiated,
        ..Input::default()
    };
    let mut frames = Vec::new();
    loop {
        match input.next_frame(options) {
            Ok(Some(frame)) => frames.push(frame),
            Ok(None) => return (frames, None),
            Err(reason) => return (frames, Some(reason.to_string())),
        }
    }
}

#[cfg(test)]
mod tests;
