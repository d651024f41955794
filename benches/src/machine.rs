//! The machine: its cores and who uses them, its memory, what it is.
//!
//! Three facts of virtual machines falsify benchmarks, and each has its cure here: free memory costs a
//! host fault when it is touched again ([`pre_touch`]), threads that wake each other across cores
//! measure the hypervisor ([`CoreList`]), and neighbours take time ([`machine_cpu`]).

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// Written at once. As with the bursts of a load, page borders fall anywhere, so that the page cache takes
/// pieces of memory of all sizes: each size comes from a store of its own.
const TOUCH_BYTES: usize = 250_000;

/// Which cores a server may use. The generator has the last one in either case.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cores {
    /// All: what a row of throughput gives the server.
    All,
    /// The first alone: for latencies of one request at a time, which otherwise depend on whether the
    /// scheduler puts both ends on one core.
    First,
}

/// Cores of this process, before anything was pinned.
#[derive(Clone, Debug)]
pub struct CoreList(Vec<usize>);

impl CoreList {
    /// Those that this thread may use now.
    ///
    /// # Errors
    /// What the system says.
    pub fn read() -> Result<CoreList, String> {
        let set = sched_getaffinity(None).map_err(|e| format!("affinity: {e}"))?;
        Ok(CoreList(
            (0..CpuSet::MAX_CPU)
                .filter(|core| set.is_set(*core))
                .collect(),
        ))
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Pins this thread, and the processes that it starts from now on, to a server's cores.
    ///
    /// # Errors
    /// What the system says.
    pub fn pin_server(&self, cores: Cores) -> Result<(), String> {
        match cores {
            Cores::All => pin(&self.0),
            Cores::First => pin(self.0.get(..1).unwrap_or_default()),
        }
    }

    /// Pins this thread to the generator's core.
    ///
    /// # Errors
    /// What the system says.
    pub fn pin_generator(&self) -> Result<(), String> {
        pin(self
            .0
            .get(self.0.len().saturating_sub(1)..)
            .unwrap_or_default())
    }
}

fn pin(cores: &[usize]) -> Result<(), String> {
    let mut set = CpuSet::new();
    for core in cores {
        set.set(*core);
    }
    sched_setaffinity(None, &set).map_err(|e| format!("affinity {cores:?}: {e}"))
}

/// Fills so many bytes of the page cache below `home` and gives them back, so that the host has memory
/// behind the pages that the run is about to fill. To be called just before: a free page goes back to
/// the host after about two seconds.
///
/// Through a file and in odd pieces, because the load then finds the same pages again. Touching
/// anonymous memory, or writing aligned pieces, warms others as soon as memory is fragmented: 1 GB of
/// bursts took 1.2 s of CPU after that and 0.2 s after this.
///
/// # Errors
/// If there is not that much room.
pub fn pre_touch(home: &Path, bytes: u64) -> Result<(), String> {
    let path = home.join("pre-touch");
    let told = |e: std::io::Error| format!("{}: {e}", path.display());
    let mut file = fs::File::create_new(&path).map_err(told)?;
    let chunk = vec![1; TOUCH_BYTES];
    let mut left = usize::try_from(bytes).map_err(|e| e.to_string())?;
    while left > 0 {
        let now = left.min(chunk.len());
        file.write_all(&chunk[..now]).map_err(told)?;
        left -= now;
    }
    fs::remove_file(&path).map_err(told)
}

/// Lets this process, and those that it starts, open as many files and sockets as the system allows.
pub fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    // A refusal shows where the files are opened, in words that name them.
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    );
}

/// CPU time that this process has used so far, all its threads.
#[must_use]
pub fn own_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

/// CPU time that the whole machine has used, kernel included.
#[must_use]
pub fn machine_cpu() -> Duration {
    // In hundredths of a second, USER_HZ of every Linux: user, nice, system, idle, iowait, irq, softirq.
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields: Vec<u64> = text
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1)
        .map(|field| field.parse().unwrap_or_default())
        .collect();
    let busy = [0, 1, 2, 5, 6]
        .iter()
        .filter_map(|at| fields.get(*at))
        .sum::<u64>();
    Duration::from_millis(busy * 10)
}

/// What a run stands on: without it a figure says nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Environment {
    /// The processor, and how many cores of it.
    pub processor: String,
    /// Memory, in bytes.
    pub memory_bytes: u64,
    /// The kernel.
    pub kernel: String,
    /// The file system that the data lies on, and its device.
    pub file_system: String,
    /// The workspace's commit, with a plus if something is not committed.
    pub commit: String,
    /// Versions of everything that was measured.
    pub versions: String,
    /// When, in seconds since 1970 and as people write it.
    pub at_unix: u64,
    /// The same moment in UTC.
    pub at: String,
}

impl Environment {
    /// Of this machine, with data in `home`.
    #[must_use]
    pub fn read(home: &Path, commit: &str, versions: &str, cores: usize) -> Environment {
        let field = |path: &str, name: &str| {
            let text = fs::read_to_string(path).unwrap_or_default();
            let line = text.lines().find(|line| line.starts_with(name));
            let value = line
                .and_then(|line| line.split_once(':'))
                .map(|(_, value)| value.trim());
            value.unwrap_or("unknown").to_owned()
        };
        let memory = field("/proc/meminfo", "MemTotal");
        let kilobytes = memory
            .split_whitespace()
            .next()
            .and_then(|kb| kb.parse::<u64>().ok());
        Environment {
            processor: format!("{cores} x {}", field("/proc/cpuinfo", "model name")),
            memory_bytes: kilobytes.unwrap_or_default() * 1024,
            kernel: said("uname", &["-sr"]),
            file_system: said("df", &["--output=fstype,source", &home.to_string_lossy()])
                .lines()
                .last()
                .unwrap_or_default()
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" on "),
            commit: commit.to_owned(),
            versions: versions.to_owned(),
            at_unix: said("date", &["-u", "+%s"]).parse().unwrap_or_default(),
            at: said("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
        }
    }
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or_else(
        |_| "unknown".to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}
