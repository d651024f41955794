//! The data directory: opening it, what was found there, and why it could not be opened.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ottla_broker::api::Image;
use ottla_broker::{StartError, random_uuid};
use ottla_log::disk::LocalDisk;
use ottla_log::{
    CleanerOptions, Durability, FoundDirectory, LocalStore, LogFault, OpenError, StartReport,
    StoreOptions,
};
use ottla_model::configs::{BrokerSettings, ConfigValue};

use crate::exit::{Code, Fatal};
use crate::settings::Settings;

/// The catalog's topic, which is in no catalog.
const CATALOG: &str = "__cluster_metadata";

pub(super) fn open(settings: &Settings) -> Result<(Arc<LocalStore>, StartReport), Fatal> {
    let durability = if settings.dev {
        Durability::Os
    } else {
        Durability::Synced
    };
    let mut options = StoreOptions::new(settings.node_id, durability, Arc::new(|| random_uuid().0));
    options.cluster_id.clone_from(&settings.cluster_id);
    options.cleaner = cleaner_options(&settings.broker);
    LocalStore::open(Arc::new(LocalDisk), &settings.data, options)
        .map_err(|error| not_opened(&settings.data, error))
}

fn cleaner_options(broker: &BrokerSettings) -> CleanerOptions {
    let mut options = CleanerOptions::default();
    let number = |name| {
        broker
            .number(name)
            .and_then(|number| u64::try_from(number).ok())
    };
    if let Some(bytes) = number("log.cleaner.dedupe.buffer.size") {
        options.dedupe_buffer_bytes = bytes;
    }
    if let Some(ms) = number("log.cleaner.backoff.ms") {
        options.backoff = Duration::from_millis(ms);
    }
    if let Some(ConfigValue::Double(bytes)) = broker.value("log.cleaner.io.max.bytes.per.second") {
        // Saturates; less than one byte is one byte.
        options.io_bytes_per_second_max = (bytes as u64).max(1);
    }
    options
}

/// One line about whose directory it is and how it was left, and one for each thing to look at.
pub(super) fn tell(root: &Path, report: &StartReport) {
    let left = if report.created {
        "new"
    } else if report.clean {
        "clean"
    } else if report.power_loss {
        "after a power loss or a stop of the machine: logs are being checked"
    } else {
        "after an unclean stop: logs are being checked"
    };
    tracing::info!(
        cluster = report.cluster_id,
        "data in {}: {left}",
        root.display()
    );
    if report.marks_missing {
        tracing::warn!(
            "the mark file is missing: torn tails cannot be told from damage, nothing is cut"
        );
    }
    if report.marks_damaged > 0 {
        tracing::warn!(
            marks = report.marks_damaged,
            "damaged marks in the mark file were ignored"
        );
    }
    if !report.others.is_empty() {
        tracing::info!(
            "directories that are no partitions were left alone: {}",
            report.others.join(", ")
        );
    }
}

/// Puts directories aside that the catalog does not know, as Kafka does. Nothing is deleted.
pub(super) fn put_strays_aside(store: &LocalStore, image: &Image, found: &[FoundDirectory]) {
    for directory in found.iter().filter(|directory| is_stray(image, directory)) {
        match store.quarantine(&directory.name) {
            Ok(aside) => {
                tracing::warn!("{} is in no catalog: put aside as {aside}", directory.name)
            }
            // Removed meanwhile on the catalog's own order.
            Err(fault) if fault.is_not_found() => {}
            Err(fault) => {
                tracing::error!(%fault, "{} is in no catalog and cannot be put aside", directory.name)
            }
        }
    }
}

fn is_stray(image: &Image, found: &FoundDirectory) -> bool {
    if found.topic.as_str() == CATALOG {
        return false;
    }
    let Some(topic) = image.topic(found.topic.as_str()) else {
        return true;
    };
    topic.partition(found.partition).is_none() || found.topic_id.is_some_and(|id| id != topic.id)
}

fn not_opened(data: &Path, error: OpenError) -> Fatal {
    let place = format!("data directory {}", data.display());
    match error {
        OpenError::Locked(_) => {
            let what_to_do = "stop that one, or choose another directory with --data";
            Fatal::new(
                Code::Locked,
                format!("{place} is in use by another broker process; {what_to_do}"),
            )
        }
        OpenError::Foreign { path, why } => {
            let what_to_do =
                "choose another directory with --data, or the right --cluster-id and --node-id";
            Fatal::new(
                Code::Foreign,
                format!(
                    "{}: {why}; nothing was changed; {what_to_do}",
                    path.display()
                ),
            )
        }
        OpenError::Unwritable(fault) => {
            let what_to_do =
                "choose a directory with --data that this user can write, on a disk with room";
            Fatal::new(
                Code::Unwritable,
                format!("{place} cannot be used: {fault}; {what_to_do}"),
            )
        }
        OpenError::Damaged { path, why } => Fatal::new(
            Code::Damaged,
            format!("{}: {why}; restore the file from a copy", path.display()),
        ),
    }
}

/// Why the broker did not start on the directory.
pub(super) fn not_started(data: &Path, error: &StartError) -> Fatal {
    let place = format!("data directory {}", data.display());
    let restore = "nothing was cut; restore __cluster_metadata-0 from a copy";
    let (code, what_to_do) = match error {
        StartError::Catalog(LogFault::Io { .. }) | StartError::CatalogWrite(_) => (
            Code::Unwritable,
            "see that the disk works and has room, then start again",
        ),
        StartError::Catalog(_) => (Code::Damaged, restore),
        StartError::Thread(_) => (Code::Failed, "raise the limit on threads"),
        StartError::Metrics(_) => (Code::Failed, "this is a fault of this build"),
    };
    Fatal::new(code, format!("{place}: {error}; {what_to_do}"))
}
