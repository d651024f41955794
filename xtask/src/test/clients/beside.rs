//! A program that runs beside others until it is killed.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, Instant};

use super::super::process::tail;

/// What it says when it is what it should be, and perhaps where.
const READY: &str = "ready";

/// It is killed by SIGKILL when this is dropped: it cannot say goodbye to anybody.
pub(super) struct Beside {
    child: Child,
}

impl Beside {
    /// Starts it, and returns when it is ready, with what it said besides.
    ///
    /// # Errors
    /// If it cannot start, ends, or is not ready within the limit.
    pub(super) fn start(command: &mut Command, limit: Duration) -> Result<(Self, String), String> {
        let program = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| format!("{program}: {e}"))?;
        let (sender, receiver) = mpsc::channel();
        if let Some(pipe) = child.stdout.take() {
            forward(pipe, sender.clone());
        }
        if let Some(pipe) = child.stderr.take() {
            forward(pipe, sender);
        }
        let beside = Self { child };
        let deadline = Instant::now() + limit;
        let mut said = String::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = receiver.recv_timeout(left) else {
                return Err(format!("{program} is not ready: {}", tail(&said)));
            };
            match line.strip_prefix(READY) {
                Some(rest) => return Ok((beside, rest.trim().to_owned())),
                None => said.push_str(&format!("{line}\n")),
            }
        }
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// To its end, also when nobody listens any more: the program must not wait for a reader.
fn forward(pipe: impl Read + Send + 'static, sender: Sender<String>) {
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    fn shell(script: &str) -> Command {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]);
        shell
    }

    #[test]
    fn it_runs_until_it_is_dropped() {
        let (beside, said) = Beside::start(
            &mut shell("echo hello; echo ready here; exec cat /dev/zero"),
            LIMIT,
        )
        .unwrap();
        assert_eq!(said, "here");
        let status = format!("/proc/{}/status", beside.child.id());
        assert!(std::path::Path::new(&status).exists());
        drop(beside);
        assert!(!std::path::Path::new(&status).exists());
    }

    #[test]
    fn what_ends_before_it_is_ready_is_told_with_its_last_words() {
        let why = Beside::start(&mut shell("echo no room >&2; exit 3"), LIMIT).err();
        assert!(why.is_some_and(|why| why.contains("no room")));
    }
}
