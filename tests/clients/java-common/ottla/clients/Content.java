package ottla.clients;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.internals.RecordHeaders;

/**
 * Records whose every byte follows from a seed.
 *
 * <p>They hold what implementers get wrong: null and empty keys and values, the same header key twice, headers with a
 * null or an empty value or an empty name, names beyond ASCII, values larger than a producer's batch, and timestamps
 * that go back.
 */
final class Content {
    /** Fixed, so that two runs with one seed store the same bytes. Topics for it keep records for ever. */
    static final long FIRST_TIMESTAMP_MS = 1_700_000_000_000L;

    private static final int TIMESTAMP_STEP_MS = 10;
    private static final int LARGE_VALUE_BYTES = 20_000;
    private static final int LARGE_RECORDS = 20;
    private static final int LARGE_RECORD_BYTES = 900_000;
    private static final String[] WORDS = {"partition", "segment", "batch", "record", "offset", "epoch", "leader"};

    private Content() {}

    static List<ProducerRecord<byte[], byte[]>> records(String topic, long seed, int count) {
        Random random = new Random(seed);
        List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>(count);
        for (int i = 0; i < count; i++) {
            records.add(new ProducerRecord<>(
                    topic, null, timestampMs(i, count), key(i, random), value(i, random), headers(i, random)));
        }
        return records;
    }

    /** Records nearly as large as a broker takes them by default, of bytes that do not compress. */
    static List<ProducerRecord<byte[], byte[]>> large(String topic, long seed) {
        Random random = new Random(seed);
        List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>(LARGE_RECORDS);
        for (int i = 0; i < LARGE_RECORDS; i++) {
            byte[] value = new byte[LARGE_RECORD_BYTES];
            random.nextBytes(value);
            records.add(new ProducerRecord<>(topic, null, timestampMs(i, LARGE_RECORDS), null, value));
        }
        return records;
    }

    /** Rises by a step per record, but every seventh lies five seconds back; the last record is the only latest one. */
    private static long timestampMs(int i, int count) {
        long rising = FIRST_TIMESTAMP_MS + (long) i * TIMESTAMP_STEP_MS;
        return i % 7 == 3 && i != count - 1 ? rising - 5_000 : rising;
    }

    private static byte[] key(int i, Random random) {
        return switch (i % 16) {
            case 5 -> null;
            case 11 -> new byte[0];
            default -> ("key-" + random.nextInt(1000)).getBytes(StandardCharsets.UTF_8);
        };
    }

    private static byte[] value(int i, Random random) {
        if (i % 10 == 3) {
            return null;
        }
        if (i % 10 == 7) {
            return new byte[0];
        }
        if (i % 2500 == 4) {
            return words(random, LARGE_VALUE_BYTES);
        }
        if (i % 10 == 9) {
            byte[] noise = new byte[random.nextInt(200)];
            random.nextBytes(noise);
            return noise;
        }
        return words(random, random.nextInt(300));
    }

    private static byte[] words(Random random, int bytes) {
        StringBuilder text = new StringBuilder(bytes + 16);
        while (text.length() < bytes) {
            text.append(WORDS[random.nextInt(WORDS.length)]).append(' ');
        }
        return text.toString().getBytes(StandardCharsets.UTF_8);
    }

    private static RecordHeaders headers(int i, Random random) {
        RecordHeaders headers = new RecordHeaders();
        switch (i % 4) {
            case 1 -> headers.add("trace", words(random, 20));
            case 2 -> {
                headers.add("twice", "first".getBytes(StandardCharsets.UTF_8));
                headers.add("between", new byte[] {0, (byte) 0xff});
                headers.add("twice", "second".getBytes(StandardCharsets.UTF_8));
                headers.add("twice", "first".getBytes(StandardCharsets.UTF_8));
            }
            case 3 -> {
                headers.add("null", null);
                headers.add("empty", new byte[0]);
                headers.add("", "no name".getBytes(StandardCharsets.UTF_8));
                headers.add("žluťoučký", "kůň".getBytes(StandardCharsets.UTF_8));
            }
            default -> { }
        }
        return headers;
    }
}
