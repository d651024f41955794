//! What is taken and shown, but does nothing yet.

/// A config that is stored and described, and has no effect today.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotYet {
    /// The topic config.
    pub name: &'static str,
    /// What happens instead of what it asks for.
    pub instead: &'static str,
}

/// Topic configs without effect today, for the compatibility page. One that gets its effect leaves.
pub const NOT_YET: &[NotYet] = &[
    NotYet {
        name: "cleanup.policy",
        instead: "nothing is compacted and nothing is deleted",
    },
    NotYet {
        name: "compression.lz4.level",
        instead: "lz4 has one level here",
    },
    NotYet {
        name: "delete.retention.ms",
        instead: "nothing is compacted",
    },
    NotYet {
        name: "flush.messages",
        instead: "the broker's mode decides when a log is synced",
    },
    NotYet {
        name: "flush.ms",
        instead: "the broker's mode decides when a log is synced",
    },
    NotYet {
        name: "follower.replication.throttled.replicas",
        instead: "there are no followers",
    },
    NotYet {
        name: "leader.replication.throttled.replicas",
        instead: "there are no followers",
    },
    NotYet {
        name: "local.retention.bytes",
        instead: "there is no tiered storage",
    },
    NotYet {
        name: "local.retention.ms",
        instead: "there is no tiered storage",
    },
    NotYet {
        name: "max.compaction.lag.ms",
        instead: "nothing is compacted",
    },
    NotYet {
        name: "min.cleanable.dirty.ratio",
        instead: "nothing is compacted",
    },
    NotYet {
        name: "min.compaction.lag.ms",
        instead: "nothing is compacted",
    },
    NotYet {
        name: "min.insync.replicas",
        instead: "the one replica is always in sync and always enough",
    },
    NotYet {
        name: "preallocate",
        instead: "files grow as they are written",
    },
    NotYet {
        name: "remote.log.copy.disable",
        instead: "there is no tiered storage",
    },
    NotYet {
        name: "remote.log.delete.on.disable",
        instead: "there is no tiered storage",
    },
    NotYet {
        name: "remote.storage.enable",
        instead: "`true` is refused, as by a Kafka without tiered storage",
    },
    NotYet {
        name: "retention.bytes",
        instead: "nothing is deleted",
    },
    NotYet {
        name: "retention.ms",
        instead: "nothing is deleted",
    },
    NotYet {
        name: "segment.jitter.ms",
        instead: "segments roll without jitter",
    },
    NotYet {
        name: "unclean.leader.election.enable",
        instead: "there is nothing to elect from",
    },
];
