//! `OTTLA_*`: each flag as an environment variable. Read as if it were the flag, so that both take
//! the same values. An empty variable counts as not set: compose files pass them on like that.
//!
//! A name that is almost one of ours is refused: a broker that stays on loopback because of `OTTLA_LISTN`
//! helps nobody. Any other unknown `OTTLA_*` is left alone, because such names are not only ours to give:
//! Kubernetes sets `OTTLA_PORT` and `OTTLA_SERVICE_HOST` for a service that is named `ottla`.

use clap::{Args, Command, FromArgMatches};

use super::slips::closest;
use super::{Given, StartArgs};
use crate::cli::complaint;
use crate::exit::Fatal;

const PREFIX: &str = "OTTLA_";
/// A name with one letter wrong for so many is a slip of the pen.
const LETTERS_PER_SLIP: usize = 4;

/// What the environment sets.
#[derive(Debug, Default)]
pub(super) struct Environment {
    pub(super) config: Option<std::path::PathBuf>,
    pub(super) given: Given,
    pub(super) unknown: Vec<String>,
}

pub(super) fn read(
    variables: impl Iterator<Item = (String, String)>,
) -> Result<Environment, Fatal> {
    let command = StartArgs::augment_args(
        Command::new("ottla")
            .no_binary_name(true)
            .disable_help_flag(true),
    );
    let mut environment = Environment::default();
    for (name, value) in variables {
        let Some(key) = name.strip_prefix(PREFIX) else {
            continue;
        };
        let flag = key.to_ascii_lowercase().replace('_', "-");
        let is_flag = command
            .get_arguments()
            .any(|arg| arg.get_long() == Some(flag.as_str()));
        if !is_flag || key.contains('-') || key != key.to_ascii_uppercase() {
            let known = command.get_arguments().filter_map(|arg| arg.get_long());
            if let Some(meant) = closest(&flag, known, flag.len() / LETTERS_PER_SLIP) {
                return Err(Fatal::usage(format!(
                    "environment variable {name} is none of ottla's; is it {}?",
                    variable(meant)
                )));
            }
            environment.unknown.push(name);
            continue;
        }
        if value.is_empty() {
            continue;
        }
        // The one flag that can be repeated; its values hold no blanks.
        let values: Vec<&str> = if flag == "set" {
            value.split_whitespace().collect()
        } else {
            vec![&value]
        };
        let arguments = values.iter().map(|value| format!("--{flag}={value}"));
        let args = command
            .clone()
            .try_get_matches_from(arguments)
            .and_then(|matches| StartArgs::from_arg_matches(&matches))
            .map_err(|error| {
                Fatal::usage(format!(
                    "environment variable {name}: {}",
                    complaint(&error)
                ))
            })?;
        environment.config = args.config.or(environment.config);
        environment.given = args.given.above(environment.given);
    }
    environment.unknown.sort();
    Ok(environment)
}

/// The variable that says what a flag says.
fn variable(flag: &str) -> String {
    format!("{PREFIX}{}", flag.to_ascii_uppercase().replace('-', "_"))
}

/// All variables that are ours.
pub(super) fn names() -> Vec<String> {
    let command = StartArgs::augment_args(Command::new("ottla"));
    let flags = command.get_arguments().filter_map(|arg| arg.get_long());
    flags.map(variable).collect()
}
