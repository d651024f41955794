//! Changes to good bytes that keep most of them good.

use ottla_schema::random::{Random, Value};

/// Numbers at which lengths, counts and epochs change their meaning.
const NUMBERS: [i64; 14] = [
    0,
    1,
    -1,
    -2,
    127,
    128,
    255,
    256,
    i16::MAX as i64,
    i16::MIN as i64,
    i32::MAX as i64,
    i32::MIN as i64,
    i64::MAX,
    i64::MIN,
];

/// Changes a few places. `lengths` of `value` are lied about more often than chance would.
pub(crate) fn mutate(value: &Value, other: &[u8], dice: &mut Random) -> Vec<u8> {
    let mut bytes = match value.lengths.len() {
        0 => value.bytes.clone(),
        _ if dice.below(5) < 3 => value.bytes.clone(),
        lengths => lie(value, dice.index(lengths), dice),
    };
    // One place in most inputs, so that what lies behind it is still understood.
    for _ in 0..1 + dice.below(2) * dice.below(4) {
        change(&mut bytes, other, dice);
    }
    bytes
}

/// Puts another number where a length stands.
fn lie(value: &Value, which: usize, dice: &mut Random) -> Vec<u8> {
    let length = value.lengths[which];
    let was = &value.bytes[length.at..length.at + length.bytes];
    let mut number = Vec::new();
    if length.is_varint {
        match dice.below(8) {
            0 => number.extend([0xff, 0xff, 0xff, 0xff, 0x0f]),
            1 => number.extend([0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
            // The same number in more bytes than it needs.
            2 => {
                number.extend(was);
                if let Some(last) = number.last_mut() {
                    *last |= 0x80;
                }
                number.push(0);
            }
            3 => number.push(0),
            4 => number.push(was[0].wrapping_add(1) & 0x7f),
            5 => number.push(was[0].wrapping_sub(1) & 0x7f),
            _ => ottla_schema::random::varint(&mut number, dice.magnitude(31)),
        }
    } else {
        let last = i64::from(was[was.len() - 1]);
        let lie = match dice.below(4) {
            0 => last + 1,
            1 => last - 1,
            2 => dice.magnitude(15) as i64,
            _ => *dice.pick(&NUMBERS),
        };
        number.extend_from_slice(&lie.to_be_bytes()[8 - length.bytes..]);
    }
    value.with_length(which, &number)
}

/// Changes one place.
pub(crate) fn change(bytes: &mut Vec<u8>, other: &[u8], dice: &mut Random) {
    if bytes.is_empty() {
        bytes.extend((0..dice.below(9)).map(|_| dice.bits() as u8));
        return;
    }
    let at = dice.index(bytes.len());
    let end = bytes.len().min(at + 1 + dice.index(16));
    match dice.below(12) {
        0 => bytes[at] ^= 1 << dice.below(8),
        1 => bytes[at] = dice.bits() as u8,
        2 => bytes[at] = *dice.pick(&[0, 1, 0x7f, 0x80, 0xff]),
        3 => bytes[at] = bytes[at].wrapping_add(1),
        4 => bytes[at] = bytes[at].wrapping_sub(1),
        5 | 6 => {
            let size = *dice.pick(&[2, 4, 8]);
            let number = dice.pick(&NUMBERS).to_be_bytes();
            for (byte, new) in bytes[at..].iter_mut().zip(&number[8 - size..]) {
                *byte = *new;
            }
        }
        7 => drop(bytes.drain(at..end)),
        8 => bytes.extend_from_within(at..end),
        9 => {
            let new: Vec<u8> = (0..1 + dice.below(8)).map(|_| dice.bits() as u8).collect();
            bytes.splice(at..at, new);
        }
        10 => bytes.truncate(at),
        _ => {
            bytes.truncate(at);
            if !other.is_empty() {
                bytes.extend_from_slice(&other[dice.index(other.len())..]);
            }
        }
    }
}
