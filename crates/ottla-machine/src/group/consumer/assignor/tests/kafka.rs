//! What Apache Kafka's own assignors answered for random groups: `kafka.txt`, written by
//! `tests/clients/judges/ottla/judges/Assignments.java`, which says how to read it. `cargo xtask test judges`
//! asks Kafka again.

use super::*;

const ANSWERS: &str = include_str!("kafka.txt");

/// A group as it was given to Kafka, and Kafka's answer.
struct Case {
    assignor: Assignor,
    input: AssignorInput,
    topics: Vec<Uuid>,
    answer: GroupAssignment,
}

#[test]
fn assignments_are_those_of_apache_kafka() {
    let cases = cases(ANSWERS);
    assert!(cases.len() >= 300, "{} cases", cases.len());
    for (at, case) in cases.iter().enumerate() {
        let ours = case.assignor.assign(&case.input);
        assert_eq!(
            ours, case.answer,
            "group {at}: {:?} {:?}",
            case.assignor, case.input
        );
    }
    for assignor in Assignor::ALL {
        for homogeneous in [true, false] {
            let alike = |case: &&Case| {
                case.assignor == assignor
                    && case.input.homogeneous == homogeneous
                    && case.answer.len() > 1
            };
            assert!(
                cases.iter().filter(alike).count() > 20,
                "{assignor:?} {homogeneous}"
            );
        }
    }
}

fn cases(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let understood = match line.split_once(' ') {
            Some(("group", rest)) => new_case(rest).map(|case| cases.push(case)),
            Some(("topic", rest)) => cases.last_mut().and_then(|case| add_topic(case, rest)),
            Some(("member", rest)) => cases.last_mut().and_then(|case| add_member(case, rest)),
            _ => None,
        };
        assert!(understood.is_some(), "not understood: {line}");
    }
    cases
}

fn new_case(line: &str) -> Option<Case> {
    let (assignor, kind) = line.split_once(' ')?;
    Some(Case {
        assignor: Assignor::from_name(assignor)?,
        input: AssignorInput {
            members: BTreeMap::new(),
            topics: BTreeMap::new(),
            homogeneous: kind == "homogeneous",
        },
        topics: Vec::new(),
        answer: GroupAssignment::new(),
    })
}

fn add_topic(case: &mut Case, line: &str) -> Option<()> {
    let (hex, partitions) = line.split_once(' ')?;
    let id = Uuid(u128::from_str_radix(hex, 16).ok()?.to_be_bytes());
    let name = Arc::from(hex);
    let partitions = partitions.parse().ok()?;
    case.input
        .topics
        .insert(id, AssignorTopic { name, partitions });
    case.topics.push(id);
    Some(())
}

fn add_member(case: &mut Case, line: &str) -> Option<()> {
    let mut columns = line.split(" | ");
    let mut words = columns.next()?.split(' ');
    let (id, instance, subscribed) = (words.next()?, words.next()?, words.next()?);
    let places = subscribed.split(',').filter(|word| *word != "-");
    let subscribed: Option<BTreeSet<Uuid>> = places
        .map(|place| case.topics.get(place.parse::<usize>().ok()?).copied())
        .collect();
    let member = AssignorMember {
        instance: (instance != "-").then(|| InstanceId::from(instance)),
        subscribed: Arc::new(subscribed?),
        target: Arc::new(partitions(&case.topics, columns.next()?)?),
    };
    let id = MemberId::from(id);
    let answer = partitions(&case.topics, columns.next()?)?;
    if !answer.is_empty() {
        case.answer.insert(id.clone(), answer);
    }
    case.input.members.insert(id, member);
    Some(())
}

fn partitions(topics: &[Uuid], text: &str) -> Option<Partitions> {
    let words = text.split(' ').filter(|word| *word != "-");
    words
        .map(|word| {
            let (topic, partitions) = word.split_once(':')?;
            let topic = topics.get(topic.parse::<usize>().ok()?)?;
            let numbers: Result<Vec<i32>, _> = partitions.split(',').map(str::parse).collect();
            Some((*topic, numbers.ok()?))
        })
        .collect()
}
