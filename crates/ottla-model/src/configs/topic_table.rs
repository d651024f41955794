//! The configs of a topic. Names, types, defaults, valid values and synonyms are Kafka's
//! (`LogConfig`, `ServerTopicConfigSynonyms`).

use super::ConfigType::{Boolean, Double, Int, List, Long, String};
use super::{ConfigDef, Synonym, Valid};

/// All topic configs, by name.
pub const TOPIC_CONFIGS: &[ConfigDef] = &[
    def("cleanup.policy", List, "delete", Valid::ListOf(&["compact", "delete"]))
        .from(&[same("log.cleanup.policy")])
        .doc("How old records go: `delete` drops segments beyond the retention limits, `compact` keeps the newest record of each key; both together, or none."),
    def("compression.gzip.level", Int, "-1", Valid::BetweenOr(1, 9, -1))
        .from(&[same("compression.gzip.level")])
        .doc("Level used when `compression.type` is gzip; -1 is the library's default."),
    def("compression.lz4.level", Int, "9", Valid::Between(1, 17))
        .from(&[same("compression.lz4.level")])
        .doc("Level used when `compression.type` is lz4."),
    def("compression.type", String, "producer", Valid::OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]))
        .from(&[same("compression.type")])
        .doc("Codec in which batches are stored; `producer` keeps each as it came."),
    def("compression.zstd.level", Int, "3", Valid::Between(-131_072, 22))
        .from(&[same("compression.zstd.level")])
        .doc("Level used when `compression.type` is zstd."),
    def("delete.retention.ms", Long, "86400000", Valid::AtLeast(0))
        .from(&[same("log.cleaner.delete.retention.ms")])
        .doc("How long tombstones stay in a compacted topic, and so how long a reader from the start may take to see them."),
    def("file.delete.delay.ms", Long, "60000", Valid::AtLeast(0))
        .from(&[same("log.segment.delete.delay.ms")])
        .doc("Time between a segment leaving the log and its files leaving the disk."),
    def("flush.messages", Long, "9223372036854775807", Valid::AtLeast(1))
        .from(&[same("log.flush.interval.messages")])
        .doc("Sync after so many records."),
    def("flush.ms", Long, "9223372036854775807", Valid::AtLeast(0))
        .from(&[same("log.flush.interval.ms"), same("log.flush.scheduler.interval.ms")])
        .doc("Sync after so much time."),
    def("follower.replication.throttled.replicas", List, "", Valid::ThrottledReplicas)
        .doc("Replicas whose catching up is throttled on the follower's side."),
    def("index.interval.bytes", Int, "4096", Valid::AtLeast(0))
        .from(&[same("log.index.interval.bytes")])
        .doc("Bytes of log between two entries of the offset index."),
    def("internal.segment.bytes", Int, "", Valid::AtLeast(1))
        .hidden()
        .doc("Overrides `segment.bytes`, without its lower bound. For tests."),
    def("leader.replication.throttled.replicas", List, "", Valid::ThrottledReplicas)
        .doc("Replicas whose catching up is throttled on the leader's side."),
    def("local.retention.bytes", Long, "-2", Valid::AtLeast(-2))
        .from(&[same("log.local.retention.bytes")])
        .doc("With tiered storage, size of a partition kept on local disk; -2 means `retention.bytes`."),
    def("local.retention.ms", Long, "-2", Valid::AtLeast(-2))
        .from(&[same("log.local.retention.ms")])
        .doc("With tiered storage, time that records stay on local disk; -2 means `retention.ms`."),
    def("max.compaction.lag.ms", Long, "9223372036854775807", Valid::AtLeast(1))
        .from(&[same("log.cleaner.max.compaction.lag.ms")])
        .doc("Longest time that a record of a compacted topic stays uncompacted."),
    def("max.message.bytes", Int, "1048588", Valid::AtLeast(0))
        .from(&[same("message.max.bytes")])
        .doc("Largest batch that is taken, as it comes over the wire."),
    def("message.timestamp.after.max.ms", Long, "3600000", Valid::AtLeast(0))
        .from(&[same("log.message.timestamp.after.max.ms")])
        .doc("How far a record's timestamp may lie in the future, if producers set it."),
    def("message.timestamp.before.max.ms", Long, "9223372036854775807", Valid::AtLeast(0))
        .from(&[same("log.message.timestamp.before.max.ms")])
        .doc("How far a record's timestamp may lie in the past, if producers set it."),
    def("message.timestamp.type", String, "CreateTime", Valid::OneOf(&["CreateTime", "LogAppendTime"]))
        .from(&[same("log.message.timestamp.type")])
        .doc("Whose clock record timestamps are: the producer's or the broker's."),
    def("min.cleanable.dirty.ratio", Double, "0.5", Valid::Ratio)
        .from(&[same("log.cleaner.min.cleanable.ratio")])
        .doc("Share of a log that must be uncompacted before it is compacted again."),
    def("min.compaction.lag.ms", Long, "0", Valid::AtLeast(0))
        .from(&[same("log.cleaner.min.compaction.lag.ms")])
        .doc("Shortest time that a record of a compacted topic stays uncompacted."),
    def("min.insync.replicas", Int, "1", Valid::AtLeast(1))
        .from(&[same("min.insync.replicas")])
        .doc("Replicas that must have a record before `acks=all` is answered."),
    def("preallocate", Boolean, "false", Valid::Any)
        .from(&[same("log.preallocate")])
        .doc("Allocate a segment's file in full when it is created."),
    def("remote.log.copy.disable", Boolean, "false", Valid::Any)
        .doc("With tiered storage, copy nothing more to it."),
    def("remote.log.delete.on.disable", Boolean, "false", Valid::Any)
        .doc("Delete what tiered storage holds when it is turned off for the topic."),
    def("remote.storage.enable", Boolean, "false", Valid::Any)
        .doc("Keep old segments in tiered storage."),
    def("retention.bytes", Long, "-1", Valid::Any)
        .from(&[same("log.retention.bytes")])
        .doc("Size beyond which a partition's oldest segments are deleted; -1 is no limit."),
    def("retention.ms", Long, "604800000", Valid::AtLeast(-1))
        .from(&[same("log.retention.ms"), minutes("log.retention.minutes"), hours("log.retention.hours")])
        .doc("Age beyond which segments are deleted; -1 is no limit."),
    def("segment.bytes", Int, "1073741824", Valid::AtLeast(1 << 20))
        .from(&[same("log.segment.bytes")])
        .doc("Size at which a new segment begins."),
    def("segment.index.bytes", Int, "10485760", Valid::AtLeast(4))
        .from(&[same("log.index.size.max.bytes")])
        .doc("Largest size of a segment's offset index."),
    def("segment.jitter.ms", Long, "0", Valid::AtLeast(0))
        .from(&[same("log.roll.jitter.ms"), hours("log.roll.jitter.hours")])
        .doc("Spread of `segment.ms`, so that partitions do not roll all at once."),
    def("segment.ms", Long, "604800000", Valid::AtLeast(1))
        .from(&[same("log.roll.ms"), hours("log.roll.hours")])
        .doc("Age at which a new segment begins, so that the old one can be deleted or compacted."),
    def("unclean.leader.election.enable", Boolean, "false", Valid::Any)
        .from(&[same("unclean.leader.election.enable")])
        .doc("Let a replica that lags behind become leader, at the price of lost records."),
];

pub(super) const fn def(
    name: &'static str,
    kind: super::ConfigType,
    default: &'static str,
    valid: Valid,
) -> ConfigDef {
    ConfigDef {
        name,
        kind,
        default: Some(default),
        valid,
        synonyms: &[],
        doc: "",
        internal: false,
    }
}

impl ConfigDef {
    pub(super) const fn from(self, synonyms: &'static [Synonym]) -> ConfigDef {
        ConfigDef { synonyms, ..self }
    }

    pub(super) const fn doc(self, doc: &'static str) -> ConfigDef {
        ConfigDef { doc, ..self }
    }

    /// Not set unless somebody sets it.
    pub(super) const fn unset(self) -> ConfigDef {
        ConfigDef {
            default: None,
            ..self
        }
    }

    const fn hidden(self) -> ConfigDef {
        ConfigDef {
            default: None,
            internal: true,
            ..self
        }
    }
}

const fn same(name: &'static str) -> Synonym {
    Synonym { name, factor: 1 }
}

const fn minutes(name: &'static str) -> Synonym {
    Synonym {
        name,
        factor: 60_000,
    }
}

const fn hours(name: &'static str) -> Synonym {
    Synonym {
        name,
        factor: 3_600_000,
    }
}
