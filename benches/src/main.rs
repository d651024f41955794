//! `ottla-bench`: the pieces that `cargo xtask bench` puts together.
#![allow(clippy::print_stdout, clippy::print_stderr)] // This program talks to a person.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use ottla_benches::curves::{self, CURVES, data};
use ottla_benches::machine::{CoreList, Environment, raise_file_limit};
use ottla_benches::outcome::{self, Line, Subject};
use ottla_benches::rows::{self, Limit, ROWS, Row};
use ottla_benches::run::{Run, Size, execute};
use ottla_benches::server::ServerCommand;
use ottla_benches::{limit, micro, table};

/// The pieces of a benchmark; cargo xtask bench puts them together.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The rows, as JSON: name, promise, limits
    Rows,
    /// The steps of the curves, as JSON: name, size, promise
    Curves,
    /// Write what the following runs stand on
    Environment(EnvironmentArgs),
    /// One run of one row against one server
    Run(RunArgs),
    /// Be the limit program
    Limit(LimitArgs),
    /// The steps of the data path alone
    Micro {
        /// For about so long each
        #[arg(long, default_value_t = 500)]
        milliseconds: u64,
    },
    /// The table of a file of results; its CSV is written beside it
    Table {
        /// The file
        results: PathBuf,
    },
    /// Take a file of results into the data of the curves, draw them, say what grows too fast
    Chart {
        /// The file
        results: PathBuf,
        /// Where data and drawings are
        folder: PathBuf,
    },
}

#[derive(Debug, Args)]
struct EnvironmentArgs {
    #[arg(long)]
    commit: String,
    #[arg(long)]
    versions: String,
    /// Where the data will lie
    #[arg(long)]
    home: PathBuf,
    /// Appended to
    #[arg(long)]
    results: PathBuf,
}

#[derive(Debug, Args)]
struct RunArgs {
    /// The row, or the curve
    row: String,
    /// Where on the curve
    #[arg(long)]
    at: Option<u64>,
    /// ottla, kafka, or a mode of the limit program
    #[arg(long)]
    subject: String,
    #[arg(long, default_value_t = 1)]
    round: u32,
    /// HOST:PORT that the server's command names
    #[arg(long)]
    address: String,
    /// An empty directory
    #[arg(long)]
    home: PathBuf,
    /// Seconds of load before it counts
    #[arg(long)]
    warm_seconds: Option<f64>,
    /// Seconds of load that count
    #[arg(long)]
    seconds: Option<f64>,
    /// NAME=VALUE of the topic
    #[arg(long = "topic-config")]
    topic_configs: Vec<String>,
    /// Write a flame graph there
    #[arg(long)]
    profile: Option<PathBuf>,
    /// Appended to
    #[arg(long)]
    results: Option<PathBuf>,
    /// How the server is started
    #[arg(last = true)]
    command: Vec<OsString>,
}

#[derive(Debug, Args)]
struct LimitArgs {
    kind: Limit,
    #[arg(long)]
    listen: String,
    #[arg(long)]
    data: PathBuf,
}

fn main() -> ExitCode {
    raise_file_limit();
    let done = match Cli::parse().command {
        Command::Rows => print_rows(),
        Command::Curves => print_curves(),
        Command::Environment(args) => environment(&args),
        Command::Run(args) => run(args),
        Command::Limit(args) => limit::serve(args.kind, &args.listen, &args.data),
        Command::Micro { milliseconds } => micro::run(Duration::from_millis(milliseconds))
            .map(|costs| print!("{}", micro::text(&costs))),
        Command::Table { results } => print_table(&results),
        Command::Chart { results, folder } => outcome::read(&results)
            .and_then(|lines| data::update(&lines, &folder))
            .map(|said| print!("{said}")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn print_rows() -> Result<(), String> {
    for row in ROWS {
        print_row(row, None);
    }
    Ok(())
}

fn print_curves() -> Result<(), String> {
    for curve in CURVES {
        for &at in curve.steps {
            print_row(&curve.row(at), Some(at));
        }
    }
    Ok(())
}

fn print_row(row: &Row, at: Option<u64>) {
    let json = serde_json::json!({
        "name": row.name,
        "at": at,
        "about": row.about,
        "promise": row.promise,
        "limits": row.limits,
    });
    println!("{json}");
}

fn environment(args: &EnvironmentArgs) -> Result<(), String> {
    let cores = CoreList::read()?.count();
    let environment = Environment::read(&args.home, &args.commit, &args.versions, cores);
    outcome::append(&args.results, &Line::Environment(environment))
}

fn run(args: RunArgs) -> Result<(), String> {
    let row = match args.at {
        None => rows::row(&args.row).copied(),
        Some(at) => curves::curve(&args.row).map(|curve| curve.row(at)),
    };
    let row = row.ok_or_else(|| format!("no row {}", args.row))?;
    let subject = match args.subject.as_str() {
        "ottla" => Subject::Ottla,
        "kafka" => Subject::Kafka,
        limit => Subject::Limit(clap::ValueEnum::from_str(limit, false)?),
    };
    let seconds = |given: Option<f64>, usual| given.map_or(usual, Duration::from_secs_f64);
    let size = Size {
        warm: seconds(args.warm_seconds, Size::FULL.warm),
        measure: seconds(args.seconds, Size::FULL.measure),
        ..Size::FULL
    };
    let configs = args.topic_configs.iter().map(|config| {
        let (name, value) = config
            .split_once('=')
            .ok_or(format!("{config} is not NAME=VALUE"))?;
        Ok((name.to_owned(), value.to_owned()))
    });
    let run = Run {
        row,
        at: args.at,
        subject,
        server: ServerCommand {
            command: args.command,
            address: args.address,
            log: args.home.join("server.log"),
            cores: row.cores,
        },
        topic_configs: configs.collect::<Result<_, String>>()?,
        home: args.home,
        size,
        profile: args.profile,
    };
    let cores = CoreList::read()?;
    let mut found = execute(&run, &cores)?;
    found.round = args.round;
    println!("{}", table::line(&row, &found));
    match &args.results {
        Some(results) => outcome::append(results, &Line::Run(found)),
        None => Ok(()),
    }
}

fn print_table(results: &std::path::Path) -> Result<(), String> {
    let lines = outcome::read(results)?;
    let csv = results.with_extension("csv");
    std::fs::write(&csv, table::csv(&lines)).map_err(|e| format!("{}: {e}", csv.display()))?;
    print!("{}", table::markdown(&lines));
    Ok(())
}
