//! What lies in files: headers, values and keys of stored records, records of the metadata log.

use std::sync::Arc;

use ottla_model::primitives::{DecodeError, EncodeError, Reader};
use ottla_model::records::log::ProducerSnapshot;
use ottla_model::records::{
    MetadataRecord, consumer_group, consumer_offsets, log, raft, share_group, share_group_state,
    streams_group, transaction_state,
};
use ottla_schema::Schema;
use ottla_schema::model::{Module, Role, Struct};
use ottla_schema::random::{Random, varint};
use ottla_wire::headers;

use super::messages::{Values, Variant, stays};
use super::{INPUTS_PER_VERSION, REFUSED, seen, take};
use crate::meter::{bounded, metered};
use crate::mutate::change;
use crate::{Group, Maker, Seen};

/// Input: a byte that says which type (its place in [`TYPES`], [`METADATA`] or [`PRODUCERS`]), then
/// version and value, or the metadata record's value, or the file.
pub(super) struct Stored {
    schema: Arc<Schema>,
    variants: Vec<(Where, Variant)>,
}

/// Which part of the schema a variant is in.
#[derive(Clone, Copy)]
enum Where {
    Wire,
    Records,
}

/// A record of the metadata log, in its frame.
pub(super) const METADATA: u8 = 0xfe;
/// The file beside a log that keeps its producers.
const PRODUCERS: u8 = 0xff;

/// What was read, written again.
type Through = Result<Vec<u8>, String>;
/// Reads a value of this version. `None` if it was refused; and the memory that it took.
type Pass = fn(&[u8], i16) -> (Option<Through>, u64);

macro_rules! types {
    ($($module:ident :: $name:ident),* $(,)?) => {
        &[$((stringify!($name), |bytes, version| {
            macro_rules! decode {
                ($bytes:expr) => {{
                    let mut r = Reader::new($bytes);
                    let value = $module::$name::decode(&mut r, version);
                    value.and_then(|value| r.finish().map(|()| value))
                }};
            }
            let (read, peak) = metered(|| decode!(bytes));
            let through = read.ok().map(|value| {
                let again = |bytes: &[u8], w: &mut Vec<u8>| {
                    decode!(bytes).map(|value| value.encode(w, version))
                };
                stays(|w| value.encode(w, version), again)
            });
            (through, peak)
        })),*]
    };
}

/// Every type but the records of the metadata log.
const TYPES: &[(&str, Pass)] = types![
    headers::RequestHeader,
    headers::ResponseHeader,
    log::EndTxnMarker,
    log::AbortedTxn,
    log::ProducerSnapshot,
    raft::LeaderChangeMessage,
    raft::SnapshotHeaderRecord,
    raft::SnapshotFooterRecord,
    raft::KRaftVersionRecord,
    raft::VotersRecord,
    consumer_offsets::LegacyOffsetCommitKey,
    consumer_offsets::LegacyOffsetCommitValue,
    consumer_offsets::OffsetCommitKey,
    consumer_offsets::OffsetCommitValue,
    consumer_offsets::GroupMetadataKey,
    consumer_offsets::GroupMetadataValue,
    consumer_group::ConsumerGroupMetadataKey,
    consumer_group::ConsumerGroupMetadataValue,
    consumer_group::ConsumerGroupPartitionMetadataKey,
    consumer_group::ConsumerGroupPartitionMetadataValue,
    consumer_group::ConsumerGroupMemberMetadataKey,
    consumer_group::ConsumerGroupMemberMetadataValue,
    consumer_group::ConsumerGroupTargetAssignmentMetadataKey,
    consumer_group::ConsumerGroupTargetAssignmentMetadataValue,
    consumer_group::ConsumerGroupTargetAssignmentMemberKey,
    consumer_group::ConsumerGroupTargetAssignmentMemberValue,
    consumer_group::ConsumerGroupCurrentMemberAssignmentKey,
    consumer_group::ConsumerGroupCurrentMemberAssignmentValue,
    consumer_group::ConsumerGroupRegularExpressionKey,
    consumer_group::ConsumerGroupRegularExpressionValue,
    share_group::ShareGroupMemberMetadataKey,
    share_group::ShareGroupMemberMetadataValue,
    share_group::ShareGroupMetadataKey,
    share_group::ShareGroupMetadataValue,
    share_group::ShareGroupTargetAssignmentMetadataKey,
    share_group::ShareGroupTargetAssignmentMetadataValue,
    share_group::ShareGroupTargetAssignmentMemberKey,
    share_group::ShareGroupTargetAssignmentMemberValue,
    share_group::ShareGroupCurrentMemberAssignmentKey,
    share_group::ShareGroupCurrentMemberAssignmentValue,
    share_group::ShareGroupStatePartitionMetadataKey,
    share_group::ShareGroupStatePartitionMetadataValue,
    streams_group::StreamsGroupMetadataKey,
    streams_group::StreamsGroupMetadataValue,
    streams_group::StreamsGroupMemberMetadataKey,
    streams_group::StreamsGroupMemberMetadataValue,
    streams_group::StreamsGroupTargetAssignmentMetadataKey,
    streams_group::StreamsGroupTargetAssignmentMetadataValue,
    streams_group::StreamsGroupTargetAssignmentMemberKey,
    streams_group::StreamsGroupTargetAssignmentMemberValue,
    streams_group::StreamsGroupCurrentMemberAssignmentKey,
    streams_group::StreamsGroupCurrentMemberAssignmentValue,
    streams_group::StreamsGroupTopologyKey,
    streams_group::StreamsGroupTopologyValue,
    transaction_state::TransactionLogKey,
    transaction_state::TransactionLogValue,
    share_group_state::ShareSnapshotKey,
    share_group_state::ShareSnapshotValue,
    share_group_state::ShareUpdateKey,
    share_group_state::ShareUpdateValue,
];

impl Stored {
    pub(super) fn new(schema: &Arc<Schema>) -> Stored {
        let stored = |s: &Struct| matches!(s.role, Role::Header | Role::Record(_) | Role::Value(_));
        let of = |modules: &[Module], at: Where| {
            let found = Variant::all(modules, stored).into_iter();
            found.map(move |variant| (at, variant)).collect::<Vec<_>>()
        };
        let mut variants = of(&schema.wire, Where::Wire);
        variants.extend(of(&schema.records, Where::Records));
        Stored {
            schema: schema.clone(),
            variants,
        }
    }

    fn find(&self, (at, variant): (Where, Variant)) -> (&Module, &Struct) {
        variant.find(match at {
            Where::Wire => &self.schema.wire,
            Where::Records => &self.schema.records,
        })
    }
}

impl Group for Stored {
    fn name(&self) -> &'static str {
        "stored"
    }

    fn variants(&self) -> Vec<String> {
        let named = self.variants.iter().map(|&it| {
            let (_, s) = self.find(it);
            format!("{} v{}", s.name, it.1.version)
        });
        named.chain(["producer snapshot file".into()]).collect()
    }

    fn inputs_in_ci(&self) -> u64 {
        INPUTS_PER_VERSION
    }

    fn maker(&self, variant: usize) -> Box<dyn Maker + '_> {
        // The last one is the file.
        let file = variant == self.variants.len();
        let place = match file {
            true => self
                .variants
                .iter()
                .position(|&it| self.find(it).1.name == "ProducerSnapshot" && it.1.version == 1),
            false => Some(variant),
        };
        let place = place.unwrap_or_else(|| panic!("the schema has no ProducerSnapshot"));
        let (module, s) = self.find(self.variants[place]);
        Box::new(StoredMaker {
            selector: if file { PRODUCERS } else { selector(s) },
            role: s.role,
            values: Values::new(module, s, self.variants[place].1.version),
        })
    }

    fn repair(&self, input: &mut [u8]) {
        if let Some((&mut PRODUCERS, file)) = input.split_first_mut() {
            seal_producers(file);
        }
    }

    fn run(&self, input: &[u8]) -> Result<Seen, String> {
        let Some((&selector, bytes)) = input.split_first() else {
            return Ok(REFUSED);
        };
        let (through, peak) = match selector {
            METADATA => metadata(bytes),
            PRODUCERS => {
                let (entries, peak) = metered(|| ProducerSnapshot::decode_file(bytes));
                (entries.map(|entries| again(&entries)), peak)
            }
            place => {
                let mut rest = bytes;
                let (Some((_, pass)), Some(version)) =
                    (TYPES.get(usize::from(place)), take(&mut rest))
                else {
                    return Ok(REFUSED);
                };
                pass(rest, i16::from_be_bytes(version))
            }
        };
        let above = bounded(peak, input)?;
        let understood = through.is_some();
        through.transpose()?;
        Ok(seen(understood, above))
    }
}

/// The byte that an input for this struct starts with.
///
/// # Panics
/// If [`TYPES`] lacks it.
pub(super) fn selector(s: &Struct) -> u8 {
    if matches!(s.role, Role::Record(_)) {
        return METADATA;
    }
    let place = TYPES.iter().position(|(name, _)| *name == s.name);
    place.unwrap_or_else(|| panic!("{} is missing in TYPES", s.name)) as u8
}

/// Writes what stands before the value of this struct in an input.
pub(super) fn start(selector: u8, role: Role, version: i16) -> Vec<u8> {
    let mut bytes = vec![selector];
    match (selector, role) {
        (METADATA, Role::Record(key)) => {
            bytes.push(1);
            varint(&mut bytes, key as u64);
            varint(&mut bytes, version as u64);
        }
        // What it starts with itself.
        (PRODUCERS, _) => {}
        _ => bytes.extend_from_slice(&version.to_be_bytes()),
    }
    bytes
}

/// Reads the value behind the selector, and writes it again.
pub(super) fn through(selector: u8, bytes: &[u8]) -> Option<Through> {
    match selector {
        METADATA => metadata(bytes).0,
        place => {
            let (_, pass) = TYPES.get(usize::from(place))?;
            let mut rest = bytes;
            let version = i16::from_be_bytes(take(&mut rest)?);
            pass(rest, version).0
        }
    }
}

fn metadata(bytes: &[u8]) -> (Option<Through>, u64) {
    let (read, peak) = metered(|| MetadataRecord::decode_framed(bytes));
    let through = read.ok().map(|(record, version)| {
        let owned = record.clone().into_owned();
        // As text: a quota may be NaN, which equals nothing.
        if format!("{owned:?}") != format!("{record:?}") {
            return Err(format!("{record:?} is owned as {owned:?}"));
        }
        stays(
            |w| owned.encode_framed(w, version),
            |bytes, w| {
                let read: Result<_, DecodeError> = MetadataRecord::decode_framed(bytes);
                read.map(|(record, version)| -> Result<(), EncodeError> {
                    record.encode_framed(w, version)
                })
            },
        )
    });
    (through, peak)
}

fn again(entries: &[log::ProducerEntry]) -> Through {
    let snapshot = ProducerSnapshot {
        crc: 0,
        producer_entries: entries.to_vec(),
    };
    let file = snapshot.encode_file().map_err(|error| error.to_string())?;
    match ProducerSnapshot::decode_file(&file) {
        Some(read) if read == entries => Ok(file),
        other => Err(format!("{entries:?} is read again as {other:?}")),
    }
}

struct StoredMaker<'a> {
    selector: u8,
    role: Role,
    values: Values<'a>,
}

impl Maker for StoredMaker<'_> {
    fn make(&mut self, dice: &mut Random) -> Vec<u8> {
        let mut input = start(self.selector, self.role, self.values.version);
        if self.role != Role::Header && dice.one_in(30) {
            change(&mut input, &[], dice);
        }
        input.extend_from_slice(&self.values.make(dice));
        if dice.below(20) > 0
            && let Some((&mut PRODUCERS, file)) = input.split_first_mut()
        {
            seal_producers(file);
        }
        input
    }
}

/// Gives the file the version and the CRC that its reader wants.
fn seal_producers(file: &mut [u8]) {
    const CRC_FROM: usize = 6;
    if let Some((head, entries)) = file.split_first_chunk_mut::<CRC_FROM>() {
        head[..2].copy_from_slice(&1_i16.to_be_bytes());
        head[2..].copy_from_slice(&crc32c::crc32c(entries).to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use ottla_schema::random::value;

    use super::*;

    #[test]
    fn every_record_is_written_as_it_was_read_and_every_prefix_refused() {
        let stored = Stored::new(&Arc::new(ottla_schema::load().unwrap()));
        let mut dice = Random::announced();
        let mut seen = std::collections::BTreeSet::new();
        for &it in &stored.variants {
            let (module, s) = stored.find(it);
            for _ in 0..20 {
                let value = value(&mut dice, module, s, it.1.version).bytes;
                let mut bytes = start(selector(s), s.role, it.1.version);
                let head = bytes.len();
                bytes.extend_from_slice(&value);
                let name = format!("{} v{}: {bytes:02x?}", s.name, it.1.version);
                let written = through(bytes[0], &bytes[1..]).expect(&name).expect(&name);
                // A metadata record is written with its frame.
                let whole = if bytes[0] == METADATA {
                    &bytes[1..]
                } else {
                    &value
                };
                assert_eq!(written, whole, "{name}");
                for length in head..bytes.len() {
                    let cut = through(bytes[0], &bytes[1..length]);
                    assert_eq!(cut, None, "{length} bytes of {name}");
                }
            }
            seen.insert(&s.name);
        }
        // 2 headers, 27 metadata records, 3 values of the log, 5 control records, 50 keys and values of
        // coordinators.
        assert_eq!(seen.len(), 87);
    }
}
