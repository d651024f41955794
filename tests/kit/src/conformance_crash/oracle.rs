//! What is known of a history up to a crash, and what the disk after it has to hold.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use ottla_log::{
    AppendItem, Durability, LocalStore, Log, LogFault, LogStore, Recovery, StoreOptions,
};
use ottla_model::batch::BatchHead;
use ottla_model::ids::{LeaderEpoch, NodeId, Offset};
use ottla_model::names::TopicPartition;

use super::CrashPlan;
use crate::conformance::{Batch, BatchMaker, Random, spec};
use crate::sim_disk::SimDisk;

/// Where the store lies on the disk.
pub(super) const ROOT: &str = "/data";

/// How the process ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Death {
    /// All that was written is there.
    Kill,
    /// What was not synced may be gone.
    Power,
}

/// Which log: a topic and its incarnation.
pub(super) type Key = (usize, u8);

/// Names of the topics.
pub(super) const TOPICS: [&str; 3] = ["a", "b.c", "d-e"];

/// Something that happened or is about to.
#[derive(Clone, Debug)]
pub(super) enum Note {
    /// The log is wanted; it may not be there yet.
    Wanted(Key),
    /// An append of these batches begins.
    Attempted(Key, Vec<Batch>),
    /// It succeeded: their offsets may be seen.
    Exposed(Key, Vec<Batch>),
    /// It failed: they must not come up.
    Refused(Key, Vec<Batch>),
    /// The log reported a durable mark.
    Durable(Key, Offset),
    /// A start found these batches, and no others.
    Held(Key, Vec<Batch>),
    /// The written end was seen.
    Ended(Key, Offset),
    /// A segment and its snapshot were appended.
    Snapshot(Key, Offset, Bytes),
    /// The log is about to be removed.
    Removing(Key),
    /// Its removal was reported.
    Removed(Key),
}

/// All that is known of one log.
#[derive(Clone, Default, Debug)]
pub(super) struct LogFacts {
    attempted: Vec<Batch>,
    exposed: BTreeMap<Offset, Batch>,
    /// Exposed, and then gone with the power: their offsets stay theirs.
    gone: BTreeMap<Offset, Batch>,
    refused: Vec<Batch>,
    durable: Offset,
    end: Offset,
    snapshots: BTreeMap<Offset, Bytes>,
    /// Power was lost since the log was last opened.
    gap_due: bool,
    removing: bool,
    removed: bool,
}

/// All that is known.
#[derive(Clone, Default, Debug)]
pub(super) struct Facts {
    logs: BTreeMap<Key, LogFacts>,
}

impl Facts {
    pub(super) fn learn(&mut self, note: &Note) {
        let (Note::Wanted(key)
        | Note::Attempted(key, _)
        | Note::Exposed(key, _)
        | Note::Refused(key, _)
        | Note::Durable(key, _)
        | Note::Held(key, _)
        | Note::Ended(key, _)
        | Note::Snapshot(key, _, _)
        | Note::Removing(key)
        | Note::Removed(key)) = note;
        let log = self.logs.entry(*key).or_default();
        match note {
            Note::Wanted(_) => {}
            Note::Attempted(_, batches) => log.attempted.extend_from_slice(batches),
            Note::Exposed(_, batches) => {
                for batch in batches {
                    log.exposed.insert(batch.head.base_offset, batch.clone());
                    log.end = log.end.max(batch.head.next_offset());
                }
            }
            Note::Refused(_, batches) => log.refused.extend_from_slice(batches),
            Note::Durable(_, offset) => log.durable = log.durable.max(*offset),
            Note::Held(_, batches) => {
                let held = batches
                    .iter()
                    .map(|batch| (batch.head.base_offset, batch.clone()));
                let mut before = std::mem::replace(&mut log.exposed, held.collect());
                before.retain(|at, _| !log.exposed.contains_key(at));
                log.gone.append(&mut before);
                log.gap_due = false;
            }
            Note::Ended(_, offset) => log.end = log.end.max(*offset),
            Note::Snapshot(_, at, bytes) => {
                log.snapshots.insert(*at, bytes.clone());
            }
            Note::Removing(_) => log.removing = true,
            Note::Removed(_) => log.removed = true,
        }
    }

    fn wants(&self, topic: &str) -> bool {
        self.logs
            .iter()
            .any(|(key, log)| TOPICS[key.0] == topic && !log.removing)
    }

    /// What was only written may be gone. Dev mode promises nothing then but that offsets stay unique.
    pub(super) fn power_was_lost(&mut self, durability: Durability) {
        for log in self.logs.values_mut() {
            if durability == Durability::Os {
                log.durable = Offset::ZERO;
            }
            let durable = log.durable;
            let safe = |at: &Offset| {
                log.exposed
                    .get(at)
                    .is_some_and(|first| first.head.next_offset() <= durable)
            };
            log.snapshots.retain(|at, _| safe(at));
            log.gap_due = true;
        }
    }
}

/// Options of every store of a history.
pub(super) fn options(plan: &CrashPlan, seed: u64) -> StoreOptions {
    let counter = AtomicU64::new(seed);
    let random = move || {
        let mut random = Random::new(counter.fetch_add(1, Ordering::Relaxed));
        let (a, b) = (random.number().to_be_bytes(), random.number().to_be_bytes());
        std::array::from_fn(|i| if i < 8 { a[i] } else { b[i - 8] })
    };
    let mut options = StoreOptions::new(NodeId(1), plan.durability, Arc::new(random));
    options.sync_threads = 1;
    options.index_chunk_entries = 2;
    #[cfg(feature = "planted")]
    {
        options.plant = plan.plant;
    }
    options.clock = Arc::new(|| ottla_model::time::WallMs(1_000_000));
    options
}

/// The partition of a key.
pub(super) fn name(key: Key) -> TopicPartition {
    spec(TOPICS[key.0], key.1).name
}

/// Opens the disk after a crash and checks all that is known. If it `goes_on`, every log is appended
/// to, synced and opened once more; says what was promised then, and after which operation.
pub(super) fn check(
    plan: &CrashPlan,
    disk: &SimDisk,
    death: Death,
    facts: &Facts,
    goes_on: bool,
    random: &mut Random,
) -> Result<Vec<(u64, Note)>, String> {
    let mut facts = facts.clone();
    if death == Death::Power {
        facts.power_was_lost(plan.durability);
    }
    let (store, logs) = open(plan, disk, &mut facts)?;
    let mut notes = Vec::new();
    for (key, log, recovery) in &logs {
        let known = &facts.logs[key];
        let held = check_log(&**log, known, recovery, random)
            .map_err(|why| format!("{}: {why}", name(*key)))?;
        notes.push((disk.operations(), Note::Held(*key, held)));
        notes.push((disk.operations(), Note::Ended(*key, log.marks().written)));
    }
    if !goes_on {
        return Ok(notes);
    }
    for (key, log, _) in &logs {
        let mut maker = BatchMaker::new(random.number());
        maker.next = log.marks().written;
        maker.epoch = LeaderEpoch(log.epoch_at(maker.next).map_or(0, |epoch| epoch.0 + 1));
        log.begin_epoch(maker.epoch)
            .map_err(|fault| fault.to_string())?;
        let batches = vec![maker.batch(), maker.batch()];
        let mut items: Vec<AppendItem> = batches.iter().map(Batch::item).collect();
        if random.one_in(3) && log.active_segment().base_offset < batches[0].head.base_offset {
            items.insert(
                0,
                AppendItem::Roll {
                    base_offset: batches[0].head.base_offset,
                    snapshot: None,
                },
            );
        }
        notes.push((disk.operations(), Note::Attempted(*key, batches.clone())));
        let marks = log
            .append(&items)
            .map_err(|fault| format!("{} after recovery: {fault}", name(*key)))?;
        notes.push((disk.operations(), Note::Exposed(*key, batches)));
        notes.push((disk.operations(), Note::Durable(*key, marks.durable)));
    }
    while store.flush_round() {}
    for (key, log, _) in &logs {
        let marks = log.marks();
        if marks.durable != marks.written {
            return Err(format!("{}: a round left {marks:?}", name(*key)));
        }
        notes.push((disk.operations(), Note::Durable(*key, marks.durable)));
    }
    notes.iter().for_each(|(_, note)| facts.learn(note));
    let clean = random.one_in(2);
    if clean {
        store
            .close()
            .map_err(|fault| format!("the store does not close: {fault}"))?;
    }
    drop((store, logs));
    let (_store, logs) = open(plan, disk, &mut facts)?;
    for (key, log, recovery) in &logs {
        if recovery.checked == clean {
            return Err(format!("{}: clean {clean}, yet {recovery:?}", name(*key)));
        }
        check_log(&**log, &facts.logs[key], recovery, random)
            .map_err(|why| format!("{} opened again: {why}", name(*key)))?;
    }
    Ok(notes)
}

type Opened = (Arc<LocalStore>, Vec<(Key, Arc<dyn Log>, Recovery)>);

/// Opens the store and every log that is wanted, as a broker does at its start.
fn open(plan: &CrashPlan, disk: &SimDisk, facts: &mut Facts) -> Result<Opened, String> {
    let disk = Arc::new(disk.clone());
    let options = options(plan, 77);
    let (store, report) = LocalStore::open(disk, Path::new(ROOT), options)
        .map_err(|error| format!("the store does not open: {error}"))?;
    if report.marks_damaged > 0 {
        // A write of the marks failed half-way, and the process was killed before it could repair
        // them: any log may open a gap now.
        facts.logs.values_mut().for_each(|log| log.gap_due = true);
    }
    for found in &report.directories {
        let gone = facts.logs.iter().find(|(key, log)| {
            (log.removing || log.removed) && found.topic_id == Some(name(**key).topic_id)
        });
        if let Some((key, log)) = gone {
            if log.removed && plan.durability == Durability::Synced {
                return Err(format!("{} came back after its removal", name(*key)));
            }
            store
                .remove_log(&name(*key))
                .map_err(|fault| fault.to_string())?;
        } else if !facts.wants(&found.topic) {
            store
                .quarantine(&found.name)
                .map_err(|fault| fault.to_string())?;
        }
    }
    let mut logs = Vec::new();
    for (key, _) in facts.logs.iter().filter(|(_, log)| !log.removing) {
        let (log, recovery) = store
            .open_log(&spec(TOPICS[key.0], key.1))
            .map_err(|fault| format!("{} does not open: {fault}", name(*key)))?;
        logs.push((*key, log, recovery));
    }
    Ok((store, logs))
}

fn check_log(
    log: &dyn Log,
    known: &LogFacts,
    recovery: &Recovery,
    random: &mut Random,
) -> Result<Vec<Batch>, String> {
    if !recovery.damage.is_empty() {
        return Err(format!(
            "damage is reported: {:?} durable {} end {}",
            recovery.damage, known.durable, known.end
        ));
    }
    if recovery.gap.is_some() && !known.gap_due {
        return Err(format!("a gap without a power loss: {:?}", recovery.gap));
    }
    let marks = log.marks();
    let held = held_by(log).map_err(|fault| fault.to_string())?;

    // What is there was appended, and nothing else was seen at its offsets.
    for batch in &held {
        let at = batch.head.base_offset;
        if !known.attempted.contains(batch) {
            return Err(format!("a batch at {at} that nobody appended"));
        }
        if known.refused.contains(batch) && !known.exposed.values().any(|seen| seen == batch) {
            return Err(format!("a batch at {at} whose append failed"));
        }
        for seen in [&known.exposed, &known.gone] {
            if let Some(seen) = overlapping(seen, &batch.head)
                && seen != batch
            {
                return Err(format!("offset {at} names a record of {seen:?}, too"));
            }
        }
    }
    // What was durable is there; what was written, too, unless power was lost.
    let safe = if known.gap_due {
        known.durable
    } else {
        known.end
    };
    for batch in known.exposed.values() {
        let head = &batch.head;
        let there = held
            .binary_search_by_key(&head.base_offset, |held| held.head.base_offset)
            .is_ok();
        if !there && head.next_offset() <= safe {
            return Err(format!(
                "lost: {}..{}, below {safe}",
                head.base_offset,
                head.next_offset()
            ));
        }
        if !there && head.next_offset() > marks.written {
            return Err(format!(
                "offset {} was seen and will be given again: {marks:?} {recovery:?}",
                head.base_offset
            ));
        }
    }
    if marks.written < known.end {
        return Err(format!(
            "the end was seen at {} and is {marks:?}",
            known.end
        ));
    }
    check_finding(log, &held, random).map_err(|why| format!("{why} ({marks:?}, {recovery:?})"))?;

    let newest = known.snapshots.iter().rfind(|(at, _)| {
        known
            .exposed
            .get(at)
            .is_some_and(|first| first.head.next_offset() <= known.durable)
    });
    if let Some((at, bytes)) = newest
        // Old ones go when there are three newer.
        && log.snapshots().iter().filter(|newer| *newer > at).count() < 3
        && log.read_snapshot(*at).ok().as_ref() != Some(bytes)
    {
        return Err(format!(
            "the snapshot at {at} is not what was durable; there are {:?}",
            log.snapshots()
        ));
    }
    Ok(held)
}

/// Every batch of a log.
pub(super) fn held_by(log: &dyn Log) -> Result<Vec<Batch>, LogFault> {
    let mut held = Vec::new();
    log.replay(Offset::ZERO, true, &mut |head, bytes| {
        held.push(Batch {
            head: *head,
            bytes: Bytes::copy_from_slice(bytes),
        });
        true
    })?;
    Ok(held)
}

/// Reads, time searches and epochs agree with the batches.
fn check_finding(log: &dyn Log, held: &[Batch], random: &mut Random) -> Result<(), String> {
    let marks = log.marks();
    let latest = held.iter().map(|batch| batch.head.max_timestamp_ms).max();
    let found = log
        .max_timestamp(marks.written)
        .map_err(|fault| fault.to_string())?;
    if found.map(|hit| hit.timestamp_ms) != latest {
        return Err(format!("the latest timestamp is {latest:?}, not {found:?}"));
    }
    for _ in 0..3 {
        let readable = (marks.written - marks.log_start) as u64 + 1;
        let from = marks.log_start + random.below(readable) as i64;
        let expected = held.iter().find(|batch| batch.head.last_offset() >= from);
        let read = log
            .read(from, marks.written, 0, true)
            .map_err(|error| format!("read {from}: {error}"))?;
        let bytes = read.bytes().map_err(|fault| fault.to_string())?;
        if bytes != expected.map_or(Bytes::new(), |batch| batch.bytes.clone()) {
            return Err(format!(
                "read {from} gave {} bytes, not {expected:?}",
                bytes.len()
            ));
        }
    }
    for batch in held {
        let epoch = log.epoch_at(batch.head.base_offset);
        if epoch != Some(batch.head.leader_epoch) {
            return Err(format!(
                "{} has epoch {}, not {epoch:?}",
                batch.head.base_offset, batch.head.leader_epoch
            ));
        }
    }
    Ok(())
}

/// A batch that was seen at one of these offsets.
fn overlapping<'a>(seen: &'a BTreeMap<Offset, Batch>, head: &BatchHead) -> Option<&'a Batch> {
    let (_, last) = seen.range(..=head.last_offset()).next_back()?;
    (last.head.last_offset() >= head.base_offset).then_some(last)
}
