//! What real clients and Apache Kafka said to each other, byte by byte, beside what it means: see the README of this
//! folder.
//!
//! Every frame must decode, say what stands beside it, and encode to the same bytes again.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "the file is a test, its helpers too"
)]

mod blocks;
mod fold;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use blocks::{Block, Decoder, Direction, File};
use ottla_wire::frame::decode_request_header;
use ottla_wire::headers::{RequestHeader, ResponseHeader};
use ottla_wire::{AnyRequest, AnyResponse, ApiKey, Reader};
use serde_json::Value;
use tree::Tree;

/// Bytes that a client sends behind the end of a request, which brokers pass over: file, title, bytes, and why.
const SURPLUS: &[(&str, &str, &[u8], &str)] = &[(
    "confluent-kafka",
    "request AlterUserScramCredentials 0 told by Kafka",
    &[0],
    "librdkafka ends each upsertion with one empty list of tagged fields too many",
)];

/// Versions that no file has, with the reason.
const NOT_CAPTURED: &str = include_str!("not-captured.txt");

#[test]
fn every_frame_says_what_stands_beside_it_and_encodes_to_itself() {
    let bless = std::env::var_os("OTTLA_BLESS").is_some();
    let mut wrong = Vec::new();
    let mut frames = 0;
    let mut surplus_found = 0;
    for path in files() {
        let mut file = File::read(&path);
        let mut stale = false;
        for block in &mut file.blocks {
            frames += 1;
            let name = path.file_stem().unwrap();
            let title = block.title();
            let is = |(of, what, ..): &&(&str, &str, &[u8], &str)| name == *of && title == *what;
            let surplus = SURPLUS.iter().find(is).map_or(&[][..], |found| found.2);
            surplus_found += usize::from(!surplus.is_empty());
            let found = match round_trip(block, surplus) {
                Ok(found) => found,
                Err(why) => {
                    wrong.push(format!("{}: {}: {why}", path.display(), block.title()));
                    continue;
                }
            };
            let told = if block.decoder == Decoder::Ottla {
                let text = found.to_json();
                let same = text == block.json;
                if !same && bless {
                    block.json = text;
                    stale = true;
                    continue;
                }
                if same { Vec::new() } else { vec![text] }
            } else {
                found.differences(&block.value())
            };
            for line in told {
                wrong.push(format!("{}: {}: {line}", path.display(), block.title()));
            }
        }
        if stale {
            fs::write(&path, file.to_text()).unwrap();
        }
    }
    assert!(frames > 900, "only {frames} frames were found");
    assert!(
        surplus_found >= SURPLUS.len(),
        "no client sends these any more"
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_message_is_there_in_every_version() {
    let mut there = BTreeSet::new();
    for path in files() {
        for block in File::read(&path).blocks {
            there.insert((block.direction, i16::from(block.key), block.version));
        }
    }
    let mut excused: BTreeMap<(i16, i16), &str> = BTreeMap::new();
    let lines = NOT_CAPTURED.lines().filter(|line| !line.starts_with('#'));
    for line in lines.filter(|line| !line.is_empty()) {
        let (what, why) = line.split_once(": ").expect("API VERSION: why");
        let (api, version) = what.split_once(' ').expect("API VERSION");
        let key = blocks::key(api);
        let (from, to) = version.split_once('-').unwrap_or((version, version));
        for version in from.parse().unwrap()..=to.parse().unwrap() {
            excused.insert((key.into(), version), why);
        }
    }
    let mut missing = Vec::new();
    for key in ApiKey::ALL {
        for version in key.schema_versions().into_iter().flatten() {
            let number = i16::from(key);
            let both = [Direction::Request, Direction::Response]
                .iter()
                .all(|direction| there.contains(&(*direction, number, version)));
            match (both, excused.remove(&(number, version))) {
                (false, None) => missing.push(format!("{} {version}", key.name())),
                (true, Some(_)) => panic!("{} {version} is captured", key.name()),
                _ => {}
            }
        }
    }
    assert_eq!(missing, Vec::<String>::new());
    assert_eq!(excused, BTreeMap::new(), "no such messages");
}

#[test]
fn a_field_that_differs_is_found() {
    let files = files();
    let all = files
        .iter()
        .map(|path| File::read(path))
        .flat_map(|file| file.blocks);
    let mut block = all
        .into_iter()
        .find(|block| block.title() == "request Heartbeat 4 told by Kafka")
        .unwrap();
    let tree = round_trip(&block, &[]).unwrap();
    assert_eq!(tree.differences(&block.value()), Vec::<String>::new());
    for (name, value) in block.value().as_object().unwrap().clone() {
        let mut other = block.value();
        other[&name] = if value.is_null() {
            1.into()
        } else {
            Value::Null
        };
        assert_eq!(tree.differences(&other).len(), 1, "{name}");
    }
    let mut more = block.value();
    more["noSuchField"] = 1.into();
    assert_eq!(tree.differences(&more).len(), 1);
    // Bytes behind the body.
    block.bytes.push(0);
    assert!(round_trip(&block, &[]).is_err());
}

/// Decodes a frame, holds its header against the title, encodes it, and answers its body.
fn round_trip(block: &Block, surplus: &[u8]) -> Result<Tree, String> {
    let (key, version) = (block.key, block.version);
    let bytes = block
        .bytes
        .strip_suffix(surplus)
        .ok_or("it does not end as listed")?;
    let mut written = Vec::new();
    let debug = match block.direction {
        Direction::Request => {
            let (found, header, mut r) = decode_request_header(bytes).map_err(|e| e.to_string())?;
            if (found, header.request_api_version) != (key, version) {
                return Err(format!("the header says {found:?} {header:?}"));
            }
            let body = AnyRequest::decode(key, &mut r, version).map_err(|e| e.to_string())?;
            r.finish().map_err(|e| e.to_string())?;
            let header_version = key.header_versions(version).request;
            RequestHeader::encode(&header, &mut written, header_version)
                .and_then(|()| body.encode(&mut written, version))
                .map_err(|e| e.to_string())?;
            format!("{body:?}")
        }
        Direction::Response => {
            let mut r = Reader::new(bytes);
            let header_version = key.header_versions(version).response;
            let header =
                ResponseHeader::decode(&mut r, header_version).map_err(|e| e.to_string())?;
            let body = AnyResponse::decode(key, &mut r, version).map_err(|e| e.to_string())?;
            r.finish().map_err(|e| e.to_string())?;
            header
                .encode(&mut written, header_version)
                .and_then(|()| body.encode(&mut written, version))
                .map_err(|e| e.to_string())?;
            format!("{body:?}")
        }
    };
    if written != bytes {
        let at = written.iter().zip(bytes).take_while(|(a, b)| a == b);
        let at = at.count();
        return Err(format!(
            "encodes differently from byte {at} on: {}",
            blocks::hex(&written[at..])
        ));
    }
    Tree::parse(&debug)
}

/// All files with captures, in order.
fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures");
    let entries = fs::read_dir(folder).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    files.retain(|path| !path.ends_with("not-captured.txt"));
    files.sort();
    files
}
