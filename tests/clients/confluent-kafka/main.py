"""confluent-kafka, which is librdkafka.

`main.py HOST:PORT SEED RECORDS prompt|settling|groups-PROTOCOL|…|tour`
"""

import os
import sys
import time

import cases
import confluent_kafka
import groups
import mock
import tour
from confluent_kafka import OFFSET_END, OFFSET_INVALID, Consumer, ConsumerGroupTopicPartitions
from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from contract import WAIT_SECONDS_MAX, Combo, Deadline, Record, Wrong, demand, same


class Library:
    versions = f"version={confluent_kafka.__version__} librdkafka={confluent_kafka.libversion()[0]}"
    idempotent = True
    combos = [
        Combo("none", "0"),
        Combo("gzip", "1"),
        Combo("snappy", "all"),
        Combo("lz4", "all", True),
        Combo("zstd", "all", True),
    ]

    def __init__(self, bootstrap):
        self.config = {"bootstrap.servers": bootstrap}
        self.admin = AdminClient(self.config)

    def create(self, topic, partitions):
        new = NewTopic(topic, partitions, 1, config={"retention.ms": "-1"})
        self.admin.create_topics([new])[topic].result(WAIT_SECONDS_MAX)

    def refuses_again(self, topic, partitions):
        try:
            self.create(topic, partitions)
        except KafkaException as refusal:
            same(KafkaError.TOPIC_ALREADY_EXISTS, refusal.args[0].code(), "making a topic again")
            return
        raise Wrong("making a topic again was not refused")

    def delete(self, topic):
        self.admin.delete_topics([topic])[topic].result(WAIT_SECONDS_MAX)

    def leaders(self, topic):
        # Listed with all others: asking for one topic makes librdkafka wait for it.
        found = self.admin.list_topics(timeout=WAIT_SECONDS_MAX).topics.get(topic)
        return {} if found is None else {p.id: p.leader for p in found.partitions.values()}

    def express(self, record):
        """It can send everything."""

    def producer(self, combo):
        return LibraryProducer(self.config, combo)

    def consumer(self):
        return LibraryConsumer(self.config)

    def member(self, topic, group, protocol, auto_commit):
        return LibraryMember(self.config, topic, group, protocol, auto_commit)

    def group_offsets(self, group, topic):
        places = [TopicPartition(topic, partition) for partition in groups.ALL]
        asked = self.admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group, places)])
        found = asked[group].result(WAIT_SECONDS_MAX).topic_partitions
        return {place.partition: place.offset for place in found if place.offset >= 0}

    def group_state(self, group):
        found = self.admin.describe_consumer_groups([group])[group].result(WAIT_SECONDS_MAX)
        return found.state.name, len(found.members)


class LibraryProducer:
    def __init__(self, config, combo):
        ways = {
            "compression.type": combo.codec,
            "acks": combo.acks,
            "enable.idempotence": combo.idempotent,
            "linger.ms": 5,
            "delivery.timeout.ms": WAIT_SECONDS_MAX * 1000,
        }
        self.producer = Producer(config | ways)
        self.acknowledged = combo.acks != "0"

    def produce(self, topic, records):
        answers = [None] * len(records)

        def delivered(error, message, i):
            # Without an acknowledgement the offset means nothing.
            offset = message.offset() if self.acknowledged else None
            answers[i] = error or (message.partition(), offset)

        for i, record in enumerate(records):
            place = {} if record.partition is None else {"partition": record.partition}
            self.producer.produce(
                topic,
                value=record.value,
                key=record.key,
                headers=record.headers,
                timestamp=record.timestamp,
                on_delivery=lambda error, message, i=i: delivered(error, message, i),
                **place,
            )
            self.producer.poll(0)
        same(0, self.producer.flush(WAIT_SECONDS_MAX), "records that were not sent")
        wrong = [answer for answer in answers if not isinstance(answer, tuple)]
        demand(not wrong, f"{len(wrong)} records were not delivered: {wrong[:1]}")
        return answers

    def close(self):
        self.producer.flush(WAIT_SECONDS_MAX)


class LibraryConsumer(cases.Consumer):
    def __init__(self, config):
        # The library demands a group's name, and joins none as long as nothing is subscribed to.
        ways = {
            "group.id": "none",
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "check.crcs": True,
            "fetch.wait.max.ms": 50,
        }
        self.consumer = Consumer(config | ways)
        self.next = {}

    def assign(self, topic, partitions):
        self.next = {}
        self.consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])

    def seek(self, topic, partition, offset):
        deadline = Deadline()
        while True:
            try:
                self.consumer.seek(TopicPartition(topic, partition, offset))
                break
            except KafkaException as refusal:
                # The library itself refuses to seek until it has begun to fetch the partition.
                if refusal.args[0].code() != KafkaError._STATE or deadline.passed():
                    raise
                time.sleep(0.002)
        self.next[partition] = offset

    def poll(self, seconds):
        # `consume` waits for its whole count: one record is waited for, and the others taken that are there.
        first = self.consumer.poll(seconds)
        if first is None:
            return []
        found = []
        for message in [first, *self.consumer.consume(500, 0)]:
            demand(message.error() is None, f"consuming: {message.error()}")
            same(self.next.get(message.partition(), 0), message.offset(), "offset after the one before")
            self.next[message.partition()] = message.offset() + 1
            record = Record(message.key(), message.value(), message.timestamp()[1], message.headers() or [])
            found.append((message.partition(), message.offset(), record))
        return found

    def position(self, topic, partition):
        return self.consumer.position([TopicPartition(topic, partition)])[0].offset

    def earliest(self, topic, partition):
        return self.ends(topic, partition)[0]

    def latest(self, topic, partition):
        return self.ends(topic, partition)[1]

    def ends(self, topic, partition):
        return self.consumer.get_watermark_offsets(TopicPartition(topic, partition), WAIT_SECONDS_MAX, cached=False)

    def at_time(self, topic, partition, timestamp):
        query = [TopicPartition(topic, partition, timestamp)]
        found = self.consumer.offsets_for_times(query, timeout=WAIT_SECONDS_MAX)[0]
        demand(found.error is None, f"offset for a time: {found.error}")
        return None if found.offset == OFFSET_END else found.offset

    def close(self):
        self.consumer.close()


class LibraryMember:
    def __init__(self, config, topic, group, protocol, auto_commit):
        ways = {
            "group.id": group,
            "group.protocol": protocol,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": auto_commit,
            "auto.commit.interval.ms": groups.AUTO_COMMIT_MS,
            "check.crcs": True,
            "log_level": 2,  # That the broker goes is no news.
        }
        if protocol == "classic":
            # By the other protocol, the broker says both.
            ways |= {"session.timeout.ms": groups.SESSION_MS, "heartbeat.interval.ms": groups.HEARTBEAT_MS}
        self.topic = topic
        self.consumer = Consumer(config | ways)
        self.consumer.subscribe([topic])

    def poll(self, seconds):
        first = self.consumer.poll(seconds)
        if first is None:
            return []
        found = [first, *self.consumer.consume(500, 0)]
        # A broker that is gone for a moment is no error of a record.
        found = [message for message in found if not (message.error() and message.error().retriable())]
        wrong = [message.error() for message in found if message.error() is not None]
        demand(not wrong, f"consuming: {wrong}")
        return [(message.partition(), message.offset(), message.value()) for message in found]

    def assigned(self):
        return {place.partition for place in self.consumer.assignment()}

    def commit(self):
        self.consumer.commit(asynchronous=False)

    def commit_at(self, offsets):
        self.consumer.commit(offsets=self.places(offsets), asynchronous=False)

    def committed(self, partition):
        offset = self.consumer.committed(self.places([partition]), WAIT_SECONDS_MAX)[0].offset
        return offset if offset >= 0 else None

    def seek(self, partition, offset):
        self.consumer.seek(TopicPartition(self.topic, partition, offset))

    def pause(self, partitions):
        self.consumer.pause(self.places(partitions))

    def resume(self, partitions):
        self.consumer.resume(self.places(partitions))

    def latest(self, partition):
        place = TopicPartition(self.topic, partition)
        return self.consumer.get_watermark_offsets(place, WAIT_SECONDS_MAX, cached=False)[1]

    def close(self):
        self.consumer.close()

    def places(self, partitions):
        """Of partitions alone, or of partitions with offsets."""
        offsets = partitions if isinstance(partitions, dict) else {}
        return [TopicPartition(self.topic, p, offsets.get(p, OFFSET_INVALID)) for p in partitions]


if sys.argv[4:] == ["tour"]:
    tour.run(sys.argv[1], os.environ["OTTLA_CLIENT"])
elif sys.argv[4:] == ["mock"]:
    mock.run()
else:
    cases.main(Library)
