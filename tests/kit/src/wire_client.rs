//! A blocking client that says exactly what it is told to, right or wrong.
//!
//! Owns one connection: sending any request at any version, pipelined or not, raw bytes, and reading
//! the answers. `calls.rs` has the requests that tests send all the time, `batches.rs` reads records back.
//! Guarantees: nothing waits longer than the connection's time limit; an answer is checked to be the
//! one that was asked for; nothing is retried, reordered or hidden.
//!
//! ```text
//! let mut client = WireClient::connect(broker.address())?;
//! let first = client.send(&request, 12)?;      // pipelining: send, send, receive, receive
//! let second = client.send(&request, 12)?;
//! let answer = client.receive(first)?;
//! let body = answer.body()?;                   // borrows from the answer
//! ```

mod batches;
mod calls;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io::{self, BufReader, Read, Write};
use std::marker::PhantomData;
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::time::Duration;

use ottla_wire::encoder::Segment;
use ottla_wire::frame::{decode_response, encode_request};
use ottla_wire::{DecodeError, EncodeError, Request};

pub use batches::{StoredBatch, batches};
pub use calls::{
    CreatedTopic, EARLIEST, Fetched, LATEST, ListedOffset, PRODUCE_VERSION, PartitionInfo,
    Produced, TopicInfo, produce_frame,
};

/// How long a single read or write may take, unless told otherwise.
pub const TIME_LIMIT: Duration = Duration::from_secs(30);

/// No answer of a broker under test is larger; a length above it is a fault of the broker.
const ANSWER_BYTES_MAX: usize = 256 << 20;
const READ_BUFFER_BYTES: usize = 256 << 10;

/// One connection to a broker.
#[derive(Debug)]
pub struct WireClient {
    stream: TcpStream,
    input: BufReader<TcpStream>,
    next_correlation_id: i32,
    client_id: Option<String>,
}

/// A request that was sent and whose answer was not read yet.
#[derive(Debug)]
#[must_use = "its answer comes before those of later requests"]
pub struct Pending<R> {
    /// Names the answer.
    pub correlation_id: i32,
    /// Version of the request, hence of the answer.
    pub version: i16,
    request: PhantomData<fn() -> R>,
}

/// An answer: its bytes, and how to read them.
pub struct Answer<R> {
    frame: Vec<u8>,
    version: i16,
    request: PhantomData<fn() -> R>,
}

/// Why a request has no answer.
#[derive(Debug)]
pub enum WireError {
    /// The broker closed the connection, orderly or not.
    Closed,
    /// The time limit passed.
    TimedOut,
    /// Anything else that the socket says.
    Io(io::Error),
    /// The answer does not follow the protocol.
    Decode(DecodeError),
    /// The request cannot be expressed in this version.
    Encode(EncodeError),
    /// The answer belongs to another request.
    Correlation {
        /// Of the request.
        wanted: i32,
        /// Of the answer.
        got: i32,
    },
    /// The answer claims this length.
    AnswerLength(i32),
    /// The answer lacks what was asked for.
    Missing(&'static str),
    /// The answer as a whole is a refusal with this error code.
    Refused(i16),
}

impl WireClient {
    /// Connects, with [`TIME_LIMIT`] on everything.
    ///
    /// # Errors
    /// What the socket says.
    pub fn connect(address: impl ToSocketAddrs) -> Result<WireClient, WireError> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIME_LIMIT))?;
        stream.set_write_timeout(Some(TIME_LIMIT))?;
        Ok(WireClient {
            input: BufReader::with_capacity(READ_BUFFER_BYTES, stream.try_clone()?),
            stream,
            next_correlation_id: 1,
            client_id: Some("ottla-test".to_owned()),
        })
    }

    /// Sets how long one read or write may take.
    ///
    /// # Errors
    /// What the socket says.
    pub fn set_time_limit(&mut self, limit: Duration) -> Result<(), WireError> {
        self.stream.set_read_timeout(Some(limit))?;
        self.stream.set_write_timeout(Some(limit))?;
        Ok(())
    }

    /// Sets the client id of the requests that follow; `None` is Kafka's null.
    pub fn set_client_id(&mut self, client_id: Option<&str>) {
        self.client_id = client_id.map(str::to_owned);
    }

    /// Sends a request and does not wait.
    ///
    /// # Errors
    /// If this version cannot express it, and what the socket says.
    pub fn send<R: Request>(&mut self, request: &R, version: i16) -> Result<Pending<R>, WireError> {
        let pending = self.pending(version);
        let frame = encode_request(
            request,
            version,
            pending.correlation_id,
            self.client_id.as_deref(),
        )?;
        for segment in &frame.segments {
            match segment {
                Segment::Bytes(bytes) => self.stream.write_all(bytes)?,
                Segment::External { .. } => {
                    return Err(WireError::Encode(EncodeError::ExternalRecords));
                }
            }
        }
        Ok(pending)
    }

    /// Sends a whole frame that was encoded before, under the next correlation id, which is written
    /// into it: what a load generator does to spend its time elsewhere.
    /// `version` must be the one that it was encoded with.
    ///
    /// # Errors
    /// What the socket says.
    ///
    /// # Panics
    /// If the frame is shorter than a length and a request header.
    pub fn send_frame<R: Request>(
        &mut self,
        frame: &mut [u8],
        version: i16,
    ) -> Result<Pending<R>, WireError> {
        let pending = self.pending(version);
        frame[8..12].copy_from_slice(&pending.correlation_id.to_be_bytes());
        self.stream.write_all(frame)?;
        Ok(pending)
    }

    /// Reads the answer to a request. Answers come in the order of their requests.
    ///
    /// # Errors
    /// If there is none, or it belongs to another request.
    pub fn receive<R: Request>(&mut self, pending: Pending<R>) -> Result<Answer<R>, WireError> {
        let frame = self.receive_frame()?;
        let got = frame
            .first_chunk()
            .map_or(-1, |bytes| i32::from_be_bytes(*bytes));
        if got != pending.correlation_id {
            return Err(WireError::Correlation {
                wanted: pending.correlation_id,
                got,
            });
        }
        Ok(Answer {
            frame,
            version: pending.version,
            request: PhantomData,
        })
    }

    /// Sends a request and reads its answer.
    ///
    /// # Errors
    /// As [`send`](Self::send) and [`receive`](Self::receive).
    pub fn call<R: Request>(&mut self, request: &R, version: i16) -> Result<Answer<R>, WireError> {
        let pending = self.send(request, version)?;
        self.receive(pending)
    }

    /// Sends bytes as they are, without a length.
    ///
    /// # Errors
    /// What the socket says.
    pub fn send_raw(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        Ok(self.stream.write_all(bytes)?)
    }

    /// Reads one frame, whatever is in it, and answers it without its length.
    ///
    /// # Errors
    /// If there is none.
    pub fn receive_frame(&mut self) -> Result<Vec<u8>, WireError> {
        let mut length = [0; 4];
        self.input.read_exact(&mut length)?;
        let length = i32::from_be_bytes(length);
        let bytes = usize::try_from(length)
            .ok()
            .filter(|bytes| *bytes <= ANSWER_BYTES_MAX)
            .ok_or(WireError::AnswerLength(length))?;
        let mut frame = vec![0; bytes];
        self.input.read_exact(&mut frame)?;
        Ok(frame)
    }

    /// Tells the broker that nothing more will be sent; answers can still be read.
    ///
    /// # Errors
    /// What the socket says.
    pub fn finish_sending(&mut self) -> Result<(), WireError> {
        Ok(self.stream.shutdown(Shutdown::Write)?)
    }

    fn pending<R>(&mut self, version: i16) -> Pending<R> {
        let correlation_id = self.next_correlation_id;
        self.next_correlation_id = correlation_id.checked_add(1).unwrap_or(1);
        Pending {
            correlation_id,
            version,
            request: PhantomData,
        }
    }
}

impl<R> Pending<R> {
    /// The same request under the name that its type has with any other lifetime.
    fn cast<S>(self) -> Pending<S> {
        Pending {
            correlation_id: self.correlation_id,
            version: self.version,
            request: PhantomData,
        }
    }
}

impl<R: Request> Answer<R> {
    /// The answer, decoded. It borrows from this.
    ///
    /// # Errors
    /// If the bytes are not this version of the API's response, to the last one.
    pub fn body(&self) -> Result<R::Response<'_>, WireError> {
        Ok(decode_response::<R>(&self.frame, self.version)?.1)
    }
}

impl WireError {
    /// Whether the broker went away, rather than said something wrong or nothing.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self, WireError::Closed)
    }
}

impl From<io::Error> for WireError {
    fn from(error: io::Error) -> WireError {
        use io::ErrorKind as K;
        match error.kind() {
            K::UnexpectedEof
            | K::ConnectionReset
            | K::ConnectionAborted
            | K::ConnectionRefused
            | K::BrokenPipe
            | K::NotConnected => WireError::Closed,
            K::WouldBlock | K::TimedOut => WireError::TimedOut,
            _ => WireError::Io(error),
        }
    }
}

impl From<DecodeError> for WireError {
    fn from(error: DecodeError) -> WireError {
        WireError::Decode(error)
    }
}

impl From<EncodeError> for WireError {
    fn from(error: EncodeError) -> WireError {
        WireError::Encode(error)
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the broker closed the connection"),
            Self::TimedOut => f.write_str("no answer within the time limit"),
            Self::Io(error) => write!(f, "{error}"),
            Self::Decode(error) => write!(f, "the answer cannot be read: {error}"),
            Self::Encode(error) => write!(f, "the request cannot be written: {error}"),
            Self::Correlation { wanted, got } => {
                write!(f, "answer {got} came where {wanted} was due")
            }
            Self::AnswerLength(length) => write!(f, "an answer claims {length} bytes"),
            Self::Missing(what) => write!(f, "the answer lacks the {what} that was asked for"),
            Self::Refused(code) => write!(f, "refused with error {code}"),
        }
    }
}

impl std::error::Error for WireError {}
