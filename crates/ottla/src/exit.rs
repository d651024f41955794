//! How the process ends.

use std::process::ExitCode;

/// Exit codes; scripts rely on them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Code {
    /// Stopped as asked.
    Ok = 0,
    /// Failed while running.
    Failed = 1,
    /// A wrong flag, environment variable or file.
    Usage = 2,
    /// Another program has the port.
    PortInUse = 3,
    /// Another process has the data directory.
    Locked = 4,
    /// `health`: no answer, or not the right one.
    NotReady = 5,
    /// The data directory belongs to another cluster, node or program.
    Foreign = 6,
    /// The data directory cannot be written.
    Unwritable = 7,
    /// What the broker needs to know of the data directory is damaged.
    Damaged = 8,
}

/// The list for the help text.
pub(crate) const CODES: &str = "\
Exit codes:
  0  stopped as asked (also by SIGTERM or SIGINT)
  1  failed while running
  2  wrong flag, environment variable or configuration file
  3  the port is in use
  4  another process has the data directory
  5  health: no answer
  6  the data directory belongs to another cluster, node or program
  7  the data directory cannot be written
  8  the catalog in the data directory is damaged";

impl From<Code> for ExitCode {
    fn from(code: Code) -> ExitCode {
        ExitCode::from(code as u8)
    }
}

/// The end of the process, with its one line: what, where, what to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Fatal {
    pub(crate) code: Code,
    pub(crate) words: String,
}

impl Fatal {
    pub(crate) fn new(code: Code, words: impl Into<String>) -> Fatal {
        Fatal {
            code,
            words: words.into(),
        }
    }

    pub(crate) fn usage(words: impl Into<String>) -> Fatal {
        Fatal::new(Code::Usage, words)
    }

    pub(crate) fn failed(words: impl Into<String>) -> Fatal {
        Fatal::new(Code::Failed, words)
    }
}
