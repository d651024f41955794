//! What is acknowledged when, with a store whose syncs the test holds back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ottla_kafka::GatewayOptions;
use ottla_log::{Durability, Log, LogFault, LogSpec, LogStore, MemoryStore, Recovery};
use ottla_model::names::TopicPartition;
use ottla_testkit::wire_client::WireError;

use crate::support::{Server, batch, values};

/// A store in memory that syncs nothing while it is held.
struct HeldStore {
    inner: Arc<MemoryStore>,
    held: AtomicBool,
}

impl HeldStore {
    fn new() -> Arc<HeldStore> {
        Arc::new(HeldStore {
            inner: MemoryStore::new(Durability::Synced),
            held: AtomicBool::new(false),
        })
    }

    fn hold(&self, held: bool) {
        self.held.store(held, Ordering::Release);
    }
}

impl LogStore for HeldStore {
    fn open_log(&self, spec: &LogSpec) -> Result<(Arc<dyn Log>, Recovery), LogFault> {
        self.inner.open_log(spec)
    }
    fn remove_logs(&self, names: &[TopicPartition]) -> Result<(), LogFault> {
        self.inner.remove_logs(names)
    }
    fn wait_dirty(&self, _: Duration) -> bool {
        // Looks often whether it is still held.
        self.inner.wait_dirty(Duration::from_millis(1))
    }
    fn flush_round(&self) -> bool {
        if self.held.load(Ordering::Acquire) {
            std::thread::yield_now();
            return false;
        }
        self.inner.flush_round()
    }
    fn stopped(&self) -> bool {
        self.inner.stopped()
    }
    fn stop(&self) {
        self.inner.stop();
    }
    fn close(&self) -> Result<(), LogFault> {
        self.inner.close()
    }
}

#[test]
fn acks_decide_what_an_answer_waits_for() {
    let store = HeldStore::new();
    let server = Server::over(Arc::clone(&store), &[], |options| options);
    let mut client = server.client_with("t", 1, &[]);
    let mut other = server.client();
    store.hold(true);
    // Written is enough for 1, and nobody sees it yet.
    let written = client.send_produce("t", 0, &batch(&["a"]), 1).unwrap();
    assert_eq!(client.receive_produced(written).unwrap().base_offset, 0);
    assert_eq!(
        other.fetch("t", 0, 0, 1 << 20, 0).unwrap().high_watermark,
        0
    );
    // -1 waits, and so does what comes after it on the connection.
    let durable = client.send_produce("t", 0, &batch(&["b"]), -1).unwrap();
    let behind = client.send_produce("t", 0, &batch(&["c"]), 1).unwrap();
    client.set_time_limit(Duration::from_millis(50)).unwrap();
    assert!(matches!(client.receive_frame(), Err(WireError::TimedOut)));
    assert_eq!(
        other.fetch("t", 0, 0, 1 << 20, 0).unwrap().high_watermark,
        0
    );

    store.hold(false);
    client.set_time_limit(Duration::from_secs(30)).unwrap();
    assert_eq!(client.receive_produced(durable).unwrap().base_offset, 1);
    assert_eq!(client.receive_produced(behind).unwrap().base_offset, 2);
    // What was only written may take another sync.
    let fetched = other.fetch("t", 0, 2, 1 << 20, 30_000).unwrap();
    assert_eq!(values(&fetched.records), [(2, "c".into())]);
}

#[test]
fn a_disk_that_hangs_times_the_request_out() {
    let store = HeldStore::new();
    let options = |options| GatewayOptions {
        produce_timeout_ms_min: 0,
        ..options
    };
    let server = Server::over(Arc::clone(&store), &[], options);
    let mut client = server.client_with("t", 2, &[]);
    store.hold(true);
    let batch = batch(&["a"]);
    for behind in [false, true] {
        let request = ottla_wire::produce::ProduceRequest {
            acks: -1,
            timeout_ms: 20,
            topic_data: vec![ottla_wire::produce::TopicProduceData {
                name: "t",
                partition_data: vec![ottla_wire::produce::PartitionProduceData {
                    index: 1,
                    records: Some(&batch),
                }],
                ..Default::default()
            }],
            ..Default::default()
        };
        let pending = client.send(&request, 9).unwrap();
        // A request of another kind behind it waits for its end in another place.
        let metadata = behind.then(|| {
            let request = ottla_wire::metadata::MetadataRequest::default();
            client.send(&request, 9).unwrap()
        });
        let answer = client.receive(pending).unwrap();
        let body = answer.body().unwrap();
        let partition = &body.responses[0].partition_responses[0];
        assert_eq!((partition.error_code, partition.base_offset), (7, -1));
        if let Some(metadata) = metadata {
            assert_eq!(
                client
                    .receive(metadata)
                    .unwrap()
                    .body()
                    .unwrap()
                    .controller_id,
                crate::support::NODE
            );
        }
    }
    store.hold(false);
    // It was only late.
    let fetched = client.fetch("t", 1, 0, 1 << 20, 30_000).unwrap();
    assert_eq!(values(&fetched.records)[0], (0, "a".into()));
}

#[test]
fn a_stop_does_not_wait_for_a_disk_that_hangs() {
    let store = HeldStore::new();
    let mut server = Server::over(Arc::clone(&store), &[], |options| GatewayOptions {
        stop_ms_max: 1,
        ..options
    });
    let mut client = server.client_with("t", 1, &[]);
    store.hold(true);
    let pending = client.send_produce("t", 0, &batch(&["a"]), -1).unwrap();
    server.await_figure("ottla_kafka_requests_total", Some("Produce"), 1);
    server.finish_stop();
    assert!(
        client
            .receive_produced(pending)
            .is_err_and(|error| error.is_closed())
    );
    store.hold(false);
}
