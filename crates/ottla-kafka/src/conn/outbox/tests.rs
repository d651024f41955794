use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use ottla_broker::api::DiskFile;
use ottla_log::LogFault;
use ottla_log::disk::{Disk, LocalDisk};
use ottla_wire::encoder::Frame;
use prometheus::Registry;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// A file of which so many bytes at a time are in memory, and that breaks at a position.
#[derive(Debug)]
struct FakeFile {
    bytes: Vec<u8>,
    now: Option<usize>,
    broken_at: u64,
}

impl FakeFile {
    fn read(&self, buffer: &mut [u8], position: u64) -> Result<usize, LogFault> {
        if position + buffer.len() as u64 > self.broken_at {
            return Err(LogFault::Closed("broken".into()));
        }
        let from = &self.bytes[position as usize..];
        let count = buffer.len().min(from.len());
        buffer[..count].copy_from_slice(&from[..count]);
        Ok(count)
    }
}

impl DiskFile for FakeFile {
    fn path(&self) -> PathBuf {
        PathBuf::from("fake")
    }
    fn len(&self) -> Result<u64, LogFault> {
        Ok(self.bytes.len() as u64)
    }
    fn write_all_at(&self, _: &mut [IoSlice<'_>], _: u64) -> Result<(), LogFault> {
        Err(LogFault::Closed("read only".into()))
    }
    fn read_at(&self, buffer: &mut [u8], position: u64) -> Result<usize, LogFault> {
        self.read(buffer, position)
    }
    fn read_now(&self, buffer: &mut [u8], position: u64) -> Result<Option<usize>, LogFault> {
        let Some(now) = self.now else { return Ok(None) };
        let count = buffer.len().min(now);
        self.read(&mut buffer[..count], position).map(Some)
    }
    fn set_len(&self, _: u64) -> Result<(), LogFault> {
        Err(LogFault::Closed("read only".into()))
    }
    fn sync(&self) -> Result<(), LogFault> {
        Ok(())
    }
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

fn bytes(count: usize, seed: u8) -> Vec<u8> {
    (0..count)
        .map(|n| (n as u8).wrapping_mul(31).wrapping_add(seed))
        .collect()
}

/// Head, slice, head, slice: as a fetch of two partitions answers.
fn reply(file: &Arc<FakeFile>, lengths: [usize; 2]) -> (Reply, Vec<u8>) {
    let whole: Arc<dyn DiskFile> = Arc::<FakeFile>::clone(file);
    reply_of(&whole, &file.bytes, lengths)
}

fn reply_of(file: &Arc<dyn DiskFile>, content: &[u8], lengths: [usize; 2]) -> (Reply, Vec<u8>) {
    let heads = [bytes(40, 1), bytes(7, 2)];
    let mut segments = Vec::new();
    let mut slices = Vec::new();
    let mut whole = Vec::new();
    let mut position = 3;
    for (key, (head, length)) in (0..).zip(heads.into_iter().zip(lengths)) {
        whole.extend(&head);
        whole.extend(&content[position..position + length]);
        segments.push(Segment::Bytes(head.into()));
        segments.push(Segment::External {
            key,
            length: length as u32,
        });
        slices.push(FileSlice {
            file: Arc::clone(file),
            position: position as u64,
            length,
        });
        position += length;
    }
    let frame = Frame {
        segments,
        bytes: whole.len(),
    };
    (Reply { frame, slices }, whole)
}

async fn sent(outbox: &mut Outbox) -> (Result<(), CloseReason>, Vec<u8>, u64) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    let reading = tokio::spawn(async move {
        let mut all = Vec::new();
        client.read_to_end(&mut all).await.unwrap();
        all
    });
    let metrics = Metrics::new(&Registry::new(), crate::api::TABLE).unwrap();
    let mut way = Way {
        stream: &mut server,
        metrics: &metrics,
        silence_max: None,
    };
    let result = outbox.flush(&mut way).await;
    drop(server);
    (result, reading.await.unwrap(), metrics.bytes_out.get())
}

fn push(outbox: &mut Outbox, reply: Reply) {
    outbox.push(reply, ApiKey::Fetch, 12).unwrap();
}

fn plain(bytes: Vec<u8>) -> Reply {
    let count = bytes.len();
    Frame {
        segments: vec![Segment::Bytes(bytes.into())],
        bytes: count,
    }
    .into()
}

#[tokio::test]
async fn files_and_memory_go_out_in_order() {
    let lengths = [
        1,
        5_000,
        CHUNK_BYTES - 47,
        CHUNK_BYTES,
        3 * CHUNK_BYTES + 11,
    ];
    for now in [None, Some(1000), Some(usize::MAX)] {
        for first in lengths {
            let file = Arc::new(FakeFile {
                bytes: bytes(1 << 20, 3),
                now,
                broken_at: u64::MAX,
            });
            let mut outbox = Outbox::default();
            let mut expected = Vec::new();
            for second in [9_000, 1] {
                let before = bytes(3000, 4);
                expected.extend(&before);
                push(&mut outbox, plain(before));
                let (reply, whole) = reply(&file, [first, second]);
                expected.extend(&whole);
                push(&mut outbox, reply);
            }
            let after = bytes(300_000, 5);
            expected.extend(&after);
            push(&mut outbox, plain(after));
            let (result, read, counted) = sent(&mut outbox).await;
            assert!(result.is_ok());
            assert!(
                read == expected,
                "{now:?} {first}: {} of {}",
                read.len(),
                expected.len()
            );
            assert_eq!(counted, expected.len() as u64);
            assert!(outbox.pieces.is_empty());
        }
    }
}

#[tokio::test]
async fn large_pieces_go_out_without_a_copy() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("records");
    let content = bytes(3 << 20, 9);
    std::fs::write(&path, &content).unwrap();
    let file = LocalDisk.open(&path, false).unwrap();
    for sizes in [[1 << 20, (2 << 20) - 3], [100, 1 << 20], [700_001, 15_000]] {
        let mut outbox = Outbox::default();
        let mut expected = Vec::new();
        for _ in 0..3 {
            let (reply, whole) = reply_of(&file, &content, sizes);
            expected.extend(whole);
            push(&mut outbox, reply);
        }
        let (result, read, counted) = sent(&mut outbox).await;
        assert!(result.is_ok(), "{result:?}");
        assert!(read == expected, "{sizes:?}");
        assert_eq!(counted, expected.len() as u64);
    }
    // A file that becomes shorter below what was promised.
    let mut outbox = Outbox::default();
    push(&mut outbox, reply_of(&file, &content, [1 << 20, 1 << 20]).0);
    file.set_len(100_000).unwrap();
    let (result, ..) = sent(&mut outbox).await;
    assert!(matches!(result, Err(CloseReason::Storage(_))), "{result:?}");
}

#[tokio::test]
async fn many_small_answers_take_few_writes_and_no_memory_afterwards() {
    let mut outbox = Outbox::default();
    let mut expected = Vec::new();
    for n in 0..1000 {
        let answer = bytes(50 + n % 7, n as u8);
        expected.extend(&answer);
        push(&mut outbox, plain(answer));
    }
    let (result, read, _) = sent(&mut outbox).await;
    assert!(result.is_ok());
    assert!(read == expected);
    assert!(outbox.pieces.capacity() <= SLICES_MAX);
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    let metrics = Metrics::new(&Registry::new(), crate::api::TABLE).unwrap();
    let file = Arc::new(FakeFile {
        bytes: bytes(1 << 20, 3),
        now: Some(usize::MAX),
        broken_at: u64::MAX,
    });
    for in_file in [false, true] {
        let mut outbox = Outbox::default();
        if in_file {
            push(&mut outbox, reply(&file, [1 << 19, 1]).0);
        }
        // More than the system's buffers take.
        push(&mut outbox, plain(vec![0; 64 << 20]));
        let mut way = Way {
            stream: &mut server,
            metrics: &metrics,
            silence_max: Some(Duration::from_millis(20)),
        };
        let result = outbox.flush(&mut way).await;
        assert!(matches!(result, Err(CloseReason::Idle)), "{result:?}");
    }
    drop(client);
}

#[tokio::test]
async fn a_file_that_breaks_ends_the_connection() {
    for now in [None, Some(usize::MAX)] {
        let file = Arc::new(FakeFile {
            bytes: bytes(1 << 20, 3),
            now,
            broken_at: 300_000,
        });
        let mut outbox = Outbox::default();
        let (reply, whole) = reply(&file, [400_000, 1]);
        push(&mut outbox, reply);
        let (result, read, _) = sent(&mut outbox).await;
        assert!(matches!(result, Err(CloseReason::Storage(_))), "{result:?}");
        assert!(whole.starts_with(&read) && read.len() < whole.len());
    }
}

#[test]
fn a_slice_that_is_not_there_is_an_error() {
    let frame = Frame {
        segments: vec![Segment::External { key: 0, length: 5 }],
        bytes: 5,
    };
    let result = Outbox::default().push(frame, ApiKey::Fetch, 12);
    assert!(matches!(result, Err(CloseReason::Unanswerable { .. })));
}
