//! Words for a person or a script.

use std::fmt::Display;
use std::io::Write;

/// One line on stdout, at once. Who closed the other end does not want to know.
pub(crate) fn line(words: impl Display) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{words}");
    let _ = out.flush();
}

/// The one line on stderr that a failure gets.
pub(crate) fn error(words: &str) {
    let _ = writeln!(std::io::stderr().lock(), "ottla: {}", one_line(words));
}

/// Whatever came, as one line.
pub(crate) fn one_line(words: &str) -> String {
    words
        .split(['\n', '\r'])
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}
