//! Messages: round trips, truncation, lies.

use ottla_wire::encoder::Encoder;
use ottla_wire::{AnyRequest, AnyResponse, ApiKey, DecodeError, EncodeError, Reader, Writer};

use super::{load, rounds};
use ottla_schema::model::{Module, Role, Struct};
use ottla_schema::random::{Random, Value, value};

enum Message<'a> {
    Request(AnyRequest<'a>),
    Response(AnyResponse<'a>),
}

impl<'a> Message<'a> {
    fn decode(role: Role, bytes: &'a [u8], version: i16) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let message = match role {
            Role::Request(key) => {
                let key = ApiKey::try_from(key).unwrap();
                Self::Request(AnyRequest::decode(key, &mut r, version)?)
            }
            Role::Response(key) => {
                let key = ApiKey::try_from(key).unwrap();
                Self::Response(AnyResponse::decode(key, &mut r, version)?)
            }
            role => panic!("{role:?} is no message"),
        };
        r.finish()?;
        Ok(message)
    }

    fn encode<W: Writer>(&self, w: &mut W, version: i16) -> Result<(), EncodeError> {
        match self {
            Self::Request(body) => body.encode(w, version),
            Self::Response(body) => body.encode(w, version),
        }
    }
}

/// Runs `check` on random values of every message in every version.
pub(super) fn each(mut check: impl FnMut(&mut Random, &str, &Struct, i16, Value)) {
    let schema = load().unwrap();
    let mut rng = Random::announced();
    let messages = |module: &Module| module.request().is_some();
    for module in schema.wire.iter().filter(|module| messages(module)) {
        for s in module.structs.iter().filter(|s| s.role != Role::Part) {
            for version in s.versions.each() {
                for _ in 0..rounds() {
                    let value = value(&mut rng, module, s, version);
                    let name = format!("{} v{version}: {:02x?}", s.name, value.bytes);
                    check(&mut rng, &name, s, version, value);
                }
            }
        }
    }
}

#[test]
fn every_message_is_written_as_it_was_read() {
    let mut seen = 0;
    each(|_, name, s, version, value| {
        let message = Message::decode(s.role, &value.bytes, version).expect(name);
        let mut bytes = Vec::new();
        message.encode(&mut bytes, version).expect(name);
        assert_eq!(bytes, value.bytes, "{name}");

        let mut encoder = Encoder::with_capacity(16);
        message.encode(&mut encoder, version).expect(name);
        let frame = encoder.finish().unwrap();
        let whole = frame.to_bytes().unwrap();
        assert_eq!(whole.len(), frame.bytes);
        assert_eq!(whole[..4], (value.bytes.len() as i32).to_be_bytes());
        assert_eq!(whole[4..], value.bytes, "{name}");
        seen += 1;
    });
    let versions = ApiKey::ALL.iter().filter_map(|key| key.schema_versions());
    assert_eq!(
        seen,
        2 * rounds() * versions.map(|v| v.count() as u32).sum::<u32>()
    );
}

#[test]
fn every_prefix_is_refused() {
    each(|_, name, s, version, value| {
        // The decoder of a prefix reads the same as that of the whole, until the end comes too early.
        for length in 0..value.bytes.len() {
            let result = Message::decode(s.role, &value.bytes[..length], version);
            assert!(result.is_err(), "{length} bytes of {name}");
        }
    });
}

#[test]
fn lies_about_lengths_are_refused() {
    each(|_, name, s, version, value| {
        for which in 0..value.lengths.len() {
            let length = value.lengths[which];
            let lies: [&[u8]; 3] = match (length.is_varint, length.bytes) {
                (true, _) => [
                    &[0xff, 0xff, 0xff, 0xff, 0x07],
                    &[0xff, 0xff, 0xff, 0xff, 0x0f],
                    &[0xff, 0xff, 0xff, 0xff, 0xff],
                ],
                (false, 2) => [&[0x7f, 0xff], &[0xff, 0xfe], &[0x80, 0]],
                (false, _) => [
                    &[0x7f, 0xff, 0xff, 0xff],
                    &[0xff, 0xff, 0xff, 0xfe],
                    &[0x80, 0, 0, 0],
                ],
            };
            for lie in lies {
                let bytes = value.with_length(which, lie);
                assert!(
                    Message::decode(s.role, &bytes, version).is_err(),
                    "length {which} of {name}"
                );
            }
        }
    });
}

#[test]
fn broken_bytes_never_panic() {
    each(|rng, name, s, version, value| {
        let mut bytes = value.bytes;
        for _ in 0..=rng.below(4) {
            if !bytes.is_empty() {
                let at = rng.below(bytes.len() as u64) as usize;
                bytes[at] = rng.bits() as u8;
            }
        }
        if let Ok(message) = Message::decode(s.role, &bytes, version) {
            // What was read can be written: nothing that a version lacks is ever set by reading it.
            message.encode(&mut Vec::new(), version).expect(name);
        }
    });
}

#[test]
fn versions_that_do_not_exist_are_refused() {
    for s in load()
        .unwrap()
        .wire
        .iter()
        .flat_map(|module| &module.structs)
    {
        if !matches!(s.role, Role::Request(_) | Role::Response(_)) {
            continue;
        }
        for version in [s.versions.min - 1, s.versions.max + 1] {
            let error = Message::decode(s.role, &[0; 100], version).err().unwrap();
            assert_eq!(
                error.kind,
                ottla_wire::DecodeErrorKind::UnsupportedVersion(version)
            );
        }
    }
}

#[test]
fn keys_know_their_messages() {
    let schema = load().unwrap();
    for line in &schema.keys {
        let key = ApiKey::try_from(line.key).unwrap();
        assert_eq!((i16::from(key), key.name()), (line.key, line.name.as_str()));
        assert_eq!(
            key.flexible_min(),
            (!line.flexible.is_empty()).then_some(line.flexible.min)
        );
        let request = schema
            .wire
            .iter()
            .filter_map(Module::request)
            .find(|s| s.role == Role::Request(line.key));
        let versions = request.map(|s| s.versions.min..=s.versions.max);
        assert_eq!(key.schema_versions(), versions);
    }
    assert!(ApiKey::try_from(-1).is_err() && ApiKey::try_from(95).is_err());
}

#[test]
fn every_api_of_a_broker_has_messages() {
    let without = ApiKey::ALL
        .iter()
        .filter(|key| key.schema_versions().is_none());
    // 4 to 7 were removed in Kafka 4.0, the others are for controllers only.
    let expected = [4, 5, 6, 7, 52, 53, 54, 56, 58, 59, 62, 63, 67, 70, 73, 82];
    let keys: Vec<i16> = without.map(|&key| i16::from(key)).collect();
    assert_eq!(keys, expected);
}
