//! Chores of this workspace: `cargo xtask COMMAND`. One file per command.
#![allow(clippy::print_stdout, clippy::print_stderr)] // This program talks to a person.

mod bench;
mod codegen;
mod fuzz;
mod test;

use std::process::ExitCode;

/// A command: its name, its arguments and what it does, and its entry point.
struct Command {
    name: &'static str,
    about: &'static str,
    run: fn(&[String]) -> Result<(), String>,
}

const COMMANDS: &[Command] = &[
    Command {
        name: "bench",
        about: "[--rounds N] [--repeats N] [--seconds S] [--without-kafka] [--profile] [--micro] [--curves] [ROW...]  measure limit, Ottla and Kafka in turn, print one table",
        run: bench::run,
    },
    Command {
        name: "codegen",
        about: "[--check]  write the messages and stored records from their schema, or fail if they differ",
        run: codegen::run,
    },
    Command {
        name: "fuzz",
        about: "[--seed N] [--count N] [--threads N] [GROUP...] | list | replay GROUP HEX | guided GROUP [-runs=N...]  hostile bytes for every decoder",
        run: fuzz::run,
    },
    Command {
        name: "test",
        about: "[--target ottla|kafka] [--seed N] [SECTION...]  set everything up and run every test, or some sections",
        run: test::run,
    },
];

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_default();
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        eprintln!("usage: cargo xtask COMMAND");
        for command in COMMANDS {
            eprintln!("  {} {}", command.name, command.about);
        }
        return ExitCode::from(2);
    };
    match (command.run)(&arguments.collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}
