//! Rules of sessions one by one. What they do in any order is in `model_tests.rs`.

use super::*;
use crate::fetch_sessions::cache::EVICTION_MS;

/// Hears of nothing by itself; knows which keys it was told to forget.
#[derive(Default, Debug)]
pub(super) struct Heard {
    pub(super) moved: Vec<u64>,
    pub(super) forgotten: Vec<u64>,
}

impl Link for Heard {
    fn forget(&mut self, key: u64) {
        self.forgotten.push(key);
    }
    fn take_moved(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.moved)
    }
}

type Sessions = FetchSessions<Heard>;

const START: MonoMs = MonoMs(1_000);

pub(super) fn name(topic: &str) -> TopicKey {
    TopicKey::Name(topic.into())
}

pub(super) fn asked(topic: TopicKey, partition: i32) -> Asked {
    Asked {
        topic,
        partition,
        fetch_offset: 0,
        bytes_max: 1,
        current_leader_epoch: -1,
        last_fetched_epoch: -1,
    }
}

fn request(session_id: i32, session_epoch: i32, partitions: &[i32]) -> Request {
    Request {
        session_id,
        session_epoch,
        by_id: false,
        reader: Reader::default(),
        asked: partitions.iter().map(|p| asked(name("t"), *p)).collect(),
        forgotten: Vec::new(),
    }
}

fn quiet(key: u64) -> Tidings {
    Tidings {
        key,
        standing: Standing::Readable,
        high_watermark: 5,
        log_start: 0,
        has_records: false,
        settled: true,
        name: None,
    }
}

/// Counts up: ids that a test can foretell.
fn ids() -> impl FnMut() -> i32 {
    let mut next = 100;
    move || {
        next += 1;
        next
    }
}

fn due(poll: &Poll<Heard>) -> Vec<i32> {
    poll.due.iter().map(|due| due.asked.partition).collect()
}

/// Opens a session whose partitions are all quiet.
fn open(sessions: &Sessions, partitions: &[i32], now: MonoMs, id: i32) -> i32 {
    let poll = sessions.begin(request(0, 0, partitions), now).unwrap();
    let tidings: Vec<_> = poll.due.iter().map(|due| quiet(due.key)).collect();
    let answer = sessions.finish(poll, &tidings, now, || id).unwrap();
    assert_eq!(answer.told.len(), partitions.len(), "all is told at first");
    answer.session_id
}

fn figures(sessions: &Sessions) -> Figures {
    let mut shown = None;
    sessions.show(|figures| shown = Some(figures));
    shown.unwrap()
}

#[test]
fn what_is_settled_is_not_due_until_it_moves_or_is_asked_anew() {
    let sessions = Sessions::new(10, 100);
    let id = open(&sessions, &[0, 1, 2, 3], START, 7);
    assert_eq!(id, 7);
    let mut poll = sessions.begin(request(7, 1, &[2]), START).unwrap();
    assert_eq!(due(&poll), [2]);
    let keys: Vec<_> = poll.due.iter().map(|due| due.key).collect();
    // While it waits, another one moves.
    poll.link.moved.push(0);
    let records = Tidings {
        has_records: true,
        settled: false,
        high_watermark: 6,
        ..quiet(keys[0])
    };
    let answer = sessions.finish(poll, &[records], START, ids()).unwrap();
    assert_eq!((answer.session_id, answer.told), (7, keys));
    // What brought records and was not asked anew is still there to be read.
    let poll = sessions.begin(request(7, 2, &[]), START).unwrap();
    assert_eq!(due(&poll), [0, 2]);
}

#[test]
fn only_news_is_told() {
    let sessions = Sessions::new(10, 100);
    open(&sessions, &[0, 1, 2, 3, 4], START, 7);
    let poll = sessions
        .begin(request(7, 1, &[0, 1, 2, 3, 4]), START)
        .unwrap();
    let [a, b, c, d, e] = [0, 1, 2, 3, 4].map(|at: usize| poll.due[at].key);
    let tidings = [
        quiet(a),
        Tidings {
            high_watermark: 6,
            ..quiet(b)
        },
        Tidings {
            log_start: 1,
            ..quiet(c)
        },
        Tidings {
            standing: Standing::Diverging,
            settled: false,
            ..quiet(d)
        },
        Tidings {
            standing: Standing::Unknown,
            high_watermark: -1,
            log_start: -1,
            settled: false,
            ..quiet(e)
        },
    ];
    let answer = sessions.finish(poll, &tidings, START, ids()).unwrap();
    assert_eq!(answer.told, [b, c, d, e]);
    // An error is told each time, and so is its end.
    let poll = sessions.begin(request(7, 2, &[]), START).unwrap();
    assert_eq!(due(&poll), [3, 4]);
    let answer = sessions
        .finish(poll, &[quiet(d), tidings[4].clone()], START, ids())
        .unwrap();
    assert_eq!(answer.told, [e]);
    let poll = sessions.begin(request(7, 3, &[]), START).unwrap();
    let answer = sessions.finish(poll, &[quiet(e)], START, ids()).unwrap();
    assert_eq!(answer.told, [e]);
    let poll = sessions.begin(request(7, 4, &[]), START).unwrap();
    assert_eq!(due(&poll), [0; 0]);
}

#[test]
fn what_brought_records_goes_to_the_end_and_what_does_not_exist_is_told_last() {
    let sessions = Sessions::new(10, 100);
    let poll = sessions.begin(request(0, 0, &[9, 0, 1, 2]), START).unwrap();
    let keys: Vec<_> = poll.due.iter().map(|due| due.key).collect();
    let records = |key| Tidings {
        has_records: true,
        settled: false,
        ..quiet(key)
    };
    let unknown = |key| Tidings {
        standing: Standing::Unknown,
        settled: false,
        ..quiet(key)
    };
    let tidings = [
        unknown(keys[0]),
        records(keys[1]),
        records(keys[2]),
        records(keys[3]),
    ];
    let answer = sessions.finish(poll, &tidings, START, || 7).unwrap();
    // The first answer gives the order.
    assert_eq!(answer.told, [keys[1], keys[2], keys[3], keys[0]]);
    let poll = sessions.begin(request(7, 1, &[]), START).unwrap();
    assert_eq!(due(&poll), [0, 1, 2, 9]);
    let tidings = [
        records(keys[1]),
        Tidings {
            settled: false,
            ..quiet(keys[2])
        },
        records(keys[3]),
        unknown(keys[0]),
    ];
    let answer = sessions.finish(poll, &tidings, START, ids()).unwrap();
    assert_eq!(answer.told, [keys[1], keys[3], keys[0]]);
    let poll = sessions.begin(request(7, 2, &[]), START).unwrap();
    assert_eq!(due(&poll), [1, 9, 0, 2]);
}

#[test]
fn requests_that_do_not_fit_their_session_are_refused() {
    let sessions = Sessions::new(10, 100);
    let refused = |id, epoch, by_id| {
        let request = Request {
            by_id,
            ..request(id, epoch, &[])
        };
        sessions.begin(request, START).map(|_| ()).unwrap_err()
    };
    assert_eq!(refused(0, 1, false), SessionError::IdNotFound);
    assert_eq!(refused(7, 1, false), SessionError::IdNotFound);
    open(&sessions, &[0], START, 7);
    assert_eq!(refused(8, 1, false), SessionError::IdNotFound);
    assert_eq!(refused(-7, 1, false), SessionError::IdNotFound);
    for epoch in [2, -2, i32::MAX, i32::MIN] {
        assert_eq!(refused(7, epoch, false), SessionError::InvalidEpoch);
    }
    assert_eq!(refused(7, 1, true), SessionError::TopicId);
    // None of that did anything to it.
    assert!(sessions.begin(request(7, 1, &[]), START).is_ok());
    assert_eq!(refused(7, 1, false), SessionError::InvalidEpoch);
}

#[test]
fn epochs_go_round_without_zero() {
    assert_eq!(next_epoch(1), 2);
    assert_eq!(next_epoch(i32::MAX), 1);
}

#[test]
fn a_full_fetch_closes_the_session_that_it_names() {
    let sessions = Sessions::new(10, 100);
    open(&sessions, &[0], START, 7);
    let poll = sessions.begin(request(7, -1, &[0]), START).unwrap();
    assert!(!poll.is_kept());
    let tidings = [quiet(poll.due[0].key)];
    let answer = sessions.finish(poll, &tidings, START, ids()).unwrap();
    assert_eq!((answer.session_id, answer.told.len()), (0, 1));
    assert_eq!(figures(&sessions).sessions, 0);
    open(&sessions, &[0], START, 7);
    let poll = sessions.begin(request(7, 0, &[0]), START).unwrap();
    assert_eq!(figures(&sessions).sessions, 0);
    let answer = sessions.finish(poll, &[], START, || 8).unwrap();
    assert_eq!(answer.session_id, 8);
}

#[test]
fn a_session_that_forgets_everything_is_closed() {
    let sessions = Sessions::new(10, 100);
    open(&sessions, &[0, 1], START, 7);
    let forget = |epoch, partitions: &[i32]| Request {
        forgotten: partitions.iter().map(|p| (name("t"), *p)).collect(),
        ..request(7, epoch, &[])
    };
    let poll = sessions.begin(forget(1, &[1, 5]), START).unwrap();
    assert_eq!(poll.link.forgotten.len(), 1);
    assert_eq!(figures(&sessions).partitions, 1);
    sessions.finish(poll, &[], START, ids()).unwrap();
    // What is asked and forgotten at once is fetched this once.
    let last = Request {
        asked: vec![asked(name("t"), 5)],
        ..forget(2, &[0, 5])
    };
    let poll = sessions.begin(last, START).unwrap();
    assert_eq!((due(&poll), poll.is_kept()), (vec![5], false));
    assert_eq!(figures(&sessions).sessions, 0);
}

#[test]
fn an_overtaken_answer_is_refused_and_the_session_looks_at_everything() {
    let sessions = Sessions::new(10, 100);
    open(&sessions, &[0, 1], START, 7);
    let slow = sessions.begin(request(7, 1, &[]), START).unwrap();
    assert!(slow.due.is_empty());
    let fast = sessions.begin(request(7, 2, &[]), START).unwrap();
    assert_eq!(due(&fast), [0, 1]);
    let late = sessions.finish(slow, &[], START, ids()).unwrap_err();
    assert_eq!(late.session_id, 7);
    let tidings: Vec<_> = fast.due.iter().map(|due| quiet(due.key)).collect();
    let answer = sessions.finish(fast, &tidings, START, ids()).unwrap();
    assert_eq!(answer.told, []);
}

#[test]
fn a_fetch_that_was_dropped_half_way_costs_one_look_at_everything() {
    let sessions = Sessions::new(10, 100);
    open(&sessions, &[0, 1], START, 7);
    drop(sessions.begin(request(7, 1, &[]), START).unwrap());
    let poll = sessions.begin(request(7, 2, &[]), START).unwrap();
    assert_eq!(due(&poll), [0, 1]);
}

#[test]
fn another_reader_was_told_nothing_yet() {
    let sessions = Sessions::new(10, 100);
    open(&sessions, &[0, 1], START, 7);
    let committed = Request {
        reader: Reader {
            is_committed: true,
            ..Reader::default()
        },
        ..request(7, 1, &[])
    };
    assert_eq!(due(&sessions.begin(committed, START).unwrap()), [0, 1]);
}

#[test]
fn a_partition_that_is_named_twice_is_asked_for_as_it_says_last() {
    let sessions = Sessions::new(10, 100);
    let mut twice = request(0, 0, &[0, 1, 0]);
    twice.asked[2].fetch_offset = 9;
    let poll = sessions.begin(twice, START).unwrap();
    let found: Vec<_> = poll
        .due
        .iter()
        .map(|due| (due.asked.partition, due.asked.fetch_offset))
        .collect();
    assert_eq!(found, [(0, 9), (1, 0)]);
}

#[test]
fn a_full_cache_gives_no_session_until_one_is_stale() {
    let sessions = Sessions::new(2, 100);
    open(&sessions, &[0], START, 1);
    open(&sessions, &[0], START, 2);
    // Not even for a larger one: these have not lived long enough.
    assert_eq!(open(&sessions, &[0, 1], START + EVICTION_MS, 3), 0);
    let poll = sessions.begin(request(1, 1, &[]), START + 10).unwrap();
    sessions.finish(poll, &[], START + 10, ids()).unwrap();
    assert_eq!(open(&sessions, &[0], START + EVICTION_MS + 1, 4), 4);
    assert!(sessions.begin(request(2, 1, &[]), START).is_err());
    assert_eq!(figures(&sessions).evictions, 1);
}

#[test]
fn larger_ones_replace_smaller_ones_that_have_lived() {
    let sessions = Sessions::new(2, 100);
    open(&sessions, &[0, 1, 2], START, 1);
    open(&sessions, &[0, 1], START, 2);
    let later = START + EVICTION_MS + 1;
    for id in [1, 2] {
        let poll = sessions.begin(request(id, 1, &[]), later).unwrap();
        sessions.finish(poll, &[], later, ids()).unwrap();
    }
    assert_eq!(open(&sessions, &[0], later, 3), 0);
    // As large will do if its number is larger; Kafka compares with number 0, so it will not.
    assert_eq!(open(&sessions, &[0, 1], later, 4), 0);
    assert_eq!(open(&sessions, &[0, 1, 2], later, 5), 5);
    assert!(sessions.begin(request(2, 2, &[]), later).is_err());
    assert!(sessions.begin(request(1, 2, &[]), later).is_ok());
}

#[test]
fn followers_replace_consumers_at_once() {
    let sessions = Sessions::new(1, 100);
    let follower = || Request {
        reader: Reader {
            is_follower: true,
            ..Reader::default()
        },
        ..request(0, 0, &[0])
    };
    open(&sessions, &[0, 1, 2], START, 1);
    let poll = sessions.begin(follower(), START).unwrap();
    assert_eq!(
        sessions.finish(poll, &[], START, || 2).unwrap().session_id,
        2
    );
    // But not each other, and no consumer replaces them.
    let poll = sessions.begin(follower(), START).unwrap();
    assert_eq!(
        sessions.finish(poll, &[], START, || 3).unwrap().session_id,
        0
    );
    assert_eq!(open(&sessions, &[0, 1, 2], START + EVICTION_MS, 4), 0);
}

#[test]
fn the_sum_of_partitions_is_bounded() {
    let sessions = Sessions::new(10, 5);
    assert_eq!(open(&sessions, &[0, 1, 2, 3, 4, 5], START, 1), 0);
    assert_eq!(open(&sessions, &[0, 1, 2], START, 2), 2);
    assert_eq!(open(&sessions, &[0, 1, 2], START, 3), 0);
    assert_eq!(open(&sessions, &[0, 1], START, 4), 4);
    // One that grows beyond it has to start over.
    let grown = sessions.begin(request(4, 1, &[2, 3]), START);
    assert_eq!(grown.unwrap_err(), SessionError::IdNotFound);
    assert_eq!(figures(&sessions).partitions, 3);
    // Stale ones make room.
    let later = START + EVICTION_MS + 1;
    assert_eq!(open(&sessions, &[0, 1, 2, 3], later, 5), 5);
    assert_eq!(
        figures(&sessions),
        Figures {
            sessions: 1,
            partitions: 4,
            evictions: 2
        }
    );
}

#[test]
fn names_that_no_topic_can_have_are_not_remembered() {
    let sessions = Sessions::new(10, 100);
    let long = asked(name(&"x".repeat(250)), 0);
    let full = Request {
        asked: vec![long.clone()],
        ..request(0, 0, &[])
    };
    let poll = sessions.begin(full, START).unwrap();
    assert_eq!(
        sessions.finish(poll, &[], START, ids()).unwrap().session_id,
        0
    );
    open(&sessions, &[0], START, 7);
    let more = Request {
        asked: vec![long],
        ..request(7, 1, &[])
    };
    assert_eq!(
        sessions.begin(more, START).unwrap_err(),
        SessionError::IdNotFound
    );
    assert_eq!(figures(&sessions).sessions, 0);
}

#[test]
fn ids_are_above_zero_and_taken_once() {
    let sessions = Sessions::new(10, 100);
    let mut numbers = [0, i32::MIN, -1, i32::MAX, 5].into_iter();
    let poll = sessions.begin(request(0, 0, &[0]), START).unwrap();
    let mut next = || numbers.next().unwrap();
    let first = sessions.finish(poll, &[], START, &mut next).unwrap();
    assert_eq!(first.session_id, i32::MAX);
    let poll = sessions.begin(request(0, 0, &[0]), START).unwrap();
    let second = sessions.finish(poll, &[], START, &mut next).unwrap();
    assert_eq!(second.session_id, 5);
}
