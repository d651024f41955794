//! Members of groups as the broker sees them: a connection each, one request at a time, and what comes after
//! which answer.
//!
//! Guarantees: any number of members on one thread; whatever is no success and no word of the protocol ends the run.
//! Never assigns as a client would: shares are as large, but nobody reads.

mod classic;
mod consumer;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::thread;

use ottla_wire::Request;
use ottla_wire::frame::encode_request;
use ottla_wire::metadata::MetadataRequest;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use serde::{Deserialize, Serialize};

use crate::load::Lane;
use crate::wire::{LENGTH_BYTES, Ring};
use classic::Classic;
use consumer::Consumer;

const CLIENT_ID: &str = "ottla-test";
/// Long enough for whoever measures nothing but idleness.
const SESSION_TIMEOUT_MS: i32 = 1_800_000;
const REBALANCE_TIMEOUT_MS: i32 = 300_000;
const METADATA_VERSION: i16 = 12;
/// Apache Kafka answers before its coordinators have read their logs: COORDINATOR_LOAD_IN_PROGRESS,
/// COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR.
const IS_LOADING: [i16; 3] = [14, 15, 16];
const SCRATCH_BYTES: usize = 256 << 10;
/// A server that says nothing for so long has failed.
const SILENCE_MAX: Timespec = Timespec {
    tv_sec: 60,
    tv_nsec: 0,
};

/// How the members of a group agree on who reads what.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// They assign themselves: JoinGroup, SyncGroup, Heartbeat.
    Classic,
    /// The broker assigns: ConsumerGroupHeartbeat (KIP-848).
    Consumer,
}

/// Members on their connections.
pub struct Crowd {
    protocol: Protocol,
    groups: Vec<Group>,
    members: Vec<Member>,
}

/// What all members of a group know, because one thread plays them all.
struct Group {
    name: String,
    /// Partitions of the topic that it reads.
    partitions: i32,
    /// Members that it is to have.
    size: usize,
    /// The newest generation, and how many members it has. Classic alone.
    generation: (i32, usize),
}

struct Member {
    stream: TcpStream,
    /// Place of its group.
    group: usize,
    part: Part,
    /// What of an answer has come.
    input: Vec<u8>,
}

enum Part {
    Classic(Classic),
    Consumer(Consumer),
}

/// What a member does after an answer.
enum Next {
    /// Sends this.
    Say(Vec<u8>),
    /// Nothing.
    Rest,
}

impl Crowd {
    /// So many groups without members.
    #[must_use]
    pub fn new(protocol: Protocol, groups: usize, partitions: usize) -> Crowd {
        let group = |at| Group {
            name: format!("bench-{at:04}"),
            partitions: i32::try_from(partitions).unwrap_or(i32::MAX),
            size: 0,
            generation: (-1, 0),
        };
        Crowd {
            protocol,
            groups: (0..groups).map(group).collect(),
            members: Vec::new(),
        }
    }

    /// Connects one member more for each group, which says hello and nothing else.
    ///
    /// # Errors
    /// If one cannot connect, or is not answered.
    pub fn connect(&mut self, address: &str) -> Result<(), String> {
        let first = self.members.len();
        for (at, group) in self.groups.iter_mut().enumerate() {
            group.size += 1;
            let stream = TcpStream::connect(address).map_err(|e| format!("{address}: {e}"))?;
            stream.set_nodelay(true).map_err(|e| e.to_string())?;
            stream.set_nonblocking(true).map_err(|e| e.to_string())?;
            self.members.push(Member {
                stream,
                group: at,
                part: match self.protocol {
                    Protocol::Classic => Part::Classic(Classic::default()),
                    Protocol::Consumer => Part::Consumer(Consumer::new(self.members.len())),
                },
                input: Vec::new(),
            });
        }
        let hello = MetadataRequest {
            topics: Some(Vec::new()),
            ..MetadataRequest::default()
        };
        let hello = frame(&hello, METADATA_VERSION)?;
        let all = first..self.members.len();
        self.converse(
            all.map(|member| (member, hello.clone())).collect(),
            |_, _, _| Ok(Next::Rest),
        )
        .map(drop)
    }

    /// Those that joined no group yet become members: until every group has settled, with all its members. Answers
    /// how many requests that took.
    ///
    /// # Errors
    /// If an answer is no word of the protocol.
    pub fn join(&mut self) -> Result<u64, String> {
        match self.protocol {
            Protocol::Classic => {
                let named = self.say(|part, group| part.classic()?.ask_name(group))?;
                let joined = self.say(|part, group| part.classic()?.join_or_look(group))?;
                Ok(named + joined)
            }
            Protocol::Consumer => {
                let mut requests = self.say(|part, group| part.consumer()?.join(group))?;
                for _ in 0..consumer::ROUNDS_MAX {
                    let settled = self.settled_consumers()?;
                    let said = self.say_in(
                        |group| !settled[group],
                        |part, group| part.consumer()?.beat(group),
                    )?;
                    if said == 0 {
                        return Ok(requests);
                    }
                    requests += said;
                }
                Err(format!("not settled after {} rounds", consumer::ROUNDS_MAX))
            }
        }
    }

    /// How many members there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.members.len()
    }

    /// The members' connections, to send heartbeats over and over.
    ///
    /// # Errors
    /// If a heartbeat cannot be expressed.
    pub fn into_lanes(self) -> Result<Vec<Lane>, String> {
        let mut lanes = Vec::with_capacity(self.members.len());
        for member in self.members {
            let group = &self.groups[member.group];
            let beat = match &member.part {
                Part::Classic(classic) => classic.beat(group)?,
                Part::Consumer(consumer) => consumer.quiet_beat(group)?,
            };
            lanes.push(Lane::member(member.stream, Ring::one(beat)));
        }
        Ok(lanes)
    }

    /// Which groups have settled.
    fn settled_consumers(&mut self) -> Result<Vec<bool>, String> {
        let mut parts: Vec<Vec<&Consumer>> = self.groups.iter().map(|_| Vec::new()).collect();
        for member in &mut self.members {
            parts[member.group].push(member.part.consumer()?);
        }
        let groups = self.groups.iter().zip(&parts);
        Ok(groups
            .map(|(group, parts)| consumer::are_settled(parts, group.partitions))
            .collect())
    }

    fn say(
        &mut self,
        what: impl Fn(&mut Part, &Group) -> Result<Option<Vec<u8>>, String>,
    ) -> Result<u64, String> {
        self.say_in(|_| true, what)
    }

    /// Every member of these groups that has something to say says it, and goes on until it rests.
    fn say_in(
        &mut self,
        which: impl Fn(usize) -> bool,
        what: impl Fn(&mut Part, &Group) -> Result<Option<Vec<u8>>, String>,
    ) -> Result<u64, String> {
        let mut said = Vec::new();
        for (at, member) in self.members.iter_mut().enumerate() {
            if which(member.group)
                && let Some(frame) = what(&mut member.part, &self.groups[member.group])?
            {
                said.push((at, frame));
            }
        }
        // Who comes new speaks first: the others hear of it when they look.
        said.reverse();
        self.converse(said, |part, group, answer| match part {
            Part::Classic(classic) => classic.hear(group, answer),
            Part::Consumer(consumer) => consumer.hear(group, answer),
        })
    }

    /// Sends, and goes on after each answer until nobody has anything to say.
    fn converse(
        &mut self,
        said: Vec<(usize, Vec<u8>)>,
        hear: impl Fn(&mut Part, &mut Group, &[u8]) -> Result<Next, String>,
    ) -> Result<u64, String> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(|e| e.to_string())?;
        let mut open = said.len();
        let mut requests = said.len() as u64;
        for (at, frame) in said {
            let member = &self.members[at];
            let token = epoll::EventData::new_u64(at as u64);
            epoll::add(&epoll, &member.stream, token, epoll::EventFlags::IN)
                .map_err(|e| e.to_string())?;
            member.send(&frame)?;
        }
        let mut events = Vec::with_capacity(open.max(1));
        let mut scratch = vec![0; SCRATCH_BYTES];
        while open > 0 {
            for at in ready(&epoll, &mut events)? {
                let member = &mut self.members[at];
                while let Some(answer) = member.receive(&mut scratch)? {
                    let group = &mut self.groups[member.group];
                    match hear(&mut member.part, group, &answer)? {
                        Next::Say(frame) => {
                            requests += 1;
                            member.send(&frame)?;
                        }
                        Next::Rest => open -= 1,
                    }
                }
            }
        }
        Ok(requests)
    }
}

impl Member {
    fn send(&self, frame: &[u8]) -> Result<(), String> {
        let mut left = frame;
        while !left.is_empty() {
            match (&self.stream).write(left) {
                Ok(written) => left = &left[written..],
                // A leader's assignment may be larger than the socket takes at once.
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                    thread::yield_now();
                }
                Err(error) => return Err(format!("sending: {error}")),
            }
        }
        Ok(())
    }

    /// The answer, without its length, if all of it has come.
    fn receive(&mut self, scratch: &mut [u8]) -> Result<Option<Vec<u8>>, String> {
        loop {
            if let Some((length, rest)) = self.input.split_first_chunk::<LENGTH_BYTES>() {
                let length =
                    usize::try_from(i32::from_be_bytes(*length)).map_err(|e| e.to_string())?;
                if rest.len() > length {
                    return Err("an answer that nobody asked for".to_owned());
                }
                if rest.len() == length {
                    let mut answer = std::mem::take(&mut self.input);
                    answer.drain(..LENGTH_BYTES);
                    return Ok(Some(answer));
                }
            }
            match self.stream.read(scratch) {
                Ok(0) => return Err("the server closed the connection".to_owned()),
                Ok(read) => self.input.extend_from_slice(&scratch[..read]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(format!("receiving: {error}")),
            }
        }
    }
}

impl Part {
    fn classic(&mut self) -> Result<&mut Classic, String> {
        match self {
            Part::Classic(classic) => Ok(classic),
            Part::Consumer(_) => Err("a member of the other protocol".to_owned()),
        }
    }

    fn consumer(&mut self) -> Result<&mut Consumer, String> {
        match self {
            Part::Consumer(consumer) => Ok(consumer),
            Part::Classic(_) => Err("a member of the other protocol".to_owned()),
        }
    }
}

/// Places of the members that something has come for.
fn ready(epoll: &OwnedFd, events: &mut Vec<epoll::Event>) -> Result<Vec<usize>, String> {
    events.clear();
    match epoll::wait(epoll, spare_capacity(events), Some(&SILENCE_MAX)) {
        Ok(0) => Err("no answer within a minute".to_owned()),
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(events
            .iter()
            .map(|event| event.data.u64() as usize)
            .collect()),
        Err(error) => Err(format!("epoll: {error}")),
    }
}

/// A request as bytes; its correlation id is 0, for there is one in flight at most.
fn frame<R: Request>(request: &R, version: i16) -> Result<Vec<u8>, String> {
    let frame = encode_request(request, version, 0, Some(CLIENT_ID)).map_err(|e| e.to_string())?;
    Ok(frame.to_bytes().unwrap_or_default().into())
}
