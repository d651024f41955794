//! Producers that keep several batches in flight and remember each until it is answered.

use std::collections::VecDeque;
use std::sync::mpsc::Sender;
use std::time::Instant;

use ottla_e2e::random::Random;
use ottla_testkit::wire_client::{WireClient, WireError};

use crate::Event;
use crate::ledger::Ledger;
use crate::payload::{Batch, Idempotence, batch};

/// As many as a Kafka client keeps in flight, and as many as a broker recognises.
const IN_FLIGHT: usize = 5;

/// One producer, across all kills.
pub(crate) struct Producer {
    number: u32,
    /// What it is after its first connection, if it is to be idempotent.
    idempotence: Option<Idempotence>,
    wants_idempotence: bool,
    random: Random,
    /// Of the next record, by partition.
    sequences: Vec<i32>,
    /// Sent and not answered, in the order of sending.
    unanswered: VecDeque<Batch>,
    pub(crate) counts: Counts,
}

/// What became of batches.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Counts {
    pub(crate) acknowledged: u64,
    /// Sent again after a kill.
    pub(crate) resent: u64,
    /// Of these, those that were there already.
    pub(crate) recognised: u64,
}

impl Producer {
    pub(crate) fn new(number: u32, idempotent: bool, partitions: i32, seed: u64) -> Producer {
        Producer {
            number,
            idempotence: None,
            wants_idempotence: idempotent,
            random: Random::new(seed ^ u64::from(number) << 32),
            sequences: vec![0; partitions as usize],
            unanswered: VecDeque::new(),
            counts: Counts::default(),
        }
    }

    /// Requests that were sent before this moment and are without answer.
    pub(crate) fn unanswered(&self, before: Instant) -> usize {
        let sent = |batch: &&Batch| batch.sent.is_some_and(|sent| sent < before);
        self.unanswered.iter().filter(sent).count()
    }

    /// Produces until the broker is gone.
    /// `ends` is where the partitions ended before anybody produced.
    ///
    /// # Errors
    /// Anything that a broker may not answer.
    pub(crate) fn run(
        &mut self,
        address: &str,
        topic: &str,
        ledger: &Ledger,
        ends: &[i64],
        events: &Sender<Event>,
    ) -> Result<(), String> {
        match self.produce(address, topic, ledger, ends, events) {
            Ok(never) => match never {},
            Err(Stop::Closed) => Ok(()),
            Err(Stop::Wrong(why)) => Err(format!("producer {}: {why}", self.number)),
        }
    }

    fn produce(
        &mut self,
        address: &str,
        topic: &str,
        ledger: &Ledger,
        ends: &[i64],
        events: &Sender<Event>,
    ) -> Result<std::convert::Infallible, Stop> {
        let mut client = WireClient::connect(address)?;
        if self.wants_idempotence && self.idempotence.is_none() {
            let (error_code, id, epoch) = client.init_producer_id()?;
            if error_code != 0 {
                return Err(Stop::Wrong(format!("InitProducerId: error {error_code}")));
            }
            self.idempotence = Some(Idempotence { id, epoch });
        }
        // Nobody can tell whether the others are there; they are not sent again, so that each is there
        // once at most.
        if self.idempotence.is_none() {
            self.unanswered.clear();
        }
        for batch in &mut self.unanswered {
            batch.sent = None;
        }
        let mut resent = self.unanswered.len();
        let mut pending = VecDeque::new();
        for batch in &mut self.unanswered {
            pending.push_back(client.send_produce(topic, batch.partition, &batch.bytes, -1)?);
            batch.sent = Some(Instant::now());
            self.counts.resent += 1;
        }
        loop {
            while pending.len() < IN_FLIGHT {
                let mut next = self.next_batch();
                let sent = client.send_produce(topic, next.partition, &next.bytes, -1);
                next.sent = sent.is_ok().then(Instant::now);
                self.unanswered.push_back(next);
                pending.push_back(sent?);
            }
            let Some(oldest) = pending.pop_front() else {
                return Err(Stop::Wrong("nothing in flight".to_owned()));
            };
            let answer = client.receive_produced(oldest)?;
            let Some(batch) = self.unanswered.pop_front() else {
                return Err(Stop::Wrong("an answer to nothing".to_owned()));
            };
            let (partition, base) = (batch.partition, answer.base_offset);
            if answer.error_code != 0 {
                let first = batch.stamps.first();
                let what = if resent > 0 {
                    "sent again after a kill"
                } else {
                    "sent for the first time"
                };
                return Err(Stop::Wrong(format!(
                    "partition {partition}: {answer:?} for {first:?} and {} more, {what}",
                    batch.stamps.len() - 1
                )));
            }
            if resent > 0 {
                resent -= 1;
                self.counts.recognised += u64::from(base < ends[partition as usize]);
            }
            ledger
                .acknowledged(partition, base, &batch.stamps)
                .map_err(Stop::Wrong)?;
            self.counts.acknowledged += 1;
            // The kill that ends this run may have been ordered already.
            let _ = events.send(Event::Acknowledged);
        }
    }

    fn next_batch(&mut self) -> Batch {
        // The first one has all that it has in flight in one partition.
        let partition = match self.number {
            0 => 0,
            _ => self.random.below(self.sequences.len() as u64) as i32,
        };
        let sequence = &mut self.sequences[partition as usize];
        let batch = batch(
            self.number,
            self.idempotence,
            partition,
            *sequence,
            &mut self.random,
        );
        *sequence += batch.stamps.len() as i32;
        batch
    }
}

/// Why producing ended.
enum Stop {
    /// The broker was killed.
    Closed,
    Wrong(String),
}

impl From<WireError> for Stop {
    fn from(error: WireError) -> Stop {
        match error {
            WireError::Closed => Stop::Closed,
            other => Stop::Wrong(other.to_string()),
        }
    }
}
