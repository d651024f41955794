//! Raising every leader epoch after an unclean stop.
//!
//! A power loss may have taken records that a client saw under epoch e. What is written now at their
//! offsets belongs to epoch e + 1, and OffsetForLeaderEpoch tells the client where e ended.

use alloc::vec::Vec;

use super::{Answer, Catalog, CatalogRecord};
use crate::contract::Decision;

/// Partitions per batch: some 40 KB. Not one batch for all: the raise needs no atomicity, and is done
/// again after a crash in its midst.
const PARTITIONS_PER_BATCH: usize = 1000;

impl Catalog {
    pub(super) fn decide_raise_leader_epochs(&self, out: &mut Decision<Self>) -> Answer {
        let mut partitions = 0;
        let mut records = Vec::new();
        for topic in self.image.topics() {
            for partition in &topic.partitions {
                records.push(CatalogRecord::PartitionChange {
                    topic_id: topic.id,
                    partition: partition.index,
                    leader: Some(partition.leader),
                });
                if records.len() == PARTITIONS_PER_BATCH {
                    out.log(core::mem::take(&mut records));
                }
                partitions += 1;
            }
        }
        if !records.is_empty() {
            out.log(records);
        }
        Answer::LeaderEpochsRaised { partitions }
    }
}
