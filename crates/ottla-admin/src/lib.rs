//! The HTTP side for operators: is the broker alive, is it ready, what does it count.
//!
//! Owns the paths and their texts. Guarantees: answers from before the broker is open until after it
//! has stopped, never waits for the disk or for the broker, and takes a bounded number of
//! connections, because they share the process's descriptors with Kafka's clients.
//! Never changes anything: every path is a read.

mod connection;
mod process;

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use ottla_broker::Broker;
use prometheus::{Encoder, TextEncoder};
use tokio::net::TcpListener;

use connection::{Bounded, Limits};

const HINT: &str = "nothing here; there are /health/live, /health/ready and /metrics\n";
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const METRICS: HeaderValue = HeaderValue::from_static(prometheus::TEXT_FORMAT);

/// What the paths answer from. Clones are handles to the same.
#[derive(Clone)]
pub struct Admin(Arc<Inner>);

struct Inner {
    started: SystemTime,
    version: &'static str,
    phase: Mutex<Phase>,
}

#[derive(Clone)]
enum Phase {
    Starting,
    Running(Broker),
    Stopping,
}

impl Admin {
    /// For a broker of this version that is not open yet.
    #[must_use]
    pub fn new(version: &'static str) -> Admin {
        let phase = Mutex::new(Phase::Starting);
        Admin(Arc::new(Inner {
            started: SystemTime::now(),
            version,
            phase,
        }))
    }

    /// The broker is open: ready from now on, as long as the broker says so.
    pub fn run(&self, broker: Broker) {
        self.enter(Phase::Running(broker));
    }

    /// Not ready from now on, although the broker still is: send no more work here.
    pub fn stop(&self) {
        self.enter(Phase::Stopping);
    }

    fn enter(&self, phase: Phase) {
        *self.0.phase.lock().unwrap_or_else(PoisonError::into_inner) = phase;
    }

    fn phase(&self) -> Phase {
        self.0
            .phase
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Answers on `listener` until `shutdown` is done and the last answer has left.
///
/// # Errors
/// The system's, on the listener.
pub async fn serve(
    listener: TcpListener,
    admin: Admin,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    axum::serve(Bounded::new(listener, Limits::DEFAULT), router(admin))
        .with_graceful_shutdown(shutdown)
        .await
}

fn router(admin: Admin) -> Router {
    Router::new()
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .route("/metrics", get(metrics))
        .fallback(nothing)
        .with_state(admin)
}

async fn live() -> Response {
    text(StatusCode::OK, "live\n".to_owned())
}

async fn ready(State(admin): State<Admin>) -> Response {
    let (status, words) = match admin.phase() {
        Phase::Running(broker) if broker.is_ready() => (StatusCode::OK, "ready\n"),
        Phase::Running(_) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "not ready: the broker has stopped\n",
        ),
        Phase::Starting => (
            StatusCode::SERVICE_UNAVAILABLE,
            "not ready: the logs are being opened\n",
        ),
        Phase::Stopping => (
            StatusCode::SERVICE_UNAVAILABLE,
            "not ready: the broker is stopping\n",
        ),
    };
    text(status, words.to_owned())
}

async fn metrics(State(admin): State<Admin>) -> Response {
    let mut out = Vec::new();
    if let Phase::Running(broker) = admin.phase() {
        let families = broker.metrics().registry().gather();
        if let Err(error) = TextEncoder::new().encode(&families, &mut out) {
            return text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n"));
        }
    }
    process::write(&mut out, admin.0.version, admin.0.started);
    ([(header::CONTENT_TYPE, METRICS)], out).into_response()
}

async fn nothing() -> Response {
    text(StatusCode::NOT_FOUND, HINT.to_owned())
}

fn text(status: StatusCode, words: String) -> Response {
    (status, [(header::CONTENT_TYPE, TEXT)], words).into_response()
}
