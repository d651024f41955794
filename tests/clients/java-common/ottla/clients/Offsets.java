package ottla.clients;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ListOffsetsResult.ListOffsetsResultInfo;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;

/** Offsets by name and by time, each against the exact record that a walk over the sent records finds. */
final class Offsets {
    private final Admin admin;

    Offsets(Admin admin) {
        this.admin = admin;
    }

    /** Every partition answers: metadata may name a leader that does not lead yet. */
    void allAnswer(String topic, int partitions) throws Exception {
        Map<TopicPartition, OffsetSpec> query = new HashMap<>();
        for (int p = 0; p < partitions; p++) {
            query.put(new TopicPartition(topic, p), OffsetSpec.latest());
        }
        Check.await(admin.listOffsets(query).all());
    }

    /** Where every partition ends. */
    Map<Integer, Long> latest(String topic, int partitions) throws Exception {
        Map<Integer, Long> latest = new HashMap<>();
        for (int p = 0; p < partitions; p++) {
            latest.put(p, admin(new TopicPartition(topic, p), OffsetSpec.latest()).offset());
        }
        return latest;
    }

    void checkEmpty(TopicPartition partition) throws Exception {
        Check.same(0L, admin(partition, OffsetSpec.earliest()).offset(), "earliest of the empty " + partition);
        Check.same(0L, admin(partition, OffsetSpec.latest()).offset(), "latest of the empty " + partition);
        Check.same(-1L, admin(partition, OffsetSpec.maxTimestamp()).offset(), "offset of the latest timestamp in the empty " + partition);
    }

    void check(Map<TopicPartition, List<ProducerRecord<byte[], byte[]>>> stored, Consumer<byte[], byte[]> consumer)
            throws Exception {
        for (Map.Entry<TopicPartition, List<ProducerRecord<byte[], byte[]>>> entry : stored.entrySet()) {
            TopicPartition partition = entry.getKey();
            List<ProducerRecord<byte[], byte[]>> records = entry.getValue();
            Check.same(0L, admin(partition, OffsetSpec.earliest()).offset(), "earliest of " + partition);
            Check.same((long) records.size(), admin(partition, OffsetSpec.latest()).offset(), "latest of " + partition);
            checkLatestTimestamp(partition, records);
            for (long timestampMs : timestamps(records)) {
                checkTime(partition, records, timestampMs, consumer);
            }
        }
        Check.same(0L, consumer.beginningOffsets(stored.keySet()).values().stream().mapToLong(Long::longValue).sum(),
                "the consumer's beginning offsets");
        consumer.endOffsets(stored.keySet()).forEach((partition, end) ->
                Check.same((long) stored.get(partition).size(), end, "the consumer's end offset of " + partition));
    }

    private void checkLatestTimestamp(TopicPartition partition, List<ProducerRecord<byte[], byte[]>> records)
            throws Exception {
        int latest = 0;
        for (int i = 1; i < records.size(); i++) {
            if (records.get(i).timestamp() > records.get(latest).timestamp()) {
                latest = i;
            }
        }
        ListOffsetsResultInfo found = admin(partition, OffsetSpec.maxTimestamp());
        Check.same((long) latest, found.offset(), "offset of the latest timestamp in " + partition);
        Check.same(records.get(latest).timestamp(), found.timestamp(), "latest timestamp in " + partition);
    }

    private void checkTime(TopicPartition partition, List<ProducerRecord<byte[], byte[]>> records, long timestampMs,
            Consumer<byte[], byte[]> consumer) throws Exception {
        String what = "time " + timestampMs + " in " + partition;
        int index = 0;
        while (index < records.size() && records.get(index).timestamp() < timestampMs) {
            index++;
        }
        ListOffsetsResultInfo byAdmin = admin(partition, OffsetSpec.forTimestamp(timestampMs));
        OffsetAndTimestamp byConsumer = consumer.offsetsForTimes(Map.of(partition, timestampMs)).get(partition);
        if (index == records.size()) {
            Check.same(-1L, byAdmin.offset(), what + " lies after the last record");
            Check.same(-1L, byAdmin.timestamp(), what + " lies after the last record, timestamp");
            Check.same(null, byConsumer, what + " lies after the last record, for the consumer");
        } else {
            Check.same((long) index, byAdmin.offset(), what);
            Check.same(records.get(index).timestamp(), byAdmin.timestamp(), what + ", timestamp");
            Check.same((long) index, byConsumer.offset(), what + ", for the consumer");
        }
    }

    /** Before all, exactly at and just after some records, in the middle of steps, and after all. */
    private static List<Long> timestamps(List<ProducerRecord<byte[], byte[]>> records) {
        List<Long> timestamps = new ArrayList<>();
        timestamps.add(0L);
        for (int part = 0; part <= 4; part++) {
            long at = records.get((records.size() - 1) * part / 4).timestamp();
            timestamps.add(at);
            timestamps.add(at + 1);
        }
        timestamps.add(records.stream().mapToLong(ProducerRecord::timestamp).max().orElse(0) + 1);
        return timestamps;
    }

    private ListOffsetsResultInfo admin(TopicPartition partition, OffsetSpec spec) throws Exception {
        return Check.await(admin.listOffsets(Map.of(partition, spec)).partitionResult(partition));
    }
}
