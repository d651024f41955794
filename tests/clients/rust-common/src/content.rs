//! Records whose every byte follows from a seed. They hold what implementers get wrong: null and empty keys and values,
//! the same header key twice, headers with a null or an empty value or an empty name, names beyond ASCII, values of
//! 20 KB, timestamps that go back.

const FIRST_TIMESTAMP_MS: i64 = 1_700_000_000_000;
const TIMESTAMP_STEP_MS: i64 = 10;
const TIMESTAMP_BACK_MS: i64 = 5_000;
const WIDE_VALUE_BYTES: usize = 20_000;
/// Almost all that a broker takes by default.
const LARGE_VALUE_BYTES: usize = 900_000;
const LARGE_RECORDS: usize = 20;
const WORDS: [&str; 7] = [
    "partition",
    "segment",
    "batch",
    "record",
    "offset",
    "epoch",
    "leader",
];

/// A header; its value may be null.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its name, which may be empty and may occur again.
    pub key: String,
    /// Its value; null is not empty.
    pub value: Option<Vec<u8>>,
}

/// What a record holds, apart from where it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Null is not empty.
    pub key: Option<Vec<u8>>,
    /// Null is not empty.
    pub value: Option<Vec<u8>>,
    /// In their order.
    pub headers: Vec<Header>,
    /// Milliseconds since 1970.
    pub timestamp_ms: i64,
}

pub(crate) fn records(seed: u64, count: usize) -> Vec<Record> {
    let mut random = Random(seed);
    (0..count)
        .map(|i| {
            let back = if i % 7 == 3 && i != count - 1 {
                TIMESTAMP_BACK_MS
            } else {
                0
            };
            Record {
                key: key(i, &mut random),
                value: value(i, &mut random),
                headers: headers(i, &mut random),
                timestamp_ms: timestamp_ms(i) - back,
            }
        })
        .collect()
}

/// Records of 900,000 bytes that do not compress.
pub(crate) fn large(seed: u64) -> Vec<Record> {
    let mut random = Random(!seed);
    (0..LARGE_RECORDS)
        .map(|i| Record {
            key: Some(format!("large-{i}").into_bytes()),
            value: Some(noise(&mut random, LARGE_VALUE_BYTES)),
            headers: Vec::new(),
            timestamp_ms: timestamp_ms(i),
        })
        .collect()
}

fn timestamp_ms(i: usize) -> i64 {
    FIRST_TIMESTAMP_MS + i64::try_from(i).unwrap_or(i64::MAX / 100) * TIMESTAMP_STEP_MS
}

fn key(i: usize, random: &mut Random) -> Option<Vec<u8>> {
    match i % 16 {
        5 => None,
        11 => Some(Vec::new()),
        _ => Some(format!("key-{}", random.below(1000)).into_bytes()),
    }
}

fn value(i: usize, random: &mut Random) -> Option<Vec<u8>> {
    match i % 10 {
        3 => return None,
        7 => return Some(Vec::new()),
        _ => {}
    }
    let bytes = if i % 2500 == 4 {
        WIDE_VALUE_BYTES
    } else {
        random.below(300)
    };
    Some(if i % 10 == 9 {
        noise(random, bytes)
    } else {
        text(random, bytes)
    })
}

fn headers(i: usize, random: &mut Random) -> Vec<Header> {
    let header = |key: &str, value: &[u8]| Header {
        key: key.to_owned(),
        value: Some(value.to_owned()),
    };
    match i % 4 {
        1 => vec![header("trace", &text(random, 20))],
        2 => vec![
            header("twice", b"first"),
            header("between", &[0, 0xff]),
            header("twice", b"second"),
            header("twice", b"first"),
        ],
        3 => vec![
            Header {
                key: "null".to_owned(),
                value: None,
            },
            header("empty", b""),
            header("", b"no name"),
            header("žluťoučký", "kůň".as_bytes()),
        ],
        _ => Vec::new(),
    }
}

fn text(random: &mut Random, bytes: usize) -> Vec<u8> {
    let mut made = Vec::with_capacity(bytes + 16);
    while made.len() < bytes {
        made.extend_from_slice(WORDS[random.below(WORDS.len())].as_bytes());
        made.push(b' ');
    }
    made
}

fn noise(random: &mut Random, bytes: usize) -> Vec<u8> {
    let mut made = Vec::with_capacity(bytes + 8);
    while made.len() < bytes {
        made.extend_from_slice(&random.next().to_le_bytes());
    }
    made.truncate(bytes);
    made
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap_or(0)
    }
}
