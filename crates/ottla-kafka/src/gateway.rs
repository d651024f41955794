//! The gateway: what all its connections share, and the loop that accepts them.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ottla_broker::Broker;
use ottla_broker::api::Interest;
use ottla_model::configs::BrokerSettings;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};

use crate::api;
use crate::close::{CloseReason, Line, LineLimit};
use crate::conn;
use crate::fetch_sessions::FetchSessions;
use crate::metrics::Metrics;
use crate::stop::Stop;

/// Connections that may wait to be accepted: a storm of clients connects at 7,000 a second and more,
/// where the usual 128 loses SYNs and costs each loser a second.
const BACKLOG: i32 = 4096;

/// Pause after the system refused to hand out a connection (out of descriptors, mostly).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a gateway is told. Bytes and counts bound what clients can make it hold.
#[derive(Clone, Debug)]
pub struct GatewayOptions {
    /// Where clients are told to connect (`advertised.listeners`); `None`: where each one did.
    pub advertised: Option<(String, u16)>,
    /// Largest request (`socket.request.max.bytes`).
    pub frame_bytes_max: usize,
    /// Largest request that carries no records: what handlers make of a request is many times its size.
    pub frame_bytes_max_without_records: usize,
    /// Largest first request of a connection, unless its head names an API and version that is served:
    /// what other protocols say on this port is not worth more.
    pub frame_bytes_max_unnegotiated: usize,
    /// Most connections at a time (`max.connections`); above it new ones are closed.
    pub connections_max: usize,
    /// Silence after which a connection is closed, ms (`connections.max.idle.ms`); `None`: never.
    pub idle_ms_max: Option<u64>,
    /// Largest answer to a fetch, but for a single larger batch (`fetch.max.bytes`).
    pub fetch_bytes_max: usize,
    /// Fetch sessions that are remembered (`max.incremental.fetch.session.cache.slots`).
    pub fetch_sessions_max: usize,
    /// Partitions that all fetch sessions may have together: some 300 bytes of memory each. Who finds
    /// no room fetches without a session.
    pub fetch_session_partitions_max: usize,
    /// Unanswered Produce requests of one connection, above which nothing more is read from it.
    pub in_flight_requests_max: usize,
    /// Bytes of these requests, above which nothing more is read.
    pub in_flight_bytes_max: usize,
    /// Least time that `acks=-1` gets, whatever the client says, ms: some ask for next to nothing,
    /// because a Kafka of one broker never times out.
    pub produce_timeout_ms_min: u64,
    /// What the records of one batch may decompress to.
    pub decompressed_bytes_max: usize,
    /// What the batches of one read may decompress to on the network's own threads. Those beyond it
    /// are checked elsewhere, so that one client's bombs do not hold up the others.
    pub decompressed_inline_bytes_max: usize,
    /// How many batches are checked elsewhere at a time: each may take
    /// [`decompressed_bytes_max`](Self::decompressed_bytes_max) of memory.
    pub heavy_batches_max: usize,
    /// How many batches are compressed anew at a time (`compression.type`): as above.
    pub conversions_max: usize,
    /// How long connections may take to finish what they have in hand when the server stops, ms.
    pub stop_ms_max: u64,
}

impl Default for GatewayOptions {
    fn default() -> GatewayOptions {
        GatewayOptions {
            advertised: None,
            frame_bytes_max: 100 << 20,
            frame_bytes_max_without_records: 4 << 20,
            frame_bytes_max_unnegotiated: 64 << 10,
            connections_max: usize::MAX,
            idle_ms_max: Some(600_000),
            fetch_bytes_max: 55 << 20,
            fetch_sessions_max: 1_000,
            fetch_session_partitions_max: 250_000,
            in_flight_requests_max: 1_000,
            in_flight_bytes_max: 32 << 20,
            produce_timeout_ms_min: 1_000,
            decompressed_bytes_max: 128 << 20,
            decompressed_inline_bytes_max: 8 << 20,
            heavy_batches_max: 1,
            conversions_max: std::thread::available_parallelism().map_or(1, usize::from),
            stop_ms_max: 80,
        }
    }
}

impl GatewayOptions {
    /// What the broker's settings say; all else as by default. Listener addresses are for the caller:
    /// `advertised.listeners` names several.
    #[must_use]
    pub fn from_settings(settings: &BrokerSettings) -> GatewayOptions {
        let number = |name| settings.number(name);
        let size = |name| number(name).and_then(|n| usize::try_from(n).ok());
        let default = GatewayOptions::default();
        GatewayOptions {
            frame_bytes_max: size("socket.request.max.bytes").unwrap_or(default.frame_bytes_max),
            connections_max: size("max.connections").unwrap_or(default.connections_max),
            // Kafka closes nothing for a value below 0.
            idle_ms_max: number("connections.max.idle.ms").and_then(|ms| u64::try_from(ms).ok()),
            fetch_bytes_max: size("fetch.max.bytes").unwrap_or(default.fetch_bytes_max),
            fetch_sessions_max: size("max.incremental.fetch.session.cache.slots")
                .unwrap_or(default.fetch_sessions_max),
            ..default
        }
    }
}

/// The gateway of a broker. Clones are handles to the same one.
#[derive(Clone)]
pub struct Gateway(Arc<Inner>);

struct Inner {
    broker: Broker,
    options: GatewayOptions,
    metrics: Metrics,
    open: AtomicUsize,
    heavy: Semaphore,
    conversions: Semaphore,
    fetch_sessions: FetchSessions<Interest>,
    lines: LineLimit,
}

impl Gateway {
    /// A gateway to `broker`, with its figures in the broker's registry.
    ///
    /// # Errors
    /// The broker has a gateway already: their figures have the same names.
    pub fn new(broker: Broker, options: GatewayOptions) -> Result<Gateway, prometheus::Error> {
        let metrics = Metrics::new(broker.metrics().registry(), api::TABLE)?;
        Ok(Gateway(Arc::new(Inner {
            heavy: permits(options.heavy_batches_max),
            conversions: permits(options.conversions_max),
            fetch_sessions: FetchSessions::new(
                options.fetch_sessions_max,
                options.fetch_session_partitions_max,
            ),
            broker,
            options,
            metrics,
            open: AtomicUsize::new(0),
            lines: LineLimit::new(),
        })))
    }

    /// Serves the connections of a listener until `stop` ends. Then nothing more is accepted or read,
    /// waiting fetches answer at once, and who is not done within
    /// [`stop_ms_max`](GatewayOptions::stop_ms_max) is cut off.
    pub async fn serve(&self, listener: TcpListener, stop: impl Future<Output = ()> + Send) {
        let stopping = Arc::new(Stop::default());
        let mut connections = JoinSet::new();
        tokio::pin!(stop);
        loop {
            tokio::select! {
                biased;
                () = &mut stop => break,
                Some(ended) = connections.join_next() => self.report(ended),
                accepted = listener.accept() => match accepted {
                    Ok((stream, remote)) => self.admit(stream, remote, &stopping, &mut connections),
                    Err(error) => {
                        if self.0.lines.ask() != Line::Drop {
                            tracing::warn!(%error, "a connection cannot be accepted");
                        }
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        drop(listener);
        stopping.set();
        let grace = Duration::from_millis(self.options().stop_ms_max);
        let finish = async {
            while let Some(ended) = connections.join_next().await {
                self.report(ended);
            }
        };
        if tokio::time::timeout(grace, finish).await.is_err() {
            tracing::info!(
                connections = connections.len(),
                "cut off: they did not finish in time"
            );
        }
    }

    /// The broker behind it.
    #[must_use]
    pub fn broker(&self) -> &Broker {
        &self.0.broker
    }

    /// What it was told.
    #[must_use]
    pub fn options(&self) -> &GatewayOptions {
        &self.0.options
    }

    /// Who may check a batch that takes long and much memory.
    pub(crate) fn heavy(&self) -> &Semaphore {
        &self.0.heavy
    }

    /// Who may compress a batch anew.
    pub(crate) fn conversions(&self) -> &Semaphore {
        &self.0.conversions
    }

    pub(crate) fn fetch_sessions(&self) -> &FetchSessions<Interest> {
        &self.0.fetch_sessions
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    fn admit(
        &self,
        stream: TcpStream,
        remote: SocketAddr,
        stopping: &Arc<Stop>,
        connections: &mut JoinSet<()>,
    ) {
        self.metrics().connections.inc();
        let Some(seat) = Seat::take(self) else {
            let reason = CloseReason::TooManyConnections(self.options().connections_max);
            self.closed(remote, &reason);
            return;
        };
        let (gateway, stopping) = (self.clone(), Arc::clone(stopping));
        connections.spawn(async move {
            let _seat = seat;
            let reason = conn::run(&gateway, stream, remote, &stopping).await;
            if let Some(reason) = reason {
                gateway.closed(remote, &reason);
            }
        });
    }

    /// Counts a connection that ended, and tells a person who may want to know.
    fn closed(&self, remote: SocketAddr, reason: &CloseReason) {
        self.metrics().closed(reason);
        if !reason.is_worth_a_line() {
            return;
        }
        match self.0.lines.ask() {
            Line::Write => tracing::warn!(client = %remote, "connection closed: {reason}"),
            Line::WriteLast => {
                tracing::warn!(client = %remote, "connection closed: {reason} (more of this second are only counted)");
            }
            Line::Drop => {}
        }
    }

    fn report(&self, ended: Result<(), JoinError>) {
        if let Err(error) = ended
            && error.is_panic()
        {
            tracing::error!(%error, "a connection's task panicked; the others go on");
        }
    }
}

fn permits(count: usize) -> Semaphore {
    Semaphore::new(count.clamp(1, Semaphore::MAX_PERMITS))
}

/// A place among [`GatewayOptions::connections_max`].
struct Seat(Gateway);

impl Seat {
    fn take(gateway: &Gateway) -> Option<Seat> {
        if gateway.0.open.fetch_add(1, Ordering::Relaxed) >= gateway.options().connections_max {
            gateway.0.open.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        gateway.metrics().connections_open.inc();
        Some(Seat(gateway.clone()))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.0.open.fetch_sub(1, Ordering::Relaxed);
        self.0.metrics().connections_open.dec();
    }
}

/// Opens a listener that many clients at once can connect to. Port 0 picks a free one.
///
/// # Errors
/// The system's.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}
