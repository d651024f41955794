//! Families of malformed requests for every API and version that the broker says it speaks, made from the
//! schema: an API that comes later is attacked without a line here.
//!
//! Only what the decoder refuses is sent, so nothing is ever carried out; the broker must hang up on each,
//! and count each under its reason. Lies in batches are in `batches`, other protocols in `frames`: they are
//! not an API's.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use ottla_schema::Schema;
use ottla_schema::model::{Module, Role, Struct};
use ottla_schema::random::{Random, Value, value, varint};
use ottla_testkit::broker_process::BrokerProcess;
use ottla_testkit::wire_client::WireClient;
use ottla_wire::{AnyRequest, ApiKey, Reader};

use crate::metrics;
use crate::probe::{Outcome, Verdicts, frame, frame_with, probe, probe_and_finish};

/// Connections at a time.
const ATTACKERS: usize = 4;
/// Good values of each API and version from which lies are made.
const VALUES: usize = 24;
/// A counter is raised a moment after the client saw the connection end.
const PATIENCE: Duration = Duration::from_secs(10);

/// One connection's worth.
struct Attack {
    what: String,
    bytes: Vec<u8>,
    /// Nothing more comes.
    finish: bool,
    /// What the broker must count it under; nothing for a client that went.
    reason: Option<&'static str>,
}

/// Every family against every API and version, from several connections at a time.
pub(crate) fn all(address: &str, broker: &BrokerProcess, seed: u64) -> Result<String, String> {
    let schema = ottla_schema::load()?;
    let spoken = WireClient::connect(address)
        .and_then(|mut client| client.api_versions())
        .map_err(|error| error.to_string())?;
    let mut attacks = Vec::new();
    let mut dice = Random::from_seed(seed);
    for &(key, least, most) in &spoken {
        for version in least..=most {
            attacks.extend(attacks_on(&schema, key, version, most, &mut dice)?);
        }
    }
    let mut wanted: BTreeMap<&str, u64> = BTreeMap::new();
    for reason in attacks.iter().filter_map(|attack| attack.reason) {
        *wanted.entry(reason).or_default() += 1;
    }
    let before = metrics::refused(broker)?;
    let mut verdicts = Verdicts::default();
    let parts: Vec<Verdicts> = thread::scope(|scope| {
        let each = attacks.len().div_ceil(ATTACKERS).max(1);
        let parts: Vec<_> = attacks
            .chunks(each)
            .map(|part| scope.spawn(|| run(address, part)))
            .collect();
        parts
            .into_iter()
            .map(|part| part.join().expect("it cannot panic"))
            .collect()
    });
    parts.into_iter().for_each(|part| verdicts.add(part));
    let told = verdicts.end()?;
    counted(broker, &before, &wanted)?;
    Ok(format!(
        "{} APIs, {told}, refused and counted: {wanted:?}",
        spoken.len()
    ))
}

fn run(address: &str, attacks: &[Attack]) -> Verdicts {
    let mut verdicts = Verdicts::default();
    for attack in attacks {
        let got = match attack.finish {
            true => probe_and_finish(address, &attack.bytes),
            false => probe(address, &attack.bytes),
        };
        verdicts.check(&attack.what, &got, &Outcome::Closed);
    }
    verdicts
}

/// Every refusal was counted, and under no other reason.
fn counted(
    broker: &BrokerProcess,
    before: &BTreeMap<String, u64>,
    wanted: &BTreeMap<&str, u64>,
) -> Result<(), String> {
    let start = Instant::now();
    loop {
        let now = metrics::refused(broker)?;
        let grown: BTreeMap<&str, u64> = now
            .iter()
            .map(|(reason, count)| (&reason[..], count - before.get(reason).unwrap_or(&0)))
            .filter(|(_, grown)| *grown > 0)
            .collect();
        if grown == *wanted {
            return Ok(());
        }
        if start.elapsed() > PATIENCE {
            return Err(format!("counted {grown:?}, not {wanted:?}"));
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// All families for one API in one version.
fn attacks_on(
    schema: &Schema,
    key: i16,
    version: i16,
    most: i16,
    dice: &mut Random,
) -> Result<Vec<Attack>, String> {
    let (module, s) = find(schema, key).ok_or(format!("the schema has no API {key}"))?;
    let api = ApiKey::try_from(key).map_err(|_| format!("there is no API {key}"))?;
    let mut attacks = Vec::new();
    let mut add = |what: &str, bytes: Vec<u8>, finish, reason| {
        attacks.push(Attack {
            what: format!("{} v{version}, {what}", s.name),
            bytes,
            finish,
            reason,
        });
    };
    let good = value(dice, module, s, version);
    for (length, reason) in [
        (0, "frame_length"),
        (-1, "frame_length"),
        (i32::MAX, "frame_too_large"),
    ] {
        let mut bytes = frame(key, version, &good.bytes);
        bytes[..4].copy_from_slice(&i32::to_be_bytes(length));
        add(&format!("length {length}"), bytes, false, Some(reason));
    }
    let whole = frame(key, version, &good.bytes);
    let half = whole[..4 + dice.index(whole.len() - 4)].to_vec();
    add("half a frame", half, true, None);
    // Any version of ApiVersions has an answer.
    if api != ApiKey::ApiVersions {
        let next = frame(key, most + 1, &good.bytes);
        add(
            "an unknown version",
            next,
            false,
            Some("unsupported_version"),
        );
    }
    let malformed = Some("malformed");
    if api.is_flexible(version) {
        for (what, tags) in header_tags() {
            let bytes = frame_with(key, version, Some(b"x"), Some(&tags), &good.bytes);
            add(&format!("{what} in the header"), bytes, false, malformed);
        }
    }
    for _ in 0..VALUES {
        let good = value(dice, module, s, version);
        for (what, body) in lies(&good, api.is_flexible(version), dice) {
            let refused = AnyRequest::decode(api, &mut Reader::new(&body), version).is_err();
            if refused {
                add(what, frame(key, version, &body), false, malformed);
            }
        }
    }
    Ok(attacks)
}

/// Bodies with one lie each. Some of them may be true after all: a null that is allowed.
fn lies(good: &Value, flexible: bool, dice: &mut Random) -> Vec<(&'static str, Vec<u8>)> {
    let mut bodies = Vec::new();
    let bytes = &good.bytes;
    if !bytes.is_empty() {
        bodies.push(("half a body", bytes[..dice.index(bytes.len())].to_vec()));
    }
    if !good.lengths.is_empty() {
        let which = dice.index(good.lengths.len());
        let length = good.lengths[which];
        let mut put = |what, number: &[u8]| bodies.push((what, good.with_length(which, number)));
        if length.is_varint {
            put("a count beyond the bytes left", &[0xff, 0xff, 0xff, 0x7f]);
            put("a count of 2^32-2", &[0xff, 0xff, 0xff, 0xff, 0x0f]);
            put("a varint of six bytes", &[0xff, 0xff, 0xff, 0xff, 0xff, 1]);
            put("a varint of eleven bytes", &[0xff; 11]);
            put("null", &[0]);
        } else {
            put(
                "a count beyond the bytes left",
                &[0x7f, 0xff, 0xff, 0xff][..length.bytes],
            );
            put("null", &[0xff; 4][..length.bytes]);
            put("a negative count", &[0x80, 0, 0, 0][..length.bytes]);
        }
        let text = length.at + length.bytes;
        if text < bytes.len() {
            let mut body = bytes.clone();
            body[text] = 0xff;
            bodies.push(("no UTF-8", body));
        }
    }
    // The last byte says how many tagged fields there are, mostly none.
    if flexible && bytes.last() == Some(&0) {
        for (what, tags) in header_tags() {
            bodies.push((what, [&bytes[..bytes.len() - 1], &tags].concat()));
        }
    }
    bodies
}

/// Tagged fields that no request may have.
fn header_tags() -> [(&'static str, Vec<u8>); 3] {
    let mut many = Vec::new();
    varint(&mut many, 1 << 20);
    [
        ("2^20 tagged fields", many),
        ("a tag twice", vec![2, 0xc8, 1, 0, 0xc8, 1, 0]),
        (
            "a tagged field beyond the frame",
            vec![1, 0xc8, 1, 0xff, 0xff, 0xff, 0x7f],
        ),
    ]
}

fn find(schema: &Schema, key: i16) -> Option<(&Module, &Struct)> {
    let request = |module| Module::request(module).filter(|s| s.role == Role::Request(key));
    let mut all = schema.wire.iter();
    all.find_map(|module| request(module).map(|s| (module, s)))
}
