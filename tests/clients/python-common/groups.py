"""The cases of groups (`tests/clients/README.md`) over a library that an adapter makes uniform.

The adapter is that of `cases.py`, and has besides:

- `lacks_of_groups`, if it lacks some: the cases that its list says it lacks, without `group-`;
- `member(topic, group, protocol, auto_commit)`: a new member that has subscribed and begins at the earliest record; the
  protocol is `classic` or `consumer`;
- `group_offsets(group, topic)`: {partition: committed offset} as an administrator asks for them, without those that
  have none;
- `group_state(group)`: its state, in any case, and how many members it has.

A member has `poll(seconds)`, which answers a list of `(partition, offset, value)`, `assigned()`, a set of partitions,
`commit()` of all that was polled, `commit_at({partition: offset})`, `committed(partition)` (None without one),
`seek(partition, offset)`, `pause(partitions)`, `resume(partitions)`, `latest(partition)` and `close()`, which leaves.
"""

import functools
import logging
import os
import statistics
import sys
import time
from contextlib import ExitStack, closing

from contract import FIRST_TIMESTAMP_MS, Combo, Deadline, Record, Report, demand, same

PARTITIONS = 3
ALL = set(range(PARTITIONS))
EACH = 20
POLL_SECONDS = 0.05
# What members are told, so that nobody waits for a heartbeat: as short as a broker allows, unless the member is killed.
SESSION_MS = int(os.environ.get("OTTLA_SESSION_MS", "6000"))
HEARTBEAT_MS = 100
AUTO_COMMIT_MS = 100
# What the mock broker has: it makes no topics for administrators.
MOCK_TOPIC = "first-record"
# A member that is to be killed does not stay for ever.
KILLED_WITHIN_SECONDS = 300


def main(arguments, make):
    """Runs every case of groups over the adapter that `make` answers for the address of the broker."""
    groups = Groups(arguments, make(arguments.bootstrap))
    logging.disable(logging.ERROR)  # That a broker is gone for a moment is no news.
    kind, protocol = arguments.pace.split("-")
    kinds = {"groups": groups.run, "member": groups.member, "first": groups.first_record, "floor": groups.floor}
    kinds[kind](protocol)
    sys.exit(1 if groups.report.failed else 0)


def ask(what):
    """`restart` or `kill`: the broker is down and up again when this returns. `member`: another process, which runs
    `Groups.member`, has all partitions. `kill-member`: that one is dead."""
    print(what, flush=True)
    same("done", sys.stdin.readline().strip(), f"answer to {what}")


def answered(ask):
    """The answer, if need be after some tries: the connections of the broker before are lost."""
    deadline = Deadline()
    while True:
        try:
            return ask()
        except Exception:
            if deadline.passed():
                raise
            time.sleep(0.02)


class Topic:
    """A topic, and what lies in it."""

    def __init__(self, library, name):
        self.library = library
        self.name = name
        self.lies = {partition: [] for partition in ALL}
        self.plain = Combo("none", "all", library.idempotent)
        answered(lambda: library.create(name, PARTITIONS))
        self.producer = library.producer(self.plain)

    def send(self, count=EACH):
        """So many more records into each partition."""
        sent, places = [], set()
        for partition, lies in self.lies.items():
            for i in range(len(lies), len(lies) + count):
                value = f"{partition}-{i}".encode()
                record = Record(None, value, FIRST_TIMESTAMP_MS + i, partition=partition)
                self.library.express(record)
                sent.append(record)
                lies.append(value)
                places.add((partition, i))
        same(places, set(self.producer.produce(self.name, sent)), "offsets of what was sent")

    def ends(self):
        return {partition: len(lies) for partition, lies in self.lies.items()}

    def close(self):
        self.producer.close()


class Reader:
    """What comes to some members, together, is held against what lies in the topic: every record once, in order."""

    def __init__(self, topic):
        self.topic = topic
        self.next = dict.fromkeys(ALL, 0)
        # What may come again: nothing, or all from these offsets on, because it was not committed.
        self.repeats = None

    def settle(self, members, wanted, what):
        """Polls until the assignments are as they should be. No record may come meanwhile."""
        deadline = Deadline()
        while not wanted([member.assigned() for member in members]):
            demand(not deadline.passed(), f"{what}: {[member.assigned() for member in members]}")
            for member in members:
                self.nothing_new(member.poll(POLL_SECONDS), f"records while waiting for: {what}")

    def nothing_new(self, found, what):
        if self.repeats is not None:
            found = [place for place in found if not self.is_repeated(*place)]
        same([], found, what)

    def is_repeated(self, partition, offset, value):
        if self.repeats is None or not self.repeats[partition] <= offset < self.next[partition]:
            return False
        same(self.topic.lies[partition][offset], value, f"partition {partition} offset {offset} again")
        return True

    def read(self, members, ends=None):
        """Polls until everything came that lies there, and answers who got which partition's records."""
        ends, deadline, readers = ends or self.topic.ends(), Deadline(), {partition: set() for partition in ALL}
        while self.next != ends:
            demand(not deadline.passed(), f"read up to {self.next} of {ends}")
            for who, member in enumerate(members):
                self.take(member.poll(POLL_SECONDS), ends, readers, who)
        return readers

    def take(self, found, ends, readers, who):
        for partition, offset, value in found:
            readers[partition].add(who)
            if self.is_repeated(partition, offset, value):
                continue
            at = self.next[partition]
            same(at, offset, f"next offset of partition {partition} at member {who}")
            demand(at < ends[partition], f"offset {offset} of partition {partition} came too early")
            same(self.topic.lies[partition][at], value, f"partition {partition} offset {offset}")
            self.next[partition] = at + 1


def alone(assigned):
    return assigned == [ALL]


def shared(assigned):
    """Everybody has some, nobody the same, nothing is left."""
    return all(assigned) and sum(map(len, assigned)) == PARTITIONS and set().union(*assigned) == ALL


def owners(assigned):
    """What `Reader.read` must then answer."""
    return {partition: {who for who, of in enumerate(assigned) if partition in of} for partition in ALL}


class Groups:
    def __init__(self, arguments, library):
        self.arguments = arguments
        self.library = library
        self.report = Report(library.versions)
        lacks = getattr(library, "lacks_of_groups", set())
        every = {
            "subscribe": self.subscribe,
            "rebalance": self.rebalance,
            "resume": self.resume,
            "seek": self.seek,
            "pause": self.pause,
            "auto-commit": self.auto_commit,
            "idle": self.idle,
            "apart": self.apart,
            "lag": self.lag,
            "restart": lambda *place: self.interrupted("restart", *place),
            "kill": lambda *place: self.interrupted("kill", *place),
            "member-killed": self.member_killed,
        }
        self.cases = {name: case for name, case in every.items() if name not in lacks}

    def run(self, protocol):
        for name, case in self.cases.items():
            one = functools.partial(self.one, case, name, protocol)
            self.report.row(f"case=group-{name} protocol={protocol}", one)

    def name(self, case, protocol):
        """Of the topic, and of the group."""
        return f"{self.arguments.client}-{case}-{protocol}"

    def one(self, case, name, protocol):
        name = self.name(name, protocol)
        with ExitStack() as open_things:
            topic = open_things.enter_context(closing(Topic(self.library, name)))

            def join(group=name, auto_commit=False):
                member = self.library.member(name, group, protocol, auto_commit)
                return open_things.enter_context(closing(Once(member)))

            case(topic, join)

    def subscribe(self, topic, join):
        topic.send()
        member, reader = join(), Reader(topic)
        same(owners([ALL]), reader.read([member]), "who read")
        same(ALL, member.assigned(), "assignment")
        same([None] * PARTITIONS, [member.committed(partition) for partition in ALL], "committed by nobody")

    def rebalance(self, topic, join):
        """One, then two, then one again."""
        first, reader = join(), Reader(topic)
        reader.settle([first], alone, "the first has all")
        topic.send()
        reader.read([first])
        first.commit()
        second = join()
        both = [first, second]
        reader.settle(both, shared, "both have some")
        topic.send()
        same(owners([member.assigned() for member in both]), reader.read(both), "who read")
        for member in both:
            member.commit()
        second.close()
        reader.settle([first], alone, "the first has all again")
        topic.send()
        reader.read([first])
        first.commit()
        same(topic.ends(), committed(first), "committed at last")

    def resume(self, topic, join):
        """A new member goes on where an old one said, and at the beginning of what it said nothing of."""
        topic.send()
        old = join()
        Reader(topic).read([old])
        old.commit_at({0: 5, 2: EACH})
        old.close()
        new, reader = join(), Reader(topic)
        reader.next = {0: 5, 1: 0, 2: EACH}
        topic.send()
        reader.read([new])
        new.commit()
        same(topic.ends(), committed(new), "committed at last")

    def seek(self, topic, join):
        topic.send()
        member, reader = join(), Reader(topic)
        reader.read([member])
        for partition, offset in ((0, 3), (1, 0)):
            member.seek(partition, offset)
            reader.next[partition] = offset
        reader.read([member])

    def pause(self, topic, join):
        member, reader = join(), Reader(topic)
        reader.settle([member], alone, "it has all")
        member.pause({1})
        topic.send()
        reader.read([member], topic.ends() | {1: 0})
        same([], member.poll(POLL_SECONDS), "records of a paused partition")
        member.resume({1})
        reader.read([member])

    def auto_commit(self, topic, join):
        """In the background, and when it leaves."""
        topic.send()
        member, reader = join(auto_commit=True), Reader(topic)
        reader.read([member])
        deadline = Deadline()
        while committed(member) != topic.ends():
            demand(not deadline.passed(), f"committed: {committed(member)}")
            same([], member.poll(POLL_SECONDS), "records after the last")
        topic.send()
        reader.read([member])
        member.close()
        same(topic.ends(), self.library.group_offsets(topic.name, topic.name), "committed when it left")

    def idle(self, topic, join):
        members, reader = [join() for _ in range(5)], Reader(topic)

        def one_each(assigned):
            return sorted(map(len, assigned)) == [0, 0, 1, 1, 1] and set().union(*assigned) == ALL

        # Three of them have one each before the others join, too.
        reader.settle(members, lambda _: self.state(topic.name) == ("stable", 5), "all five are members")
        reader.settle(members, one_each, "three of five have one")
        topic.send()
        same(owners([member.assigned() for member in members]), reader.read(members), "who read")

    def state(self, group):
        try:
            state, members = self.library.group_state(group)
        except Exception as refusal:
            return f"{refusal!r}", 0
        return state.lower(), members

    def apart(self, topic, join):
        """Two groups."""
        topic.send()
        for end in ("one", "other"):
            group = f"{topic.name}-{end}"
            member = join(group)
            Reader(topic).read([member])
            member.commit()
            same(topic.ends(), self.library.group_offsets(group, topic.name), f"committed by {group}")

    def lag(self, topic, join):
        """As tools compute it: latest less committed, and all of it where nothing was committed."""
        topic.send()
        member = join()
        Reader(topic).read([member])
        member.commit_at({0: 5, 1: EACH})
        topic.send(7)
        offsets = self.library.group_offsets(topic.name, topic.name)
        same({0: 5, 1: EACH}, offsets, "offsets of the group")
        lag = {partition: member.latest(partition) - offsets.get(partition, 0) for partition in ALL}
        same({0: EACH - 5 + 7, 1: 7, 2: EACH + 7}, lag, "lag")

    def interrupted(self, how, topic, join):
        """The broker goes and comes back under two members. A client may join anew because of that, and then gets again
        what it did not commit."""
        members, reader = [join(), join()], Reader(topic)
        reader.settle(members, shared, "both have some")
        topic.send()
        reader.read(members)
        for member in members:
            member.commit()
        ends = topic.ends()
        topic.send()
        ask(how)
        offsets = answered(lambda: self.library.group_offsets(topic.name, topic.name))
        same(ends, offsets, f"committed before the {how}")
        topic.send()
        reader.repeats = ends
        reader.read(members)
        reader.settle(members, shared, "both have some again")
        deadline = Deadline()
        while self.library.group_offsets(topic.name, topic.name) != topic.ends():
            demand(not deadline.passed(), "what was read cannot be committed")
            for member in members:
                reader.nothing_new(member.poll(POLL_SECONDS), "records after the last")
                try:
                    member.commit()
                except Exception as refusal:
                    print(f"a commit during a rebalance: {refusal!r}")

    def member_killed(self, topic, join):
        """Its process dies by SIGKILL; who comes after it does not wait for the end of its session."""
        topic.send()
        ask("member")
        topic.send()
        ask("kill-member")
        start = time.monotonic()
        member, reader = join(), Reader(topic)
        same(owners([ALL]), reader.read([member]), "who read")
        print(f"after a member was killed: {time.monotonic() - start:.1f} s", flush=True)

    def member(self, protocol):
        """The one that is killed: it has everything, and commits nothing."""
        name = self.name("member-killed", protocol)
        member, deadline = self.library.member(name, name, protocol, False), Deadline()
        while member.assigned() != ALL:
            demand(not deadline.passed(), f"assigned: {member.assigned()}")
            member.poll(POLL_SECONDS)
        print("ready", flush=True)
        end = time.monotonic() + KILLED_WITHIN_SECONDS
        while time.monotonic() < end:
            member.poll(1)

    def first_record(self, protocol):
        """From a consumer's making to its first record, in groups that never were."""
        with closing(Topic(self.library, f"{self.arguments.client}-first-{protocol}")) as topic:
            topic.send(1)
            self.floor(protocol, topic.name)

    def floor(self, protocol, topic=MOCK_TOPIC):
        """The same with a topic that is there."""
        took = []
        for run in range(self.arguments.records):
            start = time.monotonic()
            group = f"{self.arguments.client}-{protocol}-{run}"
            with closing(self.library.member(topic, group, protocol, False)) as member:
                deadline = Deadline()
                while not member.poll(1):
                    demand(not deadline.passed(), "no first record")
                took.append((time.monotonic() - start) * 1000)
        print(
            f"first-record {self.report.versions} protocol={protocol} "
            f"ms={statistics.median(took):.1f} least={min(took):.1f} runs={len(took)}",
            flush=True,
        )


class Once:
    """A member that is closed once: a case may close it itself."""

    def __init__(self, member):
        self.member = member
        self.is_open = True

    def __getattr__(self, name):
        return getattr(self.member, name)

    def close(self):
        if self.is_open:
            self.is_open = False
            self.member.close()


def committed(member):
    return {partition: member.committed(partition) for partition in ALL}
