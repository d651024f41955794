//! One hostile connection: what was sent, and what became of it.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use ottla_testkit::wire_client::{WireClient, WireError};
use ottla_wire::ApiKey;

/// A broker that neither answers nor hangs up within this long has not dealt with the bytes.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a broker did.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Hung up without a byte.
    Closed,
    /// Answered a frame.
    Answered(Vec<u8>),
    /// Neither, for [`PATIENCE`].
    Silent,
    /// Something that no broker may do.
    Broken(String),
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("closed"),
            Self::Answered(frame) => {
                let shown = &frame[..frame.len().min(32)];
                write!(f, "answered {} bytes: {shown:02x?}", frame.len())
            }
            Self::Silent => f.write_str("silent"),
            Self::Broken(how) => write!(f, "broken: {how}"),
        }
    }
}

/// Sends the bytes on a new connection, and nothing more.
pub(crate) fn probe(address: &str, bytes: &[u8]) -> Outcome {
    run(address, bytes, false)
}

/// The same, then tells the broker that nothing more will come.
pub(crate) fn probe_and_finish(address: &str, bytes: &[u8]) -> Outcome {
    run(address, bytes, true)
}

fn run(address: &str, bytes: &[u8], finish: bool) -> Outcome {
    let sent = WireClient::connect(address).and_then(|mut client| {
        client.set_time_limit(PATIENCE)?;
        client.send_raw(bytes)?;
        if finish {
            client.finish_sending()?;
        }
        client.receive_frame()
    });
    match sent {
        Ok(frame) => Outcome::Answered(frame),
        Err(WireError::Closed) => Outcome::Closed,
        Err(WireError::TimedOut) => Outcome::Silent,
        Err(error) => Outcome::Broken(error.to_string()),
    }
}

/// Sends the bytes and reads whatever comes until the broker hangs up.
pub(crate) fn raw_exchange(address: &str, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(bytes)?;
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard)?;
    Ok(heard)
}

/// A whole frame: length, header as this version of the API has it, body.
pub(crate) fn frame(key: i16, version: i16, body: &[u8]) -> Vec<u8> {
    let flexible = ApiKey::try_from(key).is_ok_and(|key| key.is_flexible(version));
    frame_with(
        key,
        version,
        Some(b"hostile"),
        flexible.then_some(&[0]),
        body,
    )
}

/// A whole frame with this client id and these tagged fields in its header.
pub(crate) fn frame_with(
    key: i16,
    version: i16,
    client_id: Option<&[u8]>,
    tags: Option<&[u8]>,
    body: &[u8],
) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(key.to_be_bytes());
    bytes.extend(version.to_be_bytes());
    bytes.extend(CORRELATION_ID.to_be_bytes());
    match client_id {
        Some(name) => {
            bytes.extend((name.len() as i16).to_be_bytes());
            bytes.extend(name);
        }
        None => bytes.extend((-1_i16).to_be_bytes()),
    }
    bytes.extend(tags.unwrap_or_default());
    bytes.extend(body);
    framed(&bytes)
}

/// The bytes behind their length.
pub(crate) fn framed(bytes: &[u8]) -> Vec<u8> {
    let length = (bytes.len() as u32).to_be_bytes();
    [&length, bytes].concat()
}

/// Of every request made here.
pub(crate) const CORRELATION_ID: i32 = 0x0bad_cafe;

/// Bytes from pieces, in the order of the calls.
#[derive(Clone, Default)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl Bytes {
    pub(crate) fn i8(mut self, value: i8) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }
    pub(crate) fn i16(mut self, value: i16) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }
    pub(crate) fn i32(mut self, value: i32) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }
    /// A string behind its 16-bit length.
    pub(crate) fn string(mut self, value: &str) -> Self {
        self.0.extend((value.len() as i16).to_be_bytes());
        self.0.extend(value.as_bytes());
        self
    }
    /// An unsigned varint.
    pub(crate) fn varint(mut self, mut value: u32) -> Self {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
        self
    }
    /// Bytes as they are.
    pub(crate) fn raw(mut self, value: &[u8]) -> Self {
        self.0.extend(value);
        self
    }
}

/// Checks one outcome after the other and tells of all that differ.
#[derive(Default)]
pub(crate) struct Verdicts {
    checked: usize,
    wrong: Vec<String>,
}

impl Verdicts {
    pub(crate) fn check(&mut self, what: impl fmt::Display, got: &Outcome, wanted: &Outcome) {
        self.holds(&what, got == wanted, || format!("{got:?}, not {wanted:?}"));
    }

    pub(crate) fn holds(
        &mut self,
        what: impl fmt::Display,
        holds: bool,
        instead: impl FnOnce() -> String,
    ) {
        self.checked += 1;
        if !holds {
            self.wrong.push(format!("  {what}: {}", instead()));
        }
    }

    /// Takes those of another in.
    pub(crate) fn add(&mut self, other: Verdicts) {
        self.checked += other.checked;
        self.wrong.extend(other.wrong);
    }

    pub(crate) fn end(self) -> Result<String, String> {
        if self.wrong.is_empty() {
            return Ok(format!("{} connections", self.checked));
        }
        let shown = self.wrong.len().min(40);
        Err(format!(
            "{} of {} wrong:\n{}",
            self.wrong.len(),
            self.checked,
            self.wrong[..shown].join("\n")
        ))
    }
}
