//! `ottla health`: does a broker answer? Asks for its ApiVersions, as every Kafka client does first.
//!
//! One time limit covers all of it. With a data directory it never waits for a broker that is starting:
//! the address file is not there yet. A given address may be bound before the logs are open; who asks
//! there is answered when they are, or the time is over.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use ottla_wire::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use ottla_wire::frame::{decode_response, encode_request};

use super::start::address_file;
use super::version::VERSION;
use crate::exit::{Code, Fatal};
use crate::settings::{DEFAULT_DATA, DEFAULT_LISTEN, HostPort};

/// Of ApiVersions; old enough for every broker since Kafka 2.4, new enough to say who asks.
const API_VERSION: i16 = 3;
const CORRELATION_ID: i32 = 1;
/// Far above any honest answer.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Arguments of `ottla health`.
#[derive(Clone, Debug, Args)]
pub(crate) struct HealthArgs {
    /// Where to ask [default: what the data directory says, else 127.0.0.1:9092]
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "data")]
    listen: Option<HostPort>,
    /// The data directory of the broker to ask
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// How long the answer may take
    #[arg(long, value_name = "MS", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    timeout_ms: u64,
}

/// Why there is no health to report.
#[derive(Debug)]
enum Ill {
    Io(&'static str, io::Error),
    Timeout,
    Answer(String),
}

pub(crate) fn run(args: &HealthArgs) -> Result<(), Fatal> {
    let address = find(args)?;
    ask(&address, Duration::from_millis(args.timeout_ms)).map_err(|ill| {
        let what_to_do = "is it running, and is that where it listens?";
        Fatal::new(
            Code::NotReady,
            format!("no broker answers at {address}: {ill}; {what_to_do}"),
        )
    })
}

/// Flag, then environment, then the default directory, then the default address.
fn find(args: &HealthArgs) -> Result<HostPort, Fatal> {
    if let Some(address) = &args.listen {
        return Ok(address.clone());
    }
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(data) = args
        .data
        .clone()
        .or_else(|| set("OTTLA_DATA").map(PathBuf::from))
    {
        return read(&data)?.ok_or_else(|| {
            let file = address_file::path(&data);
            let words = format!(
                "{} is not there: no broker is ready on {}; start one",
                file.display(),
                data.display()
            );
            Fatal::new(Code::NotReady, words)
        });
    }
    if let Some(listen) = set("OTTLA_LISTEN") {
        return listen
            .to_string_lossy()
            .parse()
            .map_err(|why| Fatal::usage(format!("OTTLA_LISTEN: {why}")));
    }
    match read(Path::new(DEFAULT_DATA))? {
        Some(address) => Ok(address),
        None => DEFAULT_LISTEN.parse().map_err(Fatal::usage),
    }
}

fn read(data: &Path) -> Result<Option<HostPort>, Fatal> {
    address_file::read(data).map_err(|why| {
        let file = address_file::path(data);
        Fatal::new(
            Code::NotReady,
            format!("{}: {why}; give the address with --listen", file.display()),
        )
    })
}

fn ask(address: &HostPort, limit: Duration) -> Result<(), Ill> {
    let until = Instant::now() + limit;
    let mut stream = connect(address, until)?;
    let request = ApiVersionsRequest {
        client_software_name: "ottla-health",
        client_software_version: VERSION,
        ..ApiVersionsRequest::default()
    };
    let frame = encode_request(&request, API_VERSION, CORRELATION_ID, Some("ottla-health"))
        .ok()
        .and_then(|frame| frame.to_bytes())
        .ok_or_else(|| Ill::Answer("the question cannot be written".into()))?;
    stream
        .set_write_timeout(Some(left(until)?))
        .map_err(|error| Ill::Io("write", error))?;
    stream
        .write_all(&frame)
        .map_err(|error| Ill::Io("write", error))?;

    let mut length = [0; 4];
    fill(&mut stream, &mut length, until)?;
    let length = usize::try_from(i32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > ANSWER_BYTES_MAX {
        return Err(Ill::Answer(
            "what answers there does not speak Kafka's protocol".into(),
        ));
    }
    let mut answer = vec![0; length];
    fill(&mut stream, &mut answer, until)?;
    check(&answer)
}

fn connect(address: &HostPort, until: Instant) -> Result<TcpStream, Ill> {
    let reachable = address.reachable();
    let candidates = (reachable.host.as_str(), reachable.port).to_socket_addrs();
    let mut last = Ill::Answer("the name has no address".into());
    for candidate in candidates.map_err(|error| Ill::Io("look up", error))? {
        match TcpStream::connect_timeout(&candidate, left(until)?) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = Ill::Io("connect", error),
        }
    }
    Err(last)
}

fn fill(stream: &mut TcpStream, buffer: &mut [u8], until: Instant) -> Result<(), Ill> {
    let mut filled = 0;
    while filled < buffer.len() {
        stream
            .set_read_timeout(Some(left(until)?))
            .map_err(|error| Ill::Io("read", error))?;
        match stream.read(&mut buffer[filled..]) {
            Ok(0) => return Err(Ill::Answer("it closed the connection".into())),
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                ) =>
            {
                return Err(Ill::Timeout);
            }
            Err(error) => return Err(Ill::Io("read", error)),
        }
    }
    Ok(())
}

fn left(until: Instant) -> Result<Duration, Ill> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() {
        Err(Ill::Timeout)
    } else {
        Ok(left)
    }
}

fn check(answer: &[u8]) -> Result<(), Ill> {
    let (correlation_id, versions): (i32, ApiVersionsResponse<'_>) =
        decode_response::<ApiVersionsRequest<'_>>(answer, API_VERSION)
            .map_err(|error| Ill::Answer(format!("its answer is not Kafka's: {error}")))?;
    if correlation_id != CORRELATION_ID {
        return Err(Ill::Answer("its answer is to another question".into()));
    }
    if versions.error_code != 0 || versions.api_keys.is_empty() {
        return Err(Ill::Answer(format!(
            "it answers with error {}",
            versions.error_code
        )));
    }
    Ok(())
}

impl fmt::Display for Ill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ill::Io(operation, error) => write!(f, "{operation}: {error}"),
            Ill::Timeout => f.write_str("the time is over (a broker that is still starting takes connections and answers later)"),
            Ill::Answer(why) => f.write_str(why),
        }
    }
}
