"""aiokafka: `main.py HOST:PORT SEED RECORDS prompt|settling|groups-PROTOCOL|…|tour`. Its loop runs on a
thread of its own, so that what it does in the background goes on between the calls."""

import asyncio
import concurrent.futures
import os
import sys
import threading

import aiokafka
import cases
import groups
import tour
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code
from contract import WAIT_SECONDS_MAX, Combo, Record, Wrong, same

LOOP = asyncio.new_event_loop()
threading.Thread(target=LOOP.run_forever, daemon=True).start()


def wait(body):
    """Runs a coroutine to its end."""
    return asyncio.run_coroutine_threadsafe(asyncio.wait_for(body, WAIT_SECONDS_MAX), LOOP).result()


class Library:
    versions = f"version={aiokafka.__version__}"
    idempotent = True
    combos = [
        Combo("none", "0"),
        Combo("gzip", "1"),
        Combo("snappy", "all"),
        Combo("lz4", "all", True),
        Combo("zstd", "all", True),
    ]

    def __init__(self, bootstrap):
        self.bootstrap = bootstrap
        self.admin = wait(started(lambda: AIOKafkaAdminClient(bootstrap_servers=bootstrap)))

    def create(self, topic, partitions):
        new = NewTopic(topic, partitions, 1, topic_configs={"retention.ms": "-1"})
        answer = wait(self.admin.create_topics([new], timeout_ms=WAIT_SECONDS_MAX * 1000))
        demand_none(answer.topic_errors)

    def refuses_again(self, topic, partitions):
        try:
            self.create(topic, partitions)
        except TopicAlreadyExistsError:
            return
        raise Wrong("making a topic again was not refused")

    def delete(self, topic):
        answer = wait(self.admin.delete_topics([topic], timeout_ms=WAIT_SECONDS_MAX * 1000))
        demand_none(answer.topic_error_codes)

    def leaders(self, topic):
        # Listed with all others: asking for one topic might make it.
        for found in wait(self.admin.describe_topics()):
            if found["topic"] == topic:
                return {p["partition"]: p["leader"] for p in found["partitions"]}
        return {}

    def express(self, record):
        """A record without key and value is refused by the library itself."""
        if record.key is None and record.value is None:
            record.value = b""

    def producer(self, combo):
        return LibraryProducer(self.bootstrap, combo)

    def consumer(self):
        return LibraryConsumer(self.bootstrap)

    def member(self, topic, group, protocol, auto_commit):
        same("classic", protocol, "protocol")
        return LibraryMember(self.bootstrap, topic, group, auto_commit)

    def group_offsets(self, group, topic):
        found = wait(self.admin.list_consumer_group_offsets(group))
        return {place.partition: at.offset for place, at in found.items() if place.topic == topic and at.offset >= 0}

    def group_state(self, group):
        (answer,) = wait(self.admin.describe_consumer_groups([group]))
        ((_, _, state, _, _, members, *_),) = answer.groups
        return state, len(members)


def demand_none(errors):
    for topic, code, *_ in errors:
        if code != 0:
            raise for_code(code)(topic)


async def started(make):
    """The library wants to be made inside its loop."""
    made = make()
    await made.start()
    return made


class LibraryProducer:
    def __init__(self, bootstrap, combo):
        ways = {
            "bootstrap_servers": bootstrap,
            "compression_type": None if combo.codec == "none" else combo.codec,
            "acks": combo.acks if combo.acks == "all" else int(combo.acks),
            "enable_idempotence": combo.idempotent,
            "linger_ms": 5,
        }
        self.producer = wait(started(lambda: AIOKafkaProducer(**ways)))
        self.acknowledged = combo.acks != "0"

    def produce(self, topic, records):
        return wait(self.send_all(topic, records))

    async def send_all(self, topic, records):
        sent = []
        for record in records:
            future = await self.producer.send(
                topic,
                value=record.value,
                key=record.key,
                headers=record.headers,
                partition=record.partition,
                timestamp_ms=record.timestamp,
            )
            sent.append(future)
        await self.producer.flush()
        found = [await future for future in sent]
        if not self.acknowledged:
            same({None}, set(found), "answers without an acknowledgement")
            return [(record.partition, None) for record in records]
        return [(answer.partition, answer.offset) for answer in found]

    def close(self):
        wait(self.producer.stop())


class LibraryConsumer(cases.Consumer):
    def __init__(self, bootstrap):
        ways = {
            "bootstrap_servers": bootstrap,
            "group_id": None,
            "enable_auto_commit": False,
            "auto_offset_reset": "none",
            "fetch_max_wait_ms": 50,
        }
        self.consumer = wait(started(lambda: AIOKafkaConsumer(**ways)))

    def assign(self, topic, partitions):
        self.call(self.consumer.assign, [TopicPartition(topic, partition) for partition in partitions])

    def seek(self, topic, partition, offset):
        self.call(self.consumer.seek, TopicPartition(topic, partition), offset)

    def poll(self, seconds):
        found = wait(self.consumer.getmany(timeout_ms=int(seconds * 1000)))
        return [
            (place.partition, record.offset, Record(record.key, record.value, record.timestamp, list(record.headers)))
            for place, records in found.items()
            for record in records
        ]

    def position(self, topic, partition):
        return wait(self.consumer.position(TopicPartition(topic, partition)))

    def earliest(self, topic, partition):
        place = TopicPartition(topic, partition)
        return wait(self.consumer.beginning_offsets([place]))[place]

    def latest(self, topic, partition):
        place = TopicPartition(topic, partition)
        return wait(self.consumer.end_offsets([place]))[place]

    def at_time(self, topic, partition, timestamp):
        place = TopicPartition(topic, partition)
        found = wait(self.consumer.offsets_for_times({place: timestamp}))[place]
        return None if found is None else found.offset

    def before_delete(self):
        # It asks for the metadata of what it is assigned to, and cannot ask in the way that makes no topic: it would
        # make the deleted topic again.
        self.call(self.consumer.unsubscribe)

    def after_delete(self, topic):
        self.assign(topic, [0])

    def close(self):
        wait(self.consumer.stop())

    @staticmethod
    def call(body, *arguments):
        async def inside():
            body(*arguments)

        wait(inside())


class LibraryMember(LibraryConsumer):
    def __init__(self, bootstrap, topic, group, auto_commit):
        ways = {
            "bootstrap_servers": bootstrap,
            "group_id": group,
            "auto_offset_reset": "earliest",
            "enable_auto_commit": auto_commit,
            "auto_commit_interval_ms": groups.AUTO_COMMIT_MS,
            "session_timeout_ms": groups.SESSION_MS,
            "heartbeat_interval_ms": groups.HEARTBEAT_MS,
            "fetch_max_wait_ms": 50,
        }
        self.topic = topic
        # Its start waits for a first assignment, which has to wait for the others: it is made in the background.
        self.consumer = wait(made(lambda: AIOKafkaConsumer(topic, **ways)))
        self.started = asyncio.run_coroutine_threadsafe(self.consumer.start(), LOOP)

    def poll(self, seconds):
        if not self.is_started(seconds):
            return []
        return [(partition, offset, record.value) for partition, offset, record in super().poll(seconds)]

    def is_started(self, seconds):
        try:
            self.started.result(seconds)
        except concurrent.futures.TimeoutError:
            return False
        return True

    def assigned(self):
        return {place.partition for place in self.consumer.assignment()} if self.is_started(0) else set()

    def commit(self):
        wait(self.consumer.commit())

    def commit_at(self, offsets):
        wait(self.consumer.commit({TopicPartition(self.topic, partition): at for partition, at in offsets.items()}))

    def committed(self, partition):
        return wait(self.consumer.committed(TopicPartition(self.topic, partition)))

    def seek(self, partition, offset):
        super().seek(self.topic, partition, offset)

    def pause(self, partitions):
        self.call(self.consumer.pause, *[TopicPartition(self.topic, partition) for partition in partitions])

    def resume(self, partitions):
        self.call(self.consumer.resume, *[TopicPartition(self.topic, partition) for partition in partitions])

    def latest(self, partition):
        return super().latest(self.topic, partition)


async def made(make):
    return make()


if sys.argv[4:] == ["tour"]:
    tour.run(sys.argv[1], os.environ["OTTLA_CLIENT"])
else:
    cases.main(Library)
