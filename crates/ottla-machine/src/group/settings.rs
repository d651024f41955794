//! What a coordinator is told by the broker's configs. Comes with every command, so that a machine
//! that was rebuilt knows it from the first one on.

/// Settings of group coordination; the defaults are Kafka's (`GroupCoordinatorConfig`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// `group.initial.rebalance.delay.ms`: how long the first rebalance of an empty group waits for
    /// more members.
    pub initial_rebalance_delay_ms: u64,
    /// `group.min.session.timeout.ms`.
    pub session_timeout_ms_min: i32,
    /// `group.max.session.timeout.ms`.
    pub session_timeout_ms_max: i32,
    /// `group.max.size`: most members of a classic group.
    pub members_max: usize,
    /// `offset.metadata.max.bytes`: longest text committed with an offset, in UTF-16 units as in
    /// Kafka.
    pub offset_metadata_max: usize,
    /// `offsets.retention.minutes`, in ms.
    pub offsets_retention_ms: i64,
    /// `offsets.retention.check.interval.ms`.
    pub offsets_retention_check_interval_ms: u64,
    /// How long a dynamic member whose connection closed without LeaveGroup may stay silent; `None`:
    /// as long as its session lasts.
    pub disconnect_grace_ms: Option<u64>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            initial_rebalance_delay_ms: 3000,
            session_timeout_ms_min: 6000,
            session_timeout_ms_max: 1_800_000,
            members_max: i32::MAX as usize,
            offset_metadata_max: 4096,
            offsets_retention_ms: 7 * 24 * 60 * 60 * 1000,
            offsets_retention_check_interval_ms: 600_000,
            disconnect_grace_ms: None,
        }
    }
}
