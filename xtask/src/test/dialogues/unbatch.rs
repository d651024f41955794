//! Record batches (message format v2) and messages (v0, v1) into the notation.

use super::batch::{BEFORE_ATTRIBUTES, CONTROL, LOG_APPEND, TRANSACTIONAL};
use super::notation::Node;
use super::stored;
use super::words::Words;

/// What stands before the records.
const HEAD: usize = 61;

/// The batches in a field of type records; a piece of one at the end is `cut{…}`.
pub(super) fn decode(mut bytes: &[u8], words: &Words) -> Node {
    let mut batches = Vec::new();
    while !bytes.is_empty() {
        let size = bytes
            .get(8..12)
            .and_then(|size| size.try_into().ok())
            .map(i32::from_be_bytes);
        let whole = size
            .and_then(|size| usize::try_from(size).ok())
            .map(|size| size + 12);
        match whole.and_then(|whole| bytes.split_at_checked(whole)) {
            Some((batch, rest)) if batch.len() >= HEAD && batch[16] == 2 => {
                batches.push(decode_batch(batch, words).unwrap_or_else(|| raw("broken", batch)));
                bytes = rest;
            }
            Some((message, rest)) if message.len() > 17 => {
                batches.push(
                    decode_message(message, words).unwrap_or_else(|| raw("message", message)),
                );
                bytes = rest;
            }
            _ => {
                batches.push(Node::Struct {
                    tag: "cut".into(),
                    fields: vec![("bytes".into(), Node::word(bytes.len()))],
                });
                break;
            }
        }
    }
    Node::List(batches)
}

/// A message of format v0 or v1.
fn decode_message(message: &[u8], words: &Words) -> Option<Node> {
    let int = |at: usize, size: usize| integer(message, at, size);
    let mut fields = vec![
        ("magic".into(), Node::word(int(16, 1)?)),
        ("offset".into(), Node::word(int(0, 8)?)),
    ];
    if int(12, 4)? as u32 != stored::crc(&message[16..], stored::GZIP) {
        fields.push(("crc".into(), Node::word("bad")));
    }
    if int(17, 1)? != 0 {
        fields.push(("attributes".into(), Node::word(int(17, 1)?)));
    }
    let mut at = 18;
    if int(16, 1)? > 0 {
        fields.push(("ts".into(), words.shown_time(int(18, 8)?)));
        at += 8;
    }
    for name in ["k", "v"] {
        let length = int(at, 4)?;
        at += 4;
        let value = match usize::try_from(length) {
            Err(_) => Node::word("null"),
            Ok(length) => {
                at += length;
                words.shown_text(message.get(at - length..at)?)
            }
        };
        fields.push((name.into(), value));
    }
    (at == message.len()).then(|| Node::Struct {
        tag: "message".into(),
        fields,
    })
}

fn integer(bytes: &[u8], at: usize, size: usize) -> Option<i64> {
    let bytes = bytes.get(at..at + size)?;
    let sign = i64::from(bytes[0] as i8);
    Some(
        bytes[1..]
            .iter()
            .fold(sign, |sum, byte| (sum << 8) | i64::from(*byte)),
    )
}

fn raw(tag: &str, bytes: &[u8]) -> Node {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Node::Struct {
        tag: tag.into(),
        fields: vec![("hex".into(), Node::word(digits))],
    }
}

fn decode_batch(batch: &[u8], words: &Words) -> Option<Node> {
    let int = |at: usize, size: usize| integer(batch, at, size);
    let attributes = int(21, 2)? as i16;
    let (base_ts, max_ts, count) = (int(27, 8)?, int(35, 8)?, int(57, 4)?);
    let mut fields: Vec<(String, Node)> = Vec::new();
    let mut push = |name: &str, node: Node| fields.push((name.into(), node));
    push("base", Node::word(int(0, 8)?));
    push("epoch", Node::word(int(12, 4)?));
    if int(17, 4)? as u32 != stored::crc(&batch[BEFORE_ATTRIBUTES..], stored::CASTAGNOLI) {
        push("crc", Node::word("bad"));
    }
    let codec =
        ["none", "gzip", "snappy", "lz4", "zstd"].get(usize::from(attributes as u16 & 7))?;
    if *codec != "none" {
        push("codec", Node::word(codec));
    }
    for (name, bit) in [
        ("log_append", LOG_APPEND),
        ("transactional", TRANSACTIONAL),
        ("control", CONTROL),
    ] {
        if attributes & bit != 0 {
            push(name, Node::word(true));
        }
    }
    if int(43, 8)? != -1 || int(51, 2)? != -1 || int(53, 4)? != -1 {
        push("pid", words.shown_pid(int(43, 8)?));
        push("pepoch", Node::word(int(51, 2)?));
        push("seq", Node::word(int(53, 4)?));
    }
    if int(23, 4)? != (count - 1).max(0) {
        push("last_delta", Node::word(int(23, 4)?));
    }
    let payload = &batch[HEAD..];
    let stamped = attributes & LOG_APPEND != 0;
    if *codec != "none" {
        push("base_ts", words.shown_time(base_ts));
        push("max_ts", words.shown_time(max_ts));
        push("count", Node::word(count));
        push(
            "data",
            Node::Word(format!(
                "{}-bytes-{:08x}",
                payload.len(),
                stored::crc(payload, stored::CASTAGNOLI)
            )),
        );
        return Some(Node::Struct {
            tag: "batch".into(),
            fields,
        });
    }
    let mut reader = Reader { bytes: payload };
    let mut records = Vec::new();
    let mut latest = None;
    let mut first = base_ts;
    for index in 0..count {
        let (record, time) = reader.record(index, base_ts, stamped, words)?;
        if index == 0 {
            first = time;
        }
        latest = latest.max(Some(time));
        records.push(record);
    }
    if !reader.bytes.is_empty() {
        return None;
    }
    if base_ts != first || (count == 0 && base_ts != words.now) {
        push("base_ts", words.shown_time(base_ts));
    }
    if latest.unwrap_or(base_ts) != max_ts {
        push("max_ts", words.shown_time(max_ts));
    }
    if !records.is_empty() {
        push("records", Node::List(records));
    }
    Some(Node::Struct {
        tag: "batch".into(),
        fields,
    })
}

struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(count)?;
        self.bytes = rest;
        Some(taken)
    }

    fn signed(&mut self) -> Option<i64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some((value >> 1) as i64 ^ -((value & 1) as i64));
            }
        }
        None
    }

    fn sized(&mut self) -> Option<Option<&'a [u8]>> {
        let length = self.signed()?;
        if length < 0 {
            return Some(None);
        }
        self.take(usize::try_from(length).ok()?).map(Some)
    }

    fn record(
        &mut self,
        index: i64,
        base_ts: i64,
        stamped: bool,
        words: &Words,
    ) -> Option<(Node, i64)> {
        let length = self.signed()?;
        let end = self
            .bytes
            .len()
            .checked_sub(usize::try_from(length).ok()?)?;
        let attributes = self.take(1)?[0];
        let time = base_ts + self.signed()?;
        let offset = self.signed()?;
        let (key, value) = (self.sized()?, self.sized()?);
        let bytes = |bytes: Option<&[u8]>| {
            bytes.map_or_else(|| Node::word("null"), |bytes| words.shown_text(bytes))
        };
        let mut headers = Vec::new();
        for _ in 0..self.signed()? {
            let fields = vec![
                ("k".into(), bytes(self.sized()?)),
                ("v".into(), bytes(self.sized()?)),
            ];
            headers.push(Node::Struct {
                tag: String::new(),
                fields,
            });
        }
        if self.bytes.len() != end {
            return None;
        }
        let plain = attributes == 0 && offset == index && headers.is_empty();
        if plain && key.is_none() && value.is_some() && (time == words.now || stamped) {
            return Some((bytes(value), time));
        }
        let mut fields = vec![("k".into(), bytes(key)), ("v".into(), bytes(value))];
        if time != words.now {
            fields.push(("ts".into(), words.shown_time(time)));
        }
        if offset != index {
            fields.push(("offset".into(), Node::word(offset)));
        }
        if attributes != 0 {
            fields.push(("attributes".into(), Node::word(attributes)));
        }
        if !headers.is_empty() {
            fields.push(("headers".into(), Node::List(headers)));
        }
        Some((
            Node::Struct {
                tag: String::new(),
                fields,
            },
            time,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::super::batch;
    use super::super::notation;
    use super::*;

    #[test]
    fn batches_and_messages_read_back_as_they_were_written() {
        let words = Words::new(1_000_000_000_000, "u");
        for text in [
            "[batch{base=0 epoch=-1 records=[a b]}]",
            "[batch{base=7 epoch=3 crc=bad pid=-1 pepoch=0 seq=5 records=[{k=k v=null ts=now-5} a]}]",
            "[batch{base=0 epoch=-1 log_append=true last_delta=4 max_ts=now+5 records=[{k=null v=a attributes=1 headers=[{k=h v=null}]}]}]",
            "[batch{base=0 epoch=-1 records=[a]} message{magic=1 offset=4 ts=now k=k v=v} message{magic=0 offset=5 crc=bad k=null v=v}]",
            "[]",
        ] {
            let fields = notation::fields(&format!("R={text}")).unwrap();
            let bytes = batch::encode(&fields[0].1, &words).unwrap();
            assert_eq!(decode(&bytes, &words).line(), text);
        }
        let whole = batch::encode(
            &notation::fields("R=[batch{records=[a]} batch{records=[b]}]").unwrap()[0].1,
            &words,
        )
        .unwrap();
        let cut = decode(&whole[..whole.len() - 9], &words).line();
        assert_eq!(cut, "[batch{base=0 epoch=-1 records=[a]} cut{bytes=60}]");
    }
}
