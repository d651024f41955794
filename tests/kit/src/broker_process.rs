//! A real broker: the `ottla` binary as a process of its own, on a free port and a directory of its own.
//!
//! Guarantees: a broker that was handed out was ready; nothing waits longer than a time limit; dropping
//! it kills the process and removes the directory. Its environment holds no `OTTLA_*` but those given.
//! Never builds anything.
//!
//! ```text
//! let mut broker = BrokerCommand::new(binary()).args(["--dev"]).start();
//! let mut client = WireClient::connect(broker.address())?;
//! broker.kill();
//! broker.restart();                    // same data, another port
//! assert_eq!(broker.terminate(), Some(0));
//! ```

#![allow(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "for tests: whatever goes wrong ends the test, with the broker's last words"
)]

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How long a start or a stop may take. Far above any honest one: it ends a test that hangs.
pub const TIME_LIMIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(1);
const STDERR_SHOWN_BYTES: usize = 4000;

/// The binary: `$OTTLA_BIN`, else the `ottla` that lies where cargo put the running test.
#[must_use]
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("OTTLA_BIN") {
        return path.into();
    }
    let test = std::env::current_exe().expect("a test knows its own file");
    // target/<profile>/deps/<test>
    let profile = test
        .parent()
        .and_then(Path::parent)
        .expect("cargo's layout");
    let path = profile.join("ottla");
    assert!(
        path.exists(),
        "{} is not there: build it, or name another in OTTLA_BIN",
        path.display()
    );
    path
}

/// How to start a broker.
#[derive(Clone, Debug)]
pub struct BrokerCommand {
    binary: PathBuf,
    args: Vec<OsString>,
    variables: Vec<(OsString, OsString)>,
    below: Option<PathBuf>,
    data: Option<PathBuf>,
}

/// A command that ended by itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ended {
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it complained.
    pub stderr: String,
}

/// A running broker, or one that was stopped and can be started again.
#[derive(Debug)]
pub struct BrokerProcess {
    command: BrokerCommand,
    home: TempDir,
    child: Child,
    address: String,
    ready_after: Duration,
}

impl BrokerCommand {
    /// This binary, without arguments.
    #[must_use]
    pub fn new(binary: impl Into<PathBuf>) -> BrokerCommand {
        BrokerCommand {
            binary: binary.into(),
            args: Vec::new(),
            variables: Vec::new(),
            below: None,
            data: None,
        }
    }

    /// With these flags of `ottla start` (or with any arguments, for [`run`](Self::run)).
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> BrokerCommand {
        self.args
            .extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// With a variable in its environment.
    #[must_use]
    pub fn variable(mut self, name: &str, value: impl AsRef<OsStr>) -> BrokerCommand {
        self.variables
            .push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// With its directory below this one instead of the system's for temporary files.
    #[must_use]
    pub fn below(mut self, parent: impl Into<PathBuf>) -> BrokerCommand {
        self.below = Some(parent.into());
        self
    }

    /// With its data in this directory, which stays, instead of below its own.
    #[must_use]
    pub fn data_in(mut self, parent: impl Into<PathBuf>) -> BrokerCommand {
        self.data = Some(parent.into().join("data"));
        self
    }

    /// Starts a broker on a free port, without admin side unless told otherwise, and
    /// waits until it is ready.
    #[must_use]
    pub fn start(self) -> BrokerProcess {
        let mut builder = tempfile::Builder::new();
        builder.prefix("ottla-");
        let home = match &self.below {
            Some(parent) => builder.tempdir_in(parent),
            None => builder.tempdir(),
        };
        let home = home.expect("a directory for the broker");
        let child = self.spawn_start(home.path());
        let mut broker = BrokerProcess {
            command: self,
            home,
            child,
            address: String::new(),
            ready_after: Duration::ZERO,
        };
        broker.wait_until_ready();
        broker
    }

    /// Runs the command until it ends by itself.
    #[must_use]
    pub fn run(&self) -> Ended {
        let home = tempfile::tempdir().expect("a directory for the output");
        let child = self.spawn(&self.args, home.path());
        let mut child = KillOnDrop(child);
        let status = wait(&mut child.0, TIME_LIMIT);
        let (stdout, stderr) = (read(home.path(), "stdout"), read(home.path(), "stderr"));
        let status = status.unwrap_or_else(|| panic!("{:?} did not end: {stderr}", self.args));
        Ended {
            code: status.code(),
            stdout,
            stderr,
        }
    }

    fn spawn_start(&self, home: &Path) -> Child {
        let mut args: Vec<OsString> = ["start", "--listen", "127.0.0.1:0", "--data"]
            .map(Into::into)
            .into();
        args.push(self.data_below(home).into());
        args.extend(self.args.iter().cloned());
        self.spawn(&args, home)
    }

    fn data_below(&self, home: &Path) -> PathBuf {
        self.data.clone().unwrap_or_else(|| home.join("data"))
    }

    fn spawn(&self, args: &[OsString], home: &Path) -> Child {
        let mut command = Command::new(&self.binary);
        let ours = |name: &OsStr| name.to_string_lossy().starts_with("OTTLA_");
        for (name, _) in std::env::vars_os().filter(|(name, _)| ours(name)) {
            command.env_remove(name);
        }
        // Below flags, so that both `args` and `variable` can say otherwise.
        command.env("OTTLA_ADMIN_LISTEN", "none");
        command.args(args).envs(self.variables.iter().cloned());
        command
            .stdin(Stdio::null())
            .stdout(append(home, "stdout"))
            .stderr(append(home, "stderr"));
        command
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", self.binary.display()))
    }
}

impl BrokerProcess {
    /// Where clients connect, `HOST:PORT`. Another one after each [`restart`](Self::restart): in
    /// between, the system may have given the port to anybody.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Where its admin side listens, `HOST:PORT`, if it has one.
    #[must_use]
    pub fn admin_address(&self) -> Option<String> {
        let stdout = self.stdout();
        let (_, rest) = stdout.lines().last()?.split_once("admin on http://")?;
        rest.split(',').next().map(str::to_owned)
    }

    /// The data directory.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.command.data_below(self.home.path())
    }

    /// The process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// From the start of the process until its address file was there.
    #[must_use]
    pub fn ready_after(&self) -> Duration {
        self.ready_after
    }

    /// What it printed since its first start.
    #[must_use]
    pub fn stdout(&self) -> String {
        read(self.home.path(), "stdout")
    }

    /// What it logged since its first start.
    #[must_use]
    pub fn stderr(&self) -> String {
        read(self.home.path(), "stderr")
    }

    /// True until it ended, for whatever reason.
    pub fn is_running(&mut self) -> bool {
        self.child
            .try_wait()
            .expect("the state of a child")
            .is_none()
    }

    /// `kill -9`, and waits until the process is gone.
    pub fn kill(&mut self) {
        // An error means that it ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("a signal to a child");
    }

    /// SIGTERM; the exit code, or `None` if a signal ended it.
    pub fn terminate(&mut self) -> Option<i32> {
        self.signal(Signal::TERM);
        self.wait_until_ended()
    }

    /// Waits for an end that was asked for otherwise; the exit code, or `None` if a signal ended it.
    pub fn wait_until_ended(&mut self) -> Option<i32> {
        match wait(&mut self.child, TIME_LIMIT) {
            Some(status) => status.code(),
            None => panic!("the broker did not end: {}", self.last_words()),
        }
    }

    /// Starts it again on the same data with the same arguments, after it ended.
    pub fn restart(&mut self) {
        assert!(!self.is_running(), "the broker still runs");
        // What a killed broker left must not be taken for the new one's.
        let _ = fs::remove_file(self.address_file());
        self.child = self.command.spawn_start(self.home.path());
        self.wait_until_ready();
    }

    /// Starts it again and kills it so long after, ready or not: a crash in the middle of a start.
    pub fn restart_and_kill(&mut self, after: Duration) {
        assert!(!self.is_running(), "the broker still runs");
        let _ = fs::remove_file(self.address_file());
        self.child = self.command.spawn_start(self.home.path());
        thread::sleep(after);
        self.kill();
    }

    fn address_file(&self) -> PathBuf {
        self.data().join("ottla.address")
    }

    fn wait_until_ready(&mut self) {
        let began = Instant::now();
        let file = self.address_file();
        loop {
            if let Ok(text) = fs::read_to_string(&file) {
                self.ready_after = began.elapsed();
                self.address = text.trim_end().to_owned();
                return;
            }
            if let Some(status) = self.child.try_wait().expect("the state of a child") {
                panic!("the broker ended with {status}: {}", self.last_words());
            }
            assert!(
                began.elapsed() < TIME_LIMIT,
                "the broker is not ready: {}",
                self.last_words()
            );
            thread::sleep(POLL);
        }
    }

    fn last_words(&self) -> String {
        let stderr = self.stderr();
        let from = stderr.len().saturating_sub(STDERR_SHOWN_BYTES);
        let from = (from..stderr.len())
            .find(|at| stderr.is_char_boundary(*at))
            .unwrap_or(stderr.len());
        stderr[from..].to_owned()
    }
}

impl Drop for BrokerProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

struct KillOnDrop(Child);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `None` when the time is over.
fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("the state of a child") {
            return Some(status);
        }
        if began.elapsed() > limit {
            return None;
        }
        thread::sleep(POLL);
    }
}

fn append(home: &Path, name: &str) -> File {
    OpenOptions::new()
        .append(true)
        .create(true)
        .open(home.join(name))
        .expect("a file for the output")
}

fn read(home: &Path, name: &str) -> String {
    fs::read(home.join(name))
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default()
}
