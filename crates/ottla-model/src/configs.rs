//! Kafka's configs by name: one table for topics, one for the broker, with types, defaults, valid
//! values and a short documentation.
//!
//! Owns the rules by which a value is read and judged (Kafka `ConfigDef`), the typed configuration of
//! a topic ([`TopicConfig`]) and the broker's settings that topics fall back to ([`BrokerSettings`]).
//! Guarantees: a value that a table accepts can be used without another check. Raw values are kept as
//! they came, so DescribeConfigs shows what was set. Never reads a file or the environment.
//!
//! The topic table is that of Kafka 4.3 (`LogConfig`); a test holds it against what that release
//! prints of itself.

mod broker;
mod error;
mod not_yet;
#[cfg(test)]
mod tests;
mod topic;
mod topic_table;

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

pub use broker::{BROKER_CONFIGS, BrokerSettings};
pub use error::{ConfigError, ConfigProblem};
pub use not_yet::{NOT_YET, NotYet, broker_not_yet};
pub use topic::{Cleanup, ConfigSource, EffectiveConfig, TopicConfig};
pub use topic_table::TOPIC_CONFIGS;

/// Longest value that is stored, in bytes (Kafka `ConfigurationControlManager`).
pub const CONFIG_VALUE_BYTES_MAX: usize = i16::MAX as usize;

/// The type of a config's value.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ConfigType {
    /// `true` or `false`, in any case.
    Boolean,
    /// Text.
    String,
    /// A 32-bit number.
    Int,
    /// A 64-bit number.
    Long,
    /// A floating point number.
    Double,
    /// Texts between commas.
    List,
}

impl ConfigType {
    /// What DescribeConfigs calls the type (Kafka `ConfigEntry.ConfigType`, KIP-569).
    #[must_use]
    pub fn id(self) -> i8 {
        match self {
            ConfigType::Boolean => 1,
            ConfigType::String => 2,
            ConfigType::Int => 3,
            ConfigType::Long => 5,
            ConfigType::Double => 6,
            ConfigType::List => 7,
        }
    }

    /// The type's name in messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ConfigType::Boolean => "BOOLEAN",
            ConfigType::String => "STRING",
            ConfigType::Int => "INT",
            ConfigType::Long => "LONG",
            ConfigType::Double => "DOUBLE",
            ConfigType::List => "LIST",
        }
    }
}

/// Which values of its type a config takes.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Valid {
    /// All.
    Any,
    /// Numbers from this one on.
    AtLeast(i64),
    /// Numbers from the first to the second, both included.
    Between(i64, i64),
    /// Numbers from the first to the second, or the third.
    BetweenOr(i64, i64, i64),
    /// Numbers from 0 to 1.
    Ratio,
    /// One of these, exactly.
    OneOf(&'static [&'static str]),
    /// A list of some of these, each once; may be empty.
    ListOf(&'static [&'static str]),
    /// A list without empty or repeated elements.
    Distinct,
    /// A list of `partition:broker`, or `*` for all.
    ThrottledReplicas,
}

/// A broker config that a topic config falls back to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Synonym {
    /// The broker config.
    pub name: &'static str,
    /// Factor from its unit to the topic config's: 3,600,000 from hours to ms.
    pub factor: i64,
}

/// One config.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ConfigDef {
    /// Its name.
    pub name: &'static str,
    /// Type of its value.
    pub kind: ConfigType,
    /// What holds if it is not set; `None` is Kafka's null.
    pub default: Option<&'static str>,
    /// Which values it takes.
    pub valid: Valid,
    /// For a topic config: the broker configs that it falls back to, first one first.
    pub synonyms: &'static [Synonym],
    /// What it means.
    pub doc: &'static str,
    /// Taken, but not listed: for tests.
    pub internal: bool,
}

/// A value, read and judged.
#[derive(Clone, PartialEq, Debug)]
pub enum ConfigValue {
    /// See [`ConfigType::Boolean`].
    Boolean(bool),
    /// See [`ConfigType::String`]; trimmed.
    String(String),
    /// [`ConfigType::Int`] and [`ConfigType::Long`].
    Number(i64),
    /// See [`ConfigType::Double`].
    Double(f64),
    /// See [`ConfigType::List`]; elements trimmed.
    List(Vec<String>),
}

/// Finds a topic config by its name.
#[must_use]
pub fn topic_config(name: &str) -> Option<&'static ConfigDef> {
    TOPIC_CONFIGS.iter().find(|def| def.name == name)
}

/// Finds a broker config by its name.
#[must_use]
pub fn broker_config(name: &str) -> Option<&'static ConfigDef> {
    BROKER_CONFIGS.iter().find(|def| def.name == name)
}

impl ConfigDef {
    /// Reads and judges a value.
    ///
    /// # Errors
    /// What is wrong with it, fit for the client that sent it.
    pub fn parse(&self, raw: &str) -> Result<ConfigValue, ConfigError> {
        let fail = |problem| Err(ConfigError::new(self.name, Some(raw), problem));
        if raw.len() > CONFIG_VALUE_BYTES_MAX {
            return fail(ConfigProblem::TooLong);
        }
        let Some(value) = parse(self.kind, raw) else {
            return fail(ConfigProblem::NotOfType(self.kind));
        };
        match self.valid.check(&value) {
            Ok(()) => Ok(value),
            Err(problem) => fail(problem),
        }
    }
}

/// As Java trims and parses (Kafka `ConfigDef.parseType`).
fn parse(kind: ConfigType, raw: &str) -> Option<ConfigValue> {
    let trimmed = raw.trim_matches(|c: char| c <= ' ');
    Some(match kind {
        ConfigType::Boolean if trimmed.eq_ignore_ascii_case("true") => ConfigValue::Boolean(true),
        ConfigType::Boolean if trimmed.eq_ignore_ascii_case("false") => ConfigValue::Boolean(false),
        ConfigType::Boolean => return None,
        ConfigType::String => ConfigValue::String(trimmed.to_owned()),
        ConfigType::Int => ConfigValue::Number(trimmed.parse::<i32>().ok()?.into()),
        ConfigType::Long => ConfigValue::Number(trimmed.parse().ok()?),
        ConfigType::Double => ConfigValue::Double(trimmed.parse().ok()?),
        ConfigType::List if trimmed.is_empty() => ConfigValue::List(Vec::new()),
        ConfigType::List => {
            ConfigValue::List(trimmed.split(',').map(|e| e.trim().to_owned()).collect())
        }
    })
}

impl Valid {
    fn check(self, value: &ConfigValue) -> Result<(), ConfigProblem> {
        match (self, value) {
            (Valid::AtLeast(min), ConfigValue::Number(n)) => check_between(*n, min, i64::MAX),
            (Valid::Between(min, max), ConfigValue::Number(n)) => check_between(*n, min, max),
            (Valid::BetweenOr(min, max, or), ConfigValue::Number(n)) => {
                if *n == or {
                    Ok(())
                } else {
                    check_between(*n, min, max)
                }
            }
            (Valid::Ratio, ConfigValue::Double(n)) => {
                // Not a number is outside, too.
                if (0.0..=1.0).contains(n) {
                    Ok(())
                } else {
                    Err(ConfigProblem::NotARatio)
                }
            }
            (Valid::OneOf(names), ConfigValue::String(text)) => check_one_of(text, names),
            (Valid::ListOf(names), ConfigValue::List(list)) => {
                check_distinct(list)?;
                list.iter()
                    .try_for_each(|element| check_one_of(element, names))
            }
            (Valid::Distinct, ConfigValue::List(list)) => check_distinct(list),
            (Valid::ThrottledReplicas, ConfigValue::List(list)) => {
                if list == &["*"] || list.iter().all(|element| is_replica(element)) {
                    Ok(())
                } else {
                    Err(ConfigProblem::NotReplicas)
                }
            }
            // A test holds that no other pair is in a table.
            _ => Ok(()),
        }
    }
}

fn check_between(n: i64, min: i64, max: i64) -> Result<(), ConfigProblem> {
    if n < min {
        Err(ConfigProblem::TooSmall { min })
    } else if n > max {
        Err(ConfigProblem::TooLarge { max })
    } else {
        Ok(())
    }
}

fn check_one_of(text: &str, names: &'static [&'static str]) -> Result<(), ConfigProblem> {
    if names.contains(&text) {
        Ok(())
    } else {
        Err(ConfigProblem::NotOneOf(names))
    }
}

fn check_distinct(list: &[String]) -> Result<(), ConfigProblem> {
    for (i, element) in list.iter().enumerate() {
        if element.is_empty() {
            return Err(ConfigProblem::EmptyElement);
        }
        if list[..i].contains(element) {
            return Err(ConfigProblem::Repeated);
        }
    }
    Ok(())
}

/// `partition:broker`; nothing at all is let pass, as in Kafka.
fn is_replica(element: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    element.is_empty()
        || element
            .split_once(':')
            .is_some_and(|(partition, broker)| number(partition) && number(broker))
}
