"""A member of a group by kafka-python, of any version: see `groups.py`.

It polls on a thread of its own: kafka-python 3.0 forgets what it was assigned if that comes while nobody polls, as
between two short polls.
"""

import queue
import threading
from concurrent.futures import Future

import groups
from contract import WAIT_SECONDS_MAX
from kafka import KafkaConsumer, TopicPartition
from kafka.structs import OffsetAndMetadata

POLL_MS = 50
# Long enough to join within one poll.
JOIN_MS = 1000


class Member:
    def __init__(self, bootstrap, topic, group, auto_commit, **ways):
        self.topic = topic
        self.consumer = KafkaConsumer(
            topic,
            bootstrap_servers=bootstrap,
            group_id=group,
            auto_offset_reset="earliest",
            enable_auto_commit=auto_commit,
            auto_commit_interval_ms=groups.AUTO_COMMIT_MS,
            session_timeout_ms=groups.SESSION_MS,
            heartbeat_interval_ms=groups.HEARTBEAT_MS,
            fetch_max_wait_ms=50,
            **ways,
        )
        # What came, or why nothing comes any more; and what to do between two polls.
        self.found = queue.Queue()
        self.calls = queue.Queue()
        self.is_open = True
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while self.is_open:
            try:
                body, answer = self.calls.get_nowait()
            except queue.Empty:
                self.poll_once()
                continue
            try:
                answer.set_result(body())
            except Exception as refusal:
                answer.set_exception(refusal)

    def poll_once(self):
        try:
            wait = POLL_MS if self.consumer.assignment() else JOIN_MS
            for place, records in self.consumer.poll(timeout_ms=wait).items():
                self.found.put([(place.partition, record.offset, record.value) for record in records])
        except Exception as wrong:
            self.found.put(wrong)

    def call(self, body):
        answer = Future()
        self.calls.put((body, answer))
        return answer.result(WAIT_SECONDS_MAX)

    def poll(self, seconds):
        try:
            found = self.found.get(timeout=seconds)
        except queue.Empty:
            return []
        if isinstance(found, Exception):
            raise found
        return found

    def assigned(self):
        return {place.partition for place in self.consumer.assignment()}

    def commit(self):
        self.call(self.consumer.commit)

    def commit_at(self, offsets):
        places = {self.place(p): OffsetAndMetadata(offset, "", -1) for p, offset in offsets.items()}
        self.call(lambda: self.consumer.commit(places))

    def committed(self, partition):
        return self.call(lambda: self.consumer.committed(self.place(partition)))

    def seek(self, partition, offset):
        self.call(lambda: self.consumer.seek(self.place(partition), offset))

    def pause(self, partitions):
        self.call(lambda: self.consumer.pause(*map(self.place, partitions)))

    def resume(self, partitions):
        self.call(lambda: self.consumer.resume(*map(self.place, partitions)))

    def latest(self, partition):
        place = self.place(partition)
        return self.call(lambda: self.consumer.end_offsets([place]))[place]

    def close(self):
        self.call(self.consumer.close)
        self.is_open = False
        self.thread.join(WAIT_SECONDS_MAX)

    def place(self, partition):
        return TopicPartition(self.topic, partition)
