"""kafka-python 2.3.3, told to take the broker for an old one: the last line of releases that writes message sets.

What it lacks of the contract is in the lists of the folders that use it.
"""

import cases
import kafka
import kafka_python_member
from contract import WAIT_SECONDS_MAX, Combo, Record, Wrong, same
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic
from kafka.errors import TopicAlreadyExistsError


class Library:
    versions = f"version={kafka.__version__}"
    idempotent = False
    combos = [Combo("none", "1"), Combo("gzip", "1"), Combo("snappy", "all"), Combo("lz4", "all")]
    # A consumer that looks for a deleted topic makes it again: it cannot ask otherwise.
    lacks = {"recreate-topic"}

    def __init__(self, bootstrap, api_version, has_timestamps):
        self.bootstrap = bootstrap
        self.api_version = api_version
        self.has_timestamps = has_timestamps
        # Administration is younger than these formats: for it the library asks for the versions that there are.
        self.admin = KafkaAdminClient(bootstrap_servers=bootstrap)

    def create(self, topic, partitions):
        new = NewTopic(topic, partitions, 1, topic_configs={"retention.ms": "-1"})
        self.admin.create_topics([new], timeout_ms=WAIT_SECONDS_MAX * 1000)

    def refuses_again(self, topic, partitions):
        try:
            self.create(topic, partitions)
        except TopicAlreadyExistsError:
            return
        raise Wrong("making a topic again was not refused")

    def leaders(self, topic):
        for found in self.admin.describe_topics():
            if found["topic"] == topic:
                return {p["partition"]: p["leader"] for p in found["partitions"]}
        return {}

    def express(self, record):
        """Message sets have no headers, and v0 has no timestamps; the library refuses a record of nothing."""
        if record.key is None and record.value is None:
            record.value = b""
        record.headers = []
        if not self.has_timestamps:
            record.timestamp = None

    def producer(self, combo):
        return LibraryProducer(self.bootstrap, self.api_version, combo)

    def consumer(self):
        return LibraryConsumer(self.bootstrap, self.api_version)

    def member(self, topic, group, protocol, auto_commit):
        same("classic", protocol, "protocol")
        return kafka_python_member.Member(self.bootstrap, topic, group, auto_commit, api_version=self.api_version)

    def group_offsets(self, group, topic):
        found = self.admin.list_consumer_group_offsets(group)
        return {place.partition: at.offset for place, at in found.items() if place.topic == topic and at.offset >= 0}

    def group_state(self, group):
        (found,) = self.admin.describe_consumer_groups([group])
        return found.state, len(found.members)


class LibraryProducer:
    def __init__(self, bootstrap, api_version, combo):
        self.producer = KafkaProducer(
            bootstrap_servers=bootstrap,
            api_version=api_version,
            compression_type=None if combo.codec == "none" else combo.codec,
            acks=combo.acks if combo.acks == "all" else int(combo.acks),
            linger_ms=5,
        )
        

    def produce(self, topic, records):
        sent = [
            self.producer.send(
                topic,
                value=record.value,
                key=record.key,
                partition=record.partition,
                timestamp_ms=record.timestamp,
            )
            for record in records
        ]
        self.producer.flush(WAIT_SECONDS_MAX)
        found = [future.get(WAIT_SECONDS_MAX) for future in sent]
        return [(answer.partition, answer.offset) for answer in found]

    def close(self):
        self.producer.close(WAIT_SECONDS_MAX)


class LibraryConsumer(cases.Consumer):
    def __init__(self, bootstrap, api_version):
        self.consumer = KafkaConsumer(
            bootstrap_servers=bootstrap,
            api_version=api_version,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            fetch_max_wait_ms=50,
        )

    def assign(self, topic, partitions):
        self.consumer.assign([TopicPartition(topic, partition) for partition in partitions])

    def seek(self, topic, partition, offset):
        self.consumer.seek(TopicPartition(topic, partition), offset)

    def poll(self, seconds):
        found = self.consumer.poll(timeout_ms=int(seconds * 1000))
        return [
            (place.partition, record.offset, Record(record.key, record.value, record.timestamp))
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
