//! The declared wildcards: what two right brokers need not have in common.
//!
//! | field | compared is |
//! |---|---|
//! | texts of errors | whether there is one where Kafka has one: Ottla explains more |
//! | hosts, ports, cluster ids | whether there is one |
//! | topic ids, producer ids, session ids | which variable they equal, else whether there is one |
//! | ids of members that a broker made | which variable they equal, else what stands before the UUID |
//! | times | their distance to the dialogue's now, if the client sent them; else that the broker's clock set them |
//! | lists in [`UNORDERED`] | their elements, in any order |
//! | ListGroups: groups of other dialogues | nothing |
//! | ApiVersions: APIs that Ottla does not serve | nothing: `docs/COMPATIBILITY.md` has the table |

use super::notation::Node;
use super::words::Words;

/// Lists that Kafka makes from hash maps.
const UNORDERED: &[(&str, &str)] = &[
    ("Metadata", "Topics"),
    ("Metadata", "Partitions"),
    ("ApiVersions", "ApiKeys"),
    ("ApiVersions", "SupportedFeatures"),
    ("ApiVersions", "FinalizedFeatures"),
    ("ConsumerGroupDescribe", "Groups"),
    ("ConsumerGroupDescribe", "Members"),
    ("ConsumerGroupDescribe", "Partitions"),
    ("ConsumerGroupDescribe", "SubscribedTopicNames"),
    ("ConsumerGroupDescribe", "TopicPartitions"),
    ("ConsumerGroupHeartbeat", "Partitions"),
    ("ConsumerGroupHeartbeat", "TopicPartitions"),
    ("CreateTopics", "Topics"),
    ("CreateTopics", "Configs"),
    ("DeleteTopics", "Responses"),
    ("DeleteGroups", "Results"),
    ("DescribeConfigs", "Results"),
    ("DescribeConfigs", "Configs"),
    ("DescribeGroups", "Groups"),
    ("DescribeGroups", "Members"),
    ("JoinGroup", "Members"),
    ("ListGroups", "Groups"),
    ("ListOffsets", "Topics"),
    ("ListOffsets", "Partitions"),
    ("OffsetCommit", "Topics"),
    ("OffsetCommit", "Partitions"),
    ("OffsetDelete", "Topics"),
    ("OffsetDelete", "Partitions"),
    ("OffsetFetch", "Topics"),
    ("OffsetFetch", "Partitions"),
    ("OffsetForLeaderEpoch", "Topics"),
    ("OffsetForLeaderEpoch", "Partitions"),
    ("Produce", "Responses"),
    ("Produce", "PartitionResponses"),
];

/// What is served, in a table.
const COMPATIBILITY: &str = include_str!("../../../../docs/COMPATIBILITY.md");
/// Kafka's names of errors, from the list in the gateway.
const ERRORS: &str = include_str!("../../../../crates/ottla-kafka/src/error_code.rs");

pub(super) fn is_unordered(api: &str, field: &str) -> bool {
    UNORDERED.contains(&(api, field))
}

pub(super) fn number(field: &str, value: i64, words: &Words) -> Node {
    match field {
        _ if field.ends_with("ErrorCode") => Node::Word(error(value)),
        "Port" if value > 0 => Node::word("port"),
        "ProducerId" => words.shown_pid(value),
        "SessionId" => words.shown_session(value),
        "FinalizedFeaturesEpoch" if value >= 0 => Node::word("epoch"),
        _ if field.contains("Timestamp") || field == "LogAppendTimeMs" => words.shown_time(value),
        _ => Node::word(value),
    }
}

pub(super) fn text(field: &str, bytes: &[u8], words: &Words) -> Node {
    match field {
        _ if field.ends_with("ErrorMessage") => Node::word("text"),
        "Documentation" => Node::word("text"),
        "Host" => Node::word("host"),
        "ClusterId" => Node::word("cluster"),
        "MemberId" | "Leader" => words.shown_member(bytes),
        _ => words.shown_text(bytes),
    }
}

/// Of the answer to ApiVersions, the APIs that Ottla serves: those of the table that its documents
/// have from its registrations.
pub(super) fn keep_served(fields: &mut [(String, Node)]) {
    for (name, node) in fields {
        if let (Node::List(items), "ApiKeys") = (node, name.as_str()) {
            items.retain(|item| {
                let key = item.field("ApiKey").map_or_else(|| "0".into(), Node::line);
                key.parse().is_ok_and(is_served)
            });
        }
    }
}

/// Of the answer to ListGroups, the groups of this dialogue: others are spoken at the same time.
pub(super) fn keep_own(fields: &mut Vec<(String, Node)>) {
    let is_own = |item: &Node| {
        let id = match item.field("GroupId") {
            Some(Node::Text(id)) => id.as_slice(),
            _ => b"",
        };
        id.ends_with(b"${u}") || id.starts_with(b"$") && !id.starts_with(b"${")
    };
    for (name, node) in fields.iter_mut() {
        if let (Node::List(items), "Groups") = (node, name.as_str()) {
            items.retain(is_own);
        }
    }
    fields.retain(|(name, node)| name != "Groups" || *node != Node::List(Vec::new()));
}

fn is_served(key: i16) -> bool {
    let table = COMPATIBILITY
        .split_once("<!-- api table: begin -->")
        .and_then(|(_, rest)| rest.split_once("<!-- api table: end -->"));
    let row = format!("| {key} | ");
    table.is_some_and(|(table, _)| table.lines().any(|line| line.starts_with(&row)))
}

fn error(code: i64) -> String {
    let mark = format!(" = {code}, \"");
    let name = ERRORS
        .split_once(&mark)
        .and_then(|(_, rest)| rest.split('"').next());
    name.map_or_else(|| code.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::super::words::Words;
    use super::*;

    #[test]
    fn groups_of_other_dialogues_are_left_out() {
        let mut words = Words::new(0, "abc-1");
        words.bind("g", "g-abc-1".into());
        let ids = ["g-abc-1", "g-abc-12", "other-abc-1", "other-abc-2"];
        let kept = ids.into_iter().filter(|id| {
            let group = Node::Struct {
                tag: String::new(),
                fields: vec![("GroupId".into(), text("GroupId", id.as_bytes(), &words))],
            };
            let mut fields = vec![("Groups".into(), Node::List(vec![group]))];
            keep_own(&mut fields);
            !fields.is_empty()
        });
        assert_eq!(kept.collect::<Vec<_>>(), ["g-abc-1", "other-abc-1"]);
    }

    #[test]
    fn what_is_served_is_in_the_table() {
        assert!(is_served(0) && is_served(18));
        assert!(!is_served(4) && !is_served(999));
    }

    #[test]
    fn errors_have_their_names() {
        assert_eq!(error(45), "OUT_OF_ORDER_SEQUENCE_NUMBER");
        assert_eq!(error(-1), "UNKNOWN_SERVER_ERROR");
        assert_eq!(error(999), "999");
    }
}
