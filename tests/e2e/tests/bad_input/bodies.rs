//! Lies in the body: counts, lengths and nulls, bodies that end early or late.

use ottla_e2e::random::Random;
use ottla_e2e::subject;
use ottla_testkit::wire_client::WireClient;
use ottla_wire::ApiKey;

use crate::probe::{Bytes, CORRELATION_ID, Outcome, Verdicts, frame, probe};
use crate::samples::{Sample, samples};

/// Bodies are cut at so many places at most, drawn by the seed.
const CUTS_MAX: usize = 24;

/// Every API at every version, cut short.
pub(crate) fn truncated(
    address: &str,
    batch: &[u8],
    random: &mut Random,
) -> Result<String, String> {
    let mut verdicts = Verdicts::default();
    for sample in spoken(address, batch)? {
        // ApiVersions has no body before version 3.
        let mut cuts: Vec<usize> = (0..sample.body.len()).collect();
        while cuts.len() > CUTS_MAX {
            cuts.swap_remove(random.below(cuts.len() as u64) as usize);
        }
        for cut in cuts {
            let got = probe(
                address,
                &frame(sample.key, sample.version, &sample.body[..cut]),
            );
            let what = format!(
                "key {} version {} cut at {cut} of {}",
                sample.key,
                sample.version,
                sample.body.len()
            );
            verdicts.check(what, &got, &Outcome::Closed);
        }
    }
    verdicts.end()
}

/// The same requests whole, to know that it was the lie that was refused, and with bytes to spare,
/// which Kafka does not look at.
pub(crate) fn whole(address: &str, batch: &[u8]) -> Result<String, String> {
    let mut verdicts = Verdicts::default();
    for Sample { key, version, body } in spoken(address, batch)? {
        for (what, tail) in [("whole", &b""[..]), ("with a tail", b"tail")] {
            let got = probe(address, &frame(key, version, &[&body[..], tail].concat()));
            let what = format!("key {key} version {version} {what}");
            verdicts.holds(what, is_answer(&got), || format!("{got:?}"));
        }
    }
    verdicts.end()
}

/// Counts and lengths of -1, -2, the largest numbers, and one beyond the bytes left.
pub(crate) fn counts(address: &str) -> Result<String, String> {
    let mut verdicts = Verdicts::default();
    let b = Bytes::default;
    let produce = |topics: Bytes| b().i16(-1).i16(-1).i32(1_000).raw(&topics.0);
    let fetch = |topics: Bytes| b().i32(-1).i32(0).i32(0).i32(1_000).i8(0).raw(&topics.0);
    let list = |topics: Bytes| b().i32(-1).raw(&topics.0);
    let key = |key: ApiKey| key as i16;

    // Arrays and lengths that may not be null, with the 32-bit numbers of old versions.
    for n in [-1, -2, i32::MIN, i32::MAX, 1 << 20, 100] {
        let cases: [(&str, i16, i16, Bytes); 15] = [
            ("Metadata 0 topics", key(ApiKey::Metadata), 0, b().i32(n)),
            ("Produce topics", 0, 3, produce(b().i32(n))),
            (
                "Produce partitions",
                0,
                3,
                produce(b().i32(1).string("t").i32(n)),
            ),
            (
                "Produce 8 partitions",
                0,
                8,
                produce(b().i32(1).string("t").i32(n)),
            ),
            ("Fetch topics", 1, 4, fetch(b().i32(n))),
            (
                "Fetch partitions",
                1,
                4,
                fetch(b().i32(1).string("t").i32(n)),
            ),
            (
                "Fetch forgotten",
                1,
                7,
                fetch(b().i32(0).i32(-1).i32(0).i32(n)),
            ),
            ("ListOffsets topics", 2, 1, list(b().i32(n))),
            (
                "ListOffsets partitions",
                2,
                1,
                list(b().i32(1).string("t").i32(n)),
            ),
            ("CreateTopics topics", 19, 2, b().i32(n)),
            (
                "CreateTopics assignments",
                19,
                2,
                b().i32(1).string("t").i32(1).i16(1).i32(n),
            ),
            (
                "CreateTopics configs",
                19,
                2,
                b().i32(1).string("t").i32(1).i16(1).i32(0).i32(n),
            ),
            ("DeleteTopics names", 20, 1, b().i32(n)),
            ("DescribeConfigs resources", 32, 1, b().i32(n)),
            ("OffsetForLeaderEpoch topics", 23, 2, b().i32(n)),
        ];
        for (what, key, version, body) in cases {
            let got = probe(address, &frame(key, version, &body.0));
            verdicts.check(format!("{what}: {n}"), &got, &Outcome::Closed);
        }
    }
    // Null is allowed here, so Kafka takes every negative number for it. Below -1 Ottla hangs up.
    let null = |n: i32| n == -1 || subject::foreign().is_some();
    for n in [-1, -2, i32::MIN, i32::MAX, 100] {
        let got = probe(address, &frame(key(ApiKey::Metadata), 1, &b().i32(n).0));
        let wanted = if n < 0 && null(n) {
            is_answer(&got)
        } else {
            got == Outcome::Closed
        };
        verdicts.holds(format!("Metadata 1 topics: {n}"), wanted, || {
            format!("{got:?}")
        });
        let got = probe(
            address,
            &frame(
                0,
                3,
                &produce(b().i32(1).string("t").i32(1).i32(0).i32(n)).0,
            ),
        );
        let wanted = if n < 0 && null(n) {
            is_answer(&got)
        } else {
            got == Outcome::Closed
        };
        verdicts.holds(format!("Produce records: {n}"), wanted, || {
            format!("{got:?}")
        });
    }
    // 16-bit lengths of strings.
    for n in [-1, -2, i16::MIN, i16::MAX, 100] {
        for (what, key, version, body) in [
            ("Metadata name", key(ApiKey::Metadata), 1, b().i32(1).i16(n)),
            ("Produce name", 0, 3, produce(b().i32(1).i16(n))),
            ("CreateTopics name", 19, 2, b().i32(1).i16(n)),
        ] {
            let got = probe(address, &frame(key, version, &body.0));
            verdicts.check(format!("{what} of length {n}"), &got, &Outcome::Closed);
        }
    }
    compact(address, &mut verdicts);
    verdicts.end()
}

/// The same with the varints of flexible versions, where a number is one more than it says.
fn compact(address: &str, verdicts: &mut Verdicts) {
    let b = Bytes::default;
    let produce = |topics: Bytes| b().varint(0).i16(-1).i32(1_000).raw(&topics.0);
    type Body<'a> = &'a dyn Fn(u32) -> Bytes;
    let cases: [(&str, i16, i16, Body<'_>); 7] = [
        ("Metadata topics", 3, 9, &|n| b().varint(n)),
        ("Metadata name", 3, 9, &|n| b().varint(2).varint(n)),
        ("Produce topics", 0, 9, &|n| produce(b().varint(n))),
        ("Produce partitions", 0, 9, &|n| {
            produce(b().varint(2).varint(2).raw(b"t").varint(n))
        }),
        ("CreateTopics topics", 19, 5, &|n| b().varint(n)),
        ("ApiVersions name", 18, 3, &|n| b().varint(n)),
        ("DescribeConfigs resources", 32, 4, &|n| b().varint(n)),
    ];
    for (what, key, version, body) in cases {
        for n in [100, 1 << 20, i32::MAX as u32, 1 << 31] {
            let got = probe(address, &frame(key, version, &body(n).0));
            verdicts.check(format!("{what} {version}: {n}"), &got, &Outcome::Closed);
        }
    }
    let six = [0xff, 0xff, 0xff, 0xff, 0xff, 1];
    let got = probe(address, &frame(3, 9, &six));
    verdicts.check("a varint of six bytes", &got, &Outcome::Closed);
    // Tagged fields at the end of a body.
    for (what, tags) in [
        (
            "2^20 tagged fields in a byte",
            b().varint(1 << 20).varint(0),
        ),
        (
            "a tagged field beyond the frame",
            b().varint(1).varint(5).varint(1 << 30),
        ),
    ] {
        let body = b().varint(0).i8(0).i8(0).i8(0).raw(&tags.0).0;
        let got = probe(address, &frame(3, 9, &body));
        verdicts.check(what, &got, &Outcome::Closed);
    }
}

fn spoken(address: &str, batch: &[u8]) -> Result<Vec<Sample>, String> {
    let spoken = WireClient::connect(address).and_then(|mut client| client.api_versions());
    let spoken = spoken.map_err(|error| error.to_string())?;
    Ok(samples(&spoken, batch))
}

pub(crate) fn is_answer(got: &Outcome) -> bool {
    matches!(got, Outcome::Answered(frame) if frame.starts_with(&CORRELATION_ID.to_be_bytes()))
}
