//! The configuration file, in TOML. Errors name file, line and column.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::Given;
use crate::exit::Fatal;

/// Far above any honest file.
const BYTES_MAX: usize = 1 << 20;

pub(super) fn read(path: &Path) -> Result<Given, Fatal> {
    let refuse = |why: String| {
        Fatal::usage(format!(
            "{}: {why}; name a readable file with --config",
            path.display()
        ))
    };
    let mut text = String::new();
    let file = File::open(path).map_err(|error| refuse(error.to_string()))?;
    file.take(BYTES_MAX as u64 + 1)
        .read_to_string(&mut text)
        .map_err(|error| refuse(error.to_string()))?;
    if text.len() > BYTES_MAX {
        return Err(refuse(format!("it is larger than {BYTES_MAX} bytes")));
    }
    parse(path, &text)
}

pub(super) fn parse(path: &Path, text: &str) -> Result<Given, Fatal> {
    toml::from_str(text).map_err(|error| {
        let place = error
            .span()
            .map(|span| position(text, span.start))
            .unwrap_or_default();
        Fatal::usage(format!("{}{place}: {}", path.display(), error.message()))
    })
}

/// `:line:column`, both from 1, as compilers print them.
fn position(text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    format!(":{line}:{column}")
}
