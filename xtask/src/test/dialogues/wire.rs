//! Numbers and lengths on the wire.

use super::batch;

/// Bytes of a number.
pub(super) fn size(kind: &str) -> usize {
    match kind {
        "i8" => 1,
        "i16" | "u16" => 2,
        "i32" | "u32" => 4,
        _ => 8,
    }
}

pub(super) fn write_length(
    length: Option<usize>,
    compact: bool,
    short: bool,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    let signed = length
        .map_or(Ok(-1), i64::try_from)
        .map_err(|e| e.to_string())?;
    if compact {
        batch::unsigned((signed + 1) as u64, out);
    } else if short {
        out.extend(
            i16::try_from(signed)
                .map_err(|e| e.to_string())?
                .to_be_bytes(),
        );
    } else {
        out.extend(
            i32::try_from(signed)
                .map_err(|e| e.to_string())?
                .to_be_bytes(),
        );
    }
    Ok(())
}

/// What is left of an answer.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self
            .bytes
            .split_at_checked(count)
            .ok_or("the answer ends too early")?;
        self.bytes = rest;
        Ok(taken)
    }

    pub(super) fn unsigned(&mut self) -> Result<u64, String> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err("a length has no end".into())
    }

    /// `None` for null.
    pub(super) fn length(&mut self, compact: bool, short: bool) -> Result<Option<usize>, String> {
        let length = if compact {
            self.unsigned()? as i64 - 1
        } else if short {
            let bytes = self.take(2)?;
            i64::from(i16::from_be_bytes([bytes[0], bytes[1]]))
        } else {
            let bytes = self.take(4)?;
            i64::from(i32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
        };
        if length == -1 {
            return Ok(None);
        }
        usize::try_from(length)
            .map(Some)
            .map_err(|_| format!("a length of {length}"))
    }
}
