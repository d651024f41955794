//! The command line.

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

use crate::commands::health::HealthArgs;
use crate::exit::{CODES, Fatal};
use crate::settings::StartArgs;
use crate::text;

/// A Kafka-compatible log broker.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true, after_help = CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) start: StartArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the broker (the default)
    #[command(after_help = CODES)]
    Start(Box<StartArgs>),
    /// Exit 0 if a broker answers, 5 if not
    Health(HealthArgs),
    /// Print the version
    Version,
}

/// Help is no failure; everything else becomes one line.
pub(crate) fn refuse(error: &clap::Error) -> Result<(), Fatal> {
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    ) {
        text::line(error.render().to_string().trim_end());
        return Ok(());
    }
    Err(Fatal::usage(format!(
        "{}; see ottla --help",
        complaint(error)
    )))
}

/// What is wrong, without the usage that clap prints below it.
pub(crate) fn complaint(error: &clap::Error) -> String {
    let rendered = error.render().to_string();
    let lines = rendered
        .lines()
        .take_while(|line| !line.starts_with("Usage:"))
        .map(str::trim);
    let lines: Vec<_> = lines
        .filter(|line| !line.is_empty() && !line.starts_with("For more information"))
        .collect();
    let words = lines.join("; ");
    words.strip_prefix("error: ").unwrap_or(&words).to_owned()
}
