//! Our own walk over the batch heads of a `.log` file, to have counts that do not come from the tool that is compared.

use std::fs::File;
use std::io::{BufReader, Read as _};
use std::path::Path;

/// Bytes before the first record of a batch of magic 2, and those before the length counts.
const HEAD_BYTES: usize = 61;
const LENGTH_STARTS: u64 = 12;

/// What the head of a batch says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) position: u64,
    pub(super) size: u64,
    pub(super) base_offset: i64,
    pub(super) last_offset: i64,
    pub(super) count: i64,
    pub(super) producer_id: i64,
    pub(super) max_timestamp: i64,
    pub(super) codec: String,
}

/// Every batch of the file, which must end where a batch ends.
pub(super) fn batches(path: &Path) -> Result<Vec<Batch>, String> {
    let file = File::open(path).map_err(|e| e.to_string())?;
    let length = file.metadata().map_err(|e| e.to_string())?.len();
    let mut reader = BufReader::new(file);
    let mut batches = Vec::new();
    let mut position = 0;
    while position < length {
        let mut head = [0; HEAD_BYTES];
        reader
            .read_exact(&mut head)
            .map_err(|e| format!("at {position}: no whole batch head: {e}"))?;
        let batch = batch(&head, position)?;
        if batch.size < HEAD_BYTES as u64 || position + batch.size > length {
            return Err(format!(
                "at {position}: a batch of {} bytes in a file of {length}",
                batch.size
            ));
        }
        let skip = i64::try_from(batch.size).map_err(|e| e.to_string())? - HEAD_BYTES as i64;
        reader.seek_relative(skip).map_err(|e| e.to_string())?;
        position += batch.size;
        batches.push(batch);
    }
    Ok(batches)
}

fn batch(head: &[u8; HEAD_BYTES], position: u64) -> Result<Batch, String> {
    if head[16] != 2 {
        return Err(format!("at {position}: magic {}", head[16]));
    }
    let codec = match head[22] & 7 {
        0 => "none",
        1 => "gzip",
        2 => "snappy",
        3 => "lz4",
        4 => "zstd",
        other => return Err(format!("at {position}: codec {other}")),
    };
    let base_offset = signed(&head[0..8]);
    let length = u64::try_from(signed(&head[8..12]))
        .map_err(|_| format!("at {position}: a negative length"))?;
    Ok(Batch {
        position,
        size: length + LENGTH_STARTS,
        base_offset,
        last_offset: base_offset + signed(&head[23..27]),
        count: signed(&head[57..61]),
        producer_id: signed(&head[43..51]),
        max_timestamp: signed(&head[35..43]),
        codec: codec.into(),
    })
}

/// A big-endian number of up to eight bytes.
fn signed(bytes: &[u8]) -> i64 {
    let shift = 64 - 8 * bytes.len() as u32;
    (bytes
        .iter()
        .fold(0, |number: i64, byte| (number << 8) | i64::from(*byte))
        << shift)
        >> shift
}
