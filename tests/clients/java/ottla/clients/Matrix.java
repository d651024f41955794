package ottla.clients;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;

/**
 * The Java client against one broker: {@code Matrix HOST:PORT SEED RECORDS prompt|settling}.
 *
 * <p>Everything that needs a JVM runs in this one. What it prints is described at {@link Report}; it exits with 1 if a
 * case failed.
 */
public final class Matrix {
    /** Kafka refuses anything smaller. */
    private static final String SEGMENT_BYTES_MIN = "1048576";

    private static final int PARTITIONS = 3;

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

    public static void main(String[] args) {
        Matrix matrix = new Matrix(
                args[0], Long.parseLong(args[1]), Integer.parseInt(args[2]), args[3].equals("prompt"));
        matrix.run();
        System.exit(matrix.report.failed() ? 1 : 0);
    }

    private void run() {
        report.row("case=cluster", () -> {
            topics.checkCluster();
            return "records=0";
        });
        report.row("case=create-topic", () -> {
            topics.checkCreate("java-admin");
            return "records=0";
        });
        report.row("case=configs", () -> {
            topics.checkConfigs("java-admin");
            return "records=0";
        });
        for (Combo combo : Combo.all()) {
            report.row("case=produce-consume " + combo.fields(), () ->
                    "records=" + roundTrip(combo.topic(), PARTITIONS, Topics.KEEP, combo));
        }
        report.row("case=many-segments", () -> {
            Map<String, String> configs = new HashMap<>(Topics.KEEP);
            configs.put("segment.bytes", SEGMENT_BYTES_MIN);
            return "records=" + roundTrip("java-segments", 1, configs, new Combo("none", "all", true));
        });
        report.row("case=delete-topic", () -> {
            Uuid id = topics.create("java-deleted", 1, Topics.KEEP);
            Combo combo = new Combo("none", "all", true);
            new RoundTrip(bootstrap).produce(combo, Content.records("java-deleted", seed, 100));
            topics.checkDelete("java-deleted", id);
            report.stored("java-deleted", 0, 0, "none", true);
            return "records=0";
        });
        topics.close();
    }

    /** Creates the topic, produces, consumes and compares, asks for offsets; answers the records compared. */
    private int roundTrip(String topic, int partitions, Map<String, String> configs, Combo combo) throws Exception {
        topics.create(topic, partitions, configs);
        RoundTrip trip = new RoundTrip(bootstrap);
        Map<TopicPartition, List<ProducerRecord<byte[], byte[]>>> sent =
                trip.produce(combo, Content.records(topic, seed, count));
        Check.same(partitions, sent.size(), "partitions that got records");
        int compared = trip.compare(sent);
        try (Consumer<byte[], byte[]> consumer = trip.consumer()) {
            consumer.assign(sent.keySet()); // The client warns about offsets of partitions that it does not read.
            new Offsets(topics.admin).check(sent, consumer);
        }
        sent.forEach((partition, records) ->
                report.stored(topic, partition.partition(), records.size(), combo.codec(), combo.idempotent()));
        return compared;
    }
}
