package ottla.judges;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.regex.Pattern;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.utils.Exit;
import org.apache.kafka.tools.consumer.group.ConsumerGroupCommand;

/**
 * kafka-consumer-groups against a broker with real members, in one JVM: {@code ConsumerGroups HOST:PORT PROTOCOL DIRECTORY}.
 *
 * <p>Every command is printed with what it says on either stream. What differs from run to run has a name instead, and
 * runs of spaces are one space: two brokers that do the same make the same text.
 */
public final class ConsumerGroups {
    private static final String TOPIC = "orders";
    private static final String RECENT = "recent";
    private static final String GROUP = "shop";
    private static final String UNBORN = "unborn";
    /** A line of a table, or above it, that there is for each group. */
    private static final Pattern OF_GROUP = Pattern.compile("Consumer group '|(" + GROUP + "|" + UNBORN + ")[ ,]");
    private static final int PARTITIONS = 3;
    private static final int RECORDS = 10;
    private static final long FIRST_TIMESTAMP_MS = 1_700_000_000_000L;
    private static final Duration POLL = Duration.ofMillis(50);
    private static final long WAIT_SECONDS_MAX = 30;
    /** As much as a broker lets a commit say. */
    private static final int METADATA_BYTES = 4000;
    private static final int COMMITS = 700;

    private final String bootstrap;
    private final String protocol;
    private final Path directory;
    private final Admin admin;
    private final List<Member> members = new ArrayList<>();
    private final List<String> memberIds = new ArrayList<>();

    private ConsumerGroups(String bootstrap, String protocol, Path directory) {
        this.bootstrap = bootstrap;
        this.protocol = protocol;
        this.directory = directory;
        this.admin = Admin.create(Map.of("bootstrap.servers", bootstrap));
    }

    public static void main(String[] args) throws Exception {
        Exit.setExitProcedure((status, message) -> {
            throw new IllegalStateException("the tool exits with " + status);
        });
        ConsumerGroups groups = new ConsumerGroups(args[0], args[1], Path.of(args[2]));
        groups.fill();
        groups.nobody();
        groups.active();
        groups.inactive();
        groups.resets();
        groups.deletions();
        groups.manyCommits();
        groups.admin.close();
    }

    /** Records with known times: long ago, and this hour. */
    private void fill() throws Exception {
        await(() -> admin.createTopics(List.of(
                new NewTopic(TOPIC, PARTITIONS, (short) 1).configs(Map.of("retention.ms", "-1")),
                new NewTopic(RECENT, 1, (short) 1))).all().get());
        for (int p = 0; p < PARTITIONS; p++) {
            leads(new TopicPartition(TOPIC, p));
        }
        leads(new TopicPartition(RECENT, 0));
        long now = System.currentTimeMillis();
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(
                Map.of("bootstrap.servers", bootstrap), new ByteArraySerializer(), new ByteArraySerializer())) {
            for (int i = 0; i < RECORDS; i++) {
                for (int p = 0; p < PARTITIONS; p++) {
                    producer.send(new ProducerRecord<>(TOPIC, p, FIRST_TIMESTAMP_MS + 1000L * i, null, new byte[] {1}));
                }
            }
            for (int minutes : new int[] {60, 45, 15, 1}) {
                long at = now - TimeUnit.MINUTES.toMillis(minutes);
                producer.send(new ProducerRecord<>(RECENT, 0, at, null, new byte[] {1}));
            }
        }
    }

    /** Apache Kafka's metadata follows a moment after its answer. */
    private void leads(TopicPartition place) throws Exception {
        await(() -> admin.listOffsets(Map.of(place, OffsetSpec.latest())).all().get());
    }

    private interface Step {
        void run() throws Exception;
    }

    private static void await(Step step) throws Exception {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(WAIT_SECONDS_MAX);
        while (true) {
            try {
                step.run();
                return;
            } catch (ExecutionException e) {
                if (System.nanoTime() > deadline) {
                    throw e;
                }
                TimeUnit.MILLISECONDS.sleep(20);
            }
        }
    }

    private void nobody() {
        tool("--list");
        tool("--describe", "--group", "nobody");
        tool("--describe", "--group", "nobody", "--members");
        tool("--describe", "--group", "nobody", "--state");
        tool("--delete", "--group", "nobody");
        tool("--delete-offsets", "--group", "nobody", "--topic", TOPIC);
    }

    /** One by the new protocol, whose members have ids in no order; two by the old one. */
    private void active() throws Exception {
        List<String> names = protocol.equals("classic") ? List.of("one", "two") : List.of("one");
        for (String name : names) {
            members.add(new Member(name));
        }
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(WAIT_SECONDS_MAX);
        while (members.stream().mapToInt(Member::partitions).sum() != PARTITIONS
                || members.stream().anyMatch(member -> member.partitions() == 0)) {
            if (System.nanoTime() > deadline) {
                throw new AssertionError("the members have no partitions");
            }
            TimeUnit.MILLISECONDS.sleep(5);
        }
        for (Member member : members) {
            memberIds.add(member.id());
        }
        members.get(0).commit(Map.of(
                new TopicPartition(TOPIC, 0), new OffsetAndMetadata(4, "noted"),
                new TopicPartition(TOPIC, 1), new OffsetAndMetadata(RECORDS)));
        tool("--list");
        tool("--list", "--state");
        tool("--list", "--state", "stable");
        tool("--list", "--state", "empty");
        tool("--list", "--type");
        tool("--list", "--type", "classic");
        tool("--list", "--type", "consumer");
        tool("--describe", "--group", GROUP);
        tool("--describe", "--all-groups");
        tool("--describe", "--group", GROUP, "--offsets");
        tool("--describe", "--group", GROUP, "--offsets", "--verbose");
        tool("--describe", "--group", GROUP, "--members");
        tool("--describe", "--group", GROUP, "--members", "--verbose");
        tool("--describe", "--group", GROUP, "--state");
        tool("--describe", "--group", GROUP, "--state", "--verbose");
        tool("--describe", "--all-groups", "--members");
        tool("--describe", "--all-groups", "--state");
        tool("--reset-offsets", "--group", GROUP, "--topic", TOPIC, "--to-earliest", "--dry-run");
        tool("--reset-offsets", "--group", GROUP, "--topic", TOPIC, "--to-earliest", "--execute");
        tool("--delete", "--group", GROUP);
        tool("--delete-offsets", "--group", GROUP, "--topic", TOPIC);
    }

    private void inactive() throws Exception {
        for (Member member : members) {
            member.leave();
        }
        tool("--list", "--state");
        tool("--describe", "--group", GROUP);
        tool("--describe", "--group", GROUP, "--members");
        tool("--describe", "--group", GROUP, "--state");
    }

    private void resets() throws IOException {
        reset("--topic", TOPIC, "--to-earliest", "--dry-run");
        tool("--describe", "--group", GROUP);
        reset("--topic", TOPIC, "--to-earliest", "--execute");
        reset("--topic", TOPIC, "--to-latest");
        reset("--topic", TOPIC, "--to-latest", "--execute");
        reset("--topic", TOPIC + ":0,2", "--to-offset", "5", "--execute");
        reset("--topic", TOPIC + ":1", "--to-offset", "100", "--execute");
        reset("--topic", TOPIC, "--shift-by", "-2", "--execute");
        reset("--topic", TOPIC, "--shift-by", "-100", "--dry-run");
        reset("--topic", TOPIC, "--shift-by", "1", "--execute");
        reset("--topic", TOPIC, "--to-datetime", "2023-11-14T22:13:25.500Z", "--execute");
        reset("--topic", RECENT, "--by-duration", "PT30M", "--execute");
        reset("--topic", TOPIC, "--to-current", "--execute");
        reset("--all-topics", "--shift-by", "1", "--execute");
        reset("--topic", "no-such-topic", "--to-earliest", "--execute");
        Path csv = directory.resolve("offsets.csv");
        Files.writeString(csv, tool("--reset-offsets", "--group", GROUP, "--topic", TOPIC, "--to-offset", "3", "--export",
                "--dry-run"));
        reset("--from-file", csv.toString(), "--execute");
        tool("--describe", "--group", GROUP);
        tool("--describe", "--group", GROUP, "--verbose");
        tool("--reset-offsets", "--group", UNBORN, "--topic", TOPIC, "--to-offset", "3", "--execute");
        tool("--describe", "--group", UNBORN);
        tool("--list", "--type");
        tool("--reset-offsets", "--all-groups", "--topic", TOPIC + ":1", "--shift-by", "2", "--execute");
        Path all = directory.resolve("all-groups.csv");
        Files.writeString(all, tool("--reset-offsets", "--all-groups", "--topic", TOPIC + ":2", "--to-earliest", "--export",
                "--dry-run"));
        tool("--reset-offsets", "--all-groups", "--from-file", all.toString(), "--execute");
        tool("--describe", "--all-groups");
    }

    private void reset(String... how) {
        List<String> arguments = new ArrayList<>(List.of("--reset-offsets", "--group", GROUP));
        arguments.addAll(List.of(how));
        tool(arguments.toArray(new String[0]));
    }

    private void deletions() {
        tool("--delete-offsets", "--group", GROUP, "--topic", TOPIC + ":0");
        tool("--delete-offsets", "--group", GROUP, "--topic", "no-such-topic");
        tool("--describe", "--group", GROUP);
        tool("--delete", "--group", GROUP);
        tool("--delete", "--group", GROUP);
        tool("--delete", "--all-groups");
        tool("--list");
    }

    /** So that the log of offsets has something to compact: one group, its offsets over and over. */
    private void manyCommits() throws Exception {
        String metadata = "m".repeat(METADATA_BYTES);
        for (int i = 0; i < COMMITS; i++) {
            admin.alterConsumerGroupOffsets("busy", Map.of(
                    new TopicPartition(TOPIC, 0), new OffsetAndMetadata(i, metadata))).all().get();
        }
    }

    /** Runs the tool, prints what it says, and answers it as it was. */
    private String tool(String... arguments) {
        String shown = String.join(" ", arguments).replace(directory.toString(), "DIRECTORY");
        System.out.println("$ kafka-consumer-groups " + shown);
        PrintStream out = System.out;
        PrintStream err = System.err;
        ByteArrayOutputStream said = new ByteArrayOutputStream();
        try (PrintStream both = new PrintStream(said, true, StandardCharsets.UTF_8)) {
            System.setOut(both);
            System.setErr(both);
            List<String> all = new ArrayList<>(List.of("--bootstrap-server", bootstrap));
            all.addAll(List.of(arguments));
            ConsumerGroupCommand.main(all.toArray(new String[0]));
        } catch (Exception e) {
            said.writeBytes((e + "\n").getBytes(StandardCharsets.UTF_8));
        } finally {
            System.setOut(out);
            System.setErr(err);
        }
        String text = said.toString(StandardCharsets.UTF_8);
        List<String> lines = new ArrayList<>(text.lines()
                .filter(line -> !line.isBlank() && !line.startsWith("\tat ") && !line.startsWith("\t... "))
                .map(this::masked).toList());
        // Groups, members and partitions come in the order of hashes and of arrival.
        lines.sort(Comparator.comparing(line -> OF_GROUP.matcher(line).lookingAt() ? line : ""));
        lines.forEach(System.out::println);
        System.out.println();
        System.out.flush();
        return text;
    }

    private String masked(String line) {
        String masked = line;
        for (int i = 0; i < memberIds.size(); i++) {
            masked = masked.replace(memberIds.get(i), "MEMBER-" + (i + 1));
        }
        return masked.replace(bootstrap, "HOST:PORT").replaceAll(" +", " ").strip();
    }

    /** A member that polls on a thread of its own, and reads nothing: it begins at the end. */
    private final class Member {
        private final KafkaConsumer<byte[], byte[]> consumer;
        private final Thread thread;
        private volatile int partitions;
        private volatile String id = "";
        private volatile boolean leaves;
        private volatile Map<TopicPartition, OffsetAndMetadata> commits;

        Member(String name) {
            Map<String, Object> config = new HashMap<>(Map.of(
                    "bootstrap.servers", bootstrap,
                    "client.id", name,
                    "group.id", GROUP,
                    "group.protocol", protocol,
                    "enable.auto.commit", false));
            if (protocol.equals("classic")) {
                config.put("heartbeat.interval.ms", 100);
                config.put("session.timeout.ms", 6000);
            }
            consumer = new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer());
            consumer.subscribe(List.of(TOPIC));
            thread = new Thread(this::run, name);
            thread.setDaemon(true);
            thread.start();
        }

        private void run() {
            while (!leaves) {
                consumer.poll(POLL);
                id = consumer.groupMetadata().memberId();
                partitions = consumer.assignment().size();
                if (commits != null) {
                    consumer.commitSync(commits);
                    commits = null;
                }
            }
            consumer.close();
        }

        int partitions() {
            return partitions;
        }

        String id() {
            return id;
        }

        void commit(Map<TopicPartition, OffsetAndMetadata> offsets) throws InterruptedException {
            commits = offsets;
            while (commits != null && thread.isAlive()) {
                TimeUnit.MILLISECONDS.sleep(5);
            }
        }

        void leave() throws InterruptedException {
            leaves = true;
            thread.join(TimeUnit.SECONDS.toMillis(WAIT_SECONDS_MAX));
        }
    }
}
