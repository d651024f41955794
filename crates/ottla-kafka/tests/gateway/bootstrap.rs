//! What a client says first.

use ottla_kafka::served_apis;
use ottla_wire::ApiKey;
use ottla_wire::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use ottla_wire::describe_cluster::DescribeClusterRequest;
use ottla_wire::frame::decode_response;

use crate::support::{Server, is_closed, raw_request};

fn ask(name: &'static str, version: &'static str) -> ApiVersionsRequest<'static> {
    ApiVersionsRequest {
        client_software_name: name,
        client_software_version: version,
        ..ApiVersionsRequest::default()
    }
}

#[test]
fn every_version_lists_what_is_served() {
    let server = Server::start();
    for version in 0..=5 {
        let mut client = server.client();
        let answer = client.call(&ask("test", "1.0"), version).unwrap();
        let body = answer.body().unwrap();
        assert_eq!(body.error_code, 0);
        let listed: Vec<_> = body
            .api_keys
            .iter()
            .map(|api| (api.api_key, api.min_version, api.max_version))
            .collect();
        let served: Vec<_> = served_apis()
            .map(|(_, api)| (api.key, api.versions.0, api.versions.1))
            .collect();
        assert_eq!(listed, served);
        if version >= 3 {
            assert!(body.finalized_features_epoch >= 0);
            let level = body
                .finalized_features
                .iter()
                .find(|f| f.name == "metadata.version");
            assert!(
                level.is_some_and(|f| f.max_version_level > 0),
                "{:?}",
                body.finalized_features
            );
            let supported = body
                .supported_features
                .iter()
                .find(|f| f.name == "metadata.version");
            assert!(supported.is_some_and(|f| f.min_version > 0));
        }
    }
}

#[test]
fn an_unknown_version_of_it_is_answered_in_version_0() {
    let server = Server::start();
    for (version, header) in [(6, 2), (99, 2), (i16::MAX, 2), (-1, 1)] {
        let mut client = server.client();
        // The body is nothing that could be read.
        client
            .send_raw(&raw_request(18, version, header, 77, b"\xff\xff\xff"))
            .unwrap();
        let frame = client.receive_frame().unwrap();
        let (correlation_id, body): (i32, ApiVersionsResponse<'_>) =
            decode_response::<ApiVersionsRequest<'_>>(&frame, 0).unwrap();
        assert_eq!(
            (correlation_id, body.error_code),
            (77, 35),
            "version {version}"
        );
        let listed: Vec<_> = body
            .api_keys
            .iter()
            .map(|api| (api.api_key, api.min_version, api.max_version))
            .collect();
        assert_eq!(listed, [(18, 0, 5)]);
        // The connection lives: the client asks again in a version that it was told.
        assert_eq!(client.api_versions().unwrap().len(), served_apis().count());
    }
}

#[test]
fn strange_software_names_are_invalid_requests() {
    let server = Server::start();
    let mut client = server.client();
    for (name, version) in [
        ("", "1"),
        ("a b", "1"),
        ("a", ""),
        ("a", "1/2"),
        ("-a", "1"),
    ] {
        let answer = client.call(&ask(name, version), 3).unwrap();
        let body = answer.body().unwrap();
        assert_eq!(
            (body.error_code, body.api_keys.len()),
            (42, 0),
            "{name:?} {version:?}"
        );
    }
    assert_eq!(
        client
            .call(&ask("a", "1"), 3)
            .unwrap()
            .body()
            .unwrap()
            .error_code,
        0
    );
}

#[test]
fn who_means_another_broker_must_bootstrap_again() {
    let server = Server::start();
    let mut client = server.client();
    let here = client
        .call(&DescribeClusterRequest::default(), 0)
        .unwrap()
        .body()
        .map(|body| (body.cluster_id.to_owned(), body.controller_id))
        .unwrap();
    let (cluster, node) = (here.0.as_str(), here.1);
    for (cluster_id, node_id, error) in [
        (None, -1, 0),
        (Some(cluster), node, 0),
        (Some(cluster), -1, 42),
        (None, node, 42),
        (None, -2, 42),
        (Some("another"), -1, 42),
        (Some("another"), node, 129),
        (Some(""), node, 129),
        (Some(cluster), node + 1, 129),
        (Some(cluster), -2, 129),
    ] {
        let request = ApiVersionsRequest {
            cluster_id,
            node_id,
            ..ask("test", "1.0")
        };
        let answer = client.call(&request, 5).unwrap();
        let body = answer.body().unwrap();
        let entries = if error == 0 { served_apis().count() } else { 0 };
        assert_eq!(
            (body.error_code, body.api_keys.len()),
            (error, entries),
            "{cluster_id:?} {node_id}"
        );
        if error != 0 {
            assert_eq!(body.finalized_features_epoch, -1);
            assert!(body.supported_features.is_empty() && body.finalized_features.is_empty());
        }
    }
    // A bad name is found first.
    let request = ApiVersionsRequest {
        cluster_id: Some("another"),
        node_id: 7,
        ..ask("a b", "1")
    };
    let answer = client.call(&request, 5).unwrap();
    assert_eq!(answer.body().unwrap().error_code, 42);
}

#[test]
fn what_is_not_served_closes_the_connection() {
    let server = Server::start();
    let mut reasons = Vec::new();
    for (key, version, header, reason) in [
        (999, 0, 1, "unknown_key"),
        (-1, 0, 1, "unknown_key"),
        (i16::from(ApiKey::JoinGroup), 10, 2, "unsupported_version"),
        (i16::from(ApiKey::LeaderAndIsr), 0, 1, "unsupported_version"),
        (i16::from(ApiKey::Metadata), 14, 2, "unsupported_version"),
        (i16::from(ApiKey::Metadata), -1, 1, "unsupported_version"),
        (i16::from(ApiKey::Fetch), 19, 2, "unsupported_version"),
        (i16::from(ApiKey::Produce), 14, 2, "unsupported_version"),
    ] {
        let mut client = server.client();
        client
            .send_raw(&raw_request(key, version, header, 1, &[0; 64]))
            .unwrap();
        assert!(is_closed(&mut client), "{key} {version}");
        reasons.push(reason);
        let count = reasons.iter().filter(|other| **other == reason).count() as u64;
        server.await_figure("ottla_kafka_connections_refused_total", Some(reason), count);
    }
}

#[test]
fn requests_are_counted_by_api() {
    let server = Server::start();
    let mut client = server.client();
    for _ in 0..3 {
        client.metadata(None).unwrap();
    }
    assert_eq!(
        server.figure("ottla_kafka_requests_total", Some("Metadata")),
        3
    );
    assert_eq!(server.figure("ottla_kafka_connections_open", None), 1);
    assert!(server.figure("ottla_kafka_bytes_in_total", None) > 0);
    assert!(server.figure("ottla_kafka_bytes_out_total", None) > 0);
}
