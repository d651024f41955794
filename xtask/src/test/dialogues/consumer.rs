//! What consumers tell each other within JoinGroup and SyncGroup: the one part of it that brokers read.
//!
//! `subscription{topics=[$t] owned=[{topic=$t partitions=[0 1]}] generation=3}` and
//! `assignment{topics=[{topic=$t partitions=[0]}]}`, of version 0 unless `version` says more.

use super::notation::Node;
use super::words::Words;

/// The value of a field of type bytes.
pub(super) fn encode(node: &Node, words: &Words) -> Result<Vec<u8>, String> {
    let Node::Struct { tag, fields } = node else {
        return words.bytes(node);
    };
    let known: &[&str] = match tag.as_str() {
        "subscription" => &["version", "topics", "data", "owned", "generation", "rack"],
        "assignment" => &["version", "topics", "data"],
        _ => return Err(format!("bytes are no `{tag}`")),
    };
    if let Some((name, _)) = fields.iter().find(|(name, _)| !known.contains(&&**name)) {
        return Err(format!("`{tag}{{…}}` has no `{name}`: {known:?}"));
    }
    let version = number(node, "version", 0, words)?;
    let mut out = (version as i16).to_be_bytes().to_vec();
    let topics = list(node.field("topics"))?;
    if tag == "assignment" {
        partitions(topics, words, &mut out)?;
    } else {
        count(topics, &mut out)?;
        for topic in topics {
            text(&words.bytes(topic)?, &mut out)?;
        }
    }
    match node.field("data") {
        Some(data) => {
            let data = words.bytes(data)?;
            out.extend((data.len() as i32).to_be_bytes());
            out.extend(data);
        }
        None => out.extend((-1i32).to_be_bytes()),
    }
    if tag == "assignment" {
        return Ok(out);
    }
    if version >= 1 {
        partitions(list(node.field("owned"))?, words, &mut out)?;
    }
    if version >= 2 {
        out.extend((number(node, "generation", -1, words)? as i32).to_be_bytes());
    }
    if version >= 3 {
        match node.field("rack") {
            Some(rack) => text(&words.bytes(rack)?, &mut out)?,
            None => out.extend((-1i16).to_be_bytes()),
        }
    }
    Ok(out)
}

fn number(node: &Node, name: &str, otherwise: i64, words: &Words) -> Result<i64, String> {
    node.field(name)
        .map_or(Ok(otherwise), |node| words.number(node))
}

fn list(node: Option<&Node>) -> Result<&[Node], String> {
    match node {
        None => Ok(&[]),
        Some(Node::List(items)) => Ok(items),
        Some(other) => Err(format!("`{}` is no list", other.line())),
    }
}

fn partitions(topics: &[Node], words: &Words, out: &mut Vec<u8>) -> Result<(), String> {
    count(topics, out)?;
    for topic in topics {
        let name = topic.field("topic").ok_or("partitions of no topic")?;
        text(&words.bytes(name)?, out)?;
        let indexes = list(topic.field("partitions"))?;
        count(indexes, out)?;
        for index in indexes {
            out.extend((words.number(index)? as i32).to_be_bytes());
        }
    }
    Ok(())
}

fn count(items: &[Node], out: &mut Vec<u8>) -> Result<(), String> {
    let count = i32::try_from(items.len()).map_err(|e| e.to_string())?;
    out.extend(count.to_be_bytes());
    Ok(())
}

fn text(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    let length = i16::try_from(bytes.len()).map_err(|e| e.to_string())?;
    out.extend(length.to_be_bytes());
    out.extend(bytes);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::notation;
    use super::*;

    #[test]
    fn what_consumers_tell_each_other_is_written_as_they_write_it() {
        let words = Words::new(0, "u");
        for (text, expected) in [
            ("plain", &b"plain"[..]),
            (
                "subscription{topics=[t]}",
                b"\0\0\0\0\0\x01\0\x01t\xff\xff\xff\xff",
            ),
            (
                "subscription{version=3 topics=[] data=d owned=[{topic=t partitions=[7]}] generation=5 rack=r}",
                b"\0\x03\0\0\0\0\0\0\0\x01d\0\0\0\x01\0\x01t\0\0\0\x01\0\0\0\x07\0\0\0\x05\0\x01r",
            ),
            (
                "assignment{version=1 topics=[{topic=t partitions=[0 1]}]}",
                b"\0\x01\0\0\0\x01\0\x01t\0\0\0\x02\0\0\0\0\0\0\0\x01\xff\xff\xff\xff",
            ),
        ] {
            let node = &notation::fields(&format!("M={text}")).unwrap()[0].1;
            assert_eq!(encode(node, &words).unwrap(), expected, "{text}");
        }
        for wrong in ["other{}", "assignment{owned=[]}", "assignment{topics=t}"] {
            let node = &notation::fields(&format!("M={wrong}")).unwrap()[0].1;
            assert!(encode(node, &words).is_err(), "{wrong}");
        }
    }
}
