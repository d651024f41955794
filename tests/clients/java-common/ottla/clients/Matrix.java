package ottla.clients;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;

/**
 * The Java client against one broker: {@code Matrix HOST:PORT SEED RECORDS prompt|settling|groups-PROTOCOL|…|tour}.
 * The contract is {@code tests/clients/README.md}.
 *
 * <p>Everything that needs a JVM runs in this one. What it prints is described at {@link Report}; it exits with 1 if a
 * case failed.
 */
public final class Matrix {
    /** Kafka refuses anything smaller. */
    private static final String SEGMENT_BYTES_MIN = "1048576";

    private static final int PARTITIONS = 3;
    private static final Combo PLAIN = new Combo("none", "all", true);

    private final String client = System.getenv("OTTLA_CLIENT");
    private final String bootstrap;
    private final long seed;
    private final int count;
    private final Topics topics;
    private final Report report = new Report();

    private Matrix(String bootstrap, long seed, int count, boolean prompt) {
        this.bootstrap = bootstrap;
        this.seed = seed;
        this.count = count;
        this.topics = new Topics(bootstrap, prompt);
    }

    public static void main(String[] args) throws Exception {
        if (args[3].equals("tour")) {
            new Tour(args[0], System.getenv("OTTLA_CLIENT")).run();
            return;
        }
        Matrix matrix = new Matrix(
                args[0], Long.parseUnsignedLong(args[1]), Integer.parseInt(args[2]), args[3].equals("prompt"));
        switch (args[3]) {
            case "groups-classic", "groups-consumer" -> matrix.groups(args[3]).run();
            case "member-classic", "member-consumer" -> matrix.groups(args[3]).killedMember();
            case "first-classic", "first-consumer" -> matrix.groups(args[3]).firstRecord(matrix.count);
            default -> matrix.run();
        }
        matrix.topics.close();
        System.exit(matrix.report.failed() ? 1 : 0);
    }

    private void run() {
        report.row("case=cluster", () -> {
            topics.checkCluster();
            return "";
        });
        report.row("case=create-topic", () -> {
            topics.checkCreate(name("admin"));
            return "";
        });
        report.row("case=configs", () -> {
            topics.checkConfigs(name("admin"));
            return "";
        });
        for (Combo combo : Combo.all()) {
            report.row("case=produce-consume " + combo.fields(), () ->
                    "records=" + roundTrip(name(combo.topic()), PARTITIONS, Topics.KEEP, combo));
        }
        seeks();
        report.row("case=large-records codec=none", () -> {
            topics.create(name("large"), 1, Topics.KEEP);
            return "records=" + trip(name("large"), PLAIN, Content.large(name("large"), seed));
        });
        report.row("case=many-segments", () -> {
            Map<String, String> configs = new HashMap<>(Topics.KEEP);
            configs.put("segment.bytes", SEGMENT_BYTES_MIN);
            return "records=" + roundTrip(name("segments"), 1, configs, PLAIN);
        });
        report.row("case=delete-topic", () -> {
            String topic = name("deleted");
            Uuid id = topics.create(topic, 1, Topics.KEEP);
            new RoundTrip(bootstrap).produce(PLAIN, Content.records(topic, seed, 100));
            topics.checkDelete(topic, id);
            report.stored(topic, 0, 0, "none", true);
            return "";
        });
        report.row("case=recreate-topic", () -> {
            String topic = name("recreated");
            int again = new Recreate(bootstrap, topics, topic, seed).check(count / 10);
            report.stored(topic, 0, again, "none", true);
            return "records=" + again;
        });
    }

    private Groups groups(String pace) {
        return new Groups(bootstrap, client, pace.substring(pace.indexOf('-') + 1), topics, report);
    }

    /** Seeks to offsets and to times, and lists offsets, in a topic of its own. */
    private void seeks() {
        String topic = name("seek");
        Map<TopicPartition, List<ProducerRecord<byte[], byte[]>>> sent = new HashMap<>();
        report.row("case=list-offsets", () -> {
            topics.create(topic, PARTITIONS, Topics.KEEP);
            for (int p = 0; p < PARTITIONS; p++) {
                new Offsets(topics.admin).checkEmpty(new TopicPartition(topic, p));
            }
            RoundTrip trip = new RoundTrip(bootstrap);
            sent.putAll(trip.produce(PLAIN, Content.records(topic, seed, count / 10)));
            sent.forEach((partition, records) ->
                    report.stored(topic, partition.partition(), records.size(), "none", true));
            try (Consumer<byte[], byte[]> consumer = trip.consumer()) {
                consumer.assign(sent.keySet());
                new Offsets(topics.admin).check(sent, consumer);
            }
            return "";
        });
        report.row("case=seek-offset", () -> {
            new Seek(bootstrap, sent).toOffsets();
            return "";
        });
        report.row("case=seek-time", () -> {
            new Seek(bootstrap, sent).toTimes();
            return "";
        });
    }

    /** A topic of this client's. */
    private String name(String end) {
        return client + "-" + end;
    }

    /** Creates the topic, produces, consumes and compares, asks for offsets; answers the records compared. */
    private int roundTrip(String topic, int partitions, Map<String, String> configs, Combo combo) throws Exception {
        topics.create(topic, partitions, configs);
        return trip(topic, combo, Content.records(topic, seed, count));
    }

    private int trip(String topic, Combo combo, List<ProducerRecord<byte[], byte[]>> records) throws Exception {
        RoundTrip trip = new RoundTrip(bootstrap);
        Map<TopicPartition, List<ProducerRecord<byte[], byte[]>>> sent = trip.produce(combo, records);
        int partitions = Check.await(topics.admin.describeTopics(List.of(topic)).allTopicNames()).get(topic)
                .partitions().size();
        Check.same(partitions, sent.size(), "partitions that got records");
        int compared = trip.compare(sent);
        try (Consumer<byte[], byte[]> consumer = trip.consumer()) {
            consumer.assign(sent.keySet()); // The client warns about offsets of partitions that it does not read.
            new Offsets(topics.admin).check(sent, consumer);
        }
        sent.forEach((partition, stored) ->
                report.stored(topic, partition.partition(), stored.size(), combo.codec(), combo.idempotent()));
        return compared;
    }
}
