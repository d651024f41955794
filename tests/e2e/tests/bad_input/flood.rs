//! Good requests with a few bytes changed by dice, many to a connection.
//!
//! What each deserves nobody knows; that the broker lives, its neighbours notice nothing and its
//! memory stays bounded is checked around it.

use std::time::Duration;

use ottla_e2e::random::Random;
use ottla_model::batch::{BatchHead, Codec};
use ottla_testkit::wire_client::{WireClient, WireError, produce_frame};

use crate::batches::{Victim, compressed, honest};
use crate::probe::frame;
use crate::samples::samples;

/// Requests that are sent before anything is read.
const BURST: u64 = 16;
/// A mutant may be a fetch that waits for ever: it is left alone after this.
const PATIENCE: Duration = Duration::from_millis(30);

/// Sends this many mutants and says what became of them.
pub(crate) fn flood(
    victim: &Victim<'_>,
    random: &mut Random,
    mutants: u64,
) -> Result<String, String> {
    let mut client = WireClient::connect(victim.address).map_err(|error| error.to_string())?;
    let spoken = client.api_versions().map_err(|error| error.to_string())?;
    let good: Vec<Vec<u8>> = samples(&spoken, &honest())
        .iter()
        .map(|sample| frame(sample.key, sample.version, &sample.body))
        .collect();
    let batches = [
        honest(),
        compressed(&honest(), Codec::Gzip),
        compressed(&honest(), Codec::Snappy),
        compressed(&honest(), Codec::Lz4),
        compressed(&honest(), Codec::Zstd),
    ];

    let (mut sent, mut answered, mut closed, mut silent) = (0, 0, 0, 0);
    while sent < mutants {
        let mut client = WireClient::connect(victim.address).map_err(|error| error.to_string())?;
        client
            .set_time_limit(PATIENCE)
            .map_err(|error| error.to_string())?;
        let burst = random.between(1, BURST);
        let mut bytes = Vec::new();
        for _ in 0..burst {
            // Half of them batches, where most of the decoding is.
            bytes.extend(match random.below(2) {
                0 => mutate(random.pick(&good).clone(), random),
                _ => produce_of(victim, &mutate_batch(random.pick(&batches).clone(), random))?,
            });
        }
        sent += burst;
        // It may hang up while this is being written.
        let _ = client.send_raw(&bytes);
        let _ = client.finish_sending();
        let end = loop {
            match client.receive_frame() {
                Ok(_) => answered += 1,
                Err(end) => break end,
            }
        };
        match end {
            WireError::Closed => closed += 1,
            WireError::TimedOut => silent += 1,
            error => return Err(format!("after {sent} mutants: {error}")),
        }
    }
    Ok(format!(
        "{sent} mutants: {answered} answers, {closed} connections closed, {silent} left waiting"
    ))
}

/// A right request for a wrong batch.
fn produce_of(victim: &Victim<'_>, batch: &[u8]) -> Result<Vec<u8>, String> {
    produce_frame(victim.topic, 0, batch, -1).map_err(|error| error.to_string())
}

/// Changes the batch, and mostly gives it the CRC that goes with it: what lies behind the CRC is to be
/// reached.
fn mutate_batch(batch: Vec<u8>, random: &mut Random) -> Vec<u8> {
    let mut framed = [&[0; 4], &batch[..]].concat();
    change(&mut framed, 4, random);
    let mut batch = framed.split_off(4);
    if let Ok(mut head) = BatchHead::parse(&batch)
        && random.chance(80)
    {
        head.seal(&mut batch);
    }
    batch
}

/// Changes the request behind its header mostly, and now and then its length.
fn mutate(mut frame: Vec<u8>, random: &mut Random) -> Vec<u8> {
    const HEADER_BYTES: usize = 22;
    let from = if random.chance(80) { HEADER_BYTES } else { 4 };
    change(&mut frame, from, random);
    let length = (frame.len() - 4) as u32;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    if random.chance(2) {
        frame[random.below(4) as usize] ^= 1 << random.below(8);
    }
    frame
}

/// Changes one to four places from `from` on.
fn change(frame: &mut Vec<u8>, from: usize, random: &mut Random) {
    const NUMBERS: [i32; 8] = [-1, 0, 1, 127, 255, 65_535, i32::MAX, i32::MIN];
    for _ in 0..random.between(1, 4) {
        if frame.len() <= from {
            return;
        }
        let at = random.between(from as u64, frame.len() as u64 - 1) as usize;
        match random.below(5) {
            0 => frame[at] ^= 1 << random.below(8),
            1 => frame[at] = random.bits() as u8,
            2 => frame[at] = *random.pick(&[0, 0x7f, 0x80, 0xff]),
            3 => {
                let number = random.pick(&NUMBERS).to_be_bytes();
                let end = (at + 4).min(frame.len());
                frame[at..end].copy_from_slice(&number[..end - at]);
            }
            _ => frame.truncate(at),
        }
    }
}
