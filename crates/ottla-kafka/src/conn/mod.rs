//! One connection: reads bursts, submits what can be submitted together, answers in order.
//!
//! ```text
//! socket ─► Input ─► frames ─┬─ Produce ─► one burst of the broker ─► InFlight ─┐
//!                            └─ the rest: once InFlight is empty, one by one ───┴─► Outbox ─► socket
//! ```
//!
//! Guarantees: answers leave in the order of their requests; nothing is read while the client does not
//! take its answers, or while too much of it is unanswered; an idle connection holds no buffer; what
//! was asked before a request that ends the connection is still answered.

mod in_flight;
mod input;
mod outbox;

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use ottla_broker::api::Session;
use ottla_broker::authorize::{Permit, Principal};
use ottla_wire::frame::decode_request_header;
use ottla_wire::headers::RequestHeader;
use ottla_wire::{ApiKey, Reader};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, timeout, timeout_at};

use crate::address::Peer;
use crate::api::p00_produce::{Judged, Submission};
use crate::api::{self, Call, Handler, Registration};
use crate::close::{CloseReason, short};
use crate::gateway::Gateway;
use crate::stop::Stop;
use crate::wrong_protocol::WrongProtocol;
use in_flight::InFlight;
use input::Input;
pub use input::split_frames;
use outbox::{Outbox, Way};

/// How long a client of another protocol may take to hear what it did, and how much of what it still
/// sends is read meanwhile.
const EXPLAIN_TIME_MAX: Duration = Duration::from_secs(1);
const EXPLAIN_BYTES_MAX: u64 = 64 << 10;

/// When an alarm rings that nobody set.
const NEVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Serves a connection to its end. Answers why it ended, if that was not the server's stop.
pub(crate) async fn run(
    gateway: &Gateway,
    stream: TcpStream,
    remote: SocketAddr,
    stopping: &Stop,
) -> Option<CloseReason> {
    // A socket that fails here has lost its client already.
    let (Ok(local), Ok(())) = (stream.local_addr(), stream.set_nodelay(true)) else {
        return Some(CloseReason::Gone);
    };
    let mut connection = Connection {
        gateway,
        stopping,
        peer: Peer { remote, local },
        stream,
        input: Input::default(),
        in_flight: InFlight::default(),
        outbox: Outbox::default(),
        session: gateway.broker().session(),
        client_id: None,
        heard: Instant::now(),
    };
    let reason = connection.serve().await.err()?;
    // Best effort: the client may have gone too.
    match reason {
        // Nobody takes it, or it cannot be told whole.
        CloseReason::Gone
        | CloseReason::Idle
        | CloseReason::Storage(_)
        | CloseReason::Unanswerable { .. } => {}
        CloseReason::WrongProtocol(protocol) => connection.explain(protocol).await,
        _ => {
            let _ = connection.flush().await;
            let _ = connection.answer_all().await;
        }
    }
    Some(reason)
}

struct Connection<'g> {
    gateway: &'g Gateway,
    stopping: &'g Stop,
    peer: Peer,
    stream: TcpStream,
    input: Input,
    in_flight: InFlight,
    outbox: Outbox,
    session: Session,
    /// Of the last request: clients send the same one all the time.
    client_id: Option<Arc<str>>,
    heard: Instant,
}

/// A request whose header was read.
struct Request {
    frame: BytesMut,
    /// Where the body begins in the frame.
    body_at: usize,
    api: &'static Registration,
    version: i16,
    correlation_id: i32,
    permit: Permit,
}

/// What ends a burst.
enum Next {
    /// A request that is answered alone.
    Alone(Request),
    /// A Produce that has to be judged to the end first, or to wait for the disk.
    Unready(Judged),
}

enum Event {
    Answered,
    Read,
    Alarm,
    Stopping,
}

impl Connection<'_> {
    async fn serve(&mut self) -> Result<(), CloseReason> {
        let alarm = tokio::time::sleep(NEVER);
        // Once for the connection: the list of those who wait is one for all connections.
        let stopped = self.stopping.wait();
        tokio::pin!(alarm, stopped);
        loop {
            self.handle_frames().await?;
            if self.stopping.is_set() {
                return self.answer_all().await;
            }
            if self.input.has_ended() {
                // Whatever was read before the end is still handled, as far as there was room for it.
                if self.in_flight.is_empty() {
                    return Ok(());
                }
                self.answer_all().await?;
                continue;
            }
            match self.wait(alarm.as_mut(), stopped.as_mut()).await? {
                Event::Answered => self.flush().await?,
                Event::Read => self.heard = Instant::now(),
                Event::Alarm => self.ring(alarm.as_mut())?,
                Event::Stopping => {}
            }
        }
    }

    /// Handles all complete frames that may be handled now.
    async fn handle_frames(&mut self) -> Result<(), CloseReason> {
        let mut finished = None;
        while let Some(next) = self.submit(finished.take())? {
            match next {
                Next::Alone(request) => {
                    self.answer_all().await?;
                    self.handle_alone(request).await?;
                }
                Next::Unready(judged) => {
                    // Rare and large: idle connections have no room for it.
                    let work = Box::pin(judged.finish(self.gateway));
                    finished = Some(self.answer_during(work).await?);
                }
            }
        }
        Ok(())
    }

    /// Submits consecutive Produce requests as one burst, `first` before them; answers the first
    /// request that is none, or that takes more time than a burst has.
    fn submit(&mut self, first: Option<Judged>) -> Result<Option<Next>, CloseReason> {
        let options = self.gateway.options();
        let mut submission = None;
        if let Some(judged) = first {
            let submission = submission.insert(Submission::open(self.gateway));
            self.in_flight.push(judged.submit(submission));
        }
        let next = loop {
            if !self.in_flight.has_room(options) {
                break Ok(None);
            }
            let request = match self.input.next_frame(options) {
                Ok(Some(frame)) => self.open(frame),
                Ok(None) => break Ok(None),
                Err(reason) => Err(reason),
            };
            let request = match request {
                Ok(request) => request,
                Err(reason) => break Err(reason),
            };
            let Handler::Submit(judge) = request.api.handler else {
                break Ok(Some(Next::Alone(request)));
            };
            let submission = submission.get_or_insert_with(|| Submission::open(self.gateway));
            match judge(submission, request.into_produce(&self.client_id)) {
                Ok(judged) if judged.is_ready(submission) => {
                    self.in_flight.push(judged.submit(submission));
                }
                Ok(judged) => break Ok(Some(Next::Unready(judged))),
                Err(reason) => break Err(reason),
            }
        };
        if let Some(submission) = submission {
            submission.run();
        }
        next
    }

    /// Reads the header of a request and asks the gate.
    fn open(&mut self, frame: BytesMut) -> Result<Request, CloseReason> {
        let (key, header, body) =
            decode_request_header(&frame).map_err(|error| unreadable(&frame, error))?;
        let version = header.request_api_version;
        let Some((place, api)) = api::find(key).filter(|_| api::is_served(key.into(), version))
        else {
            return Err(CloseReason::Unsupported {
                api: key,
                version,
                client_id: header.client_id.map(short),
            });
        };
        let (operation, kind) = api.needs;
        let permit = self
            .gateway
            .broker()
            .gate()
            .permit(&Principal::Anonymous, operation, kind)
            .map_err(|_| CloseReason::Denied(operation))?;
        if self.client_id.as_deref() != header.client_id {
            self.client_id = header.client_id.map(Arc::from);
        }
        self.input.negotiated();
        self.gateway.metrics().request(place);
        Ok(Request {
            body_at: body.position(),
            api,
            version,
            correlation_id: header.correlation_id,
            permit,
            frame,
        })
    }

    async fn handle_alone(&mut self, request: Request) -> Result<(), CloseReason> {
        let Handler::Alone(handle) = request.api.handler else {
            return Ok(());
        };
        let call = Call {
            gateway: self.gateway,
            peer: &self.peer,
            key: request.api.key,
            version: request.version,
            correlation_id: request.correlation_id,
            client_id: self.client_id.as_deref(),
            permit: request.permit,
            session: &self.session,
            stream: &self.stream,
            stopping: self.stopping,
        };
        let body = Reader::new(request.frame.get(request.body_at..).unwrap_or_default());
        let frame = handle(&call, body).await?;
        self.outbox.push(frame, call.key, call.version)?;
        self.heard = Instant::now();
        self.flush().await
    }

    async fn flush(&mut self) -> Result<(), CloseReason> {
        let silence_ms_max = self.gateway.options().idle_ms_max;
        let mut way = Way {
            stream: &mut self.stream,
            metrics: self.gateway.metrics(),
            silence_max: silence_ms_max.map(Duration::from_millis),
        };
        self.outbox.flush(&mut way).await
    }

    /// Waits for all that was submitted and sends the answers.
    async fn answer_all(&mut self) -> Result<(), CloseReason> {
        while !self.in_flight.is_empty() {
            self.answer_some().await?;
            self.flush().await?;
        }
        Ok(())
    }

    /// Sends answers to what was submitted until `work` is done.
    async fn answer_during<T>(&mut self, work: impl Future<Output = T>) -> Result<T, CloseReason> {
        tokio::pin!(work);
        loop {
            let waits = !self.in_flight.is_empty();
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                answered = self.answer_some(), if waits => answered?,
            }
            self.flush().await?;
        }
    }

    /// Waits until something that was submitted can be answered, or has waited long enough.
    async fn answer_some(&mut self) -> Result<(), CloseReason> {
        let deadline = self.in_flight.deadline();
        let Connection {
            in_flight, outbox, ..
        } = self;
        let answered = poll_fn(|cx| in_flight.poll_answers(cx, outbox));
        match deadline {
            None => answered.await,
            Some(deadline) => match timeout_at(deadline, answered).await {
                Ok(answered) => answered,
                Err(_) => {
                    self.in_flight.time_out(Instant::now());
                    Ok(())
                }
            },
        }
    }

    /// Tells the client in its own protocol that this is the wrong port.
    async fn explain(&mut self, protocol: WrongProtocol) {
        let answer = protocol.answer(self.peer.local.port());
        let stream = &mut self.stream;
        let told = async {
            stream.write_all(&answer).await?;
            stream.shutdown().await?;
            // To close with bytes unread resets the connection, and the answer is lost.
            tokio::io::copy(&mut stream.take(EXPLAIN_BYTES_MAX), &mut tokio::io::sink()).await
        };
        let _ = timeout(EXPLAIN_TIME_MAX, told).await;
    }

    async fn wait(
        &mut self,
        mut alarm: Pin<&mut Sleep>,
        stopped: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<Event, CloseReason> {
        let next = self.deadline();
        if next < alarm.deadline() {
            alarm.as_mut().reset(next);
        }
        let Connection {
            gateway,
            stream,
            input,
            in_flight,
            outbox,
            ..
        } = self;
        let may_read = in_flight.has_room(gateway.options());
        tokio::select! {
            biased;
            answered = poll_fn(|cx| in_flight.poll_answers(cx, outbox)), if !in_flight.is_empty() => {
                answered.map(|()| Event::Answered)
            }
            read = poll_fn(|cx| input.poll_burst(cx, stream)), if may_read => {
                gateway.metrics().bytes_in.inc_by(read? as u64);
                Ok(Event::Read)
            }
            () = alarm => Ok(Event::Alarm),
            () = stopped => Ok(Event::Stopping),
        }
    }

    /// When something must happen if nothing else does. The alarm is set to earlier moments only, so
    /// that it costs nothing per request, and set anew when it rings too early.
    fn deadline(&self) -> Instant {
        let far = self.heard + NEVER;
        if let Some(deadline) = self.in_flight.deadline() {
            return deadline;
        }
        match self.gateway.options().idle_ms_max {
            Some(ms) if self.in_flight.is_empty() => self.heard + Duration::from_millis(ms),
            _ => far,
        }
    }

    fn ring(&mut self, alarm: Pin<&mut Sleep>) -> Result<(), CloseReason> {
        let now = Instant::now();
        if self.deadline() <= now {
            if self.in_flight.is_empty() {
                return Err(CloseReason::Idle);
            }
            self.in_flight.time_out(now);
        }
        alarm.reset(self.deadline());
        Ok(())
    }
}

impl Request {
    fn into_produce(self, client_id: &Option<Arc<str>>) -> api::p00_produce::Request {
        let Request {
            mut frame,
            body_at,
            version,
            correlation_id,
            permit,
            ..
        } = self;
        let bytes = frame.len();
        let body = frame.split_off(body_at);
        api::p00_produce::Request {
            body,
            bytes,
            version,
            correlation_id,
            permit,
            client_id: client_id.clone(),
        }
    }
}

/// Why a header could not be read, with what can be made of it.
fn unreadable(frame: &[u8], error: ottla_wire::DecodeError) -> CloseReason {
    let mut r = Reader::new(frame);
    match (r.i16(), r.i16()) {
        (Ok(key), Ok(version)) if ApiKey::try_from(key).is_err() => {
            // The first fields are the same in every version of the header.
            let header = RequestHeader::decode(&mut Reader::new(frame), 1).ok();
            let client_id = header.and_then(|header| header.client_id.map(short));
            CloseReason::UnknownKey {
                key,
                version,
                client_id,
            }
        }
        _ => CloseReason::Malformed {
            api: None,
            version: -1,
            error,
        },
    }
}
