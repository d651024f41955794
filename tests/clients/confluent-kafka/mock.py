"""librdkafka's mock broker in a process of its own: what every client is compared with, for it has no delays.

The library has more of it than the package shows: it is called past the package.
"""

import ctypes
import glob
import os
import time

import confluent_kafka
import groups
from confluent_kafka import Producer
from contract import WAIT_SECONDS_MAX, same

PRODUCER = 0
LIVES_SECONDS = 1000


def run():
    """Makes the topic, tells `ready HOST:PORT`, and stays until it is killed."""
    library = load()
    error = ctypes.create_string_buffer(512)
    handle = library.rd_kafka_new(PRODUCER, None, error, len(error))
    cluster = library.rd_kafka_mock_cluster_new(handle, 1)
    library.rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, 0)
    library.rd_kafka_mock_set_group_consumer_heartbeat_interval_ms(cluster, groups.HEARTBEAT_MS)
    topic = groups.MOCK_TOPIC
    same(0, library.rd_kafka_mock_topic_create(cluster, topic.encode(), groups.PARTITIONS, 1), "making the topic")
    address = library.rd_kafka_mock_cluster_bootstraps(cluster).decode()
    producer = Producer({"bootstrap.servers": address})
    for partition in groups.ALL:
        producer.produce(topic, b"value", partition=partition)
    same(0, producer.flush(WAIT_SECONDS_MAX), "records that were not sent")
    print(f"ready {address}", flush=True)
    time.sleep(LIVES_SECONDS)


def load():
    beside = os.path.join(os.path.dirname(os.path.dirname(confluent_kafka.__file__)), "confluent_kafka.libs")
    (path,) = glob.glob(os.path.join(beside, "librdkafka*.so*"))
    library = ctypes.CDLL(path)
    pointer, number = ctypes.c_void_p, ctypes.c_int
    signatures = {
        "rd_kafka_new": (pointer, [number, pointer, ctypes.c_char_p, ctypes.c_size_t]),
        "rd_kafka_mock_cluster_new": (pointer, [pointer, number]),
        "rd_kafka_mock_group_initial_rebalance_delay_ms": (None, [pointer, ctypes.c_int32]),
        "rd_kafka_mock_set_group_consumer_heartbeat_interval_ms": (None, [pointer, number]),
        "rd_kafka_mock_topic_create": (number, [pointer, ctypes.c_char_p, number, number]),
        "rd_kafka_mock_cluster_bootstraps": (ctypes.c_char_p, [pointer]),
    }
    for name, (answer, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = answer, arguments
    return library
