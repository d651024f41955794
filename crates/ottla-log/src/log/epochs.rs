//! Which leader epoch began at which offset (Kafka: `LeaderEpochFileCache`, KIP-101).

use ottla_model::ids::{LeaderEpoch, Offset};

/// Epochs and their first offsets, both rising; only the newest may share its offset with the end.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Epochs(Vec<(LeaderEpoch, Offset)>);

impl Epochs {
    /// Rows of a checkpoint.
    pub(crate) fn new(rows: Vec<(LeaderEpoch, Offset)>) -> Epochs {
        Epochs(rows)
    }

    /// Rows for a checkpoint.
    pub(crate) fn rows(&self) -> &[(LeaderEpoch, Offset)] {
        &self.0
    }

    /// Lets `epoch` begin at `start`, unless it or a later one has begun. An epoch that began there
    /// and holds no record goes. True if anything changed.
    pub(crate) fn begin(&mut self, epoch: LeaderEpoch, start: Offset) -> bool {
        if self.latest().is_some_and(|latest| latest >= epoch) || epoch < LeaderEpoch(0) {
            return false;
        }
        self.0.retain(|(_, begun)| *begun < start);
        self.0.push((epoch, start));
        true
    }

    /// Forgets epochs that began after `end`, the end of the last record. True if there were any.
    pub(crate) fn truncate(&mut self, end: Offset) -> bool {
        let before = self.0.len();
        self.0.retain(|(_, start)| *start <= end);
        self.0.len() != before
    }

    /// The newest epoch.
    pub(crate) fn latest(&self) -> Option<LeaderEpoch> {
        self.0.last().map(|(epoch, _)| *epoch)
    }

    /// The largest epoch at or below `epoch`, and where the next one begins; `end` for the newest. Below the oldest it
    /// is `epoch` itself, which ended where the oldest begins. `None` above the newest, and for none at all. (Kafka:
    /// `LeaderEpochFileCache.endOffsetFor`.)
    pub(crate) fn end_of(&self, epoch: LeaderEpoch, end: Offset) -> Option<(LeaderEpoch, Offset)> {
        if epoch == LeaderEpoch::NONE {
            return None;
        }
        let count = self.0.partition_point(|(begun, _)| *begun <= epoch);
        let floor = count.checked_sub(1).and_then(|at| self.0.get(at));
        let floor = floor.map_or(epoch, |(floor, _)| *floor);
        match self.0.get(count) {
            Some((_, next)) => Some((floor, *next)),
            None if count > 0 && floor == epoch => Some((floor, end)),
            None => None,
        }
    }

    /// The epoch of the record at `offset`.
    pub(crate) fn at(&self, offset: Offset) -> Option<LeaderEpoch> {
        let count = self.0.partition_point(|(_, start)| *start <= offset);
        self.0.get(count.checked_sub(1)?).map(|(epoch, _)| *epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs(rows: &[(i32, i64)]) -> Epochs {
        Epochs::new(
            rows.iter()
                .map(|(e, o)| (LeaderEpoch(*e), Offset(*o)))
                .collect(),
        )
    }

    #[test]
    fn begins_ends_and_truncates() {
        let mut e = epochs(&[]);
        assert_eq!(e.end_of(LeaderEpoch(0), Offset(5)), None);
        assert!(e.begin(LeaderEpoch(0), Offset(0)));
        assert!(!e.begin(LeaderEpoch(0), Offset(7)));
        assert!(!e.begin(LeaderEpoch::NONE, Offset(7)));
        assert!(e.begin(LeaderEpoch(2), Offset(10)));
        // Nothing was written in epoch 2.
        assert!(e.begin(LeaderEpoch(3), Offset(10)));
        assert_eq!(e, epochs(&[(0, 0), (3, 10)]));
        for (asked, answer) in [
            (-2, Some((-2, 0))),
            (-1, None),
            (0, Some((0, 10))),
            (2, Some((0, 10))),
            (3, Some((3, 15))),
            (4, None),
        ] {
            let answer = answer.map(|(e, o)| (LeaderEpoch(e), Offset(o)));
            assert_eq!(e.end_of(LeaderEpoch(asked), Offset(15)), answer, "{asked}");
        }
        for (offset, epoch) in [(0, 0), (9, 0), (10, 3), (15, 3)] {
            assert_eq!(e.at(Offset(offset)), Some(LeaderEpoch(epoch)));
        }
        let later = epochs(&[(4, 20), (6, 30)]);
        assert_eq!(
            later.end_of(LeaderEpoch(3), Offset(40)),
            Some((LeaderEpoch(3), Offset(20)))
        );
        assert!(!e.truncate(Offset(10)));
        assert!(e.truncate(Offset(9)));
        assert_eq!(e, epochs(&[(0, 0)]));
    }
}
