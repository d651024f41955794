//! Topics made and deleted, configs, the cluster, producer ids and coordinators.

use ottla_model::uuid::Uuid;
use ottla_testkit::wire_client::WireClient;
use ottla_wire::create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use ottla_wire::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use ottla_wire::describe_cluster::DescribeClusterRequest;
use ottla_wire::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};
use ottla_wire::find_coordinator::FindCoordinatorRequest;
use ottla_wire::init_producer_id::InitProducerIdRequest;

use crate::support::{CLUSTER, NODE, Server};

fn topic(name: &str, num_partitions: i32, replication_factor: i16) -> CreatableTopic<'_> {
    CreatableTopic {
        name,
        num_partitions,
        replication_factor,
        ..CreatableTopic::default()
    }
}

fn create(
    client: &mut WireClient,
    topics: Vec<CreatableTopic<'_>>,
    version: i16,
) -> Vec<(String, i16)> {
    let request = CreateTopicsRequest {
        topics,
        ..CreateTopicsRequest::default()
    };
    let answer = client.call(&request, version).unwrap();
    let body = answer.body().unwrap();
    for topic in &body.topics {
        assert_eq!(
            topic.error_code == 0,
            topic.error_message.is_none(),
            "{topic:?}"
        );
    }
    body.topics
        .iter()
        .map(|topic| (topic.name.to_owned(), topic.error_code))
        .collect()
}

fn names(client: &mut WireClient) -> Vec<String> {
    let mut names: Vec<_> = client
        .metadata(None)
        .unwrap()
        .into_iter()
        .map(|topic| topic.name)
        .collect();
    names.sort();
    names
}

#[test]
fn topics_are_made_in_every_version_and_clamped_to_one_replica() {
    let server = Server::with(&[("num.partitions", "4")], |options| options);
    let mut client = server.client();
    for version in 2..=7 {
        let (defaults, three) = (format!("defaults-{version}"), format!("three-{version}"));
        let request = CreateTopicsRequest {
            topics: vec![topic(&defaults, -1, -1), topic(&three, 2, 3)],
            ..CreateTopicsRequest::default()
        };
        let answer = client.call(&request, version).unwrap();
        let body = answer.body().unwrap();
        let codes: Vec<_> = body.topics.iter().map(|t| (t.name, t.error_code)).collect();
        assert_eq!(codes, [(defaults.as_str(), 0), (three.as_str(), 0)]);
        let told = client.metadata(Some(&[&defaults, &three])).unwrap();
        assert_eq!(
            told.iter().map(|t| t.partitions.len()).collect::<Vec<_>>(),
            [4, 2]
        );
        if version >= 5 {
            let counts: Vec<_> = body
                .topics
                .iter()
                .map(|t| (t.num_partitions, t.replication_factor))
                .collect();
            assert_eq!(counts, [(4, 1), (2, 1)]);
            let configs = body.topics[0].configs.as_ref().unwrap();
            let segment = configs
                .iter()
                .find(|config| config.name == "segment.bytes")
                .unwrap();
            assert_eq!(
                (segment.value, segment.config_source),
                (Some("1073741824"), 5)
            );
        }
        if version >= 7 {
            assert_eq!(body.topics[0].topic_id, told[0].id);
        }
    }
}

#[test]
fn topics_that_cannot_be_made_say_why() {
    let server = Server::start();
    let mut client = server.client();
    let config = |name, value| CreatableTopic {
        configs: vec![CreatableTopicConfig { name, value }],
        ..topic("config", 1, 1)
    };
    let assigned = |partition_index, broker_ids: &[i32]| CreatableReplicaAssignment {
        partition_index,
        broker_ids: broker_ids.to_vec().into(),
    };
    assert_eq!(
        create(&mut client, vec![topic("there", 1, 1)], 4),
        [("there".into(), 0)]
    );
    for (wanted, code) in [
        (topic("there", 1, 1), 36),
        (topic("", 1, 1), 17),
        (topic("..", 1, 1), 17),
        (topic("a/../b", 1, 1), 17),
        (topic("t", 0, 1), 37),
        (topic("t", -2, 1), 37),
        (topic("t", 1, 0), 38),
        (topic("__cluster_metadata", 1, 1), 42),
        (config("no.such.config", Some("1")), 40),
        (config("retention.ms", Some("soon")), 40),
        (config("retention.ms", None), 40),
        (
            CreatableTopic {
                assignments: vec![assigned(0, &[NODE])],
                ..topic("t", 1, 1)
            },
            42,
        ),
        (
            CreatableTopic {
                assignments: vec![assigned(0, &[99])],
                ..topic("t", -1, -1)
            },
            39,
        ),
        (topic("t", i32::MAX, 1), 44),
    ] {
        let name = wanted.name.to_owned();
        assert_eq!(create(&mut client, vec![wanted], 4), [(name, code)]);
    }
    let twice = vec![
        topic("a", 1, 1),
        topic("b", 1, 1),
        topic("a", 2, 1),
        topic("a", 2, 1),
    ];
    assert_eq!(
        create(&mut client, twice, 4),
        [("a".into(), 42), ("b".into(), 0)]
    );
    let by_hand = CreatableTopic {
        assignments: vec![assigned(1, &[NODE]), assigned(0, &[NODE])],
        ..topic("hand", -1, -1)
    };
    assert_eq!(create(&mut client, vec![by_hand], 4), [("hand".into(), 0)]);
    assert_eq!(
        create(&mut client, vec![topic("b.c", 1, 1), topic("b_c", 1, 1)], 4)[1].1,
        17
    );
    assert_eq!(create(&mut client, vec![], 4), []);
    assert_eq!(names(&mut client), ["b", "b.c", "hand", "there"]);
}

#[test]
fn validating_makes_nothing() {
    let server = Server::start();
    let mut client = server.client();
    let request = CreateTopicsRequest {
        topics: vec![topic("t", 3, 1), topic("u", 0, 1)],
        validate_only: true,
        ..CreateTopicsRequest::default()
    };
    let answer = client.call(&request, 7).unwrap();
    let body = answer.body().unwrap();
    let found: Vec<_> = body
        .topics
        .iter()
        .map(|t| (t.error_code, t.num_partitions))
        .collect();
    assert_eq!(found, [(0, 3), (37, -1)]);
    assert!(names(&mut client).is_empty());
}

#[test]
fn topics_are_deleted_by_name_and_by_id() {
    let server = Server::start();
    let mut client = server.client();
    let mut ids = Vec::new();
    for name in ["a", "b", "c", "d", "e"] {
        ids.push(client.create_topic(name, 2, &[]).unwrap().id);
    }
    for version in 1..=5 {
        let gone = DeleteTopicsRequest {
            topic_names: vec!["gone"],
            ..DeleteTopicsRequest::default()
        };
        let answer = client.call(&gone, version).unwrap();
        assert_eq!(answer.body().unwrap().responses[0].error_code, 3);
    }
    assert_eq!(client.delete_topic("a").unwrap(), 0);
    let entry = |name, topic_id| DeleteTopicState { name, topic_id };
    let request = DeleteTopicsRequest {
        topics: vec![
            entry(None, ids[1]),
            entry(Some("c"), Uuid::ZERO),
            entry(None, Uuid([8; 16])),
            // The same topic by name and by id.
            entry(Some("d"), Uuid::ZERO),
            entry(None, ids[3]),
            entry(Some("e"), ids[4]),
        ],
        ..DeleteTopicsRequest::default()
    };
    let answer = client.call(&request, 6).unwrap();
    let body = answer.body().unwrap();
    let found: Vec<_> = body
        .responses
        .iter()
        .map(|r| (r.name, r.topic_id, r.error_code))
        .collect();
    assert_eq!(
        found,
        [
            (Some("b"), ids[1], 0),
            (Some("c"), ids[2], 0),
            (None, Uuid([8; 16]), 100),
            (Some("d"), ids[3], 42),
            (Some("e"), ids[4], 42),
        ]
    );
    assert_eq!(names(&mut client), ["d", "e"]);
    // The name is free at once, and the new topic is empty.
    let again = client.create_topic("b", 1, &[]).unwrap();
    assert_eq!(again.error_code, 0);
    assert_ne!(again.id, ids[1]);
    assert_eq!(client.list_offset("b", 0, -1).unwrap().offset, 0);
}

#[test]
fn deletion_can_be_switched_off() {
    let server = Server::with(&[("delete.topic.enable", "false")], |options| options);
    let mut client = server.client_with("t", 1, &[]);
    let request = DeleteTopicsRequest {
        topic_names: vec!["t"],
        ..DeleteTopicsRequest::default()
    };
    for (version, code) in [(2, 42), (3, 73), (5, 73)] {
        let answer = client.call(&request, version).unwrap();
        assert_eq!(answer.body().unwrap().responses[0].error_code, code);
    }
    assert_eq!(names(&mut client), ["t"]);
}

fn resource(resource_type: i8, resource_name: &str) -> DescribeConfigsResource<'_> {
    DescribeConfigsResource {
        resource_type,
        resource_name,
        configuration_keys: None,
    }
}

#[test]
fn configs_are_described_with_their_sources() {
    let server = Server::with(
        &[("log.retention.ms", "5000"), ("node.id", "7")],
        |options| options,
    );
    let mut client = server.client_with(
        "t",
        1,
        &[("cleanup.policy", "compact"), ("max.message.bytes", "77")],
    );
    for version in 1..=4 {
        let request = DescribeConfigsRequest {
            resources: vec![resource(2, "t"), resource(4, "7"), resource(4, "")],
            include_synonyms: true,
            include_documentation: version >= 3,
        };
        let answer = client.call(&request, version).unwrap();
        let body = answer.body().unwrap();
        assert!(body.results.iter().all(|result| result.error_code == 0));
        let find = |place: usize, name: &str| {
            body.results[place]
                .configs
                .iter()
                .find(|config| config.name == name)
                .unwrap()
        };
        let shown = |place, name| {
            let config = find(place, name);
            (
                config.value,
                config.config_source,
                config.read_only,
                config.is_sensitive,
            )
        };
        assert_eq!(
            shown(0, "cleanup.policy"),
            (Some("compact"), 1, false, false)
        );
        assert_eq!(shown(0, "max.message.bytes"), (Some("77"), 1, false, false));
        assert_eq!(shown(0, "retention.ms"), (Some("5000"), 4, false, false));
        assert_eq!(
            shown(0, "segment.bytes"),
            (Some("1073741824"), 5, false, false)
        );
        let synonyms: Vec<_> = find(0, "max.message.bytes")
            .synonyms
            .iter()
            .map(|s| (s.name, s.value, s.source))
            .collect();
        assert_eq!(
            synonyms,
            [
                ("max.message.bytes", Some("77"), 1),
                ("message.max.bytes", Some("1048588"), 5)
            ]
        );
        assert_eq!(shown(1, "log.retention.ms"), (Some("5000"), 4, true, false));
        assert_eq!(shown(1, "num.partitions"), (Some("1"), 5, true, false));
        assert!(body.results[2].configs.is_empty());
        if version >= 3 {
            assert_eq!(find(0, "cleanup.policy").config_type, 7);
            assert!(
                find(0, "cleanup.policy")
                    .documentation
                    .is_some_and(|text| !text.is_empty())
            );
        }
    }
    let mut asked = resource(2, "t");
    asked.configuration_keys = Some(vec!["segment.ms", "no.such.config"]);
    let request = DescribeConfigsRequest {
        resources: vec![asked],
        ..DescribeConfigsRequest::default()
    };
    let answer = client.call(&request, 1).unwrap();
    let body = answer.body().unwrap();
    let names: Vec<_> = body.results[0]
        .configs
        .iter()
        .map(|config| (config.name, config.synonyms.len()))
        .collect();
    assert_eq!(names, [("segment.ms", 0)]);
}

#[test]
fn what_cannot_be_described_says_so() {
    let server = Server::start();
    let mut client = server.client();
    let mut codes = |resources: Vec<DescribeConfigsResource<'_>>| -> Vec<i16> {
        let request = DescribeConfigsRequest {
            resources,
            ..DescribeConfigsRequest::default()
        };
        let answer = client.call(&request, 4).unwrap();
        let body = answer.body().unwrap();
        assert!(
            body.results
                .iter()
                .all(|r| (r.error_code == 0) == (r.error_message == Some("")))
        );
        body.results
            .iter()
            .map(|result| result.error_code)
            .collect()
    };
    let found = codes(vec![
        resource(2, "unknown"),
        resource(2, "a/b"),
        resource(4, "8"),
        resource(4, "x"),
        resource(8, "7"),
        resource(16, "x"),
        resource(32, "x"),
        resource(4, "7"),
    ]);
    assert_eq!(found, [3, 17, 42, 42, 42, 42, 42, 0]);
    assert_eq!(codes(vec![resource(4, "7"), resource(3, "x")]), [42, 42]);
}

#[test]
fn the_cluster_is_this_broker() {
    let server = Server::with(&[("broker.rack", "r1")], |options| options);
    let mut client = server.client();
    for version in 0..=2 {
        let request = DescribeClusterRequest {
            include_cluster_authorized_operations: version > 0,
            ..DescribeClusterRequest::default()
        };
        let answer = client.call(&request, version).unwrap();
        let body = answer.body().unwrap();
        assert_eq!(
            (body.error_code, body.cluster_id, body.controller_id),
            (0, CLUSTER, NODE)
        );
        let broker = &body.brokers[0];
        let found = (
            broker.broker_id,
            broker.host,
            broker.port,
            broker.rack,
            broker.is_fenced,
        );
        assert_eq!(
            found,
            (
                NODE,
                "127.0.0.1",
                i32::from(server.address.port()),
                Some("r1"),
                false
            )
        );
        assert_eq!(body.cluster_authorized_operations != i32::MIN, version > 0);
    }
    for (endpoint_type, code) in [(2, 114), (3, 115), (0, 115)] {
        let request = DescribeClusterRequest {
            endpoint_type,
            ..DescribeClusterRequest::default()
        };
        let answer = client.call(&request, 1).unwrap();
        let body = answer.body().unwrap();
        assert_eq!((body.error_code, body.brokers.len()), (code, 0));
    }
}

#[test]
fn producer_ids_are_never_given_twice() {
    let server = Server::start();
    let mut client = server.client();
    let mut seen = std::collections::BTreeSet::new();
    // More than one block of the catalog.
    for version in (0..=5).cycle().take(1_500) {
        let request = InitProducerIdRequest {
            transactional_id: None,
            transaction_timeout_ms: 0,
            producer_id: -1,
            producer_epoch: -1,
        };
        let answer = client.call(&request, version).unwrap();
        let body = answer.body().unwrap();
        assert_eq!((body.error_code, body.producer_epoch), (0, 0));
        assert!(seen.insert(body.producer_id), "{}", body.producer_id);
    }
    let transactional = InitProducerIdRequest {
        transactional_id: Some("id"),
        transaction_timeout_ms: 1000,
        producer_id: -1,
        producer_epoch: -1,
    };
    let answer = client.call(&transactional, 4).unwrap();
    let body = answer.body().unwrap();
    assert_eq!(
        (body.error_code, body.producer_id, body.producer_epoch),
        (53, -1, -1)
    );
}

#[test]
fn this_broker_coordinates_groups_and_nothing_else() {
    let server = Server::start();
    let mut client = server.client();
    let port = i32::from(server.address.port());
    for version in 0..=6 {
        let request = FindCoordinatorRequest {
            key: if version < 4 { "g" } else { "" },
            coordinator_keys: if version < 4 {
                vec![]
            } else {
                vec!["g", "h", "g"]
            },
            ..FindCoordinatorRequest::default()
        };
        let answer = client.call(&request, version).unwrap();
        let body = answer.body().unwrap();
        if version < 4 {
            assert_eq!(
                (body.error_code, body.node_id, body.host, body.port),
                (0, NODE, "127.0.0.1", port)
            );
        } else {
            let found: Vec<_> = body
                .coordinators
                .iter()
                .map(|c| (c.key, c.error_code, c.node_id, c.port))
                .collect();
            assert_eq!(found, [("g", 0, NODE, port), ("h", 0, NODE, port)]);
        }
    }
    let transactional = FindCoordinatorRequest {
        key: "id",
        key_type: 1,
        ..FindCoordinatorRequest::default()
    };
    let answer = client.call(&transactional, 3).unwrap();
    let body = answer.body().unwrap();
    assert_eq!(
        (body.error_code, body.node_id, body.host, body.port),
        (53, -1, "", -1)
    );
}
