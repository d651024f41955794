//! Why a config was refused, in words for the client that sent it.

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;

use super::{CONFIG_VALUE_BYTES_MAX, ConfigType};

/// A config that was refused (`INVALID_CONFIG`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigError {
    /// The config.
    pub name: String,
    /// The value, as it came; `None` for null.
    pub value: Option<String>,
    /// What is wrong.
    pub problem: ConfigProblem,
}

/// What is wrong with a config.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ConfigProblem {
    /// There is no such config.
    Unknown,
    /// A topic cannot be created with a null.
    Null,
    /// More than [`CONFIG_VALUE_BYTES_MAX`] bytes.
    TooLong,
    /// Not a value of this type.
    NotOfType(ConfigType),
    /// Below the smallest value.
    TooSmall {
        /// The smallest value.
        min: i64,
    },
    /// Above the largest value.
    TooLarge {
        /// The largest value.
        max: i64,
    },
    /// Not a number from 0 to 1.
    NotARatio,
    /// None of these.
    NotOneOf(&'static [&'static str]),
    /// An element of a list is the empty text.
    EmptyElement,
    /// An element of a list is there twice.
    Repeated,
    /// Not a list of `partition:broker`, nor `*`.
    NotReplicas,
    /// Larger than another config allows.
    Exceeds {
        /// The other config.
        other: &'static str,
        /// Its value.
        limit: i64,
    },
    /// Tiered storage is asked for, and there is none.
    NoRemoteStorage,
}

impl ConfigError {
    pub(super) fn new(name: &str, value: Option<&str>, problem: ConfigProblem) -> ConfigError {
        // A value that is too long is not repeated to the client.
        let value = value.filter(|value| value.len() <= CONFIG_VALUE_BYTES_MAX);
        ConfigError {
            name: name.to_owned(),
            value: value.map(str::to_owned),
            problem,
        }
    }

    /// A topic config that does not exist.
    #[must_use]
    pub fn unknown(name: &str) -> ConfigError {
        ConfigError::new(name, None, ConfigProblem::Unknown)
    }

    /// A topic config without a value.
    #[must_use]
    pub fn null(name: &str) -> ConfigError {
        ConfigError::new(name, None, ConfigProblem::Null)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        match &self.problem {
            ConfigProblem::Unknown => return write!(f, "Unknown config name: {name}"),
            ConfigProblem::Null => return write!(f, "Null value not supported for config {name}"),
            ConfigProblem::TooLong => {
                return write!(
                    f,
                    "The value of {name} is longer than {CONFIG_VALUE_BYTES_MAX} bytes"
                );
            }
            _ => {}
        }
        write!(
            f,
            "Invalid value {} for configuration {name}: ",
            self.value.as_deref().unwrap_or("")
        )?;
        match &self.problem {
            ConfigProblem::Unknown | ConfigProblem::Null | ConfigProblem::TooLong => Ok(()),
            ConfigProblem::NotOfType(ConfigType::Boolean) => f.write_str("expected true or false"),
            ConfigProblem::NotOfType(kind) => write!(f, "not a number of type {}", kind.name()),
            ConfigProblem::TooSmall { min } => write!(f, "value must be at least {min}"),
            ConfigProblem::TooLarge { max } => write!(f, "value must be no more than {max}"),
            ConfigProblem::NotARatio => f.write_str("value must be between 0 and 1"),
            ConfigProblem::NotOneOf(names) => {
                write!(f, "value must be one of: {}", names.join(", "))
            }
            ConfigProblem::EmptyElement => f.write_str("values must not be empty"),
            ConfigProblem::Repeated => f.write_str("values must not be repeated"),
            ConfigProblem::NotReplicas => {
                f.write_str("expected * or a list of partition:broker,partition:broker")
            }
            ConfigProblem::Exceeds { other, limit } => {
                write!(f, "value must be no more than {other}, which is {limit}")
            }
            ConfigProblem::NoRemoteStorage => {
                f.write_str("tiered storage is not available in this broker")
            }
        }
    }
}

impl core::error::Error for ConfigError {}
