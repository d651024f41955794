//! Records for kcat, cut into invocations: its headers, its nulls (`-Z`) and its keys (`-K`) hold for a whole one.

use super::super::random::Random;

/// Between key and value, and after a record: bytes that no key and no value holds.
pub(super) const KEY_END: u8 = 0x1f;
pub(super) const RECORD_END: u8 = 0x1e;

const WORDS: [&str; 7] = [
    "partition ",
    "segment ",
    "batch ",
    "record ",
    "offset ",
    "epoch ",
    "leader ",
];

/// What one `kcat -P` sends to one partition.
pub(super) struct Piece {
    pub(super) partition: i32,
    pub(super) kind: Kind,
    records: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What holds for a whole invocation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Keys, the same header twice, one null and one empty header; an empty value stays empty.
    Headers,
    /// Keys; an empty key or value becomes null.
    Nulls,
    /// No keys, one header.
    Keyless,
}

/// A record as it must come back. Headers are as kcat prints them.
pub(super) struct Record {
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) headers: &'static str,
}

impl Kind {
    pub(super) fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Headers => &[
                "-K",
                r"\x1f",
                "-H",
                "twice=first",
                "-H",
                "null",
                "-H",
                "twice=second",
                "-H",
                "empty=",
            ],
            Self::Nulls => &["-K", r"\x1f", "-Z"],
            Self::Keyless => &["-H", "kůň=žluťoučký"],
        }
    }

    fn headers(self) -> &'static str {
        match self {
            Self::Headers => "twice=first,null=NULL,twice=second,empty=",
            Self::Nulls => "",
            Self::Keyless => "kůň=žluťoučký",
        }
    }
}

impl Piece {
    /// What goes into standard input.
    pub(super) fn input(&self) -> Vec<u8> {
        let mut input = Vec::new();
        for (key, value) in &self.records {
            if self.kind != Kind::Keyless {
                input.extend(key);
                input.push(KEY_END);
            }
            input.extend(value);
            input.push(RECORD_END);
        }
        input
    }

    /// What must come back.
    pub(super) fn expected(&self) -> impl Iterator<Item = Record> + '_ {
        let bytes = |bytes: &Vec<u8>| {
            (self.kind != Kind::Nulls || !bytes.is_empty()).then(|| bytes.clone())
        };
        self.records.iter().map(move |(key, value)| Record {
            key: if self.kind == Kind::Keyless {
                None
            } else {
                bytes(key)
            },
            value: bytes(value),
            headers: self.kind.headers(),
        })
    }
}

/// The record that makes the topic.
pub(super) fn first(random: &mut Random) -> Piece {
    Piece {
        partition: 0,
        kind: Kind::Headers,
        records: vec![(b"first".to_vec(), words(random, 300))],
    }
}

/// `count` records over these partitions, every kind in each.
pub(super) fn pieces(random: &mut Random, partitions: &[i32], count: usize) -> Vec<Piece> {
    const KINDS: [Kind; 3] = [Kind::Headers, Kind::Nulls, Kind::Keyless];
    let each = count / (partitions.len() * KINDS.len());
    let mut left = count;
    let mut pieces = Vec::new();
    for partition in partitions {
        for kind in KINDS {
            let records = (0..each).map(|index| record(random, kind, index)).collect();
            pieces.push(Piece {
                partition: *partition,
                kind,
                records,
            });
            left -= each;
        }
    }
    if let Some(last) = pieces.last_mut() {
        last.records
            .extend((0..left).map(|index| record(random, Kind::Keyless, index)));
    }
    pieces
}

fn record(random: &mut Random, kind: Kind, index: usize) -> (Vec<u8>, Vec<u8>) {
    let key = if index % 13 == 5 {
        Vec::new()
    } else {
        format!("key-{}", random.below(1000)).into_bytes()
    };
    let value = match index % 10 {
        // kcat takes an empty line without a key for nothing at all.
        3 if kind != Kind::Keyless => Vec::new(),
        9 => noise(random),
        _ => {
            let bytes = 1 + random.below(300);
            words(random, bytes)
        }
    };
    (key, value)
}

fn words(random: &mut Random, bytes: usize) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes + 16);
    while text.len() < bytes {
        text.extend(WORDS[random.below(WORDS.len())].as_bytes());
    }
    text
}

/// Any bytes but the two that mark ends.
fn noise(random: &mut Random) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..1 + random.below(200))
        .map(|_| (random.below(256) & 0xff) as u8)
        .collect();
    bytes.retain(|byte| *byte != KEY_END && *byte != RECORD_END);
    bytes.push(0);
    bytes
}
