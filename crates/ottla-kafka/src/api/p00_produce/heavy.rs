//! Batches that take too long for the network's threads: what they decompress to is large, or they are
//! to be compressed anew. A bomb costs its own client time, and nobody else.

use std::sync::Arc;

use bytes::BytesMut;
use ottla_broker::api::{PartitionRef, TopicImage};
use ottla_codec::Rules;
use tokio::time::Instant;

use super::judge::{Verdict, check, is_converted, take};
use super::pending::Refused;
use crate::error_map::ErrorCode;
use crate::gateway::Gateway;

/// A batch that is not judged to the end.
pub(super) struct Heavy {
    pub(super) partition: PartitionRef,
    pub(super) topic: Arc<TopicImage>,
    pub(super) records: BytesMut,
    pub(super) rules: Rules,
}

impl Heavy {
    /// Judges it on a thread that may take its time, when it is its turn. A client that has given
    /// up by then may send the batch again, so it must not be taken.
    pub(super) async fn finish(self, gateway: &Gateway, deadline: Option<Instant>) -> Verdict {
        let turns = if is_converted(&self.records, &self.topic, &self.rules) {
            gateway.conversions()
        } else {
            gateway.heavy()
        };
        // Never closed: it would only bound the memory no longer.
        let _turn = turns.acquire().await;
        let Heavy {
            partition,
            topic,
            records,
            rules,
        } = self;
        let work = move || {
            let mut allowance = usize::MAX;
            let checked = check(records, &topic, &rules, &mut allowance);
            let checked = checked.map_err(|(rejection, _)| rejection);
            take(checked, partition, &topic, rules.produce_version)
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(_) if deadline.is_some_and(|deadline| deadline <= Instant::now()) => {
                let message = "the broker had no time to check the batch";
                Verdict::Refused(Refused::new(ErrorCode::RequestTimedOut, message))
            }
            Ok(verdict) => verdict,
            // The runtime ends, or a decoder panicked: the batch is not to be had.
            Err(error) => {
                Verdict::Refused(Refused::new(ErrorCode::InvalidRecord, &error.to_string()))
            }
        }
    }

    /// What it gets if it was submitted unfinished.
    pub(super) fn unfinished(self) -> Refused {
        Refused::new(ErrorCode::InvalidRecord, "the batch was not checked")
    }
}
