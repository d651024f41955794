//! The files of this folder: a comment at the top, then a block for each frame.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use ottla_wire::ApiKey;
use serde_json::Value;

use crate::fold::{HEX_BYTES, folded};

pub(crate) struct File {
    comment: String,
    pub(crate) blocks: Vec<Block>,
}

/// A frame without its length.
pub(crate) struct Block {
    pub(crate) direction: Direction,
    pub(crate) key: ApiKey,
    pub(crate) version: i16,
    pub(crate) decoder: Decoder,
    pub(crate) bytes: Vec<u8>,
    /// The body, on one line.
    pub(crate) json: String,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Direction {
    Request,
    Response,
}

/// Who told what the bytes mean.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Decoder {
    /// Apache Kafka's own converters.
    Kafka,
    /// This codec: guards against change only, and is what `OTTLA_BLESS` writes.
    Ottla,
}

impl File {
    pub(crate) fn read(path: &Path) -> File {
        let text = fs::read_to_string(path).unwrap();
        let start = text
            .lines()
            .take_while(|line| line.starts_with('#') || line.is_empty());
        let length = start.map(|line| line.len() + 1).sum();
        let (comment, rest) = text.split_at(length);
        let mut blocks: Vec<Block> = Vec::new();
        for line in rest.lines() {
            match line.strip_prefix("  ") {
                None => blocks.push(Block::titled(line)),
                Some(line) => {
                    let block = blocks.last_mut().expect("a title comes first");
                    if block.json.is_empty() && !line.starts_with('{') {
                        block.bytes.extend(bytes(line));
                    } else {
                        block.json.push_str(line);
                    }
                }
            }
        }
        File {
            comment: comment.to_owned(),
            blocks,
        }
    }

    pub(crate) fn to_text(&self) -> String {
        let mut text = self.comment.clone();
        for block in &self.blocks {
            let _ = writeln!(text, "{}", block.title());
            for line in block.bytes.chunks(HEX_BYTES) {
                let _ = writeln!(text, "  {}", hex(line));
            }
            for line in folded(&block.json) {
                let _ = writeln!(text, "  {line}");
            }
        }
        text
    }
}

impl Block {
    pub(crate) fn title(&self) -> String {
        format!(
            "{} {} {} told by {}",
            match self.direction {
                Direction::Request => "request",
                Direction::Response => "response",
            },
            self.key.name(),
            self.version,
            match self.decoder {
                Decoder::Kafka => "Kafka",
                Decoder::Ottla => "Ottla",
            }
        )
    }

    pub(crate) fn value(&self) -> Value {
        serde_json::from_str(&self.json).unwrap_or_else(|e| panic!("{}: {e}", self.title()))
    }

    fn titled(line: &str) -> Block {
        let words: Vec<&str> = line.split(' ').collect();
        let [direction, api, version, "told", "by", decoder] = words[..] else {
            panic!("no title: {line}");
        };
        Block {
            direction: match direction {
                "request" => Direction::Request,
                "response" => Direction::Response,
                other => panic!("neither request nor response: {other}"),
            },
            key: key(api),
            version: version.parse().unwrap(),
            decoder: match decoder {
                "Kafka" => Decoder::Kafka,
                "Ottla" => Decoder::Ottla,
                other => panic!("who is {other}?"),
            },
            bytes: Vec::new(),
            json: String::new(),
        }
    }
}

pub(crate) fn key(name: &str) -> ApiKey {
    let found = ApiKey::ALL.into_iter().find(|key| key.name() == name);
    found.unwrap_or_else(|| panic!("no API {name}"))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    let pairs = hex.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}
