//! 128-bit ids as Kafka prints them: 22 characters of base64url without padding
//! (`org.apache.kafka.common.Uuid`).

use alloc::string::String;
use core::fmt;

/// A 128-bit id: of a topic, a directory, a cluster.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Uuid(pub [u8; 16]);

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

impl Uuid {
    /// "No id": what a request carries when it names a topic instead.
    pub const ZERO: Uuid = Uuid([0; 16]);

    /// The id of `__cluster_metadata` (`Uuid.METADATA_TOPIC_ID`).
    pub const METADATA_TOPIC: Uuid = Uuid([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);

    /// True for [`Uuid::ZERO`].
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }

    /// Shapes 16 random bytes into a version 4 id. Kafka never hands out ids that start with a dash
    /// (they would read as an option on a command line), so that first character is changed.
    #[must_use]
    pub fn from_random(mut bytes: [u8; 16]) -> Uuid {
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        if bytes[0] >> 2 == 62 {
            bytes[0] &= 0x7f;
        }
        Uuid(bytes)
    }

    /// Reads the 22 characters that `Display` writes. `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Uuid> {
        if text.len() != 22 {
            return None;
        }
        let mut bits: u32 = 0;
        let mut bit_count = 0;
        let mut bytes = [0u8; 16];
        let mut filled = 0;
        for c in text.bytes() {
            let value = ALPHABET.iter().position(|&a| a == c)?;
            bits = bits << 6 | value as u32;
            bit_count += 6;
            if bit_count >= 8 && filled < 16 {
                bit_count -= 8;
                bytes[filled] = (bits >> bit_count) as u8;
                filled += 1;
            }
        }
        Some(Uuid(bytes))
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(22);
        for chunk in self.0.chunks(3) {
            let mut bits = 0u32;
            for i in 0..3 {
                bits = bits << 8 | u32::from(chunk.get(i).copied().unwrap_or(0));
            }
            for i in 0..=chunk.len() {
                text.push(ALPHABET[(bits >> (18 - 6 * i) & 63) as usize] as char);
            }
        }
        f.write_str(&text)
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn prints_and_parses_as_kafka_does() {
        assert_eq!(Uuid::METADATA_TOPIC.to_string(), "AAAAAAAAAAAAAAAAAAAAAQ");
        assert_eq!(
            Uuid::parse("AAAAAAAAAAAAAAAAAAAAAQ"),
            Some(Uuid::METADATA_TOPIC)
        );
        for seed in 0..=255u8 {
            let id = Uuid::from_random(core::array::from_fn(|i| {
                seed.wrapping_mul(i as u8 + 3) ^ seed
            }));
            assert_eq!(Uuid::parse(&id.to_string()), Some(id));
            assert!(!id.to_string().starts_with('-'), "{id}");
        }
        assert_eq!(Uuid::parse("AAAAAAAAAAAAAAAAAAAAA"), None);
        assert_eq!(Uuid::parse("AAAAAAAAAAAAAAAAAAAA/Q"), None);
    }
}
