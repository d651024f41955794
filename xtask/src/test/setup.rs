//! Everything that the run needs and the machine may lack: Debian packages, Apache Kafka's jars, the client programs
//! with their pinned dependencies.
//!
//! A missing tool is no error here: whoever wants it learns why it is missing and skips, or fails in CI. A tool that
//! is there and cannot make what it should is an error.

mod debian;
mod java;
mod kcat;
mod kinds;

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

pub(crate) use self::java::Java;
pub(super) use self::kcat::Kcat;
pub(super) use self::kinds::Ready;
use super::cache::Cache;
use super::clients::table::CLIENTS;
use super::report::Section;

const DOWNLOAD_LIMIT: Duration = Duration::from_secs(900);
/// A C library and its wrapper, beside a busy machine.
const BUILD_LIMIT: Duration = Duration::from_secs(1200);
const COMPILE_LIMIT: Duration = Duration::from_secs(300);
const ASK_LIMIT: Duration = Duration::from_secs(30);
/// Downloads fail now and then on a good day.
const DOWNLOAD_TRIES: usize = 3;

/// The tools of the real-client tests, or why they are not there.
pub(crate) struct Tools {
    /// Apache Kafka: its tools are the judges, its broker the stand-in.
    pub(crate) kafka: Result<Java, Lack>,
    /// Those that were asked for, in the order of [`CLIENTS`].
    pub(super) clients: Vec<(&'static str, Result<Ready, Lack>)>,
}

/// Why something is not ready.
#[derive(Clone, Debug)]
pub(crate) enum Lack {
    /// This machine lacks a tool: skipped, except in CI.
    Missing(String),
    /// It could not be made: never skipped.
    Broken(String),
}

impl From<String> for Lack {
    fn from(why: String) -> Self {
        Self::Broken(why)
    }
}

impl Lack {
    /// Tells the section about it.
    pub(crate) fn tell(&self, section: &Section, what: &str) {
        match self {
            Self::Missing(why) => section.skipped(what, why),
            Self::Broken(why) => section.failed(format!("{what}: {why}")),
        }
    }
}

impl std::fmt::Display for Lack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Missing(why) | Self::Broken(why)) = self;
        f.write_str(why)
    }
}

/// How to start a program.
#[derive(Clone, Debug)]
pub(super) struct Program {
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(&'static str, OsString)>,
}

impl Program {
    fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
        }
    }

    fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    fn env(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    /// Where a Java program finds its classes.
    pub(super) fn class_path(&self) -> Option<&OsString> {
        let mut arguments = self.arguments.iter();
        arguments.find(|argument| *argument == "-cp")?;
        arguments.next()
    }

    /// A command that starts it, to which more arguments may be added.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// Apache Kafka, and every client that is wanted. Downloads mostly wait: all at a time.
pub(crate) fn run(
    section: &Section,
    cache: &Cache,
    root: &Path,
    wants: impl Fn(&str) -> bool,
) -> Tools {
    debian::complete(section);
    let clients = root.join("tests/clients");
    let judges = clients.join("judges");
    thread::scope(|scope| {
        let kafka = scope.spawn(|| java::make(section, cache, &clients, &judges, &judges));
        let wanted = CLIENTS.iter().filter(|(name, _)| wants(name));
        let made: Vec<_> = wanted
            .map(|(name, kind)| {
                let clients = &clients;
                let make = move || kinds::make(section, cache, clients, name, *kind);
                (*name, scope.spawn(make))
            })
            .collect();
        let panicked = || Lack::Broken("its setup panicked".into());
        let kafka = kafka.join().unwrap_or_else(|_| Err(panicked()));
        match &kafka {
            Ok(java) => {
                section.say(&format!("Apache Kafka in {}", java.class_path));
                section.passed(1);
            }
            Err(lack) => lack.tell(section, "Apache Kafka"),
        }
        let clients = made.into_iter().map(|(name, made)| {
            let made = made.join().unwrap_or_else(|_| Err(panicked()));
            match &made {
                Ok(_) => section.passed(1),
                Err(lack) => lack.tell(section, name),
            }
            (name, made)
        });
        let clients = clients.collect();
        Tools { kafka, clients }
    })
}

/// Every file below the folder of a client with its content, in order; without the list of rows and what tools leave.
fn files(folder: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>, String> {
    const NOT_OURS: [&str; 4] = ["expected-rows.txt", "target", "node_modules", "__pycache__"];
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        for entry in entries {
            let path = entry
                .map_err(|e| format!("{}: {e}", folder.display()))?
                .path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if NOT_OURS.contains(&name.as_ref()) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else {
                let text = fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
                found.push((path, text));
            }
        }
    }
    found.sort();
    Ok(found)
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}

fn tries<T>(mut attempt: impl FnMut() -> Result<T, String>) -> Result<T, String> {
    let mut last = String::new();
    for _ in 0..DOWNLOAD_TRIES {
        match attempt() {
            Ok(done) => return Ok(done),
            Err(why) => last = why,
        }
    }
    Err(last)
}
