//! How cost grows: one load, measured at steps of one of its sizes.
//!
//! Each step is run like a row. What a curve does not name under `grows` must stay flat or fall while its
//! size grows; what it names may grow with it, but no faster. The least of the runs of a step counts:
//! whatever disturbs one only adds to it. Charts and data: [`data`], [`chart`].

pub mod chart;
pub mod data;

use crate::machine::Cores;
use crate::metric::Metric;
use crate::rows::{Fetch, Groups, Limit, MANY, Produce, Promise, READ, Row, SMALL, Work};

/// One curve.
#[derive(Clone, Copy, Debug)]
pub struct Curve {
    /// What it is called on the command line, and its drawing.
    pub name: &'static str,
    /// In words.
    pub about: &'static str,
    /// What grows.
    pub axis: Axis,
    /// Where it is measured.
    pub steps: &'static [u64],
    /// What is done at a step.
    pub work: fn(u64) -> Work,
    /// The mode of the limit program that does the same, if one does: what of the shape is the system's.
    pub limits: &'static [Limit],
    /// What is drawn of it.
    pub metrics: &'static [Metric],
    /// Which of them may grow as the size does.
    pub grows: &'static [Metric],
}

/// What grows along a curve.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Axis {
    /// Bytes of what is named.
    Bytes(&'static str),
    /// The number of these.
    Count(&'static str),
}

impl Curve {
    /// The load at a step.
    #[must_use]
    pub fn row(&self, at: u64) -> Row {
        Row {
            name: self.name,
            about: self.about,
            work: (self.work)(at),
            limits: self.limits,
            promise: Promise::Written,
            cores: Cores::All,
            metrics: self.metrics,
            gates: &[],
        }
    }
}

/// The curve of this name.
#[must_use]
pub fn curve(name: &str) -> Option<&'static Curve> {
    CURVES.iter().find(|curve| curve.name == name)
}

const BATCH_BYTES: &[u64] = &[
    100, 300, 1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000,
];
const DECADES: &[u64] = &[1, 10, 100, 1_000, 10_000];
/// Connections that work while others are idle.
const ACTIVE: usize = 16;
/// In flight: as many as fit here, within bounds.
const IN_FLIGHT_BYTES: usize = 512 << 10;

/// All curves.
pub const CURVES: &[Curve] = &[
    Curve {
        name: "produce-batch-bytes",
        about: "produce, batches of growing size, 1 connection, 8 to 64 in flight",
        axis: Axis::Bytes("batch"),
        steps: BATCH_BYTES,
        work: |at| {
            Work::Produce(Produce {
                batch_bytes: at as usize,
                value_bytes: value_bytes(at),
                in_flight: (IN_FLIGHT_BYTES / at as usize).clamp(8, 64),
                ..SMALL
            })
        },
        limits: &[Limit::Append],
        metrics: &[Metric::CpuPerRequest, Metric::CpuPerGb],
        grows: &[Metric::CpuPerRequest],
    },
    Curve {
        name: "fetch-batch-bytes",
        about: "fetch 1 MB at a time, out of batches of growing size, 1 consumer",
        axis: Axis::Bytes("batch"),
        steps: BATCH_BYTES,
        work: |at| {
            Work::Fetch(Fetch {
                batch_bytes: at as usize,
                value_bytes: value_bytes(at),
                stored_bytes: 64_000_000,
                ..READ
            })
        },
        limits: &[Limit::Memory],
        metrics: &[Metric::CpuPerGb],
        grows: &[],
    },
    Curve {
        name: "fetch-bytes",
        about: "fetch batches of 4 KB, growing pieces at a time, 1 consumer",
        axis: Axis::Bytes("fetch"),
        steps: &[
            4_096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216,
        ],
        work: |at| {
            Work::Fetch(Fetch {
                batch_bytes: 4 << 10,
                bytes_max: at as usize,
                stored_bytes: 256 << 20,
                ..READ
            })
        },
        limits: &[Limit::Memory],
        metrics: &[Metric::CpuPerRequest, Metric::CpuPerGb],
        grows: &[Metric::CpuPerRequest],
    },
    Curve {
        name: "partitions",
        about: "produce 1 KB, 5,000 requests a second, round robin over growing numbers of partitions",
        axis: Axis::Count("partitions"),
        steps: DECADES,
        work: |at| {
            Work::Produce(Produce {
                partitions: at as usize,
                in_flight: 64,
                per_second: Some(5_000.0),
                ..SMALL
            })
        },
        limits: &[],
        metrics: &[
            Metric::CpuPerRequest,
            Metric::IdleCpu,
            Metric::Resident,
            Metric::Create,
            Metric::Ready,
        ],
        grows: &[Metric::Resident, Metric::Create, Metric::Ready],
    },
    Curve {
        name: "topics",
        about: "topics of one partition, created by one request each",
        axis: Axis::Count("topics"),
        steps: DECADES,
        work: |at| Work::Topics { count: at as usize },
        limits: &[],
        metrics: &[
            Metric::CpuPerCreate,
            Metric::Create,
            Metric::Resident,
            Metric::Ready,
        ],
        grows: &[Metric::Create, Metric::Resident, Metric::Ready],
    },
    Curve {
        name: "connections",
        about: "produce 1 KB, closed loop on up to 16 connections, the others idle",
        axis: Axis::Count("connections"),
        steps: DECADES,
        work: |at| {
            let active = ACTIVE.min(at as usize);
            Work::Produce(Produce {
                connections: active,
                partitions: ACTIVE,
                idle_connections: at as usize - active,
                ..SMALL
            })
        },
        limits: &[Limit::Echo],
        metrics: &[Metric::CpuPerRequest, Metric::IdleCpu, Metric::Resident],
        grows: &[Metric::Resident],
    },
    Curve {
        name: "consumers",
        about: "consumers that each read the same partition over and over, 1 MB at a time",
        axis: Axis::Count("consumers"),
        steps: &[1, 2, 5, 10, 20, 50, 100],
        work: |at| {
            Work::Fetch(Fetch {
                consumers: at as usize,
                ..READ
            })
        },
        limits: &[Limit::Memory],
        metrics: &[Metric::CpuPerGb],
        grows: &[],
    },
    Curve {
        name: "groups",
        about: "heartbeats of 10 members without a pause, beside growing numbers of groups of 11",
        axis: Axis::Count("groups"),
        steps: &[1, 10, 100, 1_000],
        work: |at| {
            Work::Groups(Groups {
                groups: at as usize,
                acting: 10,
                ..MANY
            })
        },
        limits: &[],
        metrics: &[Metric::CpuPerRequest, Metric::IdleCpu],
        grows: &[],
    },
    Curve {
        name: "retained-bytes",
        about: "one partition that holds growing amounts, in batches of 64 KB",
        axis: Axis::Bytes("retained"),
        steps: &[10_000_000, 100_000_000, 1_000_000_000, 10_000_000_000],
        work: |at| Work::Retained { bytes: at },
        limits: &[],
        metrics: &[
            Metric::CpuPerGb,
            Metric::MiddleCpuPerGb,
            Metric::EndCpuPerGb,
            Metric::Ready,
        ],
        grows: &[Metric::Ready],
    },
];

/// Records of 100 bytes, as far as the batch has room for one.
fn value_bytes(batch_bytes: u64) -> usize {
    // The head of a batch and of a record.
    (batch_bytes as usize).saturating_sub(75).min(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_rise_along_their_axis_and_draw_what_they_judge() {
        for (at, one) in CURVES.iter().enumerate() {
            assert!(
                CURVES[..at].iter().all(|other| other.name != one.name),
                "{} is there once",
                one.name
            );
            assert!(one.steps.is_sorted_by(|a, b| a < b), "{}", one.name);
            for grows in one.grows {
                assert!(one.metrics.contains(grows), "{}", one.name);
            }
        }
    }
}
