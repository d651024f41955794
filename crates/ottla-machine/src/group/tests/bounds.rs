//! Requests that are small on the wire and large in what they ask for.

use std::vec;

use super::*;

fn commit(group: &str, partitions: impl Iterator<Item = i32>) -> Request {
    let partitions = partitions.map(|partition| CommitPartition {
        partition,
        offset: 7,
        leader_epoch: -1,
        metadata: Arc::from(""),
    });
    Request::CommitOffsets(CommitOffsets {
        group: GroupId::from(group),
        member: MemberId::from(""),
        instance: None,
        generation: -1,
        knows_epochs: true,
        retention_ms: None,
        topics: vec![CommitTopic {
            name: Arc::from("t"),
            topic_id: Uuid([1; 16]),
            partitions: partitions.collect(),
        }],
    })
}

fn results(mut left: Vec<Left>) -> Vec<Result<(), Refusal>> {
    assert_eq!(left.len(), 1);
    match left.remove(0).value {
        Ok(Answer::Committed(mut results)) => results.remove(0),
        other => panic!("{other:?}"),
    }
}

/// Regression: each mention of a partition became a record with the group's id in it, 2 GB of a request of
/// 1 MB; the coordinator did not survive that.
#[test]
fn a_partition_that_a_commit_names_again_and_again_is_logged_once() {
    let mut rig = Rig::new();
    let group = "g".repeat(30_000);
    let before = rig.log.len();
    let (_, left) = rig.ask(commit(&group, std::iter::repeat_n(3, 10_000)));
    assert_eq!(results(left), vec![Ok(()); 10_000]);
    assert_eq!(rig.log.len(), before + 1);
    assert_eq!(rig.log[before].1.len(), 1);
}

#[test]
fn a_commit_larger_than_a_batch_may_be_is_refused_whole() {
    let mut rig = Rig::new();
    let group = "g".repeat(30_000);
    let before = rig.log.len();
    let (_, left) = rig.ask(commit(&group, 0..1_000));
    assert_eq!(results(left), vec![Err(Refusal::CommitTooLarge); 1_000]);
    assert_eq!(rig.log.len(), before);
    let (_, left) = rig.ask(commit(&group, 0..500));
    assert_eq!(results(left), vec![Ok(()); 500]);
}

fn join(instance: &str, protocols: usize, metadata_bytes: usize) -> Request {
    let protocols = (0..protocols).map(|nth| Protocol {
        name: Arc::from(std::format!("p{nth}").as_str()),
        metadata: bytes::Bytes::from(vec![0; metadata_bytes]),
    });
    Request::Join(Join {
        group: GroupId::from("g"),
        member: MemberId::from(""),
        instance: Some(InstanceId::from(instance)),
        client_id: Arc::from("c"),
        client_host: Arc::from("/127.0.0.1"),
        connection: ConnectionId(1),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        protocol_type: Arc::from("consumer"),
        protocols: protocols.collect(),
        member_id_required: false,
        may_skip_assignment: false,
        topics: Arc::new(super::topics::TestTopics::default()),
    })
}

fn refusal(left: &[Left]) -> Option<&Refusal> {
    left.first().and_then(|left| left.value.as_ref().err())
}

#[test]
fn a_member_lists_so_many_assignors_at_most() {
    let mut rig = Rig::new();
    let (_, left) = rig.ask(join("a", 101, 0));
    assert_eq!(refusal(&left), Some(&Refusal::InconsistentProtocol));
    let (_, left) = rig.ask(join("a", 100, 0));
    assert_eq!(refusal(&left), None);
}

#[test]
fn what_members_tell_their_assignor_is_bounded_for_the_group() {
    let mut rig = Rig::new();
    for nth in 0..8 {
        let (_, left) = rig.ask(join(&std::format!("i{nth}"), 2, (2 << 20) - 2));
        assert_eq!(refusal(&left), None);
    }
    let (_, left) = rig.ask(join("one more", 1, 1));
    assert_eq!(refusal(&left), Some(&Refusal::GroupFull));
}

fn beat(nth: usize, topics: &[Arc<str>], regex: Option<Arc<str>>) -> Request {
    Request::ConsumerHeartbeat(ConsumerHeartbeat {
        group: GroupId::from("g"),
        member: MemberId::from(std::format!("m{nth}").as_str()),
        makes_own_id: true,
        epoch: 0,
        instance: None,
        rack: None,
        rebalance_timeout_ms: 10_000,
        subscribed: Some(topics.to_vec()),
        regex,
        regex_fault: None,
        assignor: None,
        owned: Some(BTreeMap::new()),
        client_id: Arc::from("c"),
        client_host: Arc::from("/127.0.0.1"),
        connection: ConnectionId(1),
        topics: Arc::new(super::topics::TestTopics::default()),
    })
}

/// Each expression is matched with each topic.
#[test]
fn a_group_has_so_many_regular_expressions_at_most() {
    let mut rig = Rig::new();
    let regex = |nth: usize| Some(Arc::from(std::format!("r{nth}").as_str()));
    for nth in 0..250 {
        let (_, left) = rig.ask(beat(nth, &[], regex(nth)));
        assert_eq!(refusal(&left), None);
    }
    let (_, left) = rig.ask(beat(250, &[], regex(250)));
    assert!(matches!(refusal(&left), Some(Refusal::InvalidRegex(_))));
    let (_, left) = rig.ask(beat(250, &[], regex(7)));
    assert_eq!(refusal(&left), None);
}

#[test]
fn what_members_of_a_consumer_group_say_is_bounded_for_the_group() {
    let mut rig = Rig::new();
    let names = |nth: usize| -> Vec<Arc<str>> {
        let names = (0..30).map(|n| std::format!("{nth}-{n}-{}", "x".repeat(32_000)));
        names.map(|name| Arc::from(name.as_str())).collect()
    };
    let mut joined = 0;
    let refused = loop {
        let (_, left) = rig.ask(beat(joined, &names(joined), None));
        if let Some(refusal) = refusal(&left) {
            break refusal.clone();
        }
        joined += 1;
    };
    assert_eq!(refused, Refusal::GroupFull);
    assert!((30..40).contains(&joined), "{joined}");
}
