//! Staying below the durable reservation, see [`marks`](crate::local::marks).

use ottla_model::ids::{LeaderEpoch, Offset};

use super::{LocalLog, Reservation};
use crate::local::marks::Generation;
use crate::store::LogFault;

/// How far ahead a log reserves at first.
pub(super) const STRIDE_MIN: i64 = 65_536;
/// How far ahead a log reserves at most, and so how wide a gap can be.
pub(super) const STRIDE_MAX: i64 = 16 * 1024 * 1024;

impl Reservation {
    /// What the mark file said, durably.
    pub(super) fn known(reserved: Offset, marks_unsynced: bool) -> Reservation {
        Reservation {
            reserved,
            stride: STRIDE_MIN,
            marks_unsynced,
        }
    }

    /// True if the flusher should reserve more before an append has to.
    pub(super) fn runs_low(&self, written: Offset) -> bool {
        self.reserved - written < self.stride / 2
    }
}

impl LocalLog {
    /// Lets records up to `end` be written: makes a higher reservation durable first if need be.
    pub(super) fn reserve(&self, end: Offset) -> Result<(), LogFault> {
        self.settle()?;
        {
            let mut state = self.lock();
            let reservation = &mut state.reservation;
            if end <= reservation.reserved && !reservation.marks_unsynced {
                return Ok(());
            }
            if end > reservation.reserved && reservation.reserved > Offset::ZERO {
                // The flusher was outrun: this log is fast.
                reservation.stride = (reservation.stride * 2).min(STRIDE_MAX);
            }
        }
        let (reserved, epoch, generation) = self.write_reservation(end)?;
        self.shared.marks.sync(generation)?;
        self.reserved(reserved, epoch);
        Ok(())
    }

    /// Writes what the next appends need into the marks, if they lack it. To be made durable, and
    /// then told to [`reserved`](Self::reserved).
    pub(crate) fn begin_reserve(&self) -> Result<Option<(Offset, Option<LeaderEpoch>)>, LogFault> {
        let written = {
            let state = self.lock();
            let reservation = &state.reservation;
            if !reservation.marks_unsynced && !reservation.runs_low(state.written) {
                return Ok(None);
            }
            state.written
        };
        let (reserved, epoch, _) = self.write_reservation(written)?;
        Ok(Some((reserved, epoch)))
    }

    fn write_reservation(
        &self,
        end: Offset,
    ) -> Result<(Offset, Option<LeaderEpoch>, Generation), LogFault> {
        let (reserved, epoch) = {
            let state = self.lock();
            let reservation = &state.reservation;
            let reserved = reservation.reserved.max(end + reservation.stride);
            (reserved, state.epochs.latest())
        };
        let generation = self.shared.marks.update(self.slot, |slot| {
            slot.reserved = slot.reserved.max(reserved);
            slot.epoch = slot.epoch.max(epoch.unwrap_or(slot.epoch));
        })?;
        Ok((reserved, epoch, generation))
    }

    /// [`settle`](Self::settle) before an append has to.
    pub(crate) fn settle_early(&self) -> Result<(), LogFault> {
        let _writer = self.lock_writer();
        self.settle()
    }

    /// Makes durable what a killed process cut or removed, before the first append: should a power
    /// loss undo it, whole batches that nobody was told of could stand where later ones were seen.
    fn settle(&self) -> Result<(), LogFault> {
        let active = {
            let state = self.lock();
            if !state.unsettled {
                return Ok(());
            }
            state.active().clone()
        };
        let settled = active
            .file()
            .and_then(|file| file.sync())
            .and_then(|()| self.shared.sync_dir(&self.directory));
        match settled {
            Ok(()) => self.lock().unsettled = false,
            Err(fault) => {
                self.close(&fault, false);
                return Err(fault);
            }
        }
        Ok(())
    }

    /// A reservation became durable, and an epoch with it.
    pub(crate) fn reserved(&self, reserved: Offset, epoch: Option<LeaderEpoch>) {
        let mut state = self.lock();
        let is_newest = state.epochs.latest() == epoch;
        let reservation = &mut state.reservation;
        reservation.reserved = reservation.reserved.max(reserved);
        reservation.marks_unsynced &= !is_newest;
    }
}
