//! `ottla-fuzz`: hostile bytes, bounded. `cargo xtask fuzz` builds and runs it; see its usage.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it talks to a person"
)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;
use std::{fs, thread};

use ottla_fuzz::engine::{self, Options, unhex};
use ottla_fuzz::{Group, canaries, groups};
use ottla_schema::random::Random;

const USAGE: &str = "\
usage: ottla-fuzz [--seed N] [--count N] [--threads N] [--trace FILE] [GROUP...]
         run what CI runs: the canaries, which must be found, then all groups (or these);
         --count: inputs per message and version, e.g. 1000000000; --trace: keep the current input there
       ottla-fuzz list               the groups
       ottla-fuzz replay GROUP HEX   run one input; or: replay FILE, with both in it
       ottla-fuzz corpus GROUP DIR   good inputs, each a file, for a coverage-guided fuzzer";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(())
        }
        ["list"] => list(),
        ["replay", group, hex] => replay(group, hex),
        ["replay", file] => fs::read_to_string(file)
            .map_err(|error| format!("{file}: {error}"))
            .and_then(|text| match text.trim().split_once(' ') {
                Some((group, hex)) => replay(group, hex),
                None => Err(format!("{file}: expected GROUP HEX")),
            }),
        ["corpus", group, folder] => corpus(group, folder),
        _ => run(&words),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Result<(), String> {
    let mut options = Options {
        seed: Random::seed(),
        inputs: None,
        threads: thread::available_parallelism().map_or(1, usize::from),
        trace: None,
        findings: std::env::temp_dir().join("ottla-fuzz"),
    };
    let (all, planted) = (groups()?, canaries()?);
    let mut wanted: Vec<&dyn Group> = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        match *word {
            "--seed" => options.seed = number(value()?)?,
            "--count" => options.inputs = Some(number(value()?)?),
            "--threads" => options.threads = number(value()?)? as usize,
            "--trace" => options.trace = Some(PathBuf::from(value()?)),
            name => wanted.push(find(name, &all, &planted)?),
        }
    }
    println!("seed {} on {} threads", options.seed, options.threads);
    let start = Instant::now();
    let mut cases = Cases::default();
    if wanted.is_empty() {
        let mut bounded = options.clone();
        bounded.inputs = None;
        let planted: Vec<&dyn Group> = planted.iter().map(AsRef::as_ref).collect();
        for report in engine::run(&planted, &bounded) {
            let name = report.name;
            match report.total().findings.first() {
                Some(found) => {
                    println!(
                        "{name}: found after {} inputs: {}",
                        found.after,
                        first_line(&found.why)
                    );
                    cases.passed += 1;
                }
                None => cases.fail(format!("{name}: its bug was not found: {report}")),
            }
        }
        wanted.extend(all.iter().map(AsRef::as_ref));
    }
    // One after the other, so that each line comes as soon as it is known.
    for group in wanted {
        for report in engine::run(&[group], &options) {
            println!("{report}");
            let faults = report.faults(&options);
            cases.passed += report.variants.len().saturating_sub(faults.len());
            faults.into_iter().for_each(|fault| cases.fail(fault));
        }
    }
    cases.close(&options, start)
}

/// What cargo's own tests would have counted.
#[derive(Default)]
struct Cases {
    passed: usize,
    failed: usize,
}

impl Cases {
    fn fail(&mut self, why: String) {
        println!("FAILED {why}");
        self.failed += 1;
    }

    fn close(&self, options: &Options, start: Instant) -> Result<(), String> {
        let verdict = if self.failed == 0 { "ok" } else { "FAILED" };
        println!(
            "\ntest result: {verdict}. {} passed; {} failed; 0 ignored; seed {}; finished in {:.2}s",
            self.passed,
            self.failed,
            options.seed,
            start.elapsed().as_secs_f64(),
        );
        match self.failed {
            0 => Ok(()),
            failed => Err(format!("{failed} failed")),
        }
    }
}

fn list() -> Result<(), String> {
    for group in groups()?.iter().chain(&canaries()?) {
        let variants = group.variants();
        println!("{}: {}", group.name(), variants.join(", "));
    }
    Ok(())
}

fn replay(group: &str, hex: &str) -> Result<(), String> {
    let (all, planted) = (groups()?, canaries()?);
    let group = find(group, &all, &planted)?;
    let input = unhex(hex)?;
    println!("{}: {} bytes", group.name(), input.len());
    // Not guarded: a panic shows its backtrace.
    let seen = group.run(&input)?;
    println!("{seen:?}");
    Ok(())
}

fn corpus(group: &str, folder: &str) -> Result<(), String> {
    let (all, planted) = (groups()?, canaries()?);
    let group = find(group, &all, &planted)?;
    let mut dice = Random::announced();
    fs::create_dir_all(folder).map_err(|error| format!("{folder}: {error}"))?;
    let variants = group.variants();
    let each = (2_000 / variants.len()).max(2);
    for variant in 0..variants.len() {
        let mut maker = group.maker(variant);
        for at in 0..each {
            let path = PathBuf::from(folder).join(format!("{variant}-{at}"));
            fs::write(&path, maker.make(&mut dice))
                .map_err(|error| format!("{}: {error}", path.display()))?;
        }
    }
    println!("{} inputs in {folder}", each * variants.len());
    Ok(())
}

fn find<'a>(
    name: &str,
    all: &'a [Box<dyn Group>],
    planted: &'a [Box<dyn Group>],
) -> Result<&'a dyn Group, String> {
    let mut both = all.iter().chain(planted);
    let found = both.find(|group| group.name() == name);
    found
        .map(AsRef::as_ref)
        .ok_or_else(|| format!("no group {name}\n{USAGE}"))
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|error| format!("{text}: {error}"))
}

fn first_line(text: &str) -> &str {
    text.lines().last().unwrap_or_default()
}
