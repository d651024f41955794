//! Time as an argument: nothing below the runtime reads a clock.

use core::ops::Add;

/// Wall-clock time in milliseconds since 1970-01-01 UTC. May jump; used only for what records carry
/// and what people read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct WallMs(pub i64);

/// Monotonic time in milliseconds since an arbitrary start. Used for every timeout.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct MonoMs(pub u64);

impl Add<u64> for MonoMs {
    type Output = MonoMs;
    fn add(self, wait_ms: u64) -> MonoMs {
        MonoMs(self.0.saturating_add(wait_ms))
    }
}

/// Both clocks, read once at the door and handed down.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Now {
    /// For record timestamps.
    pub wall: WallMs,
    /// For timeouts.
    pub mono: MonoMs,
}
