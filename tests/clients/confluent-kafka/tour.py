"""Once through groups, transactions and administration, for captures: `main.py HOST:PORT SEED RECORDS tour`."""

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from contract import WAIT_SECONDS_MAX, Deadline, stop


def run(bootstrap, name):
    config = {"bootstrap.servers": bootstrap}
    admin = AdminClient(config)
    topic = f"{name}-tour"
    admin.create_topics([NewTopic(topic, 2, 1)])[topic].result(WAIT_SECONDS_MAX)
    for protocol in ("classic", "consumer"):
        stop(f"group {protocol}", lambda protocol=protocol: group(config, admin, topic, f"{name}-{protocol}", protocol))
    administer(admin, topic, name)


def group(config, admin, topic, name, protocol):
    ways = config | {"group.id": name, "group.protocol": protocol, "auto.offset.reset": "earliest"}
    ways |= {"enable.auto.commit": False, "isolation.level": "read_committed"}
    if protocol == "classic":
        ways["heartbeat.interval.ms"] = 100
    producer = Producer(config | {"transactional.id": f"{name}-id"})
    producer.init_transactions(WAIT_SECONDS_MAX)
    for end in (producer.commit_transaction, producer.abort_transaction):
        producer.begin_transaction()
        producer.produce(topic, b"value", partition=0)
        producer.produce(topic, b"value", partition=1)
        end(WAIT_SECONDS_MAX)
    members = [Consumer(ways), Consumer(ways | {"group.instance.id": f"{name}-instance"})]
    for member in members:
        member.subscribe([topic])
    deadline = Deadline()
    while not all(len(member.assignment()) == 1 for member in members) and not deadline.passed():
        for member in members:
            member.poll(0.2)
    place = members[0].assignment()[0]
    offsets = [TopicPartition(topic, place.partition, 1, metadata="noted")]
    members[0].commit(offsets=offsets, asynchronous=False)
    members[0].committed(offsets, WAIT_SECONDS_MAX)
    producer.begin_transaction()
    producer.produce(topic, b"value", partition=0)
    producer.send_offsets_to_transaction(offsets, members[0].consumer_group_metadata(), WAIT_SECONDS_MAX)
    producer.commit_transaction(WAIT_SECONDS_MAX)
    admin.describe_consumer_groups([name])[name].result(WAIT_SECONDS_MAX)
    for member in members:
        member.close()


def administer(admin, topic, name):
    def each(futures):
        return [future.result(WAIT_SECONDS_MAX) for future in futures.values()]

    group = f"{name}-classic"
    place = TopicPartition(topic, 0)
    stop("list groups", lambda: admin.list_consumer_groups().result(WAIT_SECONDS_MAX))
    asked = [ConsumerGroupTopicPartitions(group, [place])]
    stop("list group offsets", lambda: each(admin.list_consumer_group_offsets(asked)))
    altered = [ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0, 1)])]
    stop("alter group offsets", lambda: each(admin.alter_consumer_group_offsets(altered)))
    stop("delete groups", lambda: each(admin.delete_consumer_groups([group])))
    stop("describe topics", lambda: each(admin.describe_topics(TopicCollection([topic]))))
    stop("describe cluster", lambda: admin.describe_cluster().result(WAIT_SECONDS_MAX))
    stop("create partitions", lambda: each(admin.create_partitions([NewPartitions(topic, 3)])))
    stop("delete records", lambda: each(admin.delete_records([TopicPartition(topic, 0, 1)])))
    stop("list offsets", lambda: each(admin.list_offsets({place: OffsetSpec.max_timestamp()})))
    entry = ConfigEntry("retention.ms", "1000", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[entry])
    stop("alter configs", lambda: each(admin.incremental_alter_configs([resource])))
    stop("describe configs", lambda: each(admin.describe_configs([ConfigResource(ConfigResource.Type.TOPIC, topic)])))
    acl = (ResourceType.TOPIC, topic, ResourcePatternType.LITERAL, "User:a", "*", AclOperation.READ)
    binding = AclBinding(*acl, AclPermissionType.ALLOW)
    filters = AclBindingFilter(*acl, AclPermissionType.ALLOW)
    stop("create acls", lambda: each(admin.create_acls([binding])))
    stop("describe acls", lambda: admin.describe_acls(filters).result(WAIT_SECONDS_MAX))
    stop("delete acls", lambda: each(admin.delete_acls([filters])))
    scram = UserScramCredentialUpsertion("a", ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 4096), b"b", b"salt")
    stop("alter scram", lambda: each(admin.alter_user_scram_credentials([scram])))
    stop("describe scram", lambda: each(admin.describe_user_scram_credentials(["a"])))
