//! What has to hold of a compacted log, whatever happened to it.

use ottla_codec::{Buffer, payload};
use ottla_log::Log;
use ottla_model::batch::{BatchHead, ControlType, TimestampType, records};
use ottla_model::ids::Offset;

use super::journal::{Entry, Journal, PRODUCERS, Record, view};
use crate::conformance::Random;

/// What is known of the log by those who used it.
#[derive(Clone, Default, Debug)]
pub(super) struct Facts {
    /// Where the log began.
    pub(super) log_start: Offset,
    /// Offsets below were seen.
    pub(super) exposed: Offset,
    /// Records below are durable.
    pub(super) durable: Offset,
    /// No pass looked at offsets from here on.
    pub(super) cleaned_to: Offset,
    pub(super) now_ms: i64,
    pub(super) delete_retention_ms: i64,
    /// What is lost is lost with a power loss only.
    pub(super) everything_written_is_there: bool,
}

/// A batch as the log has it.
struct Found {
    head: BatchHead,
    bytes: Vec<u8>,
    records: Vec<Record>,
    control: Option<ControlType>,
}

/// Checks a log that was just opened, or compacted. Answers where its records end.
pub(super) fn check(
    log: &dyn Log,
    journal: &Journal,
    facts: &Facts,
    random: &mut Random,
) -> Result<Offset, String> {
    let marks = log.marks();
    if marks.written < facts.exposed {
        return Err(format!(
            "offsets below {} were seen: {marks:?}",
            facts.exposed
        ));
    }
    let found = read_all(log)?;
    let data_end = found
        .last()
        .map_or(Offset::ZERO, |last| last.head.next_offset());
    let end = match facts.everything_written_is_there {
        true => facts.exposed,
        false => data_end.max(facts.durable),
    };
    // Where nothing was durable yet a power loss may take the first segment's name alone.
    let start = marks.log_start;
    if start > facts.log_start && start <= facts.durable {
        return Err(format!("the log begins at {start}: {facts:?}"));
    }
    let kept = journal.between(start, end);
    same_as_appended(&found, journal)?;
    newest_are_whole(&found, kept, facts)?;
    latest_are_there(&found, kept, facts)?;
    sequences_are_there(&found, kept)?;
    reads_find_the_next(log, &found, random)?;
    times_agree(log, &found)?;
    Ok(end)
}

fn read_all(log: &dyn Log) -> Result<Vec<Found>, String> {
    let mut found: Vec<Found> = Vec::new();
    let mut problem = None;
    log.replay(log.marks().log_start, true, &mut |head, bytes| {
        match decode(head, bytes) {
            Ok(one) => found.push(one),
            Err(why) => problem = Some(format!("at {}: {why}", head.base_offset)),
        }
        problem.is_none()
    })
    .map_err(|fault| fault.to_string())?;
    match problem {
        Some(problem) => Err(problem),
        None => Ok(found),
    }
}

fn decode(head: &BatchHead, bytes: &[u8]) -> Result<Found, String> {
    if !head.crc_matches(bytes) {
        return Err("the CRC is wrong".into());
    }
    let mut buffer = Buffer::new();
    let payload = payload(head, bytes, 1 << 20, &mut buffer).map_err(|error| error.to_string())?;
    let append_time = head.attributes.timestamp_type() == TimestampType::LogAppendTime;
    let (mut all, mut control) = (Vec::new(), None);
    for record in records(payload, head.record_count) {
        let record = record.map_err(|error| error.to_string())?;
        if head.attributes.is_control() {
            control = record.key.and_then(ControlType::decode);
            continue;
        }
        if record.headers.len() != 1 {
            return Err(format!("{} headers", record.headers.len()));
        }
        all.push(Record {
            offset: head.base_offset + i64::from(record.offset_delta),
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            timestamp_ms: match append_time {
                true => head.max_timestamp_ms,
                false => head.base_timestamp_ms + record.timestamp_delta,
            },
        });
    }
    let latest = all.iter().map(|record| record.timestamp_ms).max();
    if latest.is_some_and(|latest| latest != head.max_timestamp_ms) {
        return Err(format!("largest timestamp {latest:?} in {head:?}"));
    }
    Ok(Found {
        head: *head,
        bytes: bytes.to_vec(),
        records: all,
        control,
    })
}

/// What is there was appended, where it was appended.
fn same_as_appended(found: &[Found], journal: &Journal) -> Result<(), String> {
    let mut end = Offset::ZERO;
    for one in found {
        let head = &one.head;
        if head.base_offset < end {
            return Err(format!("offset {} behind {end}", head.base_offset));
        }
        end = head.next_offset();
        let Some(entry) = journal.at(head.base_offset) else {
            return Err(format!("nothing was appended at {}", head.base_offset));
        };
        let was = &entry.batch.head;
        let same = head.last_offset_delta == was.last_offset_delta
            && head.leader_epoch == was.leader_epoch
            && head.producer_id == was.producer_id
            && head.producer_epoch == was.producer_epoch
            && head.base_sequence == was.base_sequence
            && head.attributes.is_control() == was.attributes.is_control()
            && head.attributes.is_transactional() == was.attributes.is_transactional()
            && head.attributes.timestamp_type() == was.attributes.timestamp_type()
            && (head.record_count == 0 || head.attributes.codec() == was.attributes.codec());
        if !same || (one.control.is_some() && one.control != entry.control) {
            return Err(format!("{was:?} became {head:?}"));
        }
        if let Some(wrong) = one.records.iter().find(|r| !entry.records.contains(r)) {
            return Err(format!("{wrong:?} was not appended in {:?}", entry.records));
        }
    }
    Ok(())
}

/// Nothing went or changed where no pass looked.
fn newest_are_whole(found: &[Found], kept: &[Entry], facts: &Facts) -> Result<(), String> {
    for entry in kept {
        let base = entry.batch.head.base_offset;
        let there = found.iter().find(|one| one.head.base_offset == base);
        if base >= facts.cleaned_to && there.is_none_or(|one| one.bytes != entry.batch.bytes) {
            let there: Vec<Offset> = found.iter().map(|one| one.head.base_offset).collect();
            return Err(format!(
                "the batch at {base} is missing or another: {there:?}, {facts:?}"
            ));
        }
    }
    Ok(())
}

/// The latest committed record of each key is there, and no older one seems to be the latest.
fn latest_are_there(found: &[Found], kept: &[Entry], facts: &Facts) -> Result<(), String> {
    let (wanted, open) = view(
        kept.iter()
            .map(|entry| (&entry.batch.head, &entry.records[..], entry.control)),
    );
    let (seen, seen_open) = view(
        found
            .iter()
            .map(|one| (&one.head, &one.records[..], one.control)),
    );
    if open != seen_open {
        return Err(format!(
            "open transactions {seen_open:?} instead of {open:?}"
        ));
    }
    for (key, latest) in &wanted {
        let key_of = String::from_utf8_lossy(key);
        match (seen.get(key), &latest.value) {
            (Some(there), _) if there == latest => {}
            (None, None) => {
                let made_ms = kept
                    .iter()
                    .rfind(|entry| entry.batch.head.base_offset <= latest.offset)
                    .map_or(0, |entry| entry.made_ms);
                if facts.now_ms < made_ms + facts.delete_retention_ms {
                    return Err(format!(
                        "the tombstone of {key_of} went too early: {latest:?}"
                    ));
                }
            }
            (there, _) => return Err(format!("{key_of}: {there:?} instead of {latest:?}")),
        }
    }
    match seen.keys().find(|key| !wanted.contains_key(*key)) {
        Some(key) => Err(format!("{key:?} came from nowhere")),
        None => Ok(()),
    }
}

/// The batch with the last sequence of each producer is there.
fn sequences_are_there(found: &[Found], kept: &[Entry]) -> Result<(), String> {
    for producer in 0..PRODUCERS as i64 {
        let is_data =
            |head: &BatchHead| head.producer_id.0 == producer && !head.attributes.is_control();
        let wanted = kept
            .iter()
            .rfind(|entry| is_data(&entry.batch.head))
            .map(|entry| entry.batch.head.last_offset());
        let there = found
            .iter()
            .rfind(|one| is_data(&one.head))
            .map(|one| one.head.last_offset());
        if wanted != there {
            return Err(format!(
                "producer {producer} ends at {there:?}, not {wanted:?}"
            ));
        }
    }
    Ok(())
}

/// A read from any offset begins with the batch that holds it, or with the next one.
fn reads_find_the_next(log: &dyn Log, found: &[Found], random: &mut Random) -> Result<(), String> {
    let (start, end) = (log.marks().log_start, log.marks().written);
    for _ in 0..12 {
        let from = start + random.below((end - start) as u64 + 1) as i64;
        let bytes_max = random.below(1_500) as usize;
        let read = log
            .read(from, end, bytes_max, true)
            .and_then(|read| Ok(read.bytes()?))
            .map_err(|error| format!("a read from {from}: {error}"))?;
        let next = found
            .iter()
            .find(|one| one.head.last_offset() >= from)
            .map_or(&[][..], |one| &one.bytes);
        if !read.starts_with(next) || (next.is_empty() && !read.is_empty()) {
            return Err(format!(
                "a read from {from} does not begin with the next batch"
            ));
        }
    }
    Ok(())
}

/// The time index leads to what a walk finds.
fn times_agree(log: &dyn Log, found: &[Found]) -> Result<(), String> {
    let end = log.marks().written;
    let all = || found.iter().flat_map(|one| &one.records);
    let times: Vec<i64> = all().map(|record| record.timestamp_ms).collect();
    for at in times.iter().step_by(7).flat_map(|at| [*at, at + 1]) {
        let wanted = found
            .iter()
            .find(|one| one.records.iter().any(|record| record.timestamp_ms >= at))
            .map(|one| one.head.base_offset);
        let hit = log
            .find_timestamp(at, end)
            .map_err(|fault| fault.to_string())?;
        let hit = hit.map(|hit| hit.offset);
        // Markers have times, too.
        let ok = match (wanted, hit) {
            (Some(wanted), Some(hit)) => {
                hit >= wanted
                    || found
                        .iter()
                        .any(|one| one.control.is_some() && one.head.base_offset == hit)
            }
            (Some(_), None) => false,
            (None, _) => true,
        };
        if !ok {
            return Err(format!("time {at} leads to {hit:?} instead of {wanted:?}"));
        }
    }
    Ok(())
}
