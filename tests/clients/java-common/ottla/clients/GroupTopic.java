package ottla.clients;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.function.Predicate;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;

/** A topic that groups read, and what lies in it. */
final class GroupTopic implements AutoCloseable {
    static final int PARTITIONS = 3;
    static final int EACH = 20;
    static final Set<Integer> ALL = Set.of(0, 1, 2);
    private static final Duration POLL = Duration.ofMillis(50);

    final String name;
    private final List<List<String>> lies = new ArrayList<>();
    private final Producer<byte[], byte[]> producer;

    GroupTopic(String name, Topics topics, String bootstrap) throws Exception {
        this.name = name;
        topics.create(name, PARTITIONS, Topics.KEEP);
        for (int p = 0; p < PARTITIONS; p++) {
            lies.add(new ArrayList<>());
        }
        producer = new RoundTrip(bootstrap).producer(new Combo("none", "all", true));
    }

    @Override
    public void close() {
        producer.close();
    }

    /** So many more records into each partition. */
    void send(int count) throws Exception {
        List<Future<RecordMetadata>> answers = new ArrayList<>();
        List<Long> offsets = new ArrayList<>();
        for (int p = 0; p < PARTITIONS; p++) {
            for (int i = 0; i < count; i++) {
                offsets.add((long) lies.get(p).size());
                String value = p + "-" + lies.get(p).size();
                lies.get(p).add(value);
                answers.add(producer.send(
                        new ProducerRecord<>(name, p, null, value.getBytes(StandardCharsets.UTF_8))));
            }
        }
        for (int i = 0; i < answers.size(); i++) {
            Check.same(offsets.get(i), Check.await(answers.get(i)).offset(), "offset of a record");
        }
    }

    Map<Integer, Long> ends() {
        Map<Integer, Long> ends = new TreeMap<>();
        for (int p = 0; p < PARTITIONS; p++) {
            ends.put(p, (long) lies.get(p).size());
        }
        return ends;
    }

    TopicPartition place(int partition) {
        return new TopicPartition(name, partition);
    }

    Reader reader() {
        return new Reader();
    }

    /** The partitions that it has been given. */
    static Set<Integer> assigned(Consumer<byte[], byte[]> member) {
        Set<Integer> partitions = new HashSet<>();
        member.assignment().forEach(place -> partitions.add(place.partition()));
        return partitions;
    }

    static List<Set<Integer>> assigned(List<Consumer<byte[], byte[]>> members) {
        return members.stream().map(GroupTopic::assigned).toList();
    }

    /** Nobody has the same, nothing is left. */
    static boolean covers(List<Set<Integer>> assigned) {
        Set<Integer> union = new HashSet<>();
        assigned.forEach(union::addAll);
        return union.equals(ALL) && assigned.stream().mapToInt(Set::size).sum() == PARTITIONS;
    }

    /** That, and everybody has some. */
    static boolean shared(List<Set<Integer>> assigned) {
        return covers(assigned) && assigned.stream().noneMatch(Set::isEmpty);
    }

    /** What comes to some members, together, is held against what lies in the topic: every record once, in order. */
    final class Reader {
        final Map<Integer, Long> next = new TreeMap<>(Map.of(0, 0L, 1, 0L, 2, 0L));
        /** From where on records may come again, because they were not committed; none, if this is null. */
        Map<Integer, Long> repeats;

        /** Polls until the assignments are as they should be. No record may come meanwhile. */
        void settle(List<Consumer<byte[], byte[]>> members, Predicate<List<Set<Integer>>> wanted, String what) {
            long deadline = deadline();
            while (!wanted.test(assigned(members))) {
                Check.that(System.nanoTime() < deadline, what + ": " + assigned(members));
                for (Consumer<byte[], byte[]> member : members) {
                    nothing(member, "records while waiting for: " + what);
                }
            }
        }

        /** Reads on to what lies there now; the records of each partition must come to its owner. */
        void readShared(List<Consumer<byte[], byte[]>> members) {
            List<Set<Integer>> assigned = assigned(members);
            Check.same(assigned, read(members, ends()), "who read");
        }

        void read(Consumer<byte[], byte[]> member) {
            read(List.of(member), ends());
        }

        /** Polls until everything came up to these offsets; answers what partitions' records came to each member. */
        List<Set<Integer>> read(List<Consumer<byte[], byte[]>> members, Map<Integer, Long> ends) {
            List<Set<Integer>> read = new ArrayList<>();
            members.forEach(member -> read.add(new HashSet<>()));
            long deadline = deadline();
            while (!next.equals(ends)) {
                Check.that(System.nanoTime() < deadline, "read up to " + next + " of " + ends);
                for (int who = 0; who < members.size(); who++) {
                    for (ConsumerRecord<byte[], byte[]> record : members.get(who).poll(POLL)) {
                        if (!isRepeated(record)) {
                            take(record, ends);
                        }
                        read.get(who).add(record.partition());
                    }
                }
            }
            return read;
        }

        private void take(ConsumerRecord<byte[], byte[]> record, Map<Integer, Long> ends) {
            int partition = record.partition();
            long at = next.get(partition);
            Check.same(at, record.offset(), "next offset of partition " + partition);
            Check.that(at < ends.get(partition), "offset " + at + " of partition " + partition + " came too early");
            Check.same(lies.get(partition).get((int) at), new String(record.value(), StandardCharsets.UTF_8),
                    "partition " + partition + " offset " + at);
            next.put(partition, at + 1);
        }

        /** Nothing new, that is. */
        void nothing(Consumer<byte[], byte[]> member, String what) {
            for (ConsumerRecord<byte[], byte[]> record : member.poll(POLL)) {
                Check.that(isRepeated(record), what + ": " + record);
            }
        }

        private boolean isRepeated(ConsumerRecord<byte[], byte[]> record) {
            int partition = record.partition();
            if (repeats == null || record.offset() < repeats.get(partition) || record.offset() >= next.get(partition)) {
                return false;
            }
            Check.same(lies.get(partition).get((int) record.offset()), new String(record.value(), StandardCharsets.UTF_8),
                    "partition " + partition + " offset " + record.offset() + " again");
            return true;
        }
    }

    static long deadline() {
        return System.nanoTime() + TimeUnit.SECONDS.toNanos(Check.WAIT_SECONDS_MAX);
    }
}
