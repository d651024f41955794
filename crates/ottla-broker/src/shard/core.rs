//! What a shard's lock protects: the machine, what collects, what is parked, and the state after a
//! fault.
//!
//! ```text
//!            append fails                 rebuilt                   a probe write succeeds
//!   Active ───────────────► Rebuilding ───────────► Refusing ────────────────────────► Active
//!     │                         │ cannot be rebuilt
//!     └── sync fails, removed ──┴──► Closed (until the next start)
//! ```
//! Active: commands are decided. Rebuilding: they wait in the mailbox, plans get the fault.
//! Refusing: a decision that writes is dropped and its command gets the fault. Closed: every command
//! gets the fault; plans go on below the durable mark if a sync failed, and get the fault otherwise.

use std::collections::HashMap;

use ottla_log::{ActiveSegment, AppendItem, LogFault};
use ottla_machine::contract::{
    Cx, Decision, Emit, Entry, Event, Machine, ProducerStamp, StoredRecord, Ticket, Wait,
};
use ottla_model::batch::{BatchBuilder, BatchHead, BatchSpec, VerifiedBatch};
use ottla_model::ids::Offset;
use ottla_model::marks::Marks;
use ottla_model::time::{MonoMs, Now, WallMs};

use super::outlet::{Outcome, Outlet, StorageFault};
use super::parked::{Out, Parked};
use super::{AppendJob, ShardOptions};

/// How long a refusing log is left alone between two probes, ms.
const PROBE_PAUSE_MS: u64 = 100;

pub(super) enum State {
    Active,
    Rebuilding,
    Refusing {
        next_probe: MonoMs,
    },
    Closed {
        fault: StorageFault,
        /// Plans go on below the durable mark.
        readable: bool,
    },
}

pub(super) struct Core<M: Machine, O: Outlet<M>> {
    pub(super) state: State,
    pub(super) machine: M,
    /// End of the log as replayed: offset of the next entry.
    pub(super) end: Offset,
    pub(super) marks: Marks,
    pub(super) options: ShardOptions,
    pub(super) outbox: Vec<Out<M, O>>,
    pub(super) delivering: bool,
    /// The active segment as it will be when all that collects is appended.
    segment: ActiveSegment,
    collecting: Vec<AppendItem>,
    collecting_bytes: usize,
    append_in_flight: bool,
    /// Size of the last append that failed: what the disk must take before commands may write again.
    failed_bytes: usize,
    held: HashMap<Ticket, O::Handle>,
    parked: Parked<M, O>,
    next_ticket: u64,
    /// Commands that were in the mailbox when a deadline was found due: they are decided before it is met.
    ahead_of_expiry: Option<usize>,
}

impl<M: Machine, O: Outlet<M>> Core<M, O> {
    pub(super) fn new(
        machine: M,
        marks: Marks,
        segment: ActiveSegment,
        options: ShardOptions,
    ) -> Self {
        Core {
            state: State::Active,
            machine,
            end: marks.written,
            marks,
            options,
            outbox: Vec::new(),
            delivering: false,
            segment,
            collecting: Vec::new(),
            collecting_bytes: 0,
            append_in_flight: false,
            failed_bytes: 0,
            held: HashMap::new(),
            parked: Parked::new(),
            next_ticket: 0,
            ahead_of_expiry: None,
        }
    }

    /// False while commands have to wait in the mailbox.
    pub(super) fn accepts_commands(&self) -> bool {
        !matches!(self.state, State::Rebuilding)
            && self.collecting_bytes < self.options.collecting_bytes_max
    }

    /// Whether plans are made.
    pub(super) fn check_readable(&self) -> Result<(), StorageFault> {
        match &self.state {
            State::Rebuilding => Err(StorageFault::rebuilding()),
            State::Closed {
                fault,
                readable: false,
            } => Err(fault.clone()),
            State::Active | State::Refusing { .. } | State::Closed { .. } => Ok(()),
        }
    }

    pub(super) fn decide(&mut self, handle: O::Handle, command: M::Command, now: Now) {
        if let State::Closed { fault, .. } = &self.state {
            self.outbox
                .push(Out::Answer(handle, Outcome::Fault(fault.clone())));
            return;
        }
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        let mut decision = Decision::default();
        let mut cx = Cx {
            end: self.end,
            marks: self.marks,
            wall: now.wall,
            mono: now.mono,
            ids: &mut *self.options.ids,
        };
        self.machine.decide(ticket, command, &mut cx, &mut decision);
        if let State::Refusing { .. } = self.state
            && decision
                .emits
                .iter()
                .any(|emit| matches!(emit, Emit::Logged(_)))
        {
            self.outbox.push(Out::Answer(
                handle,
                Outcome::Fault(StorageFault::refusing()),
            ));
            return;
        }
        self.held.insert(ticket, handle);
        self.apply(decision, now.wall);
    }

    /// Meets the machine's deadline, after so many commands were decided while so many wait. Those that
    /// came before the deadline was looked at go first: a heartbeat that waited for the disk is no silence.
    pub(super) fn expire_if_due(&mut self, now: Now, decided: usize, waiting: usize) {
        let due = self
            .machine
            .deadline()
            .is_some_and(|deadline| deadline <= now.mono);
        if !due || !matches!(self.state, State::Active) {
            self.ahead_of_expiry = None;
            return;
        }
        let ahead = match self.ahead_of_expiry {
            None => waiting,
            Some(ahead) => ahead.saturating_sub(decided),
        };
        self.ahead_of_expiry = Some(ahead).filter(|ahead| *ahead > 0);
        if self.ahead_of_expiry.is_some() || !self.accepts_commands() {
            return;
        }
        let mut decision = Decision::default();
        let mut cx = Cx {
            end: self.end,
            marks: self.marks,
            wall: now.wall,
            mono: now.mono,
            ids: &mut *self.options.ids,
        };
        self.machine.expire(&mut cx, &mut decision);
        self.apply(decision, now.wall);
    }

    /// Replays a decision's events and parks what it lets out.
    fn apply(&mut self, decision: Decision<M>, wall: WallMs) {
        let mut released = Vec::new();
        for emit in decision.emits {
            match emit {
                Emit::Volatile(soft) => self.machine.replay(self.end, Event::Soft(&soft)),
                Emit::Logged(Entry::Client(batch)) => {
                    let head = self.collect(batch, wall);
                    self.machine.replay(head.base_offset, Event::Batch(&head));
                }
                Emit::Logged(Entry::Records { producer, records }) => {
                    self.log_records(producer, records, wall, &mut released);
                }
            }
        }
        // In one piece: whoever publishes them does it once for the decision.
        if !released.is_empty() {
            self.park(self.end, Wait::Durable, Out::Records(released));
        }
        for effect in decision.effects {
            self.park(self.end, Wait::Durable, Out::Effect(effect));
        }
        for reply in decision.replies {
            // A ticket is answered once: a second reply to it finds nobody.
            let Some(handle) = self.held.remove(&reply.to) else {
                continue;
            };
            let outcome = match reply.value {
                Ok(answer) => Outcome::Answer(answer),
                Err(refusal) => Outcome::Refusal(refusal),
            };
            let saw = reply.saw.unwrap_or(self.end);
            self.park(saw, reply.wait, Out::Answer(handle, outcome));
        }
    }

    fn log_records(
        &mut self,
        producer: Option<ProducerStamp>,
        records: Vec<M::Record>,
        wall: WallMs,
        released: &mut Vec<(Offset, M::Record)>,
    ) {
        let spec = producer.map_or_else(BatchSpec::default, |p| BatchSpec {
            producer_id: p.id,
            producer_epoch: p.epoch,
            base_sequence: p.base_sequence,
            ..BatchSpec::default()
        });
        let mut builder = BatchBuilder::new(spec, wall.0);
        let (mut key, mut value) = (Vec::new(), Vec::new());
        for record in &records {
            key.clear();
            value.clear();
            let (has_key, has_value) = record.encode(&mut key, &mut value);
            builder.push(
                has_key.then_some(&key[..]),
                has_value.then_some(&value[..]),
                &[],
                wall.0,
            );
        }
        let head = self.collect(builder.build(), wall);
        for (record, delta) in records.into_iter().zip(0..) {
            let at = head.base_offset + delta;
            self.machine.replay(at, Event::Record(&head, &record));
            if O::WANTS_RECORDS {
                released.push((at, record));
            }
        }
    }

    /// Gives a batch its offset and puts it behind what collects, in a new segment if need be.
    fn collect(&mut self, mut batch: VerifiedBatch, wall: WallMs) -> BatchHead {
        batch.stamp(self.end, self.options.leader_epoch);
        if self
            .options
            .roll
            .must_roll(&self.segment, batch.head(), wall)
        {
            let snapshot = M::encode_snapshot(&self.machine.snapshot()).map(Into::into);
            self.collecting.push(AppendItem::Roll {
                base_offset: self.end,
                snapshot,
            });
            self.segment = ActiveSegment::empty(self.end, wall);
        }
        let (head, bytes) = batch.freeze();
        self.segment.add(&head);
        self.collecting_bytes += bytes.len();
        self.collecting.push(AppendItem::Batch { head, bytes });
        self.end = head.next_offset();
        head
    }

    fn park(&mut self, saw: Offset, wait: Wait, out: Out<M, O>) {
        self.parked
            .park(saw, wait, out, self.marks, &mut self.outbox);
    }

    /// The next append, unless one is in flight.
    pub(super) fn take_append(&mut self) -> Option<AppendJob> {
        if self.append_in_flight || self.collecting.is_empty() {
            return None;
        }
        self.append_in_flight = true;
        self.collecting_bytes = 0;
        Some(AppendJob {
            items: std::mem::take(&mut self.collecting),
        })
    }

    pub(super) fn append_done(&mut self, marks: Marks) {
        self.append_in_flight = false;
        self.advanced(marks);
    }

    /// The log moved on. Reports may arrive out of order, so marks only grow.
    pub(super) fn advanced(&mut self, marks: Marks) {
        let before = self.marks;
        self.marks.log_start = self.marks.log_start.max(marks.log_start);
        self.marks.written = self.marks.written.max(marks.written);
        self.marks.durable = self.marks.durable.max(marks.durable);
        // Before the answers: whoever got one may ask at once, and who waits has to have heard by then.
        if self.marks.durable > before.durable || self.marks.log_start > before.log_start {
            self.outbox.push(Out::Advanced(self.marks));
        }
        self.parked.release(self.marks, &mut self.outbox);
    }

    /// Nothing above the written end is to be: whoever saw it gets the fault.
    pub(super) fn append_failed(&mut self, fault: &LogFault, marks: Marks, bytes: usize) {
        self.append_in_flight = false;
        self.failed_bytes = bytes;
        self.collecting.clear();
        self.collecting_bytes = 0;
        if !matches!(self.state, State::Closed { .. }) {
            self.state = State::Rebuilding;
        }
        self.fault_above(marks.written, &StorageFault::new(fault));
    }

    /// The machine was rebuilt from the log as it is.
    pub(super) fn install(&mut self, machine: M, marks: Marks, segment: ActiveSegment) {
        self.machine = machine;
        self.end = marks.written;
        self.segment = segment;
        self.advanced(marks);
        if let State::Rebuilding = self.state {
            self.state = State::Refusing {
                next_probe: MonoMs(0),
            };
        }
    }

    /// With how many bytes the caller is to probe the log now, if it is. Nobody else is until then.
    pub(super) fn claim_probe(&mut self, now: MonoMs) -> Option<usize> {
        match &mut self.state {
            State::Refusing { next_probe } if *next_probe <= now => {
                *next_probe = MonoMs(u64::MAX);
                Some(self.failed_bytes)
            }
            _ => None,
        }
    }

    pub(super) fn probed(&mut self, succeeded: bool, now: MonoMs) {
        if let State::Refusing { next_probe } = &mut self.state {
            if succeeded {
                self.state = State::Active;
            } else {
                *next_probe = now + PROBE_PAUSE_MS;
            }
        }
    }

    /// Ends the shard: whoever saw more than `kept` gets the fault, and so does every later command,
    /// and every plan unless the shard stays `readable`.
    pub(super) fn close(&mut self, fault: StorageFault, kept: Offset, readable: bool) {
        self.collecting.clear();
        self.collecting_bytes = 0;
        self.fault_above(kept, &fault);
        if let State::Closed {
            readable: before, ..
        } = self.state
            && !before
        {
            return;
        }
        self.state = State::Closed { fault, readable };
        // Whoever waits for the mark looks once more: it moves no further.
        self.outbox.push(Out::Advanced(self.marks));
    }

    fn fault_above(&mut self, kept: Offset, fault: &StorageFault) {
        for out in self.parked.take_above(kept) {
            // Effects and records above are dropped with the events that made them.
            if let Out::Answer(handle, _) = out {
                self.outbox
                    .push(Out::Answer(handle, Outcome::Fault(fault.clone())));
            }
        }
        let mut held: Vec<_> = self.held.drain().collect();
        held.sort_unstable_by_key(|(ticket, _)| *ticket);
        for (_, handle) in held {
            self.outbox
                .push(Out::Answer(handle, Outcome::Fault(fault.clone())));
        }
    }
}
