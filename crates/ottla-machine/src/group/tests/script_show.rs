//! What scripts print: records, answers and refusals, a line each.

use std::fmt::Write as _;
use std::format;

use super::script::Script;
use super::script_consumer::{show_assignment, show_consumer_group};
use super::*;

impl Script {
    /// `A.1` for `A-00000000-…-000000000001`.
    pub(super) fn short(id: &str) -> String {
        match id.rsplit_once('-') {
            Some((rest, number)) if number.len() == 12 && rest.len() > 24 => {
                let name = &rest[..rest.len() - 24];
                let name = if name.len() > 20 { "long" } else { name };
                format!("{name}.{}", u32::from_str_radix(number, 16).unwrap())
            }
            _ => id.to_string(),
        }
    }

    fn shorts<'a>(ids: impl Iterator<Item = &'a MemberId>) -> String {
        ids.map(|id| Script::short(id))
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// The records that were logged since.
    pub(super) fn records(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        for (_, batch) in &self.rig.log[self.logged..] {
            let records: Vec<String> = batch
                .iter()
                .map(|record| self.show_record(record))
                .collect();
            lines.push(format!("log {}", records.join("; ")));
        }
        self.logged = self.rig.log.len();
        lines
    }

    pub(super) fn show(&mut self, left: &Left) -> String {
        let who = self.askers.get(&left.to).cloned().unwrap_or_default();
        let text = match &left.value {
            Err(refusal) => {
                if let Refusal::MemberIdRequired(id) = refusal {
                    self.ids.insert(who.clone(), id.clone());
                }
                format!("refused {}", self.refusal(refusal))
            }
            Ok(Answer::Joined(joined)) => {
                self.ids.insert(who.clone(), joined.member.clone());
                self.generations.insert(who.clone(), joined.generation);
                let members = joined.members.iter().map(|member| &member.member);
                let mut text = format!(
                    "joined as {} generation {} {} {} leader {}",
                    Script::short(&joined.member),
                    joined.generation,
                    joined.protocol_type.as_deref().unwrap_or("-"),
                    joined.protocol.as_deref().unwrap_or("-"),
                    Script::short(&joined.leader),
                );
                if !joined.members.is_empty() {
                    write!(text, " of {}", Script::shorts(members)).unwrap();
                }
                if joined.skip_assignment {
                    text += " skip";
                }
                text
            }
            Ok(Answer::Synced(synced)) => format!(
                "synced {} {} [{}]",
                synced.protocol_type.as_deref().unwrap_or("-"),
                synced.protocol.as_deref().unwrap_or("-"),
                show_assignment(&synced.assignment),
            ),
            Ok(Answer::Alive) => "alive".into(),
            Ok(Answer::Noted) => "noted".into(),
            Ok(Answer::GroupDeleted) => "deleted".into(),
            Ok(Answer::Left(results)) => format!("left {}", self.results(results)),
            Ok(Answer::Committed(topics)) => {
                format!("committed {}", self.results(&topics.concat()))
            }
            Ok(Answer::OffsetsDeleted(topics)) => {
                format!("deleted {}", self.results(&topics.concat()))
            }
            Ok(Answer::Told(Plan::Offsets(topics))) => format!("offsets{}", self.offsets(topics)),
            Ok(Answer::Told(Plan::Described(group))) => describe(group),
            Ok(Answer::Beat(beat)) => self.show_beat(&who, beat),
            Ok(Answer::Told(Plan::DescribedConsumer(group))) => show_consumer_group(group),
            Ok(Answer::Told(Plan::Listed(groups))) => {
                let groups = groups.iter().map(|group| {
                    format!(
                        " {}:{}:{}:{}",
                        group.group,
                        group.protocol_type,
                        group.state,
                        group.group_type.as_str()
                    )
                });
                format!("groups{}", groups.collect::<String>())
            }
        };
        // What an answer waits for is told where it is not the end of the log.
        let waits = match left.wait {
            Wait::Durable if left.saw < self.rig.end => format!(" (saw {})", left.saw),
            Wait::Durable => String::new(),
            other => format!(" ({other:?})"),
        };
        format!("{who} {text}{waits}")
    }

    pub(super) fn refusal(&mut self, refusal: &Refusal) -> String {
        assert!(!refusal.to_string().is_empty());
        let shown = match refusal {
            Refusal::MemberIdRequired(id) => format!("MemberIdRequired({})", Script::short(id)),
            Refusal::Replaced(id) => format!("Replaced({})", Script::short(id)),
            other => format!("{other:?}"),
        };
        let name = shown.split('(').next().unwrap();
        self.refusals.insert(name.to_string());
        shown
    }

    pub(super) fn results(&mut self, results: &[Result<(), Refusal>]) -> String {
        let results = results.iter().map(|result| match result {
            Ok(()) => "ok".to_string(),
            Err(refusal) => self.refusal(refusal),
        });
        let results: Vec<String> = results.collect();
        match &results[..] {
            [first, .., last] if results.len() > 100 && first == last => {
                format!("{} times {first}", results.len())
            }
            _ => results.join(" "),
        }
    }

    fn offsets(&mut self, topics: &[FetchedTopic]) -> String {
        let mut text = String::new();
        for topic in topics {
            for partition in &topic.partitions {
                write!(text, " {}:{}=", topic.name, partition.partition).unwrap();
                match &partition.committed {
                    Ok(None) => text += "none",
                    Ok(Some(offset)) => {
                        write!(text, "{}", offset.offset).unwrap();
                        match offset.metadata.len() {
                            0 => {}
                            1..40 => write!(text, "({})", offset.metadata).unwrap(),
                            length => write!(text, "({length} bytes)").unwrap(),
                        }
                    }
                    Err(refusal) => text += &self.refusal(refusal),
                }
            }
        }
        text
    }
}

fn describe(group: &DescribedGroup) -> String {
    let members = group.members.iter().map(|member| {
        let instance = member.instance.as_ref();
        format!(
            " {}{}[{}{}]",
            Script::short(&member.member),
            instance.map_or_else(String::new, |id| format!("({id})")),
            show_assignment(&member.assignment),
            if member.metadata.is_empty() { "" } else { "*" },
        )
    });
    format!(
        "{} type={} protocol={}{}",
        group.state,
        group.protocol_type,
        group.protocol,
        members.collect::<String>()
    )
}

impl Script {
    fn show_record(&self, record: &GroupRecord) -> String {
        match record {
            GroupRecord::Consumer { group, record } => self.show_consumer_record(group, record),
            GroupRecord::Offset {
                group,
                topic,
                partition,
                value,
            } => {
                let value = value.as_ref();
                let offset = value.map_or_else(|| "gone".into(), |value| value.offset.to_string());
                format!("{group} {topic}:{partition}={offset}")
            }
            GroupRecord::Classic { group, value: None } => format!("{group} gone"),
            GroupRecord::Classic {
                group,
                value: Some(record),
            } => {
                let members = record.members.iter().map(|member| {
                    let assignment = show_assignment(&member.assignment);
                    format!("{}[{assignment}]", Script::short(&member.member))
                });
                let members: Vec<String> = members.collect();
                format!(
                    "{group} generation {} {}",
                    record.generation,
                    members.join(" ")
                )
                .trim_end()
                .to_string()
            }
            GroupRecord::Other { .. } => "other".into(),
        }
    }
}
