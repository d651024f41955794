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
    /// `group.consumer.session.timeout.ms`: how long a member of a consumer group may be silent.
    pub consumer_session_timeout_ms: u64,
    /// `group.consumer.heartbeat.interval.ms`: how often it is to be heard of.
    pub consumer_heartbeat_interval_ms: i32,
    /// `group.consumer.assignment.interval.ms`: how long targets hold at least.
    pub consumer_assignment_interval_ms: i64,
    /// `group.consumer.max.size`: most members of a consumer group.
    pub consumer_members_max: usize,
    /// `group.consumer.migration.policy`: what members of one protocol may do to groups of the other.
    pub migration: Migration,
    /// `group.consumer.regex.refresh.interval.ms`: how often the topics are looked for that regular
    /// expressions match, if nothing is known to have changed.
    pub regex_refresh_interval_ms: i64,
    /// How often they are looked for at most because topics have changed; in Kafka a constant.
    pub regex_refresh_ms_min: i64,
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
            consumer_session_timeout_ms: 45_000,
            consumer_heartbeat_interval_ms: 5000,
            consumer_assignment_interval_ms: 1000,
            consumer_members_max: i32::MAX as usize,
            migration: Migration::Bidirectional,
            regex_refresh_interval_ms: 600_000,
            regex_refresh_ms_min: 10_000,
            offset_metadata_max: 4096,
            offsets_retention_ms: 7 * 24 * 60 * 60 * 1000,
            offsets_retention_check_interval_ms: 600_000,
            disconnect_grace_ms: None,
        }
    }
}

/// Whether groups go from one protocol to the other while they have members (Kafka
/// `ConsumerGroupMigrationPolicy`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Migration {
    /// They do not.
    Disabled,
    /// From classic to consumer only.
    Upgrade,
    /// From consumer to classic only.
    Downgrade,
    /// Either way.
    Bidirectional,
}

impl Migration {
    /// The policy of this name, in any case of letters.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Migration> {
        let names = [
            ("disabled", Migration::Disabled),
            ("upgrade", Migration::Upgrade),
            ("downgrade", Migration::Downgrade),
            ("bidirectional", Migration::Bidirectional),
        ];
        let mut names = names.into_iter();
        let found = names.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, policy)| policy)
    }

    /// Whether a classic group may become a consumer group.
    #[must_use]
    pub fn may_upgrade(self) -> bool {
        matches!(self, Migration::Upgrade | Migration::Bidirectional)
    }

    /// Whether a consumer group may become a classic one.
    #[must_use]
    pub fn may_downgrade(self) -> bool {
        matches!(self, Migration::Downgrade | Migration::Bidirectional)
    }
}
