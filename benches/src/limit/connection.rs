//! One connection of the limit program: its input as whole frames, its output as parts.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::TcpStream;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::event::epoll::EventFlags;
use rustix::net::{SendFlags, send};

use super::Asked;
use super::store::{Place, Store};

/// Read at once, as the broker reads.
const INPUT_BYTES: usize = 256 << 10;
/// A frame longer than this is read to its end and no further, so that nothing is moved.
const LARGE_FRAME_BYTES: usize = 64 << 10;
const FRAME_BYTES_MAX: usize = 64 << 20;
/// Stored parts that one turn sends, so that connections share the thread.
const PARTS_PER_TURN: usize = 2;

pub(super) struct Connection {
    stream: TcpStream,
    /// Only while it holds something: an idle connection owns no buffer.
    input: Vec<u8>,
    begin: usize,
    end: usize,
    /// Requests of this turn, and where their batches lie in the input.
    asked: Vec<Asked>,
    batches: Vec<Range<usize>>,
    /// How far the frames of this turn reach.
    handled: usize,
    output: VecDeque<Part>,
    is_blocked: bool,
    interest: EventFlags,
}

enum Part {
    Bytes { bytes: Vec<u8>, at: usize },
    Stored { position: u64, length: u64 },
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> io::Result<Connection> {
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Connection {
            stream,
            input: Vec::new(),
            begin: 0,
            end: 0,
            asked: Vec::new(),
            batches: Vec::new(),
            handled: 0,
            output: VecDeque::new(),
            is_blocked: false,
            interest: EventFlags::IN,
        })
    }

    /// Reads once, into a buffer of the pool if need be, and hands over every whole frame. An error means
    /// that the connection is over.
    pub(super) fn read(
        &mut self,
        pool: &mut Vec<Vec<u8>>,
        mut take: impl FnMut(&mut [u8]) -> Result<(Asked, Option<Range<usize>>), String>,
    ) -> Result<(), String> {
        if self.input.is_empty() {
            self.input = pool.pop().unwrap_or_else(|| vec![0; INPUT_BYTES]);
        }
        loop {
            let room = self.make_room()?;
            match (&self.stream).read(&mut self.input[self.end..self.end + room]) {
                Ok(0) => return Err("closed".to_owned()),
                Ok(read) => self.end += read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.to_string()),
            }
            let mut whole = false;
            self.handled = self.begin;
            while let Some(length) = self.frame_bytes(self.handled)? {
                let start = self.handled + 4;
                if self.end < start + length {
                    break;
                }
                let (asked, batch) = take(&mut self.input[start..start + length])?;
                self.batches
                    .extend(batch.map(|batch| start + batch.start..start + batch.end));
                self.asked.push(asked);
                self.handled = start + length;
                whole = true;
            }
            // A frame that is not whole yet is nearly always in the socket already.
            if whole || self.end - self.begin < LARGE_FRAME_BYTES {
                return Ok(());
            }
        }
    }

    /// The batches of this turn.
    pub(super) fn batches(&self) -> impl Iterator<Item = &[u8]> {
        self.batches.iter().map(|range| &self.input[range.clone()])
    }

    /// The requests of this turn, whose input is given up.
    pub(super) fn taken(&mut self, pool: &mut Vec<Vec<u8>>) -> Vec<Asked> {
        if !self.asked.is_empty() {
            self.begin = self.handled;
            self.batches.clear();
        }
        if self.begin == self.end {
            (self.begin, self.end) = (0, 0);
            if !self.input.is_empty() {
                pool.push(std::mem::take(&mut self.input));
            }
        }
        std::mem::take(&mut self.asked)
    }

    pub(super) fn push_bytes(&mut self, more: &[u8]) {
        match self.output.back_mut() {
            Some(Part::Bytes { bytes, .. }) => bytes.extend_from_slice(more),
            _ => self.output.push_back(Part::Bytes {
                bytes: more.to_vec(),
                at: 0,
            }),
        }
    }

    pub(super) fn push_stored(&mut self, position: u64, length: u64) {
        if length > 0 {
            self.output.push_back(Part::Stored { position, length });
        }
    }

    /// Sends what the socket takes.
    pub(super) fn flush(&mut self, store: &Store) -> io::Result<()> {
        self.is_blocked = false;
        let mut parts = 0;
        while !self.output.is_empty() {
            let sent = match self.send_some(store) {
                Ok(sent) => sent,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.is_blocked = true;
                    return Ok(());
                }
                Err(error) => return Err(error),
            };
            parts += self.consume(sent);
            if parts == PARTS_PER_TURN && !self.output.is_empty() {
                // Said to be ready again at once.
                self.is_blocked = true;
                return Ok(());
            }
        }
        Ok(())
    }

    /// The flags to listen for, if they changed.
    pub(super) fn changed_interest(&mut self) -> Option<EventFlags> {
        let wanted = if self.is_blocked {
            EventFlags::IN | EventFlags::OUT
        } else {
            EventFlags::IN
        };
        (wanted != self.interest).then(|| {
            self.interest = wanted;
            wanted
        })
    }

    fn send_some(&self, store: &Store) -> io::Result<u64> {
        if let Some(Part::Stored { position, length }) = self.output.front()
            && let Place::File(file) = store.place(*position, *length)
        {
            let mut position = *position;
            let length = usize::try_from(*length).unwrap_or(usize::MAX);
            let sent = rustix::fs::sendfile(&self.stream, file, Some(&mut position), length)?;
            return if sent == 0 {
                Err(ErrorKind::UnexpectedEof.into())
            } else {
                Ok(sent as u64)
            };
        }
        let mut slices = Vec::with_capacity(self.output.len());
        let mut before_file = false;
        for part in &self.output {
            match part {
                Part::Bytes { bytes, at } => slices.push(IoSlice::new(&bytes[*at..])),
                Part::Stored { position, length } => match store.place(*position, *length) {
                    Place::Memory(bytes) => slices.push(IoSlice::new(bytes)),
                    Place::File(_) => {
                        before_file = true;
                        break;
                    }
                },
            }
        }
        if let ([only], true) = (&slices[..], before_file) {
            return Ok(send(&self.stream, only, SendFlags::MORE)? as u64);
        }
        Ok((&self.stream).write_vectored(&slices)? as u64)
    }

    /// Drops what was sent, and counts the stored parts that were sent whole.
    fn consume(&mut self, mut sent: u64) -> usize {
        let mut parts = 0;
        while let Some(part) = self.output.front_mut() {
            let left = match part {
                Part::Bytes { bytes, at } => (bytes.len() - *at) as u64,
                Part::Stored { length, .. } => *length,
            };
            if sent < left {
                match part {
                    Part::Bytes { at, .. } => *at += sent as usize,
                    Part::Stored { position, length } => {
                        *position += sent;
                        *length -= sent;
                    }
                }
                break;
            }
            sent -= left;
            parts += usize::from(matches!(part, Part::Stored { .. }));
            self.output.pop_front();
        }
        parts
    }

    /// Bytes that the next read may take, behind what is there.
    fn make_room(&mut self) -> Result<usize, String> {
        let have = self.end - self.begin;
        let whole = self.frame_bytes(self.begin)?.map_or(0, |length| length + 4);
        if self.input.len() - self.begin < whole.max(have + 4_096) {
            self.input.copy_within(self.begin..self.end, 0);
            (self.begin, self.end) = (0, have);
            if self.input.len() < whole {
                self.input.resize(whole, 0);
            }
        }
        let room = self.input.len() - self.end;
        Ok(if whole > LARGE_FRAME_BYTES && whole > have {
            whole - have
        } else {
            room
        })
    }

    /// Length of the frame that begins there, if it is known.
    fn frame_bytes(&self, at: usize) -> Result<Option<usize>, String> {
        let Some(length) = self.input[..self.end]
            .get(at..)
            .and_then(|rest| rest.first_chunk())
        else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*length) as usize;
        if length > FRAME_BYTES_MAX {
            return Err(format!("a frame claims {length} bytes"));
        }
        Ok(Some(length))
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
