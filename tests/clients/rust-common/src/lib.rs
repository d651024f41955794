//! What the Rust client programs share: the records of a seed, the cases, and what is printed of them.
//!
//! tests/clients/README.md says what a program must do. A program is an implementation of [`Library`] and a `main` that
//! calls [`main`]: the library's own calls, and nothing else, live there.

mod cases;
mod content;
mod report;

use std::process::ExitCode;
use std::time::Duration;

pub use content::{Header, Record};

/// What went wrong, for a person.
pub type Result<T> = std::result::Result<T, String>;

/// Every wait ends after this long without progress.
pub const WAIT_MAX: Duration = Duration::from_secs(30);

/// One way of producing.
#[derive(Clone, Copy, Debug)]
pub struct Combo {
    /// `none`, `gzip`, `snappy`, `lz4` or `zstd`.
    pub codec: &'static str,
    /// `0`, `1` or `all`.
    pub acks: &'static str,
    /// Whether the producer asks for a producer id.
    pub idempotent: bool,
}

/// Which offset is asked for.
#[derive(Clone, Copy, Debug)]
pub enum At {
    /// The start of the log.
    Earliest,
    /// The end of the log.
    Latest,
    /// The first record that is not earlier than this, in milliseconds since 1970.
    Time(i64),
}

/// Where a sent record went.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// The partition that the library chose.
    pub partition: i32,
    /// The offset that the broker gave; unknown with acks=0.
    pub offset: Option<i64>,
}

/// A record that came.
#[derive(Clone, Debug)]
pub struct Found {
    /// Where it lies.
    pub partition: i32,
    /// Where it lies in there.
    pub offset: i64,
    /// What it holds.
    pub record: Record,
}

/// A client library. Every call ends within [`WAIT_MAX`], and none retries an answered administrative call.
pub trait Library: Sized {
    /// The ways of producing that are tried, each with all records; the last one fills the topic of the seeks.
    const COMBOS: &'static [Combo];
    /// The way of large records and of a recreated topic: codec none, acks=all, idempotent if the library can.
    const PLAIN: Combo;
    /// One that sends.
    type Producer;
    /// One that reads what it is assigned.
    type Consumer;

    /// The version of the library, and after a space further fields of a row.
    fn version() -> String;

    /// # Errors
    /// If the broker does not answer.
    fn connect(bootstrap: &str, prompt: bool) -> Result<Self>;

    /// Leaves out what the library cannot say.
    fn restrict(_record: &mut Record) {}

    /// Makes a topic with replication factor 1 that keeps its records for ever; false if there is one of that name.
    ///
    /// # Errors
    /// If the broker refuses for another reason.
    fn create_topic(&mut self, topic: &str, partitions: i32) -> Result<bool>;

    /// # Errors
    /// If the broker refuses.
    fn delete_topic(&mut self, topic: &str) -> Result<()>;

    /// The partitions that have a leader, in order; none if there is no such topic.
    ///
    /// # Errors
    /// If the broker does not answer.
    fn partitions(&mut self, topic: &str) -> Result<Option<Vec<i32>>>;

    /// None if no record is late enough.
    ///
    /// # Errors
    /// If the broker refuses.
    fn offset(&mut self, topic: &str, partition: i32, at: At) -> Result<Option<i64>>;

    /// # Errors
    /// If the library refuses.
    fn producer(&mut self, combo: &Combo) -> Result<Self::Producer>;

    /// Sends all records and awaits what the producer's acks promise; answers for each.
    ///
    /// # Errors
    /// If one of them was not acknowledged.
    fn produce(
        &mut self,
        producer: &mut Self::Producer,
        topic: &str,
        records: &[Record],
    ) -> Result<Vec<Sent>>;

    /// # Errors
    /// If the library refuses.
    fn consumer(&mut self) -> Result<Self::Consumer>;

    /// Reads these partitions from their beginning, and no others.
    ///
    /// # Errors
    /// If the library refuses.
    fn assign(
        &mut self,
        consumer: &mut Self::Consumer,
        topic: &str,
        partitions: &[i32],
    ) -> Result<()>;

    /// # Errors
    /// If the partition is not assigned.
    fn seek(
        &mut self,
        consumer: &mut Self::Consumer,
        topic: &str,
        partition: i32,
        offset: i64,
    ) -> Result<()>;

    /// The next records, at least one.
    ///
    /// # Errors
    /// If none came, or the broker refused.
    fn poll(&mut self, consumer: &mut Self::Consumer, topic: &str) -> Result<Vec<Found>>;
}

/// Runs every case against the broker that the arguments name.
#[must_use]
pub fn main<L: Library>() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [bootstrap, seed, records, pace] = arguments.as_slice() else {
        eprintln!("usage: PROGRAM HOST:PORT SEED RECORDS prompt|settling");
        return ExitCode::from(2);
    };
    let (Ok(seed), Ok(records)) = (seed.parse(), records.parse()) else {
        eprintln!("SEED and RECORDS are numbers");
        return ExitCode::from(2);
    };
    let Ok(name) = std::env::var("OTTLA_CLIENT") else {
        eprintln!("OTTLA_CLIENT is not set");
        return ExitCode::from(2);
    };
    let prompt = pace == "prompt";
    match L::connect(bootstrap, prompt) {
        Ok(library) => cases::run(library, &name, seed, records, prompt),
        Err(why) => {
            eprintln!("failed: {why}");
            ExitCode::FAILURE
        }
    }
}

/// The version of a crate that a lock file names, of those that come from a registry.
#[must_use]
pub fn locked_version(lock: &str, name: &str) -> String {
    let package = lock.split("[[package]]").find(|package| {
        package.contains(&format!("name = \"{name}\"\n")) && package.contains("\nsource = ")
    });
    let version =
        package.and_then(|package| package.split("version = \"").nth(1)?.split('"').next());
    version.unwrap_or("unknown").to_owned()
}
