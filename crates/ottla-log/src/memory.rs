//! The store in memory: the same face without files, for tests of what lives above.
//!
//! Guarantees: what [`LogStore`] and [`Log`] promise, but that anything survives the process. Under
//! [`Durability::Synced`] the durable mark waits for a flush round, so that a test can stand between
//! written and durable.

mod log;

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ottla_model::names::TopicPartition;

pub use log::MemoryLog;

use crate::local::Durability;
use crate::store::{Log, LogFault, LogSpec, LogStore, Recovery};

/// The store in memory.
#[derive(Debug)]
pub struct MemoryStore {
    durability: Durability,
    state: Mutex<State>,
    queue: Arc<Queue>,
}

#[derive(Default, Debug)]
struct State {
    logs: HashMap<TopicPartition, Arc<MemoryLog>>,
    closed: bool,
}

/// Logs that wait for a flush round.
#[derive(Default, Debug)]
struct Queue {
    dirty: Mutex<Dirty>,
    wake: Condvar,
}

#[derive(Default, Debug)]
struct Dirty {
    logs: Vec<Arc<MemoryLog>>,
    stopped: bool,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new(durability: Durability) -> Arc<MemoryStore> {
        Arc::new(MemoryStore {
            durability,
            state: Mutex::default(),
            queue: Arc::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Dirty> {
        self.dirty.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, log: Arc<MemoryLog>) {
        let mut dirty = self.lock();
        if !dirty.logs.iter().any(|known| Arc::ptr_eq(known, &log)) {
            dirty.logs.push(log);
        }
        drop(dirty);
        self.wake.notify_all();
    }
}

impl LogStore for MemoryStore {
    fn open_log(&self, spec: &LogSpec) -> Result<(Arc<dyn Log>, Recovery), LogFault> {
        let mut state = self.lock();
        let refused = |why: &str| LogFault::refused(spec.name.directory().as_ref(), why);
        if state.closed {
            return Err(refused("the store is closed"));
        }
        if state
            .logs
            .keys()
            .any(|open| open.directory() == spec.name.directory())
        {
            return Err(refused("the log is open already"));
        }
        let log = MemoryLog::new(self.durability, self.queue.clone());
        state.logs.insert(spec.name.clone(), log.clone());
        let recovery = Recovery {
            created: true,
            ..Recovery::default()
        };
        Ok((log, recovery))
    }

    fn remove_logs(&self, names: &[TopicPartition]) -> Result<(), LogFault> {
        for name in names {
            let removed = self.lock().logs.remove(name);
            if let Some(log) = removed {
                log.close(&LogFault::Closed("it was removed".into()), true);
            }
        }
        Ok(())
    }

    fn wait_dirty(&self, timeout: Duration) -> bool {
        let dirty = self.queue.lock();
        let (dirty, _) = self
            .queue
            .wake
            .wait_timeout_while(dirty, timeout, |dirty| {
                dirty.logs.is_empty() && !dirty.stopped
            })
            .unwrap_or_else(PoisonError::into_inner);
        !dirty.logs.is_empty()
    }

    fn flush_round(&self) -> bool {
        let logs = std::mem::take(&mut self.queue.lock().logs);
        logs.iter().for_each(|log| log.sync());
        !logs.is_empty()
    }

    fn stopped(&self) -> bool {
        self.queue.lock().stopped
    }

    fn stop(&self) {
        self.queue.lock().stopped = true;
        self.queue.wake.notify_all();
    }

    fn close(&self) -> Result<(), LogFault> {
        self.flush_round();
        let logs: Vec<Arc<MemoryLog>> = {
            let mut state = self.lock();
            state.closed = true;
            state.logs.drain().map(|(_, log)| log).collect()
        };
        for log in logs {
            log.close(&LogFault::Closed("the store is closed".into()), false);
        }
        Ok(())
    }
}
