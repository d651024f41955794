//! Groups over the wire: a member's life in every version, commits and what comes back, restarts, lost
//! connections, a stop in between.

use std::sync::Arc;

use ottla_log::disk::LocalDisk;
use ottla_log::{Durability, LocalStore, StoreOptions};
use ottla_model::ids::NodeId;
use ottla_model::uuid::Uuid;
use ottla_testkit::wire_client::WireClient;
use ottla_wire::delete_groups::DeleteGroupsRequest;
use ottla_wire::describe_groups::DescribeGroupsRequest;
use ottla_wire::find_coordinator::FindCoordinatorRequest;
use ottla_wire::heartbeat::HeartbeatRequest;
use ottla_wire::join_group::{JoinGroupRequest, JoinGroupRequestProtocol};
use ottla_wire::leave_group::{LeaveGroupRequest, MemberIdentity};
use ottla_wire::list_groups::ListGroupsRequest;
use ottla_wire::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use ottla_wire::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use ottla_wire::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use ottla_wire::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};

use crate::support::{NODE, Server, is_closed};

const FAST: &[(&str, &str)] = &[
    ("group.initial.rebalance.delay.ms", "0"),
    ("offsets.topic.num.partitions", "3"),
];

fn server() -> Server {
    Server::with(FAST, |options| options)
}

/// A client that knows its coordinator.
fn client(server: &Server) -> WireClient {
    let mut client = server.client();
    let find = FindCoordinatorRequest {
        key: "g",
        ..FindCoordinatorRequest::default()
    };
    let answer = client.call(&find, 3).unwrap();
    assert_eq!(answer.body().unwrap().error_code, 0);
    client
}

fn join<'r>(member_id: &'r str, instance: Option<&'r str>) -> JoinGroupRequest<'r> {
    JoinGroupRequest {
        group_id: "g",
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        member_id,
        group_instance_id: instance,
        protocol_type: "consumer",
        protocols: vec![JoinGroupRequestProtocol {
            name: "range",
            metadata: b"\0\0\0\0\0\x01\0\x01t\xff\xff\xff\xff",
        }],
        ..JoinGroupRequest::default()
    }
}

/// Joins, with an id first if that is asked for: the member's id and the generation.
fn joined(client: &mut WireClient, version: i16) -> (String, i32) {
    let mut member = String::new();
    for _ in 0..2 {
        let asked = member.clone();
        let answer = client.call(&join(&asked, None), version).unwrap();
        let body = answer.body().unwrap();
        member = body.member_id.to_owned();
        if body.error_code == 0 {
            assert_eq!(body.leader, member);
            assert_eq!(body.members.len(), 1);
            assert_eq!(body.protocol_name, Some("range"));
            return (member, body.generation_id);
        }
        assert_eq!((body.error_code, version >= 4), (79, true));
    }
    panic!("not joined");
}

fn sync(client: &mut WireClient, member: &str, generation_id: i32, version: i16) -> Vec<u8> {
    let request = SyncGroupRequest {
        group_id: "g",
        generation_id,
        member_id: member,
        protocol_type: Some("consumer"),
        protocol_name: Some("range"),
        assignments: vec![SyncGroupRequestAssignment {
            member_id: member,
            assignment: b"yours",
        }],
        ..SyncGroupRequest::default()
    };
    let answer = client.call(&request, version).unwrap();
    let body = answer.body().unwrap();
    assert_eq!(body.error_code, 0);
    body.assignment.to_vec()
}

fn heartbeat(client: &mut WireClient, member_id: &str, generation_id: i32, version: i16) -> i16 {
    let request = HeartbeatRequest {
        group_id: "g",
        generation_id,
        member_id,
        group_instance_id: None,
    };
    let answer = client.call(&request, version).unwrap();
    answer.body().unwrap().error_code
}

fn leave(client: &mut WireClient, member_id: &str, version: i16) -> i16 {
    let member = MemberIdentity {
        member_id,
        ..MemberIdentity::default()
    };
    let request = LeaveGroupRequest {
        group_id: "g",
        member_id: if version < 3 { member_id } else { "" },
        members: if version < 3 { vec![] } else { vec![member] },
    };
    let answer = client.call(&request, version).unwrap();
    let body = answer.body().unwrap();
    let of_members = body.members.first().map_or(0, |member| member.error_code);
    body.error_code.max(of_members)
}

fn commit(
    client: &mut WireClient,
    (member_id, generation): (&str, i32),
    topic: (&str, Uuid),
    offset: i64,
    version: i16,
) -> Vec<i16> {
    let partition = |partition_index| OffsetCommitRequestPartition {
        partition_index,
        committed_offset: offset,
        committed_leader_epoch: 0,
        committed_metadata: Some("n\u{f6}te"),
        ..OffsetCommitRequestPartition::default()
    };
    let request = OffsetCommitRequest {
        group_id: "g",
        generation_id_or_member_epoch: generation,
        member_id,
        topics: vec![OffsetCommitRequestTopic {
            name: if version < 10 { topic.0 } else { "" },
            topic_id: if version < 10 { Uuid::ZERO } else { topic.1 },
            partitions: vec![partition(0), partition(9)],
        }],
        ..OffsetCommitRequest::default()
    };
    let answer = client.call(&request, version).unwrap();
    let body = answer.body().unwrap();
    let partitions = body.topics[0].partitions.iter();
    partitions.map(|partition| partition.error_code).collect()
}

/// What `g` committed of partitions 0 and 1 of `t`: offset, text, error; and the error of the group.
fn committed(
    client: &mut WireClient,
    topic: (&str, Uuid),
    version: i16,
) -> (Vec<(i64, String, i16)>, i16) {
    let request = if version < 8 {
        OffsetFetchRequest {
            group_id: "g",
            topics: Some(vec![OffsetFetchRequestTopic {
                name: topic.0,
                partition_indexes: vec![0, 1].into(),
            }]),
            ..OffsetFetchRequest::default()
        }
    } else {
        let topics = vec![OffsetFetchRequestTopics {
            name: if version < 10 { topic.0 } else { "" },
            topic_id: if version < 10 { Uuid::ZERO } else { topic.1 },
            partition_indexes: vec![0, 1].into(),
        }];
        OffsetFetchRequest {
            groups: vec![OffsetFetchRequestGroup {
                group_id: "g",
                topics: Some(topics),
                ..OffsetFetchRequestGroup::default()
            }],
            ..OffsetFetchRequest::default()
        }
    };
    let answer = client.call(&request, version).unwrap();
    let body = answer.body().unwrap();
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    if version < 8 {
        let partitions = body.topics.first().map(|topic| &topic.partitions);
        let partitions = partitions.into_iter().flatten();
        let found = partitions.map(|p| (p.committed_offset, text(p.metadata), p.error_code));
        return (found.collect(), body.error_code);
    }
    let group = &body.groups[0];
    let partitions = group.topics.first().map(|topic| &topic.partitions);
    let partitions = partitions.into_iter().flatten();
    let found = partitions.map(|p| (p.committed_offset, text(p.metadata), p.error_code));
    (found.collect(), group.error_code)
}

fn topic_id(server: &Server, topic: &str) -> Uuid {
    server.broker.image().topic(topic).unwrap().id
}

#[test]
fn a_member_lives_in_every_version() {
    let server = server();
    let mut client = client(&server);
    for version in 0..=9 {
        let (member, generation) = joined(&mut client, version);
        let sync_version = version.min(5);
        assert_eq!(
            sync(&mut client, &member, generation, sync_version),
            b"yours"
        );
        let heartbeat_version = version.min(4);
        assert_eq!(
            heartbeat(&mut client, &member, generation, heartbeat_version),
            0
        );
        assert_eq!(
            heartbeat(&mut client, &member, generation - 1, heartbeat_version),
            22
        );
        let leave_version = version.min(5);
        assert_eq!(leave(&mut client, &member, leave_version), 0);
        assert_eq!(leave(&mut client, &member, leave_version), 25);
    }
}

#[test]
fn commits_come_back_as_they_were_in_every_version() {
    let server = server();
    let mut client = client(&server);
    client.create_topic("t", 2, &[]).unwrap();
    let topic = ("t", topic_id(&server, "t"));
    for version in 0..=10 {
        let offset = 100 + i64::from(version);
        assert_eq!(
            commit(&mut client, ("", -1), topic, offset, version),
            [0, 3],
            "{version}"
        );
        let expected = [(offset, "n\u{f6}te".to_owned(), 0), (-1, String::new(), 0)];
        for version in 0..=10 {
            let (found, error) = committed(&mut client, topic, version);
            assert_eq!((&found[..], error), (&expected[..], 0), "{version}");
        }
    }
    // Nobody's generation, in the words of each version.
    assert_eq!(commit(&mut client, ("x", 3), topic, 1, 8), [25, 3]);
    for (version, code) in [(8, 22), (9, 69)] {
        let request = OffsetCommitRequest {
            group_id: "none",
            generation_id_or_member_epoch: 3,
            member_id: "x",
            topics: vec![OffsetCommitRequestTopic {
                name: "t",
                partitions: vec![OffsetCommitRequestPartition::default()],
                ..OffsetCommitRequestTopic::default()
            }],
            ..OffsetCommitRequest::default()
        };
        let answer = client.call(&request, version).unwrap();
        let refused = answer.body().unwrap().topics[0].partitions[0].error_code;
        assert_eq!(refused, code);
    }
    // A topic of that name which is not the one that was committed.
    let unknown = ("", Uuid([7; 16]));
    assert_eq!(commit(&mut client, ("", -1), unknown, 1, 10), [100, 100]);
    let (found, _) = committed(&mut client, unknown, 10);
    assert!(
        found
            .iter()
            .all(|(offset, _, code)| (*offset, *code) == (-1, 100))
    );
}

#[test]
fn offsets_of_a_deleted_topic_are_gone_before_the_answer() {
    let server = server();
    let mut client = client(&server);
    client.create_topic("t", 2, &[]).unwrap();
    let topic = ("t", topic_id(&server, "t"));
    assert_eq!(commit(&mut client, ("", -1), topic, 5, 8), [0, 3]);
    assert_eq!(client.delete_topic("t").unwrap(), 0);
    client.create_topic("t", 2, &[]).unwrap();
    let (found, _) = committed(&mut client, topic, 8);
    assert!(found.iter().all(|(offset, ..)| *offset == -1), "{found:?}");
}

#[test]
fn groups_are_listed_described_and_deleted() {
    let server = server();
    let mut client = server.client();
    // Nobody has asked for a coordinator yet.
    let list = |client: &mut WireClient, states: &[&'static str]| {
        let request = ListGroupsRequest {
            states_filter: states.to_vec(),
            types_filter: vec![],
        };
        let answer = client.call(&request, 5).unwrap();
        let body = answer.body().unwrap();
        assert_eq!(body.error_code, 0);
        let groups = body.groups.iter();
        groups
            .map(|group| {
                format!(
                    "{} {} {}",
                    group.group_id, group.group_state, group.group_type
                )
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(list(&mut client, &[]), [""; 0]);
    assert_eq!(heartbeat(&mut client, "m", 1, 4), 16);
    let mut client = self::client(&server);
    let (member, generation) = joined(&mut client, 9);
    sync(&mut client, &member, generation, 5);
    assert_eq!(list(&mut client, &[]), ["g Stable classic"]);
    assert_eq!(list(&mut client, &["Empty"]), [""; 0]);
    let describe = DescribeGroupsRequest {
        groups: vec!["g", "none", "g"],
        include_authorized_operations: true,
    };
    for version in 3..=6 {
        let answer = client.call(&describe, version).unwrap();
        let body = answer.body().unwrap();
        let found: Vec<_> = body
            .groups
            .iter()
            .map(|g| (g.group_id, g.group_state, g.error_code, g.members.len()))
            .collect();
        let missing = if version < 6 { 0 } else { 69 };
        assert_eq!(found, [("g", "Stable", 0, 1), ("none", "Dead", missing, 0)]);
        let group = &body.groups[0];
        assert_eq!(
            (
                group.protocol_type,
                group.protocol_data,
                group.authorized_operations
            ),
            ("consumer", "range", 0b1101_0100_1000)
        );
        assert_eq!(group.members[0].client_host, "/127.0.0.1");
        assert_eq!(group.members[0].member_assignment, b"yours");
    }
    let forget = OffsetDeleteRequest {
        group_id: "g",
        topics: vec![OffsetDeleteRequestTopic {
            name: "t",
            partitions: vec![OffsetDeleteRequestPartition { partition_index: 0 }],
        }],
    };
    for (topic_is_there, code) in [(false, 3), (true, 86)] {
        if topic_is_there {
            client.create_topic("t", 1, &[]).unwrap();
        }
        let answer = client.call(&forget, 0).unwrap();
        let partitions = &answer.body().unwrap().topics[0].partitions;
        assert_eq!(partitions[0].error_code, code);
    }
    let delete = DeleteGroupsRequest {
        groups_names: vec!["g", "none", "g"],
    };
    for (code, missing) in [(68, 69), (0, 69), (69, 69)] {
        let answer = client.call(&delete, 2).unwrap();
        let body = answer.body().unwrap();
        let codes: Vec<_> = body
            .results
            .iter()
            .map(|r| (r.group_id, r.error_code))
            .collect();
        assert_eq!(codes, [("g", code), ("none", missing)]);
        if code == 68 {
            assert_eq!(leave(&mut client, &member, 5), 0);
        }
    }
}

#[test]
fn members_and_offsets_survive_a_restart_of_the_broker() {
    let directory = tempfile::tempdir().unwrap();
    let store = || {
        let options = StoreOptions::new(NodeId(NODE), Durability::Synced, Arc::new(|| [3; 16]));
        let store = LocalStore::open(Arc::new(LocalDisk), directory.path(), options);
        store.unwrap().0
    };
    let (member, generation) = {
        let server = Server::over(store(), FAST, |options| options);
        let mut client = client(&server);
        client.create_topic("t", 2, &[]).unwrap();
        let (member, generation) = joined(&mut client, 9);
        sync(&mut client, &member, generation, 5);
        let topic = ("t", topic_id(&server, "t"));
        let codes = commit(&mut client, (&member, generation), topic, 42, 8);
        assert_eq!(codes, [0, 3]);
        (member, generation)
    };
    let server = Server::over(store(), FAST, |options| options);
    let mut client = server.client();
    assert_eq!(heartbeat(&mut client, &member, generation, 4), 0);
    let topic = ("t", topic_id(&server, "t"));
    for version in [1, 7, 9, 10] {
        let (found, _) = committed(&mut client, topic, version);
        assert_eq!(found[0].0, 42);
    }
    assert_eq!(
        commit(&mut client, (&member, generation), topic, 43, 8),
        [0, 3]
    );
}

/// Regression: who came second heard of a coordinator whose partition was still being opened.
#[test]
fn everyone_who_is_told_a_coordinator_finds_it_there() {
    for _ in 0..10 {
        let server = Server::with(&FAST[..1], |options| options);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut client = client(&server);
                    assert_eq!(heartbeat(&mut client, "m", 1, 4), 25);
                });
            }
        });
    }
}

/// A restarted application must not wait for the session of the one that was killed.
#[test]
fn a_member_whose_connection_closed_is_out_after_the_grace() {
    let settings = [FAST, &[("ottla.group.disconnect.grace.ms", "0")]].concat();
    let server = Server::with(&settings, |options| options);
    let mut first = client(&server);
    let (member, generation) = joined(&mut first, 9);
    sync(&mut first, &member, generation, 5);
    drop(first);
    server.await_figure("ottla_kafka_connections_open", None, 0);
    // Its own session would be 10 s.
    let mut second = server.client();
    second
        .set_time_limit(std::time::Duration::from_secs(5))
        .unwrap();
    let (other, generation) = joined(&mut second, 9);
    assert_ne!(other, member);
    assert_eq!(sync(&mut second, &other, generation, 5), b"yours");
}

#[test]
fn a_client_that_hangs_up_while_it_joins_leaves_the_connection_free() {
    let server = server();
    let mut first = client(&server);
    let (member, generation) = joined(&mut first, 9);
    sync(&mut first, &member, generation, 5);
    let mut second = server.client();
    let id = {
        let answer = second.call(&join("", None), 9).unwrap();
        answer.body().unwrap().member_id.to_owned()
    };
    // Parked until the first one rejoins.
    drop(second.send(&join(&id, None), 9).unwrap());
    second.finish_sending().unwrap();
    while !is_closed(&mut second) {}
    assert_eq!(heartbeat(&mut first, &member, generation, 4), 27);
}

#[test]
fn who_waits_for_a_group_when_the_gateway_stops_is_told_to_look_elsewhere() {
    let mut server = server();
    let mut first = client(&server);
    let (member, generation) = joined(&mut first, 9);
    sync(&mut first, &member, generation, 5);
    let mut second = server.client();
    let pending = second.send(&join("", Some("static")), 9).unwrap();
    // It waits as soon as the first one hears of it.
    while heartbeat(&mut first, &member, generation, 4) != 27 {}
    server.begin_stop();
    let answer = second.receive(pending).unwrap();
    assert_eq!(answer.body().unwrap().error_code, 16);
    server.finish_stop();
}

#[test]
fn the_log_of_groups_can_be_read_by_clients() {
    let server = server();
    let mut client = client(&server);
    client.create_topic("t", 2, &[]).unwrap();
    let topic = ("t", topic_id(&server, "t"));
    commit(&mut client, ("", -1), topic, 42, 8);
    // "g".hashCode() is 103, of 3 partitions the second.
    let fetched = client
        .fetch("__consumer_offsets", 1, 0, 1 << 20, 10_000)
        .unwrap();
    assert_eq!(fetched.error_code, 0);
    assert!(
        fetched
            .records
            .windows(4)
            .any(|bytes| bytes == b"\0\x01t\0")
    );
    let end = client.list_offset("__consumer_offsets", 1, -1).unwrap();
    assert_eq!(end.offset, 1);
}
