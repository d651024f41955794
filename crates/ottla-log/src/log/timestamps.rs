//! Finding records by time (ListOffsets; KIP-79, KIP-734), and segments (its version 0).

use std::path::Path;
use std::sync::Arc;

use ottla_codec::{Buffer, payload};
use ottla_model::batch::{BatchHead, TimestampType, records};
use ottla_model::ids::Offset;

use super::LocalLog;
use crate::segment::Segment;
use crate::store::{LogFault, TimestampHit};
use crate::walk::{Step, Walk};

/// Largest output of a batch that is decompressed to look at its timestamps.
const PAYLOAD_BYTES_MAX: usize = 256 * 1024 * 1024;

/// The latest batch so far: its largest timestamp and its last offset.
#[derive(Clone, Copy)]
struct Latest {
    timestamp_ms: i64,
    last_offset: Offset,
}

impl LocalLog {
    pub(super) fn first_at_or_after(
        &self,
        timestamp_ms: i64,
        bound: Offset,
    ) -> Result<Option<TimestampHit>, LogFault> {
        let (segments, log_start, bound) = self.segments_below(bound)?;
        for segment in segments {
            if segment.latest()?.timestamp_ms < timestamp_ms {
                continue;
            }
            let start = match segment.time_entry_before(timestamp_ms)? {
                Some(entry) => entry.last_offset(segment.base()).next(),
                None => segment.base(),
            };
            let mut hit = None;
            each_batch(
                &segment,
                start.max(log_start),
                bound,
                |walk, head, position| {
                    if head.max_timestamp_ms >= timestamp_ms {
                        let bytes = walk.batch_bytes(head, position)?;
                        hit =
                            first_record(head, bytes, (log_start, bound), |at| at >= timestamp_ms)
                                .map_err(|why| unreadable(segment.path(), position, head, why))?;
                    }
                    Ok(hit.is_none())
                },
            )?;
            if hit.is_some() {
                return Ok(hit);
            }
        }
        Ok(None)
    }

    pub(super) fn first_of_the_latest(
        &self,
        bound: Offset,
    ) -> Result<Option<TimestampHit>, LogFault> {
        let (segments, log_start, bound) = self.segments_below(bound)?;
        let mut latest = Latest {
            timestamp_ms: -1,
            last_offset: Offset(-1),
        };
        let mut holder = None;
        for (nth, segment) in segments.iter().enumerate() {
            let next = segments.get(nth + 1).map(|next| next.base());
            let found = latest_below(segment, next, (log_start, bound))?;
            if found.timestamp_ms > latest.timestamp_ms {
                latest = found;
                holder = Some(segment);
            }
        }
        let Some(segment) = holder else {
            return Ok(None);
        };
        let mut hit = None;
        each_batch(
            segment,
            latest.last_offset,
            bound,
            |walk, head, position| {
                let bytes = walk.batch_bytes(head, position)?;
                hit = first_record(head, bytes, (log_start, bound), |at| {
                    at >= latest.timestamp_ms
                })
                .map_err(|why| unreadable(segment.path(), position, head, why))?;
                Ok(false)
            },
        )?;
        Ok(hit)
    }

    pub(super) fn starts_of_segments(
        &self,
        latest_ms: Option<i64>,
        count_max: usize,
    ) -> Result<Vec<Offset>, LogFault> {
        let (segments, log_start) = {
            let state = self.lock();
            state.refuse_if_removed()?;
            let first = state.segment_of(state.log_start);
            (state.segments[first..].to_vec(), state.log_start)
        };
        let mut end = segments.len();
        if let Some(latest_ms) = latest_ms {
            while end > 0 && segments[end - 1].latest()?.timestamp_ms > latest_ms {
                end -= 1;
            }
        }
        let starts = segments[..end].iter().rev().take(count_max);
        Ok(starts
            .map(|segment| segment.base().max(log_start))
            .collect())
    }

    /// The segments with offsets from the log start up to `bound`, which is cut to the written end.
    fn segments_below(
        &self,
        bound: Offset,
    ) -> Result<(Vec<Arc<Segment>>, Offset, Offset), LogFault> {
        let state = self.lock();
        state.refuse_if_removed()?;
        let bound = bound.min(state.written);
        let first = state.segment_of(state.log_start);
        let end = state
            .segments
            .partition_point(|segment| segment.base() < bound)
            .max(first);
        Ok((state.segments[first..end].to_vec(), state.log_start, bound))
    }
}

/// The latest batch of a segment between two offsets. `next` is the base of the segment behind it.
fn latest_below(
    segment: &Arc<Segment>,
    next: Option<Offset>,
    (log_start, bound): (Offset, Offset),
) -> Result<Latest, LogFault> {
    let base = segment.base();
    let of = |entry: crate::time_index::TimeEntry| Latest {
        timestamp_ms: entry.timestamp_ms,
        last_offset: entry.last_offset(base),
    };
    let mut latest = Latest {
        timestamp_ms: -1,
        last_offset: Offset(-1),
    };
    let mut start = base;
    let whole = next.is_some_and(|next| next <= bound);
    let entry = if whole {
        Some(segment.latest()?)
    } else {
        segment.time_entry_below(bound)?
    };
    if let Some(entry) =
        entry.filter(|entry| entry.timestamp_ms >= 0 && entry.last_offset(base) >= log_start)
    {
        latest = of(entry);
        if whole {
            return Ok(latest);
        }
        start = latest.last_offset.next();
    }
    each_batch(segment, start.max(log_start), bound, |_, head, _| {
        if head.max_timestamp_ms > latest.timestamp_ms {
            latest = Latest {
                timestamp_ms: head.max_timestamp_ms,
                last_offset: head.last_offset(),
            };
        }
        Ok(true)
    })?;
    Ok(latest)
}

/// Hands the batches from the one that holds `start` up to `bound` to `visit` until it returns false.
fn each_batch(
    segment: &Segment,
    start: Offset,
    bound: Offset,
    mut visit: impl FnMut(&mut Walk<'_>, &BatchHead, u64) -> Result<bool, LogFault>,
) -> Result<(), LogFault> {
    let size_bytes = segment.size_bytes()?;
    let Some(first) = segment.locate(start, size_bytes)? else {
        return Ok(());
    };
    let (file, holes) = (segment.file()?, segment.holes());
    let from = (first.position, first.head.base_offset);
    let mut walk = Walk::new(&*file, segment.base(), from, size_bytes, &holes);
    while let Step::Batch { head, position } = walk.step()? {
        if head.base_offset >= bound || !visit(&mut walk, &head, position)? {
            break;
        }
    }
    Ok(())
}

/// The first record within the bounds whose timestamp is `wanted`.
pub(crate) fn first_record(
    head: &BatchHead,
    batch: &[u8],
    (log_start, bound): (Offset, Offset),
    wanted: impl Fn(i64) -> bool,
) -> Result<Option<TimestampHit>, String> {
    let mut buffer = Buffer::new();
    let payload =
        payload(head, batch, PAYLOAD_BYTES_MAX, &mut buffer).map_err(|error| error.to_string())?;
    let append_time = head.attributes.timestamp_type() == TimestampType::LogAppendTime;
    for record in records(payload, head.record_count) {
        let record = record.map_err(|error| error.to_string())?;
        let offset = head.base_offset + i64::from(record.offset_delta);
        let timestamp_ms = if append_time {
            head.max_timestamp_ms
        } else {
            head.base_timestamp_ms
                .saturating_add(record.timestamp_delta)
        };
        if offset >= bound {
            break;
        }
        if offset >= log_start && wanted(timestamp_ms) {
            return Ok(Some(TimestampHit {
                offset,
                timestamp_ms,
                leader_epoch: head.leader_epoch,
            }));
        }
    }
    Ok(None)
}

fn unreadable(path: &Path, position: u64, head: &BatchHead, why: String) -> LogFault {
    LogFault::Damaged {
        path: path.to_path_buf(),
        position,
        offset: head.base_offset,
        why,
    }
}
