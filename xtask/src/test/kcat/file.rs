//! A real file goes through: `kcat -P -l` of a million lines, and `kcat -C -e` gives the same file back.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::super::process::wait;
use super::super::random::Random;
use super::super::stored::Stored;
use super::{Client, Fields};

const LINES: u64 = 1_000_000;
const TOPIC: &str = "kcat-file";
const LIMIT: Duration = Duration::from_secs(180);

pub(super) fn run(client: &Client<'_>, seed: u64, work: &Path) -> Result<(Fields, Stored), String> {
    let sent = work.join("sent.txt");
    let came = work.join("came.txt");
    write(&sent, seed).map_err(|e| format!("{}: {e}", sent.display()))?;
    let path = sent.to_string_lossy().into_owned();
    let start = Instant::now();
    // One partition, so that the order of the whole file is the order of the partition.
    until_done(client, &["-P", "-t", TOPIC, "-p", "0", "-l", &path], None)?;
    let produced = start.elapsed();
    until_done(
        client,
        &["-C", "-q", "-e", "-t", TOPIC, "-p", "0", "-o", "beginning"],
        Some(&came),
    )?;
    let consumed = start.elapsed() - produced;
    compare(&sent, &came)?;
    for file in [sent, came] {
        fs::remove_file(&file).map_err(|e| format!("{}: {e}", file.display()))?;
    }
    let fields = vec![
        ("records", LINES.to_string()),
        ("produce_ms", produced.as_millis().to_string()),
        ("consume_ms", consumed.as_millis().to_string()),
    ];
    let stored = Stored {
        topic: TOPIC.into(),
        partition: 0,
        records: LINES,
        codec: "none".into(),
        idempotent: false,
    };
    Ok((fields, stored))
}

/// Lines of 10 to 190 bytes, each different.
fn write(path: &Path, seed: u64) -> std::io::Result<()> {
    const FILLER: &str = "a line of a real file, as people pipe it through kcat: text, numbers, žluťoučký kůň; \
        a line of a real file, as people pipe it through kcat: text, numbers, nothing else";
    let mut random = Random::new(seed);
    let mut file = BufWriter::new(File::create(path)?);
    for line in 0..LINES {
        let end = FILLER.floor_char_boundary(random.below(FILLER.len()));
        writeln!(
            file,
            "{line} {:x} {}",
            random.next() & 0xffff,
            &FILLER[..end]
        )?;
    }
    file.flush()
}

fn until_done(
    client: &Client<'_>,
    arguments: &[&str],
    stdout: Option<&Path>,
) -> Result<(), String> {
    let what = arguments[0];
    let mut command = client.command(arguments);
    command.stdin(Stdio::null());
    if let Some(path) = stdout {
        command.stdout(File::create(path).map_err(|e| format!("{}: {e}", path.display()))?);
    }
    let mut child = command.spawn().map_err(|e| format!("kcat: {e}"))?;
    match wait(&mut child, LIMIT) {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("kcat {what}: {status}")),
        Err(why) => {
            let _ = child.kill();
            let _ = child.wait();
            Err(format!("kcat {what}: {why}"))
        }
    }
}

fn compare(sent: &Path, came: &Path) -> Result<(), String> {
    let open = |path: &Path| {
        File::open(path)
            .map(BufReader::new)
            .map_err(|e| format!("{}: {e}", path.display()))
    };
    let (mut sent, mut came) = (open(sent)?, open(came)?);
    let (mut expected, mut found) = (Vec::new(), Vec::new());
    for line in 0..=LINES {
        expected.clear();
        found.clear();
        let read = sent
            .read_until(b'\n', &mut expected)
            .and_then(|_| came.read_until(b'\n', &mut found));
        read.map_err(|e| e.to_string())?;
        if expected != found {
            let text = |line: &[u8]| String::from_utf8_lossy(line).into_owned();
            return Err(format!(
                "line {line}: sent {:?}, came {:?}",
                text(&expected),
                text(&found)
            ));
        }
    }
    if expected.is_empty() {
        Ok(())
    } else {
        Err("the file is longer than it was made".into())
    }
}
