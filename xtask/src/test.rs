//! `cargo xtask test [--target ottla|kafka] [--seed N] [SECTION...]`: sets everything up and runs every test.
//!
//! Without a section all run, those that only wait beside those that compute:
//!
//! | section | what |
//! |---|---|
//! | setup | Debian packages, jars, client programs with their libraries: into the cache, which may be empty |
//! | fmt, clippy, codegen | nothing to format, no lint, generated files as their schema says |
//! | unit | unit and integration tests of the workspace |
//! | build | the release build of the broker |
//! | clients, judges | every client of `tests/clients` against it, then kafka-dump-log over its files |
//! | dialogues | scripted conversations on the wire with it and with Apache Kafka, answers compared |
//! | kills | the whole broker under kills and hostile bytes |
//! | stall | its data on a file system that is frozen for half a minute, as root |
//! | planted | builds with planted bugs, which the tests must find |
//! | fuzz | hostile bytes for every decoder, bounded, and bugs planted there |
//!
//! `--only NAME` takes the clients and the dialogues whose names contain it. `dialogues` alone takes `--record` (write
//! what Kafka answers into the files), and the addresses of brokers that already run: `--kafka-at HOST:PORT`,
//! `--ottla-at HOST:PORT`.
//!
//! With `CI` set, nothing may be skipped. `--target kafka` runs the clients and judges against Apache Kafka: it
//! proves the suite itself. `clients --capture` writes what clients and the broker say to each other into
//! `crates/ottla-wire/tests/captures` instead; `clients --first-record` measures how long a member of a fresh group
//! waits, and prints it. Without `--record` and `--capture` this command never changes the
//! workspace.

pub(crate) mod broker;
pub(crate) mod cache;
pub(crate) mod cargo;
mod clients;
mod dialogues;
mod judge;
mod kcat;
pub(crate) mod process;
mod random;
pub(crate) mod report;
mod rows;
pub(crate) mod setup;
mod stored;

use std::path::Path;
use std::thread;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use self::broker::Target;
use self::cache::Cache;
use self::cargo::Cargo;
use self::report::{Closed, Section, conclude};
use self::setup::Tools;

const SECTIONS: [&str; 13] = [
    "setup",
    "fmt",
    "clippy",
    "codegen",
    "unit",
    "build",
    "clients",
    "judges",
    "dialogues",
    "kills",
    "stall",
    "planted",
    "fuzz",
];

/// # Errors
/// If the arguments make no sense or any case failed.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let options = Options::parse(arguments)?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .ok_or("xtask lies in no workspace")?;
    let cache = Cache::open()?;
    println!("cache: {}", cache.root().display());
    let start = Instant::now();
    let run = Run {
        options,
        root,
        cargo: Cargo {
            root,
            target: cache.target(),
        },
        cache,
    };
    let sections = run.all();
    conclude(&sections, start.elapsed())
}

/// Over how many fresh groups the wait for a first record is measured: for figures, and beside all other tests.
const FRESH_GROUPS: usize = 15;
const FEW_GROUPS: usize = 5;

struct Options {
    sections: Vec<String>,
    kafka: bool,
    seed: u64,
    capture: bool,
    first_record: bool,
    dialogues: dialogues::Options,
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Self, String> {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_err(|e| e.to_string())?;
        let mut options = Self {
            sections: Vec::new(),
            kafka: false,
            seed: since.as_secs(),
            capture: false,
            first_record: false,
            dialogues: dialogues::Options::default(),
        };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || {
                arguments
                    .next()
                    .ok_or_else(|| format!("{argument} needs a value"))
            };
            match argument.as_str() {
                "--target" => {
                    options.kafka = match value()?.as_str() {
                        "kafka" => true,
                        "ottla" => false,
                        other => return Err(format!("no target {other}: ottla or kafka")),
                    }
                }
                "--seed" => options.seed = value()?.parse().map_err(|e| format!("--seed: {e}"))?,
                "--only" => options.dialogues.only = Some(value()?.clone()),
                "--capture" => options.capture = true,
                "--first-record" => options.first_record = true,
                "--record" => options.dialogues.record = true,
                "--kafka-at" => options.dialogues.kafka_at = Some(value()?.clone()),
                "--ottla-at" => options.dialogues.ottla_at = Some(value()?.clone()),
                name if SECTIONS.contains(&name) => options.sections.push(name.to_owned()),
                other => {
                    return Err(format!(
                        "no section {other}; there are: {}",
                        SECTIONS.join(" ")
                    ));
                }
            }
        }
        Ok(options)
    }

    /// Whether a section was asked for, or is needed by one that was.
    fn wants(&self, name: &str) -> bool {
        let asked = |name: &str| {
            self.sections.is_empty() || self.sections.iter().any(|section| section == name)
        };
        let clients = asked("clients") || asked("judges");
        match name {
            "clients" | "judges" => clients,
            "setup" => {
                asked(name)
                    || asked("stall")
                    || clients
                    || (asked("dialogues") && self.dialogues.kafka_at.is_none())
            }
            "build" => {
                asked(name)
                    || asked("kills")
                    || asked("stall")
                    || (clients && !self.kafka)
                    || (asked("dialogues") && self.dialogues.ottla_at.is_none())
            }
            _ => asked(name),
        }
    }
}

struct Run<'a> {
    options: Options,
    root: &'a Path,
    cache: Cache,
    cargo: Cargo<'a>,
}

impl Run<'_> {
    /// Downloads run beside the checks, kills beside the clients: each of these waits more than it computes.
    fn all(&self) -> Vec<Closed> {
        thread::scope(|scope| {
            let setup = scope.spawn(|| self.setup());
            let mut closed = Vec::new();
            let mut section =
                |name, body: &dyn Fn(&Section)| closed.extend(self.section(name, body));
            section("fmt", &|section| {
                self.cargo
                    .whole(section, &["fmt", "--all", "--check", "--", "-l"])
            });
            section("clippy", &|section| {
                self.cargo.whole(
                    section,
                    &[
                        "clippy",
                        "--workspace",
                        "--all-targets",
                        "--",
                        "-D",
                        "warnings",
                    ],
                );
            });
            section("codegen", &|section| section_codegen(section));
            section("unit", &|section| {
                // The end-to-end tests want the release build: they are the section "kills"; the simulations are "planted".
                self.cargo.tests(
                    section,
                    &[
                        "test",
                        "--workspace",
                        "--exclude",
                        "ottla-e2e",
                        "--exclude",
                        "ottla-benches",
                        "--exclude",
                        "ottla-sim",
                        "--no-fail-fast",
                    ],
                );
            });
            section("build", &|section| {
                self.cargo
                    .whole(section, &["build", "--release", "--package", "ottla"])
            });
            let built = !self.options.wants("build") || closed.last().is_some_and(Closed::is_ok);

            let kills = scope.spawn(move || {
                let kills = self.section("kills", &|section| {
                    if !built {
                        return section.failed("not run: there is no release build");
                    }
                    self.cargo.tests(
                        section,
                        &[
                            "test",
                            "--package",
                            "ottla-e2e",
                            "--package",
                            "ottla-benches",
                            "--release",
                            "--no-fail-fast",
                        ],
                    );
                });
                kills
                    .into_iter()
                    .chain(self.section("planted", &|section| self.planted(section)))
                    .chain(self.section("fuzz", &|section| self.fuzz(section)))
                    .collect::<Vec<_>>()
            });
            let mut sections = Vec::new();
            match setup.join() {
                Ok((section, tools)) => {
                    sections.extend(section);
                    sections.append(&mut closed);
                    // After the setup, which installs what it needs; beside what waits more than it computes.
                    let stall = scope.spawn(move || {
                        self.section("stall", &|section| self.stall(section, built))
                    });
                    if let Some(tools) = &tools {
                        sections.extend(self.clients(tools, built));
                    }
                    let java = tools.as_ref().map(|tools| tools.kafka.as_ref());
                    sections.extend(self.section("dialogues", &|section| {
                        self.dialogues(section, java, built);
                    }));
                    match stall.join() {
                        Ok(stall) => sections.extend(stall),
                        Err(_) => sections
                            .extend(self.section("stall", &|section| section.failed("panicked"))),
                    }
                }
                Err(_) => {
                    sections.extend(self.section("setup", &|section| section.failed("panicked")))
                }
            }
            match kills.join() {
                Ok(kills) => sections.extend(kills),
                Err(_) => {
                    sections.extend(self.section("kills", &|section| section.failed("panicked")))
                }
            }
            sections
        })
    }

    fn stall(&self, section: &Section, built: bool) {
        if !built {
            return section.failed("not run: there is no release build");
        }
        self.cargo.tests(
            section,
            &[
                "test",
                "--package",
                "ottla-e2e",
                "--release",
                "--test",
                "stall",
                "--",
                "--wanted",
            ],
        );
    }

    /// It counts its cases as cargo's tests do, and prints its seed.
    fn fuzz(&self, section: &Section) {
        self.cargo.tests(
            section,
            &[
                "run",
                "--release",
                "--package",
                "ottla-fuzz",
                "--bin",
                "ottla-fuzz",
            ],
        );
    }

    fn section(&self, name: &'static str, body: &dyn Fn(&Section)) -> Option<Closed> {
        if !self.options.wants(name) {
            return None;
        }
        let section = Section::new(name);
        body(&section);
        Some(section.close())
    }

    fn setup(&self) -> (Option<Closed>, Option<Tools>) {
        if !self.options.wants("setup") {
            return (None, None);
        }
        let section = Section::new("setup");
        let clients = self.options.wants("clients")
            || self.options.sections.iter().any(|name| name == "setup");
        let only = self.options.dialogues.only.as_ref();
        let wants = |client: &str| clients && only.is_none_or(|only| client.contains(only));
        let tools = setup::run(&section, &self.cache, self.root, wants);
        (Some(section.close()), Some(tools))
    }

    fn clients(&self, tools: &Tools, built: bool) -> Vec<Closed> {
        if !self.options.wants("clients") {
            return Vec::new();
        }
        let section = Section::new("clients");
        if self.options.capture {
            if let Err(why) = self.capture(&section, tools, built) {
                section.failed(why);
            }
            return vec![section.close()];
        }
        if self.options.first_record {
            if let Err(why) = self.first_record(&section, tools, built) {
                section.failed(why);
            }
            return vec![section.close()];
        }
        let left = self.target(tools, built).and_then(|target| {
            let work = self.cache.run_dir("clients")?;
            let left = clients::run(
                &section,
                &target,
                tools,
                self.options.seed,
                self.root,
                &work.path,
            )?;
            if target.is_prompt()
                && let Err(why) =
                    clients::first::run(&section, &target, tools, FEW_GROUPS, self.root, &work.path)
            {
                section.failed(why);
            }
            Ok((target, work, left))
        });
        let (target, mut work, left) = match left {
            Ok(left) => left,
            Err(why) => {
                section.failed(why);
                return vec![section.close()];
            }
        };
        work.keep = !section.is_ok();
        let clients = section.close();
        let section = Section::new("judges");
        if let Err(why) = clients::judge(&section, tools, &target, left, self.root, &work.path) {
            section.failed(why);
        }
        work.keep |= !section.is_ok();
        vec![clients, section.close()]
    }

    /// In a directory whose name says nothing: it may occur in an answer.
    fn capture(&self, section: &Section, tools: &Tools, built: bool) -> Result<(), String> {
        let target = self.target(tools, built)?;
        let work = std::env::temp_dir().join("ottla-captures");
        let _ = std::fs::remove_dir_all(&work);
        let outcome =
            clients::capture::run(section, &target, tools, self.options.seed, self.root, &work);
        if outcome.is_ok() {
            let _ = std::fs::remove_dir_all(&work);
        }
        outcome
    }

    fn first_record(&self, section: &Section, tools: &Tools, built: bool) -> Result<(), String> {
        let target = self.target(tools, built)?;
        let work = self.cache.run_dir("first-record")?;
        clients::first::run(section, &target, tools, FRESH_GROUPS, self.root, &work.path)
    }

    fn dialogues(
        &self,
        section: &Section,
        java: Option<Result<&setup::Java, &setup::Lack>>,
        built: bool,
    ) {
        if !built && self.options.dialogues.ottla_at.is_none() {
            return section.failed("not run: there is no release build");
        }
        let none = setup::Lack::Broken("the section setup did not run".into());
        let outcome = self.cache.run_dir("dialogues").and_then(|mut work| {
            dialogues::run(
                section,
                self.root,
                &self.cargo.binary(),
                java.unwrap_or(Err(&none)),
                &work.path,
                &self.options.dialogues,
            )?;
            work.keep = !section.is_ok();
            Ok(())
        });
        if let Err(why) = outcome {
            section.failed(why);
        }
    }

    fn target<'t>(&self, tools: &'t Tools, built: bool) -> Result<Target<'t>, String> {
        if self.options.kafka {
            return tools
                .kafka
                .as_ref()
                .map(Target::Kafka)
                .map_err(ToString::to_string);
        }
        if built {
            Ok(Target::Ottla(self.cargo.binary()))
        } else {
            Err("not run: there is no release build".into())
        }
    }

    /// Builds with planted bugs, as soon as the simulator knows any.
    /// The simulations, with the faults that they must find; what they count and their seeds are shown.
    fn planted(&self, section: &Section) {
        self.cargo.tests(
            section,
            &[
                "test",
                "--package",
                "ottla-sim",
                "--features",
                "planted",
                "--no-fail-fast",
                "--",
                "--nocapture",
            ],
        );
    }
}

fn section_codegen(section: &Section) {
    section.case(
        "cargo xtask codegen --check",
        crate::codegen::run(&["--check".to_owned()]),
    );
}
