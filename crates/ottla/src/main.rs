//! The binary: flags, file and environment, wiring, signals, exit codes.
//!
//! Guarantees: every failure is one line on stderr that says what, where and what to do, and ends with
//! the exit code that the help text lists for it. Stdout has what was asked for, and one line when the
//! broker is ready. Never decides anything about records.

mod cli;
mod commands;
mod exit;
mod settings;
mod text;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};
use exit::{Code, Fatal};

fn main() -> ExitCode {
    let result = match Cli::try_parse() {
        Ok(cli) => run(cli),
        Err(error) => cli::refuse(&error),
    };
    match result {
        Ok(()) => Code::Ok.into(),
        Err(fatal) => {
            text::error(&fatal.words);
            fatal.code.into()
        }
    }
}

fn run(cli: Cli) -> Result<(), Fatal> {
    match cli.command {
        None => commands::start::run(cli.start),
        Some(Command::Start(args)) => commands::start::run(*args),
        Some(Command::Health(args)) => commands::health::run(&args),
        Some(Command::Version) => commands::version::run(),
    }
}
