//! The only place of this crate that reads a clock.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use ottla_model::time::{MonoMs, Now, WallMs};

/// Both clocks of the machine; the monotonic one counts from the broker's start.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
}

impl Clock {
    /// A clock that starts now.
    #[must_use]
    pub fn start() -> Clock {
        Clock {
            started: Instant::now(),
        }
    }

    /// Both times, read once.
    #[must_use]
    pub fn now(&self) -> Now {
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| d.as_millis() as i64);
        Now {
            wall: WallMs(wall),
            mono: self.mono(),
        }
    }

    /// The monotonic time alone.
    #[must_use]
    pub fn mono(&self) -> MonoMs {
        MonoMs(self.started.elapsed().as_millis() as u64)
    }

    /// The moment on the runtime's clock at which the monotonic clock shows `at`.
    #[must_use]
    pub fn instant(&self, at: MonoMs) -> Instant {
        self.started + std::time::Duration::from_millis(at.0)
    }
}
