"""Once through groups, transactions and administration, for captures: `main.py HOST:PORT SEED RECORDS tour`."""

from contract import Deadline, stop
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from kafka.structs import OffsetAndMetadata


def run(bootstrap, name):
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    topic, group = f"{name}-tour", f"{name}-group"
    admin.create_topics({topic: {"num_partitions": 2, "replication_factor": 1}})
    stop("transactions and group", lambda: talk(bootstrap, admin, topic, group))
    place = TopicPartition(topic, 0)

    def resource(configs):
        return ConfigResource(ConfigResourceType.TOPIC, topic, configs)

    stop("list groups", admin.list_groups)
    stop("list group offsets", lambda: admin.list_group_offsets([group]))
    stop("delete group offsets", lambda: admin.delete_group_offsets(group, [place]))
    stop("delete groups", lambda: admin.delete_groups([group]))
    stop("create partitions", lambda: admin.create_partitions({topic: 3}))
    stop("delete records", lambda: admin.delete_records({place: 1}))
    stop("describe configs", lambda: admin.describe_configs([resource({})]))
    stop("alter configs", lambda: admin.alter_configs([resource({"retention.ms": "1000"})]))
    stop("describe log dirs", admin.describe_log_dirs)
    stop("describe cluster", admin.describe_cluster)
    admin.close()


def talk(bootstrap, admin, topic, group):
    producer = KafkaProducer(bootstrap_servers=bootstrap, transactional_id=f"{group}-id")
    producer.init_transactions()
    for end in (producer.commit_transaction, producer.abort_transaction):
        producer.begin_transaction()
        producer.send(topic, b"value", partition=0)
        producer.send(topic, b"value", partition=1)
        end()
    ways = {"bootstrap_servers": bootstrap, "group_id": group, "auto_offset_reset": "earliest"}
    ways |= {"enable_auto_commit": False, "isolation_level": "read_committed", "heartbeat_interval_ms": 100}
    consumer = KafkaConsumer(topic, **ways)
    deadline = Deadline()
    while not consumer.poll(200) and not deadline.passed():
        pass
    offsets = {TopicPartition(topic, 0): OffsetAndMetadata(1, "noted", 0)}
    consumer.commit(offsets)
    consumer.committed(TopicPartition(topic, 0))
    producer.begin_transaction()
    producer.send(topic, b"value", partition=0)
    stop("offsets in a transaction", lambda: producer.send_offsets_to_transaction(offsets, consumer.group_metadata()))
    producer.commit_transaction()
    stop("describe groups", lambda: admin.describe_groups([group]))
    for _ in range(5):
        consumer.poll(200)
    consumer.close()
    producer.close()
