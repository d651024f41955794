//! What is taken and shown, but does nothing yet.

use super::TOPIC_CONFIGS;

/// A config that is stored and described, and has no effect today.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotYet {
    /// The config.
    pub name: &'static str,
    /// What happens instead of what it asks for.
    pub instead: &'static str,
}

/// Topic configs without effect today, for the compatibility page. One that gets its effect leaves.
pub const NOT_YET: &[NotYet] = &[
    NotYet {
        name: "cleanup.policy",
        instead: "nothing is deleted, and only internal topics are compacted; `compact` refuses records without a key",
    },
    NotYet {
        name: "compression.lz4.level",
        instead: "lz4 has one level here",
    },
    NotYet {
        name: "delete.retention.ms",
        instead: "only internal topics are compacted",
    },
    NotYet {
        name: "file.delete.delay.ms",
        instead: "files of a deleted topic go at once",
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
        instead: "only internal topics are compacted",
    },
    NotYet {
        name: "min.cleanable.dirty.ratio",
        instead: "only internal topics are compacted",
    },
    NotYet {
        name: "min.compaction.lag.ms",
        instead: "only internal topics are compacted",
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
        name: "segment.index.bytes",
        instead: "an index grows with its segment",
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

/// Broker configs without effect today that no topic config falls back to. Those that one falls back to
/// have the effect of that one.
const BROKER_NOT_YET: &[NotYet] = &[
    NotYet {
        name: "listener.security.protocol.map",
        instead: "the one listener speaks PLAINTEXT",
    },
    NotYet {
        name: "log.retention.check.interval.ms",
        instead: "nothing is deleted",
    },
];

/// What happens instead of what a broker config asks for; `None` if it has its effect, or is unknown.
#[must_use]
pub fn broker_not_yet(name: &str) -> Option<&'static str> {
    let topic_config = TOPIC_CONFIGS
        .iter()
        .find(|def| def.synonyms.iter().any(|synonym| synonym.name == name));
    let (configs, name) = match topic_config {
        Some(def) => (NOT_YET, def.name),
        None => (BROKER_NOT_YET, name),
    };
    let found = configs.iter().find(|config| config.name == name);
    found.map(|config| config.instead)
}
