"""The cases of the contract (`tests/clients/README.md`) over a library that an adapter makes uniform.

An adapter has:

- `versions`: the first fields of every row; `combos`: the ways of producing that it runs; `idempotent`: whether it can;
- `lacks`, if it lacks some: the names of cases that its list says it lacks (of `seek-time` and `recreate-topic`);
- `create(topic, partitions)`, `refuses_again(topic, partitions)` (creates it, demands TOPIC_ALREADY_EXISTS),
  `delete(topic)`, `leaders(topic)` ({partition: leader}; empty if there is no such topic);
- `producer(combo)` with `produce(topic, records)`, which answers `(partition, offset)` for each record, the offset None
  if it is not acknowledged, and `close()`;
- `express(record)` takes out of a record what the library cannot send;
- `consumer()` with `assign(topic, partitions)`, `seek(topic, partition, offset)`, `position(topic, partition)`,
  `poll(seconds)`, which answers a list of `(partition, offset, Record)`, `earliest(topic, partition)`,
  `latest(topic, partition)`, `at_time(topic, partition, timestamp)` (None after the last), and `close()`;
  `Consumer` below has what most need not do.
"""

import sys
from contextlib import closing

import contract
import groups
from contract import Arguments, Combo, Deadline, Report, demand, same

PARTITIONS = 3
RECORDS_AGAIN = 100


def main(make):
    """Runs every case over the adapter that `make` answers for the address of the broker."""
    arguments = Arguments.read()
    if "-" in arguments.pace:
        return groups.main(arguments, make)
    cases = Cases(arguments, make(arguments.bootstrap))
    cases.run()
    sys.exit(1 if cases.report.failed else 0)


class Consumer:
    def before_delete(self):
        """The topic that it is assigned to is about to be deleted."""

    def after_delete(self, topic):
        """It was made again."""


class Cases:
    def __init__(self, arguments, library):
        self.arguments = arguments
        self.library = library
        self.report = Report(library.versions)
        self.plain = Combo("none", "all", library.idempotent)

    def run(self):
        row = self.report.row
        row("case=create-topic", self.create_topic)
        for combo in self.library.combos:
            row(f"case=produce-consume {combo.fields()}", lambda combo=combo: self.produce_consume(combo))
        row("case=large-records codec=none", self.large)
        sent = {}
        row("case=list-offsets", lambda: sent.update(self.list_offsets()))
        row("case=seek-offset", lambda: self.seek_offset(sent))
        lacks = getattr(self.library, "lacks", set())
        if "seek-time" not in lacks:
            row("case=seek-time", lambda: self.seek_time(sent))
        if "recreate-topic" not in lacks:
            row("case=recreate-topic", self.recreate)

    def records(self, seed, count):
        return self.expressible(contract.records(seed, count))

    def expressible(self, made):
        for record in made:
            self.library.express(record)
        return made

    def name(self, end):
        return f"{self.arguments.client}-{end}"

    def create(self, topic, partitions=PARTITIONS):
        self.library.create(topic, partitions)
        self.arguments.settled(lambda: self.leads(topic, partitions))

    def leads(self, topic, partitions):
        leaders = self.library.leaders(topic)
        same(set(range(partitions)), set(leaders), f"partitions of {topic}")
        demand(all(leader >= 0 for leader in leaders.values()), f"{topic} lacks a leader: {leaders}")

    def create_topic(self):
        topic = self.name("admin")
        self.create(topic)
        self.library.refuses_again(topic, PARTITIONS)

    def produce_consume(self, combo):
        topic = self.name(combo.topic())
        self.create(topic)
        sent = self.records(self.arguments.seed, self.arguments.records)
        if combo.acks == "0":
            # Not every library tells the partition of a record that is not acknowledged.
            for i, record in enumerate(sent):
                record.partition = i % PARTITIONS
        return f"records={self.round_trip(topic, combo, sent)}"

    def large(self):
        topic = self.name("large")
        self.create(topic, 1)
        sent = self.expressible(contract.large_records(self.arguments.seed))
        return f"records={self.round_trip(topic, self.plain, sent)}"

    def round_trip(self, topic, combo, sent):
        with closing(self.library.producer(combo)) as producer:
            expected = self.produce(producer, topic, combo, sent)
        same(set(self.library.leaders(topic)), set(expected), "partitions that got records")
        with closing(self.library.consumer()) as consumer:
            consumer.assign(topic, sorted(expected))
            read = self.read_all(consumer, topic, expected)
        self.stored(topic, expected, combo)
        return read

    def stored(self, topic, expected, combo):
        for partition, sent in sorted(expected.items()):
            self.report.stored(topic, partition, len(sent), combo)

    def produce(self, producer, topic, combo, sent):
        """Answers, per partition, what must now lie there, in order."""
        answers = producer.produce(topic, sent)
        same(len(sent), len(answers), "answers to records")
        expected = {}
        for i, (record, (partition, offset)) in enumerate(zip(sent, answers)):
            lies = expected.setdefault(partition, [])
            same(None if combo.acks == "0" else len(lies), offset, f"offset of record {i} in partition {partition}")
            demand(record.partition in (None, partition), f"record {i} went to partition {partition}")
            lies.append(record)
        return expected

    def read_all(self, consumer, topic, expected):
        """Reads every partition from its beginning, compares, and demands that nothing follows."""
        total = sum(len(sent) for sent in expected.values())
        following = dict.fromkeys(expected, 0)
        for partition in expected:
            consumer.seek(topic, partition, 0)
        deadline, read = Deadline(), 0
        while read < total:
            demand(not deadline.passed(), f"only {read} of {total} records came: {following}")
            for partition, offset, found in consumer.poll(1):
                at = following[partition]
                demand(at < len(expected[partition]), f"more than was sent in {topic}-{partition}: offset {offset}")
                compare(topic, partition, at, expected[partition][at], offset, found)
                following[partition] = at + 1
                read += 1
        same([], consumer.poll(0.05), "records after the last")
        for partition, sent in expected.items():
            same(len(sent), consumer.position(topic, partition), f"position in {topic}-{partition}")
        return read

    def list_offsets(self):
        topic = self.name("seek")
        self.create(topic)
        with closing(self.library.consumer()) as consumer:
            consumer.assign(topic, range(PARTITIONS))
            for partition in range(PARTITIONS):
                self.arguments.settled(lambda: self.ends(consumer, topic, partition, 0))
            with closing(self.library.producer(self.plain)) as producer:
                sent = self.records(self.arguments.seed, self.arguments.records // 10)
                expected = self.produce(producer, topic, self.plain, sent)
            for partition, lies in expected.items():
                self.ends(consumer, topic, partition, len(lies))
        self.stored(topic, expected, self.plain)
        return expected

    def ends(self, consumer, topic, partition, count):
        same(0, consumer.earliest(topic, partition), f"earliest of {topic}-{partition}")
        same(count, consumer.latest(topic, partition), f"latest of {topic}-{partition}")

    def seek_offset(self, expected):
        demand(expected, "nothing is stored to seek in")
        topic = self.name("seek")
        with closing(self.library.consumer()) as consumer:
            for partition, sent in expected.items():
                consumer.assign(topic, [partition])
                for at in (0, len(sent) // 2, len(sent) - 1, 1):
                    self.seek(consumer, topic, partition, at, sent[at])

    def seek_time(self, expected):
        demand(expected, "nothing is stored to seek in")
        topic = self.name("seek")
        with closing(self.library.consumer()) as consumer:
            for partition, sent in expected.items():
                consumer.assign(topic, [partition])
                times = [0]
                for part in range(4):
                    time = sent[(len(sent) - 1) * part // 4].timestamp
                    times += [time, time + 1]
                times.append(max(record.timestamp for record in sent) + 1)
                for time in times:
                    right = next((at for at, record in enumerate(sent) if record.timestamp >= time), None)
                    same(right, consumer.at_time(topic, partition, time), f"time {time} in {topic}-{partition}")
                    if right is not None:
                        self.seek(consumer, topic, partition, right, sent[right])

    def seek(self, consumer, topic, partition, at, sent):
        """Goes there and reads the record that lies there."""
        consumer.seek(topic, partition, at)
        deadline, found = Deadline(), []
        while not found:
            demand(not deadline.passed(), f"nothing came from {topic}-{partition} at {at}")
            found = consumer.poll(1)
        found_in, offset, record = found[0]
        same(partition, found_in, "partition")
        compare(topic, partition, at, sent, offset, record)

    def recreate(self):
        """The same producer and the same consumer, before and after."""
        topic = self.name("recreated")
        with closing(self.library.producer(self.plain)) as producer, closing(self.library.consumer()) as consumer:
            self.create(topic, 1)
            consumer.assign(topic, [0])
            sent = self.records(self.arguments.seed, self.arguments.records // 10)
            self.read_all(consumer, topic, self.produce(producer, topic, self.plain, sent))
            consumer.before_delete()
            self.library.delete(topic)
            self.arguments.settled(lambda: same({}, self.library.leaders(topic), "partitions of a deleted topic"))
            self.create(topic, 1)
            sent = self.records(self.arguments.seed + 1, RECORDS_AGAIN)
            expected = self.produce(producer, topic, self.plain, sent)
            consumer.after_delete(topic)
            read = self.read_all(consumer, topic, expected)
        self.stored(topic, expected, self.plain)
        return f"records={read}"


def compare(topic, partition, at, sent, offset, found):
    where = f"{topic}-{partition} offset {offset}"
    same(at, offset, f"{where}: offset")
    same(sent.key, found.key, f"{where}: key")
    same(sent.value, found.value, f"{where}: value")
    same(sent.headers, found.headers, f"{where}: headers")
    same(sent.timestamp, found.timestamp, f"{where}: timestamp")
