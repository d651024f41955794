//! The metadata hash of a group: changes when a topic that it subscribes to comes, goes, grows or is
//! another of the same name (Kafka `Utils.computeGroupHash`). Kafka hashes with XXH3; ours is FNV-1a, so a
//! group that moves between the two is assigned anew once.

use alloc::sync::Arc;

use super::topics::Topics;

/// The hash of what these names stand for; 0 if there is no such topic. `names` in order, each once.
pub(super) fn metadata_hash<'a>(
    names: impl Iterator<Item = &'a Arc<str>>,
    topics: &dyn Topics,
) -> i64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let mut hash = None;
    for name in names {
        let Some(topic) = topics.topic(name) else {
            continue;
        };
        let length = (name.len() as u64).to_be_bytes();
        let parts: [&[u8]; 4] = [
            &length,
            name.as_bytes(),
            &topic.id.0,
            &topic.partitions.to_be_bytes(),
        ];
        let mut state = hash.unwrap_or(OFFSET);
        for byte in parts.into_iter().flatten() {
            state = (state ^ u64::from(*byte)).wrapping_mul(PRIME);
        }
        hash = Some(state);
    }
    hash.unwrap_or(0).cast_signed()
}
