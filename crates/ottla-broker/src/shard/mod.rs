//! A shard: one log and the one machine that lives in it.
//!
//! Owns the order of things: decide and replay under a lock, one append in flight outside it, answers
//! parked until what they saw has passed the mark they wait for, rebuild after a failed append.
//! Guarantees: commands are decided in the order in which they were submitted; nothing leaves that
//! saw what is not safe yet; after a fault the machine equals the log again.
//! Synchronous and free of clocks, threads and tokio: the broker, the pair rig and the simulated disk
//! drive this same type. Never knows what its machine does.
//!
//! ```text
//! submit ──► mailbox ──► turn: decide, replay ──► collecting ──► append (outside the lock)
//!                           │                                        │
//!                           ▼                                        ▼ written, later durable
//!                        parked ───────────────── release ──► outbox ──► Outlet
//! ```

mod core;
mod outlet;
mod parked;
mod rebuild;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ottla_log::{AppendItem, Log, LogFault, MarkListener, RollRule};
use ottla_machine::contract::{Ids, Machine};
use ottla_model::ids::{LeaderEpoch, Offset};
use ottla_model::marks::Marks;
use ottla_model::time::{MonoMs, Now};

use self::core::{Core, State};
pub use self::outlet::{Outcome, Outlet, StorageFault};

/// What a shard is told when it is opened.
pub struct ShardOptions {
    /// Epoch that new batches carry.
    pub leader_epoch: LeaderEpoch,
    /// When a segment is full.
    pub roll: RollRule,
    /// Source of fresh ids for the machine.
    pub ids: Box<dyn Ids>,
    /// Most commands that one turn decides.
    pub turn_commands_max: usize,
    /// Most bytes that collect while an append is in flight; beyond it commands wait in the mailbox.
    pub collecting_bytes_max: usize,
}

impl ShardOptions {
    /// Options with the usual bounds: 256 commands a turn, 8 MiB collecting.
    #[must_use]
    pub fn new(leader_epoch: LeaderEpoch, roll: RollRule, ids: Box<dyn Ids>) -> ShardOptions {
        ShardOptions {
            leader_epoch,
            roll,
            ids,
            turn_commands_max: 256,
            collecting_bytes_max: 8 << 20,
        }
    }
}

/// One log and its machine. See the module's head.
pub struct Shard<M: Machine, O: Outlet<M>> {
    log: Arc<dyn Log>,
    outlet: O,
    mailbox: Mutex<VecDeque<(O::Handle, M::Command)>>,
    /// Somebody is in a turn and will look into the mailbox again. Cleared only under the core's
    /// lock, so that whoever ends an append sees either a finished turn or one that saw the append.
    turning: AtomicBool,
    core: Mutex<Core<M, O>>,
}

/// An append that a turn has decided and that nobody has performed yet.
#[must_use = "an append that is never performed blocks the shard"]
pub struct AppendJob {
    items: Vec<AppendItem>,
}

/// Work that waits for the disk as long as the disk likes.
#[must_use = "work that is never done blocks the shard"]
pub enum DiskWork {
    /// An append that a turn has decided.
    Append(AppendJob),
    /// A write that asks a log that failed whether it takes so many bytes again.
    Probe {
        /// How many.
        bytes: usize,
        /// When it was found to be due.
        now: MonoMs,
    },
}

/// What a call of [`Shard::run_within`] left behind.
#[must_use]
pub enum RunEnd {
    /// Nothing, or nothing that this caller has to care for.
    Idle,
    /// The bound was reached: somebody must run the shard again.
    More,
    /// The caller was not let in: somebody has to [do](Shard::work) this, then run the shard again.
    Waits(DiskWork),
}

/// Why a question got no plan.
#[derive(Debug)]
pub enum PlanError<R> {
    /// The machine refused.
    Refused(R),
    /// The shard is being rebuilt, or was closed for good.
    Fault(StorageFault),
}

/// Rounds of one `run` before it hands over.
const RUN_ROUNDS_MAX: usize = 16;

impl<M: Machine, O: Outlet<M>> Shard<M, O> {
    /// Rebuilds the machine from its log and opens the shard for commands. The caller makes the
    /// shard the log's listener.
    ///
    /// # Errors
    /// The log's fault: the log cannot be read, or holds what the machine does not understand.
    pub fn open(log: Arc<dyn Log>, outlet: O, options: ShardOptions) -> Result<Self, LogFault> {
        let machine = rebuild::rebuild::<M>(&*log)?;
        let core = Core::new(machine, log.marks(), log.active_segment(), options);
        Ok(Shard {
            log,
            outlet,
            mailbox: Mutex::new(VecDeque::new()),
            turning: AtomicBool::new(false),
            core: Mutex::new(core),
        })
    }

    /// The shard's log.
    pub fn log(&self) -> &Arc<dyn Log> {
        &self.log
    }

    /// The shard's outlet.
    pub fn outlet(&self) -> &O {
        &self.outlet
    }

    /// Leaves a command in the mailbox. Someone has to [`run`](Self::run) the shard afterwards.
    pub fn submit(&self, handle: O::Handle, command: M::Command) {
        lock(&self.mailbox).push_back((handle, command));
    }

    /// Answers a question about the state as replayed.
    ///
    /// # Errors
    /// The machine's refusal; that the shard is being rebuilt, or was [closed](Self::close).
    pub fn plan(&self, query: &M::Query) -> Result<M::Plan, PlanError<M::Refusal>> {
        let core = lock(&self.core);
        core.check_readable().map_err(PlanError::Fault)?;
        core.machine
            .plan(query, core.marks)
            .map_err(PlanError::Refused)
    }

    /// How far readers may go, whatever the machine is.
    ///
    /// # Errors
    /// The shard is being rebuilt, or was [closed](Self::close).
    pub fn readable_marks(&self) -> Result<Marks, StorageFault> {
        let core = lock(&self.core);
        core.check_readable()?;
        Ok(core.marks)
    }

    /// How far the log has come.
    pub fn marks(&self) -> Marks {
        lock(&self.core).marks
    }

    /// When the machine wants to be woken by [`run`](Self::run). Nothing expires while commands have to
    /// wait: the run that lets them in tells anew. A log that refuses is asked whether it takes writes
    /// again: those who wait for a deadline may be the only ones who come.
    pub fn deadline(&self) -> Option<MonoMs> {
        let core = lock(&self.core);
        match core.state {
            State::Active if core.accepts_commands() => core.machine.deadline(),
            State::Refusing { next_probe } if next_probe < MonoMs(u64::MAX) => {
                let deadline = core.machine.deadline();
                deadline.map(|deadline| deadline.max(next_probe))
            }
            _ => None,
        }
    }

    /// Decides what is in the mailbox and performs the appends, as long as there is work and up to
    /// a bound: true if it was reached, and somebody must call this again. Returns at once if
    /// somebody else is in a turn: they look into the mailbox again.
    pub fn run(&self, now: Now) -> bool {
        matches!(self.run_within(now, || Some(())), RunEnd::More)
    }

    /// [`run`](Self::run) for a thread that must not wait for the disk at any time: `enter` says
    /// before each piece of work whether it may now, and what it gives is held during the work.
    pub fn run_within<S>(&self, now: Now, mut enter: impl FnMut() -> Option<S>) -> RunEnd {
        let mut next = self.claim_probe(now);
        let mut rounds = 0;
        loop {
            while let Some(work) = next.take() {
                let Some(_seat) = enter() else {
                    return RunEnd::Waits(work);
                };
                next = self.work(work);
            }
            if rounds == RUN_ROUNDS_MAX {
                return RunEnd::More;
            }
            rounds += 1;
            next = self.turn(now).map(DiskWork::Append);
            if next.is_none() && !self.has_work() {
                return RunEnd::Idle;
            }
        }
    }

    /// Does what waits for the disk. Returns the append that follows, if one does.
    pub fn work(&self, work: DiskWork) -> Option<DiskWork> {
        match work {
            DiskWork::Append(job) => self.perform(job).map(DiskWork::Append),
            DiskWork::Probe { bytes, now } => {
                self.probe(bytes, now);
                None
            }
        }
    }

    /// One turn: decides and replays what is in the mailbox, releases what may leave, and hands out
    /// the append that follows, if none is in flight. `None` also if somebody else is in a turn.
    pub fn turn(&self, now: Now) -> Option<AppendJob> {
        if self.turning.swap(true, Ordering::AcqRel) {
            return None;
        }
        let _guard = CloseOnPanic::new(self);
        let mut core = lock(&self.core);
        let mut decided = 0;
        while core.accepts_commands() && decided < core.options.turn_commands_max {
            let Some((handle, command)) = lock(&self.mailbox).pop_front() else {
                break;
            };
            core.decide(handle, command, now);
            decided += 1;
        }
        core.expire_if_due(now, decided, lock(&self.mailbox).len());
        let job = core.take_append();
        self.turning.store(false, Ordering::Release);
        self.deliver(core);
        job
    }

    /// Performs an append and releases what waited for it. Returns the next append, if entries
    /// collected meanwhile: perform that too.
    pub fn perform(&self, job: AppendJob) -> Option<AppendJob> {
        let _guard = CloseOnPanic::new(self);
        let result = self.log.append(&job.items);
        let bytes = job.size_bytes();
        // Batches are freed outside the lock.
        drop(job);
        let mut core = lock(&self.core);
        match result {
            Ok(marks) => {
                core.append_done(marks);
                let next = core.take_append();
                self.deliver(core);
                next
            }
            Err(fault) => {
                core.append_failed(&fault, self.log.marks(), bytes);
                self.deliver(core);
                self.rebuild();
                None
            }
        }
    }

    /// Writes the machine's snapshot at the end of the log, unless it has one there: the last act
    /// before a clean stop, when nothing is in flight.
    ///
    /// # Errors
    /// The disk's fault; the snapshot is a cache, so nothing is lost.
    pub fn write_snapshot(&self) -> Result<(), LogFault> {
        let newest = self.log.snapshots().first().copied();
        let (at, bytes) = {
            let core = lock(&self.core);
            // Kafka, too, takes none where there is nothing new (`ProducerStateManager.takeSnapshot`).
            if core.end <= newest.unwrap_or(Offset::ZERO) {
                return Ok(());
            }
            (core.end, M::encode_snapshot(&core.machine.snapshot()))
        };
        match bytes {
            Some(bytes) if at == self.log.marks().written => self.log.write_snapshot(at, &bytes),
            _ => Ok(()),
        }
    }

    /// Ends the shard: everything that waits and everything that comes gets `fault`, plans too.
    pub fn close(&self, fault: StorageFault) {
        let mut core = lock(&self.core);
        core.close(fault, Offset(i64::MIN), false);
        self.deliver(core);
        // Commands that nobody will decide any more get their answer here.
        while self.run(Now::default()) {}
    }

    /// Effects whose completion the log does not show; asked once after `open`.
    pub fn unfinished(&self) -> Vec<M::Effect> {
        let mut effects = Vec::new();
        lock(&self.core).machine.unfinished(&mut effects);
        effects
    }

    /// Looks at the machine as replayed: what it shows may not be durable yet.
    pub fn inspect<R>(&self, look: impl FnOnce(&M) -> R) -> R {
        look(&lock(&self.core).machine)
    }

    /// The machine as its log has it: what tests compare the live one with.
    ///
    /// # Errors
    /// The log's fault.
    pub fn rebuilt(&self) -> Result<M, LogFault> {
        rebuild::rebuild::<M>(&*self.log)
    }

    /// Work is left that this caller could do: not when an append of somebody else's blocks it.
    fn has_work(&self) -> bool {
        !lock(&self.mailbox).is_empty()
            && !self.turning.load(Ordering::Acquire)
            && lock(&self.core).accepts_commands()
    }

    fn rebuild(&self) {
        let rebuilt = rebuild::rebuild::<M>(&*self.log);
        let mut core = lock(&self.core);
        match rebuilt {
            Ok(machine) => core.install(machine, self.log.marks(), self.log.active_segment()),
            Err(fault) => core.close(StorageFault::new(&fault), Offset(i64::MIN), false),
        }
        self.deliver(core);
    }

    /// After a failed append the log is asked with a write of its size before the next turn decides,
    /// so that a full disk costs one probe at a time and no rebuild per request.
    fn claim_probe(&self, now: Now) -> Option<DiskWork> {
        let bytes = lock(&self.core).claim_probe(now.mono)?;
        let now = now.mono;
        Some(DiskWork::Probe { bytes, now })
    }

    fn probe(&self, bytes: usize, now: MonoMs) {
        let _guard = CloseOnPanic::new(self);
        let result = self.log.probe(bytes);
        lock(&self.core).probed(result.is_ok(), now);
    }

    /// Hands the outbox to the outlet, outside the lock and in order: whoever finds nobody
    /// delivering takes the part, and goes on until the outbox is empty.
    fn deliver<'a>(&'a self, mut core: MutexGuard<'a, Core<M, O>>) {
        if core.delivering || core.outbox.is_empty() {
            return;
        }
        core.delivering = true;
        loop {
            let outbox = std::mem::take(&mut core.outbox);
            if outbox.is_empty() {
                core.delivering = false;
                return;
            }
            drop(core);
            for item in outbox {
                item.hand_to(&self.outlet);
            }
            core = lock(&self.core);
        }
    }
}

impl<M: Machine, O: Outlet<M>> MarkListener for Shard<M, O> {
    fn advanced(&self, marks: Marks) {
        let mut core = lock(&self.core);
        core.advanced(marks);
        self.deliver(core);
    }

    fn closed(&self, fault: &LogFault) {
        let mut core = lock(&self.core);
        let durable = core.marks.durable;
        core.close(StorageFault::new(fault), durable, true);
        self.deliver(core);
    }
}

impl AppendJob {
    /// What will be appended.
    pub fn items(&self) -> &[AppendItem] {
        &self.items
    }

    fn size_bytes(&self) -> usize {
        let size = |item: &AppendItem| match item {
            AppendItem::Batch { bytes, .. } => bytes.len(),
            AppendItem::Roll { snapshot, .. } => snapshot.as_ref().map_or(0, |bytes| bytes.len()),
        };
        self.items.iter().map(size).sum()
    }
}

/// Closes the shard if a turn or an append panics: nobody would end it otherwise, and everything that
/// waits would wait for ever. Only the next start trusts the machine again, rebuilt from its log.
struct CloseOnPanic<'a, M: Machine, O: Outlet<M>> {
    shard: &'a Shard<M, O>,
    /// The shard is being closed on behalf of a panic already.
    unwinding: bool,
}

impl<'a, M: Machine, O: Outlet<M>> CloseOnPanic<'a, M, O> {
    fn new(shard: &'a Shard<M, O>) -> Self {
        CloseOnPanic {
            shard,
            unwinding: std::thread::panicking(),
        }
    }
}

impl<M: Machine, O: Outlet<M>> Drop for CloseOnPanic<'_, M, O> {
    fn drop(&mut self) {
        if self.unwinding || !std::thread::panicking() {
            return;
        }
        lock(&self.shard.core).delivering = false;
        self.shard.turning.store(false, Ordering::Release);
        self.shard.close(StorageFault::closed(
            "closed until the next start: the broker met a fault of its own",
        ));
    }
}

/// Whoever panics with the lock closes the shard ([`CloseOnPanic`]), so it is taken over as it is.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A shard and its log's listener in one step.
///
/// # Errors
/// See [`Shard::open`].
pub fn open_listening<M: Machine, O: Outlet<M>>(
    log: Arc<dyn Log>,
    outlet: O,
    options: ShardOptions,
) -> Result<Arc<Shard<M, O>>, LogFault> {
    let shard = Arc::new(Shard::open(log, outlet, options)?);
    let weak: std::sync::Weak<Shard<M, O>> = Arc::downgrade(&shard);
    shard.log.listen(weak);
    Ok(shard)
}
