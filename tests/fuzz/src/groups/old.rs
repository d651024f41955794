//! The message formats v0 and v1: sets of old producers, and batches made into sets for old consumers.

use ottla_codec::{
    DowngradeError, MessageFormat, Rejection, Rules, TimestampRule, compress, downgrade, is_old,
    upgrade,
};
use ottla_model::batch::Codec;
use ottla_model::ids::Offset;
use ottla_model::time::WallMs;
use ottla_schema::random::{Random, Value};

use super::batches::{DECOMPRESSED_BYTES_MAX, batch, change_batch};
use super::codecs::seal_lz4;
use super::{INPUTS, REFUSED, seen};
use crate::meter::{bounded, metered};
use crate::mutate::{change, mutate};
use crate::{Group, Maker, Seen};

/// From a message's first byte to its CRC, and to its magic.
const CRC_AT: usize = 12;
const MAGIC_AT: usize = 16;

/// Input: a byte that says by which rules, then the bytes of a Produce's partition.
pub(super) struct Upgrades;

impl Group for Upgrades {
    fn name(&self) -> &'static str {
        "old-produce"
    }

    fn variants(&self) -> Vec<String> {
        vec!["message sets".into()]
    }

    fn inputs_in_ci(&self) -> u64 {
        INPUTS / 2
    }

    fn maker(&self, _: usize) -> Box<dyn Maker + '_> {
        Box::new(|dice: &mut Random| {
            let mut input = vec![dice.bits() as u8];
            input.extend(message_set(dice));
            input
        })
    }

    fn repair(&self, input: &mut [u8]) {
        if let Some((_, set)) = input.split_first_mut() {
            seal_all(set);
        }
    }

    /// Behind sizes and CRCs of the outer messages it is reached.
    fn run(&self, input: &[u8]) -> Result<Seen, String> {
        let Some((selector, set)) = input.split_first() else {
            return Ok(REFUSED);
        };
        let bit = |bit: u8| selector & (1 << bit) != 0;
        let rules = Rules {
            max_message_bytes: if bit(0) && bit(1) { 200 } else { 1 << 20 },
            key_required: bit(2) && bit(3),
            timestamp: match bit(4) {
                true => TimestampRule::LogAppendTime,
                false => TimestampRule::CreateTime {
                    before_max_ms: i64::MAX,
                    after_max_ms: i64::MAX,
                    now: WallMs(0),
                },
            },
            produce_version: 2,
            decompressed_bytes_max: DECOMPRESSED_BYTES_MAX,
            from_client: true,
        };
        let codecs = [
            Codec::None,
            Codec::Gzip,
            Codec::Snappy,
            Codec::Lz4,
            Codec::Zstd,
        ];
        // Each of them, and otherwise what the set has.
        let topic = codecs
            .get(usize::from(selector >> 5))
            .map(|codec| (*codec, None));
        let (upgraded, peak) = metered(|| upgrade(set, &rules, topic));
        let above = bounded(peak, input)?;
        match upgraded {
            Ok(None) => Ok(REFUSED),
            Ok(Some(batch)) => {
                if !is_old(set) || !batch.head().crc_matches(batch.bytes()) {
                    return Err(format!("it becomes {:?}", batch.head()));
                }
                there_and_back(batch.bytes())?;
                Ok(seen(true, above))
            }
            Err(
                Rejection::NoBatch
                | Rejection::Length(_)
                | Rejection::UnknownMagic(_)
                | Rejection::TooLarge { .. }
                | Rejection::Crc { .. },
            ) => Ok(REFUSED),
            Err(other) => {
                drop((other.to_string(), other.kind()));
                Ok(seen(false, above))
            }
        }
    }
}

/// What was made of old messages can be read by who wrote them.
fn there_and_back(batch: &[u8]) -> Result<(), String> {
    let all = usize::MAX;
    match downgrade(batch, MessageFormat::V1, Offset(0), all, all) {
        Ok(set) if !set.set.is_empty() => Ok(()),
        // Only if the topic asked for it.
        Err(DowngradeError::Zstd) => Ok(()),
        other => Err(format!("its batch goes back as {other:?}")),
    }
}

/// Input: a byte that says which format, how much and from where on (see [`Downgrades::run`]), then
/// batches of a log.
pub(super) struct Downgrades;

impl Group for Downgrades {
    fn name(&self) -> &'static str {
        "old-fetch"
    }

    fn variants(&self) -> Vec<String> {
        vec!["batches".into()]
    }

    fn inputs_in_ci(&self) -> u64 {
        INPUTS / 2
    }

    fn maker(&self, _: usize) -> Box<dyn Maker + '_> {
        let mut other = Vec::new();
        Box::new(move |dice: &mut Random| {
            let mut input = vec![dice.bits() as u8];
            for _ in 0..1 + dice.below(3) {
                let mut batch = batch(dice);
                if dice.one_in(2) {
                    change_batch(&mut batch, &other, dice);
                }
                other.clone_from(&batch);
                input.extend_from_slice(&batch);
            }
            input
        })
    }

    /// The first batch's records are reached.
    fn run(&self, input: &[u8]) -> Result<Seen, String> {
        let Some((selector, batches)) = input.split_first() else {
            return Ok(REFUSED);
        };
        let format = match selector & 1 {
            0 => MessageFormat::V0,
            _ => MessageFormat::V1,
        };
        let first = Offset(i64::from(selector >> 1 & 3));
        let bytes_max = [0, 100, 4 << 10, 64 << 10][usize::from(selector >> 3 & 3)];
        let work = || downgrade(batches, format, first, bytes_max, DECOMPRESSED_BYTES_MAX);
        let (downgraded, peak) = metered(work);
        let above = bounded(peak, input)?;
        match downgraded {
            Ok(done) if done.next < first => Err(format!("from {first} on to {}", done.next)),
            Ok(done) if done.set.is_empty() && done.next == first => Ok(REFUSED),
            Ok(_) => Ok(seen(true, above)),
            Err(error) => {
                drop(error.to_string());
                Ok(seen(false, above))
            }
        }
    }
}

/// A message set with a few lies in it.
fn message_set(dice: &mut Random) -> Vec<u8> {
    let format = if dice.one_in(2) { 0 } else { 1 };
    let mut set = messages(format, dice);
    if dice.one_in(3) {
        let mut inner = set;
        if dice.one_in(2) {
            lie(&mut inner, dice);
        }
        let codec = *dice.pick(&[Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd]);
        let mut packed = compress(codec, &inner, None);
        if dice.one_in(5) {
            change(&mut packed, &inner, dice);
            seal_lz4(&mut packed);
        }
        let time = if dice.one_in(4) { 0x08 } else { 0 };
        set = Vec::new();
        let offset = dice.below(8) as i64;
        message(
            format,
            codec as u8 | time,
            offset,
            dice,
            None,
            Some(&packed),
            &mut set,
        );
    }
    if dice.one_in(2) {
        lie(&mut set, dice);
    }
    if dice.one_in(10) {
        change(&mut set, &[], dice);
    }
    set
}

/// Changes a place, then gives every message its size's worth of CRC.
fn lie(set: &mut Vec<u8>, dice: &mut Random) {
    let good = Value {
        bytes: std::mem::take(set),
        lengths: Vec::new(),
    };
    *set = mutate(&good, &good.bytes, dice);
    seal_all(set);
}

/// Gives every message the CRC that it has, as far as sizes lead.
fn seal_all(mut rest: &mut [u8]) {
    while let Some(size) = rest.get(8..CRC_AT).and_then(|size| size.first_chunk()) {
        let size = 12 + usize::try_from(i32::from_be_bytes(*size)).unwrap_or(0);
        let Some((message, behind)) = rest.split_at_mut_checked(size) else {
            break;
        };
        seal(message);
        rest = behind;
    }
}

fn messages(format: u8, dice: &mut Random) -> Vec<u8> {
    let mut set = Vec::new();
    for offset in 0..1 + dice.below(5) {
        let text = [dice.bits() as u8; 40];
        let mut piece = || Some(&text[..dice.index(40)]).filter(|_| !dice.one_in(5));
        let (key, value) = (piece(), piece());
        message(format, 0, offset as i64, dice, key, value, &mut set);
    }
    set
}

fn message(
    format: u8,
    attributes: u8,
    offset: i64,
    dice: &mut Random,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    to: &mut Vec<u8>,
) {
    let mut bytes = vec![0; MAGIC_AT];
    bytes[..8].copy_from_slice(&offset.to_be_bytes());
    bytes.extend_from_slice(&[format, attributes]);
    if format == 1 {
        let timestamp_ms = if dice.one_in(9) {
            -1
        } else {
            dice.below(1 << 40) as i64
        };
        bytes.extend_from_slice(&timestamp_ms.to_be_bytes());
    }
    for piece in [key, value] {
        let length = piece.map_or(-1, |piece| piece.len() as i32);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(piece.unwrap_or_default());
    }
    let size = (bytes.len() - CRC_AT) as i32;
    bytes[8..CRC_AT].copy_from_slice(&size.to_be_bytes());
    seal(&mut bytes);
    to.extend_from_slice(&bytes);
}

/// Gives a message the CRC that it has.
fn seal(message: &mut [u8]) {
    if let Some((head, rest)) = message.split_at_mut_checked(MAGIC_AT) {
        head[CRC_AT..].copy_from_slice(&crc32fast::hash(rest).to_be_bytes());
    }
}
