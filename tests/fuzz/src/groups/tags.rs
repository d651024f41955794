//! Tagged fields that no version knows: skipped, wherever they stand, and nothing else is lost by it.
//!
//! The protocol asks for no more: what a broker passes on for others (assignments, subscriptions, records)
//! are bytes to it, which `request` and `stored` hold against what they were. The same is true of a value
//! that Kafka's broker reads and writes anew.

use std::sync::Arc;

use ottla_schema::Schema;
use ottla_schema::model::{Role, Struct};
use ottla_schema::random::{Random, value_with_unknown_tags};
use ottla_wire::{AnyRequest, AnyResponse, ApiKey, Reader};

use super::messages::Variant;
use super::{INPUTS_PER_VERSION, REFUSED, seen, stored, take};
use crate::{Group, Maker, Seen};

/// Input: what it is (see [`REQUEST`]), the length of the value with unknown tags, that value with what
/// stands in front of it, and behind it the value without them.
pub(super) struct Tags {
    schema: Arc<Schema>,
    /// Whether it is in the schema of records, and which.
    variants: Vec<(bool, Variant)>,
}

const REQUEST: u8 = 0;
const RESPONSE: u8 = 1;
const STORED: u8 = 2;

impl Tags {
    pub(super) fn new(schema: &Arc<Schema>) -> Tags {
        let whole = |s: &Struct| s.role != Role::Part;
        let mut variants = Vec::new();
        for (records, modules) in [(false, &schema.wire), (true, &schema.records)] {
            let all = Variant::all(modules, whole).into_iter();
            let flexible = all.filter(|it| it.find(modules).1.flexible.contains(it.version));
            variants.extend(flexible.map(|variant| (records, variant)));
        }
        Tags {
            schema: schema.clone(),
            variants,
        }
    }
}

impl Group for Tags {
    fn name(&self) -> &'static str {
        "tags"
    }

    fn variants(&self) -> Vec<String> {
        let named = self.variants.iter().map(|(records, variant)| {
            let modules = if *records {
                &self.schema.records
            } else {
                &self.schema.wire
            };
            let (_, s) = variant.find(modules);
            format!("{} v{}", s.name, variant.version)
        });
        named.collect()
    }

    fn inputs_in_ci(&self) -> u64 {
        INPUTS_PER_VERSION / 10
    }

    fn maker(&self, variant: usize) -> Box<dyn Maker + '_> {
        let (records, variant) = self.variants[variant];
        let modules = if records {
            &self.schema.records
        } else {
            &self.schema.wire
        };
        let (module, s) = variant.find(modules);
        let version = variant.version;
        let (kind, start) = match s.role {
            Role::Request(key) => (REQUEST, [key.to_be_bytes(), version.to_be_bytes()].concat()),
            Role::Response(key) => (
                RESPONSE,
                [key.to_be_bytes(), version.to_be_bytes()].concat(),
            ),
            role => (STORED, stored::start(stored::selector(s), role, version)),
        };
        Box::new(move |dice: &mut Random| {
            let (with, without) = value_with_unknown_tags(dice, module, s, version);
            let length = (start.len() + with.bytes.len()) as u32;
            let length = length.to_be_bytes();
            [&[kind][..], &length, &start, &with.bytes, &without.bytes].concat()
        })
    }

    fn run(&self, input: &[u8]) -> Result<Seen, String> {
        let mut rest = input;
        let (Some([kind]), Some(length)) = (take(&mut rest), take(&mut rest)) else {
            return Ok(REFUSED);
        };
        let Some((mut with, without)) = rest.split_at_checked(u32::from_be_bytes(length) as usize)
        else {
            return Ok(REFUSED);
        };
        let written = match kind {
            STORED => {
                let Some(([selector], bytes)) = with.split_first_chunk() else {
                    return Ok(REFUSED);
                };
                let through = stored::through(*selector, bytes).ok_or("it is refused")??;
                match *selector {
                    // Its frame is written as well.
                    stored::METADATA => through[3..].to_vec(),
                    _ => through,
                }
            }
            kind => {
                let (Some(key), Some(version)) = (take(&mut with), take(&mut with)) else {
                    return Ok(REFUSED);
                };
                let Ok(key) = ApiKey::try_from(i16::from_be_bytes(key)) else {
                    return Ok(REFUSED);
                };
                message(kind, key, i16::from_be_bytes(version), with)?
            }
        };
        if written != without {
            return Err(format!(
                "with unknown tags it is read as {written:02x?}, not {without:02x?}"
            ));
        }
        Ok(seen(true, 0))
    }
}

/// The message, read and written again.
fn message(kind: u8, key: ApiKey, version: i16, bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut r = Reader::new(bytes);
    let mut written = Vec::new();
    let encoded = if kind == REQUEST {
        AnyRequest::decode(key, &mut r, version).map(|it| it.encode(&mut written, version))
    } else {
        AnyResponse::decode(key, &mut r, version).map(|it| it.encode(&mut written, version))
    };
    r.finish()
        .and(encoded)
        .map_err(|error| format!("it is refused: {error}"))?
        .map_err(|error| format!("it cannot be written: {error}"))?;
    Ok(written)
}
