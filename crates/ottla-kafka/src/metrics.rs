//! The gateway's own figures, in the broker's registry. Each is a handle that was looked up once.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use crate::api::Registration;
use crate::close::CloseReason;
use crate::fetch_sessions::Figures;

/// Counters and gauges of the gateway.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) connections_open: IntGauge,
    pub(crate) connections: IntCounter,
    pub(crate) bytes_in: IntCounter,
    pub(crate) bytes_out: IntCounter,
    fetch_sessions: IntGauge,
    fetch_session_partitions: IntGauge,
    fetch_session_evictions: IntCounter,
    /// By place in the table of APIs.
    requests: Vec<IntCounter>,
    /// By [`CloseReason::index`].
    closed: Vec<IntCounter>,
}

impl Metrics {
    /// Registers the figures.
    ///
    /// # Errors
    /// A figure of the same name is there: a broker has one gateway.
    pub(crate) fn new(
        registry: &Registry,
        table: &'static [Registration],
    ) -> Result<Metrics, prometheus::Error> {
        let counter = |name: &str, help: &str| -> Result<IntCounter, prometheus::Error> {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let labelled = |name: &str, help: &str, label: &str| {
            let counters = IntCounterVec::new(Opts::new(name, help), &[label])?;
            registry.register(Box::new(counters.clone()))?;
            Ok::<_, prometheus::Error>(counters)
        };
        let gauge = |name: &str, help: &str| -> Result<IntGauge, prometheus::Error> {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let requests = labelled(
            "ottla_kafka_requests_total",
            "Requests that were understood, by API.",
            "api",
        )?;
        let closed = labelled(
            "ottla_kafka_connections_refused_total",
            "Connections that the broker closed because of what the client did, by reason.",
            "reason",
        )?;
        Ok(Metrics {
            connections_open: gauge("ottla_kafka_connections_open", "Connections that are open.")?,
            connections: counter("ottla_kafka_connections_total", "Connections accepted.")?,
            bytes_in: counter("ottla_kafka_bytes_in_total", "Bytes read from clients.")?,
            bytes_out: counter("ottla_kafka_bytes_out_total", "Bytes written to clients.")?,
            fetch_sessions: gauge("ottla_kafka_fetch_sessions", "Fetch sessions.")?,
            fetch_session_partitions: gauge(
                "ottla_kafka_fetch_session_partitions",
                "Partitions of all fetch sessions together.",
            )?,
            fetch_session_evictions: counter(
                "ottla_kafka_fetch_session_evictions_total",
                "Fetch sessions that had to leave for others.",
            )?,
            requests: table
                .iter()
                .map(|api| requests.with_label_values(&[&format!("{:?}", api.key)]))
                .collect(),
            closed: CloseReason::LABELS
                .iter()
                .map(|reason| closed.with_label_values(&[reason]))
                .collect(),
        })
    }

    /// Counts a request of the API at this place of the table.
    pub(crate) fn request(&self, place: usize) {
        if let Some(counter) = self.requests.get(place) {
            counter.inc();
        }
    }

    /// Shows how much the fetch sessions hold. To be called by one at a time.
    pub(crate) fn fetch_sessions(&self, figures: Figures) {
        self.fetch_sessions.set(figures.sessions as i64);
        self.fetch_session_partitions.set(figures.partitions as i64);
        let counted = self.fetch_session_evictions.get();
        self.fetch_session_evictions
            .inc_by(figures.evictions.saturating_sub(counted));
    }

    /// Counts a connection that was closed for this reason.
    pub(crate) fn closed(&self, reason: &CloseReason) {
        if let Some(counter) = self.closed.get(reason.index()) {
            counter.inc();
        }
    }
}
