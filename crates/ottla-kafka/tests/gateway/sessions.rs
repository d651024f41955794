//! What fetch sessions (KIP-227) answer. The transcripts are what Apache Kafka 4.3.1 answers to the same
//! requests, but for ids of sessions that no client was given: where Kafka fails with
//! `UNKNOWN_SERVER_ERROR`, there is no such session here.

use ottla_model::uuid::Uuid;

use crate::support::Server;
use crate::talk::Topic::{Id, Name};
use crate::talk::{Talk, at, filled, request, said};

const PLANS: &str = "ottla_fetch_plans_total";
const SESSIONS: &str = "ottla_kafka_fetch_sessions";
const EVICTIONS: &str = "ottla_kafka_fetch_session_evictions_total";

#[test]
fn an_incremental_fetch_says_only_what_is_new() {
    let server = Server::start();
    let mut talk = filled(&server);
    let (a, b, nope) = (Name("a"), Name("b"), Name("nope"));
    let all = [
        at(nope, 0, 0),
        at(a, 0, 0),
        at(a, 1, 3),
        at(a, 7, 0),
        at(b, 0, 3),
        at(a, 2, 9),
    ];
    assert_eq!(
        talk.open(&all),
        "a 0:3/0+85 1:3/0+0 b 0:3/0+0 a 2:e1 nope 0:e3 a 7:e3"
    );
    assert_eq!(talk.next(&[], &[]), "a 0:3/0+85 2:e1 nope 0:e3 a 7:e3");
    // What is not there is forgotten in silence.
    let forgotten = [(nope, 0), (a, 7), (a, 2), (Name("zzz"), 1)];
    assert_eq!(talk.next(&[at(a, 0, 3)], &forgotten), "");
    assert_eq!(talk.next(&[], &[]), "");
    talk.produce("a", 1, &["x"]);
    assert_eq!(talk.next(&[], &[]), "a 1:4/0+69");
    assert_eq!(talk.next(&[], &[]), "a 1:4/0+69");
    assert_eq!(talk.next(&[at(a, 1, 4)], &[]), "");
    // New ones come last, and as they are named last; what brought records goes to the end.
    let more = [at(a, 2, 1), at(a, 2, 2), at(b, 0, 0)];
    assert_eq!(talk.next(&more, &[]), "b 0:3/0+85 a 2:3/0+85");
    assert_eq!(
        talk.next(&[at(a, 0, 0), at(a, 1, 0)], &[]),
        "a 0:3/0+85 1:4/0+154 b 0:3/0+85 a 2:3/0+85"
    );
    assert_eq!(
        talk.next(&[at(a, 2, 3)], &[]),
        "a 0:3/0+85 1:4/0+154 b 0:3/0+85"
    );
    // The end of an error is news.
    let asked = [at(a, 1, 99), at(a, 0, 3), at(b, 0, 3)];
    assert_eq!(talk.next(&asked, &[]), "a 1:e1");
    assert_eq!(talk.next(&[at(a, 1, 4)], &[]), "a 1:4/0+0");
    assert_eq!(talk.next(&[], &[]), "");
    let epoch = |last_fetched_epoch, current_leader_epoch, offset| {
        let mut asked = at(a, 0, offset);
        asked.1.last_fetched_epoch = last_fetched_epoch;
        asked.1.current_leader_epoch = current_leader_epoch;
        asked
    };
    let leader = talk.client.metadata(Some(&["a"])).unwrap()[0].partitions[0].leader_epoch;
    assert_eq!(talk.next(&[epoch(leader, -1, 99)], &[]), "a 0:3/0+0!");
    assert_eq!(talk.next(&[], &[]), "a 0:3/0+0!");
    assert_eq!(talk.next(&[epoch(-1, leader + 1, 3)], &[]), "a 0:e75");
    assert_eq!(talk.next(&[epoch(-1, leader, 3)], &[]), "a 0:3/0+0");
    // Nothing left: that is the end of it.
    let rest = [(a, 0), (a, 1), (a, 2), (b, 0)];
    let last = request(talk.session, &[], &rest);
    assert_eq!(talk.call(&last), (0, String::new()));
    let (id, epoch) = talk.session;
    let gone = request((id, epoch + 1), &[], &[]);
    assert_eq!(talk.call(&gone), (0, "error 70".into()));
    assert_eq!(server.figure(SESSIONS, None), 0);
}

#[test]
fn the_limit_of_bytes_starves_nobody() {
    let server = Server::start();
    let mut talk = filled(&server);
    let a = Name("a");
    let asked = [at(a, 0, 0), at(a, 1, 0), at(a, 2, 0)];
    let mut first = request((0, 0), &asked, &[]);
    first.max_bytes = 1;
    let (id, said) = talk.call(&first);
    assert_eq!(said, "a 0:3/0+85 1:3/0+0 2:3/0+0");
    talk.session = (id, 1);
    // One batch at a time, as small as the limit is, and each in its turn.
    for expected in ["a 0:3/0+85", "a 1:3/0+85", "a 2:3/0+85", "a 0:3/0+85"] {
        let mut next = request(talk.session, &[], &[]);
        next.max_bytes = 1;
        assert_eq!(talk.call(&next), (id, expected.into()));
        talk.session.1 += 1;
    }
}

#[test]
fn full_fetches_open_and_close_sessions() {
    let server = Server::start();
    let mut talk = filled(&server);
    let a = Name("a");
    let quiet = String::from("a 0:3/0+0");
    assert_eq!(talk.open(&[at(a, 0, 3)]), quiet);
    let (first, _) = talk.session;
    assert!(first > 0);
    // One that names a session ends it.
    let (second, said) = talk.call(&request((first, 0), &[at(a, 0, 3)], &[]));
    assert!(second > 0 && second != first);
    assert_eq!(said, quiet);
    let none = (0, String::from("error 70"));
    assert_eq!(talk.call(&request((first, 1), &[], &[])), none);
    let closing = request((second, -1), &[at(a, 0, 3)], &[]);
    assert_eq!(talk.call(&closing), (0, quiet.clone()));
    assert_eq!(talk.call(&request((second, 1), &[], &[])), none);
    // Asked and forgotten at once is asked this once.
    talk.open(&[at(a, 0, 0)]);
    let both = request(talk.session, &[at(a, 1, 0)], &[(a, 0), (a, 1)]);
    assert_eq!(talk.call(&both), (0, "a 1:3/0+85".into()));
    // A session of nothing is one, until it is used.
    assert_eq!(talk.open(&[]), "");
    assert!(talk.session.0 > 0);
    assert_eq!(
        talk.call(&request(talk.session, &[], &[])),
        (0, String::new())
    );
    // Those who do not know sessions get none, and the same answer as always.
    talk.version = 6;
    assert_eq!(talk.call(&request((0, 0), &[at(a, 0, 3)], &[])), (0, quiet));
    talk.version = 12;
    let twice = [at(a, 0, 3), at(a, 77, 0), at(a, 1, 0), at(a, 0, 0)];
    let sessionless = request((0, -1), &twice, &[]);
    let said = "a 0:3/0+85 1:3/0+85 77:e3".into();
    assert_eq!(talk.call(&sessionless), (0, said));
    assert_eq!(server.figure(SESSIONS, None), 0);
    assert_eq!(server.figure(EVICTIONS, None), 0);
}

#[test]
fn what_does_not_fit_a_session_is_refused_and_harms_nothing() {
    let server = Server::start();
    let mut talk = filled(&server);
    let a = Name("a");
    talk.open(&[at(a, 0, 3)]);
    let (id, _) = talk.session;
    let mut refused = |version, session| {
        talk.version = version;
        talk.call(&request(session, &[], &[]))
    };
    let error = |code: i16| (0, format!("error {code}"));
    for stranger in [(0, 1), (id ^ 1, 1), (-1, 1), (i32::MAX, 1), (i32::MIN, 7)] {
        assert_eq!(refused(12, stranger), error(70));
    }
    for epoch in [2, -2, i32::MAX, i32::MIN] {
        assert_eq!(refused(12, (id, epoch)), error(71));
    }
    assert_eq!(refused(13, (id, 1)), error(106));
    talk.version = 7;
    assert_eq!(talk.next(&[], &[]), "");
    let id = talk.client.metadata(Some(&["a"])).unwrap()[0].id;
    talk.version = 13;
    talk.open(&[at(Id(id), 0, 3)]);
    talk.version = 12;
    let by_name = request(talk.session, &[], &[]);
    assert_eq!(talk.call(&by_name), error(106));
}

#[test]
fn sessions_by_id_know_what_became_of_a_topic() {
    let server = Server::start();
    let mut talk = filled(&server);
    talk.version = 13;
    let a = talk.client.metadata(Some(&["a"])).unwrap()[0].id;
    let d = talk.client.create_topic("d", 1, &[]).unwrap().id;
    let unknown = Uuid([0xff; 16]);
    let mark = |id: Uuid| format!("#{}", id.0[0]);
    let (a_, d_, x_) = (mark(a), mark(d), mark(unknown));
    let asked = [
        at(Id(unknown), 0, 0),
        at(Id(d), 0, 0),
        at(Id(a), 0, 3),
        at(Id(a), 9, 0),
    ];
    assert_eq!(
        talk.open(&asked),
        format!("{d_} 0:0/0+0 {a_} 0:3/0+0 {x_} 0:e100 {a_} 9:e3")
    );
    assert_eq!(talk.next(&[], &[]), format!("{x_} 0:e100 {a_} 9:e3"));
    assert_eq!(talk.next(&[], &[(Id(unknown), 0), (Id(a), 9)]), "");
    // The name is known, so a topic that is gone is not an unknown id.
    assert_eq!(talk.client.delete_topic("d").unwrap(), 0);
    assert_eq!(talk.next(&[], &[]), format!("{d_} 0:e3"));
    assert_eq!(talk.next(&[at(Id(d), 0, 0)], &[]), format!("{d_} 0:e3"));
    let anew = talk.client.create_topic("d", 1, &[]).unwrap().id;
    assert_eq!(talk.next(&[], &[]), format!("{d_} 0:e103"));
    let n_ = mark(anew);
    assert_eq!(
        talk.next(&[at(Id(anew), 0, 0)], &[]),
        format!("{d_} 0:e103 {n_} 0:0/0+0")
    );
    assert_eq!(talk.next(&[], &[(Id(d), 0)]), "");
    let sessionless = request((0, -1), &[at(Id(d), 0, 0)], &[]);
    assert_eq!(talk.call(&sessionless), (0, format!("{d_} 0:e100")));
}

#[test]
fn sessions_by_name_go_on_with_the_topic_of_that_name() {
    let server = Server::start();
    let mut talk = filled(&server);
    let (b, later) = (Name("b"), Name("later"));
    assert_eq!(
        talk.open(&[at(later, 0, 0), at(b, 0, 3)]),
        "b 0:3/0+0 later 0:e3"
    );
    assert_eq!(talk.next(&[], &[]), "later 0:e3");
    assert_eq!(
        talk.client
            .create_topic("later", 1, &[])
            .unwrap()
            .error_code,
        0
    );
    assert_eq!(talk.next(&[], &[]), "later 0:0/0+0");
    assert_eq!(talk.next(&[], &[]), "");
    assert_eq!(talk.client.delete_topic("b").unwrap(), 0);
    assert_eq!(talk.next(&[], &[]), "b 0:e3");
    assert_eq!(talk.client.create_topic("b", 1, &[]).unwrap().error_code, 0);
    talk.produce("b", 0, &["1", "2", "3"]);
    assert_eq!(talk.next(&[], &[]), "b 0:3/0+0");
    assert_eq!(talk.next(&[], &[]), "");
    talk.produce("b", 0, &["4"]);
    assert_eq!(talk.next(&[], &[]), "b 0:4/0+69");
}

#[test]
fn a_deleted_topic_ends_the_wait_for_it() {
    let server = Server::start();
    for by_id in [false, true] {
        let mut talk = Talk::new(server.client_with("t", 1, &[]), if by_id { 13 } else { 12 });
        let mut other = server.client();
        let id = talk.client.metadata(Some(&["t"])).unwrap()[0].id;
        let topic = if by_id { Id(id) } else { Name("t") };
        talk.open(&[at(topic, 0, 0)]);
        for full in [false, true] {
            let mut waiting = match full {
                true => request((0, 0), &[at(topic, 0, 0)], &[]),
                false => request(talk.session, &[], &[]),
            };
            waiting.max_wait_ms = i32::MAX;
            let plans = server.figure(PLANS, None);
            let pending = talk.client.send(&waiting, talk.version).unwrap();
            if full {
                server.await_figure(PLANS, None, plans + 1);
            }
            assert_eq!(other.delete_topic("t").unwrap(), 0);
            let answer = talk.client.receive(pending).unwrap();
            let expected = if by_id {
                format!("#{} 0:e3", id.0[0])
            } else {
                "t 0:e3".into()
            };
            assert_eq!(said(&answer).1, expected);
            if by_id {
                break;
            }
            assert_eq!(other.create_topic("t", 1, &[]).unwrap().error_code, 0);
        }
        if !by_id {
            assert_eq!(other.delete_topic("t").unwrap(), 0);
        }
    }
}

#[test]
fn a_second_request_of_a_session_overtakes_the_first() {
    let server = Server::start();
    let mut talk = filled(&server);
    let a = Name("a");
    talk.open(&[at(a, 0, 3)]);
    let session = talk.session.0;
    let mut slow = request((session, 1), &[], &[]);
    slow.max_wait_ms = i32::MAX;
    let pending = talk.client.send(&slow, 12).unwrap();
    let mut fast = Talk::new(server.client(), 12);
    // Until the first request was read, the second one is ahead of its time.
    loop {
        let (id, said) = fast.call(&request((session, 2), &[], &[]));
        if id == session {
            assert_eq!(said, "");
            break;
        }
        assert_eq!(said, "error 71");
    }
    fast.produce("a", 0, &["x"]);
    let late = talk.client.receive(pending).unwrap();
    assert_eq!(said(&late), (session, "error 71".into()));
    fast.session = (session, 3);
    assert_eq!(fast.next(&[], &[]), "a 0:4/0+69");
}

#[test]
fn followers_hear_that_nobody_leads_them() {
    let server = Server::start();
    let mut talk = filled(&server);
    let a = Name("a");
    talk.open(&[at(a, 0, 3)]);
    let mut follower = request(talk.session, &[], &[]);
    follower.replica_id = 3;
    assert_eq!(talk.call(&follower).1, "a 0:e6");
    talk.session.1 += 1;
    assert_eq!(talk.next(&[], &[]), "a 0:3/0+0");
}
