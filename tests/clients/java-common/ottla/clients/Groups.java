package ottla.clients;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.RebalanceInProgressException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.utils.AppInfoParser;

/** The cases of groups, by one protocol: see {@code tests/clients/README.md}. */
final class Groups {
    private static final int EACH = GroupTopic.EACH;
    /** What members are told: as short as a broker allows, unless the member is killed. */
    private static final int SESSION_MS =
            Integer.parseInt(System.getenv().getOrDefault("OTTLA_SESSION_MS", "6000"));
    /** A member that is to be killed does not stay for ever. */
    private static final long KILLED_WITHIN_SECONDS = 300;

    private final String bootstrap;
    private final String client;
    private final String protocol;
    private final Topics topics;
    private final Report report;
    private final BufferedReader answers = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));

    Groups(String bootstrap, String client, String protocol, Topics topics, Report report) {
        this.bootstrap = bootstrap;
        this.client = client;
        this.protocol = protocol;
        this.topics = topics;
        this.report = report;
    }

    private interface Case {
        void run(Session session) throws Exception;
    }

    void run() {
        row("subscribe", this::subscribe);
        row("rebalance", this::rebalance);
        row("resume", this::resume);
        row("seek", this::seek);
        row("pause", this::pause);
        row("auto-commit", this::autoCommit);
        row("idle", this::idle);
        row("apart", this::apart);
        row("lag", this::lag);
        row("restart", session -> interrupted("restart", session));
        row("kill", session -> interrupted("kill", session));
        row("member-killed", this::memberKilled);
    }

    private void row(String name, Case body) {
        report.row("case=group-" + name + " protocol=" + protocol, () -> {
            try (Session session = new Session(name(name))) {
                body.run(session);
            }
            return "";
        });
    }

    /** Of the topic, and of the group. */
    private String name(String end) {
        return client + "-" + end + "-" + protocol;
    }

    /** What one case has open: its topic, and members. */
    private final class Session implements AutoCloseable {
        final GroupTopic topic;
        private final List<Consumer<byte[], byte[]>> members = new ArrayList<>();

        Session(String name) throws Exception {
            topic = new GroupTopic(name, topics, bootstrap);
        }

        Consumer<byte[], byte[]> join() {
            return join(topic.name, false);
        }

        Consumer<byte[], byte[]> join(String group, boolean autoCommit) {
            Consumer<byte[], byte[]> member = member(topic.name, group, autoCommit);
            members.add(member);
            return member;
        }

        /** Leaves now. */
        void leave(Consumer<byte[], byte[]> member) {
            members.remove(member);
            member.close();
        }

        /** What is committed, by partition; without those that have nothing. */
        Map<Integer, Long> committed(String group) throws Exception {
            Map<Integer, Long> offsets = new TreeMap<>();
            Map<TopicPartition, OffsetAndMetadata> found =
                    Check.await(topics.admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata());
            found.forEach((place, offset) -> {
                if (offset != null) {
                    offsets.put(place.partition(), offset.offset());
                }
            });
            return offsets;
        }

        Map<Integer, Long> committed() throws Exception {
            return committed(topic.name);
        }

        @SuppressWarnings({"deprecation", "removal"}) // The newer one is not in 3.9.
        boolean isStable(int memberCount) {
            try {
                ConsumerGroupDescription group =
                        Check.await(topics.admin.describeConsumerGroups(List.of(topic.name)).all()).get(topic.name);
                return group.state().toString().equals("Stable") && group.members().size() == memberCount;
            } catch (Exception e) {
                return false; // It may not be known yet.
            }
        }

        @Override
        public void close() {
            members.forEach(Consumer::close);
            topic.close();
        }
    }

    private Consumer<byte[], byte[]> member(String topic, String group, boolean autoCommit) {
        Map<String, Object> config = new HashMap<>();
        config.put("bootstrap.servers", bootstrap);
        config.put("group.id", group);
        config.put("group.protocol", protocol);
        config.put("auto.offset.reset", "earliest");
        config.put("enable.auto.commit", autoCommit);
        config.put("auto.commit.interval.ms", 100);
        if (protocol.equals("classic")) {
            // By the other protocol, the broker says both.
            config.put("session.timeout.ms", SESSION_MS);
            config.put("heartbeat.interval.ms", 100);
        }
        Consumer<byte[], byte[]> member =
                new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer());
        member.subscribe(List.of(topic));
        return member;
    }

    private void subscribe(Session session) throws Exception {
        session.topic.send(EACH);
        Consumer<byte[], byte[]> member = session.join();
        session.topic.reader().read(member);
        Check.same(GroupTopic.ALL, GroupTopic.assigned(member), "assignment");
        Check.same(Map.of(), session.committed(), "committed by nobody");
    }

    /** One, then two, then one again. */
    private void rebalance(Session session) throws Exception {
        GroupTopic.Reader reader = session.topic.reader();
        Consumer<byte[], byte[]> first = session.join();
        reader.settle(List.of(first), GroupTopic::shared, "the first has all");
        session.topic.send(EACH);
        reader.read(first);
        first.commitSync();
        Consumer<byte[], byte[]> second = session.join();
        reader.settle(List.of(first, second), GroupTopic::shared, "both have some");
        session.topic.send(EACH);
        reader.readShared(List.of(first, second));
        first.commitSync();
        second.commitSync();
        session.leave(second);
        reader.settle(List.of(first), GroupTopic::shared, "the first has all again");
        session.topic.send(EACH);
        reader.read(first);
        first.commitSync();
        Check.same(session.topic.ends(), session.committed(), "committed at last");
    }

    /** A new member goes on where an old one said, and at the beginning of what it said nothing of. */
    private void resume(Session session) throws Exception {
        session.topic.send(EACH);
        Consumer<byte[], byte[]> old = session.join();
        session.topic.reader().read(old);
        old.commitSync(Map.of(
                session.topic.place(0), new OffsetAndMetadata(5, "noted"),
                session.topic.place(2), new OffsetAndMetadata(EACH)));
        session.leave(old);
        Consumer<byte[], byte[]> member = session.join();
        Check.same("noted", member.committed(Set.of(session.topic.place(0))).get(session.topic.place(0)).metadata(),
                "metadata of a commit");
        GroupTopic.Reader reader = session.topic.reader();
        reader.next.put(0, 5L);
        reader.next.put(2, (long) EACH);
        session.topic.send(EACH);
        reader.read(member);
        member.commitSync();
        Check.same(session.topic.ends(), session.committed(), "committed at last");
    }

    private void seek(Session session) throws Exception {
        session.topic.send(EACH);
        Consumer<byte[], byte[]> member = session.join();
        GroupTopic.Reader reader = session.topic.reader();
        reader.read(member);
        for (Map.Entry<Integer, Long> to : Map.of(0, 3L, 1, 0L).entrySet()) {
            member.seek(session.topic.place(to.getKey()), to.getValue());
            reader.next.put(to.getKey(), to.getValue());
        }
        reader.read(member);
    }

    private void pause(Session session) throws Exception {
        Consumer<byte[], byte[]> member = session.join();
        GroupTopic.Reader reader = session.topic.reader();
        reader.settle(List.of(member), GroupTopic::shared, "it has all");
        member.pause(Set.of(session.topic.place(1)));
        session.topic.send(EACH);
        Map<Integer, Long> ends = session.topic.ends();
        ends.put(1, 0L);
        reader.read(List.of(member), ends);
        reader.nothing(member, "records of a paused partition");
        member.resume(Set.of(session.topic.place(1)));
        reader.read(member);
    }

    /** In the background, and when it leaves. */
    private void autoCommit(Session session) throws Exception {
        session.topic.send(EACH);
        Consumer<byte[], byte[]> member = session.join(session.topic.name, true);
        GroupTopic.Reader reader = session.topic.reader();
        reader.read(member);
        long deadline = GroupTopic.deadline();
        while (!session.committed().equals(session.topic.ends())) {
            Check.that(System.nanoTime() < deadline, "committed: " + session.committed());
            reader.nothing(member, "records after the last");
        }
        session.topic.send(EACH);
        reader.read(member);
        session.leave(member);
        Check.same(session.topic.ends(), session.committed(), "committed when it left");
    }

    /** Five members, three partitions. */
    private void idle(Session session) throws Exception {
        List<Consumer<byte[], byte[]>> members = new ArrayList<>();
        for (int i = 0; i < 5; i++) {
            members.add(session.join());
        }
        GroupTopic.Reader reader = session.topic.reader();
        // Three of them have one each before the others join, too.
        reader.settle(members, assigned -> session.isStable(5), "all five are members");
        reader.settle(members, assigned -> {
            int[] sizes = assigned.stream().mapToInt(Set::size).sorted().toArray();
            return GroupTopic.covers(assigned) && Arrays.equals(new int[] {0, 0, 1, 1, 1}, sizes);
        }, "three of five have one");
        session.topic.send(EACH);
        reader.readShared(members);
    }

    /** Two groups. */
    private void apart(Session session) throws Exception {
        session.topic.send(EACH);
        for (String end : List.of("one", "other")) {
            String group = session.topic.name + "-" + end;
            Consumer<byte[], byte[]> member = session.join(group, false);
            session.topic.reader().read(member);
            member.commitSync();
            Check.same(session.topic.ends(), session.committed(group), "committed by " + group);
        }
    }

    /** As tools compute it: latest less committed, and all of it where nothing was committed. */
    private void lag(Session session) throws Exception {
        session.topic.send(EACH);
        Consumer<byte[], byte[]> member = session.join();
        session.topic.reader().read(member);
        member.commitSync(Map.of(
                session.topic.place(0), new OffsetAndMetadata(5),
                session.topic.place(1), new OffsetAndMetadata(EACH)));
        session.topic.send(7);
        Map<Integer, Long> committed = session.committed();
        Check.same(Map.of(0, 5L, 1, (long) EACH), committed, "offsets of the group");
        Map<Integer, Long> lag = new TreeMap<>();
        new Offsets(topics.admin).latest(session.topic.name, GroupTopic.PARTITIONS).forEach((partition, latest) ->
                lag.put(partition, latest - committed.getOrDefault(partition, 0L)));
        Check.same(Map.of(0, EACH - 5 + 7L, 1, 7L, 2, EACH + 7L), lag, "lag");
    }

    /**
     * The broker goes and comes back under two members. A client may join anew because of that, and then gets again what
     * it did not commit.
     */
    private void interrupted(String how, Session session) throws Exception {
        List<Consumer<byte[], byte[]>> members = List.of(session.join(), session.join());
        GroupTopic.Reader reader = session.topic.reader();
        reader.settle(members, GroupTopic::shared, "both have some");
        session.topic.send(EACH);
        reader.readShared(members);
        members.forEach(Consumer::commitSync);
        Map<Integer, Long> ends = session.topic.ends();
        session.topic.send(EACH);
        ask(how);
        Check.same(ends, session.committed(), "committed before the " + how);
        session.topic.send(EACH);
        reader.repeats = ends;
        reader.read(members, session.topic.ends());
        reader.settle(members, GroupTopic::shared, "both have some again");
        long deadline = GroupTopic.deadline();
        while (!session.committed().equals(session.topic.ends())) {
            Check.that(System.nanoTime() < deadline, "what was read cannot be committed");
            for (Consumer<byte[], byte[]> member : members) {
                reader.nothing(member, "records after the last");
                try {
                    member.commitSync();
                } catch (CommitFailedException | RebalanceInProgressException e) {
                    System.out.println("a commit during a rebalance: " + e);
                }
            }
        }
    }

    /** Its process dies by SIGKILL; who comes after it does not wait for the end of its session. */
    private void memberKilled(Session session) throws Exception {
        session.topic.send(EACH);
        ask("member");
        session.topic.send(EACH);
        ask("kill-member");
        long start = System.nanoTime();
        Consumer<byte[], byte[]> member = session.join();
        session.topic.reader().read(member);
        Check.same(GroupTopic.ALL, GroupTopic.assigned(member), "assignment");
        System.out.printf(Locale.ROOT, "after a member was killed: %.1f s%n", (System.nanoTime() - start) / 1e9);
    }

    /** The one that is killed: it has everything, and commits nothing. */
    void killedMember() {
        try (Consumer<byte[], byte[]> member = member(name("member-killed"), name("member-killed"), false)) {
            long deadline = GroupTopic.deadline();
            while (!GroupTopic.assigned(member).equals(GroupTopic.ALL)) {
                Check.that(System.nanoTime() < deadline, "assigned: " + GroupTopic.assigned(member));
                member.poll(Duration.ofMillis(50));
            }
            System.out.println("ready");
            System.out.flush();
            long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(KILLED_WITHIN_SECONDS);
            while (System.nanoTime() < end) {
                member.poll(Duration.ofSeconds(1));
            }
        }
    }

    /**
     * {@code restart} or {@code kill}: the broker is down and up again when this returns. {@code member}: another process,
     * which runs {@link #killedMember}, has all partitions. {@code kill-member}: that one is dead.
     */
    private void ask(String what) throws IOException {
        System.out.println(what);
        System.out.flush();
        Check.same("done", answers.readLine(), "answer to " + what);
    }

    /** From a consumer's making to its first record, in groups that never were. */
    void firstRecord(int groups) throws Exception {
        try (GroupTopic topic = new GroupTopic(name("first"), topics, bootstrap)) {
            topic.send(1);
            List<Double> took = new ArrayList<>();
            // The JVM compiles while it warms.
            for (int run = -groups; run < groups; run++) {
                double ms = first(topic.name, client + "-" + run);
                if (run >= 0) {
                    took.add(ms);
                }
            }
            took.sort(null);
            System.out.printf(
                    Locale.ROOT,
                    "first-record version=%s protocol=%s ms=%.1f least=%.1f runs=%d%n",
                    AppInfoParser.getVersion(), protocol, took.get(took.size() / 2), took.get(0), took.size());
        }
    }

    private double first(String topic, String group) {
        long start = System.nanoTime();
        try (Consumer<byte[], byte[]> member = member(topic, group, false)) {
            long deadline = GroupTopic.deadline();
            while (member.poll(Duration.ofSeconds(1)).isEmpty()) {
                Check.that(System.nanoTime() < deadline, "no first record");
            }
            return (System.nanoTime() - start) / 1e6;
        }
    }
}
