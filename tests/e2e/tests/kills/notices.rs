//! The judges judged: each fault that they are there for, made by hand, must be noticed.

use ottla_e2e::random::Random;
use ottla_model::batch::{BATCH_HEADER_BYTES, BatchHead};

use crate::is_idempotent;
use crate::ledger::Ledger;
use crate::payload::{Batch, batch};
use crate::scan::Scan;

/// An idempotent producer and a plain one.
const EXACT: u32 = 0;
const PLAIN: u32 = 9;

/// Partition 0 as a broker would hand it out.
#[derive(Default)]
struct Log {
    bytes: Vec<u8>,
    next: i64,
}

impl Log {
    fn push(mut self, batch: &Batch, leader_epoch: i32) -> Log {
        let at = self.bytes.len();
        self.bytes.extend(&batch.bytes);
        self.bytes[at..at + 8].copy_from_slice(&self.next.to_be_bytes());
        self.bytes[at + 12..at + 16].copy_from_slice(&leader_epoch.to_be_bytes());
        self.next += batch.stamps.len() as i64;
        self
    }

    fn gap(mut self) -> Log {
        self.next += 1;
        self
    }
}

/// Every fault, and the words that it must be reported with; empty where nothing is wrong.
pub(crate) fn notices() -> Result<String, String> {
    let mut random = Random::new(1);
    let mut make = |producer, base| batch(producer, None, 0, base, &mut random);
    let first = make(EXACT, 0);
    let second = make(EXACT, first.stamps.len() as i32);
    let third = make(EXACT, (first.stamps.len() + second.stamps.len()) as i32);
    let other = make(PLAIN, 7);
    let later = make(PLAIN, 70);
    let log = Log::default;
    let cases = [
        (
            "whole",
            log()
                .push(&first, 1)
                .push(&other, 1)
                .push(&second, 2)
                .push(&later, 2),
            "",
        ),
        (
            "twice",
            log().push(&first, 1).push(&first, 1),
            "comes after sequence",
        ),
        (
            "lost",
            log().push(&first, 1).push(&third, 1),
            "comes after sequence",
        ),
        ("swapped", log().push(&second, 1), "comes after sequence"),
        (
            "plain, twice",
            log().push(&other, 1).push(&other, 1),
            "comes after sequence",
        ),
        (
            "plain, swapped",
            log().push(&later, 1).push(&other, 1),
            "comes after sequence",
        ),
        (
            "gap",
            log().push(&first, 1).gap().push(&second, 1),
            "was due",
        ),
        (
            "epoch",
            log().push(&first, 2).push(&second, 1),
            "leader epoch 1 after 2",
        ),
        (
            "changed",
            log().push(&changed(&first), 1),
            "its bytes changed",
        ),
    ];
    let count = cases.len() + 2;
    for (what, log, words) in cases {
        let mut scan = Scan::new(0);
        expect(
            what,
            scan.take(&log.bytes, 0, &Ledger::new(1), is_idempotent),
            words,
        )?;
    }
    let ledger = Ledger::new(1);
    ledger.acknowledged(0, 0, &first.stamps)?;
    let replaced = log().push(&other, 1);
    let read = Scan::new(0).take(&replaced.bytes, 0, &ledger, is_idempotent);
    expect("replaced before it was read", read, "names two records")?;
    let ledger = Ledger::new(1);
    Scan::new(0).take(&replaced.bytes, 0, &ledger, is_idempotent)?;
    expect(
        "replaced after it was read",
        ledger.acknowledged(0, 0, &first.stamps),
        "names two records",
    )?;
    Ok(format!("{count} faults and their absence"))
}

fn expect(what: &str, got: Result<(), String>, words: &str) -> Result<(), String> {
    match &got {
        Ok(()) if words.is_empty() => Ok(()),
        Err(why) if !words.is_empty() && why.contains(words) => Ok(()),
        _ => Err(format!("{what}: {got:?} where {words:?} was due")),
    }
}

/// The batch with a byte of a value changed and the CRC that goes with it.
fn changed(batch: &Batch) -> Batch {
    let mut bytes = batch.bytes.clone();
    // Behind the head and key of the first record, within its value.
    bytes[BATCH_HEADER_BYTES + 40] ^= 1;
    let mut head = BatchHead::parse(&bytes).expect("made by the builder");
    head.seal(&mut bytes);
    Batch {
        partition: batch.partition,
        stamps: batch.stamps.clone(),
        bytes,
        sent: None,
    }
}
