//! The rebuilt machine is the live one.

use super::*;
use crate::partition::{ProducerEntry, Snapshot};

/// A rig that ran a random script, with a snapshot as the file keeps it taken somewhere on the way.
struct Ran {
    rig: Rig,
    /// The snapshot as its file keeps it, and how many batches were in the log.
    file: (Snapshot, usize),
}

/// Mostly well-behaved producers, with gaps, retries, new and old epochs among them.
fn run(seed: u64) -> Ran {
    let mut random = Random::new(seed);
    let mut rig = Rig {
        mono: MonoMs(1),
        ..Rig::default()
    };
    let producers = 1 + random.below(6);
    let steps = random.below(400);
    let roll_at = random.below(steps + 1);
    let mut next: Vec<(i16, i32)> = (0..producers)
        .map(|_| match random.below(3) {
            0 => (0, i32::MAX - random.below(60) as i32),
            _ => (0, 0),
        })
        .collect();
    let mut retries: Vec<(i64, i16, i32, i32)> = Vec::new();
    let mut file = None;
    for step in 0..=steps {
        if step == roll_at {
            file = Some((as_the_file_keeps_it(rig.machine.snapshot()), rig.log.len()));
        }
        rig.mono.0 += random.below(50_000);
        let before = rig.machine.snapshot();
        let id = random.below(producers);
        let (epoch, sequence) = next[id as usize];
        let count = 1 + random.below(4) as i32;
        let id = id as i64;
        match random.below(12) {
            0 => drop(rig.append(plain_batch(count))),
            // A gap is refused and leaves no trace, if the producer is known.
            1 => {
                let known = before.producers.iter().any(|p| p.id.0 == id);
                if known {
                    let far = Sequence(sequence).plus(17).0;
                    assert!(rig.append(batch(id, epoch, far, count)).is_err());
                    assert_eq!(rig.machine.snapshot(), before);
                }
            }
            2 => {
                next[id as usize] = (epoch + 1, 0);
            }
            3 if epoch > 0 => {
                let known_epoch = before
                    .producers
                    .iter()
                    .find(|p| p.id.0 == id)
                    .map(|p| p.epoch.0);
                let got = rig.append(batch(id, epoch - 1, 0, count));
                if known_epoch == Some(epoch) {
                    assert_eq!(got, old_epoch(epoch, epoch - 1));
                }
            }
            4 | 5 if !retries.is_empty() => {
                let (id, epoch, sequence, count) =
                    retries[random.below(retries.len() as u64) as usize];
                let length = rig.log.len();
                if let Ok(Answer::Appended { duplicate, .. }) =
                    rig.append(batch(id, epoch, sequence, count))
                {
                    assert!(duplicate, "a second copy of a batch");
                }
                assert_eq!(rig.log.len(), length);
            }
            _ => {
                let got = rig.append(batch(id, epoch, sequence, count));
                assert!(
                    matches!(
                        got,
                        Ok(Answer::Appended {
                            duplicate: false,
                            ..
                        })
                    ),
                    "{got:?}"
                );
                next[id as usize] = (epoch, Sequence(sequence).plus(count).0);
                retries.push((id, epoch, sequence, count));
            }
        }
    }
    Ran {
        rig,
        file: file.unwrap(),
    }
}

fn as_the_file_keeps_it(snapshot: Snapshot) -> Snapshot {
    let bytes = Partition::encode_snapshot(&snapshot).unwrap();
    let kept = Partition::decode_snapshot(snapshot.at, &bytes).unwrap();
    for (kept, whole) in kept.producers.iter().zip(&snapshot.producers) {
        assert_eq!(kept.batches.last(), whole.batches.last());
        assert!(kept.batches.len() <= 1);
    }
    kept
}

fn replay(machine: &mut Partition, heads: &[BatchHead]) {
    for head in heads {
        machine.replay(head.base_offset, Event::Batch(head));
    }
}

#[test]
fn live_state_is_the_state_replayed_from_the_beginning() {
    for seed in 1..=300 {
        std::println!("seed {seed}");
        let Ran { rig, .. } = run(seed);
        let mut rebuilt = Partition::default();
        replay(&mut rebuilt, &rig.log);
        assert_eq!(rebuilt.snapshot(), rig.machine.snapshot());
    }
}

#[test]
fn live_state_is_the_state_rebuilt_from_a_snapshots_file_and_the_log_around_it() {
    for seed in 1..=300 {
        std::println!("seed {seed}");
        let Ran {
            rig,
            file: (file, at),
        } = run(seed);
        let from = Random::new(seed).below(at as u64 + 1) as usize;
        let replayed_from = rig.log.get(from).map_or(rig.end, |head| head.base_offset);

        let mut rebuilt = Partition::restore(file);
        replay(&mut rebuilt, &rig.log[from..]);

        let (rebuilt, live) = (rebuilt.snapshot(), rig.machine.snapshot());
        assert_eq!(rebuilt.at, live.at);
        assert_eq!(rebuilt.producers.len(), live.producers.len());
        for (rebuilt, live) in rebuilt.producers.iter().zip(&live.producers) {
            let reachable = live
                .batches
                .iter()
                .filter(|b| b.base_offset() >= replayed_from)
                .count();
            // The file's own batch is there even if it lies before what was replayed.
            assert!(rebuilt.batches.len() >= reachable.max(1));
            let cut = live.batches.len() - rebuilt.batches.len();
            let shortened = ProducerEntry {
                batches: live.batches[cut..].to_vec(),
                ..live.clone()
            };
            assert_eq!(rebuilt, &shortened);
        }
        if from == 0 {
            assert_eq!(rebuilt, live);
        }
    }
}

#[test]
fn the_whole_snapshot_restores_the_whole_state() {
    for seed in 1..=50 {
        std::println!("seed {seed}");
        let Ran { rig, .. } = run(seed);
        let mut restored = Partition::restore(rig.machine.snapshot());
        assert_eq!(restored.snapshot(), rig.machine.snapshot());
        // Batches that the snapshot holds already change nothing.
        replay(&mut restored, &rig.log);
        assert_eq!(restored.snapshot(), rig.machine.snapshot());
    }
}

#[test]
fn what_was_forgotten_before_the_snapshot_stays_forgotten() {
    let mut rig = Rig {
        mono: MonoMs(1),
        ..Rig::default()
    };
    rig.append(batch(1, 0, 0, 1)).unwrap();
    rig.append(batch(2, 0, 0, 1)).unwrap();
    rig.append(batch(2, 1, 0, 1)).unwrap();
    let snapshot = Snapshot {
        at: rig.end,
        producers: rig.machine.snapshot().producers.split_off(1),
    };
    let mut rebuilt = Partition::restore(snapshot.clone());
    replay(&mut rebuilt, &rig.log);
    assert_eq!(
        rebuilt.snapshot(),
        snapshot,
        "neither producer 1 nor epoch 0 of producer 2"
    );
}

#[test]
fn a_marker_raises_the_epoch_and_empties_the_window() {
    // As an opened Kafka directory may hold it (KIP-890).
    let mut rig = Rig {
        mono: MonoMs(1),
        ..Rig::default()
    };
    rig.append(batch(1, 0, 0, 1)).unwrap();
    let mut marker = *batch_with(
        Attributes::default().with_control().with_transactional(),
        1,
        1,
        -1,
        1,
    )
    .head();
    marker.base_offset = rig.end;
    rig.machine.replay(rig.end, Event::Batch(&marker));
    rig.end = marker.next_offset();
    assert_eq!(rig.machine.snapshot().producers[0].batches, []);
    assert_eq!(rig.append(batch(1, 0, 1, 1)), old_epoch(1, 0));
    assert_eq!(rig.append(batch(1, 1, 1, 1)), out_of_order(0, 1));

    // An epoch without a batch survives the file.
    let kept = as_the_file_keeps_it(rig.machine.snapshot());
    assert_eq!(kept, rig.machine.snapshot());
    assert_eq!(rig.append(batch(1, 1, 0, 1)), appended(2));
}

#[test]
fn a_damaged_or_impossible_snapshot_is_not_used() {
    let mut rig = Rig::default();
    for id in 0..3 {
        rig.append(batch(id, 0, 0, 2)).unwrap();
    }
    let snapshot = rig.machine.snapshot();
    let bytes = Partition::encode_snapshot(&snapshot).unwrap();
    assert_eq!(
        Partition::decode_snapshot(rig.end, &bytes),
        Some(snapshot.clone())
    );
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x40;
        let decoded = Partition::decode_snapshot(rig.end, &damaged);
        assert_eq!(decoded, None, "byte {at}");
    }

    // A batch that lies behind the snapshot; the rest is right in itself.
    assert_eq!(Partition::decode_snapshot(Offset(5), &bytes), None);
    let refused = |change: fn(&mut Vec<ProducerEntry>)| {
        let mut wrong = snapshot.clone();
        change(&mut wrong.producers);
        let bytes = Partition::encode_snapshot(&wrong).unwrap();
        assert_eq!(Partition::decode_snapshot(rig.end, &bytes), None);
    };
    refused(|producers| producers[1].id = producers[0].id);
    refused(|producers| producers[0].id = ProducerId::NONE);
    refused(|producers| producers[0].batches[0].offset_delta = -1);
    refused(|producers| producers[0].batches[0].offset_delta = 2);
}
