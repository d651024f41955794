//! The broker's own figures, and the registry that the gateways add theirs to.

use prometheus::{IntCounter, IntGauge, Registry};

/// Counters and gauges of the broker; each is a handle, so counting is one atomic addition.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    append_batches: IntCounter,
    append_records: IntCounter,
    append_bytes: IntCounter,
    partitions_open: IntGauge,
    storage_faults: IntCounter,
    fetch_plans: IntCounter,
    appends_pooled: IntCounter,
    appends_stalled: IntGauge,
    append_backlog_bytes: IntGauge,
}

impl Metrics {
    /// A fresh registry.
    ///
    /// # Errors
    /// Two figures have the same name.
    pub fn new() -> Result<Metrics, prometheus::Error> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str| -> Result<IntCounter, prometheus::Error> {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let append_batches = counter(
            "ottla_append_batches_total",
            "Batches submitted to partitions.",
        )?;
        let append_records = counter("ottla_append_records_total", "Records in these batches.")?;
        let append_bytes = counter(
            "ottla_append_bytes_total",
            "Bytes of these batches, as sent.",
        )?;
        let storage_faults = counter(
            "ottla_storage_faults_total",
            "Faults of the storage that kept a partition closed or that a fetch met, each counted once.",
        )?;
        let fetch_plans = counter(
            "ottla_fetch_plans_total",
            "Partitions that fetches looked at: those that a fetch session knows to be idle cost none.",
        )?;
        let appends_pooled = counter(
            "ottla_appends_pooled_total",
            "Appends that were left to the pool, because the disk was slow or too many were under way.",
        )?;
        let gauge = |name: &str, help: &str| -> Result<IntGauge, prometheus::Error> {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let partitions_open = gauge("ottla_partitions_open", "Partitions that are open.")?;
        let appends_stalled = gauge(
            "ottla_appends_stalled",
            "Appends that have waited for the disk for over a second.",
        )?;
        let append_backlog_bytes = gauge(
            "ottla_append_backlog_bytes",
            "Bytes of batches that are not yet where their producers want them: written, or synced.",
        )?;
        Ok(Metrics {
            registry,
            append_batches,
            append_records,
            append_bytes,
            partitions_open,
            storage_faults,
            fetch_plans,
            appends_pooled,
            appends_stalled,
            append_backlog_bytes,
        })
    }

    /// Where a gateway registers figures of its own.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    pub(crate) fn appended(&self, bytes: usize, records: i32) {
        self.append_batches.inc();
        self.append_records
            .inc_by(u64::try_from(records).unwrap_or(0));
        self.append_bytes.inc_by(bytes as u64);
    }

    pub(crate) fn partitions_open(&self, count: usize) {
        self.partitions_open.set(count as i64);
    }

    pub(crate) fn append_pooled(&self) {
        self.appends_pooled.inc();
    }

    pub(crate) fn appends_waiting(&self, stalled: usize, backlog_bytes: usize) {
        self.appends_stalled.set(stalled as i64);
        self.append_backlog_bytes.set(backlog_bytes as i64);
    }

    pub(crate) fn fetch_planned(&self) {
        self.fetch_plans.inc();
    }

    pub(crate) fn storage_fault(&self) {
        self.storage_faults.inc();
    }
}
