//! The configs of the broker, and what its topics fall back to.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::ConfigType::{Boolean, Double, Int, List, Long, String as Text};
use super::topic_table::def;
use super::{
    ConfigDef, ConfigError, ConfigValue, EffectiveConfig, TOPIC_CONFIGS, TopicConfig, Valid,
    broker_config, topic,
};

/// The broker configs that mean something to Ottla today, by name. Names, types, defaults and valid
/// values are Kafka's (`AbstractKafkaConfig` and what it gathers).
pub const BROKER_CONFIGS: &[ConfigDef] = &[
    def("advertised.listeners", List, "", Valid::Distinct)
        .unset()
        .doc("Where clients are told to connect. Unset: to the address that each client reached."),
    def("auto.create.topics.enable", Boolean, "true", Valid::Any)
        .doc("Create a topic when a client asks for its metadata."),
    def("broker.rack", Text, "", Valid::Any)
        .unset()
        .doc("Where the broker stands, told to clients."),
    def("compression.gzip.level", Int, "-1", Valid::BetweenOr(1, 9, -1))
        .doc("Default of the topic config of that name."),
    def("compression.lz4.level", Int, "9", Valid::Between(1, 17))
        .doc("Default of the topic config of that name."),
    def("compression.type", Text, "producer", Valid::OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]))
        .doc("Default of the topic config of that name."),
    def("compression.zstd.level", Int, "3", Valid::Between(-131_072, 22))
        .doc("Default of the topic config of that name."),
    def("connections.max.idle.ms", Long, "600000", Valid::Any)
        .doc("A connection that is silent for longer is closed."),
    def("default.replication.factor", Int, "1", Valid::Any)
        .doc("Replication factor of a topic whose creator names none. One node keeps one replica."),
    def("delete.topic.enable", Boolean, "true", Valid::Any)
        .doc("Whether topics can be deleted."),
    def("fetch.max.bytes", Int, "57671680", Valid::AtLeast(1024))
        .doc("Largest response to a fetch, but for a single larger batch."),
    def("group.consumer.assignment.interval.ms", Int, "1000", Valid::AtLeast(0))
        .doc("How long the assignment of a consumer group holds at least. `--dev` sets 0."),
    def("group.consumer.heartbeat.interval.ms", Int, "5000", Valid::AtLeast(1))
        .doc("How often members of consumer groups are to be heard of. `--dev` sets 100."),
    def("group.consumer.max.size", Int, "2147483647", Valid::AtLeast(1))
        .doc("Most members of a consumer group."),
    def("group.consumer.migration.policy", Text, "bidirectional", Valid::OneOf(&["disabled", "downgrade", "upgrade", "bidirectional"]))
        .doc("Whether a group with members may go from the classic protocol to the consumer protocol, and back."),
    def("group.consumer.regex.refresh.interval.ms", Int, "600000", Valid::AtLeast(10_000))
        .doc("How often the topics are looked for anew that regular expressions of consumer groups match, if topics did not change."),
    def("group.consumer.session.timeout.ms", Int, "45000", Valid::AtLeast(1))
        .doc("How long a member of a consumer group may be silent before it is out."),
    def("group.initial.rebalance.delay.ms", Int, "3000", Valid::Any)
        .doc("How long the first rebalance of an empty group waits for more members. `--dev` sets 0."),
    def("group.max.session.timeout.ms", Int, "1800000", Valid::Any)
        .doc("Longest session timeout that a member of a classic group may ask for."),
    def("group.max.size", Int, "2147483647", Valid::AtLeast(1))
        .doc("Most members of a classic group."),
    def("group.min.session.timeout.ms", Int, "6000", Valid::Any)
        .doc("Shortest session timeout that a member of a classic group may ask for."),
    def("listener.security.protocol.map", Text, "PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL", Valid::Any)
        .doc("Which protocol each listener name speaks."),
    def("listeners", List, "PLAINTEXT://:9092", Valid::Distinct)
        .doc("Where the broker listens."),
    def("log.cleaner.backoff.ms", Long, "15000", Valid::AtLeast(0))
        .doc("How long the cleaner sleeps when no log needs compaction."),
    def("log.cleaner.dedupe.buffer.size", Long, "134217728", Valid::Any)
        .doc("Memory for the keys of one pass of the cleaner, 24 bytes each; taken only during a pass, and only as much as its keys need. Keys that do not fit take another pass."),
    def("log.cleaner.delete.retention.ms", Long, "86400000", Valid::AtLeast(0))
        .doc("Default of the topic config `delete.retention.ms`."),
    def("log.cleaner.io.max.bytes.per.second", Double, "", Valid::Any)
        .unset()
        .doc("Bytes that the cleaner reads and writes in a second. Unset: 64 MiB (Kafka: as many as the disk takes)."),
    def("log.cleaner.max.compaction.lag.ms", Long, "9223372036854775807", Valid::AtLeast(1))
        .doc("Default of the topic config `max.compaction.lag.ms`."),
    def("log.cleaner.min.cleanable.ratio", Double, "0.5", Valid::Ratio)
        .doc("Default of the topic config `min.cleanable.dirty.ratio`."),
    def("log.cleaner.min.compaction.lag.ms", Long, "0", Valid::AtLeast(0))
        .doc("Default of the topic config `min.compaction.lag.ms`."),
    def("log.cleanup.policy", List, "delete", Valid::ListOf(&["compact", "delete"]))
        .doc("Default of the topic config `cleanup.policy`."),
    def("log.dir", Text, "", Valid::Any)
        .unset()
        .doc("Where the data lies, if `log.dirs` is not set."),
    def("log.dirs", List, "", Valid::Distinct)
        .unset()
        .doc("Where the data lies. Ottla uses one directory."),
    def("log.flush.interval.messages", Long, "9223372036854775807", Valid::AtLeast(1))
        .doc("Default of the topic config `flush.messages`."),
    def("log.flush.interval.ms", Long, "", Valid::Any)
        .unset()
        .doc("Default of the topic config `flush.ms`."),
    def("log.flush.scheduler.interval.ms", Long, "9223372036854775807", Valid::Any)
        .doc("How often `log.flush.interval.ms` is looked at."),
    def("log.index.interval.bytes", Int, "4096", Valid::AtLeast(0))
        .doc("Default of the topic config `index.interval.bytes`."),
    def("log.index.size.max.bytes", Int, "10485760", Valid::AtLeast(4))
        .doc("Default of the topic config `segment.index.bytes`."),
    def("log.local.retention.bytes", Long, "-2", Valid::AtLeast(-2))
        .doc("Default of the topic config `local.retention.bytes`."),
    def("log.local.retention.ms", Long, "-2", Valid::AtLeast(-2))
        .doc("Default of the topic config `local.retention.ms`."),
    def("log.message.timestamp.after.max.ms", Long, "3600000", Valid::AtLeast(0))
        .doc("Default of the topic config `message.timestamp.after.max.ms`."),
    def("log.message.timestamp.before.max.ms", Long, "9223372036854775807", Valid::AtLeast(0))
        .doc("Default of the topic config `message.timestamp.before.max.ms`."),
    def("log.message.timestamp.type", Text, "CreateTime", Valid::OneOf(&["CreateTime", "LogAppendTime"]))
        .doc("Default of the topic config `message.timestamp.type`."),
    def("log.preallocate", Boolean, "false", Valid::Any)
        .doc("Default of the topic config `preallocate`."),
    def("log.retention.bytes", Long, "-1", Valid::Any)
        .doc("Default of the topic config `retention.bytes`."),
    def("log.retention.check.interval.ms", Long, "300000", Valid::AtLeast(1))
        .doc("How often segments beyond the retention limits are looked for."),
    def("log.retention.hours", Int, "168", Valid::Any)
        .doc("Default of the topic config `retention.ms`, in hours, if no finer one is set."),
    def("log.retention.minutes", Int, "", Valid::Any)
        .unset()
        .doc("Default of the topic config `retention.ms`, in minutes, if no finer one is set."),
    def("log.retention.ms", Long, "", Valid::Any)
        .unset()
        .doc("Default of the topic config `retention.ms`; -1 is no limit."),
    def("log.roll.hours", Int, "168", Valid::AtLeast(1))
        .doc("Default of the topic config `segment.ms`, in hours, if `log.roll.ms` is not set."),
    def("log.roll.jitter.hours", Int, "0", Valid::AtLeast(0))
        .doc("Default of the topic config `segment.jitter.ms`, in hours, if `log.roll.jitter.ms` is not set."),
    def("log.roll.jitter.ms", Long, "", Valid::Any)
        .unset()
        .doc("Default of the topic config `segment.jitter.ms`."),
    def("log.roll.ms", Long, "", Valid::Any)
        .unset()
        .doc("Default of the topic config `segment.ms`."),
    def("log.segment.bytes", Int, "1073741824", Valid::AtLeast(1 << 20))
        .doc("Default of the topic config `segment.bytes`."),
    def("log.segment.delete.delay.ms", Long, "60000", Valid::AtLeast(0))
        .doc("Default of the topic config `file.delete.delay.ms`."),
    def("max.connections", Int, "2147483647", Valid::AtLeast(0))
        .doc("Most connections at a time."),
    def("max.incremental.fetch.session.cache.slots", Int, "1000", Valid::AtLeast(0))
        .doc("Most fetch sessions that are remembered; beyond it clients fetch without one."),
    def("message.max.bytes", Int, "1048588", Valid::AtLeast(0))
        .doc("Default of the topic config `max.message.bytes`."),
    def("min.insync.replicas", Int, "1", Valid::AtLeast(1))
        .doc("Default of the topic config of that name."),
    def("node.id", Int, "1", Valid::AtLeast(0))
        .doc("Identity of this broker within its cluster."),
    def("num.network.threads", Int, "", Valid::AtLeast(1))
        .unset()
        .doc("Threads that serve connections. Unset: as many as there are cores, less one, which is left to syncs, slow reads and clients on the same machine."),
    def("num.partitions", Int, "1", Valid::AtLeast(1))
        .doc("Partitions of a topic whose creator names no number."),
    def("offset.metadata.max.bytes", Int, "4096", Valid::Any)
        .doc("Longest text that is committed with an offset."),
    def("offsets.retention.check.interval.ms", Long, "600000", Valid::AtLeast(1))
        .doc("How often offsets that expired are looked for."),
    def("offsets.retention.minutes", Int, "10080", Valid::AtLeast(1))
        .doc("How long offsets of an empty group are kept."),
    def("offsets.topic.num.partitions", Int, "50", Valid::AtLeast(1))
        .doc("Partitions of `__consumer_offsets`, when it is made."),
    def("offsets.topic.replication.factor", Int, "3", Valid::AtLeast(1))
        .doc("Replication factor of `__consumer_offsets`. One node keeps one replica."),
    def("offsets.topic.segment.bytes", Int, "104857600", Valid::AtLeast(1))
        .doc("Segment size of `__consumer_offsets`, when it is made."),
    def("ottla.group.disconnect.grace.ms", Long, "-1", Valid::AtLeast(-1))
        .doc("Ottla's own: how long a member whose connection closed may stay silent before it is out; -1 is as long as its session. `--dev` sets 1000."),
    def("ottla.group.regex.batch.interval.ms", Long, "10000", Valid::AtLeast(0))
        .doc("Ottla's own: how often at most regular expressions of a consumer group are resolved anew because topics changed; a constant in Apache Kafka. `--dev` sets 0."),
    def("producer.id.expiration.ms", Int, "86400000", Valid::AtLeast(1))
        .doc("A partition forgets a producer that wrote nothing for longer."),
    def("queued.max.request.bytes", Long, "-1", Valid::Any)
        .doc("Bytes of produced records that may wait for the disk, before producers have to; -1 is 256 MiB."),
    def("socket.request.max.bytes", Int, "104857600", Valid::AtLeast(1))
        .doc("Largest request that is read."),
    def("unclean.leader.election.enable", Boolean, "false", Valid::Any)
        .doc("Default of the topic config of that name."),
];

/// What was set for the broker, by file, flag or environment. Holds valid values of known names only.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct BrokerSettings {
    values: BTreeMap<&'static str, String>,
}

impl BrokerSettings {
    /// Sets a broker config.
    ///
    /// # Errors
    /// What is wrong with the name or the value; nothing is changed then.
    pub fn set(&mut self, name: &str, raw: &str) -> Result<(), ConfigError> {
        let Some(def) = broker_config(name) else {
            return Err(ConfigError::unknown(name));
        };
        def.parse(raw)?;
        // A topic config may be stricter than the broker config that it falls back to.
        for topic_def in TOPIC_CONFIGS {
            if let Some(synonym) = topic_def.synonyms.iter().find(|s| s.name == name) {
                topic_def
                    .parse(&scaled(def, raw, synonym.factor))
                    .map_err(|error| ConfigError::new(name, Some(raw), error.problem))?;
            }
        }
        self.values.insert(def.name, raw.to_owned());
        Ok(())
    }

    /// What was set, raw; `None` if nothing was.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// What holds: what was set, or the default.
    ///
    /// # Panics
    /// If there is no such config: the name is the caller's own.
    #[must_use]
    #[allow(clippy::expect_used, reason = "names its invariant")]
    pub fn value(&self, name: &str) -> Option<ConfigValue> {
        let def =
            broker_config(name).expect("invariant: a broker config of the table is asked for");
        let raw = self.get(name).or(def.default)?;
        Some(
            def.parse(raw)
                .expect("invariant: what is set was parsed, and defaults parse (test)"),
        )
    }

    /// A number that holds; see [`value`](Self::value). `None` if it is unset without default.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<i64> {
        match self.value(name) {
            Some(ConfigValue::Number(n)) => Some(n),
            _ => None,
        }
    }

    /// A switch that holds; see [`value`](Self::value).
    #[must_use]
    pub fn is_on(&self, name: &str) -> bool {
        self.value(name) == Some(ConfigValue::Boolean(true))
    }

    /// What holds for a topic that sets nothing.
    #[must_use]
    pub fn topic_config(&self) -> TopicConfig {
        let mut config = TopicConfig::default();
        for def in TOPIC_CONFIGS {
            if let Some(raw) = self.topic_default(def) {
                // `set` parsed it as this topic config already.
                let _ = config.set(def.name, &raw);
            }
        }
        config
    }

    /// What DescribeConfigs and CreateTopics show of a topic that sets `overrides`, by name.
    #[must_use]
    pub fn describe_topic(&self, overrides: &BTreeMap<String, String>) -> Vec<EffectiveConfig> {
        topic::describe(overrides, self)
    }

    /// The value that the broker sets for a topic config, in the topic config's unit.
    pub(super) fn topic_default(&self, def: &ConfigDef) -> Option<String> {
        def.synonyms.iter().find_map(|synonym| {
            let raw = self.get(synonym.name)?;
            Some(broker_config(synonym.name).map_or_else(
                || raw.to_owned(),
                |broker_def| scaled(broker_def, raw, synonym.factor),
            ))
        })
    }
}

/// A valid raw value, times `factor`; -1 stays "no limit".
fn scaled(def: &ConfigDef, raw: &str, factor: i64) -> String {
    match def.parse(raw) {
        Ok(ConfigValue::Number(n)) if factor != 1 && n >= 0 => n.saturating_mul(factor).to_string(),
        _ => raw.to_owned(),
    }
}
