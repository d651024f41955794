//! Requests in their frames, and bodies of responses: every message, every version.

use std::sync::Arc;

use ottla_schema::Schema;
use ottla_schema::model::{Module, Role, Struct};
use ottla_schema::random::{Random, Value, crowd, value};
use ottla_wire::frame::decode_request_header;
use ottla_wire::{
    AnyRequest, AnyResponse, ApiKey, DecodeError, DecodeErrorKind, EncodeError, Reader,
};

use super::{INPUTS_PER_VERSION, REFUSED, seen, take};
use crate::meter::{bounded, metered};
use crate::mutate::{change, mutate};
use crate::{Group, Maker, Seen};

/// Messages of one direction.
pub(super) struct Messages {
    pub(super) schema: Arc<Schema>,
    pub(super) variants: Vec<Variant>,
    of_requests: bool,
}

/// A struct in one version, by its place in the schema.
#[derive(Clone, Copy)]
pub(super) struct Variant {
    pub(super) module: usize,
    pub(super) place: usize,
    pub(super) version: i16,
}

impl Variant {
    /// All versions of the structs that `wanted` names.
    pub(super) fn all(modules: &[Module], wanted: impl Fn(&Struct) -> bool) -> Vec<Variant> {
        let mut variants = Vec::new();
        for (module, found) in modules.iter().enumerate() {
            for (place, s) in found.structs.iter().enumerate().filter(|(_, s)| wanted(s)) {
                variants.extend(s.versions.each().map(|version| Variant {
                    module,
                    place,
                    version,
                }));
            }
        }
        variants
    }

    pub(super) fn find(self, modules: &[Module]) -> (&Module, &Struct) {
        let module = &modules[self.module];
        (module, &module.structs[self.place])
    }
}

impl Messages {
    /// Input: a frame, from its length on.
    pub(super) fn requests(schema: &Arc<Schema>) -> Messages {
        Self::of(schema, true)
    }

    /// Input: API key, version, body.
    pub(super) fn responses(schema: &Arc<Schema>) -> Messages {
        Self::of(schema, false)
    }

    fn of(schema: &Arc<Schema>, of_requests: bool) -> Messages {
        let wanted = |s: &Struct| match s.role {
            Role::Request(_) => of_requests,
            Role::Response(_) => !of_requests,
            _ => false,
        };
        Messages {
            variants: Variant::all(&schema.wire, wanted),
            schema: schema.clone(),
            of_requests,
        }
    }
}

impl Group for Messages {
    fn name(&self) -> &'static str {
        match self.of_requests {
            true => "request",
            false => "response",
        }
    }

    fn variants(&self) -> Vec<String> {
        let named = self.variants.iter().map(|variant| {
            let (_, s) = variant.find(&self.schema.wire);
            format!("{} v{}", s.name, variant.version)
        });
        named.collect()
    }

    fn inputs_in_ci(&self) -> u64 {
        INPUTS_PER_VERSION
    }

    fn maker(&self, variant: usize) -> Box<dyn Maker + '_> {
        let variant = self.variants[variant];
        let (module, s) = variant.find(&self.schema.wire);
        let values = Values::new(module, s, variant.version);
        let (Role::Request(key) | Role::Response(key)) = s.role else {
            unreachable!("invariant: only messages are variants")
        };
        match self.of_requests {
            true => Box::new(FrameMaker { key, values }),
            false => Box::new(BodyMaker { key, values }),
        }
    }

    fn repair(&self, input: &mut [u8]) {
        if self.of_requests
            && let Some((length, frame)) = input.split_first_chunk_mut::<4>()
        {
            *length = (frame.len() as u32).to_be_bytes();
        }
    }

    fn run(&self, input: &[u8]) -> Result<Seen, String> {
        match self.of_requests {
            true => run_request(input),
            false => run_response(input),
        }
    }
}

/// Good values of one message in one version, and changes to them.
pub(super) struct Values<'a> {
    module: &'a Module,
    s: &'a Struct,
    pub(super) version: i16,
    good: Vec<Value>,
}

/// Good values that are kept for changes to them; one is made anew every so often.
const GOOD_KEPT: usize = 24;
const GOOD_RENEWED_ONE_IN: u64 = 6;
/// Every so often a value is made of many small elements.
const CROWD_ONE_IN: u64 = 250;
/// The largest such value has 2 to the power of this elements.
const CROWD_BITS_MAX: u64 = 17;

impl<'a> Values<'a> {
    pub(super) fn new(module: &'a Module, s: &'a Struct, version: i16) -> Self {
        Values {
            module,
            s,
            version,
            good: Vec::new(),
        }
    }

    /// The next value, mostly with a lie in it.
    pub(super) fn make(&mut self, dice: &mut Random) -> Vec<u8> {
        if self.good.len() < GOOD_KEPT || dice.one_in(GOOD_RENEWED_ONE_IN) {
            let new = value(dice, self.module, self.s, self.version);
            if self.good.len() < GOOD_KEPT {
                self.good.push(new);
            } else {
                let at = dice.index(GOOD_KEPT);
                self.good[at] = new;
            }
        }
        if dice.one_in(CROWD_ONE_IN) {
            let elements = 1 << dice.below(CROWD_BITS_MAX + 1);
            let crowd = crowd(dice, self.module, self.s, self.version, elements);
            return match dice.one_in(4) {
                true => mutate(&crowd, &[], dice),
                false => crowd.bytes,
            };
        }
        let good = dice.pick(&self.good);
        match dice.below(10) {
            0 => good.bytes.clone(),
            _ => mutate(good, &self.good[dice.index(self.good.len())].bytes, dice),
        }
    }
}

/// Bodies in a frame.
pub(super) struct FrameMaker<'a> {
    pub(super) key: i16,
    pub(super) values: Values<'a>,
}

impl Maker for FrameMaker<'_> {
    fn make(&mut self, dice: &mut Random) -> Vec<u8> {
        let version = self.values.version;
        let mut header = header(self.key, version, dice);
        if dice.one_in(20) {
            change(&mut header, &[], dice);
        }
        let body = self.values.make(dice);
        let mut frame = Vec::with_capacity(4 + header.len() + body.len());
        frame.extend_from_slice(&((header.len() + body.len()) as u32).to_be_bytes());
        frame.extend_from_slice(&header);
        frame.extend_from_slice(&body);
        if dice.one_in(50) {
            frame[dice.index(4)] ^= 1 << dice.below(8);
        }
        frame
    }
}

/// The header of a request that a client would send.
pub(super) fn header(key: i16, version: i16, dice: &mut Random) -> Vec<u8> {
    let mut header = Vec::new();
    header.extend_from_slice(&key.to_be_bytes());
    header.extend_from_slice(&version.to_be_bytes());
    header.extend_from_slice(&(dice.bits() as i32).to_be_bytes());
    if dice.one_in(8) {
        header.extend_from_slice(&(-1_i16).to_be_bytes());
    } else {
        let name = &b"a-client-of-some-name"[..dice.index(22)];
        header.extend_from_slice(&(name.len() as i16).to_be_bytes());
        header.extend_from_slice(name);
    }
    if ApiKey::try_from(key).is_ok_and(|key| key.is_flexible(version)) {
        match dice.below(4) {
            0 => header.extend_from_slice(&[2, 3, 1, 0xaa, 9, 0]),
            _ => header.push(0),
        }
    }
    header
}

struct BodyMaker<'a> {
    key: i16,
    values: Values<'a>,
}

impl Maker for BodyMaker<'_> {
    fn make(&mut self, dice: &mut Random) -> Vec<u8> {
        let body = self.values.make(dice);
        [
            &self.key.to_be_bytes(),
            &self.values.version.to_be_bytes(),
            &body[..],
        ]
        .concat()
    }
}

/// A request's key and version with what its body came to.
type Decoded<'a> = (ApiKey, i16, Result<AnyRequest<'a>, DecodeError>);

/// What the frame's header and body are, if length, header and version are right.
pub(super) fn decode_request(input: &[u8]) -> (Option<Decoded<'_>>, u64) {
    let mut frame = input;
    let whole = take::<4>(&mut frame).is_some_and(|length| {
        usize::try_from(i32::from_be_bytes(length)).is_ok_and(|length| length == frame.len())
    });
    if !whole {
        return (None, 0);
    }
    metered(|| {
        let (key, header, mut r) = decode_request_header(frame).ok()?;
        let version = header.request_api_version;
        let versions = key.schema_versions()?;
        if !versions.contains(&version) {
            return None;
        }
        Some((key, version, AnyRequest::decode(key, &mut r, version)))
    })
}

fn run_request(input: &[u8]) -> Result<Seen, String> {
    let (decoded, peak) = decode_request(input);
    let above = bounded(peak, input)?;
    let Some((key, version, body)) = decoded else {
        return Ok(REFUSED);
    };
    if let Ok(body) = &body {
        stays(
            |w| body.encode(w, version),
            |bytes, w| {
                AnyRequest::decode(key, &mut Reader::new(bytes), version)
                    .map(|body| body.encode(w, version))
            },
        )?;
    }
    Ok(seen(body.is_ok(), above))
}

fn run_response(input: &[u8]) -> Result<Seen, String> {
    let mut rest = input;
    let (Some(key), Some(version)) = (take(&mut rest), take(&mut rest)) else {
        return Ok(REFUSED);
    };
    let version = i16::from_be_bytes(version);
    let Ok(key) = ApiKey::try_from(i16::from_be_bytes(key)) else {
        return Ok(REFUSED);
    };
    if !key
        .schema_versions()
        .is_some_and(|all| all.contains(&version))
    {
        return Ok(REFUSED);
    }
    let (body, peak) = metered(|| AnyResponse::decode(key, &mut Reader::new(rest), version));
    let above = bounded(peak, input)?;
    if let Ok(body) = &body {
        stays(
            |w| body.encode(w, version),
            |bytes, w| {
                AnyResponse::decode(key, &mut Reader::new(bytes), version)
                    .map(|body| body.encode(w, version))
            },
        )?;
    }
    Ok(seen(body.is_ok(), above))
}

/// What was read can be written, and reads as the same again. In debug builds this says too that nothing
/// was set that the version does not have. Answers what was written.
pub(super) fn stays(
    encode: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
    again: impl FnOnce(&[u8], &mut Vec<u8>) -> Result<Result<(), EncodeError>, DecodeError>,
) -> Result<Vec<u8>, String> {
    let (mut first, mut second) = (Vec::new(), Vec::new());
    encode(&mut first).map_err(|error| format!("it was read, and cannot be written: {error}"))?;
    let read = again(&first, &mut second);
    if let Err(DecodeError {
        kind: DecodeErrorKind::MemoryLimit(_),
        ..
    }) = read
    {
        // The bytes behind it, or tagged fields that nobody knows, had raised the limit.
        return Ok(first);
    }
    read.map_err(|error| format!("it was written, and cannot be read: {error}"))?
        .map_err(|error| format!("it cannot be written again: {error}"))?;
    if first != second {
        return Err(format!("written {first:02x?}, and then {second:02x?}"));
    }
    Ok(first)
}
