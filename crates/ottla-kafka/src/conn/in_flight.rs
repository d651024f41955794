//! Produce requests that were submitted and are not answered yet, in order.

use std::collections::VecDeque;
use std::task::{Context, Poll};

use ottla_wire::ApiKey;
use tokio::time::Instant;

use super::outbox::Outbox;
use crate::api::p00_produce::Pending;
use crate::close::CloseReason;
use crate::gateway::GatewayOptions;

#[derive(Default)]
pub(super) struct InFlight {
    queue: VecDeque<Pending>,
    bytes: usize,
}

impl InFlight {
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether one more may be submitted: a single one always may, whatever its size.
    pub(super) fn has_room(&self, options: &GatewayOptions) -> bool {
        self.queue.is_empty()
            || (self.queue.len() < options.in_flight_requests_max
                && self.bytes < options.in_flight_bytes_max)
    }

    pub(super) fn push(&mut self, pending: Pending) {
        self.bytes += pending.bytes();
        self.queue.push_back(pending);
    }

    /// Puts the answers of all requests at the front that are done into `outbox`. Ready if there was
    /// one at least.
    pub(super) fn poll_answers(
        &mut self,
        cx: &mut Context<'_>,
        outbox: &mut Outbox,
    ) -> Poll<Result<(), CloseReason>> {
        let mut answered = false;
        while let Some(front) = self.queue.front_mut() {
            let Poll::Ready(answer) = front.poll_answer(cx) else {
                break;
            };
            let version = front.version();
            self.bytes -= front.bytes();
            self.queue.pop_front();
            answered = true;
            if let Some(frame) = answer? {
                outbox.push(frame, ApiKey::Produce, version)?;
            }
        }
        if answered {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }

    /// When the client of the request at the front wants an answer at the latest.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.queue.front().and_then(Pending::deadline)
    }

    /// Gives up waiting for what is overdue. The next `poll_answers` answers it.
    pub(super) fn time_out(&mut self, now: Instant) {
        for pending in &mut self.queue {
            pending.time_out(now);
        }
    }
}
