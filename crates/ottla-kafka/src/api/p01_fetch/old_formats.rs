//! Fetch 0 to 3: record batches become message sets (`ottla_codec::downgrade`), v0 for versions 0 and
//! 1, v1 for 2 and 3, as Kafka did up to 3.9.
//!
//! - Below version 10 no records of a topic whose `compression.type` is zstd, and below 4 no batch of
//!   zstd: `UNSUPPORTED_COMPRESSION_TYPE` (KIP-110). A batch of zstd behind others ends the set.
//! - What is converted has to lie in memory until the client takes it, so that an answer holds about
//!   [`ANSWER_BYTES_MAX`], and at least one message. Messages are not compressed, so the limits hold
//!   message by message.
//! - Versions up to 2 name no limit of the whole answer and always ask in the same order. The
//!   partition that fills it first is another one each time, so that none is starved.
//! - A read that holds only control batches is read on behind them, and waits there. Kafka sends the
//!   beginning of a message that is too large instead, and such a client stops.
//! - Bytes that are damaged are `CORRUPT_MESSAGE`: converted, they would have a right CRC again.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use ottla_broker::api::{
    FetchOutcome, FetchPartition, FetchRefusal, FetchRequest as Read, Interest, Read as Found,
    StorageFault, TopicImage,
};
use ottla_codec::{DecompressError, DowngradeError, MessageFormat, downgrade};
use ottla_model::batch::Codec;
use ottla_model::ids::Offset;
use tokio::time::Instant;

use crate::api::Call;
use crate::error_map::{self, ErrorCode};

/// Most bytes of messages in an answer, but for single larger ones: what a client of that age asks of
/// one partition by default.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// What a batch may decompress to on threads of which there are many; larger ones take turns.
const DECOMPRESSED_BYTES_MAX: usize = 1 << 20;

/// From this version on a client knows zstd.
const ZSTD_VERSION_MIN: i16 = 10;

/// The format that clients of a version of Fetch read; `None`: record batches.
pub(super) fn format(version: i16) -> Option<MessageFormat> {
    match version {
        ..=1 => Some(MessageFormat::V0),
        2..=3 => Some(MessageFormat::V1),
        _ => None,
    }
}

/// Why no records of a topic can be had in a version of Fetch.
pub(super) fn refusal(topic: &TopicImage, version: i16) -> Option<ErrorCode> {
    (version < ZSTD_VERSION_MIN && topic.config.compression == Some(Codec::Zstd))
        .then_some(ErrorCode::UnsupportedCompressionType)
}

/// Reads and converts, and waits for messages rather than for bytes. What cannot be converted is told
/// in `refused`, by its key.
pub(super) async fn fetch(
    call: &Call<'_>,
    link: &mut Interest,
    mut read: Read,
    format: MessageFormat,
    refused: &mut HashMap<u64, ErrorCode>,
) -> FetchOutcome {
    read.bytes_max = read.bytes_max.min(ANSWER_BYTES_MAX);
    read.bytes_min = read.bytes_min.min(read.bytes_max);
    if call.version <= 2 && !read.partitions.is_empty() {
        let turn = call.correlation_id.unsigned_abs() as usize % read.partitions.len();
        read.partitions.rotate_left(turn);
    }
    let deadline = Instant::now() + Duration::from_millis(read.wait_ms_max);
    loop {
        let outcome = call
            .broker()
            .fetch(&call.permit, link, &read, call.hurried())
            .await;
        let (outcome, next) = convert(call, &read, outcome, format, refused).await;
        let has_something = outcome.iter().any(|found| match &found.answer {
            Ok(fetched) => fetched.read.length_bytes() > 0 || refused.contains_key(&found.key),
            Err(_) => true,
        });
        if has_something || !move_on(&mut read, &next) {
            return outcome;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        read.wait_ms_max = left.as_millis() as u64;
    }
}

/// Moves a read behind what has no old form; false if there was nothing like that.
fn move_on(read: &mut Read, next: &HashMap<u64, Offset>) -> bool {
    let mut moved = false;
    for partition in &mut read.partitions {
        if let Some(next) = next.get(&partition.key)
            && *next > partition.offset
        {
            partition.offset = *next;
            moved = true;
        }
    }
    moved
}

/// Converts what was found. Also where each partition goes on.
async fn convert(
    call: &Call<'_>,
    read: &Read,
    mut outcome: FetchOutcome,
    format: MessageFormat,
    refused: &mut HashMap<u64, ErrorCode>,
) -> (FetchOutcome, HashMap<u64, Offset>) {
    let asked: HashMap<u64, &FetchPartition> = read
        .partitions
        .iter()
        .map(|partition| (partition.key, partition))
        .collect();
    let mut next = HashMap::new();
    let mut left = read.bytes_max.max(1);
    for found in &mut outcome {
        let (Ok(fetched), Some(asked)) = (&mut found.answer, asked.get(&found.key)) else {
            continue;
        };
        let batches = std::mem::replace(&mut fetched.read, Found::Empty);
        if left == 0 || batches.length_bytes() == 0 {
            // Not even one message more: each may be large.
            continue;
        }
        let job = Job {
            found: batches,
            format,
            first: asked.offset,
            bytes_max: asked.bytes_max.min(left),
        };
        match job.run(call).await {
            Ok((set, behind)) => {
                left = left.saturating_sub(set.len());
                next.insert(found.key, behind);
                if !set.is_empty() {
                    fetched.read = Found::Memory(set);
                }
            }
            Err(Failure::Refused(code)) => {
                refused.insert(found.key, code);
            }
            Err(Failure::Fault(refusal)) => found.answer = Err(refusal),
        }
    }
    (outcome, next)
}

/// The records of one partition.
#[derive(Clone)]
struct Job {
    found: Found,
    format: MessageFormat,
    first: Offset,
    bytes_max: usize,
}

enum Failure {
    Refused(ErrorCode),
    Fault(FetchRefusal),
}

impl Job {
    /// The message set and the offset behind it. Large batches wait for their turn.
    async fn run(self, call: &Call<'_>) -> Result<(Bytes, Offset), Failure> {
        let decompressed_bytes_max = call.gateway.options().decompressed_bytes_max;
        let light = decompressed_bytes_max.min(DECOMPRESSED_BYTES_MAX);
        match self.clone().elsewhere(light).await? {
            Err(DowngradeError::Decompress(DecompressError::TooLarge { .. }))
                if light < decompressed_bytes_max =>
            {
                // Never closed: it would only bound the memory no longer.
                let _turn = call.gateway.heavy().acquire().await;
                self.elsewhere(decompressed_bytes_max).await?
            }
            done => done,
        }
        .map_err(|error| Failure::Refused(error_map::downgrade(&error)))
    }

    /// Converts on a thread that may read from a disk.
    async fn elsewhere(
        self,
        decompressed_bytes_max: usize,
    ) -> Result<Result<(Bytes, Offset), DowngradeError>, Failure> {
        let work = move || {
            let batches = self
                .found
                .bytes()
                .map_err(|fault| Failure::Fault(FetchRefusal::Fault(StorageFault::new(&fault))))?;
            let done = downgrade(
                &batches,
                self.format,
                self.first,
                self.bytes_max,
                decompressed_bytes_max,
            );
            Ok(done.map(|done| (Bytes::from(done.set), done.next)))
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(done) => done,
            // The runtime ends, or a decoder panicked.
            Err(error) => Err(Failure::Fault(FetchRefusal::Fault(StorageFault::closed(
                &error.to_string(),
            )))),
        }
    }
}
