//! The load generator: one thread, any number of connections, frames that were built before.
//!
//! Guarantees: every answer is checked to be a success and the one that was due, and is counted; a run
//! ends only when every request has its answer. Closed loop: a fixed number of requests is in flight
//! per connection. Open loop: requests are due at fixed moments whatever the server does, and a latency
//! counts from the moment that was meant, so that a stall is not left out.

mod lane;

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use crate::histogram::Histogram;

pub use lane::{Lane, Stored};

const SCRATCH_BYTES: usize = 256 << 10;
/// A server that says nothing for so long has failed.
const SILENCE_MAX: Timespec = Timespec {
    tv_sec: 60,
    tv_nsec: 0,
};

/// When requests are sent.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Pace {
    /// As many as each lane may have in flight.
    Closed,
    /// So many each second, over all lanes.
    Open(f64),
}

/// How long a load lasts: until either is reached.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// Time of sending.
    pub duration: Duration,
    /// Bytes of record batches.
    pub bytes_max: u64,
}

/// What came of a load.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// Requests answered.
    pub requests: u64,
    /// Bytes of record batches in them or in their answers.
    pub bytes: u64,
    /// From the first request to the last answer.
    pub elapsed: Duration,
    /// Of each request.
    pub latencies: Histogram,
}

/// Runs a load over connections, which are idle before and after.
///
/// # Errors
/// If a connection ends, an answer is no success, or none comes.
pub fn drive(lanes: &mut [Lane], pace: Pace, extent: Extent) -> Result<Measured, String> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(|e| e.to_string())?;
    for (at, lane) in (0..).zip(lanes.iter()) {
        epoll::add(&epoll, lane, token(at), epoll::EventFlags::IN).map_err(|e| e.to_string())?;
    }
    let mut events = Vec::with_capacity(lanes.len().max(1));
    let mut scratch = vec![0; SCRATCH_BYTES];
    let mut measured = Measured::default();
    let begin = Instant::now();
    let count = lanes.len() as u64;
    let mut sending = true;
    if let Pace::Open(per_second) = pace {
        let every = Duration::from_secs_f64(count as f64 / per_second);
        for (lane, at) in lanes.iter_mut().zip(0_u32..) {
            lane.keep_time(begin + every * at / count as u32, every);
        }
    }
    for lane in lanes.iter_mut() {
        lane.send(pace, begin)?;
    }
    loop {
        for (at, lane) in (0..).zip(lanes.iter_mut()) {
            follow_interest(&epoll, lane, at)?;
        }
        if !sending && lanes.iter().all(Lane::is_idle) {
            measured.elapsed = begin.elapsed();
            return Ok(measured);
        }
        // Between due moments an open loop looks again and again: a sleep would come late.
        let timeout = match pace {
            Pace::Open(_) if sending => Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            },
            _ => SILENCE_MAX,
        };
        events.clear();
        match epoll::wait(&epoll, spare_capacity(&mut events), Some(&timeout)) {
            Ok(0) if timeout == SILENCE_MAX => return Err("no answer within a minute".to_owned()),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(format!("epoll: {error}")),
        }
        for event in &events {
            let lane = &mut lanes[event.data.u64() as usize];
            lane.receive(&mut scratch, &mut measured)?;
            if sending {
                lane.send(pace, Instant::now())?;
            } else {
                lane.finish_burst()?;
            }
        }
        if sending && let Pace::Open(_) = pace {
            let now = Instant::now();
            for lane in lanes.iter_mut() {
                lane.send(pace, now)?;
            }
        }
        sending &= measured.bytes < extent.bytes_max && begin.elapsed() < extent.duration;
    }
}

/// A lane that could not send everything wants to hear when it can; one that could, does not.
fn follow_interest(epoll: &OwnedFd, lane: &mut Lane, at: u64) -> Result<(), String> {
    let Some(blocked) = lane.changed_interest() else {
        return Ok(());
    };
    let flags = if blocked {
        epoll::EventFlags::IN | epoll::EventFlags::OUT
    } else {
        epoll::EventFlags::IN
    };
    epoll::modify(epoll, lane, token(at), flags).map_err(|e| e.to_string())
}

fn token(at: u64) -> epoll::EventData {
    epoll::EventData::new_u64(at)
}
