//! Random message sets, whole and damaged. Counts are fixed; seeds are printed.

use ottla_codec::{MessageFormat, downgrade, upgrade};
use ottla_model::batch::{BatchHead, Codec};
use ottla_model::ids::{LeaderEpoch, Offset};

use crate::common::{NOW_MS, Random};
use crate::fuzz::damage;
use crate::old_sets::{OLD, OLD_CODECS, Record, content, message, sealed, wrapper};

/// A set of one format: its magic, what it holds, and its bytes, wrapped or not.
fn random_set(random: &mut Random) -> (u8, Vec<Record>, Vec<u8>) {
    let magic = random.below(2) as u8;
    let mut all = Vec::new();
    let mut bytes = Vec::new();
    for offset in 0..random.below(30) as i64 + 1 {
        let nullable = |random: &mut Random| {
            let length = [0, 3, 30, 300, 3_000][random.below(5)];
            (random.below(4) > 0).then(|| random.bytes(length))
        };
        let (key, value) = (nullable(random), nullable(random));
        let timestamp_ms = match (magic, random.below(10)) {
            (0, _) | (_, 0) => -1,
            _ => NOW_MS - random.below(1 << 40) as i64,
        };
        bytes.extend(message(
            (magic, 0),
            (offset, timestamp_ms),
            key.as_deref(),
            value.as_deref(),
        ));
        all.push((offset, key, value, timestamp_ms));
    }
    let codec = OLD_CODECS[random.below(OLD_CODECS.len())];
    if codec != Codec::None {
        let offset = [0, all.len() as i64 - 1][random.below(2)];
        bytes = wrapper((magic, codec), (offset, NOW_MS), &bytes);
    }
    (magic, all, bytes)
}

/// Old, new, old again: nothing changes but what the format cannot say.
#[test]
fn random_sets_go_up_and_down_unchanged() {
    let mut random = Random::new("random sets");
    for round in 0..400 {
        let (magic, all, bytes) = random_set(&mut random);
        let mut batch = upgrade(&bytes, &OLD, None).unwrap().unwrap();
        assert!(content(batch.bytes()) == all, "round {round}");
        let base = random.below(1 << 40) as i64;
        batch.stamp(Offset(base), LeaderEpoch(1));
        for (to, format) in [(0, MessageFormat::V0), (1, MessageFormat::V1)] {
            let first = random.below(all.len());
            let expected: Vec<u8> = all[first..]
                .iter()
                .flat_map(|(offset, key, value, timestamp_ms)| {
                    let place = (base + offset, *timestamp_ms);
                    message((to, 0), place, key.as_deref(), value.as_deref())
                })
                .collect();
            let from = Offset(base + first as i64);
            let done = downgrade(batch.bytes(), format, from, usize::MAX, 1 << 20).unwrap();
            assert!(done.set == expected, "round {round}, v{magic} to v{to}");
            assert_eq!(done.next, Offset(base + all.len() as i64));
        }
    }
}

#[test]
fn damaged_sets_never_panic_and_what_is_taken_is_sound() {
    let mut random = Random::new("damaged sets");
    let (mut taken, mut refused) = (0, 0);
    for _ in 0..300 {
        let (_, all, bytes) = random_set(&mut random);
        for _ in 0..30 {
            let mut damaged = bytes[..].into();
            damage(&mut random, &mut damaged);
            match upgrade(&damaged, &OLD, None) {
                Ok(Some(batch)) => {
                    taken += 1;
                    assert!(batch.head().crc_matches(batch.bytes()));
                    // Offsets, a cut or doubled end: all that no CRC covers.
                    for (_, key, value, at) in content(batch.bytes()) {
                        let sent = all
                            .iter()
                            .any(|sent| (&sent.1, &sent.2, sent.3) == (&key, &value, at));
                        assert!(sent, "a record that nobody sent");
                    }
                }
                Ok(None) => assert!(damaged.is_empty()),
                Err(rejection) => {
                    refused += 1;
                    assert!(!rejection.to_string().is_empty());
                }
            }
        }
    }
    assert!(
        taken > 100 && refused > 1_000,
        "{taken} taken, {refused} refused"
    );
}

/// Behind a right CRC there may be anything.
#[test]
fn damage_under_right_crcs_never_panics() {
    let mut random = Random::new("damage under CRCs");
    let (mut taken, mut refused) = (0, 0);
    for _ in 0..3_000 {
        let magic = random.below(2) as u8;
        let length = random.below(300);
        let (key, value) = (random.bytes(length), random.bytes(length));
        let whole = message((magic, 0), (0, NOW_MS), Some(&key), Some(&value));
        let mut body = whole[16..].into();
        damage(&mut random, &mut body);
        let damaged = sealed(random.next() as i64, &body);
        let codec = OLD_CODECS[random.below(OLD_CODECS.len())];
        let set = match codec {
            Codec::None => damaged,
            codec => wrapper((magic, codec), (0, NOW_MS), &damaged),
        };
        match upgrade(&set, &OLD, None) {
            Ok(batch) => {
                taken += 1;
                assert_eq!(content(batch.unwrap().bytes()).len(), 1);
            }
            Err(_) => refused += 1,
        }
    }
    assert!(
        taken > 100 && refused > 1_000,
        "{taken} taken, {refused} refused"
    );
}

/// What lies in a log was checked once; a disk may have changed it since.
#[test]
fn damaged_batches_go_down_without_panic() {
    let mut random = Random::new("damaged batches");
    let (mut whole, mut refused) = (0, 0);
    for _ in 0..300 {
        let (_, _, bytes) = random_set(&mut random);
        let batch = upgrade(&bytes, &OLD, None).unwrap().unwrap();
        for round in 0..30 {
            let mut damaged = batch.bytes().into();
            damage(&mut random, &mut damaged);
            // Under a right CRC every other time.
            if round % 2 == 0
                && let Ok(mut head) = BatchHead::parse(&damaged)
            {
                head.seal(&mut damaged);
            }
            for format in [MessageFormat::V0, MessageFormat::V1] {
                let first = Offset(random.below(20) as i64);
                let bytes_max = random.below(10_000);
                match downgrade(&damaged, format, first, bytes_max, 1 << 20) {
                    Ok(done) => {
                        whole += 1;
                        assert!(done.next >= first);
                    }
                    Err(error) => {
                        refused += 1;
                        assert!(!error.to_string().is_empty());
                    }
                }
            }
        }
    }
    assert!(
        whole > 100 && refused > 1_000,
        "{whole} converted, {refused} refused"
    );
}
