package ottla.clients;

import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;

/** A topic that is deleted and made again under a producer and a consumer that stay. */
final class Recreate {
    private static final int RECORDS_AGAIN = 100;
    private static final Combo COMBO = new Combo("none", "all", true);

    private final RoundTrip trip;
    private final Topics topics;
    private final String topic;
    private final long seed;

    Recreate(String bootstrap, Topics topics, String topic, long seed) {
        this.trip = new RoundTrip(bootstrap);
        this.topics = topics;
        this.topic = topic;
        this.seed = seed;
    }

    /** Fills the topic with that many records, then again with fewer; answers how many must lie there at the end. */
    int check(int count) throws Exception {
        try (Producer<byte[], byte[]> producer = trip.producer(COMBO);
                Consumer<byte[], byte[]> consumer = trip.consumer()) {
            Uuid id = topics.create(topic, 1, Topics.KEEP);
            consumer.assign(List.of(new TopicPartition(topic, 0)));
            fillAndRead(producer, consumer, seed, count);
            Check.await(topics.admin.deleteTopics(List.of(topic)).all());
            topics.settled(() -> Check.refused(UnknownTopicOrPartitionException.class,
                    topics.admin.describeTopics(List.of(topic)).allTopicNames(), "describing a deleted topic"));
            Check.that(!topics.create(topic, 1, Topics.KEEP).equals(id), "the new topic has the id of the deleted one");
            fillAndRead(producer, consumer, seed + 1, RECORDS_AGAIN);
        }
        return RECORDS_AGAIN;
    }

    private void fillAndRead(
            Producer<byte[], byte[]> producer, Consumer<byte[], byte[]> consumer, long seed, int count)
            throws Exception {
        Map<TopicPartition, List<ProducerRecord<byte[], byte[]>>> sent =
                trip.produce(producer, COMBO, Content.records(topic, seed, count));
        Check.same(count, trip.compare(consumer, sent), "records read");
    }
}
