//! Reading a partition from somewhere to its end and believing nothing.

use std::collections::HashMap;

use ottla_testkit::wire_client::{LATEST, StoredBatch, WireClient, WireError, batches};

use crate::ledger::Ledger;
use crate::payload::{Stamp, stamp};

const FETCH_BYTES_MAX: i32 = 4 << 20;

/// One reader's way through a partition. It goes on where it was, across restarts.
pub(crate) struct Scan {
    partition: i32,
    /// Where it goes on.
    pub(crate) position: i64,
    leader_epoch: i32,
    /// The last record of each producer.
    last: HashMap<u32, i32>,
    /// Records and bytes read.
    pub(crate) records: u64,
    pub(crate) bytes: u64,
}

impl Scan {
    pub(crate) fn new(partition: i32) -> Scan {
        Scan {
            partition,
            position: 0,
            leader_epoch: 0,
            last: HashMap::new(),
            records: 0,
            bytes: 0,
        }
    }

    /// Reads what is there now: at least a batch, if there is one before `wait_ms_max` is over.
    /// Answers the high watermark.
    ///
    /// # Errors
    /// `Ok(Err(_))` is what is wrong with the partition.
    pub(crate) fn step(
        &mut self,
        client: &mut WireClient,
        topic: &str,
        ledger: &Ledger,
        is_idempotent: impl Fn(u32) -> bool,
        wait_ms_max: i32,
    ) -> Result<Result<i64, String>, WireError> {
        let fetched = client.fetch(
            topic,
            self.partition,
            self.position,
            FETCH_BYTES_MAX,
            wait_ms_max,
        )?;
        Ok(self
            .take(&fetched.records, fetched.error_code, ledger, is_idempotent)
            .map(|()| fetched.high_watermark))
    }

    /// Reads to the end and holds it against the ledger: everything acknowledged or ever read is
    /// there. Answers the end.
    ///
    /// # Errors
    /// What is wrong.
    pub(crate) fn finish(
        &mut self,
        client: &mut WireClient,
        topic: &str,
        ledger: &Ledger,
        is_idempotent: impl Fn(u32) -> bool + Copy,
    ) -> Result<i64, String> {
        let partition = self.partition;
        let wire = |error: WireError| format!("partition {partition}: {error}");
        let listed = client.list_offset(topic, partition, LATEST).map_err(wire)?;
        if listed.error_code != 0 {
            return Err(format!(
                "partition {partition}: error {}",
                listed.error_code
            ));
        }
        let end = listed.offset;
        let known = ledger.end(partition);
        if end < known {
            return Err(format!(
                "partition {partition} ends at {end}; it lost the records up to {known}, acknowledged up to {}",
                ledger.acknowledged_end(partition)
            ));
        }
        while self.position < end {
            let before = self.position;
            self.step(client, topic, ledger, is_idempotent, 1_000)
                .map_err(wire)??;
            if self.position == before {
                return Err(format!(
                    "partition {partition}: nothing comes from offset {before}, though it ends at {end}"
                ));
            }
        }
        Ok(end)
    }

    /// Takes what a fetch answered.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn take(
        &mut self,
        bytes: &[u8],
        error_code: i16,
        ledger: &Ledger,
        is_idempotent: impl Fn(u32) -> bool,
    ) -> Result<(), String> {
        let at = |what: String| {
            format!(
                "partition {}, offset {}: {what}",
                self.partition, self.position
            )
        };
        if error_code != 0 {
            return Err(at(format!("fetch: error {error_code}")));
        }
        for batch in batches(bytes).map_err(at)? {
            self.batch(&batch, ledger, &is_idempotent)?;
        }
        Ok(())
    }

    fn batch(
        &mut self,
        batch: &StoredBatch<'_>,
        ledger: &Ledger,
        is_idempotent: impl Fn(u32) -> bool,
    ) -> Result<(), String> {
        let partition = self.partition;
        let at = |what: String| {
            format!(
                "partition {partition}, batch at {}: {what}",
                batch.head.base_offset
            )
        };
        if batch.head.base_offset.0 != self.position {
            return Err(at(format!("offset {} was due", self.position)));
        }
        if batch.head.leader_epoch.0 < self.leader_epoch {
            return Err(at(format!(
                "leader epoch {} after {}",
                batch.head.leader_epoch, self.leader_epoch
            )));
        }
        let mut outcome = Ok(());
        batch
            .records(|offset, key, value| {
                if outcome.is_ok() {
                    outcome = stamp(key, value)
                        .and_then(|stamp| self.record(offset, stamp, ledger, &is_idempotent));
                }
            })
            .map_err(at)?;
        outcome.map_err(at)?;
        if batch.head.next_offset().0 != self.position {
            return Err(at(format!(
                "it ends at {} and says {}",
                self.position,
                batch.head.next_offset()
            )));
        }
        self.leader_epoch = batch.head.leader_epoch.0;
        self.bytes += batch.bytes.len() as u64;
        Ok(())
    }

    fn record(
        &mut self,
        offset: i64,
        stamp: Stamp,
        ledger: &Ledger,
        is_idempotent: impl Fn(u32) -> bool,
    ) -> Result<(), String> {
        if offset != self.position {
            return Err(format!("offset {offset} where {} was due", self.position));
        }
        let before = self
            .last
            .insert(stamp.producer, stamp.sequence)
            .unwrap_or(-1);
        let in_order = match is_idempotent(stamp.producer) {
            true => stamp.sequence == before + 1,
            false => stamp.sequence > before,
        };
        if !in_order {
            return Err(format!(
                "at offset {offset}, {stamp:?} comes after sequence {before}"
            ));
        }
        self.position = offset + 1;
        self.records += 1;
        ledger.read(self.partition, offset, stamp)
    }
}
