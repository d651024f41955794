package ottla.clients;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Produces records, and reads them back by assignment: no group is involved anywhere. */
final class RoundTrip {
    private final String bootstrap;

    RoundTrip(String bootstrap) {
        this.bootstrap = bootstrap;
    }

    /**
     * Sends all records and answers, per partition, what must now lie there, in order.
     *
     * <p>Acknowledged records must have been given the offsets 0, 1, 2, … of a new topic. With acks=0 the client
     * learns no offset.
     */
    Map<TopicPartition, List<ProducerRecord<byte[], byte[]>>> produce(
            Combo combo, List<ProducerRecord<byte[], byte[]>> records) throws Exception {
        try (Producer<byte[], byte[]> producer = producer(combo)) {
            return produce(producer, combo, records);
        }
    }

    Map<TopicPartition, List<ProducerRecord<byte[], byte[]>>> produce(
            Producer<byte[], byte[]> producer, Combo combo, List<ProducerRecord<byte[], byte[]>> records)
            throws Exception {
        List<Future<RecordMetadata>> sent = new ArrayList<>(records.size());
        for (ProducerRecord<byte[], byte[]> record : records) {
            sent.add(producer.send(record));
        }
        producer.flush();
        Map<TopicPartition, List<ProducerRecord<byte[], byte[]>>> expected = new HashMap<>();
        for (int i = 0; i < records.size(); i++) {
            RecordMetadata metadata = Check.await(sent.get(i));
            List<ProducerRecord<byte[], byte[]>> partition = expected.computeIfAbsent(
                    new TopicPartition(metadata.topic(), metadata.partition()), p -> new ArrayList<>());
            if (combo.acknowledged()) {
                Check.same((long) partition.size(), metadata.offset(), "offset given to record " + i);
                Check.same(records.get(i).timestamp(), metadata.timestamp(), "timestamp given to record " + i);
            } else {
                Check.that(!metadata.hasOffset(), "acks=0 has an offset");
            }
            partition.add(records.get(i));
        }
        return expected;
    }

    /** Reads every partition from its beginning and compares each record byte for byte; answers how many. */
    int compare(Map<TopicPartition, List<ProducerRecord<byte[], byte[]>>> expected) {
        try (Consumer<byte[], byte[]> consumer = consumer()) {
            consumer.assign(expected.keySet());
            return compare(consumer, expected);
        }
    }

    int compare(
            Consumer<byte[], byte[]> consumer, Map<TopicPartition, List<ProducerRecord<byte[], byte[]>>> expected) {
        int total = expected.values().stream().mapToInt(List::size).sum();
        Map<TopicPartition, Integer> next = new HashMap<>();
        expected.keySet().forEach(partition -> next.put(partition, 0));
        int compared = 0;
        consumer.seekToBeginning(expected.keySet());
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(Check.WAIT_SECONDS_MAX);
        while (compared < total) {
            Check.that(System.nanoTime() < deadline, "only " + compared + " of " + total + " records came: " + next);
            for (ConsumerRecord<byte[], byte[]> found : consumer.poll(Duration.ofSeconds(1))) {
                TopicPartition partition = new TopicPartition(found.topic(), found.partition());
                int index = next.get(partition);
                Check.that(index < expected.get(partition).size(), "more records than were sent in " + partition);
                same(index, expected.get(partition).get(index), found);
                next.put(partition, index + 1);
                compared++;
            }
        }
        for (TopicPartition partition : expected.keySet()) {
            Check.same((long) expected.get(partition).size(), consumer.position(partition), "position in " + partition);
        }
        return compared;
    }

    Producer<byte[], byte[]> producer(Combo combo) {
        Map<String, Object> config = combo.producerConfig();
        config.put("bootstrap.servers", bootstrap);
        config.put("delivery.timeout.ms", (int) TimeUnit.SECONDS.toMillis(Check.WAIT_SECONDS_MAX));
        config.put("request.timeout.ms", 10_000);
        config.put("linger.ms", 5);
        return new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer());
    }

    Consumer<byte[], byte[]> consumer() {
        Map<String, Object> config = new HashMap<>();
        config.put("bootstrap.servers", bootstrap);
        config.put("allow.auto.create.topics", false);
        config.put("enable.auto.commit", false);
        config.put("auto.offset.reset", "none");
        return new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    /** The record that came is the one that was sent as number {@code index} of its partition. */
    static void same(int index, ProducerRecord<byte[], byte[]> sent, ConsumerRecord<byte[], byte[]> found) {
        String where = found.topic() + "-" + found.partition() + " offset " + found.offset();
        Check.same((long) index, found.offset(), where + ": offset");
        Check.that(Arrays.equals(sent.key(), found.key()), where + ": key differs");
        Check.that(Arrays.equals(sent.value(), found.value()), where + ": value differs");
        Check.same(sent.timestamp(), found.timestamp(), where + ": timestamp");
        Header[] sentHeaders = sent.headers().toArray();
        Header[] foundHeaders = found.headers().toArray();
        Check.same(sentHeaders.length, foundHeaders.length, where + ": number of headers");
        for (int i = 0; i < sentHeaders.length; i++) {
            Check.same(sentHeaders[i].key(), foundHeaders[i].key(), where + ": name of header " + i);
            Check.that(Arrays.equals(sentHeaders[i].value(), foundHeaders[i].value()), where + ": header " + i + " differs");
        }
        Check.that(found.leaderEpoch().isPresent(), where + ": no leader epoch");
    }
}
