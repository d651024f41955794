//! What reads bytes, one file each.

mod batches;
pub(crate) mod canaries;
mod codecs;
mod frames;
mod messages;
mod old;
mod stored;
mod tags;

use std::sync::Arc;

use crate::{Depth, Group, Seen};

/// Inputs per message and version, and of what reads only one thing.
const INPUTS_PER_VERSION: u64 = 10_000;
const INPUTS: u64 = 1_000_000;

pub(crate) fn all() -> Result<Vec<Box<dyn Group>>, String> {
    let schema = Arc::new(ottla_schema::load()?);
    let mut groups: Vec<Box<dyn Group>> = vec![
        Box::new(frames::Frames::new(&schema)),
        Box::new(messages::Messages::requests(&schema)),
        Box::new(messages::Messages::responses(&schema)),
        Box::new(stored::Stored::new(&schema)),
        Box::new(tags::Tags::new(&schema)),
        Box::new(batches::Batches),
        Box::new(batches::Records),
        Box::new(old::Upgrades),
        Box::new(old::Downgrades),
    ];
    groups.extend(codecs::all());
    Ok(groups)
}

/// What became of an input that was not refused by what stands in front.
fn seen(understood: bool, above_bytes: u64) -> Seen {
    Seen {
        depth: match understood {
            true => Depth::Understood,
            false => Depth::Reached,
        },
        above_bytes,
    }
}

const REFUSED: Seen = Seen {
    depth: Depth::Refused,
    above_bytes: 0,
};

/// Splits `N` bytes off the front.
fn take<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = from.split_first_chunk()?;
    *from = rest;
    Some(*taken)
}
