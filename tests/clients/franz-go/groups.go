package main

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	each = 20
	// What the mock broker has: it makes no topics for administrators.
	mockTopic = "first-record"
	// A member that is to be killed does not stay for ever.
	killedWithin = 5 * time.Minute
)

// groups are the cases of groups, by one protocol: see tests/clients/README.md. A case that fails panics with why.
type groups struct {
	m        *matrix
	topics   *topics
	protocol string
	answers  *bufio.Reader
}

func (m *matrix) groups(t *topics, protocol string) *groups {
	return &groups{m, t, protocol, bufio.NewReader(os.Stdin)}
}

func (g *groups) run(r *report) {
	cases := []struct {
		name string
		body func(*groupTopic)
	}{
		{"subscribe", (*groupTopic).subscribe},
		{"rebalance", (*groupTopic).rebalance},
		{"resume", (*groupTopic).resume},
		{"seek", (*groupTopic).seek},
		{"pause", (*groupTopic).pause},
		{"auto-commit", (*groupTopic).autoCommit},
		{"idle", (*groupTopic).idle},
		{"apart", (*groupTopic).apart},
		{"lag", (*groupTopic).lag},
		{"restart", func(t *groupTopic) { t.interrupted("restart") }},
		{"kill", func(t *groupTopic) { t.interrupted("kill") }},
		{"member-killed", (*groupTopic).memberKilled},
	}
	for _, c := range cases {
		r.row(fmt.Sprintf("case=group-%s protocol=%s", c.name, g.protocol), func() (_ string, failed error) {
			defer func() {
				if why, ok := recover().(error); ok {
					failed = why
				}
			}()
			t := g.open(g.name(c.name))
			defer t.close()
			c.body(t)
			return "", nil
		})
	}
}

func (t *groupTopic) subscribe() {
	t.send(each)
	m := t.member(t.name)
	t.reader().readAll(m)
	equal("[0 1 2]", fmt.Sprint(m.partitions()), "assignment")
	equalOffsets(offsets{}, t.committed(t.name), "committed by nobody")
}

// rebalance: one, then two, then one again.
func (t *groupTopic) rebalance() {
	r := t.reader()
	first := t.member(t.name)
	r.settle([]*member{first}, shared, "the first has all")
	t.send(each)
	r.readAll(first)
	first.commit()
	second := t.member(t.name)
	both := []*member{first, second}
	r.settle(both, shared, "both have some")
	t.send(each)
	r.readShared(both)
	first.commit()
	second.commit()
	second.close()
	r.settle([]*member{first}, shared, "the first has all again")
	t.send(each)
	r.readAll(first)
	first.commit()
	equalOffsets(t.ends(), t.committed(t.name), "committed at last")
}

// resume: a new member goes on where an old one said, and at the beginning of what it said nothing of.
func (t *groupTopic) resume() {
	t.send(each)
	old := t.member(t.name)
	t.reader().readAll(old)
	old.commitAt(offsets{0: 5, 2: each})
	old.close()
	m, r := t.member(t.name), t.reader()
	r.next = offsets{0: 5, 1: 0, 2: each}
	t.send(each)
	r.readAll(m)
	m.commit()
	equalOffsets(t.ends(), t.committed(t.name), "committed at last")
}

func (t *groupTopic) seek() {
	t.send(each)
	m, r := t.member(t.name), t.reader()
	r.readAll(m)
	places := make(map[int32]kgo.EpochOffset)
	for partition, offset := range (offsets{0: 3, 1: 0}) {
		places[partition] = kgo.EpochOffset{Epoch: -1, Offset: offset}
		r.next[partition] = offset
	}
	m.client.SetOffsets(map[string]map[int32]kgo.EpochOffset{t.name: places})
	r.readAll(m)
}

func (t *groupTopic) pause() {
	m, r := t.member(t.name), t.reader()
	r.settle([]*member{m}, shared, "it has all")
	one := map[string][]int32{t.name: {1}}
	m.client.PauseFetchPartitions(one)
	t.send(each)
	ends := t.ends()
	ends[1] = 0
	r.read([]*member{m}, ends)
	r.nothing(m, "records of a paused partition")
	m.client.ResumeFetchPartitions(one)
	r.readAll(m)
}

// autoCommit: in the background, and when it leaves.
func (t *groupTopic) autoCommit() {
	t.send(each)
	m, r := t.memberThat(t.name, true), t.reader()
	r.readAll(m)
	for deadline := time.Now().Add(waitMax); fmt.Sprint(t.committed(t.name)) != fmt.Sprint(t.ends()); {
		if time.Now().After(deadline) {
			panic(fmt.Errorf("committed: %v", t.committed(t.name)))
		}
		r.nothing(m, "records after the last")
	}
	t.send(each)
	r.readAll(m)
	// What a poll answered counts as done with the next one.
	r.nothing(m, "records after the last")
	m.close()
	equalOffsets(t.ends(), t.committed(t.name), "committed when it left")
}

// idle: five members, three partitions.
func (t *groupTopic) idle() {
	var members []*member
	for range 5 {
		members = append(members, t.member(t.name))
	}
	r := t.reader()
	// Three of them have one each before the others join, too.
	r.settle(members, func([][]int32) bool { return t.isStable(len(members)) }, "all five are members")
	r.settle(members, func(assigned [][]int32) bool {
		return covers(assigned) && !slices.ContainsFunc(assigned, func(of []int32) bool { return len(of) > 1 })
	}, "three of five have one")
	t.send(each)
	r.readShared(members)
}

// apart: two groups.
func (t *groupTopic) apart() {
	t.send(each)
	for _, end := range []string{"one", "other"} {
		group := t.name + "-" + end
		m := t.member(group)
		t.reader().readAll(m)
		m.commit()
		equalOffsets(t.ends(), t.committed(group), "committed by "+group)
	}
}

// lag: as tools compute it, latest less committed, and all of it where nothing was committed.
func (t *groupTopic) lag() {
	t.send(each)
	m := t.member(t.name)
	t.reader().readAll(m)
	m.commitAt(offsets{0: 5, 1: each})
	t.send(7)
	committed := t.committed(t.name)
	equalOffsets(offsets{0: 5, 1: each}, committed, "offsets of the group")
	lag := make(offsets)
	must(limited(func(ctx context.Context) error {
		ends, err := t.topics.admin.ListEndOffsets(ctx, t.name)
		for partition, end := range ends[t.name] {
			lag[partition] = end.Offset - committed[partition]
		}
		return err
	}), "asking for the ends")
	equalOffsets(offsets{0: each - 5 + 7, 1: 7, 2: each + 7}, lag, "lag")
}

// interrupted: the broker goes and comes back under two members. A client may join anew because of that, and then gets
// again what it did not commit.
func (t *groupTopic) interrupted(how string) {
	members, r := []*member{t.member(t.name), t.member(t.name)}, t.reader()
	r.settle(members, shared, "both have some")
	t.send(each)
	r.readShared(members)
	for _, m := range members {
		m.commit()
	}
	ends := t.ends()
	t.send(each)
	t.ask(how)
	equalOffsets(ends, t.committed(t.name), "committed before the "+how)
	t.send(each)
	r.repeats = ends
	r.read(members, t.ends())
	r.settle(members, shared, "both have some again")
	for deadline := time.Now().Add(waitMax); !maps.Equal(t.ends(), t.committed(t.name)); {
		if time.Now().After(deadline) {
			panic(fmt.Errorf("what was read cannot be committed"))
		}
		for _, m := range members {
			r.nothing(m, "records after the last")
			if err := limited(m.client.CommitUncommittedOffsets); err != nil {
				fmt.Println("a commit during a rebalance:", err)
			}
		}
	}
}

// memberKilled: its process dies by SIGKILL; who comes after it does not wait for the end of its session.
func (t *groupTopic) memberKilled() {
	t.send(each)
	t.ask("member")
	t.send(each)
	t.ask("kill-member")
	start := time.Now()
	m := t.member(t.name)
	t.reader().readAll(m)
	equal("[0 1 2]", fmt.Sprint(m.partitions()), "assignment")
	fmt.Printf("after a member was killed: %.1f s\n", time.Since(start).Seconds())
}

// killedMember is the one that is killed: it has everything, and commits nothing.
func (g *groups) killedMember() {
	name := g.name("member-killed")
	m := g.join(name, name, false)
	for deadline := time.Now().Add(waitMax); len(m.partitions()) < partitions; m.poll() {
		if time.Now().After(deadline) {
			panic(fmt.Errorf("assigned: %v", m.partitions()))
		}
	}
	fmt.Println("ready")
	for end := time.Now().Add(killedWithin); time.Now().Before(end); {
		m.poll()
	}
}

// name is that of a case's topic, and of its group.
func (g *groups) name(end string) string {
	return fmt.Sprintf("%s-%s-%s", g.m.name, end, g.protocol)
}

// ask for restart or kill: the broker is down and up again when it returns. For member: another process, which runs
// killedMember, has all partitions. For kill-member: that one is dead.
func (g *groups) ask(what string) {
	fmt.Println(what)
	answer, err := g.answers.ReadString('\n')
	must(err, "answer to "+what)
	equal("done", strings.TrimSpace(answer), "answer to "+what)
}

// firstRecord measures from a client's making to its first record, in groups that never were.
func (g *groups) firstRecord(version string) {
	t := g.open(g.name("first"))
	defer t.close()
	t.send(1)
	g.first(version, t.name)
}

// first does the same with a topic that is there.
func (g *groups) first(version, topic string) {
	var took []float64
	for run := range g.m.records {
		start := time.Now()
		m := g.join(topic, fmt.Sprintf("%s-%s-%d", g.m.name, g.protocol, run), false)
		for len(m.poll()) == 0 {
			if time.Since(start) > waitMax {
				panic(fmt.Errorf("no first record"))
			}
		}
		took = append(took, float64(time.Since(start).Microseconds())/1000)
		m.close()
	}
	slices.Sort(took)
	fmt.Printf("first-record version=%s protocol=%s ms=%.1f least=%.1f runs=%d\n",
		version, g.protocol, took[len(took)/2], took[0], len(took))
}
