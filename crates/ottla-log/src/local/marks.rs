//! The mark file: how far each log is known to be stable, and which offsets are reserved.
//!
//! A plain file in the root with slots of 64 bytes, each with its own CRC. Slot 0 is the header, every
//! other belongs to one partition of one topic id. A slot never straddles a sector, so a torn write
//! leaves it old or new. Losing the file loses no record: recovery then starts from Kafka's
//! recovery points.
//!
//! What a slot promises:
//! - *stable*: every record below was synced before the slot was written. It may lag behind what is
//!   synced and never leads.
//! - *reserved*: no offset at or above it was ever given to a record that anybody saw. An append that
//!   would pass it first makes a higher one durable.
//! - *floor*: no record will be written below it again but those that are there. It is what makes an
//!   offset that a power loss took name no second record.
//! - *indexed*: the index files of the segment that still grows were synced with the entries of all
//!   batches below, and hold nothing of use above.
//! - *losses*: how many power losses the slot has seen.
//!
//! Worked example. The log ends at 1,000, stable is 900, reserved 65,536, losses 0. A producer with
//! `acks=1` is told the offsets 1,000 to 1,499; then the power goes, and with it all above 950. At the
//! next start the header's boot id is another and nothing says that the stop was clean: the header
//! counts one loss, durably, before any log opens. This log recovers up to 950; its slot has seen no
//! loss yet, so offsets up to 65,535 may have been seen: floor becomes 65,536, losses 1, the written
//! end 65,536. Offsets 950 to 65,535 stay empty for good. Had only the process died, the boot id
//! would be the same, nothing written would be gone, and the log would go on at 1,500.

use std::collections::HashMap;
use std::io::IoSlice;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ottla_model::ids::{LeaderEpoch, Offset, PartitionIndex};
use ottla_model::names::TopicPartition;
use ottla_model::uuid::Uuid;

use crate::disk::{Disk, DiskFile};
use crate::store::LogFault;

/// Name of the mark file.
pub(crate) const MARKS: &str = "ottla-marks";

const SLOT_BYTES: usize = 64;
const CRC_AT: usize = SLOT_BYTES - 4;
const MAGIC: &[u8; 8] = b"ottlamrk";
const VERSION: u32 = 1;
const BOOT_ID_BYTES: usize = 36;
/// In the place of the boot id once a sync has failed: what the page cache shows may not be on the disk.
const SYNC_FAILED: &str = "a sync failed";
/// A million partitions.
const FILE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The marks of one log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Slot {
    pub(crate) topic_id: Uuid,
    pub(crate) partition: PartitionIndex,
    /// Largest leader epoch that was begun.
    pub(crate) epoch: LeaderEpoch,
    pub(crate) stable: Offset,
    pub(crate) reserved: Offset,
    pub(crate) floor: Offset,
    pub(crate) indexed: Offset,
    pub(crate) losses: u32,
}

/// Index of a slot in the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SlotId(u32);

/// Counts the writes to the file; a sync covers all up to one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub(crate) struct Generation(u64);

/// The mark file, open.
#[derive(Debug)]
pub(crate) struct MarkFile {
    file: Arc<dyn DiskFile>,
    losses: u32,
    /// A sync failed before the last stop.
    sync_failed: bool,
    state: Mutex<State>,
    /// Held during a sync, so that those who wait for it share the next one.
    syncing: Mutex<()>,
}

#[derive(Default, Debug)]
struct State {
    slots: Vec<Option<Slot>>,
    by_log: HashMap<(Uuid, PartitionIndex), SlotId>,
    free: Vec<SlotId>,
    written: Generation,
    synced: Generation,
    /// A sync failed: what the file holds is unknown, and no later success can be believed.
    failed: Option<LogFault>,
}

/// What opening the mark file found.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct MarksFound {
    /// There was none.
    pub(crate) created: bool,
    /// Slots that are not what was written.
    pub(crate) damaged: usize,
    /// The machine may have lost power since the store was last open. A sync that failed counts as that.
    pub(crate) power_loss: bool,
}

impl MarkFile {
    /// Opens the file and counts a power loss, durably, if there may have been one.
    pub(crate) fn open(
        disk: &dyn Disk,
        root: &Path,
        boot_id: &str,
        clean_stop: bool,
    ) -> Result<(MarkFile, MarksFound), LogFault> {
        let path = root.join(MARKS);
        let bytes = disk.read_file(&path, FILE_BYTES_MAX)?;
        let file = disk.open(&path, true)?;
        let mut found = MarksFound {
            created: bytes.is_none(),
            ..MarksFound::default()
        };
        let mut state = State {
            slots: vec![None],
            ..State::default()
        };
        let bytes = bytes.unwrap_or_default();
        for raw in bytes.chunks(SLOT_BYTES).skip(1) {
            let id = SlotId(state.slots.len() as u32);
            match raw.try_into().map(decode_slot) {
                Ok(Ok(Some(slot))) => {
                    state.by_log.insert((slot.topic_id, slot.partition), id);
                    state.slots.push(Some(slot));
                    continue;
                }
                // A slot that was being added when the machine stopped is free, too.
                Ok(Ok(None)) | Err(_) => {}
                Ok(Err(())) => found.damaged += 1,
            }
            state.slots.push(None);
            state.free.push(id);
        }
        let header = bytes.first_chunk().and_then(decode_header);
        let known_losses = state.slots.iter().flatten().map(|slot| slot.losses).max();
        let (mut losses, known_boot) = match header {
            Some((losses, boot_id)) => (losses, boot_id),
            None => (known_losses.unwrap_or(0), String::new()),
        };
        if header_is_damaged(&bytes) {
            found.damaged += 1;
        }
        let same_boot = !boot_id.is_empty() && known_boot == boot_id;
        found.power_loss = !clean_stop && !found.created && !same_boot;
        losses += u32::from(found.power_loss);
        let sync_failed = known_boot == SYNC_FAILED;
        if sync_failed {
            // Or the next sync would pass by what the failed one has left.
            file.write_all_at(&mut [IoSlice::new(&bytes)], 0)?;
        }
        if !same_boot {
            file.write_all_at(&mut [IoSlice::new(&encode_header(losses, boot_id))], 0)?;
        }
        if !clean_stop {
            // What was just read may be in the page cache only.
            file.sync()?;
        }
        if found.created {
            disk.sync_dir(root)?;
        }
        let marks = MarkFile {
            file,
            losses,
            sync_failed,
            state: Mutex::new(state),
            syncing: Mutex::new(()),
        };
        Ok((marks, found))
    }

    /// How many power losses there have been.
    pub(crate) fn losses(&self) -> u32 {
        self.losses
    }

    /// True if a sync failed before the last stop: what is read is to be written once more before a sync
    /// of it means anything.
    pub(crate) fn sync_failed_before(&self) -> bool {
        self.sync_failed
    }

    /// Makes the next start doubt what was written, as after a power loss: a sync of whatever file failed.
    pub(crate) fn note_failed_sync(&self) {
        let header = encode_header(self.losses, SYNC_FAILED);
        let written = self.file.write_all_at(&mut [IoSlice::new(&header)], 0);
        if let Err(fault) = written {
            tracing::error!(%fault, "the next start will not know that a sync failed");
        }
    }

    /// The marks of a log.
    pub(crate) fn find(&self, log: &TopicPartition) -> Option<(SlotId, Slot)> {
        let state = self.lock();
        let id = *state.by_log.get(&(log.topic_id, log.partition))?;
        Some((id, state.slots[id.0 as usize]?))
    }

    /// Gives a log its slot.
    pub(crate) fn claim(&self, slot: Slot) -> Result<SlotId, LogFault> {
        let mut state = self.lock();
        let id = match state.free.pop() {
            Some(id) => id,
            None => {
                state.slots.push(None);
                SlotId(state.slots.len() as u32 - 1)
            }
        };
        if let Err(fault) = self.write(&mut state, id, &encode_slot(&slot)) {
            state.free.push(id);
            return Err(fault);
        }
        state.slots[id.0 as usize] = Some(slot);
        state.by_log.insert((slot.topic_id, slot.partition), id);
        Ok(id)
    }

    /// Changes a log's marks. Durable after a [`sync`](Self::sync) of what is returned.
    pub(crate) fn update(
        &self,
        id: SlotId,
        change: impl FnOnce(&mut Slot),
    ) -> Result<Generation, LogFault> {
        let mut state = self.lock();
        let Some(mut slot) = state.slots[id.0 as usize] else {
            return Err(LogFault::Closed("its marks were given back".into()));
        };
        let before = slot;
        change(&mut slot);
        if slot != before {
            self.write(&mut state, id, &encode_slot(&slot))?;
            state.slots[id.0 as usize] = Some(slot);
        }
        Ok(state.written)
    }

    /// Takes the slot of a removed log back.
    pub(crate) fn release(&self, log: &TopicPartition) -> Result<(), LogFault> {
        let mut state = self.lock();
        let Some(id) = state.by_log.get(&(log.topic_id, log.partition)).copied() else {
            return Ok(());
        };
        self.write(&mut state, id, &[0; SLOT_BYTES])?;
        state.by_log.remove(&(log.topic_id, log.partition));
        state.slots[id.0 as usize] = None;
        state.free.push(id);
        Ok(())
    }

    /// The fault of a sync that failed: no reservation is made any more.
    pub(crate) fn refuse_if_failed(&self) -> Result<(), LogFault> {
        self.lock().failed.clone().map_or(Ok(()), Err)
    }

    /// Everything written so far.
    pub(crate) fn written(&self) -> Generation {
        self.lock().written
    }

    /// True if there are writes that no sync has covered.
    pub(crate) fn is_dirty(&self) -> bool {
        let state = self.lock();
        state.synced < state.written && state.failed.is_none()
    }

    /// Makes the writes up to `generation` durable, together with whatever else was written.
    ///
    /// # Errors
    /// The disk's fault, again and again once a sync has failed.
    pub(crate) fn sync(&self, generation: Generation) -> Result<(), LogFault> {
        let _one_at_a_time = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        let covers = {
            let state = self.lock();
            if let Some(fault) = &state.failed {
                return Err(fault.clone());
            }
            if state.synced >= generation {
                return Ok(());
            }
            state.written
        };
        let result = self.file.sync();
        let mut state = self.lock();
        match &result {
            Ok(()) => state.synced = covers,
            Err(fault) => {
                state.failed = Some(fault.clone());
                self.note_failed_sync();
            }
        }
        result
    }

    fn write(
        &self,
        state: &mut State,
        id: SlotId,
        bytes: &[u8; SLOT_BYTES],
    ) -> Result<(), LogFault> {
        if let Some(fault) = &state.failed {
            return Err(fault.clone());
        }
        let position = u64::from(id.0) * SLOT_BYTES as u64;
        let written = self.file.write_all_at(&mut [IoSlice::new(bytes)], position);
        if written.is_err() {
            // Part of it may be there. If this fails, too, the slot reads as damaged.
            let before =
                state.slots[id.0 as usize].map_or([0; SLOT_BYTES], |slot| encode_slot(&slot));
            self.file
                .write_all_at(&mut [IoSlice::new(&before)], position)
                .ok();
        }
        written?;
        state.written.0 += 1;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn encode_slot(slot: &Slot) -> [u8; SLOT_BYTES] {
    let mut raw = [0; SLOT_BYTES];
    raw[0..16].copy_from_slice(&slot.topic_id.0);
    raw[16..20].copy_from_slice(&slot.partition.0.to_be_bytes());
    raw[20..24].copy_from_slice(&slot.epoch.0.to_be_bytes());
    raw[24..32].copy_from_slice(&slot.stable.0.to_be_bytes());
    raw[32..40].copy_from_slice(&slot.reserved.0.to_be_bytes());
    raw[40..48].copy_from_slice(&slot.floor.0.to_be_bytes());
    raw[48..52].copy_from_slice(&slot.losses.to_be_bytes());
    raw[52..60].copy_from_slice(&slot.indexed.0.to_be_bytes());
    seal(raw)
}

/// `None` for a free slot.
fn decode_slot(raw: &[u8; SLOT_BYTES]) -> Result<Option<Slot>, ()> {
    if raw.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    if seal(*raw) != *raw {
        return Err(());
    }
    let slot = Slot {
        topic_id: Uuid(take(raw, 0)),
        partition: PartitionIndex(i32::from_be_bytes(take(raw, 16))),
        epoch: LeaderEpoch(i32::from_be_bytes(take(raw, 20))),
        stable: Offset(i64::from_be_bytes(take(raw, 24))),
        reserved: Offset(i64::from_be_bytes(take(raw, 32))),
        floor: Offset(i64::from_be_bytes(take(raw, 40))),
        losses: u32::from_be_bytes(take(raw, 48)),
        indexed: Offset(i64::from_be_bytes(take(raw, 52))),
    };
    let sane =
        slot.stable.0 >= 0 && slot.floor.0 >= 0 && slot.reserved.0 >= 0 && slot.partition.0 >= 0;
    if sane { Ok(Some(slot)) } else { Err(()) }
}

fn encode_header(losses: u32, boot_id: &str) -> [u8; SLOT_BYTES] {
    let mut raw = [0; SLOT_BYTES];
    raw[0..8].copy_from_slice(MAGIC);
    raw[8..12].copy_from_slice(&VERSION.to_be_bytes());
    raw[12..16].copy_from_slice(&losses.to_be_bytes());
    let boot_id = &boot_id.as_bytes()[..boot_id.len().min(BOOT_ID_BYTES)];
    raw[16..16 + boot_id.len()].copy_from_slice(boot_id);
    seal(raw)
}

fn decode_header(raw: &[u8; SLOT_BYTES]) -> Option<(u32, String)> {
    if raw[..8] != *MAGIC || seal(*raw) != *raw || u32::from_be_bytes(take(raw, 8)) != VERSION {
        return None;
    }
    let boot_id = String::from_utf8_lossy(&raw[16..16 + BOOT_ID_BYTES]);
    Some((
        u32::from_be_bytes(take(raw, 12)),
        boot_id.trim_end_matches('\0').to_owned(),
    ))
}

fn header_is_damaged(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.first_chunk().and_then(decode_header).is_none()
}

/// The same bytes with their CRC.
fn seal(mut raw: [u8; SLOT_BYTES]) -> [u8; SLOT_BYTES] {
    let crc = crc32c::crc32c(&raw[..CRC_AT]);
    raw[CRC_AT..].copy_from_slice(&crc.to_be_bytes());
    raw
}

fn take<const N: usize>(raw: &[u8; SLOT_BYTES], at: usize) -> [u8; N] {
    std::array::from_fn(|i| raw[at + i])
}
