//! Why the broker ends a connection. Where Kafka throws an exception that its network thread turns
//! into a closed connection, a reason of this list ends ours, with one log line and one count.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use ottla_broker::authorize::Operation;
use ottla_wire::{ApiKey, DecodeError, EncodeError};
use tokio::time::error::Elapsed;

use crate::wrong_protocol::WrongProtocol;

/// Why a connection ends.
#[derive(Debug)]
pub(crate) enum CloseReason {
    /// The client closed it, or the system did: nothing to tell.
    Gone,
    /// No request has this length.
    FrameLength(i32),
    /// The request is longer than what is read.
    FrameTooLarge { bytes: i32, bytes_max: usize },
    /// The first bytes are another protocol's.
    WrongProtocol(WrongProtocol),
    /// The key names no API.
    UnknownKey {
        key: i16,
        version: i16,
        client_id: Option<String>,
    },
    /// The API, or this version of it, is not served.
    Unsupported {
        api: ApiKey,
        version: i16,
        client_id: Option<String>,
    },
    /// The bytes are no request.
    Malformed {
        api: Option<ApiKey>,
        version: i16,
        error: DecodeError,
    },
    /// The client may not do this at all.
    Denied(Operation),
    /// A Produce without answer failed: closing tells the client.
    ProduceWithoutAcks {
        client_id: Option<String>,
        why: String,
    },
    /// The answer cannot be written in this version. A bug of ours.
    Unanswerable {
        api: ApiKey,
        version: i16,
        error: EncodeError,
    },
    /// There are too many connections.
    TooManyConnections(usize),
    /// Nothing was heard for too long.
    Idle,
    /// Records that were promised in an answer cannot be read.
    Storage(String),
}

impl CloseReason {
    /// The reasons as labels of the figure that counts them.
    pub(crate) const LABELS: &[&str] = &[
        "gone",
        "frame_length",
        "frame_too_large",
        "unknown_key",
        "unsupported_version",
        "malformed",
        "denied",
        "produce_without_acks",
        "unanswerable",
        "too_many_connections",
        "idle",
        "storage",
        "wrong_protocol",
    ];

    /// Place of the reason in [`LABELS`](Self::LABELS).
    pub(crate) fn index(&self) -> usize {
        match self {
            CloseReason::Gone => 0,
            CloseReason::FrameLength(_) => 1,
            CloseReason::FrameTooLarge { .. } => 2,
            CloseReason::UnknownKey { .. } => 3,
            CloseReason::Unsupported { .. } => 4,
            CloseReason::Malformed { .. } => 5,
            CloseReason::Denied(_) => 6,
            CloseReason::ProduceWithoutAcks { .. } => 7,
            CloseReason::Unanswerable { .. } => 8,
            CloseReason::TooManyConnections(_) => 9,
            CloseReason::Idle => 10,
            CloseReason::Storage(_) => 11,
            CloseReason::WrongProtocol(_) => 12,
        }
    }

    /// Whether a person may want to know.
    pub(crate) fn is_worth_a_line(&self) -> bool {
        !matches!(self, CloseReason::Gone | CloseReason::Idle)
    }
}

impl From<std::io::Error> for CloseReason {
    fn from(_: std::io::Error) -> CloseReason {
        CloseReason::Gone
    }
}

impl From<Elapsed> for CloseReason {
    fn from(_: Elapsed) -> CloseReason {
        CloseReason::Idle
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let client = |id: &Option<String>| id.clone().unwrap_or_else(|| "none".into());
        match self {
            Self::Gone => f.write_str("the client went"),
            Self::FrameLength(bytes) => write!(f, "a request cannot have {bytes} bytes"),
            Self::FrameTooLarge { bytes, bytes_max } => write!(
                f,
                "a request of {bytes} bytes, where at most {bytes_max} are read"
            ),
            Self::WrongProtocol(protocol) => protocol.fmt(f),
            Self::UnknownKey {
                key,
                version,
                client_id,
            } => write!(
                f,
                "there is no API with key {key} (version {version}); client id {:?}",
                client(client_id)
            ),
            Self::Unsupported {
                api,
                version,
                client_id,
            } => write!(
                f,
                "{api:?} (key {}) version {version} is not served; client id {:?}",
                i16::from(*api),
                client(client_id)
            ),
            Self::Malformed {
                api: None, error, ..
            } => {
                write!(f, "the header of a request cannot be read: {error}")
            }
            Self::Malformed {
                api: Some(api),
                version,
                error,
            } => {
                write!(
                    f,
                    "a {api:?} request of version {version} cannot be read: {error}"
                )
            }
            Self::Denied(operation) => write!(f, "{operation:?} is not permitted"),
            Self::ProduceWithoutAcks { client_id, why } => write!(
                f,
                "a Produce with acks=0 failed, and closing is the only answer to it; client id {:?}: {why}",
                client(client_id)
            ),
            Self::Unanswerable {
                api,
                version,
                error,
            } => {
                write!(
                    f,
                    "the answer to {api:?} version {version} cannot be written: {error}"
                )
            }
            Self::TooManyConnections(max) => {
                write!(f, "there are {max} connections (max.connections)")
            }
            Self::Storage(fault) => write!(f, "records on their way out cannot be read: {fault}"),
            Self::Idle => f.write_str("nothing was heard for too long (connections.max.idle.ms)"),
        }
    }
}

/// A client id for a log line: it may have 32 KB.
pub(crate) fn short(client_id: &str) -> String {
    client_id.chars().take(64).collect()
}

/// Lines that a second may have: what a flood of bad requests can cost the log.
const LINES_PER_SECOND_MAX: u64 = 20;

/// Lets so many lines a second through and counts the rest.
#[derive(Debug)]
pub(crate) struct LineLimit {
    since: Instant,
    /// The second that is counted in its upper half, the lines in the lower.
    state: AtomicU64,
}

/// What to do with a line.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Line {
    /// Write it.
    Write,
    /// Write it, and say that it is the last one of this second.
    WriteLast,
    /// Leave it out.
    Drop,
}

impl LineLimit {
    pub(crate) fn new() -> LineLimit {
        LineLimit {
            since: Instant::now(),
            state: AtomicU64::new(0),
        }
    }

    pub(crate) fn ask(&self) -> Line {
        self.ask_at(self.since.elapsed().as_secs())
    }

    fn ask_at(&self, second: u64) -> Line {
        let next = |state: u64| {
            let lines = if state >> 32 == second {
                state & 0xffff_ffff
            } else {
                0
            };
            second << 32 | (lines + 1).min(LINES_PER_SECOND_MAX + 1)
        };
        let before = self
            .state
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |s| Some(next(s)));
        match next(before.unwrap_or_default()) & 0xffff_ffff {
            lines if lines < LINES_PER_SECOND_MAX => Line::Write,
            LINES_PER_SECOND_MAX => Line::WriteLast,
            _ => Line::Drop,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_served_is_told_with_client_key_and_version() {
        let client_id = Some(short("my-app"));
        let unknown = CloseReason::UnknownKey {
            key: 999,
            version: 2,
            client_id: client_id.clone(),
        };
        let unsupported = CloseReason::Unsupported {
            api: ApiKey::JoinGroup,
            version: 3,
            client_id,
        };
        for (reason, parts) in [
            (unknown, ["key 999", "version 2", "\"my-app\""]),
            (unsupported, ["(key 11)", "version 3", "\"my-app\""]),
        ] {
            let line = reason.to_string();
            assert!(reason.is_worth_a_line());
            assert!(!line.contains('\n'));
            for part in parts {
                assert!(line.contains(part), "{line}");
            }
        }
    }

    #[test]
    fn lets_twenty_lines_a_second_through() {
        let limit = LineLimit::new();
        for second in [0, 1, 7] {
            for line in 1..100 {
                let expected = match line {
                    ..20 => Line::Write,
                    20 => Line::WriteLast,
                    _ => Line::Drop,
                };
                assert_eq!(
                    limit.ask_at(second),
                    expected,
                    "line {line} of second {second}"
                );
            }
        }
    }
}
