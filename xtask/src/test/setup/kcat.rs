//! kcat comes from the distribution.

use std::path::PathBuf;
use std::process::Command;

use super::super::process::capture;
use super::{ASK_LIMIT, Lack, on_path};

/// kcat, its version, and that of the client library in it.
pub(in crate::test) struct Kcat {
    pub(in crate::test) program: PathBuf,
    pub(in crate::test) version: String,
    pub(in crate::test) librdkafka: String,
}

pub(super) fn find() -> Result<Kcat, Lack> {
    let program = on_path("kcat").ok_or_else(|| {
        Lack::Missing("kcat is not installed (Debian: apt-get install kcat)".into())
    })?;
    let said = capture(Command::new(&program).arg("-V"), None, ASK_LIMIT)?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let after = |mark: &str| {
        let rest = said.split(mark).nth(1)?;
        rest.split_whitespace().next().map(str::to_owned)
    };
    Ok(Kcat {
        version: after("Version ").ok_or_else(|| format!("kcat -V says no version: {said}"))?,
        librdkafka: after("librdkafka ").unwrap_or_else(|| "unknown".into()),
        program,
    })
}
