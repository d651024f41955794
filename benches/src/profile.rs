//! Flame graphs: what a server does while a row is measured.
//!
//! `perf` samples the clock of its threads, because virtual machines rarely have hardware counters, and
//! walks frame pointers: the build under measurement must keep them, as `cargo xtask bench --profile` does.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use inferno::collapse::Collapse as _;
use inferno::collapse::perf::{Folder, Options};
use inferno::flamegraph;
use rustix::process::{Pid, Signal, kill_process};

/// Not a divisor of anything periodic.
const SAMPLES_PER_SECOND: &str = "1999";
const ATTACH_LIMIT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(5);

/// A recording that goes on.
#[derive(Debug)]
pub struct Recording {
    perf: Child,
    samples: PathBuf,
}

impl Recording {
    /// Begins to sample all threads of a process; returns when it does.
    ///
    /// # Errors
    /// If `perf` cannot, with its words.
    pub fn begin(pid: u32, home: &Path) -> Result<Recording, String> {
        let samples = home.join("perf.data");
        let said = home.join("perf.log");
        let log = File::create(&said).map_err(|e| format!("{}: {e}", said.display()))?;
        let perf = Command::new("perf")
            .args(["record", "--event", "cpu-clock", "--call-graph", "fp"])
            .args(["--freq", SAMPLES_PER_SECOND, "--pid", &pid.to_string()])
            .arg("--output")
            .arg(&samples)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|e| format!("perf: {e} (Debian: apt-get install linux-perf)"))?;
        let mut recording = Recording { perf, samples };
        let begin = Instant::now();
        // It writes the head of its file when it has attached.
        while fs::metadata(&recording.samples).map_or(0, |file| file.len()) == 0 {
            let ended = recording.perf.try_wait().map_err(|e| e.to_string())?;
            if ended.is_some() || begin.elapsed() > ATTACH_LIMIT {
                let words = fs::read_to_string(&said).unwrap_or_default();
                return Err(format!("perf records nothing: {words}"));
            }
            thread::sleep(POLL);
        }
        Ok(recording)
    }

    /// Ends it and draws; the folded stacks lie beside the drawing, for other viewers.
    ///
    /// # Errors
    /// If there are no samples, or nothing can be written.
    pub fn end(mut self, drawing: &Path, title: &str) -> Result<(), String> {
        kill_process(Pid::from_child(&self.perf), Signal::INT).map_err(|e| e.to_string())?;
        // It ends by that signal, which is no success.
        self.perf.wait().map_err(|e| e.to_string())?;
        let script = Command::new("perf")
            .args(["script", "--input"])
            .arg(&self.samples)
            .stderr(Stdio::null())
            .output()
            .map_err(|e| format!("perf script: {e}"))?;
        let mut folded = Vec::new();
        Folder::from(Options::default())
            .collapse(BufReader::new(&script.stdout[..]), &mut folded)
            .map_err(|e| format!("perf script: {e}"))?;
        let stacks = drawing.with_extension("folded");
        fs::write(&stacks, &folded).map_err(|e| format!("{}: {e}", stacks.display()))?;
        let mut options = flamegraph::Options::default();
        options.title = format!("ottla: {title}");
        options.count_name = "ns of CPU".to_owned();
        let file = File::create(drawing).map_err(|e| format!("{}: {e}", drawing.display()))?;
        flamegraph::from_reader(&mut options, &folded[..], file)
            .map_err(|e| format!("drawing: {e}"))
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let _ = self.perf.kill();
        let _ = self.perf.wait();
    }
}
