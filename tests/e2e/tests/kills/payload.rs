//! Records that say who sent them, as which of its records, and whether they are whole.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use ottla_codec::compress_batch;
use ottla_e2e::random::Random;
use ottla_model::batch::{BatchBuilder, BatchSpec, Codec};
use ottla_model::ids::{ProducerEpoch, ProducerId, Sequence};

/// A record as it is remembered: equal stamps mean equal bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stamp {
    /// Our own number of the producer.
    pub(crate) producer: u32,
    /// Counts the producer's records in this partition.
    pub(crate) sequence: i32,
    crc: u32,
}

/// The id and epoch of an idempotent producer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Idempotence {
    pub(crate) id: i64,
    pub(crate) epoch: i16,
}

/// A batch to be sent, and what must be found where it is acknowledged.
pub(crate) struct Batch {
    pub(crate) partition: i32,
    pub(crate) stamps: Vec<Stamp>,
    pub(crate) bytes: Vec<u8>,
    /// When the last byte of its request went into the socket.
    pub(crate) sent: Option<Instant>,
}

/// Fills a batch of 64 KB; sixteen of them fill a segment.
const RECORDS: u64 = 16;
const VALUE_BYTES: u64 = 4_000;
const CRC_BYTES: usize = 4;

/// The next batch of a producer. Most are of 64 KB, some tiny, some compressed.
pub(crate) fn batch(
    producer: u32,
    idempotence: Option<Idempotence>,
    partition: i32,
    base_sequence: i32,
    random: &mut Random,
) -> Batch {
    let spec = match idempotence {
        Some(Idempotence { id, epoch }) => BatchSpec {
            producer_id: ProducerId(id),
            producer_epoch: ProducerEpoch(epoch),
            base_sequence: Sequence(base_sequence),
            ..BatchSpec::default()
        },
        None => BatchSpec::default(),
    };
    let (records, value_bytes, codec) = match random.below(100) {
        0..=79 => (RECORDS, VALUE_BYTES, Codec::None),
        80..=91 => (random.between(1, 3), random.below(200), Codec::None),
        _ => (
            random.between(1, RECORDS),
            VALUE_BYTES,
            *random.pick(&[Codec::Lz4, Codec::Zstd, Codec::Snappy, Codec::Gzip]),
        ),
    };
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as i64);
    let mut builder = BatchBuilder::new(spec, now);
    let mut stamps = Vec::new();
    let mut value = Vec::new();
    for index in 0..records as i32 {
        let sequence = base_sequence + index;
        let key = key(producer, sequence);
        value.resize(value_bytes as usize, 0);
        random.fill(&mut value);
        let crc = crc32c::crc32c_append(crc32c::crc32c(&key), &value);
        value.extend(crc.to_be_bytes());
        builder.push(Some(&key), Some(&value), &[], now);
        stamps.push(Stamp {
            producer,
            sequence,
            crc,
        });
    }
    let bytes = compress_batch(builder.build(), codec).bytes().to_vec();
    Batch {
        partition,
        stamps,
        bytes,
        sent: None,
    }
}

/// The stamp of a record that was read back.
///
/// # Errors
/// If it is not one of ours, or not as it was.
pub(crate) fn stamp(key: Option<&[u8]>, value: Option<&[u8]>) -> Result<Stamp, String> {
    let key = key.unwrap_or_default();
    let (Some((producer, sequence)), Some((value, crc))) = (
        key.split_first_chunk::<4>(),
        value.and_then(|value| value.split_last_chunk::<CRC_BYTES>()),
    ) else {
        return Err("no record of ours".to_owned());
    };
    let sequence = <[u8; 4]>::try_from(sequence).map_err(|_| "no key of ours")?;
    let crc = u32::from_be_bytes(*crc);
    if crc32c::crc32c_append(crc32c::crc32c(key), value) != crc {
        return Err("its bytes changed".to_owned());
    }
    Ok(Stamp {
        producer: u32::from_be_bytes(*producer),
        sequence: i32::from_be_bytes(sequence),
        crc,
    })
}

fn key(producer: u32, sequence: i32) -> [u8; 8] {
    (u64::from(producer) << 32 | u64::from(sequence as u32)).to_be_bytes()
}
