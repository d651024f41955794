package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const pollTime = 20 * time.Millisecond

// sessionTime is what members are told: as short as a broker allows, unless the member is killed.
func sessionTime() time.Duration {
	if ms, err := strconv.Atoi(os.Getenv("OTTLA_SESSION_MS")); err == nil {
		return time.Duration(ms) * time.Millisecond
	}
	return 6 * time.Second
}

// offsets is an offset for each partition that has one.
type offsets map[int32]int64

// member is a client that has subscribed, and knows what it has been given.
type member struct {
	client *kgo.Client
	topic  string
	// As it says that it does.
	autoCommits bool
	once        sync.Once
	mu          sync.Mutex
	assigned    map[int32]bool
}

func (g *groups) join(topic, group string, autoCommits bool) *member {
	m := &member{topic: topic, autoCommits: autoCommits, assigned: make(map[int32]bool)}
	note := func(assigned bool) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(ctx context.Context, client *kgo.Client, told map[string][]int32) {
			if m.autoCommits && !assigned {
				// Who has a callback of his own commits there himself.
				_ = client.CommitUncommittedOffsets(ctx)
			}
			m.mu.Lock()
			defer m.mu.Unlock()
			for _, partition := range told[topic] {
				if assigned {
					m.assigned[partition] = true
				} else {
					delete(m.assigned, partition)
				}
			}
		}
	}
	options := []kgo.Opt{
		kgo.SeedBrokers(g.m.bootstrap),
		kgo.ConsumerGroup(group),
		kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.OnPartitionsAssigned(note(true)),
		kgo.OnPartitionsRevoked(note(false)),
		kgo.OnPartitionsLost(note(false)),
		// As short as a broker allows: nobody waits for a heartbeat.
		kgo.SessionTimeout(sessionTime()),
		kgo.HeartbeatInterval(100 * time.Millisecond),
	}
	if g.protocol == "consumer" {
		options = append(options, kgo.ServerSideBalancer(), kgo.Balancers(kgo.StickyBalancer()))
	}
	if autoCommits {
		options = append(options, kgo.AutoCommitInterval(100*time.Millisecond))
	} else {
		options = append(options, kgo.DisableAutoCommit())
	}
	client, err := kgo.NewClient(options...)
	must(err, "a member")
	m.client = client
	return m
}

// partitions are those that it has, in order.
func (m *member) partitions() []int32 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.assigned))
}

func (m *member) poll() []*kgo.Record {
	ctx, cancel := context.WithTimeout(context.Background(), pollTime)
	defer cancel()
	fetches := m.client.PollFetches(ctx)
	if err := fetches.Err(); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		must(err, "polling")
	}
	return fetches.Records()
}

// commit says that all that was polled is done.
func (m *member) commit() {
	must(limited(m.client.CommitUncommittedOffsets), "committing")
}

func (m *member) commitAt(at offsets) {
	places := make(map[int32]kgo.EpochOffset)
	for partition, offset := range at {
		places[partition] = kgo.EpochOffset{Epoch: -1, Offset: offset}
	}
	must(limited(func(ctx context.Context) error {
		var failed error
		m.client.CommitOffsetsSync(ctx, map[string]map[int32]kgo.EpochOffset{m.topic: places},
			func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, answer *kmsg.OffsetCommitResponse, err error) {
				failed = err
				if err != nil {
					return
				}
				for _, partition := range answer.Topics[0].Partitions {
					failed = errors.Join(failed, kerr.ErrorForCode(partition.ErrorCode))
				}
			})
		return failed
	}), "committing")
}

func (m *member) close() {
	m.once.Do(m.client.Close)
}

// groupTopic is a topic, what lies in it, and the members of a case.
type groupTopic struct {
	*groups
	name     string
	lies     [partitions][]string
	producer *kgo.Client
	members  []*member
}

func (g *groups) open(name string) *groupTopic {
	must(g.topics.create(name), "the topic")
	producer, err := kgo.NewClient(kgo.SeedBrokers(g.m.bootstrap), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	must(err, "the producer")
	return &groupTopic{groups: g, name: name, producer: producer}
}

func (t *groupTopic) close() {
	for _, member := range t.members {
		member.close()
	}
	t.producer.Close()
}

func (t *groupTopic) member(group string) *member {
	return t.memberThat(group, false)
}

func (t *groupTopic) memberThat(group string, autoCommits bool) *member {
	m := t.join(t.name, group, autoCommits)
	t.members = append(t.members, m)
	return m
}

// send adds so many records to each partition.
func (t *groupTopic) send(count int) {
	var records []*kgo.Record
	var expected []int64
	for partition := range t.lies {
		for range count {
			at := len(t.lies[partition])
			value := fmt.Sprintf("%d-%d", partition, at)
			t.lies[partition] = append(t.lies[partition], value)
			records = append(records, &kgo.Record{Topic: t.name, Partition: int32(partition), Value: []byte(value)})
			expected = append(expected, int64(at))
		}
	}
	must(limited(func(ctx context.Context) error {
		return t.producer.ProduceSync(ctx, records...).FirstErr()
	}), "producing")
	for i, record := range records {
		equal(expected[i], record.Offset, "offset of a record")
	}
}

func (t *groupTopic) ends() offsets {
	ends := make(offsets)
	for partition, lies := range t.lies {
		ends[int32(partition)] = int64(len(lies))
	}
	return ends
}

// committed is what an administrator is told, if need be after some tries: the connections of the broker before are lost.
func (t *groupTopic) committed(group string) offsets {
	found := make(offsets)
	must(limited(func(ctx context.Context) error {
		answer, err := t.topics.admin.FetchOffsets(ctx, group)
		for err != nil && ctx.Err() == nil {
			time.Sleep(pollTime)
			answer, err = t.topics.admin.FetchOffsets(ctx, group)
		}
		answer.Each(func(at kadm.OffsetResponse) {
			err = errors.Join(err, at.Err)
			if at.Topic == t.name && at.At >= 0 {
				found[at.Partition] = at.At
			}
		})
		return err
	}), "asking for offsets")
	return found
}

func (t *groupTopic) isStable(memberCount int) bool {
	var state string
	var count int
	must(limited(func(ctx context.Context) error {
		if t.protocol == "consumer" {
			groups, err := t.topics.admin.DescribeConsumerGroups(ctx, t.name)
			state, count = groups[t.name].State, len(groups[t.name].Members)
			return err
		}
		groups, err := t.topics.admin.DescribeGroups(ctx, t.name)
		state, count = groups[t.name].State, len(groups[t.name].Members)
		return err
	}), "describing a group")
	return state == "Stable" && count == memberCount
}

// reader holds what comes to some members, together, against what lies in the topic: every record once, in order.
type reader struct {
	topic *groupTopic
	next  offsets
	// From where on records may come again, because they were not committed; none, if this is nil.
	repeats offsets
}

func (t *groupTopic) reader() *reader {
	return &reader{topic: t, next: offsets{0: 0, 1: 0, 2: 0}}
}

func assignments(members []*member) [][]int32 {
	told := make([][]int32, len(members))
	for i, m := range members {
		told[i] = m.partitions()
	}
	return told
}

// settle polls until the assignments are as they should be. No record may come meanwhile.
func (r *reader) settle(members []*member, wanted func([][]int32) bool, what string) {
	for deadline := time.Now().Add(waitMax); !wanted(assignments(members)); {
		if time.Now().After(deadline) {
			panic(fmt.Errorf("%s: %v", what, assignments(members)))
		}
		for _, m := range members {
			r.nothing(m, "records while waiting for: "+what)
		}
	}
}

// readShared reads on to what lies there now: the records of each partition must come to its owner.
func (r *reader) readShared(members []*member) {
	equal(fmt.Sprint(assignments(members)), fmt.Sprint(r.read(members, r.topic.ends())), "who read")
}

// read polls until everything came up to these offsets; it answers what partitions' records came to each member.
func (r *reader) read(members []*member, ends offsets) [][]int32 {
	read := make([][]int32, len(members))
	for deadline := time.Now().Add(waitMax); !maps.Equal(r.next, ends); {
		if time.Now().After(deadline) {
			panic(fmt.Errorf("read up to %v of %v", r.next, ends))
		}
		for who, m := range members {
			for _, record := range m.poll() {
				r.take(record, ends)
				if !slices.Contains(read[who], record.Partition) {
					read[who] = append(read[who], record.Partition)
				}
			}
		}
	}
	for _, partitions := range read {
		slices.Sort(partitions)
	}
	return read
}

func (r *reader) readAll(m *member) {
	r.read([]*member{m}, r.topic.ends())
}

// nothing new, that is.
func (r *reader) nothing(m *member, what string) {
	for _, record := range m.poll() {
		if !r.isRepeated(record) {
			panic(fmt.Errorf("%s: partition %d offset %d", what, record.Partition, record.Offset))
		}
	}
}

func (r *reader) isRepeated(record *kgo.Record) bool {
	from, ok := r.repeats[record.Partition]
	if !ok || record.Offset < from || record.Offset >= r.next[record.Partition] {
		return false
	}
	equal(r.topic.lies[record.Partition][record.Offset], string(record.Value), "value")
	return true
}

func (r *reader) take(record *kgo.Record, ends offsets) {
	if r.isRepeated(record) {
		return
	}
	at := r.next[record.Partition]
	equal(at, record.Offset, fmt.Sprintf("next offset of partition %d", record.Partition))
	if at >= ends[record.Partition] {
		panic(fmt.Errorf("offset %d of partition %d came too early", at, record.Partition))
	}
	equal(r.topic.lies[record.Partition][at], string(record.Value), "value")
	r.next[record.Partition]++
}

// covers: nobody has the same, nothing is left.
func covers(assigned [][]int32) bool {
	all := slices.Concat(assigned...)
	slices.Sort(all)
	return slices.Equal(all, []int32{0, 1, 2})
}

// shared: that, and everybody has some.
func shared(assigned [][]int32) bool {
	return covers(assigned) && !slices.ContainsFunc(assigned, func(of []int32) bool { return len(of) == 0 })
}

func must(err error, what string) {
	if err != nil {
		panic(fmt.Errorf("%s: %w", what, err))
	}
}

func equal[T comparable](expected, found T, what string) {
	if expected != found {
		panic(fmt.Errorf("%s: expected %v, found %v", what, expected, found))
	}
}

func equalOffsets(expected, found offsets, what string) {
	if !maps.Equal(expected, found) {
		panic(fmt.Errorf("%s: expected %v, found %v", what, expected, found))
	}
}
