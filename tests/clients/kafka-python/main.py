"""kafka-python: `main.py HOST:PORT SEED RECORDS prompt|settling|groups-PROTOCOL|…|tour`."""

import os
import sys

import cases
import kafka
import kafka_python_member
import tour
from contract import WAIT_SECONDS_MAX, Combo, Record, Wrong, same
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.errors import TopicAlreadyExistsError


class Library:
    versions = f"version={kafka.__version__}"
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
        self.admin = KafkaAdminClient(bootstrap_servers=bootstrap)

    def create(self, topic, partitions):
        configs = {"retention.ms": "-1"}
        new = {"num_partitions": partitions, "replication_factor": 1, "configs": configs}
        self.admin.create_topics({topic: new}, timeout_ms=WAIT_SECONDS_MAX * 1000)

    def refuses_again(self, topic, partitions):
        try:
            self.create(topic, partitions)
        except TopicAlreadyExistsError:
            return
        raise Wrong("making a topic again was not refused")

    def delete(self, topic):
        self.admin.delete_topics([topic], timeout_ms=WAIT_SECONDS_MAX * 1000)

    def leaders(self, topic):
        # Listed with all others: a topic that is not there is no error then.
        for found in self.admin.describe_topics():
            if found["name"] == topic:
                return {p["partition_index"]: p["leader_id"] for p in found["partitions"]}
        return {}

    def express(self, record):
        """A null header, and a record without key and value, are refused by the library itself."""
        if record.key is None and record.value is None:
            record.value = b""
        record.headers = [(name, value or b"") for name, value in record.headers]

    def producer(self, combo):
        return LibraryProducer(self.bootstrap, combo)

    def consumer(self):
        return LibraryConsumer(self.bootstrap)

    def member(self, topic, group, protocol, auto_commit):
        same("classic", protocol, "protocol")
        return kafka_python_member.Member(self.bootstrap, topic, group, auto_commit)

    def group_offsets(self, group, topic):
        found = self.admin.list_group_offsets([group])[group]
        return {place.partition: at.offset for place, at in found.items() if place.topic == topic and at.offset >= 0}

    def group_state(self, group):
        found = self.admin.describe_groups([group])[group]
        return found["group_state"], len(found["members"])


class LibraryProducer:
    def __init__(self, bootstrap, combo):
        self.producer = KafkaProducer(
            bootstrap_servers=bootstrap,
            compression_type=None if combo.codec == "none" else combo.codec,
            acks=combo.acks if combo.acks == "all" else int(combo.acks),
            enable_idempotence=combo.idempotent,
            linger_ms=5,
            allow_auto_create_topics=False,
        )
        self.acknowledged = combo.acks != "0"

    def produce(self, topic, records):
        sent = [
            self.producer.send(
                topic,
                value=record.value,
                key=record.key,
                headers=record.headers,
                partition=record.partition,
                timestamp_ms=record.timestamp,
            )
            for record in records
        ]
        self.producer.flush(WAIT_SECONDS_MAX)
        found = [future.get(WAIT_SECONDS_MAX) for future in sent]
        # Without an acknowledgement it counts from the start of each batch: that is no offset.
        return [(answer.partition, answer.offset if self.acknowledged else None) for answer in found]

    def close(self):
        self.producer.close(WAIT_SECONDS_MAX)


class LibraryConsumer(cases.Consumer):
    def __init__(self, bootstrap):
        self.consumer = KafkaConsumer(
            bootstrap_servers=bootstrap,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            fetch_max_wait_ms=50,
            allow_auto_create_topics=False,
        )

    def assign(self, topic, partitions):
        self.consumer.assign([TopicPartition(topic, partition) for partition in partitions])

    def seek(self, topic, partition, offset):
        self.consumer.seek(TopicPartition(topic, partition), offset)

    def poll(self, seconds):
        found = self.consumer.poll(timeout_ms=seconds * 1000)
        return [
            (place.partition, record.offset, Record(record.key, record.value, record.timestamp, list(record.headers)))
            for place, records in found.items()
            for record in records
        ]

    def position(self, topic, partition):
        return self.consumer.position(TopicPartition(topic, partition))

    def earliest(self, topic, partition):
        place = TopicPartition(topic, partition)
        return self.consumer.beginning_offsets([place])[place]

    def latest(self, topic, partition):
        place = TopicPartition(topic, partition)
        return self.consumer.end_offsets([place])[place]

    def at_time(self, topic, partition, timestamp):
        place = TopicPartition(topic, partition)
        found = self.consumer.offsets_for_times({place: timestamp})[place]
        return None if found is None else found.offset

    def close(self):
        self.consumer.close()


if sys.argv[4:] == ["tour"]:
    tour.run(sys.argv[1], os.environ["OTTLA_CLIENT"])
else:
    cases.main(Library)
