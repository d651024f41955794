//! Batches whose records say who wrote them, and reading them back.

use bytes::{Bytes, BytesMut};
use ottla_codec::{Rules, TimestampRule};
use ottla_model::batch::{
    BATCH_HEADER_BYTES, BatchBuilder, BatchHead, BatchSpec, VerifiedBatch, records,
};
use ottla_model::ids::{Offset, ProducerEpoch, ProducerId, Sequence};

/// Who wrote a record: producer and sequence, unique in a run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Mark {
    /// The producer's number in the run.
    pub producer: u32,
    /// The record's number at its producer.
    pub sequence: u32,
}

const FROM_A_LOG: Rules = Rules {
    max_message_bytes: usize::MAX,
    key_required: false,
    timestamp: TimestampRule::LogAppendTime,
    produce_version: 13,
    decompressed_bytes_max: 1 << 20,
    from_client: false,
};

/// A batch of `count` records from `first` on.
#[must_use]
pub fn batch(
    first: Mark,
    count: u32,
    idempotent: bool,
    filler_bytes: usize,
    wall_ms: i64,
) -> VerifiedBatch {
    let spec = if idempotent {
        BatchSpec {
            producer_id: ProducerId(1000 + i64::from(first.producer)),
            producer_epoch: ProducerEpoch(0),
            base_sequence: Sequence(first.sequence as i32),
            ..BatchSpec::default()
        }
    } else {
        BatchSpec::default()
    };
    let mut builder = BatchBuilder::new(spec, wall_ms);
    for sequence in first.sequence..first.sequence + count {
        let mut value = BytesMut::with_capacity(8 + filler_bytes);
        value.extend_from_slice(&first.producer.to_be_bytes());
        value.extend_from_slice(&sequence.to_be_bytes());
        value.resize(8 + filler_bytes, sequence as u8);
        builder.push(None, Some(&value), &[], wall_ms);
    }
    builder.build()
}

/// The records in a run of whole batches.
///
/// # Panics
/// If the bytes are not whole, valid batches of ours: that is what the simulation is looking for.
#[must_use]
pub fn read(mut bytes: Bytes) -> Vec<(Offset, Mark)> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let head = BatchHead::parse(&bytes).expect("a batch header where one has to be");
        assert!(head.size_bytes() <= bytes.len(), "half a batch was read");
        let batch = bytes.split_to(head.size_bytes());
        ottla_codec::verify(BytesMut::from(&batch[..]), &FROM_A_LOG)
            .expect("a batch that verifies");
        for record in records(&batch[BATCH_HEADER_BYTES..], head.record_count) {
            let record = record.expect("a record");
            let value = record.value.expect("a value");
            let number =
                |at: usize| u32::from_be_bytes(value[at..at + 4].try_into().expect("4 bytes"));
            let mark = Mark {
                producer: number(0),
                sequence: number(4),
            };
            found.push((head.base_offset + i64::from(record.offset_delta), mark));
        }
    }
    found
}
