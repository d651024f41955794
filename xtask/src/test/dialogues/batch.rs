//! Record batches (message format v2) and messages (v0, v1) from the notation, with every lie that it can tell.

use super::notation::Node;
use super::stored;
use super::words::Words;

/// Base offset, length, leader epoch, magic, CRC: what stands before the attributes.
pub(super) const BEFORE_ATTRIBUTES: usize = 21;
pub(super) const LOG_APPEND: i16 = 1 << 3;
pub(super) const TRANSACTIONAL: i16 = 1 << 4;
pub(super) const CONTROL: i16 = 1 << 5;

/// The value of a field of type records.
pub(super) fn encode(node: &Node, words: &Words) -> Result<Vec<u8>, String> {
    let Node::List(items) = node else {
        return words.bytes(node);
    };
    let mut out = Vec::new();
    for item in items {
        match item {
            Node::Struct { tag, .. } if tag == "batch" => out.extend(batch(item, words)?),
            Node::Struct { tag, .. } if tag == "message" => out.extend(message(item, words)?),
            Node::Struct { tag, .. } => return Err(format!("records are no `{tag}`")),
            other => out.extend(words.bytes(other)?),
        }
    }
    Ok(out)
}

/// One field of a batch or record, or what it is if it is not there.
struct Fields<'a> {
    node: &'a Node,
    words: &'a Words,
}

impl Fields<'_> {
    fn number(&self, name: &str, otherwise: i64) -> Result<i64, String> {
        self.node
            .field(name)
            .map_or(Ok(otherwise), |node| self.words.number(node))
    }

    /// Null only if it says so.
    fn bytes(&self, name: &str, otherwise: Option<&[u8]>) -> Result<Option<Vec<u8>>, String> {
        match self.node.field(name) {
            None => Ok(otherwise.map(<[u8]>::to_vec)),
            Some(node) if self.words.is_null(node) => Ok(None),
            Some(node) => self.words.bytes(node).map(Some),
        }
    }

    fn is(&self, name: &str, value: &str) -> bool {
        self.node
            .field(name)
            .is_some_and(|node| node.line() == value)
    }

    fn only(&self, known: &[&str]) -> Result<(), String> {
        let Node::Struct { tag, fields } = self.node else {
            return Err(format!("`{}` should be in braces", self.node.line()));
        };
        match fields
            .iter()
            .find(|(name, _)| !known.contains(&name.as_str()))
        {
            Some((name, _)) => Err(format!("`{tag}{{…}}` has no `{name}`: {known:?}")),
            None => Ok(()),
        }
    }
}

fn batch(node: &Node, words: &Words) -> Result<Vec<u8>, String> {
    let fields = Fields { node, words };
    fields.only(&[
        "base",
        "length",
        "epoch",
        "magic",
        "crc",
        "codec",
        "attributes",
        "log_append",
        "transactional",
        "control",
        "last_delta",
        "base_ts",
        "max_ts",
        "pid",
        "pepoch",
        "seq",
        "count",
        "records",
        "data",
        "more",
        "cut",
    ])?;
    let records = match node.field("records") {
        Some(Node::List(records)) => records.as_slice(),
        None => &[],
        Some(other) => return Err(format!("`{}` is no list of records", other.line())),
    };
    let times = records.iter().map(|record| {
        Fields {
            node: record,
            words,
        }
        .number("ts", words.now)
    });
    let times = times.collect::<Result<Vec<i64>, _>>()?;
    let base_ts = fields.number("base_ts", times.first().copied().unwrap_or(words.now))?;
    let max_ts = fields.number("max_ts", times.iter().copied().max().unwrap_or(base_ts))?;
    let mut body = Vec::new();
    for (index, record) in (0i64..).zip(records) {
        encode_record(record, words, index, base_ts, &mut body)?;
    }
    if let Some(more) = fields.bytes("more", None)? {
        body.extend(more);
    }
    let codec = node
        .field("codec")
        .map_or_else(|| "none".into(), Node::line);
    let (codec, packed) = stored::pack(&codec, &body)?;
    let packed = fields.bytes("data", None)?.unwrap_or(packed);
    let mut attributes = codec;
    for (name, bit) in [
        ("log_append", LOG_APPEND),
        ("transactional", TRANSACTIONAL),
        ("control", CONTROL),
    ] {
        if fields.is(name, "true") {
            attributes |= bit;
        }
    }
    let count = i64::try_from(records.len()).map_err(|e| e.to_string())?;

    let mut covered = Vec::new();
    covered.extend((fields.number("attributes", attributes.into())? as i16).to_be_bytes());
    covered.extend((fields.number("last_delta", (count - 1).max(0))? as i32).to_be_bytes());
    covered.extend(base_ts.to_be_bytes());
    covered.extend(max_ts.to_be_bytes());
    covered.extend(fields.number("pid", -1)?.to_be_bytes());
    covered.extend(
        (fields.number("pepoch", if node.field("pid").is_some() { 0 } else { -1 })? as i16)
            .to_be_bytes(),
    );
    covered.extend((fields.number("seq", -1)? as i32).to_be_bytes());
    covered.extend((fields.number("count", count)? as i32).to_be_bytes());
    covered.extend(packed);
    let length = covered.len() as i64 + BEFORE_ATTRIBUTES as i64 - 12;

    let mut out = Vec::new();
    out.extend(fields.number("base", 0)?.to_be_bytes());
    out.extend((fields.number("length", length)? as i32).to_be_bytes());
    out.extend((fields.number("epoch", -1)? as i32).to_be_bytes());
    out.push(fields.number("magic", 2)? as u8);
    let right = stored::crc(&covered, stored::CASTAGNOLI);
    out.extend(
        (if fields.is("crc", "bad") {
            !right
        } else {
            right
        })
        .to_be_bytes(),
    );
    out.extend(covered);
    let cut = usize::try_from(fields.number("cut", 0)?).map_err(|e| e.to_string())?;
    out.truncate(out.len().saturating_sub(cut));
    Ok(out)
}

fn encode_record(
    node: &Node,
    words: &Words,
    index: i64,
    base_ts: i64,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    let mut record = Vec::new();
    let mut length = None;
    if let Node::Struct { .. } = node {
        let fields = Fields { node, words };
        fields.only(&[
            "k",
            "v",
            "ts",
            "offset",
            "headers",
            "attributes",
            "length",
            "more",
        ])?;
        record.push(fields.number("attributes", 0)? as u8);
        signed(fields.number("ts", words.now)? - base_ts, &mut record);
        signed(fields.number("offset", index)?, &mut record);
        sized(fields.bytes("k", None)?.as_deref(), &mut record);
        sized(fields.bytes("v", None)?.as_deref(), &mut record);
        let headers = match node.field("headers") {
            Some(Node::List(headers)) => headers.as_slice(),
            _ => &[],
        };
        signed(headers.len() as i64, &mut record);
        for header in headers {
            let fields = Fields {
                node: header,
                words,
            };
            fields.only(&["k", "v"])?;
            sized(fields.bytes("k", Some(b""))?.as_deref(), &mut record);
            sized(fields.bytes("v", None)?.as_deref(), &mut record);
        }
        if let Some(more) = fields.bytes("more", None)? {
            record.extend(more);
        }
        length = node
            .field("length")
            .map(|node| words.number(node))
            .transpose()?;
    } else {
        record.push(0);
        signed(words.now - base_ts, &mut record);
        signed(index, &mut record);
        sized(None, &mut record);
        sized(Some(&words.bytes(node)?), &mut record);
        signed(0, &mut record);
    }
    signed(length.unwrap_or(record.len() as i64), out);
    out.extend(record);
    Ok(())
}

/// A message of format v0 or v1 in its entry of a message set.
fn message(node: &Node, words: &Words) -> Result<Vec<u8>, String> {
    let fields = Fields { node, words };
    fields.only(&[
        "magic",
        "offset",
        "size",
        "crc",
        "attributes",
        "ts",
        "k",
        "v",
    ])?;
    let magic = fields.number("magic", 1)? as u8;
    let mut covered = vec![magic, fields.number("attributes", 0)? as u8];
    if magic > 0 {
        covered.extend(fields.number("ts", words.now)?.to_be_bytes());
    }
    for name in ["k", "v"] {
        let value = fields.bytes(name, None)?;
        covered.extend(
            value
                .as_ref()
                .map_or(-1, |value| value.len() as i32)
                .to_be_bytes(),
        );
        covered.extend(value.unwrap_or_default());
    }
    let right = stored::crc(&covered, stored::GZIP);
    let mut out = fields.number("offset", 0)?.to_be_bytes().to_vec();
    out.extend((fields.number("size", covered.len() as i64 + 4)? as i32).to_be_bytes());
    out.extend(
        (if fields.is("crc", "bad") {
            !right
        } else {
            right
        })
        .to_be_bytes(),
    );
    out.extend(covered);
    Ok(out)
}

/// A variable-length number, as flexible versions write lengths.
pub(super) fn unsigned(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn signed(value: i64, out: &mut Vec<u8>) {
    unsigned((value << 1 ^ value >> 63) as u64, out);
}

fn sized(bytes: Option<&[u8]>, out: &mut Vec<u8>) {
    signed(bytes.map_or(-1, |bytes| bytes.len() as i64), out);
    out.extend(bytes.unwrap_or_default());
}
