//! CreateTopics (key 19), versions 2 to 7.
//!
//! - -1 partitions or replicas are the broker's defaults, at every version (KIP-464 has them from 4 on;
//!   kafkajs sends them in 3). More replicas than brokers are clamped to one, where Kafka refuses.
//! - A name that occurs twice is `INVALID_REQUEST`, once, and neither is created. All else fails or
//!   succeeds topic by topic, in the order of the request.
//! - 5+ answers partitions, replicas and all configs with their sources (KIP-525), 7+ the topic's id.
//! - `validate_only` judges and creates nothing. The timeout is ignored: the answer leaves when the
//!   topics are there, and clients can use them at once.
//! - Versions: 0 and 1 are gone since Kafka 4 (KIP-896), 5 is flexible, 6 may answer
//!   `THROTTLING_QUOTA_EXCEEDED` (KIP-599: there are no quotas). 3 changes nothing here.

use std::borrow::Cow;

use hashbrown::HashMap;
use ottla_broker::api::{Assignment, NewTopic, TopicCreated, TopicRefusal};
use ottla_broker::authorize::{Operation, ResourceKind};
use ottla_model::configs::EffectiveConfig;
use ottla_model::names::TopicName;
use ottla_wire::create_topics::{
    CreatableTopic, CreatableTopicConfigs, CreatableTopicResult, CreateTopicsRequest,
    CreateTopicsResponse,
};
use ottla_wire::{ApiKey, Reader};

use super::call::text;
use super::{Answering, Call, Handler, Registration};
use crate::error_map::{self, ErrorCode};

pub(super) const API: Registration = Registration {
    key: ApiKey::CreateTopics,
    versions: 2..=7,
    needs: (Operation::Create, ResourceKind::Topic),
    handler: Handler::Alone(handle),
    note: "a replication factor above 1 becomes 1",
};

fn handle<'a>(call: &'a Call<'a>, mut body: Reader<'a>) -> Answering<'a> {
    Box::pin(async move {
        let request =
            CreateTopicsRequest::decode(&mut body, call.version).map_err(|e| call.malformed(e))?;
        let results = create(call, &request).await;
        let configs: Vec<Vec<EffectiveConfig>> = results
            .iter()
            .map(|(_, result)| configs(call, result))
            .collect();
        let topics = results.iter().zip(&configs);
        let response = CreateTopicsResponse {
            throttle_time_ms: 0,
            topics: topics
                .map(|((name, result), configs)| describe(name, result, configs))
                .collect(),
        };
        call.answer(|w, version| response.encode(w, version))
    })
}

type Created = Result<TopicCreated, (ErrorCode, Cow<'static, str>)>;

/// Creates what can be created; answers each name of the request once.
async fn create<'r>(call: &Call<'_>, request: &CreateTopicsRequest<'r>) -> Vec<(&'r str, Created)> {
    let mut results: Vec<(&str, Created)> = Vec::with_capacity(request.topics.len());
    let mut topics = Vec::new();
    // Where the result of each of `topics` belongs.
    let mut places = Vec::new();
    for (topic, occurs) in distinct(&request.topics) {
        let refused = match TopicName::parse(topic.name) {
            _ if occurs > 1 => (
                ErrorCode::InvalidRequest,
                "the request names this topic more than once".into(),
            ),
            Err(error) => (error_map::topic_name(&error), error.to_string().into()),
            Ok(name) => {
                places.push(results.len());
                topics.push(new_topic(name, topic));
                // Stands for it until the catalog has answered.
                (ErrorCode::UnknownServerError, "not answered".into())
            }
        };
        results.push((topic.name, Err(refused)));
    }
    if topics.is_empty() {
        return results;
    }
    match call
        .broker()
        .create_topics(&call.permit, topics, request.validate_only)
        .await
    {
        Ok(created) => {
            for (place, created) in places.into_iter().zip(created) {
                results[place].1 = created.map_err(|refusal| refused(&refusal));
            }
        }
        Err(error) => {
            let refused = (error_map::catalog(&error), Cow::Owned(text(&error)));
            for place in places {
                results[place].1 = Err(refused.clone());
            }
        }
    }
    results
}

fn refused(refusal: &TopicRefusal) -> (ErrorCode, Cow<'static, str>) {
    (error_map::topic(refusal), refusal.to_string().into())
}

/// Each name's first occurrence, in order, and how often it occurs.
fn distinct<'t, 'r>(
    topics: &'t [CreatableTopic<'r>],
) -> impl Iterator<Item = (&'t CreatableTopic<'r>, usize)> {
    let mut occurs: HashMap<&str, usize> = HashMap::with_capacity(topics.len());
    for topic in topics {
        *occurs.entry(topic.name).or_default() += 1;
    }
    topics
        .iter()
        .filter_map(move |topic| Some((topic, occurs.remove(topic.name)?)))
}

fn new_topic(name: TopicName, topic: &CreatableTopic<'_>) -> NewTopic {
    NewTopic {
        name,
        partitions: topic.num_partitions,
        replication_factor: topic.replication_factor,
        assignments: topic
            .assignments
            .iter()
            .map(|assignment| Assignment {
                partition: assignment.partition_index,
                replicas: assignment.broker_ids.iter().collect(),
            })
            .collect(),
        configs: topic
            .configs
            .iter()
            .map(|config| (config.name.to_owned(), config.value.map(str::to_owned)))
            .collect(),
    }
}

/// From version 5 on an answer lists all configs of the topic.
fn configs(call: &Call<'_>, result: &Created) -> Vec<EffectiveConfig> {
    match result {
        Ok(created) if call.version >= 5 => {
            call.broker().settings().describe_topic(&created.configs)
        }
        _ => Vec::new(),
    }
}

fn describe<'a>(
    name: &'a str,
    result: &'a Created,
    configs: &'a [EffectiveConfig],
) -> CreatableTopicResult<'a> {
    let none = CreatableTopicResult {
        name,
        configs: Some(Vec::new()),
        ..CreatableTopicResult::default()
    };
    match result {
        Err((code, message)) => CreatableTopicResult {
            error_code: code.code(),
            error_message: Some(message),
            ..none
        },
        Ok(created) => CreatableTopicResult {
            error_message: None,
            topic_id: created.topic_id,
            num_partitions: created.partitions,
            replication_factor: created.replication_factor,
            configs: Some(
                configs
                    .iter()
                    .map(|config| CreatableTopicConfigs {
                        name: config.def.name,
                        value: config.value.as_deref(),
                        read_only: false,
                        config_source: config.source.id(),
                        is_sensitive: false,
                    })
                    .collect(),
            ),
            ..none
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_counted_and_keep_their_order() {
        let topics: Vec<_> = ["b", "a", "b", "c", "b"]
            .into_iter()
            .map(|name| CreatableTopic {
                name,
                ..CreatableTopic::default()
            })
            .collect();
        let found: Vec<_> = distinct(&topics)
            .map(|(topic, occurs)| (topic.name, occurs))
            .collect();
        assert_eq!(found, [("b", 3), ("a", 1), ("c", 1)]);
    }
}
