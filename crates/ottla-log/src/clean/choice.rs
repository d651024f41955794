//! Which log to compact next, from where to where, and which segments go into one file. Data in,
//! data out (Kafka: `LogCleanerManager`, `LogToClean`, `Cleaner.groupSegmentsBySize`).

use std::ops::Range;

use ottla_model::ids::Offset;

use crate::store::CompactRule;

/// What is known of a log.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct LogFacts {
    /// Its sealed segments, oldest first.
    pub(crate) sealed: Vec<SegmentFacts>,
    /// Base of the active segment.
    pub(crate) active_base: Offset,
    /// Where records begin to be readable.
    pub(crate) log_start: Offset,
    /// The written end.
    pub(crate) log_end: Offset,
    /// Up to where the log is compacted, as the checkpoint says.
    pub(crate) cleaned: Option<Offset>,
    /// Nothing from here on may be compacted: it is not stable, or a transaction may be open.
    pub(crate) stable: Offset,
}

/// What is known of a sealed segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SegmentFacts {
    pub(crate) base: Offset,
    pub(crate) size_bytes: u64,
    /// Largest timestamp of its first batch; `None` if it has none, or nobody asked.
    pub(crate) first_timestamp_ms: Option<i64>,
    /// Largest timestamp.
    pub(crate) latest_timestamp_ms: i64,
}

/// What of a log is dirty.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Dirty {
    /// First offset that was not compacted yet.
    pub(crate) from: Offset,
    /// Base of the first segment that stays as it is.
    pub(crate) to: Offset,
    /// Of the bytes below `to`, how many are in segments with dirty offsets.
    pub(crate) ratio: f64,
    /// Something has waited for `max.compaction.lag.ms`.
    pub(crate) overdue: bool,
}

/// The part of a log that can be compacted. `None` if there is nothing.
pub(crate) fn dirty(facts: &LogFacts, rule: &CompactRule, now_ms: i64) -> Option<Dirty> {
    let known = facts.cleaned.unwrap_or(facts.log_start);
    // A checkpoint of another log, or of records that are gone.
    let from = if known < facts.log_start || known > facts.log_end {
        facts.log_start
    } else {
        known
    };
    let ends = |nth: usize| {
        facts
            .sealed
            .get(nth + 1)
            .map_or(facts.active_base, |next| next.base)
    };
    let is_dirty = |nth: usize| ends(nth) > from;
    let first_dirty = (0..facts.sealed.len())
        .find(|nth| is_dirty(*nth))
        .unwrap_or(facts.sealed.len());
    let lag_ms = ms(rule.lag_ms_min);
    let end = (0..facts.sealed.len())
        .find(|nth| {
            let too_new = lag_ms > 0
                && *nth >= first_dirty
                && facts.sealed[*nth].latest_timestamp_ms > now_ms.saturating_sub(lag_ms);
            ends(*nth) > facts.stable || too_new
        })
        .unwrap_or(facts.sealed.len());
    if end <= first_dirty {
        return None;
    }
    let bytes =
        |range: Range<usize>| -> u64 { facts.sealed[range].iter().map(|s| s.size_bytes).sum() };
    let (clean_bytes, dirty_bytes) = (bytes(0..first_dirty), bytes(first_dirty..end));
    if dirty_bytes == 0 {
        return None;
    }
    let cutoff_ms = now_ms.saturating_sub(ms(rule.lag_ms_max));
    let overdue = facts.sealed[first_dirty..end]
        .iter()
        .filter_map(|segment| segment.first_timestamp_ms)
        .any(|first_ms| first_ms > 0 && first_ms < cutoff_ms);
    Some(Dirty {
        from,
        to: ends(end - 1),
        ratio: dirty_bytes as f64 / (clean_bytes + dirty_bytes) as f64,
        overdue,
    })
}

/// Whether it is worth a pass.
pub(crate) fn is_due(dirty: &Dirty, rule: &CompactRule) -> bool {
    dirty.overdue || dirty.ratio > rule.dirty_ratio_min
}

/// Which of these logs is the dirtiest that is due.
pub(crate) fn dirtiest<K>(
    logs: impl IntoIterator<Item = (K, Dirty, CompactRule)>,
) -> Option<(K, Dirty)> {
    logs.into_iter()
        .filter(|(_, dirty, rule)| is_due(dirty, rule))
        .max_by(|(_, a, _), (_, b, _)| a.ratio.total_cmp(&b.ratio))
        .map(|(key, dirty, _)| (key, dirty))
}

/// Runs of segments whose bytes together fit into one of `segment_bytes` and whose offsets into
/// 2^31. `ends` is where the last one's offsets end.
pub(crate) fn groups(
    segments: &[(Offset, u64)],
    end: Offset,
    segment_bytes: u64,
) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = Vec::new();
    let mut bytes = 0;
    for (nth, (_, size_bytes)) in segments.iter().enumerate() {
        let next = segments.get(nth + 1).map_or(end, |(base, _)| *base);
        if let Some(group) = groups.last_mut() {
            let span = next - segments[group.start].0;
            if bytes + size_bytes <= segment_bytes && span <= i64::from(i32::MAX) {
                bytes += size_bytes;
                group.end = nth + 1;
                continue;
            }
        }
        bytes = *size_bytes;
        groups.push(nth..nth + 1);
    }
    groups
}

fn ms(time: u64) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}
