//! The limit program: what the hardware needs for the work that the broker does.
//!
//! Owns one thread, one epoll set and one file. It answers the same frames to the same generator as the
//! brokers, so that only the server differs. It is no broker: it knows one topic that holds one batch
//! over and over, in one file whatever partition a request names, and trusts its client.

mod connection;
mod store;

use std::net::TcpListener;
use std::path::Path;

use ottla_wire::api_versions::{ApiVersion, ApiVersionsResponse};
use ottla_wire::frame::{decode_request_header, encode_response};
use ottla_wire::metadata::MetadataResponse;
use ottla_wire::produce::{PartitionProduceResponse, ProduceResponse, TopicProduceResponse};
use ottla_wire::{ApiKey, EncodeError};
use rustix::buffer::spare_capacity;
use rustix::event::epoll;

use crate::rows::Limit;
use crate::wire::TOPIC;

use connection::Connection;
use store::Store;

/// As many connections may wait to be accepted: a full backlog costs a client a second.
const BACKLOG: i32 = 4_096;
const LISTENER: u64 = u64::MAX;

/// Serves until it is killed.
///
/// # Errors
/// If the address or the file cannot be had.
pub fn serve(limit: Limit, address: &str, data: &Path) -> Result<(), String> {
    let listener = TcpListener::bind(address).map_err(|e| format!("{address}: {e}"))?;
    rustix::net::listen(&listener, BACKLOG).map_err(|e| e.to_string())?;
    listener.set_nonblocking(true).map_err(|e| e.to_string())?;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(|e| e.to_string())?;
    let mut server = Limited {
        limit,
        store: Store::open(limit, data)?,
        produced: produced_template().map_err(|e| e.to_string())?,
        pool: Vec::new(),
    };
    let (key, interest) = (epoll::EventData::new_u64(LISTENER), epoll::EventFlags::IN);
    epoll::add(&epoll, &listener, key, interest).map_err(|e| e.to_string())?;
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut events = Vec::with_capacity(256);
    let mut ready = Vec::new();
    loop {
        events.clear();
        match epoll::wait(&epoll, spare_capacity(&mut events), None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(format!("epoll: {error}")),
        }
        ready.clear();
        for event in &events {
            match event.data.u64() {
                LISTENER => accept(&listener, &epoll, &mut connections)?,
                at => ready.push(at as usize),
            }
        }
        server.turn(&mut connections, &ready)?;
        for at in &ready {
            let Some(connection) = &mut connections[*at] else {
                continue;
            };
            if connection.flush(&server.store).is_err() {
                // Dropping it closes the socket, which takes it out of the set.
                connections[*at] = None;
                continue;
            }
            if let Some(flags) = connection.changed_interest() {
                let key = epoll::EventData::new_u64(*at as u64);
                epoll::modify(&epoll, &*connection, key, flags).map_err(|e| e.to_string())?;
            }
        }
    }
}

struct Limited {
    limit: Limit,
    store: Store,
    /// An answer to a Produce, in which three numbers change.
    produced: Vec<u8>,
    /// Buffers that no connection needs now.
    pool: Vec<Vec<u8>>,
}

/// A request that was read and waits for the turn's write.
enum Asked {
    Produce {
        correlation_id: [u8; 4],
        partition: [u8; 4],
        base_offset: u64,
    },
    Fetch {
        correlation_id: [u8; 4],
        partition: [u8; 4],
        offset: u64,
        bytes_max: u64,
    },
    Other(Vec<u8>),
}

impl Limited {
    /// Reads what came, writes all batches of all connections at once, and queues the answers.
    fn turn(
        &mut self,
        connections: &mut [Option<Connection>],
        ready: &[usize],
    ) -> Result<(), String> {
        for at in ready {
            let Some(connection) = &mut connections[*at] else {
                continue;
            };
            let store = &mut self.store;
            let limit = self.limit;
            if connection
                .read(&mut self.pool, |frame| take(limit, store, frame))
                .is_err()
            {
                connections[*at] = None;
            }
        }
        let batches = ready
            .iter()
            .filter_map(|at| connections[*at].as_ref())
            .flat_map(Connection::batches);
        self.store.append(batches)?;
        for at in ready {
            let Some(connection) = &mut connections[*at] else {
                continue;
            };
            for asked in connection.taken(&mut self.pool) {
                self.answer(connection, asked);
            }
        }
        Ok(())
    }

    fn answer(&mut self, connection: &mut Connection, asked: Asked) {
        match asked {
            Asked::Produce {
                correlation_id,
                partition,
                base_offset,
            } => {
                let index = 4 + 8 + TOPIC.len();
                self.produced[4..8].copy_from_slice(&correlation_id);
                self.produced[index..index + 4].copy_from_slice(&partition);
                self.produced[index + 6..index + 14].copy_from_slice(&base_offset.to_be_bytes());
                connection.push_bytes(&self.produced);
            }
            Asked::Fetch {
                correlation_id,
                partition,
                offset,
                bytes_max,
            } => {
                let (position, length) = self.store.find(offset, bytes_max);
                let (head, tail) = self.store.fetch_answer(length, correlation_id, partition);
                connection.push_bytes(head);
                connection.push_stored(position, length);
                connection.push_bytes(tail);
            }
            Asked::Other(answer) => connection.push_bytes(&answer),
        }
    }
}

/// Reads a request, and stamps its batch; answers also where the batch lies in the frame.
fn take(
    limit: Limit,
    store: &mut Store,
    frame: &mut [u8],
) -> Result<(Asked, Option<std::ops::Range<usize>>), String> {
    let short = || "a frame is too short".to_owned();
    let four = |at: usize| -> Result<[u8; 4], String> {
        frame
            .get(at..)
            .and_then(|rest| rest.first_chunk())
            .copied()
            .ok_or_else(short)
    };
    let correlation_id = four(4)?;
    let key = i16::from_be_bytes(*frame.first_chunk().ok_or_else(short)?);
    // Behind the client's name and a tag buffer the body begins.
    let name = four(8)?;
    let body = 8 + 2 + usize::from(u16::from_be_bytes([name[0], name[1]])) + 1;
    match ApiKey::try_from(key) {
        Ok(ApiKey::Produce) => {
            // No transaction, acks, timeout, one topic with its name, one partition.
            let index = body + 1 + 2 + 4 + 1 + 1 + TOPIC.len() + 1;
            let partition = four(index)?;
            let mut at = index + 4;
            while frame.get(at).ok_or_else(short)? >= &0x80 {
                at += 1;
            }
            at += 1;
            let batch = frame.get_mut(at..).ok_or_else(short)?;
            let (base_offset, length) = if limit == Limit::Echo {
                (0, None)
            } else {
                let (base_offset, length) = store.stamp(batch)?;
                (base_offset, Some(at..at + length))
            };
            let asked = Asked::Produce {
                correlation_id,
                partition,
                base_offset,
            };
            Ok((asked, length))
        }
        Ok(ApiKey::Fetch) => {
            // From the end: three tag buffers, no rack, nothing forgotten, and what is asked for.
            let end = frame.len();
            let bytes_max = u32::from_be_bytes(four(end.checked_sub(9).ok_or_else(short)?)?);
            let at = end.checked_sub(29).ok_or_else(short)?;
            let offset = frame.get(at..).and_then(|rest| rest.first_chunk());
            let asked = Asked::Fetch {
                correlation_id,
                partition: four(at - 8)?,
                offset: u64::from_be_bytes(*offset.ok_or_else(short)?),
                bytes_max: u64::from(bytes_max),
            };
            Ok((asked, None))
        }
        _ => Ok((Asked::Other(other(frame)?), None)),
    }
}

/// What every client asks first.
fn other(frame: &[u8]) -> Result<Vec<u8>, String> {
    let (key, header, _) = decode_request_header(frame).map_err(|e| e.to_string())?;
    let version = header.request_api_version;
    let answer = encode_response(key, version, header.correlation_id, |w| match key {
        ApiKey::ApiVersions => ApiVersionsResponse {
            api_keys: vec![ApiVersion {
                api_key: ApiKey::Produce.into(),
                min_version: 12,
                max_version: 12,
            }],
            ..ApiVersionsResponse::default()
        }
        .encode(w, version),
        ApiKey::Metadata => MetadataResponse::default().encode(w, version),
        _ => Err(EncodeError::ExternalRecords),
    });
    let answer = answer.map_err(|_| format!("{key:?} has no answer here"))?;
    Ok(answer.to_bytes().unwrap_or_default().into())
}

fn produced_template() -> Result<Vec<u8>, EncodeError> {
    let response = ProduceResponse {
        responses: vec![TopicProduceResponse {
            name: TOPIC,
            partition_responses: vec![PartitionProduceResponse::default()],
            ..TopicProduceResponse::default()
        }],
        ..ProduceResponse::default()
    };
    let frame = encode_response(ApiKey::Produce, 12, 0, |w| response.encode(w, 12))?;
    Ok(frame.to_bytes().unwrap_or_default().into())
}

fn accept(
    listener: &TcpListener,
    epoll: &std::os::fd::OwnedFd,
    connections: &mut Vec<Option<Connection>>,
) -> Result<(), String> {
    while let Ok((stream, _)) = listener.accept() {
        let connection = Connection::new(stream).map_err(|e| e.to_string())?;
        let at = match connections.iter().position(Option::is_none) {
            Some(free) => free,
            None => {
                connections.push(None);
                connections.len() - 1
            }
        };
        let key = epoll::EventData::new_u64(at as u64);
        epoll::add(epoll, &connection, key, epoll::EventFlags::IN).map_err(|e| e.to_string())?;
        connections[at] = Some(connection);
    }
    Ok(())
}
