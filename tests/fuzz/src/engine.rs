//! Runs groups over all cores and says what they found.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{fmt, fs, thread};

use ottla_schema::random::Random;

use crate::{Depth, Group, meter};

/// Inputs of one piece of work.
const CHUNK: u64 = 20_000;
/// Of each group at least so many of a hundred inputs must get behind what stands in front.
pub const REACHED_PERCENT_MIN: f64 = 30.0;
/// Inputs longer than this are written to a file and not to the console.
const SHOWN_BYTES_MAX: usize = 2_000;

/// How to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Equal seeds make equal inputs, whatever the number of threads.
    pub seed: u64,
    /// Inputs of each variant, instead of what CI runs.
    pub inputs: Option<u64>,
    /// How many threads.
    pub threads: usize,
    /// Every input is written here before it runs: what ends the process can be found.
    pub trace: Option<PathBuf>,
    /// Where inputs that are too long to be shown go.
    pub findings: PathBuf,
}

/// What a group came to.
#[derive(Clone, Default, Debug)]
pub struct Tally {
    /// How many ran.
    pub inputs: u64,
    /// Of those, how many got behind what stands in front.
    pub reached: u64,
    /// Of those, how many were understood.
    pub understood: u64,
    /// The most memory above four times the input, in bytes.
    pub above_bytes: u64,
    /// Time of all threads together.
    pub busy: Duration,
    /// What was wrong.
    pub findings: Vec<Finding>,
}

/// An input that something is wrong with.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Which message and version, or the group again.
    pub variant: String,
    /// How many inputs of its piece of work came before it.
    pub after: u64,
    /// The input.
    pub input: Vec<u8>,
    /// What is wrong.
    pub why: String,
}

/// A group with what it came to, variant by variant.
#[derive(Debug)]
pub struct Report {
    /// The group's name.
    pub name: &'static str,
    /// By variant.
    pub variants: Vec<(String, Tally)>,
}

/// Runs these groups. A piece of work ends at its first finding.
#[must_use]
pub fn run(groups: &[&dyn Group], options: &Options) -> Vec<Report> {
    meter::keep_panics();
    let mut reports: Vec<Report> = Vec::new();
    let mut jobs = Vec::new();
    for (at, group) in groups.iter().enumerate() {
        let named = group.variants().into_iter();
        let variants: Vec<_> = named.map(|name| (name, Tally::default())).collect();
        let inputs = options.inputs.unwrap_or(group.inputs_in_ci());
        for variant in 0..variants.len() {
            let chunks = inputs.div_ceil(CHUNK);
            jobs.extend((0..chunks).map(|chunk| Job {
                group: at,
                variant,
                chunk,
                inputs: CHUNK.min(inputs - chunk * CHUNK),
            }));
        }
        reports.push(Report {
            name: group.name(),
            variants,
        });
    }
    let next = AtomicUsize::new(0);
    let reports = Mutex::new(reports);
    thread::scope(|scope| {
        for _ in 0..options.threads.max(1) {
            scope.spawn(|| {
                while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let tally = job.run(groups[job.group], options);
                    if let Ok(mut reports) = reports.lock() {
                        reports[job.group].variants[job.variant].1.add(tally);
                    }
                }
            });
        }
    });
    reports.into_inner().unwrap_or_default()
}

/// A piece of work.
struct Job {
    group: usize,
    variant: usize,
    chunk: u64,
    inputs: u64,
}

impl Job {
    fn run(&self, group: &dyn Group, options: &Options) -> Tally {
        let start = Instant::now();
        let variant = group.variants().swap_remove(self.variant);
        let mut hash = DefaultHasher::new();
        (options.seed, group.name(), &variant, self.chunk).hash(&mut hash);
        let mut dice = Random::from_seed(hash.finish());
        let mut tally = Tally::default();
        let mut maker = group.maker(self.variant);
        for after in 0..self.inputs {
            let input = maker.make(&mut dice);
            if let Some(path) = &options.trace {
                // What cannot be written is not traced; the run goes on.
                let _ = fs::write(path, line(group.name(), &input));
            }
            tally.inputs += 1;
            match crate::run(group, &input) {
                Ok(seen) => {
                    tally.reached += u64::from(seen.depth >= Depth::Reached);
                    tally.understood += u64::from(seen.depth >= Depth::Understood);
                    tally.above_bytes = tally.above_bytes.max(seen.above_bytes);
                }
                Err(why) => {
                    tally.findings.push(Finding {
                        variant,
                        after,
                        input,
                        why,
                    });
                    break;
                }
            }
        }
        tally.busy = start.elapsed();
        tally
    }
}

impl Tally {
    fn add(&mut self, other: Tally) {
        self.inputs += other.inputs;
        self.reached += other.reached;
        self.understood += other.understood;
        self.above_bytes = self.above_bytes.max(other.above_bytes);
        self.busy += other.busy;
        self.findings.extend(other.findings);
    }

    fn percent(&self, of: u64) -> f64 {
        100.0 * of as f64 / self.inputs.max(1) as f64
    }
}

impl Report {
    /// All variants together.
    #[must_use]
    pub fn total(&self) -> Tally {
        let mut total = Tally::default();
        for (_, tally) in &self.variants {
            total.add(tally.clone());
        }
        total
    }

    /// What is wrong: findings, and a share of inputs that tells that the harness makes nothing good.
    #[must_use]
    pub fn faults(&self, options: &Options) -> Vec<String> {
        let mut faults = Vec::new();
        for (name, tally) in &self.variants {
            faults.extend(tally.findings.iter().map(|it| it.told(self.name, options)));
            let share = tally.percent(tally.reached);
            if tally.findings.is_empty() && tally.inputs >= 100 && share < REACHED_PERCENT_MIN {
                faults.push(format!(
                    "{} {name}: only {share:.1} % of the inputs get behind what stands in front",
                    self.name
                ));
            }
        }
        faults
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.total();
        let shares = self.variants.iter();
        let least = shares.min_by(|a, b| {
            let share = |tally: &Tally| tally.percent(tally.reached);
            share(&a.1).total_cmp(&share(&b.1))
        });
        write!(
            f,
            "{:<14} {:>10} inputs of {:>3}, {:>5.1} % reached the decode",
            self.name,
            total.inputs,
            self.variants.len(),
            total.percent(total.reached),
        )?;
        if let Some((name, tally)) = least.filter(|_| self.variants.len() > 1) {
            let share = tally.percent(tally.reached);
            write!(f, " (least: {share:.1} %, {name})")?;
        }
        write!(
            f,
            ", {:.1} % understood, at most 4x + {} KiB, {:.1} s of one core",
            total.percent(total.understood),
            total.above_bytes >> 10,
            total.busy.as_secs_f64(),
        )
    }
}

impl Finding {
    /// What is wrong, with the command that shows it again.
    fn told(&self, group: &str, options: &Options) -> String {
        let Finding {
            variant,
            after,
            input,
            why,
        } = self;
        let replay = match input.len() {
            ..=SHOWN_BYTES_MAX => format!("cargo xtask fuzz replay {group} {}", hex(input)),
            _ => match write_finding(&options.findings, group, input) {
                Ok(path) => format!("cargo xtask fuzz replay {}", path.display()),
                Err(error) => format!("{error}; cargo xtask fuzz --seed {} {group}", options.seed),
            },
        };
        format!("{group} {variant}, input {after} of its piece: {why}\n  {replay}")
    }
}

fn write_finding(folder: &Path, group: &str, input: &[u8]) -> Result<PathBuf, String> {
    let mut hash = DefaultHasher::new();
    input.hash(&mut hash);
    let path = folder.join(format!("{group}-{:016x}", hash.finish()));
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(&path, line(group, input)))
        .map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}

/// A group and an input, as `replay` reads them.
#[must_use]
pub fn line(group: &str, input: &[u8]) -> String {
    format!("{group} {}\n", hex(input))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes from their digits.
///
/// # Errors
/// What is no digit, or half a byte.
pub fn unhex(digits: &str) -> Result<Vec<u8>, String> {
    let digits: Vec<u32> = digits
        .chars()
        .map(|digit| digit.to_digit(16).ok_or(format!("{digit:?} is no digit")))
        .collect::<Result<_, _>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    if !rest.is_empty() {
        return Err("half a byte is left".into());
    }
    Ok(pairs.iter().map(|[a, b]| (a << 4 | b) as u8).collect())
}
