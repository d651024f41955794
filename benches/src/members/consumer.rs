//! A member of a group of the next-generation protocol: says what it has, hears what it is to have, and has it at
//! once.
//!
//! A client waits between two heartbeats as long as the broker says; here the next round begins when all have been
//! answered, so time is time of work.

use ottla_model::uuid::Uuid;
use ottla_wire::consumer_group_heartbeat::{ConsumerGroupHeartbeatRequest, OwnedTopicPartitions};
use ottla_wire::frame::decode_response;

use super::{Group, IS_LOADING, Next, REBALANCE_TIMEOUT_MS, frame};
use crate::wire::TOPIC;

const VERSION: i16 = 1;
/// A group that has not settled by then does not.
pub(super) const ROUNDS_MAX: usize = 1_000;

pub(super) struct Consumer {
    id: String,
    epoch: i32,
    owned: Vec<(Uuid, Vec<i32>)>,
    /// The broker does not know yet that it has them.
    is_news: bool,
}

impl Consumer {
    pub(super) fn new(number: usize) -> Consumer {
        // Clients make random ids; these are the same each time.
        let mut bytes = [0; 16];
        bytes[8..].copy_from_slice(&(number as u64 + 1).to_be_bytes());
        Consumer {
            id: Uuid(bytes).to_string(),
            epoch: 0,
            owned: Vec::new(),
            is_news: false,
        }
    }

    /// Unless it did already.
    pub(super) fn join(&mut self, group: &Group) -> Result<Option<Vec<u8>>, String> {
        if self.epoch != 0 {
            return Ok(None);
        }
        let request = ConsumerGroupHeartbeatRequest {
            rebalance_timeout_ms: REBALANCE_TIMEOUT_MS,
            subscribed_topic_names: Some(vec![TOPIC]),
            topic_partitions: Some(Vec::new()),
            ..self.request(group)
        };
        frame(&request, VERSION).map(Some)
    }

    /// Tells what it has, if that is news.
    pub(super) fn beat(&mut self, group: &Group) -> Result<Option<Vec<u8>>, String> {
        let owned = self
            .owned
            .iter()
            .map(|(topic_id, partitions)| OwnedTopicPartitions {
                topic_id: *topic_id,
                partitions: partitions.as_slice().into(),
            });
        let request = ConsumerGroupHeartbeatRequest {
            topic_partitions: self.is_news.then(|| owned.collect()),
            ..self.request(group)
        };
        let frame = frame(&request, VERSION)?;
        self.is_news = false;
        Ok(Some(frame))
    }

    /// As most are: nothing is new.
    pub(super) fn quiet_beat(&self, group: &Group) -> Result<Vec<u8>, String> {
        frame(&self.request(group), VERSION)
    }

    pub(super) fn hear(&mut self, group: &mut Group, answer: &[u8]) -> Result<Next, String> {
        let (_, told) = decode_response::<ConsumerGroupHeartbeatRequest<'_>>(answer, VERSION)
            .map_err(|e| e.to_string())?;
        if IS_LOADING.contains(&told.error_code) {
            let again = self.join(group)?;
            return Ok(again.map_or(Next::Rest, Next::Say));
        }
        if told.error_code != 0 {
            let why = told.error_message.unwrap_or_default();
            return Err(format!(
                "ConsumerGroupHeartbeat: error {} {why}",
                told.error_code
            ));
        }
        self.epoch = told.member_epoch;
        if let Some(assignment) = told.assignment {
            let topics = assignment.topic_partitions.iter();
            self.owned = topics
                .map(|topic| (topic.topic_id, topic.partitions.iter().collect()))
                .collect();
            self.is_news = true;
        }
        Ok(Next::Rest)
    }

    fn count(&self) -> usize {
        self.owned
            .iter()
            .map(|(_, partitions)| partitions.len())
            .sum()
    }

    fn request<'a>(&'a self, group: &'a Group) -> ConsumerGroupHeartbeatRequest<'a> {
        ConsumerGroupHeartbeatRequest {
            group_id: &group.name,
            member_id: &self.id,
            member_epoch: self.epoch,
            rebalance_timeout_ms: -1,
            ..ConsumerGroupHeartbeatRequest::default()
        }
    }
}

/// All are at one epoch, every partition has its owner, and nobody has more than one above another.
pub(super) fn are_settled(members: &[&Consumer], partitions: i32) -> bool {
    let counts = || members.iter().map(|member| member.count());
    let (least, most) = (counts().min().unwrap_or(0), counts().max().unwrap_or(0));
    members
        .windows(2)
        .all(|pair| pair[0].epoch == pair[1].epoch)
        && counts().sum::<usize>() == partitions as usize
        && most - least <= 1
}
