//! The contract between a shard and the machine that lives in it.
//!
//! A turn of the shard: `decide` answers a command with events, replies and effects and changes
//! nothing; `replay` applies each event at once, so the next command of the turn sees it; one append
//! takes the logged events of the whole turn; a reply leaves when everything it saw has passed the
//! mark that it waits for. At start the same `replay` rebuilds the machine from its log.
//!
//! Never in here: what any one machine does.

use alloc::vec::Vec;
use core::fmt::Debug;

use ottla_model::batch::{BatchHead, VerifiedBatch};
use ottla_model::ids::{Offset, ProducerEpoch, ProducerId, Sequence};
use ottla_model::marks::Marks;
use ottla_model::time::{MonoMs, WallMs};
use ottla_model::uuid::Uuid;

/// Names one command until it is answered. The shard hands them out and never uses one twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Ticket(pub u64);

/// What a reply waits for, at the position that it saw.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Wait {
    /// Leaves at the end of the turn.
    None,
    /// Survives the death of the process (`acks=1`).
    Written,
    /// As safe as this log promises (`acks=all`, and whatever a reader may see).
    Durable,
}

/// What the machine may know of the world while it decides.
pub struct Cx<'a> {
    /// Offset that the next logged event of this turn gets.
    pub end: Offset,
    /// How far the log had come when the turn began.
    pub marks: Marks,
    /// Wall clock, for what records carry.
    pub wall: WallMs,
    /// Monotonic clock, for timeouts.
    pub mono: MonoMs,
    /// Fresh ids.
    pub ids: &'a mut dyn Ids,
}

/// Source of fresh ids; random in a broker, counted in a test.
pub trait Ids: Send {
    /// An id never handed out before.
    fn uuid(&mut self) -> Uuid;
}

/// A record as it lies in the log of a machine that writes its own records.
pub trait StoredRecord: Sized + Send + Clone + Debug + 'static {
    /// False if no log ever holds such a record, so a rebuild reads batch heads only.
    const IN_LOG: bool = true;

    /// Encodes key and value. A `None` value is a tombstone.
    fn encode(&self, key: &mut Vec<u8>, value: &mut Vec<u8>) -> (KeyPresent, ValuePresent);

    /// Decodes what [`encode`](Self::encode) wrote, checking every byte.
    ///
    /// # Errors
    /// What is wrong with the bytes, for a person.
    fn decode(key: Option<&[u8]>, value: Option<&[u8]>) -> Result<Self, alloc::string::String>;
}

/// Whether a stored record has a key.
pub type KeyPresent = bool;

/// Whether a stored record has a value.
pub type ValuePresent = bool;

/// The record type of a machine whose log holds only clients' batches.
#[derive(Clone, Copy, Debug)]
pub enum NoRecord {}

impl StoredRecord for NoRecord {
    const IN_LOG: bool = false;

    fn encode(&self, _: &mut Vec<u8>, _: &mut Vec<u8>) -> (KeyPresent, ValuePresent) {
        match *self {}
    }
    fn decode(_: Option<&[u8]>, _: Option<&[u8]>) -> Result<Self, alloc::string::String> {
        Err("this log holds no records of the broker's own".into())
    }
}

/// Who wrote a batch of records, where a machine writes on behalf of a producer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProducerStamp {
    /// The producer.
    pub id: ProducerId,
    /// Its epoch.
    pub epoch: ProducerEpoch,
    /// Sequence of the first record.
    pub base_sequence: Sequence,
}

/// One logged event to be. Becomes exactly one record batch, the unit of a torn write.
pub enum Entry<M: Machine> {
    /// A client's batch, stored as it came in.
    Client(VerifiedBatch),
    /// Records of the machine's own; not empty.
    Records {
        /// The producer on whose behalf they are written, if any.
        producer: Option<ProducerStamp>,
        /// The records, in order.
        records: Vec<M::Record>,
    },
}

/// What a decision makes happen, in order.
pub enum Emit<M: Machine> {
    /// Replayed and appended.
    Logged(Entry<M>),
    /// Replayed only; gone after a restart.
    Volatile(M::Soft),
}

/// What `replay` sees.
pub enum Event<'a, M: Machine> {
    /// A client's batch.
    Batch(&'a BatchHead),
    /// One record of the machine's own, and the head of the batch that holds it.
    Record(&'a BatchHead, &'a M::Record),
    /// A volatile event.
    Soft(&'a M::Soft),
}

/// One answer, and what it must wait for.
pub struct Reply<M: Machine> {
    /// The command that it answers.
    pub to: Ticket,
    /// The answer or the refusal.
    pub value: Result<M::Answer, M::Refusal>,
    /// What the answer saw; `None` means the end of the log as replayed when the decision ends.
    pub saw: Option<Offset>,
    /// What has to pass `saw` before the answer leaves.
    pub wait: Wait,
}

/// What a machine answers to one command. A ticket that gets no reply here is held by the machine
/// as volatile state and answered by a later decision.
pub struct Decision<M: Machine> {
    /// Events, in the order in which they are replayed.
    pub emits: Vec<Emit<M>>,
    /// Answers, to this command or to earlier ones.
    pub replies: Vec<Reply<M>>,
    /// Work for others; each leaves when the whole decision is durable.
    pub effects: Vec<M::Effect>,
}

impl<M: Machine> Default for Decision<M> {
    fn default() -> Self {
        Decision {
            emits: Vec::new(),
            replies: Vec::new(),
            effects: Vec::new(),
        }
    }
}

impl<M: Machine> Decision<M> {
    /// Answers `to` with a value that waits for all that the decision wrote and saw.
    pub fn answer(&mut self, to: Ticket, answer: M::Answer, wait: Wait) {
        self.replies.push(Reply {
            to,
            value: Ok(answer),
            saw: None,
            wait,
        });
    }

    /// Refuses `to`. A refusal saw state too, so it waits like an answer.
    pub fn refuse(&mut self, to: Ticket, refusal: M::Refusal, wait: Wait) {
        self.replies.push(Reply {
            to,
            value: Err(refusal),
            saw: None,
            wait,
        });
    }

    /// Logs records of the machine's own as one batch: all of them or none survive a crash.
    pub fn log(&mut self, records: Vec<M::Record>) {
        self.emits.push(Emit::Logged(Entry::Records {
            producer: None,
            records,
        }));
    }
}

/// A pure state machine. See the module's head for how a shard drives it.
pub trait Machine: Sized + Send + 'static {
    /// What comes in.
    type Command: Send;
    /// What leaves.
    type Answer: Send;
    /// What leaves when the command is not to be: expected, typed, mapped to a wire code at the edge.
    type Refusal: Send + Debug;
    /// A record of the machine's own; [`NoRecord`] where the log holds clients' batches.
    type Record: StoredRecord;
    /// A volatile event.
    type Soft: Send;
    /// Work for another machine or for the runtime, as data.
    type Effect: Send;
    /// A question that changes nothing.
    type Query;
    /// Its answer, owning what it holds.
    type Plan;
    /// The state without its volatile part. `Default` is the machine of an empty log.
    type Snapshot: Default + Send;

    /// How many bytes of log before a snapshot are replayed too, oldest first, because the
    /// snapshot's file format keeps less than the machine does.
    const REPLAY_BACK_BYTES: u64 = 0;

    /// Decides on a command. Changes nothing.
    fn decide(
        &self,
        ticket: Ticket,
        command: Self::Command,
        cx: &mut Cx<'_>,
        out: &mut Decision<Self>,
    );

    /// Decides on the passing of time; called once [`deadline`](Self::deadline) has passed.
    fn expire(&self, cx: &mut Cx<'_>, out: &mut Decision<Self>);

    /// When `expire` wants to be called next. Asked after each turn.
    fn deadline(&self) -> Option<MonoMs>;

    /// Applies an event: the only mutator, live and at start. Total: it cannot refuse. `at` is the
    /// offset of the event's batch or record; for a volatile event, the end of the log.
    fn replay(&mut self, at: Offset, event: Event<'_, Self>);

    /// Answers a question about the state with data of its own.
    ///
    /// # Errors
    /// The refusal that the asker gets.
    fn plan(&self, query: &Self::Query, marks: Marks) -> Result<Self::Plan, Self::Refusal>;

    /// Lists the effects whose completion the log does not show, after a restart.
    fn unfinished(&self, out: &mut Vec<Self::Effect>);

    /// The state without its volatile part.
    fn snapshot(&self) -> Self::Snapshot;

    /// The machine that `snapshot` was taken of.
    fn restore(snapshot: Self::Snapshot) -> Self;

    /// Bytes of the snapshot's file, in Kafka's format. `None`: this machine keeps no such file.
    fn encode_snapshot(snapshot: &Self::Snapshot) -> Option<Vec<u8>>;

    /// Reads a snapshot's file. A snapshot is a cache: what does not decode is not used.
    fn decode_snapshot(at: Offset, bytes: &[u8]) -> Option<Self::Snapshot>;
}
