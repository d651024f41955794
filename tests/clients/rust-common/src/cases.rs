//! The cases, in the words of [`Library`].

use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::report::{Report, on_off};
use crate::{At, Combo, Found, Library, Record, Result, Sent, WAIT_MAX, content};

const PARTITIONS: i32 = 3;
const ALL: [i32; 3] = [0, 1, 2];
/// What the second topic of a name gets.
const RECREATED_RECORDS: usize = 100;

/// What must lie in a topic: the records of each partition, in order, from offset 0.
pub(crate) struct Stream {
    pub(crate) topic: String,
    pub(crate) partitions: Vec<Vec<Record>>,
}

impl Stream {
    fn empty(topic: &str) -> Self {
        Self {
            topic: topic.to_owned(),
            partitions: vec![Vec::new(); ALL.len()],
        }
    }

    fn count(&self) -> usize {
        self.partitions.iter().map(Vec::len).sum()
    }

    fn of(&self, partition: i32) -> &[Record] {
        usize::try_from(partition)
            .ok()
            .and_then(|index| self.partitions.get(index))
            .map_or(&[], Vec::as_slice)
    }
}

struct Matrix<L: Library> {
    library: L,
    seed: u64,
    records: usize,
    prompt: bool,
}

pub(crate) fn run<L: Library>(
    library: L,
    name: &str,
    seed: u64,
    records: usize,
    prompt: bool,
) -> ExitCode {
    let mut report = Report::new(L::version());
    let mut matrix = Matrix {
        library,
        seed,
        records,
        prompt,
    };

    let empty = Stream::empty(&format!("{name}-admin"));
    report.row("case=create-topic", || {
        matrix.check_create(&empty.topic).map(|()| None)
    });
    let mut filled = Stream::empty("");
    for combo in L::COMBOS {
        let Combo {
            codec,
            acks,
            idempotent,
        } = *combo;
        let fields = format!(
            "case=produce-consume codec={codec} acks={acks} idempotent={}",
            on_off(idempotent)
        );
        let topic = if idempotent {
            format!("{name}-{codec}-idempotent")
        } else {
            format!("{name}-{codec}-acks-{acks}")
        };
        let mut made = None;
        report.row(&fields, || {
            let stream =
                matrix.round_trip(&topic, combo, content::records(matrix.seed, matrix.records))?;
            Ok(Some(made.insert(stream).count()))
        });
        if let Some(stream) = made {
            report.stored(&stream, combo);
            filled = stream;
        }
    }
    let mut made = None;
    report.row("case=large-records codec=none", || {
        let stream = matrix.round_trip(
            &format!("{name}-large"),
            &L::PLAIN,
            content::large(matrix.seed),
        )?;
        Ok(Some(made.insert(stream).count()))
    });
    if let Some(stream) = made {
        report.stored(&stream, &L::PLAIN);
    }
    report.row("case=list-offsets", || {
        matrix.check_offsets(&empty)?;
        matrix.check_offsets(&filled).map(|()| None)
    });
    report.row("case=seek-offset", || {
        matrix.check_seek_offset(&filled).map(|()| None)
    });
    report.row("case=seek-time", || {
        matrix.check_seek_time(&filled).map(|()| None)
    });
    let mut made = None;
    report.row("case=recreate-topic", || {
        let stream = matrix.recreate(&format!("{name}-recreated"))?;
        Ok(Some(made.insert(stream).count()))
    });
    if let Some(stream) = made {
        report.stored(&stream, &L::PLAIN);
    }
    if report.failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

impl<L: Library> Matrix<L> {
    fn check_create(&mut self, topic: &str) -> Result<()> {
        self.create(topic)?;
        if self.library.create_topic(topic, PARTITIONS)? {
            return Err(format!("{topic} could be created twice"));
        }
        Ok(())
    }

    fn create(&mut self, topic: &str) -> Result<()> {
        if !self.library.create_topic(topic, PARTITIONS)? {
            return Err(format!("creating {topic}: there is one"));
        }
        self.settled(|library| {
            let found = library.partitions(topic)?;
            if found.as_deref() != Some(&ALL) {
                return Err(format!("the new {topic} has partitions {found:?}"));
            }
            ALL.iter()
                .try_for_each(|partition| library.offset(topic, *partition, At::Latest).map(drop))
        })
    }

    fn delete(&mut self, topic: &str) -> Result<()> {
        self.library.delete_topic(topic)?;
        self.settled(|library| match library.partitions(topic)? {
            None => Ok(()),
            Some(found) => Err(format!("the deleted {topic} has partitions {found:?}")),
        })
    }

    /// Makes the topic, produces, and reads all of it back.
    fn round_trip(&mut self, topic: &str, combo: &Combo, records: Vec<Record>) -> Result<Stream> {
        self.create(topic)?;
        let mut producer = self.library.producer(combo)?;
        let stream = self.produce(&mut producer, topic, combo, records)?;
        let mut consumer = self.library.consumer()?;
        self.consume(&mut consumer, &stream)?;
        self.check_offsets(&stream)?; // Nothing lies behind the last record.
        Ok(stream)
    }

    /// Acknowledged records must have been given the offsets 0, 1, 2, … of a new topic.
    fn produce(
        &mut self,
        producer: &mut L::Producer,
        topic: &str,
        combo: &Combo,
        mut records: Vec<Record>,
    ) -> Result<Stream> {
        records.iter_mut().for_each(L::restrict);
        let sent = self.library.produce(producer, topic, &records)?;
        if sent.len() != records.len() {
            return Err(format!(
                "{} of {} records were answered",
                sent.len(),
                records.len()
            ));
        }
        let mut stream = Stream::empty(topic);
        for (record, Sent { partition, offset }) in records.into_iter().zip(sent) {
            let next = stream.of(partition).len();
            if combo.acks != "0" && offset != i64::try_from(next).ok() {
                return Err(format!(
                    "{topic}-{partition}: a record was given offset {offset:?} instead of {next}"
                ));
            }
            usize::try_from(partition)
                .ok()
                .and_then(|index| stream.partitions.get_mut(index))
                .ok_or_else(|| format!("{topic} has no partition {partition}"))?
                .push(record);
        }
        Ok(stream)
    }

    /// Reads every partition from its beginning and compares each record.
    fn consume(&mut self, consumer: &mut L::Consumer, stream: &Stream) -> Result<()> {
        self.library.assign(consumer, &stream.topic, &ALL)?;
        let mut next = [0; ALL.len()];
        let mut compared = 0;
        while compared < stream.count() {
            let came = self.library.poll(consumer, &stream.topic);
            for found in
                came.map_err(|why| format!("after {next:?} of {} records: {why}", stream.count()))?
            {
                let next = usize::try_from(found.partition)
                    .ok()
                    .and_then(|index| next.get_mut(index))
                    .ok_or_else(|| format!("a record of partition {}", found.partition))?;
                same(stream, found.partition, *next, &found)?;
                *next += 1;
                compared += 1;
            }
        }
        Ok(())
    }

    fn check_offsets(&mut self, stream: &Stream) -> Result<()> {
        for partition in ALL {
            let topic = &stream.topic;
            let earliest = self.library.offset(topic, partition, At::Earliest)?;
            let latest = self.library.offset(topic, partition, At::Latest)?;
            let end = i64::try_from(stream.of(partition).len()).ok();
            if earliest != Some(0) || latest != end {
                return Err(format!(
                    "{topic}-{partition}: from {earliest:?} to {latest:?} instead of 0 to {end:?}"
                ));
            }
        }
        Ok(())
    }

    /// One consumer goes to the first, a middle and the last offset of each partition, and back again.
    fn check_seek_offset(&mut self, stream: &Stream) -> Result<()> {
        let mut consumer = self.library.consumer()?;
        for partition in ALL {
            let last = stream
                .of(partition)
                .len()
                .checked_sub(1)
                .ok_or("nothing to seek in")?;
            self.start(&mut consumer, stream, partition)?;
            for index in [0, last / 2, last, 0, last / 2] {
                self.seek(&mut consumer, stream, partition, index)?;
            }
        }
        Ok(())
    }

    /// Times before all, exactly at a record, just after it, at the latest, and after all.
    fn check_seek_time(&mut self, stream: &Stream) -> Result<()> {
        let mut consumer = self.library.consumer()?;
        for partition in ALL {
            let records = stream.of(partition);
            let middle = records
                .get(records.len() / 2)
                .ok_or("nothing to seek in")?
                .timestamp_ms;
            let latest = records
                .iter()
                .map(|record| record.timestamp_ms)
                .max()
                .unwrap_or_default();
            self.start(&mut consumer, stream, partition)?;
            for time in [0, middle, middle + 1, latest, latest + 1] {
                let expected = records
                    .iter()
                    .position(|record| record.timestamp_ms >= time);
                let found = self
                    .library
                    .offset(&stream.topic, partition, At::Time(time))?;
                if found != expected.and_then(|index| i64::try_from(index).ok()) {
                    return Err(format!("time {time}: {found:?} instead of {expected:?}"));
                }
                if let Some(index) = expected {
                    self.seek(&mut consumer, stream, partition, index)?;
                }
            }
        }
        Ok(())
    }

    /// Reads the first record: librdkafka lets nobody seek in a partition that it does not read yet.
    fn start(&mut self, consumer: &mut L::Consumer, stream: &Stream, partition: i32) -> Result<()> {
        self.library.assign(consumer, &stream.topic, &[partition])?;
        self.next_is(consumer, stream, partition, 0)
    }

    fn seek(
        &mut self,
        consumer: &mut L::Consumer,
        stream: &Stream,
        partition: i32,
        index: usize,
    ) -> Result<()> {
        let offset = i64::try_from(index).map_err(|e| e.to_string())?;
        self.library
            .seek(consumer, &stream.topic, partition, offset)?;
        self.next_is(consumer, stream, partition, index)
            .map_err(|why| format!("seek to {index}: {why}"))
    }

    fn next_is(
        &mut self,
        consumer: &mut L::Consumer,
        stream: &Stream,
        partition: i32,
        index: usize,
    ) -> Result<()> {
        let came = self.library.poll(consumer, &stream.topic)?;
        same(
            stream,
            partition,
            index,
            came.first().ok_or("no record came")?,
        )
    }

    /// Deletes a topic under an open producer and an open consumer, which go on with its successor.
    fn recreate(&mut self, topic: &str) -> Result<Stream> {
        let combo = L::PLAIN;
        let mut producer = self.library.producer(&combo)?;
        let mut consumer = self.library.consumer()?;
        self.create(topic)?;
        let first = content::records(self.seed, self.records / 10);
        let stream = self.produce(&mut producer, topic, &combo, first)?;
        self.consume(&mut consumer, &stream)?;
        self.delete(topic)?;
        self.create(topic)?;
        let second = content::records(self.seed.wrapping_add(1), RECREATED_RECORDS);
        let stream = self.produce(&mut producer, topic, &combo, second)?;
        self.consume(&mut consumer, &stream)?;
        self.check_offsets(&stream)?;
        Ok(stream)
    }

    /// Runs the step once against a broker that is prompt, else until it passes.
    fn settled(&mut self, mut step: impl FnMut(&mut L) -> Result<()>) -> Result<()> {
        let deadline = Instant::now() + WAIT_MAX;
        loop {
            let done = step(&mut self.library);
            if done.is_ok() || self.prompt || Instant::now() > deadline {
                return done;
            }
            sleep(Duration::from_millis(20));
        }
    }
}

/// The record found must be the sent one, byte for byte, at its offset.
fn same(stream: &Stream, partition: i32, index: usize, found: &Found) -> Result<()> {
    let wanted = format!("{}-{partition} offset {index}", stream.topic);
    let sent = stream
        .of(partition)
        .get(index)
        .ok_or_else(|| format!("{wanted}: more records than were sent"))?;
    if found.partition != partition || i64::try_from(index) != Ok(found.offset) {
        return Err(format!(
            "partition {} offset {} came instead of {wanted}",
            found.partition, found.offset
        ));
    }
    let differs = [
        ("key", sent.key != found.record.key),
        ("value", sent.value != found.record.value),
        ("headers", sent.headers != found.record.headers),
        ("timestamp", sent.timestamp_ms != found.record.timestamp_ms),
    ];
    match differs.iter().find(|(_, differs)| *differs) {
        None => Ok(()),
        Some((what, _)) if *what == "value" => Err(format!("{wanted}: value differs")),
        Some((what, _)) => Err(format!(
            "{wanted}: {what} differs: sent {:?} {:?} {}, found {:?} {:?} {}",
            sent.key,
            sent.headers,
            sent.timestamp_ms,
            found.record.key,
            found.record.headers,
            found.record.timestamp_ms
        )),
    }
}
