//! What is measured, and what the tables call it.

use serde::{Deserialize, Serialize};

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// CPU seconds of all threads of the server for 10^9 bytes of record batches.
    CpuPerGb,
    /// CPU microseconds of all threads of the server for a request.
    CpuPerRequest,
    /// 10^6 bytes of record batches in a second.
    Throughput,
    /// Requests answered in a second.
    Requests,
    /// Microseconds that half of the requests do not exceed.
    P50,
    /// The same for 99 of 100.
    P99,
    /// The same for 999 of 1,000.
    P999,
    /// Milliseconds from the start of the process to the first reply.
    FirstReply,
    /// Milliseconds from the start of the process until every partition is served.
    Ready,
    /// Milliseconds from SIGTERM to the end.
    Stop,
    /// 10^6 bytes in memory.
    Resident,
    /// CPU of the server as hundredths of one core.
    IdleCpu,
    /// 10^6 bytes in memory more than before.
    Extra,
    /// Milliseconds to create the topic or topics, until all partitions are led.
    Create,
    /// CPU microseconds of a server for a CreateTopics request.
    CpuPerCreate,
    /// Milliseconds until all members of all groups have joined and have their part.
    Join,
    /// CPU milliseconds of a server for that.
    JoinCpu,
    /// Milliseconds until all have their part again after each group got one member more.
    Rebalance,
    /// CPU milliseconds of a server for that.
    RebalanceCpu,
    /// CPU of the server, as hundredths of one core, while every member sends a heartbeat each three seconds,
    /// as clients do that nobody told otherwise.
    BeatingCpu,
    /// 10^3 bytes in memory more for each member, beside what its connection takes.
    PerMember,
    /// [`CpuPerGb`](Self::CpuPerGb) of reading in the middle of what is retained.
    MiddleCpuPerGb,
    /// The same at its end.
    EndCpuPerGb,
}

impl Metric {
    /// As the table calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Metric::CpuPerGb => "CPU s/GB",
            Metric::CpuPerRequest => "CPU us/request",
            Metric::Throughput => "MB/s",
            Metric::Requests => "requests/s",
            Metric::P50 => "p50 us",
            Metric::P99 => "p99 us",
            Metric::P999 => "p99.9 us",
            Metric::FirstReply => "first reply ms",
            Metric::Ready => "all served ms",
            Metric::Stop => "SIGTERM to end ms",
            Metric::Resident => "memory MB",
            Metric::IdleCpu => "CPU % of a core",
            Metric::Extra => "extra memory MB",
            Metric::Create => "create ms",
            Metric::CpuPerCreate => "create CPU us/request",
            Metric::Join => "all join ms",
            Metric::JoinCpu => "all join, CPU ms",
            Metric::Rebalance => "one joins ms",
            Metric::RebalanceCpu => "one joins, CPU ms",
            Metric::BeatingCpu => "CPU % of a core, all alive",
            Metric::PerMember => "memory KB/member",
            Metric::MiddleCpuPerGb => "fetch in the middle, CPU s/GB",
            Metric::EndCpuPerGb => "fetch at the end, CPU s/GB",
        }
    }

    /// Below this, values differ by nothing but chance.
    #[must_use]
    pub fn floor(self) -> f64 {
        match self {
            Metric::IdleCpu => 0.02,
            _ => 0.0,
        }
    }

    /// True if more is better.
    #[must_use]
    pub fn rises(self) -> bool {
        matches!(self, Metric::Throughput | Metric::Requests)
    }
}
