//! The admin side over a real socket, asked by hand.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::net::SocketAddr;
use std::sync::Arc;

use ottla_admin::{Admin, serve};
use ottla_broker::{Broker, BrokerOptions, random_uuid};
use ottla_log::disk::LocalDisk;
use ottla_log::{Durability, LocalStore, StoreOptions};
use ottla_model::configs::BrokerSettings;
use ottla_model::ids::NodeId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

struct Answer {
    status: u16,
    head: String,
    body: String,
}

async fn get(address: SocketAddr, path: &str) -> Answer {
    ask(
        address,
        &format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
    )
    .await
}

async fn ask(address: SocketAddr, request: &str) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut all = String::new();
    stream.read_to_string(&mut all).await.unwrap();
    let (head, body) = all
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no HTTP: {all:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer {
        status,
        head: head.to_ascii_lowercase(),
        body: body.to_owned(),
    }
}

async fn broker(root: &std::path::Path) -> Broker {
    let options = StoreOptions::new(NodeId(1), Durability::Os, Arc::new(|| random_uuid().0));
    let (store, report) = LocalStore::open(Arc::new(LocalDisk), root, options).unwrap();
    let options = BrokerOptions {
        cluster_id: report.cluster_id.as_str().into(),
        node_id: NodeId(1),
        directory_id: report.directory_id.unwrap(),
        unclean: false,
        settings: BrokerSettings::default(),
    };
    Broker::start(store, options).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn follows_the_broker_from_before_its_start_until_after_its_stop() {
    let root = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let admin = Admin::new("1.2.3");
    let served = tokio::spawn(serve(listener, admin.clone(), async {
        let _ = stopped.await;
    }));

    assert_eq!(get(address, "/health/live").await.status, 200);
    let answer = get(address, "/health/ready").await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (503, "not ready: the logs are being opened\n")
    );
    let answer = get(address, "/metrics").await;
    assert_eq!(answer.status, 200);
    assert!(
        answer
            .body
            .contains("\nottla_build_info{version=\"1.2.3\"} 1\n"),
        "{}",
        answer.body
    );

    let broker = broker(root.path()).await;
    admin.run(broker.clone());
    let answer = get(address, "/health/ready").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "ready\n"));
    let answer = get(address, "/metrics").await;
    assert!(
        answer
            .head
            .contains("content-type: text/plain; version=0.0.4"),
        "{}",
        answer.head
    );
    for line in [
        "# TYPE ottla_append_batches_total counter",
        "ottla_append_batches_total 0",
        "ottla_partitions_open 0",
    ] {
        assert!(
            answer.body.lines().any(|l| l == line),
            "no {line:?} in {}",
            answer.body
        );
    }
    for figure in [
        "process_resident_memory_bytes",
        "process_cpu_seconds_total",
        "process_open_fds",
        "process_start_time_seconds",
    ] {
        let line = answer
            .body
            .lines()
            .find_map(|l| l.strip_prefix(figure))
            .unwrap_or_else(|| panic!("no {figure}"));
        assert!(line.trim().parse::<f64>().unwrap() >= 0.0, "{figure}{line}");
    }

    admin.stop();
    let answer = get(address, "/health/ready").await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (503, "not ready: the broker is stopping\n")
    );
    assert_eq!(get(address, "/health/live").await.status, 200);
    admin.run(broker.clone());
    tokio::task::spawn_blocking(move || broker.stop())
        .await
        .unwrap()
        .unwrap();
    let answer = get(address, "/health/ready").await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (503, "not ready: the broker has stopped\n")
    );

    stop.send(()).unwrap();
    served.await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn says_what_there_is_to_who_asks_for_something_else() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, Admin::new("0"), std::future::pending()));

    for path in ["/", "/health", "/nothing?x=1"] {
        let answer = get(address, path).await;
        assert_eq!(answer.status, 404, "{path}");
        for known in ["/health/live", "/health/ready", "/metrics"] {
            assert!(answer.body.contains(known), "{}", answer.body);
        }
    }
    assert_eq!(
        ask(
            address,
            "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
        .await
        .status,
        405
    );
    let head = ask(
        address,
        "HEAD /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(ask(address, "garbage\r\n\r\n").await.status, 400);
    // One bad connection does not hurt the next.
    assert_eq!(get(address, "/health/live").await.status, 200);
}

#[tokio::test]
async fn more_connections_than_there_are_places_wait_and_are_served() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, Admin::new("0"), std::future::pending()));

    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let late = tokio::spawn(async move { get(address, "/health/live").await.status });
    drop(silent);
    assert_eq!(late.await.unwrap(), 200);
}
