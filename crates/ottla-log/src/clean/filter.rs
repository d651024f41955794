//! What stays of one batch (Kafka: `Cleaner.cleanInto`, `MemoryRecords.filterTo`).

use std::collections::HashSet;

use bytes::{Bytes, BytesMut};
use ottla_codec::{Buffer, compress_batch, payload};
use ottla_model::batch::{
    BATCH_HEADER_BYTES, BatchHead, Codec, ControlType, RecordView, TimestampType, VerifiedBatch,
    records,
};
use ottla_model::ids::{Offset, ProducerId};

use super::offset_map::OffsetMap;
use super::survey::Survey;

/// Largest output of a batch that is decompressed. What was appended was measured against a smaller
/// limit.
pub(super) const PAYLOAD_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// What a pass knows of its log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules<'a> {
    /// Latest offsets of the keys of the dirty part.
    pub(crate) map: &'a OffsetMap,
    /// The map knows the records up to here.
    pub(crate) mapped: Offset,
    /// Producers and transactions.
    pub(crate) survey: &'a Survey,
    /// When the pass began.
    pub(crate) now_ms: i64,
    /// `delete.retention.ms`.
    pub(crate) delete_retention_ms: i64,
    /// `producer.id.expiration.ms`.
    pub(crate) producer_expiration_ms: i64,
    /// The written end: the batch before it stays, for it says where the log ends.
    pub(crate) log_end: Offset,
}

/// What becomes of a batch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// It goes.
    Drop,
    /// It stays as it is.
    Keep,
    /// It stays in this form.
    Replace(BatchHead, Bytes),
}

/// Goes through the batches of a log from its start, in their order.
#[derive(Clone, Debug)]
pub(crate) struct Filter<'a> {
    rules: Rules<'a>,
    /// Producers of whose transactions there are batches, since their last marker.
    with_batches: HashSet<ProducerId>,
}

/// What is decided for a batch as a whole.
#[derive(Clone, Copy, Debug)]
struct Fate {
    /// All its records go.
    discard: bool,
    /// It stays even if all its records go.
    retain_empty: bool,
    /// It is the marker of a transaction of which there is no batch any more.
    is_bare_marker: bool,
}

impl<'a> Filter<'a> {
    pub(crate) fn new(rules: Rules<'a>) -> Filter<'a> {
        Filter {
            rules,
            with_batches: HashSet::new(),
        }
    }

    /// Decides on the next batch, whose CRC the caller has checked. `closes` says that it must not
    /// vanish because a segment ends with it.
    pub(crate) fn judge(
        &mut self,
        head: &BatchHead,
        batch: &[u8],
        closes: bool,
    ) -> Result<Verdict, String> {
        let mut buffer = Buffer::new();
        let payload = payload(head, batch, PAYLOAD_BYTES_MAX, &mut buffer)
            .map_err(|error| error.to_string())?;
        let fate = self.fate(head, payload, closes)?;
        let mut kept = Vec::new();
        let mut has_tombstones = false;
        let mut all = true;
        for record in records(payload, head.record_count) {
            let record = record.map_err(|error| error.to_string())?;
            if fate.discard || !(head.attributes.is_control() || self.stays(head, &record)) {
                all = false;
                continue;
            }
            has_tombstones |= record.value.is_none();
            kept.push(record);
        }
        if kept.is_empty() {
            return Ok(match fate.retain_empty {
                true if head.record_count == 0 => Verdict::Keep,
                true => without_records(head),
                false => Verdict::Drop,
            });
        }
        // A horizon counts from the pass that removes what the tombstone hides. Kafka lets it begin
        // earlier if the pass could not map the tombstone's own key.
        let hides = fate.is_bare_marker
            || (has_tombstones
                && !head.attributes.is_control()
                && head.last_offset() <= self.rules.mapped);
        if hides && !head.attributes.has_delete_horizon() {
            let horizon_ms = self
                .rules
                .now_ms
                .saturating_add(self.rules.delete_retention_ms);
            return Ok(with_records(head, &kept, Some(horizon_ms)));
        }
        if all {
            return Ok(Verdict::Keep);
        }
        let horizon_ms = horizon_ms(head);
        Ok(with_records(head, &kept, horizon_ms))
    }

    fn fate(&mut self, head: &BatchHead, payload: &[u8], closes: bool) -> Result<Fate, String> {
        let rules = &self.rules;
        let is_last = head.producer_id != ProducerId::NONE
            && rules
                .survey
                .is_last_of_producer(head, rules.now_ms, rules.producer_expiration_ms);
        let retain_empty = closes || is_last || head.next_offset() == rules.log_end;
        let mut fate = Fate {
            discard: false,
            retain_empty,
            is_bare_marker: false,
        };
        if !head.attributes.is_control() {
            fate.discard = rules.survey.is_aborted(head);
            if head.attributes.is_transactional() {
                self.with_batches.insert(head.producer_id);
            }
            return Ok(fate);
        }
        if let Some(ControlType::Abort | ControlType::Commit) = control_type(head, payload)? {
            fate.is_bare_marker = !self.with_batches.remove(&head.producer_id);
            // An empty batch would not say what it was the marker of: it stays whole.
            fate.discard = fate.is_bare_marker
                && !retain_empty
                && horizon_ms(head).is_some_and(|horizon_ms| horizon_ms <= rules.now_ms);
        }
        Ok(fate)
    }

    /// Whether a record of a batch that is not discarded stays.
    fn stays(&self, head: &BatchHead, record: &RecordView<'_>) -> bool {
        let offset = head.base_offset + i64::from(record.offset_delta);
        if offset > self.rules.mapped {
            return true;
        }
        let Some(key) = record.key else {
            // Nobody could ask for it by its key: Kafka drops it, too.
            return false;
        };
        let is_latest = self
            .rules
            .map
            .get(key)
            .is_none_or(|latest| offset >= latest);
        let is_due = horizon_ms(head).is_some_and(|horizon_ms| horizon_ms <= self.rules.now_ms);
        is_latest && (record.value.is_some() || !is_due)
    }
}

/// What the record of a control batch says; `None` if there is none, or of a future type.
pub(crate) fn control_type(
    head: &BatchHead,
    payload: &[u8],
) -> Result<Option<ControlType>, String> {
    match records(payload, head.record_count).next() {
        None => Ok(None),
        Some(Err(error)) => Err(error.to_string()),
        Some(Ok(record)) => Ok(record.key.and_then(ControlType::decode)),
    }
}

/// From when on the tombstones of a batch may go, if that is known.
fn horizon_ms(head: &BatchHead) -> Option<i64> {
    head.attributes
        .has_delete_horizon()
        .then_some(head.base_timestamp_ms)
}

/// The batch without its records: what is left says which offsets and sequences it had.
fn without_records(head: &BatchHead) -> Verdict {
    let attributes = head
        .attributes
        .with_codec(Codec::None)
        .with_delete_horizon(false);
    let head = BatchHead {
        attributes,
        base_timestamp_ms: -1,
        record_count: 0,
        ..*head
    };
    replace(VerifiedBatch::seal(
        head,
        BytesMut::zeroed(BATCH_HEADER_BYTES),
    ))
}

/// The batch with these of its records, at least one. Offsets and sequences stay those of the whole
/// batch.
fn with_records(head: &BatchHead, kept: &[RecordView<'_>], horizon_ms: Option<i64>) -> Verdict {
    let append_time = head.attributes.timestamp_type() == TimestampType::LogAppendTime;
    let timestamp_ms = |record: &RecordView<'_>| {
        if append_time {
            head.max_timestamp_ms
        } else {
            head.base_timestamp_ms.wrapping_add(record.timestamp_delta)
        }
    };
    let base_timestamp_ms = horizon_ms.unwrap_or_else(|| timestamp_ms(&kept[0]));
    let mut max_timestamp_ms = i64::MIN;
    let mut bytes = vec![0; BATCH_HEADER_BYTES];
    for record in kept {
        let timestamp_ms = timestamp_ms(record);
        max_timestamp_ms = max_timestamp_ms.max(timestamp_ms);
        let moved = RecordView {
            timestamp_delta: timestamp_ms.wrapping_sub(base_timestamp_ms),
            ..record.clone()
        };
        moved.encode(&mut bytes);
    }
    // Checked by `payload` when the batch was read.
    let codec = head.attributes.codec().unwrap_or(Codec::None);
    let attributes = head
        .attributes
        .with_codec(Codec::None)
        .with_delete_horizon(horizon_ms.is_some());
    let head = BatchHead {
        attributes,
        base_timestamp_ms,
        max_timestamp_ms,
        // A batch that was read has no more than that.
        record_count: kept.len() as i32,
        ..*head
    };
    let batch = VerifiedBatch::seal(head, BytesMut::from(Bytes::from(bytes)));
    replace(compress_batch(batch, codec))
}

fn replace(batch: VerifiedBatch) -> Verdict {
    let (head, bytes) = batch.freeze();
    Verdict::Replace(head, bytes)
}
