//! Histories: appends, rolls, rounds, passes, restarts, and the crashes in them.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use ottla_log::disk::Disk;
use ottla_log::{
    CleanerOptions, Cleanup, CompactRule, Durability, LocalStore, Log, LogConfig, LogSpec,
    LogStore, StoreOptions,
};
use ottla_model::ids::{LeaderEpoch, NodeId, Offset};
use ottla_model::time::WallMs;

use super::check::{Facts, check};
use super::journal::{Entry, Journal, Maker, items};
use crate::conformance::{Random, partition};
use crate::sim_disk::{DiskError, Fault, Operation, SimDisk};

const ROOT: &str = "/data";
const TOPIC: &str = "compacted";
/// Where one pass takes one key, not every one is looked at.
const CHECKED_PASSES: u64 = 5;
const PASSES_MAX: u64 = 100_000;
/// Disks after a second crash, in a start that finds an interrupted swap.
const SECOND_CRASHES: u64 = 8;

#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) steps: usize,
    /// Possible disks after a power loss at each operation. `None`: the history is played only.
    pub(super) crashes_per_operation: Option<u64>,
}

/// What was tried.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Told {
    pub(super) passes: u64,
    pub(super) states: u64,
    pub(super) twice: u64,
}

/// What a history is played with.
#[derive(Clone, Debug)]
struct Settings {
    durability: Durability,
    rule: CompactRule,
    dedupe_buffer_bytes: u64,
    segment_bytes_max: u64,
    clock: Arc<AtomicI64>,
}

/// A store with its one log, and what is known of it.
struct Player {
    settings: Settings,
    disk: SimDisk,
    store: Arc<LocalStore>,
    log: Arc<dyn Log>,
    journal: Journal,
    maker: Maker,
    facts: Facts,
    /// What was known after how many operations of the disk.
    notes: Vec<(u64, Facts)>,
    told: Told,
}

/// Plays a history, and opens every disk that crashes leave.
pub(super) fn run(plan: &Plan) -> Told {
    let mut random = Random::new(plan.seed);
    let settings = Settings {
        durability: match random.one_in(3) {
            true => Durability::Os,
            false => Durability::Synced,
        },
        rule: CompactRule {
            segment_bytes: [600, 2_000, 100_000][random.below(3) as usize],
            dirty_ratio_min: 0.0,
            delete_retention_ms: 500,
            ..CompactRule::default()
        },
        // From one key at a time to all.
        dedupe_buffer_bytes: [0, 24 * 5, 1 << 20, 1 << 20][random.below(4) as usize],
        // Some passes write more segments than they read.
        segment_bytes_max: [300, 1_000, u64::MAX][random.below(3) as usize],
        clock: Arc::new(AtomicI64::new(1_000_000)),
    };
    let disk = SimDisk::new();
    disk.record();
    let mut player = Player::open(
        settings,
        disk,
        Maker::new(random),
        Journal::default(),
        Facts::default(),
    )
    .unwrap_or_else(|why| panic!("{plan:?}: {why}"));
    for step in 0..plan.steps {
        if let Err(why) = player.step() {
            panic!("{plan:?}, step {step}: {why}");
        }
    }
    if let Some(crashes) = plan.crashes_per_operation {
        player.crash_everywhere(plan, crashes);
    }
    player.told
}

impl Player {
    fn open(
        settings: Settings,
        disk: SimDisk,
        maker: Maker,
        journal: Journal,
        facts: Facts,
    ) -> Result<Player, String> {
        let (store, log) = open(&settings, &disk)?;
        let mut player = Player {
            settings,
            disk,
            store,
            log,
            journal,
            maker,
            facts,
            notes: Vec::new(),
            told: Told::default(),
        };
        player.begin()?;
        Ok(player)
    }

    fn begin(&mut self) -> Result<(), String> {
        self.facts.now_ms = self.settings.clock.load(Ordering::Relaxed);
        self.facts.delete_retention_ms = self.settings.rule.delete_retention_ms as i64;
        let written = self.log.marks().written;
        let end = self.check()?;
        self.facts.log_start = self.log.marks().log_start;
        let kept = self.journal.between(self.facts.log_start, end).to_vec();
        self.maker.go_on(&kept, written);
        self.journal = Journal(kept);
        self.maker.epoch = LeaderEpoch(self.log.epoch_at(written).map_or(0, |epoch| epoch.0 + 1));
        self.facts.exposed = self.facts.exposed.max(written);
        self.facts.everything_written_is_there = true;
        self.log
            .begin_epoch(self.maker.epoch)
            .map_err(|fault| fault.to_string())?;
        self.note();
        Ok(())
    }

    fn note(&mut self) {
        self.facts.durable = self.log.marks().durable;
        self.notes
            .push((self.disk.operations(), self.facts.clone()));
    }

    fn check(&mut self) -> Result<Offset, String> {
        check(
            &*self.log,
            &self.journal,
            &self.facts,
            &mut self.maker.random,
        )
    }

    fn step(&mut self) -> Result<(), String> {
        match self.maker.random.below(20) {
            0..9 => self.append(false),
            9..12 => self.append(true),
            12..15 => {
                self.store.flush_round();
                self.note();
                Ok(())
            }
            15 => {
                let ms = self.maker.random.below(400) as i64;
                self.facts.now_ms = self.settings.clock.fetch_add(ms, Ordering::Relaxed) + ms;
                self.note();
                Ok(())
            }
            16..19 => self.clean(),
            _ => self.restart(),
        }
    }

    fn append(&mut self, roll: bool) -> Result<(), String> {
        let count = 1 + self.maker.random.below(3);
        let entries: Vec<Entry> = (0..count)
            .map(|_| self.maker.entry(self.facts.now_ms))
            .collect();
        let base = entries[0].batch.head.base_offset;
        let items = items(
            &entries,
            roll && self.log.active_segment().base_offset < base,
        );
        // It may be there before anybody hears of it.
        self.journal.0.extend(entries);
        let marks = self.log.append(&items).map_err(|fault| fault.to_string())?;
        self.facts.exposed = marks.written;
        self.note();
        Ok(())
    }

    fn clean(&mut self) -> Result<(), String> {
        // Held across the pass, as a slow reader would.
        let (start, end) = (self.log.marks().log_start, self.log.marks().written);
        let from = start + self.maker.random.below((end - start) as u64 + 1) as i64;
        let held = self
            .log
            .read(from, end, 1_000, true)
            .map_err(|error| error.to_string())?;
        let before = held.bytes().map_err(|fault| fault.to_string())?;

        self.facts.cleaned_to = self.log.active_segment().base_offset;
        self.note();
        if self.maker.random.one_in(4) {
            self.fail_a_pass();
        }
        while self.store.clean_round() {
            self.told.passes += 1;
            let after = held.bytes().map_err(|fault| fault.to_string())?;
            if after != before {
                return Err(format!("a read from {from} changed under its reader"));
            }
            if self.told.passes.is_multiple_of(CHECKED_PASSES) {
                self.check()?;
            }
            if self.told.passes > PASSES_MAX {
                return Err("the passes come to no end".into());
            }
        }
        self.check()?;
        self.note();
        Ok(())
    }

    /// Lets the disk refuse what a pass writes, and time pass until the next one may be.
    fn fail_a_pass(&mut self) {
        let random = &mut self.maker.random;
        let operation = [Operation::CreateFile, Operation::Write, Operation::Sync];
        let operation = operation[random.below(3) as usize];
        let fault = Fault::new(operation, DiskError::NoSpace).on(".cleaned");
        self.disk.inject(fault.after(random.below(6)));
        self.told.passes += u64::from(self.store.clean_round());
        self.disk.heal();
        const RETRY_MS: i64 = 60_001;
        let clock = &self.settings.clock;
        self.facts.now_ms = clock.fetch_add(RETRY_MS, Ordering::Relaxed) + RETRY_MS;
        self.note();
    }

    /// Stops the process, cleanly or not, and starts it again on the same disk.
    fn restart(&mut self) -> Result<(), String> {
        if self.maker.random.one_in(2) {
            self.store.stop();
            self.store.close().map_err(|fault| fault.to_string())?;
        }
        // The lock of the directory goes with the last handle.
        let elsewhere = SimDisk::new();
        let (store, log) = open(&self.settings, &elsewhere)?;
        self.store = store;
        self.log = log;
        let (store, log) = open(&self.settings, &self.disk)?;
        self.store = store;
        self.log = log;
        self.begin()
    }

    fn crash_everywhere(&mut self, plan: &Plan, crashes: u64) {
        let notes = std::mem::take(&mut self.notes);
        let mut notes = notes.iter().peekable();
        let mut facts = Facts::default();
        for operation in 0..=self.disk.operations() {
            while let Some((_, note)) = notes.next_if(|(at, _)| *at <= operation) {
                facts = note.clone();
            }
            // What is attempted now is known to nobody yet.
            let upcoming = notes
                .peek()
                .map_or(facts.cleaned_to, |(_, next)| next.cleaned_to);
            facts.cleaned_to = facts.cleaned_to.max(upcoming);
            let image = self
                .disk
                .recorded(operation)
                .expect("every operation is recorded");
            for nth in 0..=crashes {
                let mut random = Random::new(plan.seed ^ (operation << 20) ^ (nth << 8));
                let (disk, killed) = match nth {
                    0 => (image.kill_image(), true),
                    _ => (image.crash(random.number()), false),
                };
                if let Err(why) = self.survive(disk, killed, &facts, &mut random) {
                    panic!("{plan:?}, operation {operation}, crash {nth}: {why}");
                }
            }
        }
    }

    /// Opens a disk after a crash and goes on with it; now and then it crashes again.
    fn survive(
        &mut self,
        disk: SimDisk,
        killed: bool,
        facts: &Facts,
        random: &mut Random,
    ) -> Result<(), String> {
        let mut facts = facts.clone();
        facts.everything_written_is_there = false;
        self.told.states += 1;
        // What a start does with a swap that was interrupted is interrupted often.
        let interrupted = holds_swap(&disk);
        let again = interrupted || random.one_in(6);
        if again {
            disk.record();
        }
        let mut settings = self.settings.clone();
        // A start after a power loss may open a gap, and then exposes nothing new.
        settings.clock = Arc::new(AtomicI64::new(facts.now_ms));
        if !killed && settings.durability == Durability::Os {
            facts.durable = Offset::ZERO;
        }
        let maker = Maker::new(random.clone());
        let before = facts.clone();
        let mut player = Player::open(settings, disk.clone(), maker, self.journal.clone(), facts)?;
        let opened_at = disk.operations();
        for _ in 0..random.below(6) {
            player.step()?;
        }
        player.clean()?;
        self.told.twice += u64::from(again);
        if !again {
            return Ok(());
        }
        for _ in 0..if interrupted { SECOND_CRASHES } else { 1 } {
            let facts = before.clone();
            self.crash_again((&disk, opened_at), &player, facts, interrupted, random)?;
        }
        Ok(())
    }

    /// Opens a disk that crashed while `player` opened it, or used it.
    fn crash_again(
        &self,
        (disk, opened_at): (&SimDisk, u64),
        player: &Player,
        before: Facts,
        in_the_start: bool,
        random: &mut Random,
    ) -> Result<(), String> {
        let at = match in_the_start || random.one_in(2) {
            true => random.below(opened_at + 1),
            false => random.below(disk.operations() + 1),
        };
        let image = disk.recorded(at).expect("every operation is recorded");
        let (disk, killed) = match random.one_in(4) {
            true => (image.kill_image(), true),
            false => (image.crash(random.number()), false),
        };
        let known = player.notes.iter().rfind(|(until, _)| *until <= at);
        let (mut facts, journal) = match known {
            Some((_, facts)) => (facts.clone(), &player.journal),
            None => (before, &self.journal),
        };
        facts.cleaned_to = player.facts.cleaned_to;
        facts.everything_written_is_there = false;
        if !killed && player.settings.durability == Durability::Os {
            facts.durable = Offset::ZERO;
        }
        let settings = player.settings.clone();
        let maker = Maker::new(random.clone());
        Player::open(settings, disk, maker, journal.clone(), facts).map_err(|why| {
            format!(
                "then operation {at} ({killed} {:?}): {why}",
                player.settings.durability
            )
        })?;
        Ok(())
    }
}

/// Whether a swap was interrupted.
fn holds_swap(disk: &SimDisk) -> bool {
    let names = disk.list(&Path::new(ROOT).join(format!("{TOPIC}-0")));
    names.is_ok_and(|names| names.iter().any(|(name, _)| name.ends_with(".swap")))
}

fn open(settings: &Settings, disk: &SimDisk) -> Result<(Arc<LocalStore>, Arc<dyn Log>), String> {
    let mut random = Random::new(7);
    let ids = std::sync::Mutex::new(move || random.number());
    let mut options = StoreOptions::new(
        NodeId(1),
        settings.durability,
        Arc::new(move || {
            let mut next = ids.lock().expect("no test panics in here");
            let (a, b) = (next().to_be_bytes(), next().to_be_bytes());
            std::array::from_fn(|i| if i < 8 { a[i] } else { b[i - 8] })
        }),
    );
    options.index_chunk_entries = 8;
    options.cleaner = CleanerOptions {
        dedupe_buffer_bytes: settings.dedupe_buffer_bytes,
        io_bytes_per_second_max: u64::MAX,
        segment_bytes_max: settings.segment_bytes_max,
        ..CleanerOptions::default()
    };
    let clock = settings.clock.clone();
    options.clock = Arc::new(move || WallMs(clock.load(Ordering::Relaxed)));
    let (store, _) = LocalStore::open(Arc::new(disk.clone()), Path::new(ROOT), options)
        .map_err(|error| error.to_string())?;
    let spec = LogSpec {
        name: partition(TOPIC, 1),
        config: LogConfig {
            index_interval_bytes: 300,
            cleanup: Cleanup::Compact(settings.rule),
        },
    };
    let (log, recovery) = store.open_log(&spec).map_err(|fault| fault.to_string())?;
    if !recovery.damage.is_empty() {
        return Err(format!("damage: {:?}", recovery.damage));
    }
    Ok((store, log))
}
