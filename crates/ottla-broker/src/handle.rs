//! The broker: one cheap handle, and how it starts and stops.
//!
//! Start: rebuild the catalog, make it this node's, raise the leader epochs if the last stop was
//! unclean, open every partition, and only then say ready. Stop: no new work, snapshots, a last sync.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use ottla_log::LogFault;
use ottla_log::store::{LogConfig, LogSpec, LogStore};
use ottla_model::configs::BrokerSettings;
use ottla_model::ids::{LeaderEpoch, NodeId, PartitionIndex};
use ottla_model::names::{TopicName, TopicPartition};
use ottla_model::uuid::Uuid;

use crate::acts::{self, Act, Acts};
use crate::api::{CatalogError, OpenPartition};
use crate::appends::Appends;
use crate::authorize::Gate;
use crate::backlog::Backlog;
use crate::clock::Clock;
use crate::drive::{Driven, Driver};
use crate::flows::{GroupWork, OffsetsTopic, ProducerIds};
use crate::ids::RandomIds;
use crate::keeper::{self, Keeper};
use crate::metrics::Metrics;
use crate::registry::Registry;
use crate::shard::{ShardOptions, open_listening};
use crate::wiring::{self, CatalogOutlet, CatalogShard, GroupSettings, Image, Published, Topics};

/// Who the broker is and how it was left.
#[derive(Clone, Debug)]
pub struct BrokerOptions {
    /// The cluster's id, from `meta.properties`.
    pub cluster_id: Arc<str>,
    /// This node, from `meta.properties`.
    pub node_id: NodeId,
    /// The log directory's id, from `meta.properties`.
    pub directory_id: Uuid,
    /// The last stop was not a clean one: leader epochs rise.
    pub unclean: bool,
    /// What was set by file, flag or environment.
    pub settings: BrokerSettings,
}

/// Why the broker did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The catalog cannot be read: without it nobody knows which topics there are, so nothing starts.
    #[error("the catalog __cluster_metadata-0 cannot be opened: {0}")]
    Catalog(#[from] LogFault),
    /// The catalog took no write.
    #[error("the catalog __cluster_metadata-0 takes no write: {0}")]
    CatalogWrite(String),
    /// The system gives no thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
    /// Two metrics have one name.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// Bytes that producers may have waiting for the disk, unless `queued.max.request.bytes` says otherwise.
const BACKLOG_BYTES_MAX: usize = 256 << 20;

/// A running broker. Clones are handles to the same one.
#[derive(Clone)]
pub struct Broker(Arc<Inner>);

struct Inner {
    options: BrokerOptions,
    driver: Driver,
    store: Arc<dyn LogStore>,
    catalog: Arc<Driven<CatalogShard>>,
    registry: Arc<Registry<OpenPartition>>,
    published: Arc<Published>,
    acts: Acts,
    gate: Gate,
    metrics: Metrics,
    producer_ids: ProducerIds,
    groups: Arc<GroupSettings>,
    offsets_topic: OffsetsTopic,
    sessions: AtomicU64,
    ready: AtomicBool,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Broker {
    /// Starts a broker over an open store, on the current runtime. One thread of the runtime does nothing
    /// unless the disk stalls: it should have one more than the machine has cores.
    ///
    /// # Errors
    /// The catalog cannot be read or written, or the system refuses a thread.
    pub async fn start(
        store: Arc<dyn LogStore>,
        options: BrokerOptions,
    ) -> Result<Broker, StartError> {
        let metrics = Metrics::new()?;
        let published = Arc::new(Published::default());
        let (acts, orders) = Acts::new();
        let catalog = open_catalog(&*store, &options, &published, &acts)?;
        let registry = Arc::new(Registry::default());
        let groups = Arc::new(wiring::group_settings(&options.settings));
        let clock = Clock::start();
        let runtime = tokio::runtime::Handle::current();
        let backlog_bytes_max = options.settings.number("queued.max.request.bytes");
        let backlog_bytes_max = backlog_bytes_max.and_then(|bytes| usize::try_from(bytes).ok());
        let backlog = Backlog::new(backlog_bytes_max.unwrap_or(BACKLOG_BYTES_MAX).max(1));
        let appends = Appends::new(runtime.clone(), backlog, metrics.clone())?;
        let driver = Driver::new(clock, runtime, appends);
        let keeper = Arc::new(Keeper {
            store: Arc::clone(&store),
            registry: Arc::clone(&registry),
            published: Arc::clone(&published),
            metrics: metrics.clone(),
            settings: options.settings.clone(),
            groups: GroupWork::new(driver.clone(), Arc::clone(&groups)),
            driver: driver.clone(),
        });
        tokio::spawn(driver.clone().keep_time());
        let threads = start_threads(&store, keeper, orders)?;
        let broker = Broker(Arc::new(Inner {
            options,
            driver,
            store,
            catalog,
            registry,
            published,
            acts,
            gate: Gate::default(),
            metrics,
            producer_ids: ProducerIds::default(),
            groups,
            offsets_topic: OffsetsTopic::default(),
            sessions: AtomicU64::new(0),
            ready: AtomicBool::new(false),
            threads: Mutex::new(threads),
        }));
        broker.open_all().await?;
        Ok(broker)
    }

    /// Makes the catalog this node's and opens what it says there is.
    async fn open_all(&self) -> Result<(), StartError> {
        let refused = |error: CatalogError| StartError::CatalogWrite(format!("{error:?}"));
        let options = &self.0.options;
        for command in
            wiring::start_commands(options.node_id, options.directory_id, options.unclean)
        {
            self.ask_catalog(command).await.map_err(refused)?;
        }
        let unfinished = self.0.catalog.shard().unfinished();
        let removals: Vec<_> = unfinished.iter().filter_map(wiring::done_with).collect();
        for effect in unfinished {
            self.0.acts.order(wiring::act(effect));
        }
        self.0.acts.barrier().await;
        for command in removals {
            self.ask_catalog(command).await.map_err(refused)?;
        }
        self.0.ready.store(true, Ordering::Release);
        if options.unclean {
            let store = Arc::clone(&self.0.store);
            let settler = std::thread::Builder::new()
                .name("ottla-settler".into())
                .spawn(move || store.settle())?;
            self.threads().push(settler);
        }
        Ok(())
    }

    /// True from when every partition is open until the broker stops.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.ready.load(Ordering::Acquire)
    }

    /// Stops: whatever is asked from now on may get the storage fault. Blocks for the last sync.
    ///
    /// # Errors
    /// The disk's fault; the next start will be an unclean one.
    pub fn stop(&self) -> Result<(), LogFault> {
        self.0.ready.store(false, Ordering::Release);
        self.0.acts.order(Act::Stop);
        self.0.driver.appends().stop();
        for partition in self.0.registry.all() {
            // A snapshot is a cache: a start without it replays more.
            if let Err(fault) = partition.tenant.write_snapshot() {
                tracing::warn!(partition = %partition.name, %fault, "no snapshot at the stop");
            }
        }
        self.0.store.stop();
        let threads = std::mem::take(&mut *self.threads());
        for thread in threads {
            let _ = thread.join();
        }
        self.0.store.close()
    }

    fn threads(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        let threads = &self.0.threads;
        threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one authorisation gate.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.0.gate
    }

    /// The broker's figures.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// What was set for the broker.
    #[must_use]
    pub fn settings(&self) -> &BrokerSettings {
        &self.0.options.settings
    }

    /// This node.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        self.0.options.node_id
    }

    /// The cluster's id.
    #[must_use]
    pub fn cluster_id(&self) -> &str {
        &self.0.options.cluster_id
    }

    /// The clocks.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.0.driver.clock()
    }

    pub(crate) fn driver(&self) -> &Driver {
        &self.0.driver
    }

    pub(crate) fn catalog(&self) -> &Arc<Driven<CatalogShard>> {
        &self.0.catalog
    }

    pub(crate) fn registry(&self) -> &Registry<OpenPartition> {
        &self.0.registry
    }

    pub(crate) fn acts(&self) -> &Acts {
        &self.0.acts
    }

    pub(crate) fn producer_ids(&self) -> &ProducerIds {
        &self.0.producer_ids
    }

    pub(crate) fn group_settings(&self) -> &Arc<GroupSettings> {
        &self.0.groups
    }

    pub(crate) fn offsets_topic(&self) -> &OffsetsTopic {
        &self.0.offsets_topic
    }

    /// A number that no other session of this broker has.
    pub(crate) fn next_session(&self) -> u64 {
        self.0.sessions.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn published_image(&self) -> Arc<Image> {
        self.0.published.image()
    }

    /// What coordinators of groups may know of the image; costs a counter.
    #[must_use]
    pub fn group_topics(&self) -> Arc<dyn Topics> {
        self.0.published.topics()
    }
}

fn open_catalog(
    store: &dyn LogStore,
    options: &BrokerOptions,
    published: &Arc<Published>,
    acts: &Acts,
) -> Result<Arc<Driven<CatalogShard>>, StartError> {
    let Ok(topic) = TopicName::parse(wiring::CLUSTER_METADATA_TOPIC) else {
        return Err(StartError::CatalogWrite(
            "its name is not a topic name".into(),
        ));
    };
    let name = TopicPartition {
        topic,
        topic_id: Uuid::METADATA_TOPIC,
        partition: PartitionIndex(0),
    };
    let spec = LogSpec {
        name: name.clone(),
        config: LogConfig::default(),
    };
    let (log, recovery) = store.open_log(&spec)?;
    keeper::report(&name, &recovery);
    if let Some(damage) = recovery.damage.into_iter().next() {
        return Err(StartError::Catalog(damage));
    }
    let latest = log.epoch_at(log.marks().written);
    let epoch = match latest {
        Some(LeaderEpoch(epoch)) if options.unclean => LeaderEpoch(epoch.saturating_add(1)),
        Some(epoch) => epoch,
        None => LeaderEpoch(1),
    };
    log.begin_epoch(epoch)?;
    let defaults = options.settings.topic_config();
    let shard_options = ShardOptions::new(epoch, keeper::roll_rule(&defaults), Box::new(RandomIds));
    let outlet = CatalogOutlet::new(Arc::clone(published), acts.clone());
    let shard = open_listening(log, outlet, shard_options)?;
    let cluster = wiring::Cluster {
        id: Arc::clone(&options.cluster_id),
        node: options.node_id,
    };
    let rebuilt = shard.inspect(|catalog| catalog.image().adopt(cluster, defaults));
    shard.outlet().publish(rebuilt, shard.marks().written);
    Ok(Arc::new(Driven::new(shard)))
}

fn start_threads(
    store: &Arc<dyn LogStore>,
    keeper: Arc<Keeper>,
    orders: Receiver<Act>,
) -> std::io::Result<Vec<JoinHandle<()>>> {
    let [flusher, deleter, cleaner] = std::array::from_fn(|_| Arc::clone(store));
    // Nobody waits for its end: a directory may take it long, and the next start goes on with it.
    std::thread::Builder::new()
        .name("ottla-deleter".into())
        .spawn(move || deleter.delete_until_stopped())?;
    // Nor for this one's: the store waits for the pass under way, which ends early.
    std::thread::Builder::new()
        .name("ottla-cleaner".into())
        .spawn(move || cleaner.clean_until_stopped())?;
    Ok(vec![
        std::thread::Builder::new()
            .name("ottla-flusher".into())
            .spawn(move || {
                let _guard = AbortOnPanic("the flusher");
                flusher.flush_until_stopped();
            })?,
        std::thread::Builder::new()
            .name("ottla-acts".into())
            .spawn(move || {
                let _guard = AbortOnPanic("the thread that opens and removes partitions");
                acts::perform(&keeper, &orders);
            })?,
    ])
}

/// Ends the process if a thread dies without which every client would wait for ever: a broker that
/// is gone is started again, one that hangs is not.
struct AbortOnPanic(&'static str);

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!("{} died: the broker cannot go on", self.0);
            std::process::abort();
        }
    }
}
