//! The records section of a whole batch, compressed or not.

use bytes::BytesMut;
use ottla_model::batch::{BATCH_HEADER_BYTES, BatchHead, Codec, VerifiedBatch};

use crate::buffer::Buffer;
use crate::compress::compress;
use crate::decompress::{DecompressError, decompress};

/// The records section of `batch`, the whole batch whose header is `head`: borrowed from it if it is
/// not compressed, otherwise decompressed into `buffer`.
///
/// # Errors
/// See [`DecompressError`]; an uncompressed batch is not measured against `bytes_max`.
pub fn payload<'a>(
    head: &BatchHead,
    batch: &'a [u8],
    bytes_max: usize,
    buffer: &'a mut Buffer,
) -> Result<&'a [u8], DecompressError> {
    let section = batch.get(BATCH_HEADER_BYTES..).unwrap_or_default();
    match head
        .attributes
        .codec()
        .map_err(DecompressError::UnknownCodec)?
    {
        Codec::None => Ok(section),
        codec => {
            decompress(codec, section, bytes_max, buffer)?;
            Ok(&buffer[..])
        }
    }
}

/// The batch with its records compressed by `codec` at Kafka's default level.
///
/// # Panics
/// If it is compressed already: [`recompress`] takes any batch.
#[must_use]
pub fn compress_batch(batch: VerifiedBatch, codec: Codec) -> VerifiedBatch {
    let head = *batch.head();
    assert_eq!(
        head.attributes.codec(),
        Ok(Codec::None),
        "invariant: batches are built uncompressed"
    );
    if codec == Codec::None {
        return batch;
    }
    with_payload(head, &batch.bytes()[BATCH_HEADER_BYTES..], codec, None)
}

/// The batch as a topic with `compression.type` `codec` stores it: unchanged if it has that codec or
/// is a control batch, otherwise compressed anew. It may become larger than the batch was.
///
/// # Errors
/// See [`DecompressError`]; a batch that was verified under the same limit has none.
pub fn recompress(
    batch: VerifiedBatch,
    codec: Codec,
    level: Option<i32>,
    bytes_max: usize,
) -> Result<VerifiedBatch, DecompressError> {
    let head = *batch.head();
    if head.attributes.codec() == Ok(codec) || head.attributes.is_control() {
        return Ok(batch);
    }
    let mut buffer = Buffer::new();
    let records = payload(&head, batch.bytes(), bytes_max, &mut buffer)?;
    Ok(with_payload(head, records, codec, level))
}

/// A batch of `head` with other `records`, which it compresses.
fn with_payload(
    head: BatchHead,
    records: &[u8],
    codec: Codec,
    level: Option<i32>,
) -> VerifiedBatch {
    let compressed;
    let section = if codec == Codec::None {
        records
    } else {
        compressed = compress(codec, records, level);
        &compressed
    };
    let mut bytes = BytesMut::with_capacity(BATCH_HEADER_BYTES + section.len());
    bytes.resize(BATCH_HEADER_BYTES, 0);
    bytes.extend_from_slice(section);
    VerifiedBatch::seal(
        BatchHead {
            attributes: head.attributes.with_codec(codec),
            ..head
        },
        bytes,
    )
}
