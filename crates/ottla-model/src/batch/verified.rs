//! The proof that a batch was checked.

use bytes::{Bytes, BytesMut};

use super::head::{self, BatchHead, TimestampType};
use crate::ids::{LeaderEpoch, Offset};
use crate::time::WallMs;

/// One record batch whose every claim was checked (size, CRC, record count, deltas) and which owns
/// its bytes alone, so the log can stamp them in place. Made by `ottla-codec` from a client's bytes
/// and by [`BatchBuilder`](super::BatchBuilder) from records of our own.
#[derive(Debug)]
pub struct VerifiedBatch {
    head: BatchHead,
    bytes: BytesMut,
}

impl VerifiedBatch {
    /// Vouches for a batch. Only for code that has just checked or built `bytes`, whose header
    /// decodes to `head` and which holds that one batch and nothing else.
    #[must_use]
    pub fn vouch(head: BatchHead, bytes: BytesMut) -> VerifiedBatch {
        debug_assert_eq!(head.size_bytes(), bytes.len());
        debug_assert_eq!(head::crc_of(&bytes), head.crc);
        VerifiedBatch { head, bytes }
    }

    /// Makes a batch of bytes whose records were just written: `bytes` has room for the header, which
    /// is written here with the length and the CRC that the bytes have. The records must be what the
    /// rest of `head` says.
    ///
    /// # Panics
    /// If there is no room for a header, or 2 GiB of records: callers bound both.
    #[must_use]
    pub fn seal(mut head: BatchHead, mut bytes: BytesMut) -> VerifiedBatch {
        head.seal(&mut bytes);
        VerifiedBatch { head, bytes }
    }

    /// The batch's header.
    #[must_use]
    pub fn head(&self) -> &BatchHead {
        &self.head
    }

    /// The whole batch.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Writes what the log assigns into the header. Outside the CRC, so nothing is hashed again.
    pub fn stamp(&mut self, base_offset: Offset, leader_epoch: LeaderEpoch) {
        self.head.base_offset = base_offset;
        self.head.leader_epoch = leader_epoch;
        head::stamp(&mut self.bytes, base_offset, leader_epoch);
    }

    /// Makes `at` the time of every record (`message.timestamp.type=LogAppendTime`) and hashes anew.
    pub fn stamp_append_time(&mut self, at: WallMs) {
        self.head.attributes = self
            .head
            .attributes
            .with_timestamp_type(TimestampType::LogAppendTime);
        self.head.max_timestamp_ms = at.0;
        self.head.crc = head::stamp_time(&mut self.bytes, self.head.attributes, at.0);
    }

    /// Makes the records' own timestamps hold, the largest being `max_timestamp_ms`, and hashes anew.
    pub fn stamp_create_time(&mut self, max_timestamp_ms: i64) {
        self.head.attributes = self
            .head
            .attributes
            .with_timestamp_type(TimestampType::CreateTime);
        self.head.max_timestamp_ms = max_timestamp_ms;
        self.head.crc = head::stamp_time(&mut self.bytes, self.head.attributes, max_timestamp_ms);
    }

    /// Gives the bytes up for writing; from here on nobody changes them.
    #[must_use]
    pub fn freeze(self) -> (BatchHead, Bytes) {
        (self.head, self.bytes.freeze())
    }
}
