//! ListOffsets 0, as Kafka answered it up to 3.9: several offsets per partition, the end of the log
//! and the starts of its segments, the largest first, `max_num_offsets` of them.
//!
//! | timestamp | first of the list |
//! |--|--|
//! | -1 latest | the end, once all that is written is durable |
//! | -2 earliest | the log start offset, alone |
//! | 0 and above | the start of the newest segment that has nothing later; the end, if the time is not before now |
//!
//! Kafka goes by the modification times of the segments' files, Ottla by the latest record of each:
//! copied directories keep their answers. A `max_num_offsets` below 0 is `INVALID_REQUEST`, where Kafka
//! answers `UNKNOWN_SERVER_ERROR`. A partition that occurs twice is answered twice, as in Kafka.

use ottla_broker::api::{Image, OffsetQuery, PartitionRef};
use ottla_model::ids::Offset;
use ottla_wire::list_offsets::{ListOffsetsPartition, ListOffsetsPartitionResponse};

use super::partition_of;
use crate::api::Call;
use crate::error_map::{self, ErrorCode};

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;

pub(super) async fn answer(
    call: &Call<'_>,
    image: &Image,
    topic: &str,
    asked: &ListOffsetsPartition,
) -> ListOffsetsPartitionResponse<'static> {
    let found = find(call, image, topic, asked).await;
    let (code, offsets) = match found {
        Ok(offsets) => (ErrorCode::None, offsets),
        Err(code) => (code, Vec::new()),
    };
    ListOffsetsPartitionResponse {
        partition_index: asked.partition_index,
        error_code: code.code(),
        old_style_offsets: offsets.into_iter().map(|offset| offset.0).collect(),
        ..ListOffsetsPartitionResponse::default()
    }
}

async fn find(
    call: &Call<'_>,
    image: &Image,
    topic: &str,
    asked: &ListOffsetsPartition,
) -> Result<Vec<Offset>, ErrorCode> {
    if asked.timestamp < EARLIEST {
        return Err(ErrorCode::UnsupportedVersion);
    }
    let partition = partition_of(call, image, topic, asked.partition_index)?;
    let count_max =
        usize::try_from(asked.max_num_offsets).map_err(|_| ErrorCode::InvalidRequest)?;
    if asked.timestamp == EARLIEST {
        let start = partition.marks().log_start;
        return Ok(Some(start).into_iter().take(count_max).collect());
    }
    let from_end =
        asked.timestamp == LATEST || asked.timestamp >= call.broker().clock().now().wall.0;
    let end = match from_end {
        true => end_of(call, &partition).await?,
        false => None,
    };
    let latest_ms = (!from_end).then_some(asked.timestamp);
    let starts = call
        .broker()
        .segment_starts(&call.permit, &partition, latest_ms, count_max)
        .await
        .map_err(|fault| error_map::storage(&fault))?;
    // An empty segment starts at the end.
    let starts = starts.into_iter().filter(|start| Some(*start) != end);
    Ok(end.into_iter().chain(starts).take(count_max).collect())
}

async fn end_of(call: &Call<'_>, partition: &PartitionRef) -> Result<Option<Offset>, ErrorCode> {
    let found = call
        .broker()
        .find_offset(&call.permit, partition, OffsetQuery::Latest)
        .await
        .map_err(|fault| error_map::storage(&fault))?;
    Ok(found.map(|found| found.offset))
}
