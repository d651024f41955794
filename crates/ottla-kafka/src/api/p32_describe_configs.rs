//! DescribeConfigs (key 32), versions 1 to 4: what is configured, and why.
//!
//! - Topics (type 2): all configs of Kafka's table with value, source and synonyms, whether or not they
//!   have an effect here. Unknown: `UNKNOWN_TOPIC_OR_PARTITION`.
//! - This broker (type 4): the configs that mean something to it. The cluster-wide defaults (an empty
//!   name) are none: nothing can be set at run time yet, which is also why all are read-only.
//! - Loggers (8), client metrics (16) and groups (32) are `INVALID_REQUEST`: there is nothing to
//!   describe. So is the whole request if it names a type that does not exist, as in Kafka.
//! - A resource that is asked for twice is described once.
//! - An empty list of names means all, like null. 3+ has types and, if asked for, documentation.
//! - Versions: 0 is gone since Kafka 4 (KIP-896), 1 has sources and synonyms (KIP-226), 3 types and
//!   documentation (KIP-569), 4 is flexible. 2 changes nothing here.

use hashbrown::HashSet;
use ottla_broker::authorize::{Operation, ResourceKind};
use ottla_model::configs::{BROKER_CONFIGS, BrokerSettings, ConfigSource, EffectiveConfig};
use ottla_model::names::TopicName;
use ottla_wire::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult,
    DescribeConfigsResponse, DescribeConfigsResult, DescribeConfigsSynonym,
};
use ottla_wire::{ApiKey, Reader};

use super::{Answering, Call, Handler, Registration};
use crate::error_map::{self, ErrorCode};

pub(super) const API: Registration = Registration {
    key: ApiKey::DescribeConfigs,
    versions: 1..=4,
    needs: (Operation::DescribeConfigs, ResourceKind::Cluster),
    handler: Handler::Alone(handle),
    note: "topics and this broker",
};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const KINDS: [i8; 5] = [TOPIC, BROKER, 8, 16, 32];

fn handle<'a>(call: &'a Call<'a>, mut body: Reader<'a>) -> Answering<'a> {
    Box::pin(async move {
        let request = DescribeConfigsRequest::decode(&mut body, call.version)
            .map_err(|e| call.malformed(e))?;
        let strange = request
            .resources
            .iter()
            .find(|resource| !KINDS.contains(&resource.resource_type));
        // An answer is a hundred times as long as its question: each resource gets one.
        let mut seen = HashSet::new();
        let mut resources = request.resources.iter().collect::<Vec<_>>();
        resources.retain(|resource| seen.insert((resource.resource_type, resource.resource_name)));
        let described: Vec<Described> = resources
            .iter()
            .map(|resource| match strange {
                Some(strange) => Err((
                    ErrorCode::InvalidRequest,
                    format!("there is no resource type {}", strange.resource_type),
                )),
                None => describe(call, resource),
            })
            .collect();
        let results = resources.iter().zip(&described);
        let response = DescribeConfigsResponse {
            throttle_time_ms: 0,
            results: results
                .map(|(resource, described)| result(&request, resource, described))
                .collect(),
        };
        call.answer(|w, version| response.encode(w, version))
    })
}

/// The configs of a resource and whether they are read-only.
type Described = Result<(Vec<EffectiveConfig>, bool), (ErrorCode, String)>;

fn describe(call: &Call<'_>, resource: &DescribeConfigsResource<'_>) -> Described {
    let broker = call.broker();
    let name = resource.resource_name;
    match resource.resource_type {
        TOPIC => {
            TopicName::parse(name)
                .map_err(|error| (error_map::topic_name(&error), error.to_string()))?;
            let image = broker.image();
            let topic = image.topic(name).ok_or_else(|| {
                (
                    ErrorCode::UnknownTopicOrPartition,
                    format!("there is no topic '{name}'"),
                )
            })?;
            Ok((broker.settings().describe_topic(&topic.configs), false))
        }
        BROKER if name.is_empty() => Ok((Vec::new(), true)),
        BROKER if name.parse() == Ok(broker.node_id().0) => {
            Ok((describe_broker(broker.settings()), true))
        }
        BROKER => Err((
            ErrorCode::InvalidRequest,
            format!(
                "this broker is {}, or the empty name for all; it is not {name:?}",
                broker.node_id()
            ),
        )),
        other => Err((
            ErrorCode::InvalidRequest,
            format!("configs of resource type {other} cannot be described by this broker"),
        )),
    }
}

fn describe_broker(settings: &BrokerSettings) -> Vec<EffectiveConfig> {
    let configs = BROKER_CONFIGS
        .iter()
        .filter(|def| !def.internal)
        .map(|def| {
            let set = settings.get(def.name).map(str::to_owned);
            let default = def.default.map(str::to_owned);
            let mut synonyms = Vec::new();
            synonyms.extend(
                set.clone()
                    .map(|value| (def.name, value, ConfigSource::StaticBroker)),
            );
            synonyms.extend(
                default
                    .clone()
                    .map(|value| (def.name, value, ConfigSource::Default)),
            );
            EffectiveConfig {
                def,
                source: if set.is_some() {
                    ConfigSource::StaticBroker
                } else {
                    ConfigSource::Default
                },
                value: set.or(default),
                synonyms,
            }
        });
    configs.collect()
}

fn result<'a>(
    request: &DescribeConfigsRequest<'a>,
    resource: &DescribeConfigsResource<'a>,
    described: &'a Described,
) -> DescribeConfigsResult<'a> {
    let none = DescribeConfigsResult {
        resource_type: resource.resource_type,
        resource_name: resource.resource_name,
        ..DescribeConfigsResult::default()
    };
    match described {
        Err((code, message)) => DescribeConfigsResult {
            error_code: code.code(),
            error_message: Some(message),
            ..none
        },
        Ok((configs, read_only)) => {
            let asked: HashSet<&str> = resource
                .configuration_keys
                .iter()
                .flatten()
                .copied()
                .collect();
            let configs = configs
                .iter()
                .filter(|config| asked.is_empty() || asked.contains(config.def.name));
            DescribeConfigsResult {
                configs: configs
                    .map(|config| entry(request, config, *read_only))
                    .collect(),
                ..none
            }
        }
    }
}

fn entry<'a>(
    request: &DescribeConfigsRequest<'_>,
    config: &'a EffectiveConfig,
    read_only: bool,
) -> DescribeConfigsResourceResult<'a> {
    let synonyms = config
        .synonyms
        .iter()
        .map(|(name, value, source)| DescribeConfigsSynonym {
            name,
            value: Some(value),
            source: source.id(),
        });
    DescribeConfigsResourceResult {
        name: config.def.name,
        value: config.value.as_deref(),
        read_only,
        config_source: config.source.id(),
        is_sensitive: false,
        synonyms: if request.include_synonyms {
            synonyms.collect()
        } else {
            Vec::new()
        },
        config_type: config.def.kind.id(),
        documentation: request.include_documentation.then_some(config.def.doc),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broker_configs_say_where_they_come_from() {
        let mut settings = BrokerSettings::default();
        settings.set("num.partitions", "3").unwrap();
        let configs = describe_broker(&settings);
        let find = |name| {
            configs
                .iter()
                .find(|config| config.def.name == name)
                .unwrap()
        };
        let partitions = find("num.partitions");
        assert_eq!(partitions.value.as_deref(), Some("3"));
        assert_eq!(partitions.source, ConfigSource::StaticBroker);
        assert_eq!(
            partitions.synonyms,
            [
                ("num.partitions", "3".to_owned(), ConfigSource::StaticBroker),
                ("num.partitions", "1".to_owned(), ConfigSource::Default),
            ]
        );
        let rack = find("broker.rack");
        assert_eq!(
            (rack.value.as_deref(), rack.source),
            (None, ConfigSource::Default)
        );
    }
}
