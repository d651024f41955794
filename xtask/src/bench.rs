//! `cargo xtask bench [--rounds N] [--repeats N] [--seconds S] [--without-kafka] [--profile] [--micro] [--curves]
//! [ROW...]`: what the broker costs, beside the limit program and beside Apache Kafka.
//!
//! For every row, or those named, each of them is measured in turn, so many rounds; every run on a directory and a
//! process of its own. A run that neighbours disturbed is repeated. Prints one table; leaves the results beside the
//! build as JSON lines and CSV. `--profile` draws flame graphs of Ottla instead, from a build that keeps its frame
//! pointers. `--micro` runs the micro benchmarks instead. `--curves` measures every step of the curves, or of those named,
//! on Ottla alone, and takes them into `docs/performance`. `docs/PERFORMANCE.md` says how to read all that.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Deserialize;

use crate::test::broker::{free_port, prepare_kafka};
use crate::test::cache::Cache;
use crate::test::cargo::Cargo;
use crate::test::process::capture;
use crate::test::report::{Section, conclude};
use crate::test::setup::{self, Java};

const ROUNDS: u32 = 5;
/// Curves have many steps, and compare Ottla with itself.
const ROUNDS_OF_CURVES: u32 = 3;
const CHARTS: &str = "docs/performance";
/// How often a disturbed run is repeated before it is left as it is, unless told otherwise.
const REPEATS: u32 = 2;
/// Load before it counts: the JVM compiles while it warms.
const WARM_SECONDS: &str = "1";
const WARM_SECONDS_JVM: &str = "6";
const RUN_LIMIT: Duration = Duration::from_secs(900);
const ASK_LIMIT: Duration = Duration::from_secs(60);
/// What Kafka's own start script gives the JVM.
const JVM: [&str; 7] = [
    "-server",
    "-Xms1g",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
    "-Djava.awt.headless=true",
];
const HEAP_MB: u32 = 1024;

/// # Errors
/// If the arguments make no sense, nothing can be built, or a run failed: then something did not come back.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let options = Options::parse(arguments)?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .ok_or("xtask lies in no workspace")?;
    let cache = Cache::open()?;
    let start = Instant::now();
    let section = Section::new("bench");
    if let Err(why) = measure(&options, root, &cache, &section) {
        section.failed(why);
    }
    conclude(&[section.close()], start.elapsed())
}

struct Options {
    rows: Vec<String>,
    rounds: Option<u32>,
    repeats: u32,
    seconds: Option<String>,
    is_curves: bool,
    is_with_kafka: bool,
    is_profile: bool,
    is_micro: bool,
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Self, String> {
        let mut options = Self {
            rows: Vec::new(),
            rounds: None,
            repeats: REPEATS,
            seconds: None,
            is_curves: false,
            is_with_kafka: true,
            is_profile: false,
            is_micro: false,
        };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || {
                arguments
                    .next()
                    .ok_or_else(|| format!("{argument} needs a value"))
            };
            match argument.as_str() {
                "--rounds" => {
                    let rounds = value()?.parse().map_err(|e| format!("--rounds: {e}"))?;
                    options.rounds = Some(rounds);
                }
                "--repeats" => {
                    options.repeats = value()?.parse().map_err(|e| format!("--repeats: {e}"))?
                }
                "--seconds" => options.seconds = Some(value()?.clone()),
                "--curves" => options.is_curves = true,
                "--without-kafka" => options.is_with_kafka = false,
                "--profile" => options.is_profile = true,
                "--micro" => options.is_micro = true,
                other if other.starts_with('-') => return Err(format!("no option {other}")),
                row => options.rows.push(row.to_owned()),
            }
        }
        Ok(options)
    }
}

/// What `ottla-bench` says of a row, or of a step of a curve.
#[derive(Deserialize)]
struct Row {
    name: String,
    at: Option<u64>,
    about: String,
    promise: String,
    limits: Vec<String>,
}

impl Row {
    fn title(&self) -> String {
        match self.at {
            Some(at) => format!("{}-{at}", self.name),
            None => self.name.clone(),
        }
    }
}

fn measure(options: &Options, root: &Path, cache: &Cache, section: &Section) -> Result<(), String> {
    let target = cache.target();
    let cargo = Cargo {
        root,
        // Another build, so that neither throws the other away.
        target: if options.is_profile {
            target.join("profile")
        } else {
            target.clone()
        },
    };
    let frame_pointers = ["--config", "build.rustflags=['-Cforce-frame-pointers=yes']"];
    let flags: &[&str] = if options.is_profile {
        &frame_pointers
    } else {
        &[]
    };
    let build = ["build", "--release", "-p", "ottla", "-p", "ottla-benches"];
    cargo.whole(section, &[flags, &build].concat());
    if !section.is_ok() {
        return Err("nothing to measure".to_owned());
    }
    let bench = Bench {
        program: cargo.target.join("release/ottla-bench"),
        ottla: cargo.binary(),
        repeats: options.repeats,
        seconds: options.seconds.clone(),
        section,
    };
    if options.is_micro {
        print!("{}", bench.ask(&["micro".into()], RUN_LIMIT)?);
        return Ok(());
    }
    let list = if options.is_curves { "curves" } else { "rows" };
    let rows = bench.rows(list, &options.rows)?;
    let results = target.join("bench");
    fs::create_dir_all(&results).map_err(|e| format!("{}: {e}", results.display()))?;
    let work = cache.run_dir("bench")?;
    if options.is_profile {
        return bench.profile(&rows, &work.path, &results);
    }
    let kafka = if options.is_curves {
        None
    } else {
        kafka(options, root, cache, section)
    };
    let usual = if options.is_curves {
        ROUNDS_OF_CURVES
    } else {
        ROUNDS
    };
    let commit = commit(root);
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let name = format!(
        "{}-{commit}.jsonl",
        since.map_or(0, |since| since.as_secs())
    );
    let results = results.join(name);
    bench.environment(&commit, kafka.as_ref(), &work.path, &results)?;
    for row in &rows {
        section.say(&format!("{}: {}", row.title(), row.about));
        for round in 1..=options.rounds.unwrap_or(usual) {
            for limit in &row.limits {
                bench.clean(row, Subject::Limit(limit), round, &work.path, &results);
            }
            bench.clean(row, Subject::Ottla, round, &work.path, &results);
            if let Some(java) = &kafka {
                bench.clean(row, Subject::Kafka(java), round, &work.path, &results);
            }
        }
    }
    if options.is_curves {
        let charts = root.join(CHARTS);
        let arguments = [
            "chart".into(),
            results.clone().into(),
            charts.clone().into(),
        ];
        let cliffs = bench.ask(&arguments, ASK_LIMIT)?;
        println!(
            "\n{cliffs}\nresults: {}; drawings: {}",
            results.display(),
            charts.display()
        );
        return Ok(());
    }
    let table = bench.ask(&["table".into(), results.clone().into()], ASK_LIMIT)?;
    println!("\n{table}\nresults: {} and .csv", results.display());
    Ok(())
}

/// Apache Kafka, unless it is not wanted or cannot be had.
fn kafka(options: &Options, root: &Path, cache: &Cache, section: &Section) -> Option<Java> {
    if !options.is_with_kafka {
        return None;
    }
    // Says itself what is missing.
    setup::run(section, cache, root, |_| false).kafka.ok()
}

/// The commit, with a plus if the workspace differs from it.
fn commit(root: &Path) -> String {
    let git = |arguments: &[&str]| {
        let said = capture(
            Command::new("git").current_dir(root).args(arguments),
            None,
            ASK_LIMIT,
        );
        said.map(|said| String::from_utf8_lossy(&said.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|_| "unknown".into());
    let is_clean = git(&["status", "--porcelain"]).is_ok_and(|changed| changed.is_empty());
    format!("{commit}{}", if is_clean { "" } else { "+" })
}

/// Who is measured.
#[derive(Clone, Copy)]
enum Subject<'a> {
    Limit(&'a str),
    Ottla,
    Kafka(&'a Java),
}

impl Subject<'_> {
    fn name(&self) -> &str {
        match self {
            Self::Limit(limit) => limit,
            Self::Ottla => "ottla",
            Self::Kafka(_) => "kafka",
        }
    }
}

struct Bench<'a> {
    program: PathBuf,
    ottla: PathBuf,
    repeats: u32,
    seconds: Option<String>,
    section: &'a Section,
}

impl Bench<'_> {
    /// Those of these names, or all.
    fn rows(&self, list: &str, names: &[String]) -> Result<Vec<Row>, String> {
        let said = self.ask(&[list.into()], ASK_LIMIT)?;
        let rows = said
            .lines()
            .map(|line| serde_json::from_str(line).map_err(|e| e.to_string()));
        let mut rows = rows.collect::<Result<Vec<Row>, _>>()?;
        if let Some(unknown) = names
            .iter()
            .find(|name| rows.iter().all(|row| row.name != **name))
        {
            let mut known: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
            known.dedup();
            return Err(format!("no row {unknown}; there are: {}", known.join(" ")));
        }
        rows.retain(|row| names.is_empty() || names.contains(&row.name));
        Ok(rows)
    }

    fn environment(
        &self,
        commit: &str,
        kafka: Option<&Java>,
        home: &Path,
        results: &Path,
    ) -> Result<(), String> {
        let said = |command: &mut Command| {
            let said = capture(command, None, ASK_LIMIT);
            let said = said.map(|said| {
                let text = String::from_utf8_lossy(&said.stdout).into_owned() + &said.stderr;
                text.lines().next().unwrap_or_default().to_owned()
            });
            said.unwrap_or_else(|_| "unknown".to_owned())
        };
        let mut versions = said(Command::new(&self.ottla).arg("version"));
        if let Some(java) = kafka {
            let kafka = said(java.command("kafka.Kafka", 64, "ERROR").arg("--version"));
            let jvm = said(Command::new("java").arg("-version"));
            versions += &format!("; Apache Kafka {kafka} on {jvm}");
        }
        let arguments: [OsString; 9] = [
            "environment".into(),
            "--commit".into(),
            commit.into(),
            "--versions".into(),
            versions.into(),
            "--home".into(),
            home.into(),
            "--results".into(),
            results.into(),
        ];
        self.ask(&arguments, ASK_LIMIT).map(drop)
    }

    /// Runs, and runs again if neighbours disturbed it; the table takes the clean ones.
    fn clean(&self, row: &Row, subject: Subject<'_>, round: u32, work: &Path, results: &Path) {
        for _ in 0..=self.repeats {
            let what = format!("{} {} {round}", row.title(), subject.name());
            let more = [
                "--round".into(),
                round.to_string().into(),
                "--results".into(),
                results.into(),
            ];
            match self.once(row, subject, work, &more) {
                Ok(said) => {
                    self.section.case(&what, Ok(()));
                    self.section.say(&format!("{what}: {}", said.trim()));
                    if !said.starts_with("noisy") {
                        return;
                    }
                }
                Err(why) => {
                    self.section.case(&what, Err(why));
                    return;
                }
            }
        }
    }

    /// A flame graph of Ottla under each row.
    fn profile(&self, rows: &[Row], work: &Path, results: &Path) -> Result<(), String> {
        for row in rows {
            let drawing = results.join(format!("{}.svg", row.title()));
            let done = self.once(
                row,
                Subject::Ottla,
                work,
                &["--profile".into(), drawing.clone().into()],
            );
            if self.section.case(&row.title(), done.map(drop)) {
                println!("flame graph: {}, its stacks beside it", drawing.display());
            }
        }
        Ok(())
    }

    /// One run, in a directory that is made for it.
    fn once(
        &self,
        row: &Row,
        subject: Subject<'_>,
        work: &Path,
        more: &[OsString],
    ) -> Result<String, String> {
        let home = work.join("home");
        let _ = fs::remove_dir_all(&home);
        fs::create_dir_all(&home).map_err(|e| format!("{}: {e}", home.display()))?;
        let (address, command) = self.server(row, subject, &home)?;
        let is_jvm = matches!(subject, Subject::Kafka(_));
        let warm = if is_jvm {
            WARM_SECONDS_JVM
        } else {
            WARM_SECONDS
        };
        let mut arguments: Vec<OsString> = vec![
            "run".into(),
            row.name.as_str().into(),
            "--subject".into(),
            subject.name().into(),
            "--address".into(),
            address.into(),
            "--home".into(),
            home.clone().into(),
            "--warm-seconds".into(),
            warm.into(),
        ];
        if let Some(at) = row.at {
            arguments.extend(["--at".into(), at.to_string().into()]);
        }
        if let Some(seconds) = &self.seconds {
            arguments.extend(["--seconds".into(), seconds.into()]);
        }
        if is_jvm && row.promise == "durable" {
            arguments.extend(["--topic-config".into(), "flush.messages=1".into()]);
        }
        arguments.extend_from_slice(more);
        arguments.push("--".into());
        arguments.extend(command);
        let said = self.ask(&arguments, RUN_LIMIT);
        let _ = fs::remove_dir_all(&home);
        said
    }

    /// How a server is started, and where it will listen.
    fn server(
        &self,
        row: &Row,
        subject: Subject<'_>,
        home: &Path,
    ) -> Result<(String, Vec<OsString>), String> {
        let data = home.join("data");
        let mut command: Vec<OsString> = match subject {
            Subject::Kafka(java) => {
                let prepared = prepare_kafka(java, home, &[])?;
                let serve = java.command("kafka.Kafka", HEAP_MB, "WARN");
                let mut command = vec![serve.get_program().to_owned()];
                command.extend(JVM.map(OsString::from));
                command.extend(serve.get_args().map(OsString::from));
                command.push(prepared.properties.into());
                return Ok((prepared.address, command));
            }
            Subject::Limit(limit) => {
                vec![self.program.clone().into(), "limit".into(), limit.into()]
            }
            Subject::Ottla => {
                // The default's admin side, on a port that is free.
                let mut command: Vec<OsString> = vec![self.ottla.clone().into(), "start".into()];
                command.extend(["--admin-listen".into(), "127.0.0.1:0".into()]);
                if row.promise == "written" {
                    command.push("--dev".into());
                }
                command
            }
        };
        let address = format!("127.0.0.1:{}", free_port()?);
        command.extend([
            "--listen".into(),
            address.clone().into(),
            "--data".into(),
            data.into(),
        ]);
        Ok((address, command))
    }

    fn ask(&self, arguments: &[OsString], limit: Duration) -> Result<String, String> {
        let mut command = Command::new(&self.program);
        // Ours are not the broker's; it would complain about them.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("OTTLA_") {
                command.env_remove(name);
            }
        }
        let said = capture(command.args(arguments), None, limit)?;
        Ok(String::from_utf8_lossy(&said.stdout).into_owned())
    }
}
