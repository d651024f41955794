//! The file beside a log that keeps its producer table (`ProducerStateManager.writeSnapshot`).
//!
//! ```text
//! [version int16 = 1][crc uint32 of all that follows][entries]
//! ```

use alloc::vec::Vec;

use super::log::{ProducerEntry, ProducerSnapshot};
use crate::primitives::{EncodeError, Reader};

const VERSION: i16 = 1;
const CRC_AT: usize = 2;
const CRC_FROM: usize = 6;

impl ProducerSnapshot {
    /// The whole file. The `crc` of `self` is not read.
    ///
    /// # Errors
    /// More entries than a file can have.
    pub fn encode_file(&self) -> Result<Vec<u8>, EncodeError> {
        let mut bytes = Vec::new();
        self.encode_versioned(&mut bytes, VERSION)?;
        let crc = crc32c::crc32c(&bytes[CRC_FROM..]);
        bytes[CRC_AT..CRC_FROM].copy_from_slice(&crc.to_be_bytes());
        Ok(bytes)
    }

    /// Reads a whole file. `None` if it is damaged or of another version: it is a cache, whose reader
    /// goes without it.
    #[must_use]
    pub fn decode_file(bytes: &[u8]) -> Option<Vec<ProducerEntry>> {
        let mut r = Reader::new(bytes);
        let (snapshot, _) = ProducerSnapshot::decode_versioned(&mut r).ok()?;
        r.finish().ok()?;
        (crc32c::crc32c(bytes.get(CRC_FROM..)?) == snapshot.crc)
            .then_some(snapshot.producer_entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_whole_or_not_at_all() {
        let entry = |producer_id| ProducerEntry {
            producer_id,
            epoch: 3,
            last_sequence: 99,
            last_offset: 1234,
            offset_delta: 4,
            timestamp: 1_700_000_000_000,
            coordinator_epoch: -1,
            current_txn_first_offset: -1,
        };
        let snapshot = ProducerSnapshot {
            crc: 0,
            producer_entries: alloc::vec![entry(1), entry(2)],
        };
        let bytes = snapshot.encode_file().unwrap();
        assert_eq!(bytes.len(), 2 + 4 + 4 + 2 * 46);
        assert_eq!(
            ProducerSnapshot::decode_file(&bytes),
            Some(snapshot.producer_entries)
        );
        for length in 0..bytes.len() {
            assert_eq!(ProducerSnapshot::decode_file(&bytes[..length]), None);
        }
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert_eq!(ProducerSnapshot::decode_file(&damaged), None, "byte {at}");
        }
        let mut longer = bytes;
        longer.push(0);
        assert_eq!(ProducerSnapshot::decode_file(&longer), None);
    }
}
