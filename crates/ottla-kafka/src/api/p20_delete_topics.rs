//! DeleteTopics (key 20), versions 1 to 6: by name, from 6 on by name or id (KIP-516).
//!
//! - What occurs twice is `INVALID_REQUEST`, once, and is not deleted; so is a topic named and given by
//!   its id in one request (answered with both), an entry with both name and id, and one with neither.
//! - `delete.topic.enable=false` refuses all: `TOPIC_DELETION_DISABLED`, before version 3
//!   `INVALID_REQUEST`.
//! - The answer leaves when the partitions are closed and out of the way, so a topic of the same name
//!   can be created at once. 5+ has messages. The timeout is ignored.
//! - Versions: 0 is gone since Kafka 4 (KIP-896), 4 is flexible, 5 may answer
//!   `THROTTLING_QUOTA_EXCEEDED` (KIP-599: there are no quotas). 2 changes nothing here.

use std::borrow::Cow;

use hashbrown::HashMap;
use ottla_broker::api::{Image, TopicSelector};
use ottla_broker::authorize::{Operation, ResourceKind};
use ottla_model::uuid::Uuid;
use ottla_wire::delete_topics::{
    DeletableTopicResult, DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse,
};
use ottla_wire::{ApiKey, Reader};

use super::call::text;
use super::{Answering, Call, Handler, Registration};
use crate::error_map::{self, ErrorCode};

pub(super) const API: Registration = Registration {
    key: ApiKey::DeleteTopics,
    versions: 1..=6,
    needs: (Operation::Delete, ResourceKind::Topic),
    handler: Handler::Alone(handle),
    note: "",
};

/// What happened to one entry of the request.
struct Deleted<'r> {
    name: Option<Cow<'r, str>>,
    id: Uuid,
    error: Option<(ErrorCode, Cow<'static, str>)>,
    /// Another entry's answer stands for this one, too.
    said: bool,
}

fn handle<'a>(call: &'a Call<'a>, mut body: Reader<'a>) -> Answering<'a> {
    Box::pin(async move {
        let request =
            DeleteTopicsRequest::decode(&mut body, call.version).map_err(|e| call.malformed(e))?;
        let entries = entries(&request);
        let mut results: Vec<Deleted<'_>> = if call.broker().settings().is_on("delete.topic.enable")
        {
            judge(&call.broker().image(), &entries)
        } else {
            let code = if call.version < 3 {
                ErrorCode::InvalidRequest
            } else {
                ErrorCode::TopicDeletionDisabled
            };
            let refuse = |entry: &DeleteTopicState<'a>| {
                Deleted::refused(entry, code, "delete.topic.enable is false")
            };
            entries.iter().map(refuse).collect()
        };
        delete(call, &mut results).await;
        let responses = results.iter().map(|deleted| {
            let (code, message) = match &deleted.error {
                Some((code, message)) => (*code, Some(&**message)),
                None => (ErrorCode::None, None),
            };
            DeletableTopicResult {
                name: deleted.name.as_deref(),
                topic_id: deleted.id,
                error_code: code.code(),
                error_message: message,
            }
        });
        let response = DeleteTopicsResponse {
            throttle_time_ms: 0,
            responses: responses.collect(),
        };
        call.answer(|w, version| response.encode(w, version))
    })
}

/// Both ways of naming topics as one.
fn entries<'r>(request: &DeleteTopicsRequest<'r>) -> Vec<DeleteTopicState<'r>> {
    let named = request.topic_names.iter();
    let named = named.map(|name| DeleteTopicState {
        name: Some(name),
        topic_id: Uuid::ZERO,
    });
    named.chain(request.topics.iter().cloned()).collect()
}

/// What can be said before anything is deleted: one result for each entry that is not a repetition.
fn judge<'r>(image: &Image, entries: &[DeleteTopicState<'r>]) -> Vec<Deleted<'r>> {
    let mut results: Vec<Deleted<'r>> = Vec::with_capacity(entries.len());
    let mut places: HashMap<(Option<&str>, Uuid), usize> = HashMap::new();
    // Topics that are given by their id, and where.
    let mut given: HashMap<Uuid, usize> = HashMap::new();
    for entry in entries {
        let refused = match (entry.name, entry.topic_id.is_zero()) {
            (None, true) => Some("neither the name nor the id of a topic is given"),
            (Some(_), false) => Some("a topic is given by its name or by its id, not by both"),
            _ => None,
        };
        if let Some(why) = refused {
            results.push(Deleted::refused(entry, ErrorCode::InvalidRequest, why));
            continue;
        }
        if let Some(&place) = places.get(&(entry.name, entry.topic_id)) {
            results[place].error = Some((
                ErrorCode::InvalidRequest,
                "the request names this topic more than once".into(),
            ));
            continue;
        }
        places.insert((entry.name, entry.topic_id), results.len());
        if entry.name.is_none() {
            given.insert(entry.topic_id, results.len());
        }
        results.push(Deleted {
            name: entry.name.map(Cow::Borrowed),
            id: entry.topic_id,
            error: None,
            said: false,
        });
    }
    for place in 0..results.len() {
        let named = results[place]
            .name
            .as_deref()
            .and_then(|name| image.topic(name));
        let Some(topic) = named.filter(|_| results[place].error.is_none()) else {
            continue;
        };
        if let Some(&other) = given.get(&topic.id) {
            let why = "the request gives this topic by its name and by its id";
            results[place].id = topic.id;
            results[place].error = Some((ErrorCode::InvalidRequest, why.into()));
            results[other].said = true;
        }
    }
    results.retain(|deleted| !deleted.said);
    results
}

/// Deletes what nothing was said against.
async fn delete(call: &Call<'_>, results: &mut [Deleted<'_>]) {
    let (places, topics): (Vec<usize>, Vec<TopicSelector>) = results
        .iter()
        .enumerate()
        .filter(|(_, deleted)| deleted.error.is_none())
        .map(|(place, deleted)| (place, deleted.selector()))
        .unzip();
    if topics.is_empty() {
        return;
    }
    match call.broker().delete_topics(&call.permit, topics).await {
        Ok(answers) => {
            for (place, answer) in places.into_iter().zip(answers) {
                match answer {
                    Ok(topic) => {
                        results[place].name = Some(Cow::Owned(topic.name.to_string()));
                        results[place].id = topic.topic_id;
                    }
                    Err(refusal) => {
                        results[place].error =
                            Some((error_map::topic(&refusal), refusal.to_string().into()));
                    }
                }
            }
        }
        Err(error) => {
            for place in places {
                results[place].error = Some((error_map::catalog(&error), text(&error).into()));
            }
        }
    }
}

impl<'r> Deleted<'r> {
    fn refused(entry: &DeleteTopicState<'r>, code: ErrorCode, why: &'static str) -> Deleted<'r> {
        Deleted {
            name: entry.name.map(Cow::Borrowed),
            id: entry.topic_id,
            error: Some((code, why.into())),
            said: false,
        }
    }

    fn selector(&self) -> TopicSelector {
        match &self.name {
            Some(name) => TopicSelector::Name(name.to_string()),
            None => TopicSelector::Id(self.id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(entries: &[(Option<&str>, u8)]) -> Vec<(String, Option<ErrorCode>)> {
        let entries: Vec<_> = entries
            .iter()
            .map(|&(name, id)| DeleteTopicState {
                name,
                topic_id: Uuid([id; 16]),
            })
            .collect();
        let results = judge(&Image::default(), &entries);
        let label = |deleted: &Deleted<'_>| format!("{:?}/{}", deleted.name, deleted.id.0[0]);
        results
            .iter()
            .map(|d| (label(d), d.error.as_ref().map(|(code, _)| *code)))
            .collect()
    }

    #[test]
    fn what_is_ambiguous_is_refused_once() {
        let invalid = Some(ErrorCode::InvalidRequest);
        let found = judged(&[
            (Some("a"), 0),
            (Some("b"), 0),
            (Some("a"), 0),
            (Some("a"), 0),
            (None, 7),
            (None, 7),
            (None, 8),
            (None, 0),
            (Some("c"), 9),
        ]);
        let expected = [
            ("Some(\"a\")/0", invalid),
            ("Some(\"b\")/0", None),
            ("None/7", invalid),
            ("None/8", None),
            ("None/0", invalid),
            ("Some(\"c\")/9", invalid),
        ];
        let expected: Vec<_> = expected
            .iter()
            .map(|(label, code)| (label.to_string(), *code))
            .collect();
        assert_eq!(found, expected);
    }
}
