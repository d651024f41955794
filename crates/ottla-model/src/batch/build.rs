//! Building batches of our own: markers, group and transaction records, the catalog, tests.
//!
//! What comes out is uncompressed and verified by construction.

use alloc::vec::Vec;

use bytes::BytesMut;

use super::head::{Attributes, BATCH_HEADER_BYTES, BatchHead, Codec};
use super::record::{Headers, RecordView, put_header};
use super::verified::VerifiedBatch;
use crate::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence};

/// What is said once for a whole batch. The default is a plain batch of no idempotent producer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BatchSpec {
    /// Timestamp type, transactional, control. The codec bits are ignored: the batch is built
    /// uncompressed.
    pub attributes: Attributes,
    /// The idempotent producer, or `NONE`.
    pub producer_id: ProducerId,
    /// Its epoch, or `NONE`.
    pub producer_epoch: ProducerEpoch,
    /// Sequence of the first record, or `NONE`: markers have a producer id and no sequence.
    pub base_sequence: Sequence,
}

impl Default for BatchSpec {
    fn default() -> BatchSpec {
        BatchSpec {
            attributes: Attributes::default(),
            producer_id: ProducerId::NONE,
            producer_epoch: ProducerEpoch::NONE,
            base_sequence: Sequence::NONE,
        }
    }
}

/// Builds one batch, record by record.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    spec: BatchSpec,
    base_timestamp_ms: i64,
    max_timestamp_ms: i64,
    record_count: i32,
    /// The whole batch; the header is left blank until the end.
    bytes: Vec<u8>,
    /// One record's headers, kept for its capacity.
    headers: Vec<u8>,
}

impl BatchBuilder {
    /// Starts a batch whose records' timestamps are stored as distances from `timestamp_ms`.
    #[must_use]
    pub fn new(spec: BatchSpec, timestamp_ms: i64) -> BatchBuilder {
        BatchBuilder {
            spec,
            base_timestamp_ms: timestamp_ms,
            max_timestamp_ms: i64::MIN,
            record_count: 0,
            bytes: alloc::vec![0; BATCH_HEADER_BYTES],
            headers: Vec::new(),
        }
    }

    /// Adds a record. `None` as key, value or header value is Kafka's null.
    ///
    /// # Panics
    /// If the batch would hold 2 GiB; who splits batches asks [`size_bytes`](Self::size_bytes).
    pub fn push(
        &mut self,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
        timestamp_ms: i64,
    ) {
        self.headers.clear();
        for (key, value) in headers {
            put_header(key, *value, &mut self.headers);
        }
        let record = RecordView {
            attributes: 0,
            timestamp_delta: timestamp_ms.wrapping_sub(self.base_timestamp_ms),
            offset_delta: self.record_count,
            key,
            value,
            headers: Headers::written(&self.headers, headers.len()),
        };
        record.encode(&mut self.bytes);
        assert!(
            self.bytes.len() <= i32::MAX as usize,
            "invariant: a batch of our own is far below 2 GiB"
        );
        // Cannot overflow: a record takes bytes.
        self.record_count += 1;
        self.max_timestamp_ms = self.max_timestamp_ms.max(timestamp_ms);
    }

    /// Number of records so far.
    #[must_use]
    pub fn record_count(&self) -> i32 {
        self.record_count
    }

    /// Size that the batch has so far, header included.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Ends the batch. Base offset 0 and no leader epoch until the log stamps them.
    ///
    /// # Panics
    /// If there is no record: an empty batch would name an offset that nothing is at.
    #[must_use]
    pub fn build(self) -> VerifiedBatch {
        assert!(
            self.record_count > 0,
            "invariant: a batch of our own has records"
        );
        let head = BatchHead {
            base_offset: Offset::ZERO,
            batch_length: 0,
            leader_epoch: LeaderEpoch::NONE,
            crc: 0,
            attributes: self.spec.attributes.with_codec(Codec::None),
            last_offset_delta: self.record_count - 1,
            base_timestamp_ms: self.base_timestamp_ms,
            max_timestamp_ms: self.max_timestamp_ms,
            producer_id: self.spec.producer_id,
            producer_epoch: self.spec.producer_epoch,
            base_sequence: self.spec.base_sequence,
            record_count: self.record_count,
        };
        VerifiedBatch::seal(head, BytesMut::from(bytes::Bytes::from(self.bytes)))
    }
}
