//! A Produce request that was submitted: waits for its receipts and becomes an answer.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use ottla_broker::api::{AppendRefusal, Appended, PartitionRef, Receipt, TopicImage};
use ottla_model::ids::Offset;
use ottla_model::uuid::Uuid;
use ottla_wire::ApiKey;
use ottla_wire::encoder::Frame;
use ottla_wire::frame::encode_response;
use ottla_wire::produce::{
    BatchIndexAndErrorMessage, PartitionProduceResponse, ProduceResponse, TopicProduceResponse,
};
use tokio::time::Instant;

use crate::close::{CloseReason, short};
use crate::error_map::{self, ErrorCode};

/// A submitted request.
pub(crate) struct Pending {
    origin: Origin,
    labels: Vec<Label>,
    partitions: Vec<Partition>,
    /// All partitions before this one are decided.
    decided: usize,
}

/// What the answer needs of the request.
pub(super) struct Origin {
    pub(super) version: i16,
    pub(super) correlation_id: i32,
    pub(super) client_id: Option<Arc<str>>,
    pub(super) bytes: usize,
    pub(super) acks: i16,
    pub(super) deadline: Option<Instant>,
}

/// How the request called a topic.
pub(super) enum Label {
    Known(Arc<TopicImage>),
    UnknownName(Box<str>),
    UnknownId(Uuid),
}

pub(super) struct Partition {
    /// Place among the labels; partitions of one topic stand together.
    pub(super) topic: usize,
    pub(super) index: i32,
    pub(super) state: State,
}

pub(super) enum State {
    Waiting(Receipt, PartitionRef),
    Appended(Appended),
    /// There was nothing to append.
    Nothing,
    Refused(Refused),
}

/// Why a partition did not take its batch, in the words of the answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Refused {
    pub(super) code: ErrorCode,
    pub(super) message: String,
    /// First offset that may be read, -1 where Kafka does not say.
    pub(super) log_start: i64,
    /// The records at fault, by index within the batch.
    pub(super) records: Vec<(i32, String)>,
}

impl Pending {
    pub(super) fn new(origin: Origin, labels: Vec<Label>, partitions: Vec<Partition>) -> Pending {
        Pending {
            origin,
            labels,
            partitions,
            decided: 0,
        }
    }

    pub(crate) fn version(&self) -> i16 {
        self.origin.version
    }

    /// Size of the request's frame.
    pub(crate) fn bytes(&self) -> usize {
        self.origin.bytes
    }

    /// When the client wants an answer at the latest; only `acks=-1` waits for anything.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.origin.deadline
    }

    /// Ready with the answer once all partitions are decided; `None` if nobody wants one.
    ///
    /// # Errors
    /// Something failed, and nobody wants an answer.
    pub(crate) fn poll_answer(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Frame>, CloseReason>> {
        while let Some(partition) = self.partitions.get_mut(self.decided) {
            if partition.poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.decided += 1;
        }
        Poll::Ready(self.answer())
    }

    /// Answers `REQUEST_TIMED_OUT` for what is still not decided, if the time is over. What becomes of
    /// those batches is open: a client that sends them again as the same producer gets them once.
    pub(crate) fn time_out(&mut self, now: Instant) {
        if self.origin.deadline.is_none_or(|deadline| deadline > now) {
            return;
        }
        for partition in &mut self.partitions {
            if partition
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_pending()
            {
                let message = "the disk did not take the records in time";
                partition.state = State::Refused(Refused::new(ErrorCode::RequestTimedOut, message));
            }
        }
    }

    fn answer(&self) -> Result<Option<Frame>, CloseReason> {
        let Origin {
            version,
            correlation_id,
            acks,
            ..
        } = self.origin;
        if acks == 0 {
            return self.silence().map(|()| None);
        }
        let mut responses: Vec<TopicProduceResponse<'_>> = Vec::with_capacity(self.labels.len());
        let mut last = None;
        for partition in &self.partitions {
            if last != Some(partition.topic) {
                responses.push(self.labels[partition.topic].response());
                last = Some(partition.topic);
            }
            if let Some(topic) = responses.last_mut() {
                topic.partition_responses.push(partition.response());
            }
        }
        let response = ProduceResponse {
            responses,
            ..ProduceResponse::default()
        };
        encode_response(ApiKey::Produce, version, correlation_id, |w| {
            response.encode(w, version)
        })
        .map(Some)
        .map_err(|error| CloseReason::Unanswerable {
            api: ApiKey::Produce,
            version,
            error,
        })
    }

    fn silence(&self) -> Result<(), CloseReason> {
        for partition in &self.partitions {
            if let State::Refused(Refused { code, message, .. }) = &partition.state {
                let topic = self.labels[partition.topic].text();
                return Err(CloseReason::ProduceWithoutAcks {
                    client_id: self.origin.client_id.as_deref().map(short),
                    why: format!("{}-{}: {code}: {message}", short(&topic), partition.index),
                });
            }
        }
        Ok(())
    }
}

impl Label {
    fn response(&self) -> TopicProduceResponse<'_> {
        let (name, topic_id) = match self {
            Label::Known(topic) => (&*topic.name, topic.id),
            Label::UnknownName(name) => (&**name, Uuid::ZERO),
            Label::UnknownId(id) => ("", *id),
        };
        TopicProduceResponse {
            name,
            topic_id,
            partition_responses: Vec::with_capacity(1),
        }
    }

    fn text(&self) -> String {
        match self {
            Label::Known(topic) => topic.name.to_string(),
            Label::UnknownName(name) => name.to_string(),
            Label::UnknownId(id) => id.to_string(),
        }
    }
}

impl Partition {
    /// Ready once the batch was appended or refused.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let State::Waiting(receipt, partition) = &mut self.state {
            self.state = match Pin::new(receipt).poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(appended)) => State::Appended(appended),
                Poll::Ready(Err(refusal)) => {
                    State::Refused(Refused::by_broker(&refusal, partition.marks().log_start))
                }
            };
        }
        Poll::Ready(())
    }

    fn response(&self) -> PartitionProduceResponse<'_> {
        let response = PartitionProduceResponse {
            index: self.index,
            ..PartitionProduceResponse::default()
        };
        match &self.state {
            State::Appended(appended) => PartitionProduceResponse {
                base_offset: appended.base_offset.0,
                log_append_time_ms: appended.append_time.map_or(-1, |at| at.0),
                log_start_offset: appended.log_start.0,
                ..response
            },
            State::Refused(refused) => PartitionProduceResponse {
                error_code: refused.code.code(),
                base_offset: -1,
                log_start_offset: refused.log_start,
                record_errors: refused
                    .records
                    .iter()
                    .map(|(index, message)| BatchIndexAndErrorMessage {
                        batch_index: *index,
                        batch_index_error_message: Some(message),
                    })
                    .collect(),
                error_message: Some(&refused.message),
                ..response
            },
            State::Nothing => PartitionProduceResponse {
                base_offset: -1,
                ..response
            },
            // Answers are made of decided partitions.
            State::Waiting(..) => PartitionProduceResponse {
                error_code: ErrorCode::RequestTimedOut.code(),
                base_offset: -1,
                ..response
            },
        }
    }
}

impl Refused {
    pub(super) fn new(code: ErrorCode, message: &str) -> Refused {
        Refused {
            code,
            message: message.into(),
            log_start: -1,
            records: Vec::new(),
        }
    }

    fn by_broker(refusal: &AppendRefusal, log_start: Offset) -> Refused {
        let (message, log_start) = match refusal {
            AppendRefusal::Refused(refusal) => (refusal.to_string(), log_start.0),
            AppendRefusal::Fault(fault) => (fault.to_string(), -1),
        };
        Refused {
            code: error_map::append(refusal),
            message,
            log_start,
            records: Vec::new(),
        }
    }
}
