//! From the page cache to the socket without a copy.

use rustix::fs::sendfile;
use rustix::net::{SendFlags, send};
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::{Outbox, Piece, fault};
use crate::close::CloseReason;

/// Below this the copies cost less than the calls and the sockets' queues of small pages.
const BYTES_MIN: usize = 256 << 10;
/// Sent by one call: what is not in memory after all holds up the thread for so much.
const BYTES_MAX: usize = 1 << 20;

impl Outbox {
    /// Sends from the front what can go without a copy. Answers the bytes that went; 0 if the front
    /// is not for this way.
    pub(super) async fn send_front(&mut self, stream: &TcpStream) -> Result<usize, CloseReason> {
        match (self.pieces.front(), self.pieces.get(1)) {
            (Some(Piece::Bytes(bytes)), Some(Piece::File(slice))) if slice.length >= BYTES_MIN => {
                // More follows: no packet for the head alone.
                let flags = SendFlags::MORE | SendFlags::NOSIGNAL;
                let sent = stream
                    .async_io(Interest::WRITABLE, || Ok(send(stream, bytes, flags)?))
                    .await?;
                self.take_bytes(sent, |_| {});
                Ok(sent)
            }
            (Some(Piece::File(slice)), _) if slice.length >= BYTES_MIN => {
                let Some(descriptor) = slice.file.descriptor() else {
                    return Ok(0);
                };
                let bytes = slice.length.min(BYTES_MAX);
                // A file that is not in memory would be waited for here, on the network's thread.
                for position in [slice.position, slice.position + bytes as u64 - 1] {
                    let there = slice.file.read_now(&mut [0], position);
                    if there.map_err(|error| fault(&error))?.is_none() {
                        return Ok(0);
                    }
                }
                let sent = stream
                    .async_io(Interest::WRITABLE, || {
                        let mut position = slice.position;
                        Ok(sendfile(stream, descriptor, Some(&mut position), bytes)?)
                    })
                    .await?;
                if sent == 0 {
                    let path = slice.file.path();
                    return Err(fault(&format!("{} became shorter", path.display())));
                }
                self.advance_file(sent);
                Ok(sent)
            }
            _ => Ok(0),
        }
    }
}
