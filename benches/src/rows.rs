//! The rows of the table: what is done, what it is measured beside, and what it is judged by.
//!
//! A gate that is missed is printed, never asserted: no test asserts a time.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::machine::Cores;
use crate::members::Protocol;
pub use crate::metric::Metric;

/// One row.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// What it is called on the command line and in the table.
    pub name: &'static str,
    /// In words.
    pub about: &'static str,
    /// What is done.
    pub work: Work,
    /// What of the limit program it is measured beside; the cheapest of them counts.
    pub limits: &'static [Limit],
    /// What an acknowledgement means.
    pub promise: Promise,
    /// Cores of the server.
    pub cores: Cores,
    /// What is printed of it; what it is judged by comes first.
    pub metrics: &'static [Metric],
    /// What it is judged by.
    pub gates: &'static [Gate],
}

/// What is done.
#[derive(Clone, Copy, Debug)]
pub enum Work {
    /// Batches are appended.
    Produce(Produce),
    /// What was appended before is read over and over, each consumer for itself, one Fetch at a time.
    Fetch(Fetch),
    /// From nothing to the first reply, and from SIGTERM to the end.
    Start,
    /// Nothing happens.
    Idle,
    /// Clients connect, say hello and stay.
    IdleConnections {
        /// How many.
        count: usize,
    },
    /// A start after `kill -9`, over partitions that hold data.
    Recover {
        /// How many.
        partitions: usize,
        /// Bytes in all of them.
        bytes: u64,
    },
    /// Appending to one partition that holds so many bytes, reading in it, and a start after `kill -9`.
    Retained {
        /// How many.
        bytes: u64,
    },
    /// Members join groups, one more joins each group, all send heartbeats, first without a pause, then as clients
    /// do, and nobody does anything.
    Groups(Groups),
    /// Topics of one partition, each created by a request of its own; then a start after `kill -9`.
    Topics {
        /// How many.
        count: usize,
    },
}

/// A load of Produce requests, one batch each.
#[derive(Clone, Copy, Debug)]
pub struct Produce {
    /// Largest size of a batch.
    pub batch_bytes: usize,
    /// Size of a record's value.
    pub value_bytes: usize,
    /// How many.
    pub connections: usize,
    /// Requests without answer, per connection.
    pub in_flight: usize,
    /// Spread over the connections, or each connection over all of them, whichever there are more of.
    pub partitions: usize,
    /// When the answer may leave.
    pub acks: i16,
    /// Requests each second, whatever the server does; closed loop if there is none.
    pub per_second: Option<f64>,
    /// Connections more that said hello and stay.
    pub idle_connections: usize,
}

/// A load of Fetch requests on one partition.
#[derive(Clone, Copy, Debug)]
pub struct Fetch {
    /// Connections.
    pub consumers: usize,
    /// Most bytes of one Fetch.
    pub bytes_max: usize,
    /// Largest size of the batches that lie there.
    pub batch_bytes: usize,
    /// Size of a record's value.
    pub value_bytes: usize,
    /// Bytes that lie there.
    pub stored_bytes: u64,
}

/// Groups that read one topic.
#[derive(Clone, Copy, Debug)]
pub struct Groups {
    /// How members agree.
    pub protocol: Protocol,
    /// How many groups.
    pub groups: usize,
    /// Members of each.
    pub members: usize,
    /// Partitions of the topic.
    pub partitions: usize,
    /// Members that send heartbeats without a pause, at most; the others are silent meanwhile.
    pub acting: usize,
}

/// What the hardware needs for the same work, as far as it does the work: a mode of the limit program.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limit {
    /// Answers and stores nothing.
    Echo,
    /// Checks the CRC of every batch and appends all that came together with one write to one file.
    Append,
    /// The same, synced before the answers leave.
    AppendSync,
    /// Sends from the page cache without a copy.
    Sendfile,
    /// Sends from its own memory: one copy.
    Memory,
    /// One thread that appends to a growing file and syncs, without a network.
    Fdatasync,
}

/// What an acknowledgement means, alike for both brokers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Promise {
    /// The system has it: Ottla in dev mode, Kafka as it comes.
    Written,
    /// The disk has it: Ottla as it comes, Kafka with `flush.messages=1`.
    Durable,
}

/// What Ottla must reach, and what it aims at.
#[derive(Clone, Copy, Debug)]
pub struct Gate {
    /// Of this metric.
    pub metric: Metric,
    /// What must be.
    pub gate: Bound,
    /// What would be good.
    pub goal: Bound,
}

/// A bound on a metric.
#[derive(Clone, Copy, Debug)]
pub enum Bound {
    /// So many times the limit of the same run, at most.
    TimesLimit(f64),
    /// So much, at most; at least, where more is better.
    Value(f64),
}

/// The row of this name.
#[must_use]
pub fn row(name: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.name == name)
}

const PRODUCED: &[Metric] = &[
    Metric::CpuPerGb,
    Metric::Throughput,
    Metric::Requests,
    Metric::P50,
    Metric::P99,
];
const REQUESTED: &[Metric] = &[
    Metric::CpuPerRequest,
    Metric::Requests,
    Metric::P50,
    Metric::P99,
];
const TIMED: &[Metric] = &[
    Metric::P50,
    Metric::P99,
    Metric::P999,
    Metric::CpuPerRequest,
    Metric::Requests,
];

const GROUPS: &[Metric] = &[
    Metric::CpuPerRequest,
    Metric::BeatingCpu,
    Metric::JoinCpu,
    Metric::Join,
    Metric::RebalanceCpu,
    Metric::Rebalance,
    Metric::PerMember,
    Metric::IdleCpu,
];

const fn times(metric: Metric, gate: f64, goal: f64) -> Gate {
    Gate {
        metric,
        gate: Bound::TimesLimit(gate),
        goal: Bound::TimesLimit(goal),
    }
}

const fn value(metric: Metric, gate: f64, goal: f64) -> Gate {
    Gate {
        metric,
        gate: Bound::Value(gate),
        goal: Bound::Value(goal),
    }
}

/// One batch of 1 KB on one connection, one at a time: the other small loads say how they differ.
pub(crate) const SMALL: Produce = Produce {
    batch_bytes: 1_024,
    value_bytes: 940,
    connections: 1,
    in_flight: 1,
    partitions: 1,
    acks: -1,
    per_second: None,
    idle_connections: 0,
};

/// One consumer of batches of 16 KB in pieces of 1 MB: the other loads say how they differ.
pub(crate) const READ: Fetch = Fetch {
    consumers: 1,
    bytes_max: 1 << 20,
    batch_bytes: 16 << 10,
    value_bytes: 100,
    stored_bytes: 512 << 20,
};

/// Many groups of a few members.
pub(crate) const MANY: Groups = Groups {
    protocol: Protocol::Classic,
    groups: 1_000,
    members: 10,
    partitions: 100,
    acting: usize::MAX,
};

/// One group of many members.
const LARGE: Groups = Groups {
    groups: 1,
    members: 500,
    partitions: 1_000,
    ..MANY
};

const GROUP_GATES: &[Gate] = &[
    value(Metric::CpuPerRequest, 10.0, 5.0),
    value(Metric::IdleCpu, 0.1, 0.02),
];

const LARGE_GROUP_GATES: &[Gate] = &[
    value(Metric::CpuPerRequest, 10.0, 5.0),
    value(Metric::RebalanceCpu, 1_000.0, 250.0),
    value(Metric::IdleCpu, 0.1, 0.02),
];

const fn groups(name: &'static str, about: &'static str, groups: Groups) -> Row {
    Row {
        name,
        about,
        work: Work::Groups(groups),
        limits: &[],
        promise: Promise::Written,
        cores: Cores::All,
        metrics: GROUPS,
        gates: if groups.groups == 1 {
            LARGE_GROUP_GATES
        } else {
            GROUP_GATES
        },
    }
}

/// All rows.
pub const ROWS: &[Row] = &[
    Row {
        name: "produce-1mb",
        about: "produce, batches of 1 MB, 1 connection, 8 in flight",
        work: Work::Produce(Produce {
            batch_bytes: 1_000_000,
            value_bytes: 1_000,
            in_flight: 8,
            ..SMALL
        }),
        limits: &[Limit::Append],
        promise: Promise::Written,
        cores: Cores::All,
        metrics: PRODUCED,
        gates: &[times(Metric::CpuPerGb, 1.5, 1.25)],
    },
    Row {
        name: "produce-16kb",
        about: "produce, batches of 16 KB of 100 B records, 1 connection, 32 in flight",
        work: Work::Produce(Produce {
            batch_bytes: 16 << 10,
            value_bytes: 100,
            in_flight: 32,
            ..SMALL
        }),
        limits: &[Limit::Append],
        promise: Promise::Written,
        cores: Cores::All,
        metrics: PRODUCED,
        gates: &[times(Metric::CpuPerGb, 2.0, 1.4)],
    },
    Row {
        name: "produce-1kb-64-connections",
        about: "produce, 1 KB, 64 connections, 1 in flight each, 16 partitions",
        work: Work::Produce(Produce {
            connections: 64,
            partitions: 16,
            ..SMALL
        }),
        limits: &[Limit::Echo],
        promise: Promise::Written,
        cores: Cores::All,
        metrics: REQUESTED,
        gates: &[times(Metric::CpuPerRequest, 2.5, 1.5)],
    },
    Row {
        name: "produce-1kb-pipelined",
        about: "produce, 1 KB, 1 connection, 64 in flight",
        work: Work::Produce(Produce {
            in_flight: 64,
            ..SMALL
        }),
        limits: &[Limit::Append],
        promise: Promise::Written,
        cores: Cores::All,
        metrics: REQUESTED,
        gates: &[value(Metric::CpuPerRequest, 4.0, 2.0)],
    },
    Row {
        name: "produce-1kb-1000-partitions",
        about: "produce, 1 KB over 1,000 partitions, 1 connection, 64 in flight",
        work: Work::Produce(Produce {
            in_flight: 64,
            partitions: 1_000,
            ..SMALL
        }),
        limits: &[Limit::Append],
        promise: Promise::Written,
        cores: Cores::All,
        metrics: REQUESTED,
        gates: &[value(Metric::CpuPerRequest, 6.0, 3.0)],
    },
    Row {
        name: "produce-1kb-open-loop",
        about: "produce, 1 KB, 16 connections, open loop, 5,000 requests/s",
        work: Work::Produce(Produce {
            connections: 16,
            partitions: 16,
            per_second: Some(5_000.0),
            ..SMALL
        }),
        limits: &[Limit::Echo],
        promise: Promise::Written,
        cores: Cores::First,
        metrics: TIMED,
        gates: &[],
    },
    Row {
        name: "fetch-1mb-10",
        about: "fetch, 1 MB, 10 consumers",
        work: Work::Fetch(Fetch {
            consumers: 10,
            ..READ
        }),
        limits: &[Limit::Sendfile, Limit::Memory],
        promise: Promise::Written,
        cores: Cores::All,
        metrics: PRODUCED,
        gates: &[times(Metric::CpuPerGb, 1.5, 1.15)],
    },
    Row {
        name: "fetch-64kb-10",
        about: "fetch, 64 KB, 10 consumers",
        work: Work::Fetch(Fetch {
            consumers: 10,
            bytes_max: 64 << 10,
            ..READ
        }),
        limits: &[Limit::Sendfile, Limit::Memory],
        promise: Promise::Written,
        cores: Cores::All,
        metrics: PRODUCED,
        gates: &[times(Metric::CpuPerGb, 2.0, 1.25)],
    },
    Row {
        name: "fetch-1mb-1",
        about: "fetch, 1 MB, 1 consumer",
        work: Work::Fetch(READ),
        limits: &[Limit::Sendfile, Limit::Memory],
        promise: Promise::Written,
        cores: Cores::All,
        metrics: PRODUCED,
        gates: &[times(Metric::CpuPerGb, 1.25, 1.1)],
    },
    Row {
        name: "ack-1",
        about: "produce, 1 KB, acks=1, 1 connection, one at a time",
        work: Work::Produce(Produce { acks: 1, ..SMALL }),
        limits: &[Limit::Echo],
        promise: Promise::Written,
        cores: Cores::First,
        metrics: TIMED,
        gates: &[times(Metric::P50, 2.0, 1.3)],
    },
    Row {
        name: "durable-1",
        about: "durable produce, 1 KB, acks=all, 1 connection, one at a time, growing file",
        work: Work::Produce(SMALL),
        limits: &[Limit::Fdatasync],
        promise: Promise::Durable,
        cores: Cores::All,
        metrics: TIMED,
        gates: &[times(Metric::P50, 2.0, 1.4), times(Metric::P99, 2.5, 1.4)],
    },
    Row {
        name: "durable-64",
        about: "durable produce, 1 KB, acks=all, 64 connections, 64 partitions",
        work: Work::Produce(Produce {
            connections: 64,
            partitions: 64,
            ..SMALL
        }),
        limits: &[Limit::AppendSync],
        promise: Promise::Durable,
        cores: Cores::All,
        metrics: &[
            Metric::Requests,
            Metric::P50,
            Metric::P99,
            Metric::CpuPerRequest,
        ],
        gates: &[value(Metric::Requests, 20_000.0, 60_000.0)],
    },
    Row {
        name: "start",
        about: "start to first reply, empty directory",
        work: Work::Start,
        limits: &[Limit::Echo],
        promise: Promise::Durable,
        cores: Cores::All,
        metrics: &[Metric::FirstReply, Metric::Stop],
        gates: &[value(Metric::FirstReply, 20.0, 5.0)],
    },
    Row {
        name: "idle",
        about: "idle memory and CPU",
        work: Work::Idle,
        limits: &[Limit::Echo],
        promise: Promise::Durable,
        cores: Cores::All,
        metrics: &[Metric::Resident, Metric::IdleCpu],
        gates: &[
            value(Metric::Resident, 16.0, 8.0),
            value(Metric::IdleCpu, 0.1, 0.02),
        ],
    },
    Row {
        name: "idle-2000-connections",
        about: "extra memory of 2,000 idle connections",
        work: Work::IdleConnections { count: 2_000 },
        limits: &[Limit::Echo],
        promise: Promise::Durable,
        cores: Cores::All,
        metrics: &[Metric::Extra, Metric::IdleCpu],
        gates: &[value(Metric::Extra, 8.0, 4.0)],
    },
    Row {
        name: "start-after-kill",
        about: "start after kill -9 with 2,000 partitions and 5 GB, until all are served",
        work: Work::Recover {
            partitions: 2_000,
            bytes: 5_000_000_000,
        },
        limits: &[],
        promise: Promise::Written,
        cores: Cores::All,
        metrics: &[Metric::Ready, Metric::FirstReply],
        gates: &[value(Metric::Ready, 1_000.0, 200.0)],
    },
    groups(
        "groups-1000-classic",
        "1,000 groups of 10 members, classic protocol; a request is a heartbeat",
        MANY,
    ),
    groups(
        "group-500-classic",
        "1 group of 500 members on 1,000 partitions, classic protocol; a request is a heartbeat",
        LARGE,
    ),
    groups(
        "groups-1000-consumer",
        "1,000 groups of 10 members, protocol consumer; a request is a heartbeat",
        Groups {
            protocol: Protocol::Consumer,
            ..MANY
        },
    ),
    groups(
        "group-500-consumer",
        "1 group of 500 members on 1,000 partitions, protocol consumer; a request is a heartbeat",
        Groups {
            protocol: Protocol::Consumer,
            ..LARGE
        },
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_judged_by_what_they_print() {
        for (at, one) in ROWS.iter().enumerate() {
            assert!(
                ROWS[..at].iter().all(|other| other.name != one.name),
                "{} is there once",
                one.name
            );
            for gate in one.gates {
                assert!(one.metrics.contains(&gate.metric), "{}", one.name);
                let beside = matches!(gate.gate, Bound::TimesLimit(_));
                assert!(!beside || !one.limits.is_empty(), "{}", one.name);
            }
        }
    }
}
