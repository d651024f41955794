"""Once through groups, transactions and administration, for captures: `main.py HOST:PORT SEED RECORDS tour`."""

import asyncio

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.structs import OffsetAndMetadata
from contract import WAIT_SECONDS_MAX


def run(bootstrap, name):
    asyncio.run(tour(bootstrap, f"{name}-tour", f"{name}-group"))


async def stop(what, call):
    """A call that may be refused: that is worth a capture, too."""
    try:
        await asyncio.wait_for(call, WAIT_SECONDS_MAX)
    except Exception as refusal:
        print(f"tour: {what}: {refusal!r}")


async def tour(bootstrap, topic, group):
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 2, 1)])
    await stop("transactions and group", talk(bootstrap, admin, topic, group))
    place = TopicPartition(topic, 0)
    await stop("list groups", admin.list_consumer_groups())
    await stop("list group offsets", admin.list_consumer_group_offsets(group))
    await stop("create partitions", admin.create_partitions({topic: NewPartitions(3)}))
    await stop("delete records", admin.delete_records({place: RecordsToDelete(1)}))
    resource = ConfigResource(ConfigResourceType.TOPIC, topic, {"retention.ms": "1000"})
    await stop("alter configs", admin.alter_configs([resource]))
    await stop("describe configs", admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)]))
    await stop("describe cluster", admin.describe_cluster())
    await admin.close()


async def talk(bootstrap, admin, topic, group):
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=f"{group}-id")
    await producer.start()
    for end in (producer.commit_transaction, producer.abort_transaction):
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"value", partition=0)
        await producer.send_and_wait(topic, b"value", partition=1)
        await end()
    ways = {"bootstrap_servers": bootstrap, "group_id": group, "auto_offset_reset": "earliest"}
    ways |= {"enable_auto_commit": False, "isolation_level": "read_committed", "heartbeat_interval_ms": 100}
    consumer = AIOKafkaConsumer(topic, **ways)
    await consumer.start()
    await consumer.getone()
    place = TopicPartition(topic, 0)
    await consumer.commit({place: OffsetAndMetadata(1, "noted")})
    await consumer.committed(place)
    await producer.begin_transaction()
    await producer.send_and_wait(topic, b"value", partition=0)
    await producer.send_offsets_to_transaction({place: OffsetAndMetadata(1, "noted")}, group)
    await producer.commit_transaction()
    await stop("describe groups", admin.describe_consumer_groups([group]))
    await asyncio.sleep(0.5)  # Heartbeats.
    await consumer.stop()
    await producer.stop()
