//! Connections that are few and do not stay for nothing.
//!
//! Each is either between requests, where it may be silent for the idle time, or owes the end of an
//! exchange: a request's head that it has begun (or, when it is new, has yet to send), or the reading of
//! its answer. However the bytes trickle, an exchange ends in time or the connection does.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};

/// How long a connection may take.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// From the first byte of a request, or the connection's begin, until its answer has left.
    exchange: Duration,
    /// Between an answer and the next request. Longer than the usual scrape intervals.
    idle: Duration,
}

impl Limits {
    pub(crate) const DEFAULT: Limits = Limits {
        exchange: Duration::from_secs(10),
        idle: Duration::from_secs(90),
    };
}

/// Connections at a time; who comes later waits in the listener's queue.
const CONNECTIONS_MAX: usize = 64;

/// A listener with a limit on its connections.
pub(crate) struct Bounded {
    listener: TcpListener,
    slots: Arc<Semaphore>,
    limits: Limits,
}

/// One of its connections; ends, as if the other side had closed it, when its time is over.
pub(crate) struct Connection<S> {
    stream: S,
    limits: Limits,
    deadline: Pin<Box<Sleep>>,
    owes: Owes,
    _slot: Option<OwnedSemaphorePermit>,
}

/// What the deadline of a connection is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owes {
    /// Between requests.
    Nothing,
    /// The rest of a request.
    Request,
    /// Taking the answer, some of which was written.
    Reading,
}

impl Bounded {
    pub(crate) fn new(listener: TcpListener, limits: Limits) -> Bounded {
        Bounded {
            listener,
            slots: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            limits,
        }
    }
}

impl Listener for Bounded {
    type Io = Connection<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection<TcpStream>, SocketAddr) {
        // Nobody closes the semaphore.
        let slot = Arc::clone(&self.slots).acquire_owned().await.ok();
        // Axum's own way to go on after errors such as "too many open files".
        let (stream, peer) = Listener::accept(&mut self.listener).await;
        (Connection::new(stream, self.limits, slot), peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl<S> Connection<S> {
    fn new(stream: S, limits: Limits, slot: Option<OwnedSemaphorePermit>) -> Connection<S> {
        Connection {
            stream,
            limits,
            deadline: Box::pin(tokio::time::sleep(limits.exchange)),
            owes: Owes::Request,
            _slot: slot,
        }
    }

    fn owe(&mut self, what: Owes) {
        let within = match what {
            Owes::Nothing => self.limits.idle,
            Owes::Request | Owes::Reading => self.limits.exchange,
        };
        // One deadline per exchange: its parts do not renew it.
        if what == Owes::Nothing || self.owes == Owes::Nothing {
            self.deadline.as_mut().reset(Instant::now() + within);
        }
        self.owes = what;
    }

    /// Ready when the time is over; nothing else wakes a connection whose peer does nothing.
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.deadline.as_mut().poll(cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Nothing read and no error means: the end. Asked first, so that a peer who always has a byte
        // ready does not push the end away.
        if self.poll_over(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buffer));
        if self.owes == Owes::Nothing {
            self.owe(Owes::Request);
        }
        Poll::Ready(read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.poll_over(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes));
        self.owe(Owes::Reading);
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(Pin::new(&mut self.stream).poll_flush(cx));
        // A flush without a write before it ends nothing: a request may be half there.
        if self.owes == Owes::Reading {
            self.owe(Owes::Nothing);
        }
        Poll::Ready(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
