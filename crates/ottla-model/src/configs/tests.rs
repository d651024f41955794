use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use std::format;

use super::*;
use crate::batch::{Codec, TimestampType};

#[test]
fn the_topic_table_is_kafkas() {
    let kafka: Vec<Vec<&str>> = include_str!("kafka-4.3.1-topic-configs.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split(';').map(str::trim).collect())
        .collect();
    let ours: Vec<Vec<String>> = TOPIC_CONFIGS
        .iter()
        .filter(|def| !def.internal)
        .map(|def| {
            let valid = match def.valid {
                Valid::Any => String::new(),
                Valid::AtLeast(min) => format!("[{min},...]"),
                Valid::Between(min, max) => format!("[{min},...,{max}]"),
                Valid::BetweenOr(min, max, or) => format!("[{min},...,{max}] or {or}"),
                Valid::Ratio => "[0,...,1]".into(),
                Valid::OneOf(names) | Valid::ListOf(names) => format!("[{}]", names.join(", ")),
                Valid::Distinct => panic!("no topic config has this"),
                Valid::ThrottledReplicas => {
                    "[partitionId]:[brokerId],[partitionId]:[brokerId],...".into()
                }
            };
            let synonym = def.synonyms.first().map_or("", |s| s.name);
            [
                def.name,
                &def.kind.name().to_lowercase(),
                def.default.unwrap(),
                &valid,
                synonym,
            ]
            .map(ToString::to_string)
            .into()
        })
        .collect();
    assert_eq!(ours, kafka);
}

#[test]
fn the_tables_are_in_order_and_sound() {
    for table in [TOPIC_CONFIGS, BROKER_CONFIGS] {
        assert!(table.is_sorted_by(|a, b| a.name < b.name));
        for def in table {
            if let Some(default) = def.default {
                assert!(def.parse(default).is_ok(), "{}", def.name);
            }
            assert!(!def.doc.is_empty(), "{}", def.name);
            let fits = match def.valid {
                Valid::Any => true,
                Valid::AtLeast(_) | Valid::Between(..) | Valid::BetweenOr(..) => {
                    matches!(def.kind, ConfigType::Int | ConfigType::Long)
                }
                Valid::Ratio => def.kind == ConfigType::Double,
                Valid::OneOf(_) => def.kind == ConfigType::String,
                Valid::ListOf(_) | Valid::Distinct | Valid::ThrottledReplicas => {
                    def.kind == ConfigType::List
                }
            };
            assert!(fits, "{}: {:?} of {:?}", def.name, def.valid, def.kind);
        }
    }
    for def in TOPIC_CONFIGS {
        for synonym in def.synonyms {
            let broker = broker_config(synonym.name).unwrap_or_else(|| panic!("{}", synonym.name));
            if synonym.factor == 1 {
                assert!(
                    broker.default.is_none() || broker.default == def.default,
                    "{}",
                    def.name
                );
            }
        }
    }
    for not_yet in NOT_YET {
        assert!(topic_config(not_yet.name).is_some(), "{}", not_yet.name);
    }
}

#[test]
fn a_broker_config_does_what_the_topic_config_does_that_falls_back_to_it() {
    let without: Vec<&str> = BROKER_CONFIGS
        .iter()
        .map(|def| def.name)
        .filter(|name| broker_not_yet(name).is_some())
        .collect();
    for name in [
        "listener.security.protocol.map",
        "log.cleanup.policy",
        "log.flush.scheduler.interval.ms",
        "log.retention.check.interval.ms",
        "log.retention.hours",
        "min.insync.replicas",
    ] {
        assert!(without.contains(&name), "{name}");
    }
    for name in ["compression.type", "log.roll.hours", "num.partitions"] {
        assert!(!without.contains(&name), "{name}");
    }
    assert_eq!(
        broker_not_yet("log.retention.minutes"),
        Some("nothing is deleted")
    );
    assert_eq!(broker_not_yet("nothing"), None);
}

#[test]
fn the_typed_default_is_the_tables() {
    let defaults: Vec<(&str, &str)> = TOPIC_CONFIGS
        .iter()
        .filter_map(|def| Some((def.name, def.default?)))
        .collect();
    let config = TopicConfig::resolve(&odd_config(), defaults).unwrap();
    assert_eq!(config, TopicConfig::default());
}

/// Differs from the default in every field, so that a field which is never set shows.
fn odd_config() -> TopicConfig {
    TopicConfig {
        cleanup: Cleanup {
            compact: true,
            delete: false,
        },
        compression: Some(Codec::Zstd),
        gzip_level: 1,
        lz4_level: 1,
        zstd_level: 1,
        delete_retention_ms: 1,
        file_delete_delay_ms: 1,
        flush_messages: 1,
        flush_ms: 1,
        index_interval_bytes: 1,
        compaction_lag_ms_max: 1,
        message_bytes_max: 1,
        timestamp_after_ms_max: 1,
        timestamp_before_ms_max: 1,
        timestamp_type: TimestampType::LogAppendTime,
        cleanable_dirty_ratio_min: 1.0,
        compaction_lag_ms_min: 1,
        insync_replicas_min: 2,
        preallocate: true,
        retention_bytes: Some(1),
        retention_ms: Some(1),
        segment_bytes: 1,
        segment_index_bytes: 1,
        segment_jitter_ms: 1,
        segment_ms: 1,
    }
}

#[test]
fn values_become_typed() {
    let config = TopicConfig::resolve(
        &TopicConfig::default(),
        [
            ("cleanup.policy", " compact , delete "),
            ("compression.type", "lz4"),
            ("message.timestamp.type", "LogAppendTime"),
            ("min.cleanable.dirty.ratio", "0.1"),
            ("preallocate", "TRUE"),
            ("retention.bytes", "-7"),
            ("retention.ms", "-1"),
            ("segment.bytes", "1048576"),
            ("segment.ms", "+5"),
        ],
    )
    .unwrap();
    assert_eq!(
        config.cleanup,
        Cleanup {
            compact: true,
            delete: true
        }
    );
    assert_eq!(config.compression, Some(Codec::Lz4));
    assert_eq!(config.timestamp_type, TimestampType::LogAppendTime);
    assert_eq!(config.cleanable_dirty_ratio_min, 0.1);
    assert!(config.preallocate);
    assert_eq!((config.retention_bytes, config.retention_ms), (None, None));
    assert_eq!((config.segment_bytes, config.segment_ms), (1 << 20, 5));

    let set = |name, raw| TopicConfig::resolve(&TopicConfig::default(), [(name, raw)]).unwrap();
    assert_eq!(set("internal.segment.bytes", "100").segment_bytes, 100);
    let both = [
        ("internal.segment.bytes", "100"),
        ("segment.bytes", "1048576"),
    ];
    assert_eq!(
        TopicConfig::resolve(&config, both).unwrap().segment_bytes,
        100
    );
    assert_eq!(
        set("cleanup.policy", "").cleanup,
        Cleanup {
            compact: false,
            delete: false
        }
    );
    assert_eq!(
        set("compression.type", "uncompressed").compression,
        Some(Codec::None)
    );
    assert_eq!(
        set("remote.storage.enable", "false"),
        TopicConfig::default()
    );
}

#[test]
fn every_problem_is_reached_and_said() {
    let long = "1".repeat(CONFIG_VALUE_BYTES_MAX + 1);
    let set = |name: &str, raw: &str| {
        TopicConfig::resolve(&TopicConfig::default(), [(name, raw)]).unwrap_err()
    };
    let mut broker = BrokerSettings::default();
    let errors = [
        set("retention.msec", "1"),
        ConfigError::null("retention.ms"),
        set("retention.ms", &long),
        set("retention.ms", "1h"),
        set("segment.bytes", "1048575"),
        set("compression.lz4.level", "18"),
        set("min.cleanable.dirty.ratio", "NaN"),
        set("compression.type", "Gzip"),
        set("cleanup.policy", "delete,"),
        set("cleanup.policy", "delete,delete"),
        set("leader.replication.throttled.replicas", "0:1,x"),
        TopicConfig::resolve(
            &TopicConfig::default(),
            [
                ("min.compaction.lag.ms", "5"),
                ("max.compaction.lag.ms", "4"),
            ],
        )
        .unwrap_err(),
        set("remote.storage.enable", "true"),
        set("segment.bytes", "2147483648"),
        set("preallocate", "yes"),
        set("compression.gzip.level", "0"),
        set("cleanup.policy", "Compact"),
        broker.set("num.partitions", "0").unwrap_err(),
        broker.set("listeners", "a://:1,a://:1").unwrap_err(),
        broker.set("log.roll.ms", "0").unwrap_err(),
    ];
    // Exhaustive: a new problem does not compile until it has a place here.
    let place = |problem: &ConfigProblem| match problem {
        ConfigProblem::Unknown => 0,
        ConfigProblem::Null => 1,
        ConfigProblem::TooLong => 2,
        ConfigProblem::NotOfType(_) => 3,
        ConfigProblem::TooSmall { .. } => 4,
        ConfigProblem::TooLarge { .. } => 5,
        ConfigProblem::NotARatio => 6,
        ConfigProblem::NotOneOf(_) => 7,
        ConfigProblem::EmptyElement => 8,
        ConfigProblem::Repeated => 9,
        ConfigProblem::NotReplicas => 10,
        ConfigProblem::Exceeds { .. } => 11,
        ConfigProblem::NoRemoteStorage => 12,
    };
    let places: Vec<usize> = errors.iter().map(|error| place(&error.problem)).collect();
    assert_eq!(places[..13], (0..13).collect::<Vec<_>>());
    assert_eq!(places[13..], [3, 3, 4, 7, 4, 9, 4]);
    for error in &errors {
        let text = error.to_string();
        assert!(text.contains(&error.name) && text.len() < 300, "{text}");
    }
    assert_eq!(
        broker,
        BrokerSettings::default(),
        "a refused value is not kept"
    );
}

#[test]
fn throttled_replicas_are_read_as_kafka_does() {
    let def = topic_config("leader.replication.throttled.replicas").unwrap();
    for good in ["", "*", "0:1", "0:1, 2:3", "0:1,,2:3"] {
        assert!(def.parse(good).is_ok(), "{good:?}");
    }
    for bad in ["*,0:1", "0", "0:", ":1", "a:b", "-1:2", "0:1:2"] {
        assert!(def.parse(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn topics_fall_back_to_the_brokers_settings() {
    let mut broker = BrokerSettings::default();
    assert_eq!(broker.topic_config(), TopicConfig::default());
    assert_eq!(broker.number("num.partitions"), Some(1));
    assert_eq!(broker.number("log.retention.ms"), None);
    assert!(broker.is_on("auto.create.topics.enable"));

    broker.set("log.retention.hours", "2").unwrap();
    assert_eq!(broker.topic_config().retention_ms, Some(7_200_000));
    broker.set("log.retention.minutes", "5").unwrap();
    assert_eq!(
        broker.topic_config().retention_ms,
        Some(300_000),
        "finer wins"
    );
    broker.set("log.retention.ms", "-1").unwrap();
    assert_eq!(broker.topic_config().retention_ms, None);
    broker.set("message.max.bytes", " 2000 ").unwrap();
    broker.set("auto.create.topics.enable", "False").unwrap();
    assert_eq!(broker.topic_config().message_bytes_max, 2000);
    assert!(!broker.is_on("auto.create.topics.enable"));

    let own: BTreeMap<String, String> = [("segment.ms".into(), "9".into())].into();
    let all = broker.describe_topic(&own);
    assert_eq!(
        all.len(),
        TOPIC_CONFIGS.len() - 1,
        "internal ones are not shown"
    );
    let of = |name| all.iter().find(|c| c.def.name == name).unwrap();
    let value = |name| (of(name).value.as_deref().unwrap(), of(name).source);
    assert_eq!(value("segment.ms"), ("9", ConfigSource::DynamicTopic));
    assert_eq!(value("retention.ms"), ("-1", ConfigSource::StaticBroker));
    assert_eq!(value("retention.bytes"), ("-1", ConfigSource::Default));
    assert_eq!(
        value("max.message.bytes"),
        (" 2000 ", ConfigSource::StaticBroker)
    );
    let synonyms: Vec<String> = of("retention.ms")
        .synonyms
        .iter()
        .map(|(name, value, source)| format!("{name}={value} {}", source.id()))
        .collect();
    assert_eq!(
        synonyms,
        [
            "log.retention.ms=-1 4",
            "log.retention.minutes=5 4",
            "log.retention.hours=2 4",
            "log.retention.hours=168 5"
        ]
    );
}
