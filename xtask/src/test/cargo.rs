//! The sections that are cargo's: each streams what cargo prints and counts what its tests counted.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::process::stream;
use super::report::Section;

const LIMIT: Duration = Duration::from_secs(45 * 60);

/// Cargo in this workspace, building into the cache.
pub(crate) struct Cargo<'a> {
    pub(crate) root: &'a Path,
    pub(crate) target: PathBuf,
}

impl Cargo<'_> {
    /// Where the release build leaves the broker.
    pub(crate) fn binary(&self) -> PathBuf {
        self.target.join("release/ottla")
    }

    /// A command that is one case: it passes or fails as a whole.
    pub(crate) fn whole(&self, section: &Section, arguments: &[&str]) {
        let outcome = stream(&mut self.command(arguments), LIMIT, |line| {
            section.say(line)
        });
        section.case(&format!("cargo {}", arguments.join(" ")), outcome);
    }

    /// Tests: the cases are those that the test binaries count.
    pub(super) fn tests(&self, section: &Section, arguments: &[&str]) {
        let (mut passed, mut failed, mut ignored) = (0, 0, 0);
        let mut reasons = Vec::new();
        let outcome = stream(&mut self.command(arguments), LIMIT, |line| {
            section.say(line);
            if let Some((_, why)) = line.split_once(" ... ignored, ") {
                reasons.push(why.to_owned());
            }
            if let Some(counts) = counts(line) {
                passed += counts[0];
                failed += counts[1];
                ignored += counts[2];
            }
        });
        let what = format!("cargo {}", arguments.join(" "));
        section.passed(passed);
        for _ in 0..failed {
            section.failed(format!("{what}: a test, see above"));
        }
        if ignored > 0 {
            let why = reasons.join("; ");
            section.skipped(
                &what,
                &format!("{ignored} tests are marked as ignored: {why}"),
            );
        }
        if let Err(why) = outcome
            && failed == 0
        {
            section.failed(format!("{what}: {why}"));
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command
            .current_dir(self.root)
            .env("CARGO_TARGET_DIR", &self.target)
            .env("OTTLA_BIN", self.binary())
            .args(arguments);
        command
    }
}

/// Passed, failed and ignored, if the line is a test binary's result.
fn counts(line: &str) -> Option<[u64; 3]> {
    let rest = line.trim().strip_prefix("test result: ")?;
    let mut found = [0; 3];
    for (slot, name) in found.iter_mut().zip([" passed", " failed", " ignored"]) {
        let before = rest.split(name).next()?;
        *slot = before.rsplit([' ', '.']).next()?.parse().ok()?;
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_from_the_result_line() {
        let line = "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        assert_eq!(counts(line), Some([12, 3, 1]));
        assert_eq!(counts("test foo ... ok"), None);
    }
}
