//! Numbers with a meaning. Each has its own type, so that an offset is never added to an epoch.

use core::fmt;
use core::ops::{Add, Sub};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub $inner);

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

number!(
    /// Position of a record in its partition. Offsets have gaps: they only grow.
    Offset(i64)
);
number!(
    /// How often the leader of a partition changed; rises after an unclean stop (KIP-101, KIP-320).
    LeaderEpoch(i32)
);
number!(
    /// Identity of an idempotent producer (KIP-98); `NONE` for all others.
    ProducerId(i64)
);
number!(
    /// Fences earlier incarnations of a producer id (KIP-98).
    ProducerEpoch(i16)
);
number!(
    /// Number of a record within its producer epoch and partition. Wraps from `i32::MAX` to 0.
    Sequence(i32)
);
number!(
    /// Index of a partition within its topic.
    PartitionIndex(i32)
);
number!(
    /// Identity of a broker within its cluster.
    NodeId(i32)
);

impl Offset {
    /// The first offset of every log.
    pub const ZERO: Offset = Offset(0);

    /// The offset after this one.
    #[must_use]
    pub fn next(self) -> Offset {
        Offset(self.0 + 1)
    }
}

impl Add<i64> for Offset {
    type Output = Offset;
    fn add(self, count: i64) -> Offset {
        Offset(self.0 + count)
    }
}

impl Sub for Offset {
    type Output = i64;
    fn sub(self, other: Offset) -> i64 {
        self.0 - other.0
    }
}

impl LeaderEpoch {
    /// "No epoch": what a client without knowledge sends.
    pub const NONE: LeaderEpoch = LeaderEpoch(-1);
}

impl ProducerId {
    /// The batch comes from a producer that is not idempotent.
    pub const NONE: ProducerId = ProducerId(-1);
}

impl ProducerEpoch {
    /// Goes with [`ProducerId::NONE`].
    pub const NONE: ProducerEpoch = ProducerEpoch(-1);
}

impl Sequence {
    /// Goes with [`ProducerId::NONE`].
    pub const NONE: Sequence = Sequence(-1);

    /// This sequence moved on by `count` records, wrapping from `i32::MAX` to 0
    /// (Kafka: `DefaultRecordBatch.incrementSequence`).
    #[must_use]
    pub fn plus(self, count: i32) -> Sequence {
        Sequence((self.0.wrapping_add(count)) & i32::MAX)
    }
}
