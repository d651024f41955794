//! Metadata: topics by name and id, made on the way, and where the broker is.

use ottla_model::uuid::Uuid;
use ottla_testkit::wire_client::WireClient;
use ottla_wire::metadata::{MetadataRequest, MetadataRequestTopic};

use crate::support::{CLUSTER, NODE, Server};

fn named<'a>(names: &[&'a str]) -> MetadataRequest<'a> {
    MetadataRequest {
        topics: Some(
            names
                .iter()
                .map(|&name| MetadataRequestTopic {
                    name: Some(name),
                    ..MetadataRequestTopic::default()
                })
                .collect(),
        ),
        ..MetadataRequest::default()
    }
}

fn codes(
    client: &mut WireClient,
    request: &MetadataRequest<'_>,
    version: i16,
) -> Vec<(String, i16, usize)> {
    let answer = client.call(request, version).unwrap();
    let body = answer.body().unwrap();
    let topic = |topic: &ottla_wire::metadata::MetadataResponseTopic<'_>| {
        (
            topic.name.unwrap_or("(none)").to_owned(),
            topic.error_code,
            topic.partitions.len(),
        )
    };
    body.topics.iter().map(topic).collect()
}

#[test]
fn a_missing_topic_is_made_within_the_answer() {
    let server = Server::with(&[("num.partitions", "3")], |options| options);
    let mut client = server.client();
    // Below version 4 a client cannot say that it does not want it.
    for (version, name) in [(0, "t0"), (3, "t3"), (4, "t4"), (12, "t12"), (13, "t13")] {
        let answer = client.call(&named(&[name]), version).unwrap();
        let body = answer.body().unwrap();
        let topic = &body.topics[0];
        assert_eq!(
            (topic.error_code, topic.partitions.len()),
            (0, 3),
            "version {version}"
        );
        for (index, partition) in (0..).zip(&topic.partitions) {
            let expected = (0, index, NODE, vec![NODE], vec![NODE]);
            let found = (
                partition.error_code,
                partition.partition_index,
                partition.leader_id,
                partition.replica_nodes.iter().collect::<Vec<_>>(),
                partition.isr_nodes.iter().collect::<Vec<_>>(),
            );
            assert_eq!(found, expected);
        }
        // And it takes records at once.
        let produced = client
            .produce(name, 2, &crate::support::batch(&["v"]))
            .unwrap();
        assert_eq!(produced.error_code, 0);
    }
    let request = MetadataRequest {
        allow_auto_topic_creation: false,
        ..named(&["never"])
    };
    assert_eq!(codes(&mut client, &request, 4), [("never".into(), 3, 0)]);
    assert_eq!(codes(&mut client, &request, 13), [("never".into(), 3, 0)]);
}

#[test]
fn names_that_cannot_be_are_refused_and_the_rest_is_made() {
    let server = Server::start();
    let mut client = server.client();
    let long = "a".repeat(250);
    let names = [
        "ok",
        "",
        ".",
        "..",
        "a/b",
        "../../etc",
        &long,
        "__consumer_offsets",
        "ok.dots",
        "ok_dots",
        "ok",
    ];
    let found = codes(&mut client, &named(&names), 9);
    let expected: Vec<(String, i16, usize)> = [
        ("ok", 0, 1),
        ("", 17, 0),
        (".", 17, 0),
        ("..", 17, 0),
        ("a/b", 17, 0),
        ("../../etc", 17, 0),
        (&long, 17, 0),
        ("__consumer_offsets", 3, 0),
        ("ok.dots", 0, 1),
        ("ok_dots", 17, 0),
    ]
    .into_iter()
    .map(|(name, code, partitions)| (name.to_owned(), code, partitions))
    .collect();
    assert_eq!(found, expected);
}

#[test]
fn nothing_is_made_where_it_is_switched_off() {
    let server = Server::with(&[("auto.create.topics.enable", "false")], |options| options);
    let mut client = server.client();
    assert_eq!(codes(&mut client, &named(&["t"]), 1), [("t".into(), 3, 0)]);
    assert_eq!(
        codes(&mut client, &named(&["t", "?"]), 12),
        [("t".into(), 3, 0), ("?".into(), 17, 0)]
    );
    assert_eq!(client.metadata(None).unwrap(), []);
}

#[test]
fn all_and_none_by_version() {
    let server = Server::start();
    let mut client = server.client_with("a", 1, &[]);
    client.create_topic("b", 2, &[]).unwrap();
    let all = MetadataRequest {
        topics: None,
        ..MetadataRequest::default()
    };
    let none = MetadataRequest {
        topics: Some(vec![]),
        ..MetadataRequest::default()
    };
    for version in 0..=13 {
        let mut found = codes(
            &mut client,
            if version == 0 { &none } else { &all },
            version,
        );
        found.sort();
        assert_eq!(
            found,
            [("a".into(), 0, 1), ("b".into(), 0, 2)],
            "version {version}"
        );
        if version > 0 {
            assert_eq!(codes(&mut client, &none, version), []);
        }
    }
}

#[test]
fn topics_by_id() {
    let server = Server::start();
    let mut client = server.client();
    let id = client.create_topic("t", 1, &[]).unwrap().id;
    let by_id = |ids: &[Uuid]| MetadataRequest {
        topics: Some(
            ids.iter()
                .map(|id| MetadataRequestTopic {
                    topic_id: *id,
                    name: None,
                })
                .collect(),
        ),
        ..MetadataRequest::default()
    };
    let unknown = Uuid([1; 16]);
    for version in 12..=13 {
        let answer = client.call(&by_id(&[unknown, id]), version).unwrap();
        let body = answer.body().unwrap();
        let found: Vec<_> = body
            .topics
            .iter()
            .map(|t| (t.name, t.topic_id, t.error_code))
            .collect();
        assert_eq!(found, [(None, unknown, 100), (Some("t"), id, 0)]);
    }
    // In 10 and 11 ids are answered but not taken.
    let mut request = by_id(&[id]);
    for topic in request.topics.iter_mut().flatten() {
        topic.name = Some("t");
    }
    assert_eq!(codes(&mut client, &request, 11), [("t".into(), 42, 0)]);
    let answer = client.call(&named(&["t"]), 10).unwrap();
    assert_eq!(answer.body().unwrap().topics[0].topic_id, id);
    // A topic made anew has another id, and the old one finds nothing.
    assert_eq!(client.delete_topic("t").unwrap(), 0);
    let again = client.create_topic("t", 1, &[]).unwrap().id;
    assert_ne!(again, id);
    let answer = client.call(&by_id(&[id]), 12).unwrap();
    assert_eq!(answer.body().unwrap().topics[0].error_code, 100);
}

#[test]
fn says_who_and_where_it_is() {
    let server = Server::with(&[("broker.rack", "r1")], |options| options);
    let mut client = server.client();
    let request = MetadataRequest {
        include_cluster_authorized_operations: true,
        include_topic_authorized_operations: true,
        ..named(&["t"])
    };
    let answer = client.call(&request, 8).unwrap();
    let body = answer.body().unwrap();
    assert_eq!(body.cluster_id, Some(CLUSTER));
    assert_eq!(body.controller_id, NODE);
    let broker = &body.brokers[0];
    let found = (broker.node_id, broker.host, broker.port, broker.rack);
    assert_eq!(
        found,
        (
            NODE,
            "127.0.0.1",
            i32::from(server.address.port()),
            Some("r1")
        )
    );
    assert_eq!(body.topics[0].topic_authorized_operations, 0b1101_1111_1000);
    assert_eq!(body.cluster_authorized_operations, 0b1_1111_1010_0000);
    let answer = client.call(&named(&["t"]), 8).unwrap();
    let body = answer.body().unwrap();
    assert_eq!(body.topics[0].topic_authorized_operations, i32::MIN);
    assert_eq!(body.cluster_authorized_operations, i32::MIN);

    let advertised = Server::with(&[], |options| ottla_kafka::GatewayOptions {
        advertised: Some(("broker.example".into(), 19_092)),
        ..options
    });
    let answer = advertised.client().call(&named(&[]), 1).unwrap();
    let body = answer.body().unwrap();
    assert_eq!(
        (body.brokers[0].host, body.brokers[0].port),
        ("broker.example", 19_092)
    );
}
