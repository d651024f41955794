//! Record batches as clients send them and as logs hold them, and the records in them.

use bytes::BytesMut;
use ottla_codec::{Buffer, Rejection, Rules, TimestampRule, compress, payload, recompress, verify};
use ottla_model::batch::{
    Attributes, BATCH_HEADER_BYTES, BatchBuilder, BatchHead, BatchSpec, Codec, VerifiedBatch,
    records,
};
use ottla_model::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence};
use ottla_model::time::WallMs;
use ottla_schema::random::{Random, Value};

use super::{INPUTS, REFUSED, seen, take};
use crate::meter::{bounded, metered};
use crate::mutate::{change, mutate};
use crate::{Group, Maker, Seen};

/// What a batch may decompress to: the rule holds for what is allocated beyond that too.
pub(super) const DECOMPRESSED_BYTES_MAX: usize = 64 << 10;

/// What a broker's clock says while batches are verified.
const NOW_MS: i64 = 1_700_000_000_000;

/// Input: a byte that says by which rules (see [`rules`]), then the bytes of a Produce's partition.
pub(super) struct Batches;

impl Group for Batches {
    fn name(&self) -> &'static str {
        "batch"
    }

    fn variants(&self) -> Vec<String> {
        vec!["batches".into()]
    }

    fn inputs_in_ci(&self) -> u64 {
        INPUTS
    }

    fn maker(&self, _: usize) -> Box<dyn Maker + '_> {
        let mut other = Vec::new();
        Box::new(move |dice: &mut Random| {
            let mut input = vec![dice.bits() as u8];
            let mut batch = batch(dice);
            if dice.below(10) > 0 {
                change_batch(&mut batch, &other, dice);
            }
            other.clone_from(&batch);
            input.extend_from_slice(&batch);
            input
        })
    }

    fn repair(&self, input: &mut [u8]) {
        if let Some((_, batch)) = input.split_first_mut() {
            seal(batch, |_| ());
        }
    }

    /// Behind length, magic and CRC it is reached.
    fn run(&self, input: &[u8]) -> Result<Seen, String> {
        let Some((selector, bytes)) = input.split_first() else {
            return Ok(REFUSED);
        };
        let rules = rules(*selector);
        let arrived = BytesMut::from(bytes);
        let (verified, peak) = metered(|| verify(arrived, &rules));
        let above = bounded(peak, input)?;
        let understood = verified.is_ok();
        match verified {
            Ok(batch) => is_what_it_says(batch)?,
            Err(
                Rejection::NoBatch
                | Rejection::Length(_)
                | Rejection::UnknownMagic(_)
                | Rejection::OldMagic(_)
                | Rejection::SecondBatch
                | Rejection::ZstdTooEarly { .. }
                | Rejection::BaseOffset(_)
                | Rejection::TooLarge { .. }
                | Rejection::Crc { .. },
            ) => return Ok(REFUSED),
            // Its text goes to the client, its kind decides the error code.
            Err(other) => drop((other.to_string(), other.kind())),
        }
        Ok(seen(understood, above))
    }
}

fn rules(selector: u8) -> Rules {
    let bit = |bit: u8| selector & (1 << bit) != 0;
    Rules {
        max_message_bytes: if bit(0) && bit(1) { 200 } else { 1 << 20 },
        key_required: bit(2) && bit(3),
        timestamp: match bit(4) {
            true => TimestampRule::LogAppendTime,
            false => TimestampRule::CreateTime {
                before_max_ms: if bit(5) { 3_600_000 } else { i64::MAX },
                after_max_ms: 3_600_000,
                now: WallMs(NOW_MS),
            },
        },
        produce_version: if bit(6) && bit(1) { 3 } else { 12 },
        decompressed_bytes_max: DECOMPRESSED_BYTES_MAX,
        from_client: !bit(7),
    }
}

/// A verified batch holds what its header says, and the log can stamp it.
fn is_what_it_says(mut batch: VerifiedBatch) -> Result<(), String> {
    let head = *batch.head();
    let mut buffer = Buffer::new();
    let section = payload(&head, batch.bytes(), DECOMPRESSED_BYTES_MAX, &mut buffer)
        .map_err(|error| format!("it was verified, and cannot be read: {error}"))?;
    let size_bytes = section.len();
    let mut count = 0;
    for record in records(section, head.record_count) {
        let record = record.map_err(|error| format!("it was verified: {error}"))?;
        if record.offset_delta > head.last_offset_delta || record.offset_delta < count {
            return Err(format!("record {count} has delta {}", record.offset_delta));
        }
        count += 1;
    }
    if count != head.record_count {
        return Err(format!("{count} records of {}", head.record_count));
    }
    batch.stamp(Offset(77), LeaderEpoch(3));
    batch.stamp_append_time(WallMs(NOW_MS));
    let read = BatchHead::parse(batch.bytes()).map_err(|error| error.to_string())?;
    if read != *batch.head() || !read.crc_matches(batch.bytes()) {
        return Err(format!("{:?} is stamped as {read:?}", batch.head()));
    }
    let plain = recompress(batch, Codec::None, None, DECOMPRESSED_BYTES_MAX)
        .map_err(|error| format!("it was verified, and cannot be recompressed: {error}"))?;
    let control = head.attributes.is_control();
    if !control && plain.bytes().len() != BATCH_HEADER_BYTES + size_bytes {
        return Err(format!("{size_bytes} bytes become {}", plain.bytes().len()));
    }
    Ok(())
}

/// A good batch.
pub(super) fn batch(dice: &mut Random) -> Vec<u8> {
    let idempotent = dice.one_in(3);
    let spec = BatchSpec {
        attributes: match dice.below(12) {
            0 => Attributes(0).with_control(),
            1 => Attributes(0).with_transactional(),
            2 => Attributes(0x08),
            _ => Attributes(0),
        },
        producer_id: ProducerId(if idempotent {
            dice.below(99) as i64
        } else {
            -1
        }),
        producer_epoch: ProducerEpoch(if idempotent { 0 } else { -1 }),
        base_sequence: Sequence(if idempotent {
            dice.below(99) as i32
        } else {
            -1
        }),
    };
    let mut builder = BatchBuilder::new(spec, NOW_MS);
    let long = dice.one_in(100);
    for _ in 0..1 + dice.below(if long { 300 } else { 6 }) {
        let pieces = [bytes(dice), bytes(dice), bytes(dice)];
        let piece = |at: usize| pieces[at].as_deref();
        let headers = [("h", piece(2)), ("", None), ("same", Some(&b"x"[..]))];
        let headers = &headers[..dice.index(4)];
        let timestamp_ms = NOW_MS + dice.below(2_000) as i64 - 1_000;
        builder.push(piece(0), piece(1), headers, timestamp_ms);
    }
    let mut batch = builder.build().bytes().to_vec();
    if dice.one_in(3) {
        let codec = *dice.pick(&[Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd]);
        pack(&mut batch, codec);
    }
    batch
}

fn bytes(dice: &mut Random) -> Option<Vec<u8>> {
    let length = match dice.below(40) {
        0..8 => return None,
        8 => 1_000,
        length => length as usize - 9,
    };
    let byte = dice.bits() as u8;
    Some((0..length).map(|at| byte.wrapping_add(at as u8)).collect())
}

/// Compresses the records of a batch.
fn pack(batch: &mut Vec<u8>, codec: Codec) {
    let packed = compress(codec, &batch[BATCH_HEADER_BYTES..], None);
    batch.truncate(BATCH_HEADER_BYTES);
    batch.extend_from_slice(&packed);
    seal(batch, |head| {
        head.attributes = head.attributes.with_codec(codec)
    });
}

/// Changes a field of the header, then gives the batch the length and the CRC that it has.
fn seal(batch: &mut [u8], change: impl FnOnce(&mut BatchHead)) {
    // Whatever is left of a header is read as one.
    if let Some(magic) = batch.get_mut(16) {
        *magic = 2;
    }
    if let Some(length) = batch.get_mut(8..12) {
        length.copy_from_slice(&i32::MAX.to_be_bytes());
    }
    if let Ok(mut head) = BatchHead::parse(batch) {
        change(&mut head);
        head.seal(batch);
    }
}

/// Tells lies in a batch, and mostly gives it the length and the CRC that go with them.
pub(super) fn change_batch(batch: &mut Vec<u8>, other: &[u8], dice: &mut Random) {
    let codec = BatchHead::parse(batch)
        .ok()
        .and_then(|head| head.attributes.codec().ok());
    match dice.below(10) {
        // The records, before they are compressed.
        0..6 => {
            let mut buffer = Buffer::new();
            let section = BatchHead::parse(batch).ok().and_then(|head| {
                payload(&head, batch, usize::MAX, &mut buffer)
                    .ok()
                    .map(<[u8]>::to_vec)
            });
            let good = Value {
                bytes: section.unwrap_or_default(),
                lengths: Vec::new(),
            };
            let other = other.get(BATCH_HEADER_BYTES..).unwrap_or_default();
            let records = mutate(&good, other, dice);
            batch.truncate(BATCH_HEADER_BYTES);
            batch.extend_from_slice(&records);
            match codec {
                Some(codec) if codec != Codec::None => pack(batch, codec),
                _ => {}
            }
        }
        // The records as they are: compressed or not.
        6 => {
            let mut records = batch.split_off(BATCH_HEADER_BYTES);
            change(&mut records, other, dice);
            batch.extend_from_slice(&records);
        }
        7 => {
            let any = dice.bits();
            let small = dice.below(8) as i32 - 1;
            seal(batch, |head| match any % 8 {
                0 => head.record_count = small,
                1 => head.last_offset_delta = small,
                2 => (head.record_count, head.last_offset_delta) = (small, small - 1),
                3 => head.attributes = Attributes((any >> 32) as i16),
                4 => head.base_timestamp_ms = any as i64,
                5 => head.max_timestamp_ms = any as i64,
                6 => head.base_sequence = Sequence((any >> 32) as i32),
                _ => (head.record_count, head.last_offset_delta) = (i32::MAX, i32::MAX - 1),
            });
        }
        8 => change(batch, other, dice),
        _ => {
            let mut head = batch[..BATCH_HEADER_BYTES].to_vec();
            change(&mut head, &[], dice);
            batch.splice(..BATCH_HEADER_BYTES, head);
        }
    }
    if dice.below(20) > 0 {
        seal(batch, |head| head.base_offset = Offset(0));
    }
}

/// Input: the number of records that the batch claims, then its records section.
pub(super) struct Records;

impl Group for Records {
    fn name(&self) -> &'static str {
        "records"
    }

    fn variants(&self) -> Vec<String> {
        vec!["records".into()]
    }

    fn inputs_in_ci(&self) -> u64 {
        INPUTS
    }

    fn maker(&self, _: usize) -> Box<dyn Maker + '_> {
        Box::new(|dice: &mut Random| {
            let mut batch = batch(dice);
            if dice.below(10) > 0 {
                change_batch(&mut batch, &[], dice);
            }
            let count = BatchHead::parse(&batch).map_or(1, |head| head.record_count);
            let section = batch.get(BATCH_HEADER_BYTES..).unwrap_or_default();
            [&count.to_be_bytes(), section].concat()
        })
    }

    /// The first record that is whole is reached.
    fn run(&self, input: &[u8]) -> Result<Seen, String> {
        let mut section = input;
        let Some(count) = take(&mut section).map(i32::from_be_bytes) else {
            return Ok(REFUSED);
        };
        let ((walked, error), peak) = metered(|| {
            let mut walked = 0;
            let mut error = None;
            for record in records(section, count) {
                match record {
                    Ok(record) => walked += 1 + record.headers.count() as u64,
                    Err(why) => error = Some(why),
                }
            }
            (walked, error)
        });
        let above = bounded(peak, input)?;
        let mut written = Vec::new();
        for record in records(section, count).flatten() {
            let start = written.len();
            record.encode(&mut written);
            let mut again = records(&written[start..], 1);
            let same = again
                .next()
                .is_some_and(|read| format!("{read:?}") == format!("{:?}", Ok::<_, ()>(&record)));
            if !same || again.next().is_some() {
                return Err(format!("{record:?} is written {:02x?}", &written[start..]));
            }
        }
        match error {
            Some(why) if walked == 0 => {
                drop(why.to_string());
                Ok(REFUSED)
            }
            error => Ok(seen(error.is_none(), above)),
        }
    }
}
