"""What every Python program here shares: its arguments, its report, its records, its demands.

The contract is `tests/clients/README.md`. The cases are in `cases.py`.
"""

import os
import random
import sys
import time
import traceback
from dataclasses import dataclass, field

KINDS_OF_GROUPS = ("groups", "member", "first", "floor")
PACES = ("prompt", "settling", *(f"{kind}-{protocol}" for kind in KINDS_OF_GROUPS for protocol in ("classic", "consumer")))
WAIT_SECONDS_MAX = 30
FIRST_TIMESTAMP_MS = 1_700_000_000_000
LARGE_RECORDS = 20
LARGE_RECORD_BYTES = 900_000
WORDS = ["partition ", "segment ", "batch ", "record ", "offset ", "epoch ", "leader "]


class Wrong(Exception):
    """The broker or the library did not do what the contract says."""


def demand(holds, what):
    if not holds:
        raise Wrong(what)


def same(expected, found, what):
    if expected != found:
        raise Wrong(f"{what}: expected {shown(expected)}, found {shown(found)}")


def shown(value):
    text = repr(value)
    return text if len(text) <= 300 else text[:300] + "…"


def stop(what, call):
    """A call of a tour. It may be refused: that is worth a capture, too."""
    try:
        call()
    except Exception as refusal:
        print(f"tour: {what}: {refusal!r}")


class Deadline:
    """A wait that ends."""

    def __init__(self):
        self.at = time.monotonic() + WAIT_SECONDS_MAX

    def passed(self):
        return time.monotonic() > self.at


@dataclass
class Arguments:
    client: str
    bootstrap: str
    seed: int
    records: int
    pace: str

    @classmethod
    def read(cls):
        if len(sys.argv) != 5 or sys.argv[4] not in PACES:
            sys.exit(f"usage: {sys.argv[0]} HOST:PORT SEED RECORDS {'|'.join(PACES)}")
        _, bootstrap, seed, records, pace = sys.argv
        return cls(os.environ["OTTLA_CLIENT"], bootstrap, int(seed), int(records), pace)

    @property
    def prompt(self):
        return self.pace == "prompt"

    def settled(self, step):
        """Runs the step until it passes: Apache Kafka's metadata follows a moment after an answer. A prompt broker
        gets one try."""
        deadline = Deadline()
        while True:
            try:
                return step()
            except Exception:
                if self.prompt or deadline.passed():
                    raise
                time.sleep(0.02)


class Report:
    """Rows and what is stored, on standard output."""

    def __init__(self, versions):
        self.versions = versions
        self.failed = False

    def row(self, fields, body):
        """Runs a case; what it answers is the rest of its row."""
        start = f"row {self.versions} {fields}"
        try:
            rest = body() or ""
            print(f"{start} {rest}".rstrip() + " result=ok", flush=True)
        except Exception:
            self.failed = True
            print(f"{start} result=failed", flush=True)
            print(f"failed: {fields}:", file=sys.stderr)
            traceback.print_exc()

    def stored(self, topic, partition, records, combo):
        print(
            f"stored topic={topic} partition={partition} records={records} "
            f"codec={combo.codec} idempotent={combo.on_off()}",
            flush=True,
        )


@dataclass(frozen=True)
class Combo:
    """One way of producing."""

    codec: str
    acks: str
    idempotent: bool = False

    def on_off(self):
        return "on" if self.idempotent else "off"

    def fields(self):
        return f"codec={self.codec} acks={self.acks} idempotent={self.on_off()}"

    def topic(self):
        return f"{self.codec}-acks-{self.acks}" + ("-idempotent" if self.idempotent else "")


@dataclass
class Record:
    key: bytes | None
    value: bytes | None
    timestamp: int
    headers: list = field(default_factory=list)
    # The library's partitioner decides, unless this is set.
    partition: int | None = None


def records(seed, count):
    """Records whose every byte follows from the seed."""
    source = random.Random(seed)
    return [
        Record(key(source, i), value(source, i), timestamp(i, count), headers(source, i)) for i in range(count)
    ]


def large_records(seed):
    source = random.Random(seed)
    return [
        Record(None, source.randbytes(LARGE_RECORD_BYTES), timestamp(i, LARGE_RECORDS)) for i in range(LARGE_RECORDS)
    ]


def timestamp(i, count):
    """Every seventh lies back; the last one is the only latest one."""
    rising = FIRST_TIMESTAMP_MS + 10 * i
    return rising - 5_000 if i % 7 == 3 and i != count - 1 else rising


def key(source, i):
    if i % 16 == 5:
        return None
    if i % 16 == 11:
        return b""
    return f"key-{source.randrange(1000)}".encode()


def value(source, i):
    if i % 10 == 3:
        return None
    if i % 10 == 7:
        return b""
    if i % 2500 == 4:
        return words(source, 20_000)
    if i % 10 == 9:
        return source.randbytes(source.randrange(300))
    return words(source, source.randrange(300))


def words(source, size):
    text = []
    while size > 0:
        text.append(source.choice(WORDS))
        size -= len(text[-1])
    return "".join(text).encode()


def headers(source, i):
    if i % 4 == 1:
        return [("trace", words(source, 20))]
    if i % 4 == 2:
        return [("twice", b"first"), ("between", b"\x00\xff"), ("twice", b"second"), ("twice", b"first")]
    if i % 4 == 3:
        return [("null", None), ("empty", b""), ("", b"no name"), ("žluťoučký", "kůň".encode())]
    return []
