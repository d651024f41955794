//! The words of scripts that are about consumer groups.
//!
//! ```text
//! topic t=3                     there is a topic of 3 partitions from now on; t=0: no more
//! beat A join topics=t          a heartbeat of A that joins; its epoch is remembered
//! | A beat epoch 2 [t:0,1,2]
//! beat A                        one that says nothing new
//! beat A own=t:0/u:1,2          one that tells what A has; own=- nothing
//! beat A leave                  away: a static member that will be back
//! hold                          nobody computes for the coordinator until `release`, or `fail`
//! ```

use std::fmt::Write as _;
use std::format;

use ottla_model::primitives::Reader;

use super::script::{Script, Words, topic_id};
use super::*;
use crate::group::consumer::assignor::Partitions;
use crate::group::consumer::{
    ConsumerBeat, ConsumerHeartbeat, ConsumerRecord, DescribedConsumerGroup, MemberState,
    NamedPartitions, Owned,
};

impl Script {
    pub(super) fn beat(&mut self, who: &str, words: &Words<'_>) -> Request {
        let says = |word: &str| words.plain.contains(&word);
        let joins = says("join");
        let epoch = match words.number("epoch") {
            Some(epoch) => epoch,
            None if joins => 0,
            None if says("leave") => -1,
            None if says("away") => -2,
            None => self.generations.get(who).copied().unwrap_or(0),
        };
        let mut member = self.member(who, words);
        if member.is_empty() && !says("old") && words.get("id") != Some("-") {
            member = MemberId::from(who);
            self.ids.insert(who.to_string(), member.clone());
        }
        let list = |text: &str| {
            let names = text.split(',').filter(|name| !name.is_empty());
            names.map(Arc::from).collect()
        };
        let subscribed = words.get("topics").map(list);
        let regex = words.get("regex").map(Arc::from);
        let by_name = joins && subscribed.is_none() && regex.is_none();
        let rebalance = words.ms("rebalance").map(|ms| ms as i32);
        let raw = says("raw");
        Request::ConsumerHeartbeat(ConsumerHeartbeat {
            group: words.group(),
            member,
            makes_own_id: !says("old"),
            epoch,
            instance: words.instance(),
            rack: words.get("rack").map(Arc::from),
            rebalance_timeout_ms: rebalance.unwrap_or(if joins && !raw { 60_000 } else { -1 }),
            subscribed: subscribed.or((by_name && !raw).then(|| list("t"))),
            regex_fault: says("broken").then(|| Arc::from("it does not compile")),
            regex,
            assignor: words.get("assignor").map(Arc::from),
            owned: words
                .get("own")
                .map(owned)
                .or((joins && !raw).then(Partitions::new)),
            client_id: Arc::from(words.get("client").unwrap_or(who)),
            client_host: Arc::from("/127.0.0.1"),
            connection: Script::connection(who),
            topics: Arc::clone(&self.rig.topics) as Arc<dyn Topics>,
        })
    }

    /// Topics come, grow and go.
    pub(super) fn topics(&mut self, words: &Words<'_>) {
        for (name, partitions) in &words.named {
            if *name != "of" {
                let id = topic_id(words.get("of").unwrap_or(name));
                self.rig.set_topic(name, id, partitions.parse().unwrap());
            }
        }
    }

    /// What is asked of others fails.
    pub(super) fn fail(&mut self) -> Vec<Left> {
        self.rig.holds_effects = false;
        let mut left = Vec::new();
        while let Some(effect) = self.rig.effects.pop_front() {
            let mut request = topics::perform(effect, false);
            match &mut request {
                Request::Assigned(outcome) => outcome.assignment = None,
                Request::RegexesResolved(outcome) => outcome.resolved.clear(),
                _ => {}
            }
            left.extend(self.rig.ask(request).1);
        }
        left
    }

    pub(super) fn show_beat(&mut self, who: &str, beat: &ConsumerBeat) -> String {
        self.ids.insert(who.to_string(), beat.member.clone());
        self.generations.insert(who.to_string(), beat.epoch);
        let mut text = String::from("beat");
        if beat.member.as_str() != who {
            write!(text, " as {}", beat.member).unwrap();
        }
        write!(text, " epoch {}", beat.epoch).unwrap();
        if let Some(current) = &beat.assignment {
            write!(text, " [{}]", self.show_owned(&current.assigned, false)).unwrap();
        }
        text
    }

    fn show_owned(&self, owned: &Owned, with_epochs: bool) -> String {
        let topics = owned.iter().map(|(topic, partitions)| {
            let partitions = partitions.iter().map(|(partition, since)| {
                if with_epochs {
                    format!("{partition}@{since}")
                } else {
                    partition.to_string()
                }
            });
            let partitions: Vec<String> = partitions.collect();
            format!("{}:{}", name_of(*topic), partitions.join(","))
        });
        topics.collect::<Vec<_>>().join(" ")
    }

    pub(super) fn show_consumer_record(&self, group: &GroupId, record: &ConsumerRecord) -> String {
        let gone = |what: &str| format!("{group} {what} gone");
        let short = |member: &MemberId| Script::short(member);
        match record {
            ConsumerRecord::Epoch(None) => gone("epoch"),
            ConsumerRecord::Epoch(Some(epoch)) => format!("{group} epoch {}", epoch.epoch),
            ConsumerRecord::PartitionMetadata(_) => gone("metadata"),
            ConsumerRecord::Member(member, None) => gone(&short(member)),
            ConsumerRecord::Member(member, Some(facts)) => {
                let topics: Vec<&str> = facts.topics.iter().map(|topic| &**topic).collect();
                let mut text = format!("{group} {} on {}", short(member), topics.join(","));
                if !facts.regex.is_empty() {
                    write!(text, " ~{}", facts.regex).unwrap();
                }
                if facts.classic.is_some() {
                    text += " classic";
                }
                text
            }
            ConsumerRecord::TargetEpoch(None) => gone("target"),
            ConsumerRecord::TargetEpoch(Some(target)) => format!("{group} target {}", target.epoch),
            ConsumerRecord::Target(member, None) => gone(&format!("{} target", short(member))),
            ConsumerRecord::Target(member, Some(target)) => {
                format!(
                    "{group} {} target {}",
                    short(member),
                    show_partitions(target)
                )
            }
            ConsumerRecord::Current(member, None) => gone(&format!("{} current", short(member))),
            ConsumerRecord::Current(member, Some(current)) => {
                let state = match current.state {
                    MemberState::Stable => "stable",
                    MemberState::Unrevoked => "unrevoked",
                    MemberState::Unreleased => "unreleased",
                    MemberState::Unknown => "unknown",
                };
                let has = self.show_owned(&current.assigned, true);
                let mut text = format!(
                    "{group} {} {state} in {} {has}",
                    short(member),
                    current.epoch
                );
                if !current.revoking.is_empty() {
                    let revoking = self.show_owned(&current.revoking, true);
                    write!(text, " minus {revoking}").unwrap();
                }
                text.trim_end().to_string()
            }
            ConsumerRecord::Regex(regex, None) => gone(&format!("~{regex}")),
            ConsumerRecord::Regex(regex, Some(resolved)) => {
                let topics: Vec<&str> = resolved.topics.iter().map(|topic| &**topic).collect();
                format!("{group} ~{regex} is {}", topics.join(","))
            }
        }
    }
}

pub(super) fn show_consumer_group(group: &DescribedConsumerGroup) -> String {
    let named = |partitions: &[NamedPartitions]| {
        let topics = partitions.iter().map(|topic| {
            let partitions: Vec<String> = topic.partitions.iter().map(i32::to_string).collect();
            format!("{}:{}", topic.name, partitions.join(","))
        });
        topics.collect::<Vec<_>>().join(" ")
    };
    let members = group.members.iter().map(|member| {
        format!(
            " {} in {} [{}] to get [{}]",
            Script::short(&member.member),
            member.epoch,
            named(&member.assigned),
            named(&member.target)
        )
    });
    format!(
        "{} epoch {} target {} by {}{}",
        group.state,
        group.epoch,
        group.target_epoch,
        group.assignor.as_str(),
        members.collect::<String>()
    )
}

/// `t:0,1/u:2`
fn owned(text: &str) -> Partitions {
    let topics = text.split('/').filter_map(|topic| topic.split_once(':'));
    topics
        .map(|(name, partitions)| {
            let partitions = partitions.split(',').map(|index| index.parse().unwrap());
            (topic_id(name), partitions.collect())
        })
        .collect()
}

fn show_partitions(partitions: &Partitions) -> String {
    let topics = partitions.iter().map(|(topic, partitions)| {
        let partitions: Vec<String> = partitions.iter().map(i32::to_string).collect();
        format!("{}:{}", name_of(*topic), partitions.join(","))
    });
    topics.collect::<Vec<_>>().join(" ")
}

/// What a member of the classic protocol is to have: the script's own words, or in the form that consumers
/// write.
pub(super) fn show_assignment(bytes: &[u8]) -> String {
    if !bytes.starts_with(&[0]) {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    let mut r = Reader::new(bytes);
    r.i16().unwrap();
    let mut topics = Vec::new();
    for _ in 0..r.i32().unwrap() {
        let name = r.str(false).unwrap();
        let partitions: Vec<String> = (0..r.i32().unwrap())
            .map(|_| r.i32().unwrap().to_string())
            .collect();
        topics.push(format!("{name}:{}", partitions.join(",")));
    }
    topics.join(" ")
}

/// Ids of topics are their names; see [`topic_id`].
fn name_of(id: Uuid) -> String {
    let bytes: Vec<u8> = id.0.into_iter().take_while(|byte| *byte != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}
