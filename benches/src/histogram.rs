//! Latencies, counted into slots that are less than one percent wide.

use std::time::Duration;

/// Slots per doubling.
const FINE: u64 = 128;

/// How often each latency came.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Histogram {
    /// Counts one.
    pub fn add(&mut self, latency: Duration) {
        let slot = slot(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
        if slot >= self.counts.len() {
            self.counts.resize(slot + 1, 0);
        }
        self.counts[slot] += 1;
        self.total += 1;
    }

    /// How many were counted.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The latency that this share of all (0.99: p99) does not exceed; nothing of nothing.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let wanted = ((self.total as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (slot, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return Some(Duration::from_nanos(highest(slot)));
            }
        }
        None
    }
}

fn slot(ns: u64) -> usize {
    let shift = u64::from((64 - ns.leading_zeros()).saturating_sub(8));
    (shift * FINE + (ns >> shift)) as usize
}

/// The largest latency of a slot.
fn highest(slot: usize) -> u64 {
    let slot = slot as u64;
    if slot < 2 * FINE {
        return slot;
    }
    let shift = slot / FINE - 1;
    ((slot % FINE + FINE + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_latency_is_in_the_slot_that_names_it() {
        let mut before = 0;
        for ns in (0..2_000).chain((11..40).map(|power| (1_u64 << power) + 12_345)) {
            let slot = slot(ns);
            assert!(slot >= before, "slots rise");
            before = slot;
            let high = highest(slot);
            assert!(high >= ns && high - ns <= ns / 100, "{ns} in {high}");
        }
    }

    #[test]
    fn quantiles() {
        let mut all = Histogram::default();
        assert_eq!(all.quantile(0.5), None);
        for us in 1..=1_000 {
            all.add(Duration::from_micros(us));
        }
        let us = |share| all.quantile(share).unwrap().as_secs_f64() * 1e6;
        assert!((us(0.5) - 500.0).abs() < 5.0);
        assert!((us(0.99) - 990.0).abs() < 10.0);
        assert!((us(1.0) - 1_000.0).abs() < 10.0);
        assert_eq!(all.total(), 1_000);
    }
}
