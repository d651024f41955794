//! One connection of the generator: what it sends next, what it waits for.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use super::{Measured, Pace};
use crate::wire::{
    Batch, HEAD_BYTES, LENGTH_BYTES, Ring, beaten, correlation_id, fetched, produced,
    set_fetch_offset,
};

/// No answer of these loads is larger.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// A connection with its frames.
#[derive(Debug)]
pub struct Lane {
    stream: TcpStream,
    ring: Ring,
    in_flight_max: u64,
    work: Work,
    /// Frames whose sending has begun, and answers received, since the lane was opened.
    sent: u64,
    received: u64,
    /// The rest of the burst that is being sent, as a place in the ring.
    at: usize,
    until: usize,
    /// When each request in flight was sent, or was meant to be.
    started: VecDeque<Instant>,
    /// The beginning of the answer that is being read, and what of it is still to come.
    head: Vec<u8>,
    left: usize,
    /// Frames due are counted from here, in an open loop.
    clock: Option<(Instant, Duration)>,
    blocked: bool,
    interest: bool,
}

/// A partition that holds one batch over and over.
#[derive(Clone, Copy, Debug)]
pub struct Stored {
    /// Size of the batch.
    pub batch_bytes: u64,
    /// Records in it.
    pub batch_records: u64,
    /// Where a consumer goes on that has come to the end.
    pub begin_offset: u64,
    /// The end of what it reads: the partition may go on behind it.
    pub end_offset: u64,
}

#[derive(Debug)]
enum Work {
    Produce {
        batch_bytes: u64,
        batch_records: u64,
        /// Records acknowledged, by frame of the ring.
        acknowledged: Vec<u64>,
    },
    Fetch {
        stored: Stored,
        offset: u64,
    },
    Beat,
}

impl Lane {
    /// A producer that sends the frames of a ring over and over.
    ///
    /// # Errors
    /// If it cannot connect.
    pub fn producer(
        address: &str,
        ring: Ring,
        batch: &Batch,
        in_flight_max: u64,
    ) -> Result<Lane, String> {
        let work = Work::Produce {
            batch_bytes: batch.bytes.len() as u64,
            batch_records: batch.records,
            acknowledged: vec![0; ring.frames()],
        };
        Lane::open(address, ring, in_flight_max, work)
    }

    /// A consumer that reads a partition from `offset` to the end, and from the beginning again.
    ///
    /// # Errors
    /// If it cannot connect.
    pub fn consumer(
        address: &str,
        mut ring: Ring,
        stored: Stored,
        offset: u64,
    ) -> Result<Lane, String> {
        set_fetch_offset(&mut ring.bytes, offset);
        Lane::open(address, ring, 1, Work::Fetch { stored, offset })
    }

    /// A member of a group that sends heartbeats over a connection that has joined. One at a time.
    #[must_use]
    pub fn member(stream: TcpStream, ring: Ring) -> Lane {
        Lane::on(stream, ring, 1, Work::Beat)
    }

    /// Records acknowledged so far, by partition.
    pub fn acknowledged(&self) -> impl Iterator<Item = (i32, u64)> {
        let counts: &[u64] = match &self.work {
            Work::Produce { acknowledged, .. } => acknowledged,
            Work::Fetch { .. } | Work::Beat => &[],
        };
        self.ring
            .partitions
            .iter()
            .copied()
            .zip(counts.iter().copied())
    }

    fn open(address: &str, ring: Ring, in_flight_max: u64, work: Work) -> Result<Lane, String> {
        Ok(Lane::on(connected(address)?, ring, in_flight_max, work))
    }

    fn on(stream: TcpStream, ring: Ring, in_flight_max: u64, work: Work) -> Lane {
        Lane {
            stream,
            ring,
            in_flight_max,
            work,
            sent: 0,
            received: 0,
            at: 0,
            until: 0,
            started: VecDeque::new(),
            head: Vec::with_capacity(LENGTH_BYTES + HEAD_BYTES),
            left: 0,
            clock: None,
            blocked: false,
            interest: false,
        }
    }

    /// Goes on with another connection. Nothing may be in flight.
    ///
    /// # Errors
    /// If it cannot connect.
    pub fn connect(&mut self, address: &str) -> Result<(), String> {
        self.stream = connected(address)?;
        self.interest = false;
        Ok(())
    }

    /// From now on the first frame is due at `first`, then one `every` so often.
    pub(super) fn keep_time(&mut self, first: Instant, every: Duration) {
        self.clock = Some((first, every));
    }

    /// Sends what is due, as far as the socket takes it: neighbouring frames in one call.
    pub(super) fn send(&mut self, pace: Pace, now: Instant) -> Result<(), String> {
        loop {
            self.finish_burst()?;
            if self.blocked {
                return Ok(());
            }
            let frames = self.ring.frames();
            let first = (self.sent % frames as u64) as usize;
            let count = self.due(pace, now).min((frames - first) as u64);
            if count == 0 {
                return Ok(());
            }
            for _ in 0..count {
                let started = match (pace, &mut self.clock) {
                    (Pace::Open(_), Some((next, every))) => {
                        let meant = *next;
                        *next += *every;
                        meant
                    }
                    _ => now,
                };
                self.started.push_back(started);
            }
            self.sent += count;
            self.at = self.ring.start(first);
            self.until = self.ring.ends[first + count as usize - 1];
        }
    }

    /// Goes on with frames that are half sent.
    pub(super) fn finish_burst(&mut self) -> Result<(), String> {
        self.blocked = false;
        while self.at < self.until {
            match (&self.stream).write(&self.ring.bytes[self.at..self.until]) {
                Ok(written) => self.at += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.blocked = true;
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(format!("sending: {error}")),
            }
        }
        Ok(())
    }

    /// Reads what the socket has.
    pub(super) fn receive(
        &mut self,
        scratch: &mut [u8],
        measured: &mut Measured,
    ) -> Result<(), String> {
        loop {
            match (&self.stream).read(scratch) {
                Ok(0) => return Err("the server closed the connection".to_owned()),
                Ok(read) => {
                    self.take(&scratch[..read], Instant::now(), measured)?;
                    if read < scratch.len() {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(format!("receiving: {error}")),
            }
        }
    }

    /// Nothing is in flight.
    pub(super) fn is_idle(&self) -> bool {
        self.sent == self.received
    }

    /// Whether it wants to hear that it can send, if that changed.
    pub(super) fn changed_interest(&mut self) -> Option<bool> {
        (self.interest != self.blocked).then(|| {
            self.interest = self.blocked;
            self.blocked
        })
    }

    fn due(&self, pace: Pace, now: Instant) -> u64 {
        match (pace, self.clock) {
            (Pace::Open(_), Some((next, every))) => match now.checked_duration_since(next) {
                Some(late) => late.as_nanos() as u64 / every.as_nanos().max(1) as u64 + 1,
                None => 0,
            },
            _ => self.received + self.in_flight_max - self.sent,
        }
    }

    fn take(
        &mut self,
        mut chunk: &[u8],
        now: Instant,
        measured: &mut Measured,
    ) -> Result<(), String> {
        while !chunk.is_empty() {
            if self.left > 0 {
                let skipped = self.left.min(chunk.len());
                self.left -= skipped;
                chunk = &chunk[skipped..];
            } else {
                let wanted = self.head_wanted()? - self.head.len();
                let (taken, rest) = chunk.split_at(wanted.min(chunk.len()));
                self.head.extend_from_slice(taken);
                chunk = rest;
                if self.head.len() < self.head_wanted()? {
                    continue;
                }
                self.left = LENGTH_BYTES + self.answer_bytes()? - self.head.len();
            }
            if self.left == 0 {
                self.answered(now, measured)?;
            }
        }
        Ok(())
    }

    /// How long the head of the answer is, as far as that is known.
    fn head_wanted(&self) -> Result<usize, String> {
        if self.head.len() < LENGTH_BYTES {
            return Ok(LENGTH_BYTES);
        }
        Ok(LENGTH_BYTES + self.answer_bytes()?.min(HEAD_BYTES))
    }

    fn answer_bytes(&self) -> Result<usize, String> {
        let length = correlation_id(&self.head).unwrap_or_default();
        usize::try_from(length)
            .ok()
            .filter(|length| (1..=ANSWER_BYTES_MAX).contains(length))
            .ok_or_else(|| format!("an answer claims {length} bytes"))
    }

    fn answered(&mut self, now: Instant, measured: &mut Measured) -> Result<(), String> {
        let answer = &self.head[LENGTH_BYTES..];
        let short = || format!("an answer of {} bytes is too short", answer.len());
        let place = (self.received % self.ring.frames() as u64) as usize;
        if correlation_id(answer) != i32::try_from(place).ok() {
            let got = correlation_id(answer);
            return Err(format!("answer {got:?} came where {place} was due"));
        }
        match &mut self.work {
            Work::Produce {
                batch_bytes,
                batch_records,
                acknowledged,
            } => {
                let (error_code, base_offset) = produced(answer).ok_or_else(short)?;
                if error_code != 0 || base_offset < 0 {
                    return Err(format!("produce: error {error_code}, offset {base_offset}"));
                }
                acknowledged[place] += *batch_records;
                measured.bytes += *batch_bytes;
            }
            Work::Fetch { stored, offset } => {
                let head = fetched(answer).ok_or_else(short)?;
                let records_bytes = head.records_bytes as u64;
                if head.error_code != 0
                    || head.first_offset != i64::try_from(*offset).ok()
                    || !records_bytes.is_multiple_of(stored.batch_bytes)
                {
                    return Err(format!("fetch from {offset}: {head:?}"));
                }
                *offset += records_bytes / stored.batch_bytes * stored.batch_records;
                if *offset >= stored.end_offset {
                    *offset = stored.begin_offset;
                }
                measured.bytes += records_bytes;
                set_fetch_offset(&mut self.ring.bytes, *offset);
            }
            Work::Beat => {
                let error_code = beaten(answer).ok_or_else(short)?;
                if error_code != 0 {
                    return Err(format!("heartbeat: error {error_code}"));
                }
            }
        }
        self.head.clear();
        self.received += 1;
        measured.requests += 1;
        if let Some(started) = self.started.pop_front() {
            measured
                .latencies
                .add(now.saturating_duration_since(started));
        }
        Ok(())
    }
}

fn connected(address: &str) -> Result<TcpStream, String> {
    let stream = TcpStream::connect(address).map_err(|e| format!("{address}: {e}"))?;
    stream.set_nodelay(true).map_err(|e| e.to_string())?;
    stream.set_nonblocking(true).map_err(|e| e.to_string())?;
    Ok(stream)
}

impl AsFd for Lane {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
