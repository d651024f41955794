//! Programs that are run, watched and ended: every one has a time limit.

use std::io::{self, Read, Write as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

const CHUNK_BYTES: usize = 64 * 1024;
/// How often the end of a process is looked for while nothing else tells of it.
const POLL: Duration = Duration::from_millis(2);

/// What a program left behind.
pub(crate) struct Finished {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

enum Chunk {
    Stdout(Vec<u8>),
    Stderr(Vec<u8>),
}

/// Runs to the end and answers what was printed.
///
/// # Errors
/// If it cannot start, exits with anything but 0 (with its last words), or takes longer than the limit.
pub(crate) fn capture(
    command: &mut Command,
    input: Option<Vec<u8>>,
    limit: Duration,
) -> Result<Finished, String> {
    let mut stdout = Vec::new();
    let mut stderr = Vec::new();
    let input = input.map_or(Input::Nothing, Input::Bytes);
    let status = drive(command, input, limit, |chunk| {
        match chunk {
            Chunk::Stdout(bytes) => stdout.extend(bytes),
            Chunk::Stderr(bytes) => stderr.extend(bytes),
        }
        Vec::new()
    })?;
    let stderr = String::from_utf8_lossy(&stderr).into_owned();
    if !status.success() {
        let stdout = String::from_utf8_lossy(&stdout);
        return Err(format!(
            "{}: {status}: {}",
            shown(command),
            tail(&format!("{stdout}{stderr}"))
        ));
    }
    Ok(Finished { stdout, stderr })
}

/// Runs to the end and hands over each line of either stream as it comes.
///
/// # Errors
/// As [`capture`]; a bad exit is told by its status alone, for the lines have been seen.
pub(super) fn stream(
    command: &mut Command,
    limit: Duration,
    mut line: impl FnMut(&str),
) -> Result<(), String> {
    converse(command, limit, |said| {
        line(said);
        None
    })
}

/// The same with a program that asks: what `line` answers becomes a line of its standard input.
///
/// # Errors
/// As [`stream`].
pub(super) fn converse(
    command: &mut Command,
    limit: Duration,
    mut line: impl FnMut(&str) -> Option<&'static str>,
) -> Result<(), String> {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let status = drive(command, Input::Answers, limit, |chunk| {
        let mut answers = Vec::new();
        let rest = match chunk {
            Chunk::Stdout(bytes) => {
                stdout.extend(bytes);
                &mut stdout
            }
            Chunk::Stderr(bytes) => {
                stderr.extend(bytes);
                &mut stderr
            }
        };
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let whole: Vec<u8> = rest.drain(..=end).collect();
            if let Some(answer) = line(String::from_utf8_lossy(&whole).trim_end()) {
                answers.extend_from_slice(answer.as_bytes());
                answers.push(b'\n');
            }
        }
        answers
    })?;
    for rest in [stdout, stderr] {
        if !rest.is_empty() {
            line(&String::from_utf8_lossy(&rest));
        }
    }
    if status.success() {
        Ok(())
    } else {
        Err(status.to_string())
    }
}

/// Waits for the end of a program that is already running.
///
/// # Errors
/// If the limit passes first; the program is then still running.
pub(super) fn wait(child: &mut Child, limit: Duration) -> Result<ExitStatus, String> {
    let deadline = Instant::now() + limit;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) if Instant::now() < deadline => thread::sleep(POLL),
            Ok(None) => return Err(format!("still running after {limit:?}")),
            Err(e) => return Err(e.to_string()),
        }
    }
}

/// The last lines of a text: a program says at the end why it failed.
pub(super) fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// What a program reads.
enum Input {
    Nothing,
    Bytes(Vec<u8>),
    /// What is answered to its output.
    Answers,
}

fn drive(
    command: &mut Command,
    input: Input,
    limit: Duration,
    mut each: impl FnMut(Chunk) -> Vec<u8>,
) -> Result<ExitStatus, String> {
    command.stdin(match input {
        Input::Nothing => Stdio::null(),
        Input::Bytes(_) | Input::Answers => Stdio::piped(),
    });
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("{}: {e}", shown(command)))?;
    let mut stdin = child.stdin.take();
    if let Input::Bytes(bytes) = input
        && let Some(mut pipe) = stdin.take()
    {
        // A program that stops reading says so itself; the broken pipe adds nothing.
        thread::spawn(move || drop(pipe.write_all(&bytes)));
    }
    let (sender, receiver) = mpsc::channel();
    if let Some(pipe) = child.stdout.take() {
        forward(pipe, sender.clone(), Chunk::Stdout);
    }
    if let Some(pipe) = child.stderr.take() {
        forward(pipe, sender.clone(), Chunk::Stderr);
    }
    drop(sender);
    let deadline = Instant::now() + limit;
    loop {
        match receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(chunk) => {
                let answers = each(chunk);
                if !answers.is_empty()
                    && let Some(pipe) = &mut stdin
                {
                    let _ = pipe.write_all(&answers).and_then(|()| pipe.flush());
                }
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                // Whatever it started may hold the pipes open: they are not waited for.
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("{}: not done after {limit:?}", shown(command)));
            }
        }
    }
    child.wait().map_err(|e| format!("{}: {e}", shown(command)))
}

fn forward(
    mut pipe: impl Read + Send + 'static,
    sender: Sender<Chunk>,
    wrap: fn(Vec<u8>) -> Chunk,
) {
    thread::spawn(move || {
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            match pipe.read(&mut chunk) {
                Ok(0) => return,
                Ok(read) => {
                    if sender.send(wrap(chunk[..read].to_vec())).is_err() {
                        return;
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    });
}

fn shown(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    // A class path of fifty jars tells nobody anything.
    match text.char_indices().nth(300) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
