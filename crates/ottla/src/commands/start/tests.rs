#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use ottla_broker::random_uuid;
use ottla_log::disk::LocalDisk;
use ottla_log::{Durability, LocalStore, StoreOptions};
use ottla_model::configs::BrokerSettings;
use ottla_model::ids::NodeId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::*;

async fn ask_ready(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = b"GET /health/ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_admin_side_answers_until_the_broker_has_stopped() {
    let root = tempfile::tempdir().unwrap();
    let options = StoreOptions::new(NodeId(1), Durability::Os, Arc::new(|| random_uuid().0));
    let (store, report) = LocalStore::open(Arc::new(LocalDisk), root.path(), options).unwrap();
    let options = BrokerOptions {
        cluster_id: report.cluster_id.as_str().into(),
        node_id: NodeId(1),
        directory_id: report.directory_id.unwrap(),
        unclean: false,
        settings: BrokerSettings::default(),
    };
    let broker = Broker::start(store, options).await.unwrap();

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let admin = AdminSide::serve(Some(listener));
    admin.admin.run(broker.clone());
    assert!(ask_ready(address).await.ends_with("ready\n"));

    // Clients that take their time, as long as this test wants.
    let (stop, stopping) = watch::channel(false);
    let (told, asked_to_end) = oneshot::channel();
    let (gone, all_gone) = oneshot::channel::<()>();
    let connections = tokio::spawn(async move {
        stopped(stopping).await;
        told.send(()).unwrap();
        all_gone.await.unwrap();
    });
    let serving = Serving {
        admin,
        stop,
        connections,
    };
    let (path, stopped_broker) = (root.path().to_owned(), broker.clone());
    let ended = tokio::spawn(async move { serving.end(&path, &stopped_broker).await });
    asked_to_end.await.unwrap();
    assert!(broker.is_ready());
    let answer = ask_ready(address).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.ends_with("the broker is stopping\n"), "{answer}");

    gone.send(()).unwrap();
    ended.await.unwrap().unwrap();
    assert!(!broker.is_ready());
    assert!(TcpStream::connect(address).await.is_err());
}
