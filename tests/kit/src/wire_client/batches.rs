//! Reading back the record batches of a Fetch response, trusting nothing.

use ottla_codec::{Buffer, payload};
use ottla_model::batch::{BatchHead, records};

/// A batch that a broker handed out.
#[derive(Clone, Copy, Debug)]
pub struct StoredBatch<'a> {
    /// Its header.
    pub head: BatchHead,
    /// The whole of it.
    pub bytes: &'a [u8],
}

/// More than any batch of a test holds.
const PAYLOAD_BYTES_MAX: usize = 64 << 20;

/// The complete batches at the start of a Fetch response's records; like every Kafka client it leaves
/// out an incomplete last one.
///
/// # Errors
/// What is wrong with a batch: format, length or CRC.
pub fn batches(mut bytes: &[u8]) -> Result<Vec<StoredBatch<'_>>, String> {
    let mut found = Vec::new();
    while let Some(length) = bytes.get(8..12) {
        let length: [u8; 4] = length.try_into().unwrap_or_default();
        let whole = usize::try_from(i32::from_be_bytes(length)).map(|length| length + 12);
        let whole = whole.map_err(|_| format!("batch of length {}", i32::from_be_bytes(length)))?;
        let Some((batch, rest)) = bytes.split_at_checked(whole) else {
            break;
        };
        let head = BatchHead::parse(batch).map_err(|error| error.to_string())?;
        if !head.crc_matches(batch) {
            return Err(format!(
                "batch at {} does not have its CRC",
                head.base_offset
            ));
        }
        found.push(StoredBatch { head, bytes: batch });
        bytes = rest;
    }
    Ok(found)
}

impl StoredBatch<'_> {
    /// Calls `each` with the offset, key and value of every record, decompressed if need be.
    ///
    /// # Errors
    /// What is wrong with the records.
    pub fn records(
        &self,
        mut each: impl FnMut(i64, Option<&[u8]>, Option<&[u8]>),
    ) -> Result<(), String> {
        let at =
            |error: &dyn std::fmt::Display| format!("batch at {}: {error}", self.head.base_offset);
        let mut buffer = Buffer::new();
        let section = payload(&self.head, self.bytes, PAYLOAD_BYTES_MAX, &mut buffer)
            .map_err(|error| at(&error))?;
        for record in records(section, self.head.record_count) {
            let record = record.map_err(|error| at(&error))?;
            let offset = self.head.base_offset + i64::from(record.offset_delta);
            each(offset.0, record.key, record.value);
        }
        Ok(())
    }
}
