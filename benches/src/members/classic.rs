//! A member of a classic group: asks for its id, joins with it, brings or fetches the assignment, looks whether
//! somebody else joined.

use ottla_wire::frame::decode_response;
use ottla_wire::heartbeat::HeartbeatRequest;
use ottla_wire::join_group::{JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse};
use ottla_wire::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};

use super::{Group, IS_LOADING, Next, REBALANCE_TIMEOUT_MS, SESSION_TIMEOUT_MS, frame};
use crate::wire::TOPIC;

const JOIN_VERSION: i16 = 9;
const SYNC_VERSION: i16 = 5;
const HEARTBEAT_VERSION: i16 = 4;
const MEMBER_ID_REQUIRED: i16 = 79;
const REBALANCE_IN_PROGRESS: i16 = 27;
const PROTOCOL_TYPE: &str = "consumer";
const PROTOCOL: &str = "range";

#[derive(Default)]
pub(super) struct Classic {
    id: String,
    generation: i32,
    asked: Asked,
}

/// What was asked last.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Asked {
    #[default]
    Nothing,
    /// Which id it has.
    Name,
    Join,
    Sync,
    /// Whether it has to join again.
    Look,
}

impl Classic {
    /// Unless it has an id.
    pub(super) fn ask_name(&mut self, group: &Group) -> Result<Option<Vec<u8>>, String> {
        if !self.id.is_empty() {
            return Ok(None);
        }
        self.asked = Asked::Name;
        self.join(group).map(Some)
    }

    /// Joins; a member that did already finds out that others do.
    pub(super) fn join_or_look(&mut self, group: &Group) -> Result<Option<Vec<u8>>, String> {
        if self.asked == Asked::Name {
            self.asked = Asked::Join;
            return self.join(group).map(Some);
        }
        self.look(group).map(Some)
    }

    pub(super) fn beat(&self, group: &Group) -> Result<Vec<u8>, String> {
        let request = HeartbeatRequest {
            group_id: &group.name,
            generation_id: self.generation,
            member_id: &self.id,
            group_instance_id: None,
        };
        frame(&request, HEARTBEAT_VERSION)
    }

    pub(super) fn hear(&mut self, group: &mut Group, answer: &[u8]) -> Result<Next, String> {
        match self.asked {
            Asked::Nothing => Err("an answer to nothing".to_owned()),
            Asked::Name | Asked::Join => {
                let (_, joined) = decode_response::<JoinGroupRequest<'_>>(answer, JOIN_VERSION)
                    .map_err(|e| e.to_string())?;
                self.hear_joined(group, &joined)
            }
            Asked::Sync => {
                let (_, synced) = decode_response::<SyncGroupRequest<'_>>(answer, SYNC_VERSION)
                    .map_err(|e| e.to_string())?;
                self.goes_on(group, synced.error_code, "SyncGroup")
            }
            Asked::Look => {
                let (_, beat) = decode_response::<HeartbeatRequest<'_>>(answer, HEARTBEAT_VERSION)
                    .map_err(|e| e.to_string())?;
                self.goes_on(group, beat.error_code, "Heartbeat")
            }
        }
    }

    fn hear_joined(
        &mut self,
        group: &mut Group,
        joined: &JoinGroupResponse<'_>,
    ) -> Result<Next, String> {
        if joined.error_code == MEMBER_ID_REQUIRED && self.asked == Asked::Name {
            joined.member_id.clone_into(&mut self.id);
            return Ok(Next::Rest);
        }
        if IS_LOADING.contains(&joined.error_code) {
            return self.join(group).map(Next::Say);
        }
        if joined.error_code != 0 {
            return Err(format!("JoinGroup: error {}", joined.error_code));
        }
        self.generation = joined.generation_id;
        let mut shares = Vec::new();
        if joined.leader == self.id {
            group.generation = (joined.generation_id, joined.members.len());
            let share = group.partitions as usize / joined.members.len().max(1);
            shares = vec![assignment(share); joined.members.len()];
        }
        let assignments = joined.members.iter().zip(&shares);
        let request = SyncGroupRequest {
            group_id: &group.name,
            generation_id: self.generation,
            member_id: &self.id,
            protocol_type: Some(PROTOCOL_TYPE),
            protocol_name: Some(PROTOCOL),
            assignments: assignments
                .map(|(member, share)| SyncGroupRequestAssignment {
                    member_id: member.member_id,
                    assignment: share,
                })
                .collect(),
            ..SyncGroupRequest::default()
        };
        self.asked = Asked::Sync;
        frame(&request, SYNC_VERSION).map(Next::Say)
    }

    /// Joins again, looks again, or rests if the generation has all members.
    fn goes_on(&mut self, group: &Group, error_code: i16, api: &str) -> Result<Next, String> {
        match error_code {
            REBALANCE_IN_PROGRESS => {
                self.asked = Asked::Join;
                self.join(group).map(Next::Say)
            }
            0 if group.generation == (self.generation, group.size) => Ok(Next::Rest),
            0 => self.look(group).map(Next::Say),
            error => Err(format!("{api}: error {error}")),
        }
    }

    fn look(&mut self, group: &Group) -> Result<Vec<u8>, String> {
        self.asked = Asked::Look;
        self.beat(group)
    }

    fn join(&self, group: &Group) -> Result<Vec<u8>, String> {
        let subscription = subscription();
        let request = JoinGroupRequest {
            group_id: &group.name,
            session_timeout_ms: SESSION_TIMEOUT_MS,
            rebalance_timeout_ms: REBALANCE_TIMEOUT_MS,
            member_id: &self.id,
            protocol_type: PROTOCOL_TYPE,
            protocols: vec![JoinGroupRequestProtocol {
                name: PROTOCOL,
                metadata: &subscription,
            }],
            ..JoinGroupRequest::default()
        };
        frame(&request, JOIN_VERSION)
    }
}

/// `ConsumerProtocolSubscription` 1: the topic, no user data, no partitions owned.
fn subscription() -> Vec<u8> {
    let mut bytes = vec![0, 1];
    topic(&mut bytes);
    bytes.extend((-1_i32).to_be_bytes());
    bytes.extend(0_i32.to_be_bytes());
    bytes
}

/// `ConsumerProtocolAssignment` 1: so many partitions of the topic, no user data.
fn assignment(partitions: usize) -> Vec<u8> {
    let mut bytes = vec![0, 1];
    topic(&mut bytes);
    bytes.extend((partitions as i32).to_be_bytes());
    bytes.extend((0..partitions as i32).flat_map(i32::to_be_bytes));
    bytes.extend((-1_i32).to_be_bytes());
    bytes
}

/// A list of one topic.
fn topic(bytes: &mut Vec<u8>) {
    bytes.extend(1_i32.to_be_bytes());
    bytes.extend((TOPIC.len() as i16).to_be_bytes());
    bytes.extend(TOPIC.as_bytes());
}
