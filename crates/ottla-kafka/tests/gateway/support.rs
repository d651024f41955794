//! A broker with a gateway on a free port, and what the tests say to it all the time.

use std::net::SocketAddr;
use std::sync::Arc;

use ottla_broker::{Broker, BrokerOptions};
use ottla_kafka::{Gateway, GatewayOptions, bind};
use ottla_log::{Durability, LogStore, MemoryStore};
use ottla_model::batch::{BatchBuilder, BatchSpec};
use ottla_model::configs::BrokerSettings;
use ottla_model::ids::NodeId;
use ottla_model::uuid::Uuid;
use ottla_testkit::wire_client::{WireClient, batches};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub(crate) const CLUSTER: &str = "a-cluster-of-tests-000";
pub(crate) const NODE: i32 = 7;

/// A broker that serves until it is dropped.
pub(crate) struct Server {
    runtime: Runtime,
    pub(crate) address: SocketAddr,
    pub(crate) broker: Broker,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<()>>,
}

impl Server {
    /// A broker in memory whose records are durable once a flusher has seen them.
    pub(crate) fn start() -> Server {
        Server::with(&[], |options| options)
    }

    /// The same with some settings, and other options made of those that the settings give.
    pub(crate) fn with(
        settings: &[(&str, &str)],
        options: impl FnOnce(GatewayOptions) -> GatewayOptions,
    ) -> Server {
        Server::over(MemoryStore::new(Durability::Synced), settings, options)
    }

    pub(crate) fn over(
        store: Arc<impl LogStore>,
        settings: &[(&str, &str)],
        options: impl FnOnce(GatewayOptions) -> GatewayOptions,
    ) -> Server {
        Server::start_over(store, settings, false, options)
    }

    /// The same over a store that was left in the middle of something, or was not.
    pub(crate) fn over_after(store: Arc<impl LogStore>, unclean: bool) -> Server {
        Server::start_over(store, &[], unclean, |options| options)
    }

    fn start_over(
        store: Arc<impl LogStore>,
        settings: &[(&str, &str)],
        unclean: bool,
        options: impl FnOnce(GatewayOptions) -> GatewayOptions,
    ) -> Server {
        let mut broker_settings = BrokerSettings::default();
        for (name, value) in settings {
            broker_settings.set(name, value).unwrap();
        }
        let options = options(GatewayOptions::from_settings(&broker_settings));
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let (stop, stopped) = oneshot::channel();
        let (broker, address, serving) = runtime.block_on(async {
            let broker_options = BrokerOptions {
                cluster_id: CLUSTER.into(),
                node_id: NodeId(NODE),
                directory_id: Uuid([9; 16]),
                unclean,
                settings: broker_settings,
            };
            let broker = Broker::start(store, broker_options).await.unwrap();
            let gateway = Gateway::new(broker.clone(), options).unwrap();
            let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
            let address = listener.local_addr().unwrap();
            let serving = tokio::spawn(async move {
                gateway.serve(listener, async { drop(stopped.await) }).await;
            });
            (broker, address, serving)
        });
        Server {
            runtime,
            address,
            broker,
            stop: Some(stop),
            serving: Some(serving),
        }
    }

    pub(crate) fn client(&self) -> WireClient {
        WireClient::connect(self.address).unwrap()
    }

    /// A client with a topic that it has just created.
    pub(crate) fn client_with(
        &self,
        topic: &str,
        partitions: i32,
        configs: &[(&str, &str)],
    ) -> WireClient {
        let mut client = self.client();
        let created = client.create_topic(topic, partitions, configs).unwrap();
        assert_eq!(created.error_code, 0, "{:?}", created.error_message);
        client
    }

    /// Tells the gateway to stop, and does not wait.
    pub(crate) fn begin_stop(&mut self) {
        drop(self.stop.take());
    }

    /// Waits until the gateway has stopped.
    pub(crate) fn finish_stop(&mut self) {
        self.begin_stop();
        if let Some(serving) = self.serving.take() {
            self.runtime.block_on(serving).unwrap();
        }
    }

    /// A figure of the gateway, added up over its labels, or for one label value.
    pub(crate) fn figure(&self, name: &str, label: Option<&str>) -> u64 {
        let families = self.broker.metrics().registry().gather();
        let family = families.iter().find(|family| family.name() == name);
        let metrics = family.map(|family| family.get_metric()).unwrap_or_default();
        let chosen = metrics.iter().filter(|metric| {
            label.is_none_or(|label| metric.get_label().iter().any(|pair| pair.value() == label))
        });
        chosen
            .map(|metric| metric.get_counter().get_value() + metric.get_gauge().get_value())
            .sum::<f64>() as u64
    }

    /// Waits until a figure has a value: what it counts happens on other threads.
    pub(crate) fn await_figure(&self, name: &str, label: Option<&str>, value: u64) {
        let started = std::time::Instant::now();
        while self.figure(name, label) != value {
            assert!(
                started.elapsed().as_secs() < 30,
                "{name} is {}",
                self.figure(name, label)
            );
            std::thread::yield_now();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.finish_stop();
        self.broker.stop().unwrap();
    }
}

/// A batch of records without keys.
pub(crate) fn batch(values: &[&str]) -> Vec<u8> {
    batch_of(
        BatchSpec::default(),
        &values
            .iter()
            .map(|value| (None, *value))
            .collect::<Vec<_>>(),
    )
}

/// A batch of records, all of one moment of 2001.
pub(crate) fn batch_of(spec: BatchSpec, records: &[(Option<&str>, &str)]) -> Vec<u8> {
    const MOMENT_MS: i64 = 1_000_000_000_000;
    let mut builder = BatchBuilder::new(spec, MOMENT_MS);
    for (key, value) in records {
        builder.push(
            key.map(str::as_bytes),
            Some(value.as_bytes()),
            &[],
            MOMENT_MS,
        );
    }
    builder.build().bytes().to_vec()
}

/// Offsets and values of what a fetch brought.
pub(crate) fn values(records: &[u8]) -> Vec<(i64, String)> {
    let mut found = Vec::new();
    for batch in batches(records).unwrap() {
        batch
            .records(|offset, _, value| {
                found.push((
                    offset,
                    String::from_utf8_lossy(value.unwrap_or_default()).into_owned(),
                ));
            })
            .unwrap();
    }
    found
}

/// A request as bytes: length, header of the given version of the header, body.
pub(crate) fn raw_request(
    key: i16,
    version: i16,
    header: i16,
    correlation_id: i32,
    body: &[u8],
) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend(key.to_be_bytes());
    frame.extend(version.to_be_bytes());
    frame.extend(correlation_id.to_be_bytes());
    frame.extend(4i16.to_be_bytes());
    frame.extend(b"test");
    if header >= 2 {
        frame.push(0);
    }
    frame.extend(body);
    let mut request = (frame.len() as i32).to_be_bytes().to_vec();
    request.extend(frame);
    request
}

/// True if the broker closed the connection without another byte.
pub(crate) fn is_closed(client: &mut WireClient) -> bool {
    client.receive_frame().is_err_and(|error| error.is_closed())
}

/// Produces and fetches on a connection of its own: what a neighbour must always be able to do.
pub(crate) struct Neighbour {
    client: WireClient,
    next: i64,
}

impl Neighbour {
    pub(crate) fn new(server: &Server) -> Neighbour {
        Neighbour {
            client: server.client_with("neighbour", 1, &[]),
            next: 0,
        }
    }

    pub(crate) fn check(&mut self) {
        let value = format!("value {}", self.next);
        let produced = self
            .client
            .produce("neighbour", 0, &batch(&[&value]))
            .unwrap();
        assert_eq!((produced.error_code, produced.base_offset), (0, self.next));
        let fetched = self
            .client
            .fetch("neighbour", 0, self.next, 1 << 20, 10_000)
            .unwrap();
        assert_eq!(values(&fetched.records), [(self.next, value)]);
        self.next += 1;
    }
}
