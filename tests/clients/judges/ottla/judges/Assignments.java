package ottla.judges;

import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Collectors;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.coordinator.group.api.assignor.ConsumerGroupPartitionAssignor;
import org.apache.kafka.coordinator.group.api.assignor.GroupAssignment;
import org.apache.kafka.coordinator.group.api.assignor.SubscribedTopicDescriber;
import org.apache.kafka.coordinator.group.api.assignor.SubscriptionType;
import org.apache.kafka.coordinator.group.assignor.RangeAssignor;
import org.apache.kafka.coordinator.group.assignor.UniformAssignor;
import org.apache.kafka.coordinator.group.modern.Assignment;
import org.apache.kafka.coordinator.group.modern.GroupSpecImpl;
import org.apache.kafka.coordinator.group.modern.MemberSubscriptionAndAssignmentImpl;

/**
 * What Apache Kafka's own assignors answer for random groups: {@code Assignments SEED GROUPS}.
 *
 * <p>Each group lives for a while: members come, go and subscribe anew, topics come and grow, and what was assigned is
 * what the next assignment starts from; now and then it starts from anything instead. For each step:
 *
 * <pre>
 * group uniform|range homogeneous|heterogeneous
 * topic ID PARTITIONS
 * member ID INSTANCE SUBSCRIBED | BEFORE | AFTER
 * </pre>
 *
 * <p>Topics are named by their place; a dash is nothing; {@code 0:1,2 3:0} is partitions by topic.
 *
 * <p>Members are asked in the order of their ids. Where Kafka goes by the order of a hash set of topic ids, the ids are
 * those whose order there is their own.
 */
public final class Assignments {
    private static final int STEPS = 6;
    /** A hash set of the ids 0 to 11 has them in order. */
    private static final int TOPICS_MAX = 11;

    private final Random random;
    private final ConsumerGroupPartitionAssignor assignor;
    private final SubscriptionType type;
    private final Map<String, Member> members = new TreeMap<>();
    private final Map<Uuid, Integer> topics = new TreeMap<>();
    private int nextMember;

    private static final class Member {
        Optional<String> instance = Optional.empty();
        Set<Uuid> subscribed = new TreeSet<>();
        Map<Uuid, Set<Integer>> target = new TreeMap<>();
    }

    private Assignments(Random random) {
        this.random = random;
        assignor = random.nextInt(3) == 0 ? new RangeAssignor() : new UniformAssignor();
        type = random.nextBoolean() ? SubscriptionType.HOMOGENEOUS : SubscriptionType.HETEROGENEOUS;
    }

    public static void main(String[] args) {
        Random random = new Random(Long.parseLong(args[0]));
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        for (int i = 0; i < Integer.parseInt(args[1]); i++) {
            Assignments group = new Assignments(random);
            for (int step = 0; step < STEPS; step++) {
                group.change();
                group.assign(out);
            }
        }
        out.flush();
    }

    private void change() {
        for (int i = topics.isEmpty() ? 1 + random.nextInt(5) : random.nextInt(2); i > 0; i--) {
            addTopic();
        }
        if (random.nextInt(4) == 0) {
            topics.replaceAll((id, partitions) -> partitions + random.nextInt(3));
        }
        for (int i = random.nextInt(4); i > 0 && members.size() > 1; i--) {
            removeMember();
        }
        for (int i = members.isEmpty() ? 1 + random.nextInt(8) : random.nextInt(4); i > 0; i--) {
            addMember();
        }
        subscribe();
        if (random.nextInt(5) == 0) {
            scatter();
        }
    }

    private void addTopic() {
        if (topics.size() < TOPICS_MAX) {
            boolean mustBeSmall = type == SubscriptionType.HOMOGENEOUS;
            Uuid id = mustBeSmall ? new Uuid(0, topics.size() + 1) : new Uuid(random.nextLong(), random.nextLong());
            topics.put(id, random.nextInt(4) == 0 ? random.nextInt(3) : random.nextInt(12));
        }
    }

    private void addMember() {
        Member member = new Member();
        if (random.nextInt(3) == 0) {
            member.instance = Optional.of("i" + random.nextInt(1000));
        }
        // Numbers run one way and their order as text another.
        members.put("m" + nextMember * 7 % 100 + "-" + nextMember, member);
        nextMember++;
    }

    /** Sometimes one takes the place of a static member that goes. */
    private void removeMember() {
        String id = List.copyOf(members.keySet()).get(random.nextInt(members.size()));
        Member gone = members.remove(id);
        if (gone.instance.isPresent() && random.nextBoolean()) {
            addMember();
            Member heir = members.get("m" + (nextMember - 1) * 7 % 100 + "-" + (nextMember - 1));
            heir.instance = gone.instance;
            heir.subscribed = gone.subscribed;
            heir.target = gone.target;
        }
    }

    private void subscribe() {
        if (type == SubscriptionType.HOMOGENEOUS) {
            Set<Uuid> subscribed = someTopics();
            if (random.nextInt(3) == 0 || members.values().stream().allMatch(member -> member.subscribed.isEmpty())) {
                members.values().forEach(member -> member.subscribed = subscribed);
            } else {
                Set<Uuid> old = members.values().stream()
                        .map(member -> member.subscribed)
                        .filter(topics -> !topics.isEmpty())
                        .findFirst()
                        .orElse(subscribed);
                members.values().forEach(member -> member.subscribed = old);
            }
        } else {
            members.values().stream()
                    .filter(member -> member.subscribed.isEmpty() || random.nextInt(6) == 0)
                    .forEach(member -> member.subscribed = someTopics());
        }
    }

    private Set<Uuid> someTopics() {
        int outOf = 1 + random.nextInt(3);
        return topics.keySet().stream()
                .filter(id -> random.nextInt(outOf) == 0)
                .collect(Collectors.toCollection(TreeSet::new));
    }

    /** Anything that a log might hold: each partition with one member or with none. */
    private void scatter() {
        List<Member> all = new ArrayList<>(members.values());
        all.forEach(member -> member.target = new TreeMap<>());
        int few = 1 + random.nextInt(all.size());
        topics.forEach((id, partitions) -> {
            for (int partition = 0; partition < partitions; partition++) {
                if (random.nextInt(5) > 0) {
                    all.get(random.nextInt(few))
                            .target
                            .computeIfAbsent(id, topic -> new TreeSet<>())
                            .add(partition);
                }
            }
        });
    }

    private void assign(PrintStream out) {
        Map<String, MemberSubscriptionAndAssignmentImpl> specs = new TreeMap<>();
        Map<Uuid, Map<Integer, String>> owners = new HashMap<>();
        members.forEach((id, member) -> {
            specs.put(
                    id,
                    new MemberSubscriptionAndAssignmentImpl(
                            Optional.empty(), member.instance, member.subscribed, new Assignment(member.target)));
            member.target.forEach((topic, partitions) -> partitions.forEach(partition ->
                    owners.computeIfAbsent(topic, any -> new HashMap<>()).put(partition, id)));
        });
        GroupAssignment assigned =
                assignor.assign(new GroupSpecImpl(specs, type, owners), new SubscribedTopicDescriber() {
                    @Override
                    public int numPartitions(Uuid id) {
                        return topics.getOrDefault(id, -1);
                    }

                    @Override
                    public Set<String> racksForPartition(Uuid id, int partition) {
                        return Set.of();
                    }
                });
        out.println("group " + assignor.name() + " " + type.toString().toLowerCase(Locale.ROOT));
        topics.forEach((id, partitions) -> out.println("topic " + text(id) + " " + partitions));
        members.forEach((id, member) -> {
            Map<Uuid, Set<Integer>> after = new TreeMap<>();
            if (assigned.members().containsKey(id)) {
                assigned.members().get(id).partitions().forEach((topic, partitions) -> {
                    if (!partitions.isEmpty()) {
                        after.put(topic, new TreeSet<>(partitions));
                    }
                });
            }
            out.println("member " + id + " " + member.instance.orElse("-") + " " + places(member.subscribed) + " | "
                    + text(member.target) + " | " + text(after));
            member.target = after;
        });
    }

    /** Kafka's own text never begins with a dash, but a random id may: hex has no such trouble. */
    private static String text(Uuid id) {
        ByteBuffer bytes = ByteBuffer.allocate(16);
        bytes.putLong(id.getMostSignificantBits()).putLong(id.getLeastSignificantBits());
        return HexFormat.of().formatHex(bytes.array());
    }

    private String text(Map<Uuid, Set<Integer>> partitions) {
        String all = partitions.entrySet().stream()
                .map(entry -> place(entry.getKey()) + ":"
                        + entry.getValue().stream().map(Object::toString).collect(Collectors.joining(",")))
                .collect(Collectors.joining(" "));
        return all.isEmpty() ? "-" : all;
    }

    private String places(Set<Uuid> ids) {
        return ids.isEmpty() ? "-" : ids.stream().map(id -> "" + place(id)).collect(Collectors.joining(","));
    }

    private int place(Uuid id) {
        return List.copyOf(topics.keySet()).indexOf(id);
    }
}
