//! The store of logs without its type, so that the broker is one type over any of them.

use std::sync::Arc;

use ottla_log::store::{LogSpec, LogStore, Recovery};
use ottla_log::{Log, LogFault};
use ottla_model::names::TopicPartition;

/// A [`LogStore`], whatever its logs are.
pub(crate) trait AnyStore: Send + Sync + 'static {
    fn open_log(&self, spec: &LogSpec) -> Result<(Arc<dyn Log>, Recovery), LogFault>;
    fn remove_log(&self, name: &TopicPartition) -> Result<(), LogFault>;
    fn flush_until_stopped(&self);
    fn stop(&self);
    fn close(&self) -> Result<(), LogFault>;
}

impl<S: LogStore> AnyStore for S {
    fn open_log(&self, spec: &LogSpec) -> Result<(Arc<dyn Log>, Recovery), LogFault> {
        let (log, recovery) = LogStore::open_log(self, spec)?;
        Ok((log, recovery))
    }
    fn remove_log(&self, name: &TopicPartition) -> Result<(), LogFault> {
        LogStore::remove_log(self, name)
    }
    fn flush_until_stopped(&self) {
        LogStore::flush_until_stopped(self);
    }
    fn stop(&self) {
        LogStore::stop(self);
    }
    fn close(&self) -> Result<(), LogFault> {
        LogStore::close(self)
    }
}
