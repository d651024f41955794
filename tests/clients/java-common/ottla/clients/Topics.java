package ottla.clients;

import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AdminClientConfig;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.CreateTopicsResult;
import org.apache.kafka.clients.admin.DescribeClusterResult;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionInfo;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.InvalidConfigurationException;
import org.apache.kafka.common.errors.InvalidTopicException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;

/** Topics and the cluster as an administrator sees them. */
final class Topics implements AutoCloseable {
    /** The records have a fixed date in the past; without this, retention would rightly delete them. */
    static final Map<String, String> KEEP = Map.of("retention.ms", "-1");

    final Admin admin;
    private final String bootstrap;
    private final boolean prompt;

    /** With {@code prompt}, what was answered must be known everywhere at once: see {@link Check#settled}. */
    Topics(String bootstrap, boolean prompt) {
        this.bootstrap = bootstrap;
        this.prompt = prompt;
        this.admin = Admin.create(Map.of(AdminClientConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrap));
    }

    @Override
    public void close() {
        admin.close();
    }

    void settled(Check.Step step) throws Exception {
        Check.settled(prompt, step);
    }

    Uuid create(String name, int partitions, Map<String, String> configs) throws Exception {
        CreateTopicsResult created =
                admin.createTopics(List.of(new NewTopic(name, partitions, (short) 1).configs(configs)));
        Check.await(created.all());
        Check.same(partitions, Check.await(created.numPartitions(name)), "partitions of the new topic " + name);
        settled(() -> new Offsets(admin).allAnswer(name, partitions));
        return Check.await(created.topicId(name));
    }

    /** Creates a topic, sees it everywhere, and is refused what must be refused. */
    void checkCreate(String name) throws Exception {
        Uuid id = create(name, 3, KEEP);
        Check.that(!id.equals(Uuid.ZERO_UUID), "the new topic has no id");

        TopicDescription described = describe(name);
        Check.same(id, described.topicId(), "topic id");
        Check.same(false, described.isInternal(), "internal");
        Check.same(3, described.partitions().size(), "number of partitions");
        for (int p = 0; p < 3; p++) {
            TopicPartitionInfo partition = described.partitions().get(p);
            Check.same(p, partition.partition(), "partition id");
            Check.that(partition.leader() != null, "partition " + p + " has no leader");
            Check.same(List.of(partition.leader()), partition.replicas(), "replicas");
            Check.same(List.of(partition.leader()), partition.isr(), "in-sync replicas");
        }
        Check.that(Check.await(admin.listTopics().names()).contains(name), "the list of topics lacks " + name);

        Check.refused(TopicExistsException.class,
                admin.createTopics(List.of(new NewTopic(name, 3, (short) 1))).all(), "the same topic again");
        Check.refused(InvalidTopicException.class,
                admin.createTopics(List.of(new NewTopic("not/a/topic", 1, (short) 1))).all(), "a name with slashes");
        Check.refused(InvalidConfigurationException.class,
                admin.createTopics(List.of(new NewTopic(name + "-2", 1, (short) 1).configs(Map.of("no.such.config", "1")))).all(),
                "an unknown config");
        Check.refused(UnknownTopicOrPartitionException.class,
                admin.describeTopics(List.of(name + "-2")).allTopicNames(), "describing what was refused");
    }

    void checkCluster() throws Exception {
        DescribeClusterResult cluster = admin.describeCluster();
        Collection<Node> nodes = Check.await(cluster.nodes());
        Check.same(1, nodes.size(), "nodes");
        Node node = nodes.iterator().next();
        Check.same(bootstrap, node.host() + ":" + node.port(), "address of the node");
        Check.same(node.id(), Check.await(cluster.controller()).id(), "controller");
        Check.that(!Check.await(cluster.clusterId()).isEmpty(), "no cluster id");
    }

    void checkConfigs(String topic) throws Exception {
        Config found = configs(ConfigResource.Type.TOPIC, topic);
        Check.same("-1", found.get("retention.ms").value(), "retention.ms");
        Check.same(ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG, found.get("retention.ms").source(),
                "where retention.ms comes from");
        Check.same("delete", found.get("cleanup.policy").value(), "cleanup.policy");
        Check.same("producer", found.get("compression.type").value(), "compression.type");
        Check.same("1073741824", found.get("segment.bytes").value(), "segment.bytes");
        Check.same(true, found.get("segment.bytes").isDefault(), "segment.bytes is a default");

        int id = Check.await(admin.describeCluster().nodes()).iterator().next().id();
        Config broker = configs(ConfigResource.Type.BROKER, Integer.toString(id));
        for (String name : Set.of("message.max.bytes", "log.segment.bytes", "num.partitions",
                "auto.create.topics.enable", "log.retention.ms", "compression.type")) {
            Check.that(broker.get(name) != null, "the broker does not tell its " + name);
        }
        Check.same("1048588", broker.get("message.max.bytes").value(), "message.max.bytes");
    }

    /** Deletes a topic, finds it gone, and makes it again: another id, and nothing left in it. */
    void checkDelete(String name, Uuid id) throws Exception {
        Check.await(admin.deleteTopics(List.of(name)).all());
        settled(() -> Check.refused(UnknownTopicOrPartitionException.class,
                admin.describeTopics(List.of(name)).allTopicNames(), "describing a deleted topic"));
        Check.that(!Check.await(admin.listTopics().names()).contains(name), "a deleted topic is still listed");
        Check.refused(UnknownTopicOrPartitionException.class,
                admin.deleteTopics(List.of(name)).all(), "deleting it again");
        Uuid again = create(name, 1, KEEP);
        Check.that(!again.equals(id), "a new topic has the id of the deleted one");
        Check.same(again, describe(name).topicId(), "topic id");
        new Offsets(admin).checkEmpty(new TopicPartition(name, 0));
    }

    private TopicDescription describe(String name) throws Exception {
        return Check.await(admin.describeTopics(List.of(name)).allTopicNames()).get(name);
    }

    private Config configs(ConfigResource.Type type, String name) throws Exception {
        ConfigResource resource = new ConfigResource(type, name);
        return Check.await(admin.describeConfigs(List.of(resource)).all()).get(resource);
    }
}
