//! A disk that stalls: whose requests wait for it, and whose do not.
//!
//! The disk parks writes until the test lets them go on. That something goes on is told by its end;
//! the time limits of the client only end a test that hangs.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ottla_kafka::GatewayOptions;
use ottla_log::{Durability, LocalStore, StoreOptions};
use ottla_model::ids::NodeId;
use ottla_testkit::stall_disk::{Stall, StallDisk};
use ottla_testkit::wire_client::{EARLIEST, LATEST, PRODUCE_VERSION, WireClient};
use ottla_wire::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use tempfile::TempDir;

use crate::support::{NODE, Neighbour, Server, batch, values};

/// Far more than any machine has threads for its network.
const STALLED: i32 = 1_000;
const OLD: [i32; 3] = [0, STALLED / 2, STALLED - 1];
/// For what is answered once a thousand writes are done.
const PATIENCE: Duration = Duration::from_secs(120);

/// A broker on a disk whose writes can be stalled.
struct Subject {
    // Stops before its directory goes.
    server: Server,
    disk: StallDisk,
    _root: TempDir,
}

impl Subject {
    fn start(settings: &[(&str, &str)], durability: Durability) -> Subject {
        let (root, disk) = (tempfile::tempdir().unwrap(), StallDisk::default());
        let random = Arc::new(|| ottla_broker::random_uuid().0);
        let options = StoreOptions::new(NodeId(NODE), durability, random);
        let opened = LocalStore::open(Arc::new(disk.clone()), root.path(), options);
        let server = Server::over(opened.unwrap().0, settings, |options| GatewayOptions {
            produce_timeout_ms_min: 0,
            ..options
        });
        Subject {
            server,
            disk,
            _root: root,
        }
    }

    /// Writes to logs whose directories begin like this park.
    fn stall(&self, directories: &'static str) -> Stall {
        self.disk.stall(move |path: &Path| {
            let directory = path.parent().and_then(Path::file_name);
            let directory = directory.and_then(|name| name.to_str());
            directory.is_some_and(|name| name.starts_with(directories))
        })
    }

    fn client(&self) -> WireClient {
        let mut client = self.server.client();
        client.set_time_limit(PATIENCE).unwrap();
        client
    }

    /// What needs no disk, and what needs only records that are there already.
    fn check_the_rest(&self, neighbour: &mut Neighbour) {
        let mut client = self.client();
        assert!(!client.api_versions().unwrap().is_empty());
        let topics = client.metadata(Some(&["stalled"])).unwrap();
        assert_eq!(topics[0].partitions.len(), STALLED as usize);
        for partition in OLD {
            let old = client.fetch("stalled", partition, 0, 1 << 20, 0).unwrap();
            assert_eq!(values(&old.records), [(0, "old".to_owned())]);
            // A long poll that gets nothing ends.
            let none = client.fetch("stalled", partition, 1, 1 << 20, 5).unwrap();
            assert_eq!((none.error_code, none.records.len()), (0, 0));
            let earliest = client.list_offset("stalled", partition, EARLIEST);
            assert_eq!(earliest.unwrap().offset, 0);
        }
        neighbour.check();
    }
}

#[test]
fn a_thousand_stalled_partitions_hold_up_nobody_else() {
    for durability in [Durability::Synced, Durability::Os] {
        let subject = Subject::start(&[], durability);
        let mut neighbour = Neighbour::new(&subject.server);
        drop(subject.server.client_with("stalled", STALLED, &[]));
        let [mut one, mut many, mut late] = std::array::from_fn(|_| subject.client());
        for partition in OLD {
            let produced = one.produce("stalled", partition, &batch(&["old"])).unwrap();
            assert_eq!((produced.error_code, produced.base_offset), (0, 0));
        }

        let stall = subject.stall("stalled-");
        // The first one takes the only seat for inline appends, and its connection with it.
        let first = one.send_produce("stalled", 0, &batch(&["new"]), -1);
        stall.wait_parked(1);
        subject.check_the_rest(&mut neighbour);
        let new = batch(&["new"]);
        let sent = (1..STALLED).map(|partition| many.send_produce("stalled", partition, &new, -1));
        let sent: Vec<_> = sent.collect();
        stall.wait_parked(STALLED as usize);
        subject.check_the_rest(&mut neighbour);
        // What comes for a stalled partition is decided, and waits behind.
        let behind = late.send_produce("stalled", 0, &batch(&["behind"]), 1);
        subject.check_the_rest(&mut neighbour);

        drop(stall);
        let first = one.receive_produced(first.unwrap()).unwrap();
        assert_eq!((first.error_code, first.base_offset), (0, 1));
        for (partition, sent) in (1..STALLED).zip(sent) {
            let produced = many.receive_produced(sent.unwrap()).unwrap();
            let offset = i64::from(OLD.contains(&partition));
            assert_eq!((produced.error_code, produced.base_offset), (0, offset));
        }
        let behind = late.receive_produced(behind.unwrap()).unwrap();
        assert_eq!((behind.error_code, behind.base_offset), (0, 2));
        let pooled = subject.server.figure("ottla_appends_pooled_total", None);
        assert!(pooled >= STALLED as u64 - 1, "{pooled}");
        neighbour.check();
    }
}

/// Regression: records without acks were answered, and charged to nobody, before they were written.
#[test]
fn records_without_acks_are_charged_until_they_are_written() {
    let subject = Subject::start(&[("queued.max.request.bytes", "100")], Durability::Os);
    let mut client = subject.server.client_with("t", 2, &[]);
    let stall = subject.stall("t-0");
    let records = batch(&[&"x".repeat(100)]);
    let mut silent = subject.client();
    let _ = silent.send_produce("t", 0, &records, 0).unwrap();
    stall.wait_parked(1);
    assert!(is_refused_in_time(&mut client, 1, &records));
    drop(stall);
    assert_eq!(client.produce("t", 1, &records).unwrap().error_code, 0);
}

#[test]
fn above_the_cap_producers_wait_or_come_again() {
    let subject = Subject::start(&[("queued.max.request.bytes", "1000")], Durability::Synced);
    let mut hasty = subject.server.client_with("t", 3, &[]);
    let stall = subject.stall("t-0");
    let large = batch(&[&"x".repeat(1_000)]);
    // One of whatever size is taken.
    let mut full = subject.client();
    let taken = full.send_produce("t", 0, &large, -1).unwrap();
    stall.wait_parked(1);
    let mut waiting = subject.client();
    let later = waiting.send_produce("t", 1, &large, 1).unwrap();
    // Who gives up finds that nothing of it was taken. All else goes on.
    assert!(is_refused_in_time(&mut hasty, 2, &large));
    assert_eq!(hasty.list_offset("t", 2, LATEST).unwrap().offset, 0);
    let fetched = hasty.fetch("t", 1, 0, 1 << 20, 0).unwrap();
    assert_eq!(fetched.high_watermark, 0);
    assert_eq!(hasty.metadata(None).unwrap().len(), 1);

    drop(stall);
    assert_eq!(full.receive_produced(taken).unwrap().base_offset, 0);
    assert_eq!(waiting.receive_produced(later).unwrap().base_offset, 0);
    assert_eq!(hasty.produce("t", 2, &large).unwrap().base_offset, 0);
}

/// Sends a batch whose client has very little time; true if it was told that this was over.
fn is_refused_in_time(client: &mut WireClient, partition: i32, records: &[u8]) -> bool {
    const REQUEST_TIMED_OUT: i16 = 7;
    let request = ProduceRequest {
        acks: -1,
        timeout_ms: 1,
        topic_data: vec![TopicProduceData {
            name: "t",
            partition_data: vec![PartitionProduceData {
                index: partition,
                records: Some(records),
            }],
            ..TopicProduceData::default()
        }],
        ..ProduceRequest::default()
    };
    let answer = client.call(&request, PRODUCE_VERSION).unwrap();
    let body = answer.body().unwrap();
    body.responses[0].partition_responses[0].error_code == REQUEST_TIMED_OUT
}
