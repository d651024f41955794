//! The typed configuration of a topic, and how it comes about.
//!
//! A value holds because the topic sets it, else because the broker's file sets one of its synonyms,
//! else by default.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use super::{
    BrokerSettings, ConfigDef, ConfigError, ConfigProblem, ConfigValue, TOPIC_CONFIGS,
    broker_config, topic_config,
};
use crate::batch::{Codec, TimestampType};

/// What holds for a topic. Times are in ms; `None` is no limit.
#[derive(Clone, PartialEq, Debug)]
pub struct TopicConfig {
    /// `cleanup.policy`.
    pub cleanup: Cleanup,
    /// `compression.type`; `None` is `producer`, [`Codec::None`] is `uncompressed`.
    pub compression: Option<Codec>,
    /// `compression.gzip.level`; -1 is the library's default.
    pub gzip_level: i32,
    /// `compression.lz4.level`.
    pub lz4_level: i32,
    /// `compression.zstd.level`.
    pub zstd_level: i32,
    /// `delete.retention.ms`.
    pub delete_retention_ms: u64,
    /// `file.delete.delay.ms`.
    pub file_delete_delay_ms: u64,
    /// `flush.messages`.
    pub flush_messages: u64,
    /// `flush.ms`.
    pub flush_ms: u64,
    /// `index.interval.bytes`.
    pub index_interval_bytes: u32,
    /// `max.compaction.lag.ms`.
    pub compaction_lag_ms_max: u64,
    /// `max.message.bytes`.
    pub message_bytes_max: u32,
    /// `message.timestamp.after.max.ms`.
    pub timestamp_after_ms_max: u64,
    /// `message.timestamp.before.max.ms`.
    pub timestamp_before_ms_max: u64,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// `min.cleanable.dirty.ratio`.
    pub cleanable_dirty_ratio_min: f64,
    /// `min.compaction.lag.ms`.
    pub compaction_lag_ms_min: u64,
    /// `min.insync.replicas`.
    pub insync_replicas_min: u32,
    /// `preallocate`.
    pub preallocate: bool,
    /// `retention.bytes`.
    pub retention_bytes: Option<u64>,
    /// `retention.ms`.
    pub retention_ms: Option<u64>,
    /// `segment.bytes`, or `internal.segment.bytes` if that is set.
    pub segment_bytes: u32,
    /// `segment.index.bytes`.
    pub segment_index_bytes: u32,
    /// `segment.jitter.ms`.
    pub segment_jitter_ms: u64,
    /// `segment.ms`.
    pub segment_ms: u64,
}

/// How old records go. Neither: they stay.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cleanup {
    /// The newest record of each key stays.
    pub compact: bool,
    /// Segments beyond the retention limits go.
    pub delete: bool,
}

/// Where a value comes from, as DescribeConfigs says it (Kafka `ConfigEntry.ConfigSource`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ConfigSource {
    /// Set for the topic.
    DynamicTopic,
    /// From the broker's file, flags or environment.
    StaticBroker,
    /// By default.
    Default,
}

impl ConfigSource {
    /// The number on the wire.
    #[must_use]
    pub fn id(self) -> i8 {
        match self {
            ConfigSource::DynamicTopic => 1,
            ConfigSource::StaticBroker => 4,
            ConfigSource::Default => 5,
        }
    }
}

/// A config as it holds, and why.
#[derive(Clone, PartialEq, Debug)]
pub struct EffectiveConfig {
    /// Which config.
    pub def: &'static ConfigDef,
    /// Its value, as it was set; `None` is null.
    pub value: Option<String>,
    /// Where the value comes from.
    pub source: ConfigSource,
    /// All that it could have come from, the strongest first: name, value, source.
    pub synonyms: Vec<(&'static str, String, ConfigSource)>,
}

impl Default for TopicConfig {
    fn default() -> TopicConfig {
        const DAY_MS: u64 = 24 * 60 * 60 * 1000;
        const FOREVER: u64 = i64::MAX as u64;
        TopicConfig {
            cleanup: Cleanup {
                compact: false,
                delete: true,
            },
            compression: None,
            gzip_level: -1,
            lz4_level: 9,
            zstd_level: 3,
            delete_retention_ms: DAY_MS,
            file_delete_delay_ms: 60_000,
            flush_messages: FOREVER,
            flush_ms: FOREVER,
            index_interval_bytes: 4096,
            compaction_lag_ms_max: FOREVER,
            message_bytes_max: (1 << 20) + 12,
            timestamp_after_ms_max: 60 * 60 * 1000,
            timestamp_before_ms_max: FOREVER,
            timestamp_type: TimestampType::CreateTime,
            cleanable_dirty_ratio_min: 0.5,
            compaction_lag_ms_min: 0,
            insync_replicas_min: 1,
            preallocate: false,
            retention_bytes: None,
            retention_ms: Some(7 * DAY_MS),
            segment_bytes: 1 << 30,
            segment_index_bytes: 10 << 20,
            segment_jitter_ms: 0,
            segment_ms: 7 * DAY_MS,
        }
    }
}

impl TopicConfig {
    /// The configuration of a topic that sets `overrides` on a broker whose topics have `defaults`.
    ///
    /// # Errors
    /// The first name or value that does not do.
    pub fn resolve<'a>(
        defaults: &TopicConfig,
        overrides: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<TopicConfig, ConfigError> {
        let mut config = defaults.clone();
        let mut lag_ms_min = None;
        let mut internal_segment_bytes = None;
        for (name, raw) in overrides {
            config.set(name, raw)?;
            match name {
                "min.compaction.lag.ms" => lag_ms_min = Some(raw),
                "internal.segment.bytes" => internal_segment_bytes = Some(config.segment_bytes),
                _ => {}
            }
        }
        // Wins over `segment.bytes`, whichever was set last.
        config.segment_bytes = internal_segment_bytes.unwrap_or(config.segment_bytes);
        if config.compaction_lag_ms_min > config.compaction_lag_ms_max {
            return Err(ConfigError::new(
                "min.compaction.lag.ms",
                lag_ms_min,
                ConfigProblem::Exceeds {
                    other: "max.compaction.lag.ms",
                    limit: i64::try_from(config.compaction_lag_ms_max).unwrap_or(i64::MAX),
                },
            ));
        }
        Ok(config)
    }

    /// Sets one config from its raw value.
    ///
    /// # Errors
    /// What is wrong with the name or the value; nothing is changed then.
    pub fn set(&mut self, name: &str, raw: &str) -> Result<(), ConfigError> {
        let Some(def) = topic_config(name) else {
            return Err(ConfigError::unknown(name));
        };
        match def.parse(raw)? {
            ConfigValue::Number(n) => self.set_number(name, n),
            ConfigValue::String(text) => match name {
                "compression.type" => self.compression = codec(&text),
                "message.timestamp.type" if text == "LogAppendTime" => {
                    self.timestamp_type = TimestampType::LogAppendTime;
                }
                "message.timestamp.type" => self.timestamp_type = TimestampType::CreateTime,
                _ => {}
            },
            ConfigValue::List(list) if name == "cleanup.policy" => {
                let has = |policy| list.iter().any(|element| element == policy);
                self.cleanup = Cleanup {
                    compact: has("compact"),
                    delete: has("delete"),
                };
            }
            ConfigValue::Double(n) if name == "min.cleanable.dirty.ratio" => {
                self.cleanable_dirty_ratio_min = n;
            }
            ConfigValue::Boolean(on) => match name {
                "preallocate" => self.preallocate = on,
                "remote.storage.enable" if on => {
                    return Err(ConfigError::new(
                        name,
                        Some(raw),
                        ConfigProblem::NoRemoteStorage,
                    ));
                }
                _ => {}
            },
            ConfigValue::List(_) | ConfigValue::Double(_) => {}
        }
        Ok(())
    }

    fn set_number(&mut self, name: &str, n: i64) {
        // The table bounds each from below (or gives the negative a meaning) and by its type.
        let ms = u64::try_from(n).unwrap_or(0);
        let bytes = u32::try_from(n).unwrap_or(0);
        let limit = u64::try_from(n).ok();
        let level = i32::try_from(n).unwrap_or(0);
        match name {
            "compression.gzip.level" => self.gzip_level = level,
            "compression.lz4.level" => self.lz4_level = level,
            "compression.zstd.level" => self.zstd_level = level,
            "delete.retention.ms" => self.delete_retention_ms = ms,
            "file.delete.delay.ms" => self.file_delete_delay_ms = ms,
            "flush.messages" => self.flush_messages = ms,
            "flush.ms" => self.flush_ms = ms,
            "index.interval.bytes" => self.index_interval_bytes = bytes,
            "max.compaction.lag.ms" => self.compaction_lag_ms_max = ms,
            "max.message.bytes" => self.message_bytes_max = bytes,
            "message.timestamp.after.max.ms" => self.timestamp_after_ms_max = ms,
            "message.timestamp.before.max.ms" => self.timestamp_before_ms_max = ms,
            "min.compaction.lag.ms" => self.compaction_lag_ms_min = ms,
            "min.insync.replicas" => self.insync_replicas_min = bytes,
            "retention.bytes" => self.retention_bytes = limit,
            "retention.ms" => self.retention_ms = limit,
            "segment.bytes" | "internal.segment.bytes" => self.segment_bytes = bytes,
            "segment.index.bytes" => self.segment_index_bytes = bytes,
            "segment.jitter.ms" => self.segment_jitter_ms = ms,
            "segment.ms" => self.segment_ms = ms,
            _ => {}
        }
    }
}

/// What DescribeConfigs and CreateTopics show of a topic that sets `overrides`, by name.
#[must_use]
pub(super) fn describe(
    overrides: &BTreeMap<String, String>,
    broker: &BrokerSettings,
) -> Vec<EffectiveConfig> {
    TOPIC_CONFIGS
        .iter()
        .filter(|def| !def.internal || overrides.contains_key(def.name))
        .map(|def| {
            let mut synonyms = Vec::new();
            if let Some(value) = overrides.get(def.name) {
                synonyms.push((def.name, value.clone(), ConfigSource::DynamicTopic));
            }
            let set = def.synonyms.iter().filter_map(|synonym| {
                let value = broker.get(synonym.name)?;
                Some((synonym.name, value.to_owned(), ConfigSource::StaticBroker))
            });
            let defaults = def.synonyms.iter().filter_map(|synonym| {
                let value = broker_config(synonym.name)?.default?;
                Some((synonym.name, value.to_owned(), ConfigSource::Default))
            });
            // What stands before the main name is not shown, although it decides (Kafka: `ConfigHelper.configSynonyms`).
            let main = def.synonyms.first().map(|synonym| synonym.name);
            synonyms.extend(
                set.chain(defaults)
                    .skip_while(|(name, ..)| Some(*name) != main),
            );
            let value = overrides
                .get(def.name)
                .cloned()
                .or_else(|| broker.topic_default(def))
                .or_else(|| def.default.map(str::to_owned));
            let source = synonyms
                .first()
                .map_or(ConfigSource::Default, |(.., source)| *source);
            EffectiveConfig {
                def,
                value,
                source,
                synonyms,
            }
        })
        .collect()
}

/// The codec of a valid `compression.type`.
fn codec(name: &str) -> Option<Codec> {
    match name {
        "uncompressed" => Some(Codec::None),
        "gzip" => Some(Codec::Gzip),
        "snappy" => Some(Codec::Snappy),
        "lz4" => Some(Codec::Lz4),
        "zstd" => Some(Codec::Zstd),
        _ => None,
    }
}
