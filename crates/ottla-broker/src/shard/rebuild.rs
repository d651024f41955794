//! The machine as its log has it.

use ottla_log::{Log, LogFault};
use ottla_machine::contract::{Event, Machine, StoredRecord};
use ottla_model::batch::{BATCH_HEADER_BYTES, BatchHead, records};
use ottla_model::ids::Offset;

/// Restores the newest snapshot that can be read and replays the log from there; a little earlier
/// for machines whose snapshot file keeps less than they do. Damage in a log of clients' batches
/// costs what those batches said of their producers, and no more.
pub(super) fn rebuild<M: Machine>(log: &dyn Log) -> Result<M, LogFault> {
    let mut start = log.marks().log_start;
    let mut machine = None;
    for at in log.snapshots() {
        // A snapshot is a cache: whatever is wrong with it, an older one or the log itself will do.
        let bytes = log.read_snapshot(at).ok();
        if let Some(snapshot) = bytes.and_then(|bytes| M::decode_snapshot(at, &bytes)) {
            start = if M::REPLAY_BACK_BYTES > 0 {
                log.offset_before(at, M::REPLAY_BACK_BYTES)
            } else {
                at
            };
            machine = Some(M::restore(snapshot));
            break;
        }
    }
    let mut machine = machine.unwrap_or_else(|| M::restore(M::Snapshot::default()));
    let mut damage = None;
    log.replay(
        start,
        M::Record::IN_LOG,
        &mut |head, bytes| match replay_batch(&mut machine, head, bytes) {
            Ok(()) => true,
            Err((offset, why)) => {
                damage = Some((offset, why));
                false
            }
        },
    )?;
    match damage {
        None => Ok(machine),
        Some((offset, why)) => Err(LogFault::Damaged {
            path: "log".into(),
            position: 0,
            offset,
            why,
        }),
    }
}

fn replay_batch<M: Machine>(
    machine: &mut M,
    head: &BatchHead,
    bytes: &[u8],
) -> Result<(), (Offset, String)> {
    if !M::Record::IN_LOG || head.attributes.is_control() {
        machine.replay(head.base_offset, Event::Batch(head));
        return Ok(());
    }
    // Our own batches are never compressed.
    let payload = bytes.get(BATCH_HEADER_BYTES..).unwrap_or_default();
    for record in records(payload, head.record_count) {
        let record = record.map_err(|e| (head.base_offset, e.to_string()))?;
        let at = head.base_offset + i64::from(record.offset_delta);
        let stored = M::Record::decode(record.key, record.value).map_err(|why| (at, why))?;
        machine.replay(at, Event::Record(head, &stored));
    }
    Ok(())
}
