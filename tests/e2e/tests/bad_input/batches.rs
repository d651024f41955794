//! Lies in record batches, each in a Produce request that is right in everything else.

use std::time::{SystemTime, UNIX_EPOCH};

use ottla_codec::compress;
use ottla_e2e::subject;
use ottla_model::batch::{
    Attributes, BATCH_HEADER_BYTES, BatchBuilder, BatchHead, BatchSpec, Codec,
};
use ottla_model::ids::{Offset, ProducerEpoch, ProducerId};
use ottla_testkit::wire_client::{WireClient, WireError};
use ottla_wire::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};

use crate::probe::Verdicts;

const CORRUPT_MESSAGE: i16 = 2;
const MESSAGE_TOO_LARGE: i16 = 10;
const INVALID_TIMESTAMP: i16 = 32;
pub(crate) const INVALID_RECORD: i16 = 87;
/// What Kafka answers where it did not expect the exception. Ottla never does for a Produce.
const UNKNOWN_SERVER_ERROR: i16 = -1;

/// `max.message.bytes`, Kafka's default.
const BATCH_BYTES_MAX: usize = 1_048_588;

/// What an attack comes to.
#[derive(Clone, Copy)]
pub(crate) enum Wanted {
    /// The code of both.
    Code(i16),
    /// Kafka's code and Ottla's, where they differ.
    Differs { kafka: i16, ottla: i16 },
    /// Hung up: all that acks=0 can say.
    Closed,
}

/// The topic that is lied to.
pub(crate) struct Victim<'a> {
    pub(crate) address: &'a str,
    pub(crate) topic: &'a str,
    /// Another one, with cleanup.policy=compact.
    pub(crate) compacted: &'a str,
}

/// Now, in ms: what an honest record says.
pub(crate) fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as i64)
}

/// An honest batch of three records.
pub(crate) fn honest() -> Vec<u8> {
    honest_at(now_ms(), BatchSpec::default())
}

/// The same with another time, or another producer.
pub(crate) fn honest_at(timestamp_ms: i64, spec: BatchSpec) -> Vec<u8> {
    let mut builder = BatchBuilder::new(spec, timestamp_ms);
    for value in [&b"one"[..], b"two", b"three"] {
        builder.push(
            Some(b"key"),
            Some(value),
            &[("h", Some(b"v"))],
            timestamp_ms,
        );
    }
    builder.build().bytes().to_vec()
}

/// The batch with another header, and the CRC that goes with it.
fn with_head(batch: &[u8], change: impl FnOnce(&mut BatchHead)) -> Vec<u8> {
    let mut bytes = batch.to_vec();
    let mut head = BatchHead::parse(&bytes).expect("made by the builder");
    change(&mut head);
    let length = head.batch_length;
    head.seal(&mut bytes);
    // Sealing corrects the length; it may be the lie.
    if length
        != BatchHead::parse(batch)
            .expect("made by the builder")
            .batch_length
    {
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
    }
    bytes
}

/// The batch with these bytes for its records, and the CRC that goes with them.
fn with_records(batch: &[u8], records: &[u8], change: impl FnOnce(&mut BatchHead)) -> Vec<u8> {
    let mut head = BatchHead::parse(batch).expect("made by the builder");
    change(&mut head);
    let mut bytes = [&batch[..BATCH_HEADER_BYTES], records].concat();
    head.seal(&mut bytes);
    bytes
}

/// The batch with its records compressed.
pub(crate) fn compressed(batch: &[u8], codec: Codec) -> Vec<u8> {
    let records = compress(codec, &batch[BATCH_HEADER_BYTES..], None);
    with_records(batch, &records, |head| {
        head.attributes = Attributes(0).with_codec(codec)
    })
}

fn zigzag(n: i64) -> Vec<u8> {
    let mut left = ((n << 1) ^ (n >> 63)) as u64;
    let mut bytes = Vec::new();
    while left >= 0x80 {
        bytes.push(left as u8 | 0x80);
        left >>= 7;
    }
    bytes.push(left as u8);
    bytes
}

/// Everything about a batch's header and records.
pub(crate) fn lies(victim: &Victim<'_>) -> Result<String, String> {
    use Wanted::{Code, Differs};
    let good = honest();
    let last = good.len() - 1;
    let flip = |at: usize, bits: u8| {
        let mut bytes = good.clone();
        bytes[at] ^= bits;
        bytes
    };
    let head = |change: &dyn Fn(&mut BatchHead)| with_head(&good, change);
    let record = |bytes: &[u8]| {
        with_records(&good, bytes, |head| {
            head.record_count = 1;
            head.last_offset_delta = 0;
        })
    };
    let body = |bytes: &[u8]| record(&[&zigzag(bytes.len() as i64), bytes].concat());
    let magic = |magic: u8| {
        let mut bytes = good.clone();
        bytes[16] = magic;
        bytes
    };
    let length = |length: i32| head(&|head| head.batch_length = length);
    let undecodable = Differs {
        kafka: UNKNOWN_SERVER_ERROR,
        ottla: INVALID_RECORD,
    };
    let at_limit = vec![7; BATCH_BYTES_MAX];

    let cases: Vec<(&str, Vec<u8>, Wanted)> = vec![
        ("an honest batch", good.clone(), Code(0)),
        ("no bytes", Vec::new(), Code(INVALID_RECORD)),
        ("half a header", good[..30].to_vec(), Code(INVALID_RECORD)),
        (
            "a batch without its last byte",
            good[..last].to_vec(),
            Code(INVALID_RECORD),
        ),
        (
            "two batches",
            [&good[..], &good].concat(),
            Code(INVALID_RECORD),
        ),
        (
            "a flipped bit in a record",
            flip(last, 1),
            Code(CORRUPT_MESSAGE),
        ),
        (
            "a flipped bit in the CRC",
            flip(17, 0x80),
            Code(CORRUPT_MESSAGE),
        ),
        ("magic 0", magic(0), Code(INVALID_RECORD)),
        ("magic 1", magic(1), Code(INVALID_RECORD)),
        ("magic 3", magic(3), Code(CORRUPT_MESSAGE)),
        ("magic 127", magic(127), Code(CORRUPT_MESSAGE)),
        ("magic -1", magic(255), Code(CORRUPT_MESSAGE)),
        ("length -1", length(-1), Code(CORRUPT_MESSAGE)),
        ("length 0", length(0), Code(CORRUPT_MESSAGE)),
        // Kafka adds to it before it looks, and overflows.
        ("length 2^31-1", length(i32::MAX), undecodable),
        ("length below a header", length(20), Code(CORRUPT_MESSAGE)),
        (
            "base offset 5",
            head(&|head| head.base_offset = Offset(5)),
            Code(INVALID_RECORD),
        ),
        (
            "0 records",
            head(&|head| head.record_count = 0),
            Code(INVALID_RECORD),
        ),
        (
            "-1 records",
            head(&|head| head.record_count = -1),
            Code(INVALID_RECORD),
        ),
        (
            "2 records of 3",
            head(&|head| head.record_count = 2),
            Code(INVALID_RECORD),
        ),
        (
            "2^31-1 records",
            head(&|head| head.record_count = i32::MAX),
            Code(INVALID_RECORD),
        ),
        (
            "4 records, one less there",
            head(&|head| {
                head.record_count = 4;
                head.last_offset_delta = 3;
            }),
            Code(INVALID_RECORD),
        ),
        (
            "2 records, one more there",
            head(&|head| {
                head.record_count = 2;
                head.last_offset_delta = 1;
            }),
            Code(INVALID_RECORD),
        ),
        (
            "2^31-1 records and offsets",
            head(&|head| {
                head.record_count = i32::MAX;
                head.last_offset_delta = i32::MAX - 1;
            }),
            Code(INVALID_RECORD),
        ),
        (
            "last offset delta 9",
            head(&|head| head.last_offset_delta = 9),
            Code(INVALID_RECORD),
        ),
        (
            "last offset delta -1",
            head(&|head| head.last_offset_delta = -1),
            Code(INVALID_RECORD),
        ),
        (
            "control batch",
            head(&|head| head.attributes = Attributes(0).with_control()),
            Code(INVALID_RECORD),
        ),
        (
            "producer without sequence",
            head(&|head| {
                head.producer_id = ProducerId(77);
                head.producer_epoch = ProducerEpoch(0);
            }),
            Code(INVALID_RECORD),
        ),
        (
            "year 2500",
            honest_at(16_725_225_600_000, BatchSpec::default()),
            Code(INVALID_TIMESTAMP),
        ),
        (
            "codec 5",
            head(&|head| head.attributes = Attributes(5)),
            undecodable,
        ),
        (
            "codec 7",
            head(&|head| head.attributes = Attributes(7)),
            undecodable,
        ),
        (
            "plain bytes said to be gzip",
            head(&|head| head.attributes = Attributes(1)),
            undecodable,
        ),
        (
            "plain bytes said to be snappy",
            head(&|head| head.attributes = Attributes(2)),
            undecodable,
        ),
        (
            "plain bytes said to be lz4",
            head(&|head| head.attributes = Attributes(3)),
            undecodable,
        ),
        (
            "plain bytes said to be zstd",
            head(&|head| head.attributes = Attributes(4)),
            undecodable,
        ),
        (
            "record of length -1",
            record(&zigzag(-1)),
            Code(INVALID_RECORD),
        ),
        (
            "offset delta 1 of the only record",
            body(&[0, 0, 2, 1, 1, 0]),
            Differs {
                kafka: 0,
                ottla: INVALID_RECORD,
            },
        ),
        (
            "record of length 0",
            record(&zigzag(0)),
            Code(INVALID_RECORD),
        ),
        (
            "record of length 2^31-1",
            record(&zigzag(i64::from(i32::MAX))),
            Code(INVALID_RECORD),
        ),
        (
            "record length of eleven bytes",
            record(&[0xff; 11]),
            undecodable,
        ),
        (
            "key of length 2^31-1",
            body(&[&[0, 0, 0][..], &zigzag(i64::from(i32::MAX))].concat()),
            Code(INVALID_RECORD),
        ),
        (
            "value of length 100 in 3 bytes",
            body(&[&[0, 0, 0, 1][..], &zigzag(100), b"abc"].concat()),
            Code(INVALID_RECORD),
        ),
        (
            "-1 headers",
            body(&[&[0, 0, 0, 1, 1][..], &zigzag(-1)].concat()),
            Code(INVALID_RECORD),
        ),
        (
            "2^31-1 headers",
            body(&[&[0, 0, 0, 1, 1][..], &zigzag(i64::from(i32::MAX))].concat()),
            Code(INVALID_RECORD),
        ),
        (
            "header key of length -1",
            body(&[&[0, 0, 0, 1, 1, 2][..], &zigzag(-1)].concat()),
            Code(INVALID_RECORD),
        ),
        (
            "a byte after the last header",
            body(&[0, 0, 0, 1, 1, 0, 9]),
            Code(INVALID_RECORD),
        ),
        (
            "a record above max.message.bytes",
            {
                let mut b = BatchBuilder::new(BatchSpec::default(), now_ms());
                b.push(None, Some(&at_limit), &[], now_ms());
                b.build().bytes().to_vec()
            },
            Code(MESSAGE_TOO_LARGE),
        ),
    ];
    let mut verdicts = Verdicts::default();
    for (what, batch, wanted) in cases {
        let got = produce(victim.address, victim.topic, 0, 12, -1, Some(&batch));
        judge(&mut verdicts, what, got, wanted);
    }
    // Kafka trips over it and never answers.
    if subject::foreign().is_none() {
        let got = produce(victim.address, victim.topic, 0, 12, -1, None);
        judge(&mut verdicts, "no batch", got, Code(INVALID_RECORD));
    }
    verdicts.end()
}

/// Holds an outcome against what was wanted.
pub(crate) fn judge(
    verdicts: &mut Verdicts,
    what: &str,
    got: Result<i16, WireError>,
    wanted: Wanted,
) {
    let wanted = match wanted {
        Wanted::Code(code) => Some(code),
        Wanted::Differs { kafka, .. } if subject::foreign().is_some() => Some(kafka),
        Wanted::Differs { ottla, .. } => Some(ottla),
        Wanted::Closed => None,
    };
    let holds = match (&got, wanted) {
        (Ok(code), Some(wanted)) => *code == wanted,
        (Err(error), None) => error.is_closed(),
        _ => false,
    };
    verdicts.holds(what, holds, || match got {
        Ok(code) => format!("error {code}, not {wanted:?}"),
        Err(error) => format!("{error}, not {wanted:?}"),
    });
}

/// The error code of the one partition, on a connection of its own. With acks=0 nothing is answered
/// unless the connection ends, so a later request tells.
pub(crate) fn produce(
    address: &str,
    topic: &str,
    partition: i32,
    version: i16,
    acks: i16,
    records: Option<&[u8]>,
) -> Result<i16, WireError> {
    let request = ProduceRequest {
        transactional_id: None,
        acks,
        timeout_ms: 10_000,
        topic_data: vec![TopicProduceData {
            name: topic,
            partition_data: vec![PartitionProduceData {
                index: partition,
                records,
            }],
            ..TopicProduceData::default()
        }],
    };
    let mut client = WireClient::connect(address)?;
    let pending = client.send(&request, version)?;
    if acks == 0 {
        return client.api_versions().map(|_| 0);
    }
    let answer = client.receive(pending)?;
    let body = answer.body()?;
    let partition = body
        .responses
        .first()
        .and_then(|topic| topic.partition_responses.first());
    Ok(partition.ok_or(WireError::Missing("partition"))?.error_code)
}
