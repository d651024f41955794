//! A server under measurement: Ottla, Apache Kafka or the limit program, as a process of its own.
//!
//! Guarantees: it is killed when dropped; its CPU time counts all its threads.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use ottla_e2e::figures;
use ottla_testkit::wire_client::{WireClient, WireError};
use rustix::process::{Pid, Signal, kill_process};

use crate::machine::{CoreList, Cores};

/// How long a start or a stop may take. Apache Kafka needs 13 s after a kill.
const TIME_LIMIT: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_micros(200);
/// A tick of `/proc/PID/stat`, and what rounding it may hide.
const TICK: Duration = Duration::from_millis(10);
const ROUNDING: Duration = Duration::from_millis(30);

/// How to start a server that will listen on an address.
#[derive(Clone, Debug)]
pub struct ServerCommand {
    /// Program and arguments.
    pub command: Vec<OsString>,
    /// `HOST:PORT` that they name.
    pub address: String,
    /// Where its output goes.
    pub log: PathBuf,
    /// Cores that it may use.
    pub cores: Cores,
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    child: Child,
    command: ServerCommand,
    /// When the process was started.
    pub started: Instant,
    /// From then to the first answered Metadata.
    pub first_reply_after: Duration,
}

impl Server {
    /// Starts it and waits for the first reply.
    ///
    /// # Errors
    /// If it does not answer; with its last words.
    pub fn start(command: ServerCommand, cores: &CoreList) -> Result<Server, String> {
        let started = Instant::now();
        let child = spawn(&command, cores)?;
        let mut server = Server {
            child,
            command,
            started,
            first_reply_after: Duration::ZERO,
        };
        server.wait_for_reply()?;
        Ok(server)
    }

    /// `kill -9`, then a start on the same data.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn kill_and_restart(&mut self, cores: &CoreList) -> Result<(), String> {
        self.child.kill().map_err(|e| e.to_string())?;
        self.child.wait().map_err(|e| e.to_string())?;
        self.started = Instant::now();
        self.child = spawn(&self.command, cores)?;
        self.wait_for_reply()
    }

    /// SIGTERM, and how long it took to end.
    ///
    /// # Errors
    /// If it does not end.
    pub fn terminate(mut self) -> Result<Duration, String> {
        let begin = Instant::now();
        kill_process(Pid::from_child(&self.child), Signal::TERM).map_err(|e| e.to_string())?;
        while begin.elapsed() < TIME_LIMIT {
            if self.child.try_wait().map_err(|e| e.to_string())?.is_some() {
                return Ok(begin.elapsed());
            }
            thread::sleep(POLL);
        }
        Err(format!(
            "still running after SIGTERM: {}",
            self.last_words()
        ))
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.command.address
    }

    /// The process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Bytes that it has in memory.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        figures::memory(self.id()).resident_bytes
    }

    /// CPU time used so far.
    #[must_use]
    pub fn cpu(&self) -> Cpu {
        Cpu {
            live: figures::cpu(self.id()),
            all: ticks(self.id()),
        }
    }

    /// The end of its output.
    #[must_use]
    pub fn last_words(&self) -> String {
        let text = fs::read(&self.command.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    fn wait_for_reply(&mut self) -> Result<(), String> {
        loop {
            match first_reply(&self.command.address) {
                Ok(()) => {
                    self.first_reply_after = self.started.elapsed();
                    return Ok(());
                }
                Err(error) if self.started.elapsed() > TIME_LIMIT => {
                    return Err(format!("no reply: {error}: {}", self.last_words()));
                }
                Err(_) => {}
            }
            if let Some(status) = self.child.try_wait().map_err(|e| e.to_string())? {
                return Err(format!("it ended with {status}: {}", self.last_words()));
            }
            thread::sleep(POLL);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// CPU time of a process.
#[derive(Clone, Copy, Debug)]
pub struct Cpu {
    /// Of its living threads, to the nanosecond.
    live: Duration,
    /// Of all that it ever had, in ticks.
    all: Duration,
}

impl Cpu {
    /// What was used since: of the living threads, unless some that used much have ended.
    #[must_use]
    pub fn since(self, before: Cpu) -> Duration {
        let live = self.live.saturating_sub(before.live);
        let all = self.all.saturating_sub(before.all);
        if all > live + ROUNDING { all } else { live }
    }
}

fn first_reply(address: &str) -> Result<(), WireError> {
    WireClient::connect(address)?.metadata(Some(&[])).map(drop)
}

fn ticks(pid: u32) -> Duration {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name may hold anything, so count from its closing bracket: utime and stime are 12th and 13th.
    let fields: Vec<&str> = text
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let field = |at: usize| fields.get(at).and_then(|field| field.parse::<u32>().ok());
    TICK * (field(11).unwrap_or_default() + field(12).unwrap_or_default())
}

/// Children inherit the cores of the thread that starts them: it is one that lives only for this.
fn spawn(command: &ServerCommand, cores: &CoreList) -> Result<Child, String> {
    let (program, arguments) = command
        .command
        .split_first()
        .ok_or("no command was given")?;
    thread::scope(|scope| {
        let spawned = scope.spawn(|| {
            cores.pin_server(command.cores)?;
            let log = log_file(&command.log)?;
            let again = log.try_clone().map_err(|e| e.to_string())?;
            Command::new(program)
                .args(arguments)
                .stdin(Stdio::null())
                .stdout(log)
                .stderr(again)
                .spawn()
                .map_err(|e| format!("{}: {e}", Path::new(program).display()))
        });
        spawned
            .join()
            .unwrap_or_else(|_| Err("the starting thread panicked".to_owned()))
    })
}

fn log_file(path: &Path) -> Result<fs::File, String> {
    let opened = fs::OpenOptions::new().create(true).append(true).open(path);
    opened.map_err(|e| format!("{}: {e}", path.display()))
}
