//! Between one client at a time and a broker: hands every frame on as it is, and keeps a copy.
//!
//! The broker must advertise the proxy's address: nothing is rewritten.

use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::mem;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Larger frames pass, and are not kept.
const KEPT_BYTES_MAX: usize = 64 * 1024;
/// What no broker accepts, nor any client: the other end is no Kafka.
const FRAME_BYTES_MAX: usize = 256 << 20;
/// After so long without a frame nothing will come. The broker's own connections stay open: it speaks with itself
/// through its advertised address, too.
const QUIET: Duration = Duration::from_millis(500);

/// A request, and its answer if there is one.
pub(super) struct Exchange {
    /// The connection: the proxy's port on the way to the broker.
    pub(super) port: u16,
    pub(super) correlation_id: i32,
    pub(super) key: i16,
    pub(super) version: i16,
    /// Frames without their length.
    pub(super) request: Vec<u8>,
    pub(super) response: Option<Vec<u8>>,
}

/// Runs until the process ends.
pub(super) struct Proxy {
    /// `HOST:PORT` for clients.
    pub(super) address: String,
    listener: TcpListener,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    kept: Mutex<Vec<Exchange>>,
    /// Connections.
    open: AtomicUsize,
}

impl Proxy {
    /// Takes a port, which the broker can be told before it starts.
    pub(super) fn bind() -> Result<Self, String> {
        let bound = TcpListener::bind("127.0.0.1:0").and_then(|listener| {
            let address = listener.local_addr()?.to_string();
            Ok((listener, address))
        });
        let (listener, address) = bound.map_err(|e| format!("the proxy: {e}"))?;
        Ok(Self {
            address,
            listener,
            seen: Arc::default(),
        })
    }

    /// Begins to hand connections on.
    pub(super) fn serve(&self, broker: &str) -> Result<(), String> {
        let listener = self
            .listener
            .try_clone()
            .map_err(|e| format!("the proxy: {e}"))?;
        let (seen, broker) = (Arc::clone(&self.seen), broker.to_owned());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (seen, broker) = (Arc::clone(&seen), broker.clone());
                seen.open.fetch_add(1, Ordering::SeqCst);
                thread::spawn(move || {
                    // However it ends: the client sees it, too.
                    let _ = connection(&client, &broker, &seen);
                    seen.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Ok(())
    }

    /// What passed since the last time, in the order of the answers; waits until nothing passes any more.
    pub(super) fn take(&self) -> Vec<Exchange> {
        let passed = || {
            (
                self.seen.open.load(Ordering::SeqCst),
                locked(&self.seen.kept).len(),
            )
        };
        let mut before = passed();
        loop {
            thread::sleep(QUIET);
            let now = passed();
            if now == before {
                return mem::take(&mut *locked(&self.seen.kept));
            }
            before = now;
        }
    }
}

fn connection(client: &TcpStream, broker: &str, seen: &Seen) -> io::Result<()> {
    let broker = TcpStream::connect(broker)?;
    client.set_nodelay(true)?;
    broker.set_nodelay(true)?;
    let port = broker.local_addr()?.port();
    let waiting: Mutex<HashMap<i32, Exchange>> = Mutex::default();
    thread::scope(|scope| {
        scope.spawn(|| {
            let _ = hand_on(client, &broker, |frame| {
                if let Some(exchange) = asked(port, frame) {
                    locked(&waiting).insert(exchange.correlation_id, exchange);
                }
            });
            // Nobody waits for the answers that are left.
            let _ = broker.shutdown(Shutdown::Both);
        });
        let _ = hand_on(&broker, client, |frame| {
            let asked = correlation_id(frame).and_then(|id| locked(&waiting).remove(&id));
            if let Some(mut exchange) = asked
                && frame.len() <= KEPT_BYTES_MAX
            {
                exchange.response = Some(frame.to_vec());
                locked(&seen.kept).push(exchange);
            }
        });
        // The client sends nothing that anybody reads.
        let _ = client.shutdown(Shutdown::Both);
    });
    let waiting = waiting.into_inner().unwrap_or_else(PoisonError::into_inner);
    locked(&seen.kept).extend(waiting.into_values());
    Ok(())
}

fn asked(port: u16, frame: &[u8]) -> Option<Exchange> {
    if frame.len() > KEPT_BYTES_MAX {
        return None;
    }
    let (head, rest) = frame.split_first_chunk::<4>()?;
    Some(Exchange {
        port,
        correlation_id: correlation_id(rest)?,
        key: i16::from_be_bytes([head[0], head[1]]),
        version: i16::from_be_bytes([head[2], head[3]]),
        request: frame.to_vec(),
        response: None,
    })
}

fn correlation_id(frame: &[u8]) -> Option<i32> {
    frame
        .first_chunk()
        .map(|bytes: &[u8; 4]| i32::from_be_bytes(*bytes))
}

/// Frame by frame, until one side ends; shows each before it leaves.
fn hand_on(from: &TcpStream, to: &TcpStream, mut show: impl FnMut(&[u8])) -> io::Result<()> {
    let (mut from, mut to) = (from, to);
    loop {
        let mut length = [0; 4];
        from.read_exact(&mut length)?;
        let bytes = u32::from_be_bytes(length) as usize;
        if bytes > FRAME_BYTES_MAX {
            return Err(io::Error::other("this is no frame"));
        }
        let mut frame = length.to_vec();
        frame.resize(4 + bytes, 0);
        from.read_exact(&mut frame[4..])?;
        show(&frame[4..]);
        to.write_all(&frame)?;
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
