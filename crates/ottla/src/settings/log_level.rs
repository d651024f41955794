//! How much is logged.

use std::str::FromStr;

use serde::Deserialize;
use tracing_subscriber::filter::Targets;

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// A level, or levels per module.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct LogLevel(pub(crate) Targets);

impl FromStr for LogLevel {
    type Err = String;

    fn from_str(text: &str) -> Result<LogLevel, String> {
        // The filter takes any word for the name of a module: a misspelt level would switch off the rest.
        for part in text.split(',') {
            let level = part.split_once('=').map_or(part, |(_, level)| level);
            if !LEVELS
                .iter()
                .any(|known| level.trim().eq_ignore_ascii_case(known))
            {
                return Err(format!(
                    "{level:?} is no level; there are {}",
                    LEVELS.join(", ")
                ));
            }
        }
        text.parse()
            .map(LogLevel)
            .map_err(|error| format!("{text:?}: {error}"))
    }
}

impl TryFrom<String> for LogLevel {
    type Error = String;

    fn try_from(text: String) -> Result<LogLevel, String> {
        text.parse()
    }
}
