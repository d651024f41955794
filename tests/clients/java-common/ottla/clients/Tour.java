package ottla.clients;

import java.time.Duration;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.FeatureUpdate;
import org.apache.kafka.clients.admin.NewPartitionReassignment;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.ScramCredentialInfo;
import org.apache.kafka.clients.admin.ScramMechanism;
import org.apache.kafka.clients.admin.UpdateFeaturesOptions;
import org.apache.kafka.clients.admin.UserScramCredentialUpsertion;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.ElectionType;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionReplica;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclBindingFilter;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.quota.ClientQuotaAlteration;
import org.apache.kafka.common.quota.ClientQuotaEntity;
import org.apache.kafka.common.quota.ClientQuotaFilter;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourceType;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Once through groups, transactions and administration: {@code Matrix HOST:PORT SEED RECORDS tour}, for captures.
 *
 * <p>Nothing is compared here. A call that is refused says so, and the tour goes on: the refusal is worth a capture.
 */
final class Tour {
    private static final Duration POLL = Duration.ofMillis(200);
    private static final int POLLS_MAX = 50;

    private final String bootstrap;
    private final String name;
    private final String topic;
    private final TopicPartition first;

    Tour(String bootstrap, String name) {
        this.bootstrap = bootstrap;
        this.name = name;
        this.topic = name + "-tour";
        this.first = new TopicPartition(topic, 0);
    }

    /** A call that may be refused. */
    private interface Stop {
        Object call() throws Exception;
    }

    private static void stop(String what, Stop stop) {
        try {
            stop.call();
        } catch (Exception e) {
            System.out.println("tour: " + what + ": " + e);
        }
    }

    void run() throws Exception {
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
            Check.await(admin.createTopics(List.of(new NewTopic(topic, 2, (short) 1))).all());
            transactions();
            stop("classic group", () -> group("classic", admin));
            stop("consumer group", () -> group("consumer", admin));
            stop("share group", this::share);
            transactionsAsAdministrator(admin);
            groupsAsAdministrator(admin);
            topicsAsAdministrator(admin);
            access(admin);
            cluster(admin);
        }
    }

    private void transactions() {
        Map<String, Object> config = producer();
        config.put("transactional.id", name + "-id");
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(config)) {
            stop("transactions", () -> {
                producer.initTransactions();
                for (int round = 0; round < 3; round++) {
                    producer.beginTransaction();
                    for (int partition = 0; partition < 2; partition++) {
                        producer.send(new ProducerRecord<>(topic, partition, null, new byte[] {1, 2, 3}));
                    }
                    producer.flush();
                    if (round == 1) {
                        producer.abortTransaction();
                    } else {
                        producer.commitTransaction();
                    }
                }
                return null;
            });
        }
    }

    /** Two members, of which one is static, read committed records and commit, also in a transaction. */
    private Object group(String protocol, Admin admin) throws Exception {
        Map<String, Object> config = new HashMap<>();
        config.put("bootstrap.servers", bootstrap);
        config.put("key.deserializer", ByteArrayDeserializer.class);
        config.put("value.deserializer", ByteArrayDeserializer.class);
        config.put("group.id", name + "-" + protocol);
        config.put("group.protocol", protocol);
        config.put("auto.offset.reset", "earliest");
        config.put("isolation.level", "read_committed");
        config.put("enable.auto.commit", false);
        if (protocol.equals("classic")) {
            config.put("heartbeat.interval.ms", 100);
        }
        Map<String, Object> fixed = new HashMap<>(config);
        fixed.put("group.instance.id", name + "-instance");
        Map<String, Object> sending = producer();
        sending.put("transactional.id", name + "-" + protocol + "-id");
        try (KafkaConsumer<byte[], byte[]> one = new KafkaConsumer<>(config);
                KafkaConsumer<byte[], byte[]> other = new KafkaConsumer<>(fixed);
                KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(sending)) {
            one.subscribe(List.of(topic));
            other.subscribe(List.of(topic));
            for (int polls = 0; polls < POLLS_MAX; polls++) {
                for (ConsumerRecord<byte[], byte[]> record : one.poll(POLL)) {
                    Check.same(topic, record.topic(), "topic of a record");
                }
                other.poll(POLL);
                if (one.assignment().size() == 1 && other.assignment().size() == 1) {
                    break;
                }
            }
            one.commitSync();
            Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
            one.assignment().forEach(place -> offsets.put(place, new OffsetAndMetadata(1, Optional.of(0), "noted")));
            one.commitSync(offsets);
            one.committed(Set.copyOf(one.assignment()));
            producer.initTransactions();
            producer.beginTransaction();
            producer.send(new ProducerRecord<>(topic, 0, null, new byte[] {4}));
            producer.sendOffsetsToTransaction(offsets, one.groupMetadata());
            producer.commitTransaction();
            Check.await(admin.describeConsumerGroups(List.of(name + "-" + protocol)).all());
        }
        return null;
    }

    /** Newer clients only, so by name. */
    private Object share() throws Exception {
        Class<?> kind = Class.forName("org.apache.kafka.clients.consumer.KafkaShareConsumer");
        Map<String, Object> config = new HashMap<>();
        config.put("bootstrap.servers", bootstrap);
        config.put("key.deserializer", ByteArrayDeserializer.class);
        config.put("value.deserializer", ByteArrayDeserializer.class);
        config.put("group.id", name + "-share");
        Object consumer = kind.getConstructor(Map.class).newInstance(config);
        kind.getMethod("subscribe", Collection.class).invoke(consumer, List.of(topic));
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(producer())) {
            for (int polls = 0; polls < 20; polls++) {
                producer.send(new ProducerRecord<>(topic, 0, null, new byte[] {5})).get();
                kind.getMethod("poll", Duration.class).invoke(consumer, POLL);
            }
        }
        kind.getMethod("commitSync").invoke(consumer);
        kind.getMethod("close").invoke(consumer);
        return null;
    }

    private void transactionsAsAdministrator(Admin admin) {
        stop("listTransactions", () -> Check.await(admin.listTransactions().all()));
        stop("describeTransactions", () -> Check.await(
                admin.describeTransactions(List.of(name + "-id")).all()));
        stop("describeProducers", () -> Check.await(admin.describeProducers(List.of(first)).all()));
        stop("fenceProducers", () -> Check.await(admin.fenceProducers(List.of(name + "-id")).all()));
    }

    @SuppressWarnings("removal") // Older clients have no other name for it.
    private void groupsAsAdministrator(Admin admin) {
        String group = name + "-classic";
        stop("listConsumerGroups", () -> Check.await(admin.listConsumerGroups().all()));
        stop("describeConsumerGroups", () -> Check.await(
                admin.describeConsumerGroups(List.of(group, "nobody")).all()));
        stop("listConsumerGroupOffsets", () -> Check.await(
                admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata()));
        stop("alterConsumerGroupOffsets", () -> Check.await(
                admin.alterConsumerGroupOffsets(group, Map.of(first, new OffsetAndMetadata(0))).all()));
        stop("deleteConsumerGroupOffsets", () -> Check.await(
                admin.deleteConsumerGroupOffsets(group, Set.of(first)).all()));
        stop("deleteConsumerGroups", () -> Check.await(
                admin.deleteConsumerGroups(List.of(name + "-consumer")).all()));
        stop("listClientMetricsResources", () -> Check.await(admin.listClientMetricsResources().all()));
    }

    private void topicsAsAdministrator(Admin admin) {
        stop("createPartitions", () -> Check.await(
                admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(3))).all()));
        stop("deleteRecords", () -> Check.await(
                admin.deleteRecords(Map.of(first, RecordsToDelete.beforeOffset(1))).all()));
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        AlterConfigOp set = new AlterConfigOp(new ConfigEntry("retention.ms", "1000"), AlterConfigOp.OpType.SET);
        stop("incrementalAlterConfigs", () -> Check.await(
                admin.incrementalAlterConfigs(Map.of(resource, List.of(set))).all()));
        stop("electLeaders", () -> Check.await(
                admin.electLeaders(ElectionType.PREFERRED, Set.of(first)).all()));
        stop("alterPartitionReassignments", () -> Check.await(admin.alterPartitionReassignments(
                Map.of(first, Optional.of(new NewPartitionReassignment(List.of(1))))).all()));
        stop("listPartitionReassignments", () -> Check.await(
                admin.listPartitionReassignments().reassignments()));
        stop("describeLogDirs", () -> Check.await(admin.describeLogDirs(List.of(1)).allDescriptions()));
        stop("alterReplicaLogDirs", () -> Check.await(
                admin.alterReplicaLogDirs(Map.of(new TopicPartitionReplica(topic, 0, 1), "/nowhere")).all()));
    }

    private void access(Admin admin) {
        AclBinding binding = new AclBinding(
                new ResourcePattern(ResourceType.TOPIC, topic, PatternType.LITERAL),
                new AccessControlEntry("User:alice", "*", AclOperation.READ, AclPermissionType.ALLOW));
        stop("createAcls", () -> Check.await(admin.createAcls(List.of(binding)).all()));
        stop("describeAcls", () -> Check.await(admin.describeAcls(AclBindingFilter.ANY).values()));
        stop("deleteAcls", () -> Check.await(admin.deleteAcls(List.of(binding.toFilter())).all()));
        ClientQuotaEntity entity = new ClientQuotaEntity(Map.of(ClientQuotaEntity.CLIENT_ID, name));
        stop("alterClientQuotas", () -> Check.await(admin.alterClientQuotas(List.of(new ClientQuotaAlteration(
                entity, List.of(new ClientQuotaAlteration.Op("consumer_byte_rate", 1e6))))).all()));
        stop("describeClientQuotas", () -> Check.await(
                admin.describeClientQuotas(ClientQuotaFilter.all()).entities()));
        ScramCredentialInfo scram = new ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 4096);
        stop("alterUserScramCredentials", () -> Check.await(admin.alterUserScramCredentials(List.of(
                new UserScramCredentialUpsertion("alice", scram, "secret"))).all()));
        stop("describeUserScramCredentials", () -> Check.await(admin.describeUserScramCredentials().all()));
        stop("createDelegationToken", () -> Check.await(admin.createDelegationToken().delegationToken()));
        stop("describeDelegationToken", () -> Check.await(admin.describeDelegationToken().delegationTokens()));
    }

    private void cluster(Admin admin) {
        stop("describeFeatures", () -> Check.await(admin.describeFeatures().featureMetadata()));
        FeatureUpdate update = new FeatureUpdate((short) 0, FeatureUpdate.UpgradeType.SAFE_DOWNGRADE);
        stop("updateFeatures", () -> Check.await(admin.updateFeatures(
                Map.of("group.version", update), new UpdateFeaturesOptions().validateOnly(true)).all()));
        stop("describeMetadataQuorum", () -> Check.await(admin.describeMetadataQuorum().quorumInfo()));
        stop("unregisterBroker", () -> Check.await(admin.unregisterBroker(7).all()));
    }

    private Map<String, Object> producer() {
        Map<String, Object> config = new HashMap<>();
        config.put("bootstrap.servers", bootstrap);
        config.put("key.serializer", ByteArraySerializer.class);
        config.put("value.serializer", ByteArraySerializer.class);
        return config;
    }
}
