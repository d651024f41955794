//! Random batches, whole and damaged. Counts are fixed; seeds are printed.

use bytes::BytesMut;
use ottla_codec::{Buffer, Rejection, Rules, compress, decompress, payload, verify};
use ottla_model::batch::{BATCH_HEADER_BYTES, BatchBuilder, BatchHead, BatchSpec, Codec, records};

use crate::common::{CODECS, NOW_MS, RULES, Random, batch};

type Owned = (
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Vec<(String, Option<Vec<u8>>)>,
    i64,
);

fn random_record(random: &mut Random) -> Owned {
    fn nullable(random: &mut Random) -> Option<Vec<u8>> {
        let length = [0, 3, 30, 300, 3_000][random.below(5)];
        (random.below(4) > 0).then(|| random.bytes(length))
    }
    let headers = (0..random.below(4)).map(|_| (format!("h{}", random.below(3)), nullable(random)));
    let headers = headers.collect();
    let timestamp_ms = NOW_MS - random.below(1 << 40) as i64;
    (nullable(random), nullable(random), headers, timestamp_ms)
}

fn random_batch(random: &mut Random) -> (Vec<Owned>, BytesMut) {
    let all: Vec<_> = (0..random.below(40) + 1)
        .map(|_| random_record(random))
        .collect();
    let mut builder = BatchBuilder::new(BatchSpec::default(), all[0].3);
    for (key, value, headers, timestamp_ms) in &all {
        let headers: Vec<_> = headers
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_deref()))
            .collect();
        builder.push(key.as_deref(), value.as_deref(), &headers, *timestamp_ms);
    }
    let codec = CODECS[random.below(CODECS.len())];
    let bytes = ottla_codec::compress_batch(builder.build(), codec)
        .bytes()
        .into();
    (all, bytes)
}

#[test]
fn random_batches_verify_and_read_back() {
    let mut random = Random::new("random batches");
    let mut buffer = Buffer::new();
    for round in 0..400 {
        let (all, bytes) = random_batch(&mut random);
        let verified = verify(bytes.clone(), &RULES).unwrap();
        assert_eq!(verified.bytes(), bytes, "round {round}");
        let head = verified.head();
        let section = payload(head, verified.bytes(), 1 << 20, &mut buffer).unwrap();
        let read: Vec<Owned> = records(section, head.record_count)
            .map(|record| {
                let record = record.unwrap();
                let headers = record.headers.map(|header| {
                    let key = String::from_utf8(header.key.to_vec()).unwrap();
                    (key, header.value.map(<[u8]>::to_vec))
                });
                let headers = headers.collect();
                let timestamp_ms = head.base_timestamp_ms + record.timestamp_delta;
                (
                    record.key.map(<[u8]>::to_vec),
                    record.value.map(<[u8]>::to_vec),
                    headers,
                    timestamp_ms,
                )
            })
            .collect();
        assert!(read == all, "round {round}");
    }
}

/// Flips bits, cuts, doubles, overwrites with extreme numbers.
pub(crate) fn damage(random: &mut Random, bytes: &mut BytesMut) {
    for _ in 0..random.below(3) + 1 {
        let length = bytes.len();
        if length == 0 {
            return;
        }
        let at = random.below(length);
        match random.below(5) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][random.below(5)],
            2 => bytes.truncate(at),
            3 => {
                let tail = bytes[at..].to_vec();
                bytes.extend_from_slice(&tail);
            }
            _ => {
                let end = (at + 4).min(length);
                bytes[at..end].fill([0, 0x7f, 0xff][random.below(3)]);
            }
        }
    }
}

/// What is accepted has the CRC that it was sent with, and is what its header says.
fn judge(bytes: &BytesMut, rules: &Rules) -> bool {
    let claimed = BatchHead::parse(bytes);
    match verify(bytes.clone(), rules) {
        Ok(verified) => {
            let claimed = claimed.unwrap();
            let sent = &bytes[..claimed.size_bytes()];
            assert!(claimed.crc_matches(sent), "accepted a wrong CRC");
            assert_eq!(
                BatchHead::parse(verified.bytes()).as_ref(),
                Ok(verified.head())
            );
            assert!(verified.head().crc_matches(verified.bytes()));
            let mut buffer = Buffer::new();
            let limit = rules.decompressed_bytes_max;
            let section = payload(verified.head(), verified.bytes(), limit, &mut buffer).unwrap();
            let count = records(section, verified.head().record_count)
                .map(Result::unwrap)
                .count();
            assert_eq!(count, verified.head().record_count as usize);
            true
        }
        Err(rejection) => {
            assert!(!rejection.to_string().is_empty());
            false
        }
    }
}

#[test]
fn damaged_bytes_never_panic_and_never_pass_the_crc() {
    let mut random = Random::new("damaged bytes");
    let mut intact = 0;
    for _ in 0..300 {
        let (_, bytes) = random_batch(&mut random);
        for _ in 0..30 {
            let mut damaged = bytes.clone();
            damage(&mut random, &mut damaged);
            // A leader epoch, or bytes behind the batch, are nobody's claim.
            intact += usize::from(judge(&damaged, &RULES));
        }
    }
    assert!(
        (1..3_000).contains(&intact),
        "{intact} of 9,000 were accepted"
    );
}

/// Behind a right CRC there may be anything.
#[test]
fn damage_under_a_right_crc_never_panics() {
    let mut random = Random::new("damage under the CRC");
    let stored = Rules {
        from_client: false,
        ..RULES
    };
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..300 {
        let (_, bytes) = random_batch(&mut random);
        for _ in 0..30 {
            let mut damaged = bytes.clone();
            damage(&mut random, &mut damaged);
            if damaged.len() < BATCH_HEADER_BYTES {
                continue;
            }
            damaged[16] = 2;
            let length = ((damaged.len() - 12) as i32).to_be_bytes();
            damaged[8..12].copy_from_slice(&length);
            let mut head = BatchHead::parse(&damaged).unwrap();
            head.seal(&mut damaged);
            for rules in [RULES, stored] {
                if judge(&damaged, &rules) {
                    accepted += 1;
                } else {
                    refused += 1;
                }
            }
        }
    }
    assert!(
        accepted > 100 && refused > 1_000,
        "{accepted} accepted, {refused} refused"
    );
}

/// Damaged streams, decompressed directly: any answer, no panic, no output above the limit.
#[test]
fn damaged_streams_stay_within_the_limit() {
    let mut random = Random::new("damaged streams");
    let mut out = Buffer::new();
    for _ in 0..600 {
        let length = random.below(50_000);
        let data = random.bytes(length);
        for codec in CODECS {
            let mut packed: BytesMut = compress(codec, &data, None)[..].into();
            damage(&mut random, &mut packed);
            let bytes_max = random.below(100_000);
            if decompress(codec, &packed, bytes_max, &mut out).is_ok() {
                assert!(out.len() <= bytes_max);
            }
        }
    }
    assert!(out.storage_bytes() < 1 << 20, "{}", out.storage_bytes());
}

#[test]
fn noise_is_no_batch() {
    let mut random = Random::new("noise");
    for _ in 0..3_000 {
        let length = random.below(300);
        let noise = random.bytes(length);
        assert!(verify(noise[..].into(), &RULES).is_err());
        // The same noise as the records of an otherwise sound batch.
        for codec in CODECS {
            let bytes = batch(&noise, 1, |head| {
                head.attributes = head.attributes.with_codec(codec)
            });
            let answer = verify(bytes, &RULES);
            assert!(
                matches!(
                    answer,
                    Err(Rejection::Record { .. } | Rejection::Decompress(_))
                ) || codec == Codec::None,
                "{answer:?}"
            );
        }
    }
}
