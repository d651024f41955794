//! What a person can set: one name for a flag, a key of the file, and an environment variable
//! (`--admin-listen`, `admin-listen`, `OTTLA_ADMIN_LISTEN`).
//!
//! Guarantees: a flag wins over the environment, the environment over the file, the file over the
//! default; a name that is not known is refused, except in the environment, which is shared with other
//! programs: there only one that is almost ours is. What comes out of [`Settings::gather`] was judged: nothing of it is parsed again.

mod broker_table;
mod environment;
mod file;
mod host_port;
mod log_level;
mod own_keys;
mod slips;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use clap::Args;
use ottla_model::configs::{BROKER_CONFIGS, BrokerSettings, broker_not_yet};
use ottla_model::ids::NodeId;
use serde::Deserialize;

pub(crate) use broker_table::{Assignment, BrokerTable};
pub(crate) use host_port::{AdminListen, HostPort};
pub(crate) use log_level::LogLevel;

use crate::exit::Fatal;

/// Where Kafka clients connect, if nothing else is set.
pub(crate) const DEFAULT_LISTEN: &str = "127.0.0.1:9092";
/// Where health and metrics are, if nothing else is set.
pub(crate) const DEFAULT_ADMIN_LISTEN: &str = "127.0.0.1:9644";
/// Where the data lies, if nothing else is set.
pub(crate) const DEFAULT_DATA: &str = "./ottla-data";
const DEFAULT_LOG_LEVEL: &str = "info";
const DEFAULT_NODE_ID: u32 = 1;

/// What `--dev` sets, unless somebody sets it otherwise: no waits that the protocol does not demand.
pub(crate) const DEV_CONFIGS: &[(&str, &str)] = &[
    ("group.consumer.assignment.interval.ms", "0"),
    ("group.consumer.heartbeat.interval.ms", "100"),
    ("group.initial.rebalance.delay.ms", "0"),
    ("ottla.group.disconnect.grace.ms", "1000"),
    ("ottla.group.regex.batch.interval.ms", "0"),
];

/// Longest cluster id that is taken; Kafka's own have 22 characters.
const CLUSTER_ID_BYTES_MAX: usize = 255;

/// Arguments of `ottla start`.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct StartArgs {
    /// File with the same keys as these flags; see config/ottla.toml
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) given: Given,
}

/// What one source sets. Each flag is also an environment variable: OTTLA_LISTEN for --listen.
#[derive(Clone, Debug, Default, PartialEq, Args, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Given {
    /// Where Kafka clients connect; port 0 takes a free port [default: 127.0.0.1:9092]
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<HostPort>,
    /// What clients are told to connect to [default: the address that each client reached]
    #[arg(long, value_name = "HOST:PORT")]
    advertise: Option<HostPort>,
    /// Where health and metrics are, or none [default: 127.0.0.1:9644]
    #[arg(long, value_name = "HOST:PORT|none")]
    admin_listen: Option<AdminListen>,
    /// The data directory [default: ./ottla-data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// For development: nothing is synced before it is acknowledged, and nothing waits for what may come
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
          value_parser = clap::builder::BoolishValueParser::new())]
    dev: Option<bool>,
    /// error, warn, info, debug, trace, or per module: info,ottla_log=debug [default: info]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<LogLevel>,
    /// Identity of this broker within its cluster [default: 1]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(0..=i64::from(i32::MAX)))]
    node_id: Option<u32>,
    /// The cluster that the data directory must belong to [default: its own, or a new one]
    #[arg(long, value_name = "TEXT")]
    cluster_id: Option<String>,
    /// Set a Kafka broker config, such as num.partitions=3; may be repeated
    #[arg(long = "set", value_name = "NAME=VALUE")]
    #[serde(skip)]
    set: Vec<Assignment>,
    /// In the file, these are the table [broker].
    #[arg(skip)]
    #[serde(default)]
    broker: BrokerTable,
}

/// What holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    pub(crate) listen: HostPort,
    pub(crate) advertise: Option<HostPort>,
    pub(crate) admin_listen: AdminListen,
    /// Nobody chose the admin address, so another one does as well.
    pub(crate) admin_is_default: bool,
    pub(crate) data: PathBuf,
    pub(crate) dev: bool,
    pub(crate) log_level: LogLevel,
    pub(crate) node_id: NodeId,
    pub(crate) cluster_id: Option<String>,
    pub(crate) broker: BrokerSettings,
    /// Environment variables that look like ours and are not.
    pub(crate) unknown_variables: Vec<String>,
}

impl Settings {
    /// Reads file and environment, and puts the flags above them.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place.
    pub(crate) fn gather(
        args: StartArgs,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<Settings, Fatal> {
        let environment = environment::read(variables)?;
        let file = match args.config.or(environment.config) {
            Some(path) => file::read(&path)?,
            None => Given::default(),
        };
        let mut settings = Settings::resolve(args.given.above(environment.given).above(file))?;
        settings.unknown_variables = environment.unknown;
        Ok(settings)
    }

    /// What a person should know about what was set, one line each.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if !self.unknown_variables.is_empty() {
            lines.push(format!(
                "ignored in the environment, because ottla has no such variable: {}; there are {}",
                self.unknown_variables.join(", "),
                environment::names().join(", ")
            ));
        }
        let set = BROKER_CONFIGS
            .iter()
            .filter(|def| self.broker.get(def.name).is_some());
        lines.extend(set.filter_map(|def| {
            let instead = broker_not_yet(def.name)?;
            Some(format!("{} has no effect yet: {instead}", def.name))
        }));
        lines
    }

    fn resolve(given: Given) -> Result<Settings, Fatal> {
        let built_in = "invariant: the built-in defaults parse (test)";
        let default_address = |text: &str| {
            text.parse::<HostPort>()
                .map_err(|_| Fatal::failed(built_in))
        };
        let cluster_id = given.cluster_id.map(check_cluster_id).transpose()?;
        if given
            .advertise
            .as_ref()
            .is_some_and(|address| address.port == 0)
        {
            return Err(Fatal::usage(
                "advertise: port 0 is no port that a client can connect to; name one",
            ));
        }
        let data = given.data.unwrap_or_else(|| PathBuf::from(DEFAULT_DATA));
        if data.as_os_str().is_empty() {
            return Err(Fatal::usage("data: the name is empty; name a directory"));
        }
        let node_id = given.node_id.unwrap_or(DEFAULT_NODE_ID);
        let Ok(node_id) = i32::try_from(node_id).map(NodeId) else {
            return Err(Fatal::usage(format!(
                "node-id: {node_id} is above {}",
                i32::MAX
            )));
        };
        let dev = given.dev.unwrap_or(false);
        let mut broker = BrokerSettings::default();
        for (name, value) in DEV_CONFIGS.iter().filter(|_| dev) {
            broker
                .set(name, value)
                .map_err(|_| Fatal::failed(built_in))?;
        }
        for Assignment { name, value } in given.broker.0.iter().chain(&given.set) {
            broker
                .set(name, value)
                .map_err(|error| Fatal::usage(format!("{error}")))?;
        }
        Ok(Settings {
            listen: given
                .listen
                .map_or_else(|| default_address(DEFAULT_LISTEN), Ok)?,
            advertise: given.advertise,
            admin_is_default: given.admin_listen.is_none(),
            admin_listen: match given.admin_listen {
                Some(listen) => listen,
                None => AdminListen::At(default_address(DEFAULT_ADMIN_LISTEN)?),
            },
            data,
            dev,
            log_level: given.log_level.map_or_else(
                || {
                    DEFAULT_LOG_LEVEL
                        .parse()
                        .map_err(|_| Fatal::failed(built_in))
                },
                Ok,
            )?,
            node_id,
            cluster_id,
            broker,
            unknown_variables: Vec::new(),
        })
    }
}

impl Given {
    /// Both together; where both say something, this one holds.
    fn above(self, lower: Given) -> Given {
        // Later assignments win, so the lower ones come first.
        let mut set = lower.set;
        set.extend(self.set);
        let mut broker = lower.broker;
        broker.0.extend(self.broker.0);
        Given {
            listen: self.listen.or(lower.listen),
            advertise: self.advertise.or(lower.advertise),
            admin_listen: self.admin_listen.or(lower.admin_listen),
            data: self.data.or(lower.data),
            dev: self.dev.or(lower.dev),
            log_level: self.log_level.or(lower.log_level),
            node_id: self.node_id.or(lower.node_id),
            cluster_id: self.cluster_id.or(lower.cluster_id),
            set,
            broker,
        }
    }
}

/// It is written into `meta.properties`, one line of it.
fn check_cluster_id(id: String) -> Result<String, Fatal> {
    let plain = |c: char| c.is_ascii_graphic() && c != '\\';
    if id.is_empty() || id.len() > CLUSTER_ID_BYTES_MAX || !id.chars().all(plain) {
        return Err(Fatal::usage(format!(
            "cluster-id: {id:?} is not 1 to {CLUSTER_ID_BYTES_MAX} letters, digits or signs without blanks; leave it out for a new one"
        )));
    }
    Ok(id)
}
