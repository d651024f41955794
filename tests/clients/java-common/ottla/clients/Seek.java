package ottla.clients;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;

/** A consumer that jumps to offsets and to times, and must then read the record that lies there. */
final class Seek {
    private final String bootstrap;
    private final Map<TopicPartition, List<ProducerRecord<byte[], byte[]>>> stored;

    Seek(String bootstrap, Map<TopicPartition, List<ProducerRecord<byte[], byte[]>>> stored) {
        Check.that(!stored.isEmpty(), "nothing is stored to seek in");
        this.bootstrap = bootstrap;
        this.stored = stored;
    }

    /** To the first, one in the middle, the last, and back. */
    void toOffsets() {
        try (Consumer<byte[], byte[]> consumer = new RoundTrip(bootstrap).consumer()) {
            stored.forEach((partition, records) -> {
                consumer.assign(List.of(partition));
                for (int index : new int[] {0, records.size() / 2, records.size() - 1, 1}) {
                    consumer.seek(partition, index);
                    reads(consumer, partition, index);
                }
            });
        }
    }

    /** To the answer for times before all, at and just after some records; after all there is none. */
    void toTimes() {
        try (Consumer<byte[], byte[]> consumer = new RoundTrip(bootstrap).consumer()) {
            stored.forEach((partition, records) -> {
                consumer.assign(List.of(partition));
                List<Long> times = new ArrayList<>(List.of(0L));
                for (int part = 0; part <= 3; part++) {
                    long at = records.get((records.size() - 1) * part / 4).timestamp();
                    times.addAll(List.of(at, at + 1));
                }
                times.add(records.stream().mapToLong(ProducerRecord::timestamp).max().orElse(0) + 1);
                for (long timestampMs : times) {
                    toTime(consumer, partition, timestampMs);
                }
            });
        }
    }

    private void toTime(Consumer<byte[], byte[]> consumer, TopicPartition partition, long timestampMs) {
        List<ProducerRecord<byte[], byte[]>> records = stored.get(partition);
        int index = 0;
        while (index < records.size() && records.get(index).timestamp() < timestampMs) {
            index++;
        }
        OffsetAndTimestamp found = consumer.offsetsForTimes(Map.of(partition, timestampMs)).get(partition);
        if (index == records.size()) {
            Check.same(null, found, "time " + timestampMs + " after all of " + partition);
            return;
        }
        Check.same((long) index, found.offset(), "time " + timestampMs + " in " + partition);
        consumer.seek(partition, found.offset());
        reads(consumer, partition, index);
    }

    private void reads(Consumer<byte[], byte[]> consumer, TopicPartition partition, int index) {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(Check.WAIT_SECONDS_MAX);
        while (true) {
            Check.that(System.nanoTime() < deadline, "nothing came from " + partition + " at " + index);
            for (ConsumerRecord<byte[], byte[]> found : consumer.poll(Duration.ofSeconds(1))) {
                RoundTrip.same(index, stored.get(partition).get(index), found);
                return;
            }
        }
    }
}
