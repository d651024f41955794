//! What fetch sessions cost, how long they live, and what a fetch that fails says to whom.

use std::sync::Arc;

use ottla_log::disk::LocalDisk;
use ottla_log::{Durability, LocalStore, StoreOptions};
use ottla_model::ids::NodeId;

use crate::support::{NODE, Server, batch};
use crate::talk::Topic::Name;
use crate::talk::{Talk, at, filled, request, said};

const PLANS: &str = "ottla_fetch_plans_total";
const SESSIONS: &str = "ottla_kafka_fetch_sessions";
const PARTITIONS: &str = "ottla_kafka_fetch_session_partitions";
const EVICTIONS: &str = "ottla_kafka_fetch_session_evictions_total";

#[test]
fn an_idle_session_costs_nothing_and_an_append_one_plan() {
    const MANY: i32 = 1_000;
    let server = Server::start();
    let mut talk = Talk::new(server.client_with("t", MANY, &[]), 12);
    let mut other = server.client();
    let t = Name("t");
    let all: Vec<_> = (0..MANY).map(|partition| at(t, partition, 0)).collect();
    talk.open(&all);
    let opened = server.figure(PLANS, None);
    assert_eq!(opened, MANY as u64);
    assert_eq!(server.figure(SESSIONS, None), 1);
    assert_eq!(server.figure(PARTITIONS, None), MANY as u64);
    for round in 0..100 {
        let mut idle = request(talk.session, &[], &[]);
        idle.max_wait_ms = round % 2;
        assert_eq!(talk.call(&idle), (talk.session.0, String::new()));
        talk.session.1 += 1;
    }
    assert_eq!(
        server.figure(PLANS, None),
        opened,
        "idle polls look at nothing"
    );

    // Between two polls.
    let produced = other.produce("t", 700, &batch(&["v"])).unwrap();
    assert_eq!(produced.error_code, 0);
    let read = talk.next(&[], &[]);
    assert_eq!(read, "t 700:1/0+69");
    assert_eq!(server.figure(PLANS, None), opened + 1);
    // The client reads on: one more, and then it is idle again.
    assert_eq!(talk.next(&[at(t, 700, 1)], &[]), "");
    assert_eq!(talk.next(&[], &[]), "");
    assert_eq!(server.figure(PLANS, None), opened + 2);

    // During one.
    let mut waiting = request(talk.session, &[], &[]);
    waiting.max_wait_ms = i32::MAX;
    let pending = talk.client.send(&waiting, 12).unwrap();
    other.produce("t", 3, &batch(&["v"])).unwrap();
    let answer = talk.client.receive(pending).unwrap();
    assert_eq!(said(&answer).1, "t 3:1/0+69");
    assert_eq!(server.figure(PLANS, None), opened + 3);
}

#[test]
fn a_session_outlives_its_connection() {
    let server = Server::start();
    let mut talk = filled(&server);
    let a = Name("a");
    talk.open(&[at(a, 0, 3), at(a, 1, 3)]);
    // This one hangs up in the middle of a wait, so nobody knows what it heard of.
    let mut waiting = request(talk.session, &[], &[]);
    waiting.max_wait_ms = i32::MAX;
    let _never_read = talk.client.send(&waiting, 12).unwrap();
    let plans = server.figure(PLANS, None);
    talk.client = server.client();
    // Once the new connection is counted, one that is open means that the old one is done.
    talk.client.api_versions().unwrap();
    server.await_figure("ottla_kafka_connections_open", None, 1);
    talk.session.1 = 2;
    talk.produce("a", 1, &["x"]);
    assert_eq!(talk.next(&[], &[]), "a 1:4/0+69");
    assert!(server.figure(PLANS, None) <= plans + 2);
    assert_eq!(server.figure(SESSIONS, None), 1);
}

#[test]
fn without_room_clients_fetch_without_a_session() {
    let slots = [("max.incremental.fetch.session.cache.slots", "2")];
    let server = Server::with(&slots, |mut options| {
        options.fetch_session_partitions_max = 3;
        options
    });
    let mut talk = filled(&server);
    let (a, b) = (Name("a"), Name("b"));
    let whole = [at(a, 0, 3), at(a, 1, 3), at(a, 2, 3), at(b, 0, 3)];
    let read = String::from("a 0:3/0+0 1:3/0+0 2:3/0+0 b 0:3/0+0");
    assert_eq!(talk.open(&whole), read);
    assert_eq!(talk.session.0, 0, "too many partitions");
    talk.open(&whole[..1]);
    let first = talk.session;
    talk.open(&whole[..1]);
    assert!(talk.session.0 > 0);
    assert_eq!(server.figure(PARTITIONS, None), 2);
    assert_eq!(
        talk.call(&request((0, 0), &whole[..1], &[])).0,
        0,
        "no slot"
    );
    // One that grows too large has to start over.
    let growing = request(first, &whole, &[]);
    assert_eq!(talk.call(&growing), (0, "error 70".into()));
    assert_eq!(server.figure(SESSIONS, None), 1);
    assert_eq!(server.figure(EVICTIONS, None), 1);

    let none = [("max.incremental.fetch.session.cache.slots", "0")];
    let server = Server::with(&none, |options| options);
    let mut talk = filled(&server);
    assert_eq!(talk.open(&whole), read);
    assert_eq!(talk.session.0, 0);
}

#[test]
fn a_damaged_batch_is_told_on_each_fetch_and_counted_once() {
    let directory = tempfile::tempdir().unwrap();
    let options = StoreOptions::new(NodeId(NODE), Durability::Synced, Arc::new(|| [4; 16]));
    let (store, _) = LocalStore::open(Arc::new(LocalDisk), directory.path(), options).unwrap();
    let server = Server::over(store, &[], |options| options);
    let mut talk = Talk::new(server.client_with("t", 1, &[]), 12);
    talk.produce("t", 0, &["sound"]);
    let length = batch(&["sound"]).len() as u64;
    talk.produce("t", 0, &["damaged"]);
    talk.produce("t", 0, &["sound too"]);
    let log = directory.path().join("t-0/00000000000000000000.log");
    let file = std::fs::OpenOptions::new().write(true).open(log).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[0xff; 24], length).unwrap();
    let t = Name("t");
    assert_eq!(server.figure("ottla_storage_faults_total", None), 0);
    assert_eq!(talk.open(&[at(t, 0, 1)]), "t 0:e2");
    for _ in 0..3 {
        assert_eq!(talk.next(&[], &[]), "t 0:e2");
        assert_eq!(
            talk.call(&request((0, -1), &[at(t, 0, 1)], &[])).1,
            "t 0:e2"
        );
    }
    assert_eq!(server.figure("ottla_storage_faults_total", None), 1);
}
