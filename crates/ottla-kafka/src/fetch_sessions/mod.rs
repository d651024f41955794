//! Fetch sessions (KIP-227): a client names only what changed since its last fetch, and hears only
//! what is new.
//!
//! [`FetchSessions`] is all of it as data in, data out: time and ids are arguments, and what a session
//! keeps of the broker across its fetches is a [`Link`] that it hands out and takes back. A fetch that
//! is dropped half way does not hand it back; the next one then looks at all partitions again.
//!
//! A session's lock is held while a request is read into it and while its answer is recorded, never
//! while the fetch waits. So a second request for it finds the session one epoch further, and the
//! first one's answer is refused, as in Kafka. The lock of the cache is taken last and held for moments:
//! what a client does to a large session, no other client waits for.

mod cache;
#[cfg(test)]
mod model_tests;
mod session;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ottla_model::time::MonoMs;

use cache::Cache;
use session::Session;
pub(crate) use session::{Asked, Due, Standing, Tidings, TopicKey};

/// What a session keeps of the broker: who tells it that partitions moved. A new one has heard of
/// nothing, and knows no partition.
pub(crate) trait Link: Default {
    /// Nothing more is to be heard of a partition.
    fn forget(&mut self, key: u64);
    /// The partitions that moved since the last call.
    fn take_moved(&mut self) -> Vec<u64>;
}

/// A Fetch request, as far as sessions go.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// 0: none.
    pub(crate) session_id: i32,
    /// 0: a full fetch that wants a session, -1: one that wants none, else the one that is next.
    pub(crate) session_epoch: i32,
    /// Topics have ids.
    pub(crate) by_id: bool,
    pub(crate) reader: Reader,
    pub(crate) asked: Vec<Asked>,
    pub(crate) forgotten: Vec<(TopicKey, i32)>,
}

/// As whom a request reads. What one reader was told says nothing to another.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Reader {
    pub(crate) is_follower: bool,
    pub(crate) is_committed: bool,
}

/// Why a request got nothing at all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SessionError {
    IdNotFound,
    InvalidEpoch,
    /// The session speaks of names and the request of ids, or the other way around.
    TopicId,
}

/// A fetch on its way.
#[derive(Debug)]
pub(crate) struct Poll<L> {
    /// The partitions to look at, in order.
    pub(crate) due: Vec<Due>,
    pub(crate) link: L,
    kind: Kind<L>,
}

#[derive(Debug)]
enum Kind<L> {
    Sessionless(Session),
    Full(Session, Terms),
    Incremental {
        id: i32,
        /// The session's epoch, unless another request came meanwhile.
        epoch: i32,
        held: Shared<L>,
    },
}

/// What stays the same as long as a session lives, and how it was read last.
#[derive(Clone, Copy, Debug)]
struct Terms {
    by_id: bool,
    reader: Reader,
}

/// What an answer says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Answer {
    pub(crate) session_id: i32,
    /// The keys of what is told, in the order in which it is told.
    pub(crate) told: Vec<u64>,
}

/// The session that a late answer belongs to has gone on without it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Overtaken {
    pub(crate) session_id: i32,
}

#[derive(Debug)]
struct Held<L> {
    session: Session,
    terms: Terms,
    /// The epoch that the next request has.
    epoch: i32,
    /// `None` while a fetch has it.
    link: Option<L>,
}

type Shared<L> = Arc<Mutex<Held<L>>>;

/// How much the sessions hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Figures {
    pub(crate) sessions: usize,
    pub(crate) partitions: usize,
    /// Ever.
    pub(crate) evictions: u64,
}

/// All fetch sessions of a gateway.
#[derive(Debug)]
pub(crate) struct FetchSessions<L> {
    cache: Mutex<Cache<Shared<L>>>,
}

impl<L: Link> FetchSessions<L> {
    /// Room for so many sessions with so many partitions in all.
    pub(crate) fn new(slots: usize, partitions_max: usize) -> FetchSessions<L> {
        FetchSessions {
            cache: Mutex::new(Cache::new(slots, partitions_max)),
        }
    }

    /// Takes a request in (Kafka `FetchManager.newContext`).
    ///
    /// # Errors
    /// The session that the request continues is not to be continued so.
    pub(crate) fn begin(&self, request: Request, now: MonoMs) -> Result<Poll<L>, SessionError> {
        if matches!(request.session_epoch, 0 | -1) {
            // Whoever starts over is done with what was before.
            let _closed = match request.session_id {
                0 => None,
                id => lock(&self.cache).remove(id),
            };
            return Ok(full(request));
        }
        let shared = lock(&self.cache).get(request.session_id).cloned();
        let shared = shared.ok_or(SessionError::IdNotFound)?;
        let mut held = lock(&shared);
        if held.epoch != request.session_epoch {
            return Err(SessionError::InvalidEpoch);
        }
        if held.terms.by_id != request.by_id {
            return Err(SessionError::TopicId);
        }
        let id = request.session_id;
        let gone = held.session.update(
            request.asked.iter().cloned(),
            request.forgotten.iter().cloned(),
        );
        if held.session.len() == 0 {
            let _closed = lock(&self.cache).remove(id);
            return Ok(full(Request {
                session_epoch: -1,
                ..request
            }));
        }
        if !held.session.can_be_kept() {
            let _closed = lock(&self.cache).remove(id);
            return Err(SessionError::IdNotFound);
        }
        let partitions = held.session.len();
        // It may have been evicted while its request was read.
        if !self.in_cache(|cache| cache.touch(id, partitions, now)) {
            return Err(SessionError::IdNotFound);
        }
        held.epoch = next_epoch(held.epoch);
        let link = match held.link.take() {
            Some(mut link) => {
                for key in gone {
                    link.forget(key);
                }
                held.session.wake(&link.take_moved());
                link
            }
            None => {
                held.session.wake_all();
                L::default()
            }
        };
        if held.terms.reader != request.reader {
            held.terms.reader = request.reader;
            held.session.wake_all();
        }
        Ok(Poll {
            due: held.session.due(),
            link,
            kind: Kind::Incremental {
                id,
                epoch: held.epoch,
                held: Arc::clone(&shared),
            },
        })
    }

    /// Records what a fetch brought, of all that was due and of what moved meanwhile, and says which
    /// of it is to be told (Kafka `FetchContext.updateAndGenerateResponseData`).
    ///
    /// # Errors
    /// Another request of the same session came meanwhile.
    pub(crate) fn finish(
        &self,
        poll: Poll<L>,
        tidings: &[Tidings],
        now: MonoMs,
        ids: impl FnMut() -> i32,
    ) -> Result<Answer, Overtaken> {
        match poll.kind {
            Kind::Sessionless(mut session) => Ok(Answer {
                session_id: 0,
                told: session.tell_all(tidings),
            }),
            Kind::Full(mut session, terms) => {
                let told = session.tell_all(tidings);
                let (partitions, can_be_kept) = (session.len(), session.can_be_kept());
                let held = Arc::new(Mutex::new(Held {
                    session,
                    terms,
                    epoch: 1,
                    link: Some(poll.link),
                }));
                let privileged = terms.reader.is_follower;
                let session_id = if can_be_kept {
                    self.in_cache(|cache| cache.insert(now, privileged, partitions, ids, held))
                } else {
                    None
                };
                Ok(Answer {
                    session_id: session_id.unwrap_or(0),
                    told,
                })
            }
            Kind::Incremental { id, epoch, held } => {
                let mut held = lock(&held);
                if held.epoch != epoch {
                    return Err(Overtaken { session_id: id });
                }
                let told = held.session.tell_news(tidings);
                held.link = Some(poll.link);
                Ok(Answer {
                    session_id: id,
                    told,
                })
            }
        }
    }

    /// Does something with the cache, and drops what that evicts outside its lock.
    fn in_cache<R>(&self, act: impl FnOnce(&mut Cache<Shared<L>>) -> R) -> R {
        let mut cache = lock(&self.cache);
        let result = act(&mut cache);
        let evicted = cache.take_evicted();
        drop(cache);
        drop(evicted);
        result
    }

    /// Shows how much there is of what, to one at a time.
    pub(crate) fn show(&self, show: impl FnOnce(Figures)) {
        let cache = lock(&self.cache);
        show(Figures {
            sessions: cache.len(),
            partitions: cache.partitions(),
            evictions: cache.evictions(),
        });
    }
}

impl<L> Poll<L> {
    /// True if the session outlives this fetch, or may.
    pub(crate) fn is_kept(&self) -> bool {
        !matches!(self.kind, Kind::Sessionless(_))
    }

    /// True if the session has more partitions than so many.
    pub(crate) fn holds_more_than(&self, partitions: usize) -> bool {
        match &self.kind {
            Kind::Sessionless(session) | Kind::Full(session, _) => session.len() > partitions,
            Kind::Incremental { held, .. } => lock(held).session.len() > partitions,
        }
    }

    /// What a partition is called that moved while the fetch waited.
    pub(crate) fn called(&self, key: u64) -> Option<(TopicKey, i32)> {
        match &self.kind {
            Kind::Sessionless(session) | Kind::Full(session, _) => session.called(key),
            Kind::Incremental { held, .. } => lock(held).session.called(key),
        }
    }
}

fn full<L: Link>(request: Request) -> Poll<L> {
    let mut session = Session::default();
    session.update(request.asked, []);
    Poll {
        due: session.due(),
        link: L::default(),
        kind: if request.session_epoch == 0 {
            let terms = Terms {
                by_id: request.by_id,
                reader: request.reader,
            };
            Kind::Full(session, terms)
        } else {
            Kind::Sessionless(session)
        },
    }
}

/// Epochs go round, and never back to the one that opens a session (Kafka `FetchMetadata.nextEpoch`).
fn next_epoch(epoch: i32) -> i32 {
    epoch.checked_add(1).unwrap_or(1)
}

/// Nothing under these locks panics for a reason of its own.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
