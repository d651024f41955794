//! Which machine lives where: the only file besides `flows/` and `api/` that knows features by name.
//!
//! Turns what machines release into acts of the runtime: an effect into opening or removing
//! partitions, the catalog's records into the next image, a durable mark into awake fetches.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use arc_swap::ArcSwap;
use ottla_log::{Cleanup, CompactRule, Log, LogFault};
use ottla_machine::catalog::{Catalog, CatalogRecord, Command, Effect, RegisterNode};
use ottla_machine::group::{self, Coordinator, GroupRecord, Migration};
use ottla_machine::partition::{self, Effect as NoEffect, FetchPlan, Isolation, Partition, Query};
use ottla_model::configs::{BrokerSettings, TopicConfig};
use ottla_model::ids::{NodeId, Offset};
use ottla_model::marks::Marks;
use ottla_model::names::{TopicName, TopicPartition};
use ottla_model::uuid::Uuid;
use tokio::sync::oneshot;

use crate::acts::{Act, Acts};
use crate::appends::note_wake;
use crate::backlog::Charge;
use crate::drive::{Driven, Driver};
use crate::flows::{GroupTopics, GroupWork};
use crate::shard::{Outcome, Outlet, PlanError, Shard, ShardOptions, StorageFault, open_listening};
use crate::waiters::Waiters;

pub(crate) use ottla_machine::catalog::{CLUSTER_METADATA_TOPIC, Cluster};
pub use ottla_machine::catalog::{Image, PartitionImage, TopicImage};
pub use ottla_machine::group::consumer::topics::Topics;
pub(crate) use ottla_machine::group::{CONSUMER_OFFSETS_TOPIC, Settings as GroupSettings};

/// A shard that holds a topic partition.
pub(crate) type PartitionShard = Shard<Partition, PartitionOutlet>;

/// A shard that holds a partition of `__consumer_offsets`.
pub(crate) type GroupShard = Shard<Coordinator, GroupOutlet>;

/// The shard that holds the catalog.
pub(crate) type CatalogShard = Shard<Catalog, CatalogOutlet>;

/// Who waits for a partition's answer.
pub(crate) struct Asker {
    sender: oneshot::Sender<Outcome<Partition>>,
    /// What the batch costs is charged until it is answered, whether anybody still listens or not.
    charge: Option<Arc<Charge>>,
}

impl Asker {
    pub(crate) fn of(sender: oneshot::Sender<Outcome<Partition>>) -> Asker {
        Asker {
            sender,
            charge: None,
        }
    }

    pub(crate) fn charged(self, charge: &Arc<Charge>) -> Asker {
        Asker {
            charge: Some(Arc::clone(charge)),
            ..self
        }
    }
}

/// Where a partition's answers go, and the fetches that wait for it.
#[derive(Debug, Default)]
pub(crate) struct PartitionOutlet {
    pub(crate) waiters: Waiters,
}

impl Outlet<Partition> for PartitionOutlet {
    type Handle = Asker;

    fn answer(&self, to: Self::Handle, outcome: Outcome<Partition>) {
        if !to.charge.as_ref().is_some_and(|charge| charge.is_own()) {
            note_wake();
        }
        // Whoever asked may have gone.
        let _ = to.sender.send(outcome);
    }

    fn effect(&self, effect: NoEffect) {
        match effect {}
    }

    fn records(&self, _: Vec<(Offset, ottla_machine::contract::NoRecord)>) {}

    fn advanced(&self, _: Marks) {
        if self.waiters.wake_all() {
            note_wake();
        }
    }
}

/// Where a coordinator's answers and its heavy work go, and the fetches that wait for its log.
pub(crate) struct GroupOutlet {
    waiters: Waiters,
    work: GroupWork,
    /// The coordinator's own shard, to which outcomes go.
    home: OnceLock<Weak<Driven<GroupShard>>>,
}

impl Outlet<Coordinator> for GroupOutlet {
    type Handle = oneshot::Sender<Outcome<Coordinator>>;

    fn answer(&self, to: Self::Handle, outcome: Outcome<Coordinator>) {
        note_wake();
        // Whoever asked may have gone.
        let _ = to.send(outcome);
    }

    fn effect(&self, effect: group::Effect) {
        if let Some(home) = self.home.get() {
            self.work.order(effect, home.clone());
        }
    }

    fn records(&self, _: Vec<(Offset, GroupRecord)>) {}

    fn advanced(&self, _: Marks) {
        if self.waiters.wake_all() {
            note_wake();
        }
    }
}

/// What lives in an open partition.
pub(crate) enum Tenant {
    /// Clients' records.
    Data(Arc<Driven<PartitionShard>>),
    /// Groups: a partition of `__consumer_offsets`.
    Groups(Arc<Driven<GroupShard>>),
}

/// The same of every shard, whatever its machine is.
macro_rules! each {
    ($tenant:expr, $driven:ident => $do:expr) => {
        match $tenant {
            Tenant::Data($driven) => $do,
            Tenant::Groups($driven) => $do,
        }
    };
}

impl Tenant {
    /// Opens the shard that belongs into a partition of this topic.
    pub(crate) fn open(
        topic: &TopicName,
        log: Arc<dyn Log>,
        options: ShardOptions,
        settings: &BrokerSettings,
        groups: &GroupWork,
    ) -> Result<Tenant, LogFault> {
        if topic.as_str() == CONSUMER_OFFSETS_TOPIC {
            let outlet = GroupOutlet {
                waiters: Waiters::default(),
                work: groups.clone(),
                home: OnceLock::new(),
            };
            let shard = open_listening(log, outlet, options)?;
            // Nobody waits for the answer: it brings the settings, and time begins to pass.
            let (handle, _) = oneshot::channel();
            shard.submit(
                handle,
                group::Command {
                    settings: Arc::clone(groups.settings()),
                    request: group::Request::Begin,
                },
            );
            let driven = Arc::new(Driven::new(shard));
            // It is empty: the outlet is new. Nothing was decided before.
            let _ = driven.shard().outlet().home.set(Arc::downgrade(&driven));
            return Ok(Tenant::Groups(driven));
        }
        let shard = open_listening(log, PartitionOutlet::default(), options)?;
        tune(&shard, settings);
        Ok(Tenant::Data(Arc::new(Driven::new(shard))))
    }

    pub(crate) fn log(&self) -> &Arc<dyn Log> {
        each!(self, driven => driven.shard().log())
    }

    pub(crate) fn marks(&self) -> Marks {
        each!(self, driven => driven.shard().marks())
    }

    pub(crate) fn waiters(&self) -> &Waiters {
        match self {
            Tenant::Data(driven) => &driven.shard().outlet().waiters,
            Tenant::Groups(driven) => &driven.shard().outlet().waiters,
        }
    }

    pub(crate) fn run(&self, driver: &Driver) {
        each!(self, driven => driver.run(driven));
    }

    pub(crate) fn close(&self, fault: StorageFault) {
        each!(self, driven => driven.shard().close(fault));
    }

    pub(crate) fn write_snapshot(&self) -> Result<(), LogFault> {
        each!(self, driven => driven.shard().write_snapshot())
    }

    /// What a fetch may read.
    pub(crate) fn plan_fetch(
        &self,
        offset: Offset,
        isolation: Isolation,
    ) -> Result<FetchPlan, PlanError<partition::Refusal>> {
        match self {
            Tenant::Data(driven) => driven.shard().plan(&Query::Fetch { offset, isolation }),
            Tenant::Groups(driven) => {
                let marks = driven.shard().readable_marks().map_err(PlanError::Fault)?;
                FetchPlan::new(offset, isolation, marks).map_err(PlanError::Refused)
            }
        }
    }
}

/// What the broker's settings say of groups.
pub(crate) fn group_settings(settings: &BrokerSettings) -> GroupSettings {
    let default = GroupSettings::default();
    let number = |name| settings.number(name);
    let int = |name, default| {
        number(name)
            .and_then(|n| i32::try_from(n).ok())
            .unwrap_or(default)
    };
    let ms = |name, default| {
        number(name)
            .and_then(|n| u64::try_from(n).ok())
            .unwrap_or(default)
    };
    let size = |name, default| {
        number(name)
            .and_then(|n| usize::try_from(n).ok())
            .unwrap_or(default)
    };
    GroupSettings {
        initial_rebalance_delay_ms: ms(
            "group.initial.rebalance.delay.ms",
            default.initial_rebalance_delay_ms,
        ),
        session_timeout_ms_min: int(
            "group.min.session.timeout.ms",
            default.session_timeout_ms_min,
        ),
        session_timeout_ms_max: int(
            "group.max.session.timeout.ms",
            default.session_timeout_ms_max,
        ),
        members_max: size("group.max.size", default.members_max),
        consumer_session_timeout_ms: ms(
            "group.consumer.session.timeout.ms",
            default.consumer_session_timeout_ms,
        ),
        consumer_heartbeat_interval_ms: int(
            "group.consumer.heartbeat.interval.ms",
            default.consumer_heartbeat_interval_ms,
        ),
        consumer_assignment_interval_ms: number("group.consumer.assignment.interval.ms")
            .unwrap_or(default.consumer_assignment_interval_ms),
        consumer_members_max: size("group.consumer.max.size", default.consumer_members_max),
        migration: settings
            .get("group.consumer.migration.policy")
            .and_then(Migration::from_name)
            .unwrap_or(default.migration),
        regex_refresh_interval_ms: number("group.consumer.regex.refresh.interval.ms")
            .unwrap_or(default.regex_refresh_interval_ms),
        regex_refresh_ms_min: number(REGEX_BATCH_INTERVAL_MS)
            .unwrap_or(default.regex_refresh_ms_min),
        offset_metadata_max: size("offset.metadata.max.bytes", default.offset_metadata_max),
        offsets_retention_ms: number("offsets.retention.minutes")
            .map_or(default.offsets_retention_ms, |minutes| {
                minutes.saturating_mul(60_000)
            }),
        offsets_retention_check_interval_ms: ms(
            "offsets.retention.check.interval.ms",
            default.offsets_retention_check_interval_ms,
        ),
        // Below zero it is off.
        disconnect_grace_ms: number(DISCONNECT_GRACE_MS).and_then(|ms| u64::try_from(ms).ok()),
    }
}

/// How long a member whose connection closed may stay silent: Ottla's own config.
const DISCONNECT_GRACE_MS: &str = "ottla.group.disconnect.grace.ms";

/// How often expressions are resolved anew at most because topics changed: Ottla's own config.
const REGEX_BATCH_INTERVAL_MS: &str = "ottla.group.regex.batch.interval.ms";

/// What the catalog published last.
#[derive(Default)]
pub(crate) struct Published {
    image: ArcSwap<Image>,
    /// Of the same image.
    topics: ArcSwap<GroupTopics>,
}

impl Published {
    pub(crate) fn image(&self) -> Arc<Image> {
        self.image.load_full()
    }

    /// What coordinators may know of it.
    pub(crate) fn topics(&self) -> Arc<dyn Topics> {
        self.topics.load_full()
    }

    fn publish(&self, image: &Image, topics_version: u64) {
        let image = Arc::new(image.clone());
        let topics = GroupTopics::new(Arc::clone(&image), topics_version);
        self.image.store(image);
        self.topics.store(Arc::new(topics));
    }
}

/// Where the catalog's answers go, the image that it publishes, and the acts that it asks for.
pub(crate) struct CatalogOutlet {
    published: Arc<Published>,
    next: Mutex<NextImage>,
    acts: Acts,
}

/// What will be published.
struct NextImage {
    image: Image,
    /// End of the newest record that made, changed or removed a topic or a partition; after a start, of the log.
    /// So it grows over restarts, too: groups log the version that they resolved regular expressions with.
    topics_version: u64,
}

impl CatalogOutlet {
    pub(crate) fn new(published: Arc<Published>, acts: Acts) -> CatalogOutlet {
        let next = Mutex::new(NextImage {
            image: Image::clone(&published.image.load()),
            topics_version: 0,
        });
        CatalogOutlet {
            published,
            next,
            acts,
        }
    }

    /// Starts over from the state as rebuilt at start, with a log that ends there.
    pub(crate) fn publish(&self, image: Image, end: Offset) {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        next.image = image;
        next.topics_version = version_at(end);
        self.published.publish(&next.image, next.topics_version);
    }
}

impl Outlet<Catalog> for CatalogOutlet {
    type Handle = oneshot::Sender<Outcome<Catalog>>;

    const WANTS_RECORDS: bool = true;

    fn answer(&self, to: Self::Handle, outcome: Outcome<Catalog>) {
        note_wake();
        let _ = to.send(outcome);
    }

    fn effect(&self, effect: Effect) {
        self.acts.order(act(effect));
    }

    fn records(&self, records: Vec<(Offset, CatalogRecord)>) {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        for (at, record) in &records {
            next.image.apply(record);
            if changes_topics(record) {
                next.topics_version = version_at(*at) + 1;
            }
        }
        self.published.publish(&next.image, next.topics_version);
    }

    fn advanced(&self, _: Marks) {}
}

fn changes_topics(record: &CatalogRecord) -> bool {
    matches!(
        record,
        CatalogRecord::Topic { .. }
            | CatalogRecord::Partition { .. }
            | CatalogRecord::RemoveTopic { .. }
    )
}

fn version_at(offset: Offset) -> u64 {
    u64::try_from(offset.0).unwrap_or(0)
}

/// An effect of the catalog as an act of the runtime.
pub(crate) fn act(effect: Effect) -> Act {
    match effect {
        Effect::OpenPartitions {
            topic_id,
            name,
            partitions,
        } => {
            let named = |partition| TopicPartition {
                topic: name.clone(),
                topic_id,
                partition,
            };
            let partitions = partitions.iter();
            Act::Open(
                partitions
                    .map(|p| (named(p.partition), p.leader_epoch))
                    .collect(),
            )
        }
        Effect::RemovePartitions {
            topic_id,
            name,
            partitions,
        } => Act::Remove {
            topic: name,
            topic_id,
            partitions,
        },
    }
}

/// What the catalog is told when an effect is done, so that it keeps it no longer.
pub(crate) fn done_with(effect: &Effect) -> Option<Command> {
    match effect {
        Effect::OpenPartitions { .. } => None,
        Effect::RemovePartitions { topic_id, .. } => Some(Command::ForgetRemoved {
            topic_id: *topic_id,
        }),
    }
}

/// What the catalog is told at each start, in order.
pub(crate) fn start_commands(node: NodeId, directory: Uuid, unclean: bool) -> Vec<Command> {
    let mut commands = vec![Command::Bootstrap(RegisterNode {
        node,
        endpoints: Vec::new(),
        rack: None,
        log_dirs: vec![directory],
        features: Vec::new(),
        finalized: Vec::new(),
    })];
    if unclean {
        commands.push(Command::RaiseLeaderEpochs);
    }
    commands
}

/// How the log of a topic is compacted: those of the broker's own topics whose policy says so. Topics
/// of users are not yet.
pub(crate) fn cleanup(
    topic: &TopicName,
    config: &TopicConfig,
    settings: &BrokerSettings,
) -> Cleanup {
    if topic.as_str() != CONSUMER_OFFSETS_TOPIC || !config.cleanup.compact {
        return Cleanup::None;
    }
    Cleanup::Compact(CompactRule {
        segment_bytes: u64::from(config.segment_bytes),
        dirty_ratio_min: config.cleanable_dirty_ratio_min,
        lag_ms_min: config.compaction_lag_ms_min,
        lag_ms_max: config.compaction_lag_ms_max,
        delete_retention_ms: config.delete_retention_ms,
        producer_expiration_ms: producer_expiration_ms(settings)
            .unwrap_or(partition::PRODUCER_EXPIRATION_MS_DEFAULT),
    })
}

fn producer_expiration_ms(settings: &BrokerSettings) -> Option<u64> {
    settings
        .number("producer.id.expiration.ms")
        .and_then(|ms| u64::try_from(ms).ok())
}

/// Leaves with a partition that was just opened what its machine has to know of the broker's settings.
fn tune(shard: &PartitionShard, settings: &BrokerSettings) {
    if let Some(expiration_ms) = producer_expiration_ms(settings)
        .filter(|ms| *ms != partition::PRODUCER_EXPIRATION_MS_DEFAULT)
    {
        // Nobody waits for the answer: the setting is volatile and cannot be refused.
        let (sender, _) = oneshot::channel();
        shard.submit(
            Asker::of(sender),
            partition::Command::SetProducerExpiration { expiration_ms },
        );
    }
}
