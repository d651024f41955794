//! Groups with a planted bug each, behind what the harness must get past: a run that does not find them
//! all proves nothing.

use std::sync::Arc;

use ottla_codec::Buffer;
use ottla_model::batch::{BATCH_HEADER_BYTES, BatchHead, records};
use ottla_wire::{AnyRequest, ApiKey, DecodeError, Reader};

use super::messages::{Messages, decode_request};
use super::{REFUSED, batches, seen, tags, take};
use crate::meter::{bounded, metered};
use crate::{Group, Maker, Seen};

/// In so many inputs each of them must be found.
const INPUTS: u64 = 200_000;

pub(crate) fn all() -> Result<Vec<Box<dyn Group>>, String> {
    let schema = Arc::new(ottla_schema::load()?);
    let requests = || Box::new(Messages::requests(&schema));
    Ok(vec![
        Box::new(Canary {
            name: "canary-panic",
            inner: requests(),
            variant: "ListOffsetsRequest v7",
            run: indexes_by_what_it_read,
        }),
        Box::new(Canary {
            name: "canary-memory",
            inner: requests(),
            variant: "MetadataRequest v4",
            run: reserves_what_is_claimed,
        }),
        Box::new(Canary {
            name: "canary-amplification",
            inner: requests(),
            variant: "DescribeGroupsRequest v5",
            run: copies_what_it_read,
        }),
        Box::new(Canary {
            name: "canary-tags",
            inner: Box::new(tags::Tags::new(&schema)),
            variant: "MetadataRequest v9",
            run: knows_no_tags,
        }),
        Box::new(Canary {
            name: "canary-crc",
            inner: Box::new(batches::Batches),
            variant: "batches",
            run: trusts_a_checksum,
        }),
    ])
}

/// The inputs of another group, run by what has a bug.
struct Canary {
    name: &'static str,
    inner: Box<dyn Group>,
    variant: &'static str,
    run: fn(&[u8]) -> Result<Seen, String>,
}

impl Group for Canary {
    fn name(&self) -> &'static str {
        self.name
    }

    fn variants(&self) -> Vec<String> {
        vec![self.variant.into()]
    }

    fn inputs_in_ci(&self) -> u64 {
        INPUTS
    }

    fn maker(&self, _: usize) -> Box<dyn Maker + '_> {
        let place = self
            .inner
            .variants()
            .iter()
            .position(|name| name == self.variant);
        let place = place.unwrap_or_else(|| panic!("there is no {} any more", self.variant));
        self.inner.maker(place)
    }

    fn run(&self, input: &[u8]) -> Result<Seen, String> {
        (self.run)(input)
    }
}

/// Bug: the index of a partition, used as one. Behind frame, header and a whole body.
fn indexes_by_what_it_read(input: &[u8]) -> Result<Seen, String> {
    const LEADERS: [u8; 3] = [1, 2, 3];
    let Some((_, _, Ok(AnyRequest::ListOffsets(request)))) = decode_request(input).0 else {
        return Ok(REFUSED);
    };
    for partition in request.topics.iter().flat_map(|topic| &topic.partitions) {
        // Not for what good values often have, the extremes.
        if (3..100).contains(&partition.partition_index) {
            let leader = LEADERS[partition.partition_index as usize];
            return Ok(seen(leader > 0, 0));
        }
    }
    Ok(seen(true, 0))
}

/// Bug: memory for as many topics as are claimed, up to what this machine can stand.
fn reserves_what_is_claimed(input: &[u8]) -> Result<Seen, String> {
    const CLAIM_MAX: u32 = 1 << 18;
    let Some((_, _, body)) = decode_request(input).0 else {
        return Ok(REFUSED);
    };
    let mut r = Reader::new(input);
    let count = r
        .take(12)
        .and_then(|_| r.nullable_str(false))
        .and_then(|_| r.u32());
    let claimed = count.map_or(0, |count| count.min(CLAIM_MAX));
    let (topics, peak) = metered(|| Vec::<String>::with_capacity(claimed as usize));
    drop(topics);
    Ok(seen(body.is_ok(), bounded(peak, input)?))
}

/// Bug: many elements that are small on the wire and large in memory, each with a copy of its own.
fn copies_what_it_read(input: &[u8]) -> Result<Seen, String> {
    let Some((_, _, Ok(AnyRequest::DescribeGroups(request)))) = decode_request(input).0 else {
        return Ok(REFUSED);
    };
    let (copies, peak) = metered(|| {
        let groups = request.groups.iter();
        groups
            .map(|group| ((*group).to_owned(), [0_u64; 4]))
            .collect::<Vec<_>>()
    });
    drop(copies);
    Ok(seen(true, bounded(peak, input)?))
}

/// Bug: a field that it does not know is an error.
fn knows_no_tags(input: &[u8]) -> Result<Seen, String> {
    let mut rest = input;
    let (Some([_, _, _, _, _]), Some(_)) = (take(&mut rest), take::<4>(&mut rest)) else {
        return Ok(REFUSED);
    };
    let decode = |r: &mut Reader<'_>| -> Result<u32, DecodeError> {
        for _ in 1..r.unsigned_varint()? {
            r.str(true)?;
            r.unsigned_varint()?;
        }
        r.take(3)?;
        r.unsigned_varint()
    };
    match decode(&mut Reader::new(rest)) {
        Ok(0) => Ok(seen(true, 0)),
        Ok(tags) => Err(format!(
            "{tags} tagged fields that {:?} does not have",
            ApiKey::Metadata
        )),
        Err(error) => Err(format!("it is refused: {error}")),
    }
}

/// Bug: what has the right CRC is believed to have as many records as it says.
fn trusts_a_checksum(input: &[u8]) -> Result<Seen, String> {
    let batch = input.get(1..).unwrap_or_default();
    let Ok(head) = BatchHead::parse(batch) else {
        return Ok(REFUSED);
    };
    if head.size_bytes() != batch.len() || !head.crc_matches(batch) {
        return Ok(REFUSED);
    }
    if head.attributes.codec() != Ok(ottla_model::batch::Codec::None) {
        return Ok(seen(true, Buffer::new().storage_bytes() as u64));
    }
    let mut found = records(&batch[BATCH_HEADER_BYTES..], head.record_count.max(1));
    match found.next() {
        Some(Ok(first)) => Ok(seen(first.offset_delta == 0, 0)),
        other => Err(format!("there is no first record: {other:?}")),
    }
}
