//! The broker under test: `ottla`, or Apache Kafka as a stand-in that proves the suite itself.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::process::{capture, tail, wait};
use super::setup::Java;

const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(5);
/// Where Ottla says at which address it serves, in its directory.
const ADDRESS: &str = "ottla.address";
/// Of a topic that its first record makes, where groups are: one for each of three members.
const PARTITIONS: &str = "num.partitions=3";
/// Of members of new groups, for Apache Kafka: as often as those of old ones are told to by programs.
const HEARTBEAT_MS_MIN: u32 = 100;
/// The same for sessions: what old members may have at least.
const SESSION_MS_MIN: u32 = 6_000;

/// What to start.
pub(super) enum Target<'a> {
    Ottla(PathBuf),
    Kafka(&'a Java),
}

impl Target<'_> {
    /// Whether everything that was answered is known everywhere at once. Apache Kafka's metadata follows a moment later.
    pub(super) fn is_prompt(&self) -> bool {
        matches!(self, Self::Ottla(_))
    }
}

/// A running broker; dropping it kills it.
pub(super) struct Broker {
    child: Child,
    /// How it was started, to do it again.
    command: Command,
    is_kafka: bool,
    /// What it says.
    pub(super) log: PathBuf,
    /// `HOST:PORT` for clients.
    pub(super) address: String,
    /// The directory that holds the partition directories.
    pub(super) data: PathBuf,
}

impl Broker {
    /// Starts the target with its data below `home` and returns when it serves.
    pub(super) fn start(target: &Target<'_>, home: &Path) -> Result<Self, String> {
        Self::start_with(target, home, &[])
    }

    /// The same, with broker configs that both kinds know: `name=value`.
    pub(super) fn start_with(
        target: &Target<'_>,
        home: &Path,
        settings: &[String],
    ) -> Result<Self, String> {
        Self::start_logging(target, home, settings, false)
    }

    /// The same; if asked to, Apache Kafka writes every request and its answer to [`log`](Self::log).
    pub(super) fn start_logging(
        target: &Target<'_>,
        home: &Path,
        settings: &[String],
        requests: bool,
    ) -> Result<Self, String> {
        let log = home.join("broker.log");
        fs::create_dir_all(home).map_err(|e| format!("{}: {e}", home.display()))?;
        match target {
            Target::Ottla(binary) => {
                let mut command = ottla(binary, &home.join("data"), "127.0.0.1:0");
                for setting in settings {
                    match setting.strip_prefix("advertised.listeners=PLAINTEXT://") {
                        Some(address) => command.args(["--advertise", address]),
                        None => command.args(["--set", setting]),
                    };
                }
                Self::start_ottla(command, home, log)
            }
            Target::Kafka(java) => Self::start_kafka(java, home, log, settings, requests),
        }
    }

    /// One that waits for nothing that a group need not wait for, at an address that it keeps when it is started
    /// again: Ottla's dev mode, and Apache Kafka with the least that it can be told.
    pub(super) fn start_for_groups(
        target: &Target<'_>,
        home: &Path,
        settings: &[String],
    ) -> Result<Self, String> {
        let mut settings = settings.to_vec();
        settings.push(PARTITIONS.to_owned());
        let log = home.join("broker.log");
        fs::create_dir_all(home).map_err(|e| format!("{}: {e}", home.display()))?;
        match target {
            Target::Ottla(binary) => {
                let listen = format!("127.0.0.1:{}", free_port()?);
                let mut command = ottla(binary, &home.join("data"), &listen);
                command.arg("--dev");
                for setting in &settings {
                    command.args(["--set", setting]);
                }
                Self::start_ottla(command, home, log)
            }
            Target::Kafka(java) => {
                let heartbeats = ["min.", ""].map(|least| {
                    format!("group.consumer.{least}heartbeat.interval.ms={HEARTBEAT_MS_MIN}")
                });
                settings.extend(heartbeats);
                let sessions = ["min.", ""].map(|least| {
                    format!("group.consumer.{least}session.timeout.ms={SESSION_MS_MIN}")
                });
                settings.extend(sessions);
                Self::start_kafka(java, home, log, &settings, false)
            }
        }
    }

    /// Ends it, by SIGKILL or in peace, and starts it again over the same files, at the same address.
    pub(super) fn restart(&mut self, kill: bool) -> Result<(), String> {
        if kill {
            self.child.kill().map_err(|e| e.to_string())?;
            self.child.wait().map_err(|e| e.to_string())?;
        } else {
            self.end()?;
        }
        self.spawn()
    }

    /// Asks it to stop and waits for a clean end.
    pub(super) fn stop(mut self) -> Result<(), String> {
        self.end()
    }

    fn end(&mut self) -> Result<(), String> {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, rustix::process::Signal::TERM)
            .map_err(|e| e.to_string())?;
        let status = wait(&mut self.child, STOP_LIMIT).map_err(|why| format!("SIGTERM: {why}"))?;
        // A JVM that ends by SIGTERM says so with 143.
        if status.success() || status.code() == Some(143) {
            return Ok(());
        }
        Err(format!("{status} after SIGTERM: {}", self.last_words()))
    }

    /// Asks Ottla's own health command about it.
    pub(super) fn health(&self, binary: &Path) -> Result<(), String> {
        let mut health = Command::new(binary);
        health.args(["health", "--listen", &self.address]);
        capture(&mut health, None, STOP_LIMIT).map(drop)
    }

    /// Lines that a person would have to look at.
    pub(super) fn complaints(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let bad = |line: &&str| {
            line.contains(" ERROR ") || line.contains(" WARN ") || line.contains("panicked")
        };
        text.lines().filter(bad).map(str::to_owned).collect()
    }

    fn start_ottla(command: Command, home: &Path, log: PathBuf) -> Result<Self, String> {
        let data = home.join("data");
        Self::start_command(command, false, String::new(), data, log)
    }

    fn start_kafka(
        java: &Java,
        home: &Path,
        log: PathBuf,
        settings: &[String],
        logs_requests: bool,
    ) -> Result<Self, String> {
        let prepared = prepare_kafka(java, home, settings)?;
        // The line that says "started" is at INFO.
        let mut serve = java.command("kafka.Kafka", 512, "INFO");
        serve.arg(&prepared.properties);
        if logs_requests {
            serve.env("JDK_JAVA_OPTIONS", "-Dottla.log.requests=DEBUG");
        }
        Self::start_command(serve, true, prepared.address, prepared.data, log)
    }

    fn start_command(
        mut command: Command,
        is_kafka: bool,
        address: String,
        data: PathBuf,
        log: PathBuf,
    ) -> Result<Self, String> {
        let mut broker = Self {
            child: spawn(&mut command, &log)?,
            command,
            is_kafka,
            log,
            address,
            data,
        };
        broker.until_ready(0)?;
        Ok(broker)
    }

    fn spawn(&mut self) -> Result<(), String> {
        if !self.is_kafka {
            // The last one's.
            let _ = fs::remove_file(self.data.join(ADDRESS));
        }
        let said = fs::read(&self.log).map_or(0, |text| text.len());
        self.child = spawn(&mut self.command, &self.log)?;
        self.until_ready(said)
    }

    /// Waits until it serves; the log says nothing of this before so many bytes.
    fn until_ready(&mut self, said: usize) -> Result<(), String> {
        if self.is_kafka {
            return self.until(|log| {
                let new = log.get(said..).unwrap_or_default();
                new.contains("Kafka Server started")
            });
        }
        let written = self.data.join(ADDRESS);
        let address = || {
            let text = fs::read_to_string(&written).ok()?;
            Some(text.trim().to_owned()).filter(|text| text.contains(':'))
        };
        self.until(|_| address().is_some())?;
        self.address = address().ok_or("the address file is gone")?;
        Ok(())
    }

    fn until(&mut self, ready: impl Fn(&str) -> bool) -> Result<(), String> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            if ready(&fs::read_to_string(&self.log).unwrap_or_default()) {
                return Ok(());
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!(
                    "the broker ended with {status}: {}",
                    self.last_words()
                ));
            }
            if Instant::now() > deadline {
                return Err(format!(
                    "the broker was not ready after {START_LIMIT:?}: {}",
                    self.last_words()
                ));
            }
            thread::sleep(POLL);
        }
    }

    fn last_words(&self) -> String {
        tail(&fs::read_to_string(&self.log).unwrap_or_default())
    }
}

/// The command that starts Ottla over this directory.
fn ottla(binary: &Path, data: &Path, listen: &str) -> Command {
    let mut command = Command::new(binary);
    // Ours are not the broker's; it would complain about them.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("OTTLA_") {
            command.env_remove(name);
        }
    }
    command
        .args(["start", "--listen", listen, "--log-level", "warn", "--data"])
        .arg(data);
    command
}

/// A directory in which Apache Kafka can be started: one node, formatted.
pub(crate) struct PreparedKafka {
    /// `HOST:PORT` for clients.
    pub(crate) address: String,
    /// What its main class is told.
    pub(crate) properties: PathBuf,
    data: PathBuf,
}

/// Writes the configs below `home`, as they come but for `settings`, and formats the directory.
pub(crate) fn prepare_kafka(
    java: &Java,
    home: &Path,
    settings: &[String],
) -> Result<PreparedKafka, String> {
    let data = home.join("data");
    let address = format!("127.0.0.1:{}", free_port()?);
    let controller = format!("127.0.0.1:{}", free_port()?);
    let properties = home.join("server.properties");
    let text = format!(
        "process.roles=broker,controller\n\
             node.id=1\n\
             controller.quorum.voters=1@{controller}\n\
             listeners=PLAINTEXT://{address},CONTROLLER://{controller}\n\
             advertised.listeners=PLAINTEXT://{address}\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
             controller.listener.names=CONTROLLER\n\
             log.dirs={}\n\
             offsets.topic.replication.factor=1\n\
             transaction.state.log.replication.factor=1\n\
             transaction.state.log.min.isr=1\n\
             share.coordinator.state.topic.replication.factor=1\n\
             share.coordinator.state.topic.min.isr=1\n\
             group.initial.rebalance.delay.ms=0\n\
             {}\n",
        data.display(),
        settings.join("\n")
    );
    fs::write(&properties, text).map_err(|e| format!("{}: {e}", properties.display()))?;
    let mut format = java.command("kafka.tools.StorageTool", 256, "WARN");
    format
        .args(["format", "-t", "AAAAAAAAAAAAAAAAAAAAAQ", "-c"])
        .arg(&properties);
    capture(&mut format, None, START_LIMIT)?;
    Ok(PreparedKafka {
        address,
        properties,
        data,
    })
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(command: &mut Command, log: &Path) -> Result<Child, String> {
    let open = File::options().create(true).append(true).open(log);
    let file = open.map_err(|e| format!("{}: {e}", log.display()))?;
    let again = file
        .try_clone()
        .map_err(|e| format!("{}: {e}", log.display()))?;
    let program = command.get_program().to_string_lossy().into_owned();
    command
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(again)
        .spawn()
        .map_err(|e| format!("{program}: {e}"))
}

/// Free a moment ago. Whoever needs it must know its port before it starts: Apache Kafka, and all in benches.
pub(crate) fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
    listener
        .local_addr()
        .map(|address| address.port())
        .map_err(|e| e.to_string())
}
