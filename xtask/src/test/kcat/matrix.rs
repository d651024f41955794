//! Every codec, acks and idempotence of kcat: produce, list, query offsets, consume, compare byte for byte.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::super::random::Random;
use super::super::report::Section;
use super::super::rows::Row;
use super::super::stored::Stored;
use super::Client;
use super::content::{self, Piece, Record};

const RECORDS: usize = 10_000;
/// kcat mostly waits: several at a time, though cores are few.
const WORKERS: usize = 4;
/// One text line with the lengths, then the bytes of key and value.
const FORMAT: &str = r"%p %o %T %K %S %h\n%k%s\n";

#[derive(Clone, Copy)]
struct Combo {
    codec: &'static str,
    acks: &'static str,
    idempotent: bool,
}

impl Combo {
    fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
            for (acks, idempotent) in [("0", false), ("1", false), ("all", false), ("all", true)] {
                all.push(Self {
                    codec,
                    acks,
                    idempotent,
                });
            }
        }
        all
    }

    fn topic(self) -> String {
        format!(
            "kcat-{}-acks-{}{}",
            self.codec,
            self.acks,
            if self.idempotent { "-idempotent" } else { "" }
        )
    }

    fn row(self, client: &Client<'_>) -> Row {
        let records = RECORDS.to_string();
        let fields = [
            ("codec", self.codec),
            ("acks", self.acks),
            ("idempotent", if self.idempotent { "on" } else { "off" }),
            ("records", &records),
        ];
        client.row("produce-consume", &fields)
    }
}

/// Answers the rows, what is stored, and how many failed.
pub(super) fn run(
    section: &Section,
    client: &Client<'_>,
    seed: u64,
) -> (Vec<Row>, Vec<Stored>, usize) {
    let todo: Mutex<VecDeque<Combo>> = Mutex::new(Combo::all().into());
    let done: Mutex<BTreeMap<String, (Row, Vec<Stored>)>> = Mutex::default();
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                loop {
                    let next = todo
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .pop_front();
                    let Some(combo) = next else { return };
                    match trip(client, combo, seed) {
                        Ok(stored) => {
                            section.passed(1);
                            let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                            done.insert(combo.topic(), (combo.row(client), stored));
                        }
                        Err(why) => section.failed(format!("kcat: {}: {why}", combo.topic())),
                    }
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    let in_order = Combo::all()
        .into_iter()
        .filter_map(|combo| done.remove(&combo.topic()));
    let (rows, stored): (Vec<Row>, Vec<Vec<Stored>>) = in_order.unzip();
    let failed = Combo::all().len() - rows.len();
    (rows, stored.into_iter().flatten().collect(), failed)
}

fn trip(client: &Client<'_>, combo: Combo, seed: u64) -> Result<Vec<Stored>, String> {
    let topic = combo.topic();
    let mut random = Random::new(seed);
    let first = content::first(&mut random);
    // With acks=0 a record for a topic that is just being made may be lost by right.
    let careful = Combo {
        acks: if combo.acks == "0" { "1" } else { combo.acks },
        ..combo
    };
    produce(client, careful, &topic, &first)?;
    let partitions = client.settled(&topic)?;
    let mut sent: BTreeMap<i32, Vec<Record>> = partitions
        .iter()
        .map(|partition| (*partition, Vec::new()))
        .collect();
    sent.entry(first.partition)
        .or_default()
        .extend(first.expected());
    for piece in content::pieces(&mut random, &partitions, RECORDS - 1) {
        produce(client, combo, &topic, &piece)?;
        let sent = sent.entry(piece.partition).or_default();
        sent.extend(piece.expected());
        if combo.acks != "all" {
            // With acks=0 kcat is gone before its records are read, and the next one has a connection of its own:
            // without waiting, their order would be left to chance. With acks=1 readers see them once they are durable,
            // and `kcat -e` ends where nothing more can be read: on a slow disk too early.
            client.arrived(&topic, piece.partition, sent.len() as i64)?;
        }
    }

    let mut compared = 0;
    let mut times = BTreeMap::new();
    for (partition, expected) in &sent {
        let found = consume(client, &topic, *partition, expected)?;
        compared += found.len();
        times.insert(*partition, found);
    }
    if compared != RECORDS {
        return Err(format!("compared {compared} records of {RECORDS}"));
    }
    offsets(client, &topic, &times)?;
    let stored = |(partition, records): (&i32, &Vec<Record>)| Stored {
        topic: topic.clone(),
        partition: *partition,
        records: records.len() as u64,
        codec: combo.codec.to_owned(),
        idempotent: combo.idempotent,
    };
    Ok(sent.iter().map(stored).collect())
}

fn produce(client: &Client<'_>, combo: Combo, topic: &str, piece: &Piece) -> Result<(), String> {
    let partition = piece.partition.to_string();
    let acks = format!("acks={}", combo.acks);
    let idempotence = format!("enable.idempotence={}", combo.idempotent);
    let mut arguments = vec![
        "-P",
        "-t",
        topic,
        "-p",
        &partition,
        "-D",
        r"\x1e",
        "-z",
        combo.codec,
    ];
    arguments.extend(["-X", &acks, "-X", &idempotence]);
    // Several batches an invocation, none so small that compressing it would not pay: librdkafka then sends it plain.
    arguments.extend(["-X", "batch.num.messages=250", "-X", "linger.ms=50"]);
    arguments.extend(piece.kind.arguments());
    client.run(&arguments, Some(piece.input())).map(drop)
}

/// Reads a partition from its beginning, compares all, and answers the timestamps in order.
pub(super) fn consume(
    client: &Client<'_>,
    topic: &str,
    partition: i32,
    expected: &[Record],
) -> Result<Vec<i64>, String> {
    let number = partition.to_string();
    let mut arguments = vec![
        "-C",
        "-q",
        "-e",
        "-t",
        topic,
        "-p",
        &number,
        "-o",
        "beginning",
    ];
    arguments.extend(["-X", "fetch.wait.max.ms=10", "-X", "check.crcs=true"]);
    arguments.extend(["-f", FORMAT]);
    let printed = client.run(&arguments, None)?.stdout;
    let mut timestamps = Vec::with_capacity(expected.len());
    let mut rest = printed.as_slice();
    while !rest.is_empty() {
        let at = timestamps.len();
        let (head, record, after) =
            parse(rest).ok_or_else(|| format!("{topic}-{partition}: unreadable at record {at}"))?;
        if head[..2] != [i64::from(partition), at as i64] {
            return Err(format!(
                "{topic}-{partition}: record {at} says partition and offset {:?}",
                &head[..2]
            ));
        }
        match expected.get(at) {
            Some(sent) if record == Printed::from(sent) => {}
            sent => {
                return Err(format!(
                    "{topic}-{partition} offset {at}: sent {}, found {record}",
                    sent.map_or_else(|| "nothing".into(), |sent| Printed::from(sent).to_string())
                ));
            }
        }
        timestamps.push(head[2]);
        rest = after;
    }
    if timestamps.len() != expected.len() {
        return Err(format!(
            "{topic}-{partition}: {} records of {}",
            timestamps.len(),
            expected.len()
        ));
    }
    Ok(timestamps)
}

/// A record as kcat printed it.
#[derive(PartialEq, Eq)]
struct Printed<'a> {
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    headers: &'a [u8],
}

impl<'a> From<&'a Record> for Printed<'a> {
    fn from(sent: &'a Record) -> Self {
        Self {
            key: sent.key.as_deref(),
            value: sent.value.as_deref(),
            headers: sent.headers.as_bytes(),
        }
    }
}

impl fmt::Display for Printed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |bytes: Option<&[u8]>| {
            bytes.map_or_else(
                || "null".into(),
                |bytes| format!("\"{}\"", bytes.escape_ascii()),
            )
        };
        let (key, value) = (shown(self.key), shown(self.value));
        write!(
            f,
            "key {key}, headers {}, value {value}",
            shown(Some(self.headers))
        )
    }
}

/// Partition, offset, timestamp and the two lengths; the record; what follows.
fn parse(bytes: &[u8]) -> Option<([i64; 5], Printed<'_>, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let mut words = bytes[..end].splitn(6, |byte| *byte == b' ');
    let mut head = [0; 5];
    for number in &mut head {
        *number = std::str::from_utf8(words.next()?).ok()?.parse().ok()?;
    }
    let headers = words.next()?;
    let (key, rest) = counted(&bytes[end + 1..], head[3])?;
    let (value, rest) = counted(rest, head[4])?;
    Some((
        head,
        Printed {
            key,
            value,
            headers,
        },
        rest.strip_prefix(b"\n")?,
    ))
}

/// That many bytes; -1 is null.
fn counted(bytes: &[u8], length: i64) -> Option<(Option<&[u8]>, &[u8])> {
    if length == -1 {
        return Some((None, bytes));
    }
    let (found, rest) = bytes.split_at_checked(usize::try_from(length).ok()?)?;
    Some((Some(found), rest))
}

/// Earliest, latest, and by time: each against the first record at or after it.
fn offsets(
    client: &Client<'_>,
    topic: &str,
    times: &BTreeMap<i32, Vec<i64>>,
) -> Result<(), String> {
    let by_time = |times: &[i64], wanted: i64| {
        times
            .iter()
            .position(|time| *time >= wanted)
            .map_or(-1, |at| at as i64)
    };
    let at = |part: usize| {
        move |times: &[i64]| {
            times
                .get((times.len() - 1) * part / 4)
                .copied()
                .unwrap_or(0)
        }
    };
    let latest = |times: &[i64]| times.iter().max().copied().unwrap_or(0);
    type Pick<'a> = Box<dyn Fn(&[i64]) -> (i64, i64) + 'a>;
    let questions: Vec<Pick<'_>> = vec![
        Box::new(|_| (-2, 0)),
        Box::new(|times| (-1, times.len() as i64)),
        Box::new(|times| (at(0)(times), by_time(times, at(0)(times)))),
        Box::new(|times| (at(2)(times), by_time(times, at(2)(times)))),
        Box::new(|times| (at(2)(times) + 1, by_time(times, at(2)(times) + 1))),
        Box::new(|times| (latest(times), by_time(times, latest(times)))),
        Box::new(|times| (latest(times) + 1, -1)),
    ];
    for question in questions {
        let asked: Vec<(i32, (i64, i64))> = times
            .iter()
            .map(|(partition, times)| (*partition, question(times)))
            .collect();
        let queries: Vec<(i32, i64)> = asked
            .iter()
            .map(|(partition, (time, _))| (*partition, *time))
            .collect();
        let found = client.offsets(topic, &queries)?;
        for ((partition, (time, expected)), found) in asked.into_iter().zip(found) {
            if found != expected {
                return Err(format!(
                    "{topic}-{partition}: time {time} is at offset {expected}, kcat -Q says {found}"
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_records_are_read_by_their_lengths() {
        let printed = b"0 7 1700000000000 3 -1 a=1,b=NULL\nk\ny\n0 8 1700000000001 -1 0 \n\n";
        let Some((head, record, rest)) = parse(printed) else {
            panic!("not read")
        };
        assert_eq!(head, [0, 7, 1_700_000_000_000, 3, -1]);
        assert_eq!(
            (record.key, record.value, record.headers),
            (Some(&b"k\ny"[..]), None, &b"a=1,b=NULL"[..])
        );
        let Some((head, record, rest)) = parse(rest) else {
            panic!("not read")
        };
        assert_eq!(head, [0, 8, 1_700_000_000_001, -1, 0]);
        assert_eq!(
            (record.key, record.value, record.headers),
            (None, Some(&b""[..]), &b""[..])
        );
        assert!(rest.is_empty());
        assert!(
            parse(b"0 7 1700000000000 3 4 \nk\ny\n").is_none(),
            "fewer bytes than promised"
        );
    }

    #[test]
    fn null_and_empty_differ() {
        let sent = Record {
            key: Some(Vec::new()),
            value: None,
            headers: "",
        };
        let same = Printed {
            key: Some(b""),
            value: None,
            headers: b"",
        };
        assert!(same == Printed::from(&sent));
        for wrong in [
            Printed {
                key: None,
                value: None,
                headers: b"",
            },
            Printed {
                key: Some(b""),
                value: Some(b""),
                headers: b"",
            },
            Printed {
                key: Some(b""),
                value: None,
                headers: b"a=",
            },
        ] {
            assert!(wrong != Printed::from(&sent), "{wrong}");
        }
    }
}
