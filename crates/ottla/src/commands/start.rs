//! `ottla start`: from settings to a broker that serves, and back.
//!
//! Start: settings, log, ports, data directory, catalog and partitions, and only then the first
//! accepted connection, the address file and the line on stdout. So a port in use is found before the
//! directory is touched, and whoever reads the file or the line is served at once. Stop: not ready any
//! more, no new connections, a moment for those that there are, the last sync, the directory given
//! back, and only then the end of the admin side, which can say until then what goes on.

pub(crate) mod address_file;
mod data;
mod listen;
mod signals;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use ottla_admin::Admin;
use ottla_broker::{Broker, BrokerOptions};
use ottla_kafka::{Gateway, GatewayOptions};
use ottla_log::StartReport;
use ottla_model::uuid::Uuid;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::version::VERSION;
use crate::exit::Fatal;
use crate::settings::{LogLevel, Settings, StartArgs};
use crate::text;
use signals::Signals;

/// How long connections may take to finish what they have begun when the broker stops, ms.
const FINISH_MS_MAX: u64 = 50;
/// How long the admin side may take for the answers that it has begun when all else has ended.
const ADMIN_FINISH: Duration = Duration::from_millis(20);
/// Of the runtime's threads. Nothing here recurses on what came from outside.
const STACK_BYTES: usize = 1 << 20;
/// Threads for work that waits for the disk.
const BLOCKING_THREADS_MAX: usize = 64;

/// Runs a broker until it is told to stop.
pub(crate) fn run(args: StartArgs) -> Result<(), Fatal> {
    let variables = std::env::vars_os().filter_map(|(name, value)| {
        Some((
            name.into_string().ok()?,
            value.to_string_lossy().into_owned(),
        ))
    });
    let settings = Settings::gather(args, variables)?;
    log_to_stderr(&settings.log_level)?;
    for line in settings.warnings() {
        tracing::warn!("{line}");
    }
    raise_open_files();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("ottla-worker")
        // One more: it serves the network while the others wait for a disk that stalls, and sleeps else.
        .worker_threads(network_threads(&settings) + 1)
        .thread_stack_size(STACK_BYTES)
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .build()
        .map_err(|error| {
            Fatal::failed(format!(
                "cannot start threads: {error}; raise the limit on threads"
            ))
        })?;
    let result = runtime.block_on(serve(settings));
    // Whatever still runs holds nothing that matters: the store is closed.
    runtime.shutdown_background();
    result
}

/// One takes more than 1 GB of batches a second (docs/PERFORMANCE.md): so many fill any network card.
const NETWORK_THREADS_MAX: usize = 16;

/// Threads for connections: what was set, or the cores less one. Where clients share the machine, a
/// thread on every core takes turns with them, and each turn wakes a sleeping core.
fn network_threads(settings: &Settings) -> usize {
    let set = settings.broker.number("num.network.threads");
    set.and_then(|set| usize::try_from(set).ok())
        .unwrap_or_else(|| {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            (cores - 1).clamp(1, NETWORK_THREADS_MAX)
        })
}

async fn serve(settings: Settings) -> Result<(), Fatal> {
    let began = Instant::now();
    let mut signals = Signals::take()?;
    let kafka = listen::kafka(&settings.listen)?;
    let listener = listen::admin(&settings).await?;
    let address = local(&kafka)?;
    let admin_address = listener.as_ref().map(local).transpose()?;
    let admin = AdminSide::serve(listener);

    let (store, report) = data::open(&settings)?;
    let root = std::fs::canonicalize(&settings.data).unwrap_or_else(|_| settings.data.clone());
    data::tell(&root, &report);
    if let Err(error) = address_file::remove(&root) {
        tracing::warn!(%error, "the address file of an earlier broker stays");
    }
    let options = broker_options(&settings, &report, &root, address);
    let starting = tokio::spawn(Broker::start(store.clone(), options));
    let broker = tokio::select! {
        started = starting => match started {
            Ok(started) => started.map_err(|error| data::not_started(&root, &error))?,
            Err(panic) => return Err(Fatal::failed(format!("the start failed: {panic}"))),
        },
        name = signals.next() => {
            // As if killed: nothing was acknowledged yet, and the next start goes over the logs again.
            tracing::info!("{name} before the broker was ready: stopped");
            return Ok(());
        }
    };
    data::put_strays_aside(&store, &broker.image(), &report.directories);
    drop(store);

    let gateway =
        Gateway::new(broker.clone(), gateway_options(&settings, &broker)).map_err(|error| {
            Fatal::failed(format!("metrics: {error}; this is a fault of this build"))
        })?;
    let (stop, stopping) = watch::channel(false);
    let connections = tokio::spawn(async move { gateway.serve(kafka, stopped(stopping)).await });
    admin.admin.run(broker.clone());
    if let Err(error) = address_file::write(&root, address) {
        tracing::warn!(%error, "the address file cannot be written");
    }
    text::line(Ready {
        address,
        admin: admin_address,
        root: &root,
        dev: settings.dev,
    });
    tracing::info!(
        topics = broker.image().topic_count(),
        start_ms = began.elapsed().as_millis() as u64,
        "ready"
    );

    let name = signals.next().await;
    let began = Instant::now();
    tracing::info!("{name}: stopping");
    signals.end_at_the_next();
    let serving = Serving {
        admin,
        stop,
        connections,
    };
    serving.end(&root, &broker).await?;
    tracing::info!(stop_ms = began.elapsed().as_millis() as u64, "stopped");
    Ok(())
}

/// What serves clients and operators.
struct Serving {
    admin: AdminSide,
    /// Ends `connections`.
    stop: watch::Sender<bool>,
    connections: JoinHandle<()>,
}

impl Serving {
    /// Ends it and the broker below it, in the order that nobody is told anything wrong.
    async fn end(self, root: &Path, broker: &Broker) -> Result<(), Fatal> {
        self.admin.admin.stop();
        let _ = self.stop.send(true);
        if let Err(error) = address_file::remove(root) {
            tracing::warn!(%error, "the address file stays");
        }
        if let Err(error) = self.connections.await {
            tracing::error!(%error, "the gateway did not end by itself");
        }
        let stopped = broker.stop();
        self.admin.end().await;
        stopped.map_err(|fault| {
            Fatal::failed(format!("the stop was not clean: {fault}; nothing acknowledged is lost, the next start checks the logs"))
        })
    }
}

/// The HTTP side, from before the broker is open until after it has stopped.
struct AdminSide {
    admin: Admin,
    end: watch::Sender<bool>,
    serving: Option<JoinHandle<std::io::Result<()>>>,
}

impl AdminSide {
    /// Answers on `listener`, if there is to be an admin side.
    fn serve(listener: Option<TcpListener>) -> AdminSide {
        let (end, ending) = watch::channel(false);
        let admin = Admin::new(VERSION);
        let serving = listener.map(|listener| {
            tokio::spawn(ottla_admin::serve(listener, admin.clone(), stopped(ending)))
        });
        AdminSide {
            admin,
            end,
            serving,
        }
    }

    /// The last answers leave, then the port is free.
    async fn end(self) {
        let _ = self.end.send(true);
        if let Some(serving) = self.serving
            && let Ok(Ok(Err(error))) = tokio::time::timeout(ADMIN_FINISH, serving).await
        {
            tracing::warn!(%error, "the admin side failed");
        }
    }
}

/// Done when its side is told to stop.
async fn stopped(mut stopping: watch::Receiver<bool>) {
    // An error means that the sender is gone: that is a stop, too.
    let _ = stopping.wait_for(|stop| *stop).await;
}

fn broker_options(
    settings: &Settings,
    report: &StartReport,
    root: &Path,
    address: SocketAddr,
) -> BrokerOptions {
    let mut broker = settings.broker.clone();
    // What a client may ask for under Kafka's names.
    let mut describe = |name: &str, value: String| {
        if let Err(error) = broker.set(name, &value) {
            tracing::debug!(%error, "not described");
        }
    };
    describe("node.id", settings.node_id.to_string());
    describe("listeners", format!("PLAINTEXT://{address}"));
    describe("log.dirs", root.display().to_string());
    if let Some(advertise) = &settings.advertise {
        describe("advertised.listeners", format!("PLAINTEXT://{advertise}"));
    }
    BrokerOptions {
        cluster_id: report.cluster_id.as_str().into(),
        node_id: settings.node_id,
        directory_id: report.directory_id.unwrap_or(Uuid::ZERO),
        unclean: !report.clean,
        settings: broker,
    }
}

fn gateway_options(settings: &Settings, broker: &Broker) -> GatewayOptions {
    let from_settings = GatewayOptions::from_settings(broker.settings());
    GatewayOptions {
        connections_max: from_settings
            .connections_max
            .min(connections_max(open_files_max())),
        advertised: settings
            .advertise
            .as_ref()
            .map(|address| (address.host.clone(), address.port)),
        stop_ms_max: FINISH_MS_MAX,
        ..from_settings
    }
}

/// Connections that leave descriptors to the logs: clients that take all of them would stop every
/// roll and every new topic.
fn connections_max(open_files_max: u64) -> usize {
    usize::try_from(open_files_max / 4 * 3).unwrap_or(usize::MAX)
}

/// What the system grants, once [`raise_open_files`] has asked.
fn open_files_max() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

fn local(listener: &TcpListener) -> Result<SocketAddr, Fatal> {
    listener
        .local_addr()
        .map_err(|error| Fatal::failed(format!("cannot tell where it listens: {error}")))
}

fn log_to_stderr(level: &LogLevel) -> Result<(), Fatal> {
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        // Where a line comes from matters to who tunes the level per module.
        .with_target(level.0.would_enable("ottla", &tracing::Level::DEBUG));
    tracing_subscriber::registry()
        .with(level.0.clone())
        .with(lines)
        .try_init()
        .map_err(|error| Fatal::failed(format!("cannot log: {error}")))
}

/// Connections and segments are descriptors; the usual soft limit of 1,024 exists for programs that
/// use `select`. A limit that cannot be raised stays.
fn raise_open_files() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(
            Resource::Nofile,
            Rlimit {
                current: maximum,
                maximum,
            },
        )
    {
        tracing::debug!(%error, "the limit on open files stays");
    }
}

/// The line on stdout.
struct Ready<'a> {
    address: SocketAddr,
    admin: Option<SocketAddr>,
    root: &'a Path,
    dev: bool,
}

impl fmt::Display for Ready<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ottla {VERSION} listening on {}", self.address)?;
        if let Some(admin) = self.admin {
            write!(f, ", admin on http://{admin}")?;
        }
        let after = if self.dev {
            "the write call (dev mode: kill -9 loses nothing, power loss may)"
        } else {
            "fdatasync (server mode)"
        };
        write!(
            f,
            ", data in {}; acks=all is answered after {after}",
            self.root.display()
        )
    }
}
