//! Who may commit and fetch offsets in a consumer group (Kafka `ConsumerGroup.validateOffsetCommit`,
//! `validateOffsetFetch`).
//!
//! A member commits in the epoch that it is in; or, of partitions that it has had since an epoch that is not
//! newer, in an older one: it may not have heard of the newest yet (KIP-1251).

use super::{Consumer, Member};
use crate::group::{CommitOffsets, FetchOffsets, Refusal};

impl Consumer {
    /// Whether the committer may.
    pub(in crate::group) fn check_commit(&self, request: &CommitOffsets) -> Result<(), Refusal> {
        if request.generation < 0 && self.is_empty() {
            return Ok(());
        }
        let member = self.member(&request.member)?;
        if member.facts.classic.is_none() && !request.knows_epochs {
            return Err(Refusal::CommitTooOld);
        }
        let epoch = member.current.epoch;
        if request.generation == epoch {
            return Ok(());
        }
        if request.generation > epoch {
            return Err(member.stale());
        }
        let partitions = request.topics.iter().flat_map(|topic| {
            let partitions = topic.partitions.iter();
            partitions.map(|partition| (topic.topic_id, partition.partition))
        });
        for (topic, partition) in partitions {
            let since = member.current.owns_since(topic, partition);
            if since.is_none_or(|since| request.generation < since) {
                return Err(member.stale());
            }
        }
        Ok(())
    }

    /// Whether who asks for offsets may.
    pub(in crate::group) fn check_fetch(&self, question: &FetchOffsets) -> Result<(), Refusal> {
        let member = match &question.member {
            None if question.member_epoch < 0 => return Ok(()),
            None => return Err(Refusal::UnknownMember),
            Some(id) => self.member(id)?,
        };
        if question.member_epoch == member.current.epoch {
            Ok(())
        } else {
            Err(member.stale())
        }
    }
}

impl Member {
    fn stale(&self) -> Refusal {
        match self.facts.classic {
            Some(_) => Refusal::IllegalGeneration,
            None => Refusal::StaleEpoch,
        }
    }
}
