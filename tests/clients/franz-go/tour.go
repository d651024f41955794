package main

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// tour goes once through groups, transactions and administration, for captures. A call that is refused says so, and
// the tour goes on: the refusal is worth a capture.
func (m *matrix) tour() {
	ctx, cancel := context.WithTimeout(context.Background(), 4*waitMax)
	defer cancel()
	topic, group := m.name+"-tour", m.name+"-group"
	client, err := kgo.NewClient(kgo.SeedBrokers(m.bootstrap))
	stop("client", err)
	defer client.Close()
	admin := kadm.NewClient(client)
	_, err = admin.CreateTopic(ctx, 2, 1, nil, topic)
	stop("create topic", err)
	stop("group", m.group(ctx, admin, topic, group))

	offsets := make(kadm.Offsets)
	offsets.AddOffset(topic, 0, 1, 0)
	_, err = admin.ListGroups(ctx)
	stop("list groups", err)
	_, err = admin.FetchOffsets(ctx, group)
	stop("fetch offsets", err)
	_, err = admin.CommitOffsets(ctx, group, offsets)
	stop("commit offsets", err)
	var places kadm.TopicsSet
	places.Add(topic, 0)
	_, err = admin.DeleteOffsets(ctx, group, places)
	stop("delete offsets", err)
	_, err = admin.DeleteGroups(ctx, group)
	stop("delete groups", err)
	_, err = admin.ListTransactions(ctx, nil, nil)
	stop("list transactions", err)
	_, err = admin.DescribeTransactions(ctx, m.name+"-id")
	stop("describe transactions", err)
	_, err = admin.DescribeProducers(ctx, places)
	stop("describe producers", err)
	_, err = admin.CreatePartitions(ctx, 1, topic)
	stop("create partitions", err)
	_, err = admin.DeleteRecords(ctx, offsets)
	stop("delete records", err)
	value := "1000"
	_, err = admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Name: "retention.ms", Value: &value}}, topic)
	stop("alter configs", err)
	_, err = admin.DescribeTopicConfigs(ctx, topic)
	stop("describe configs", err)
	_, err = admin.DescribeAllLogDirs(ctx, places)
	stop("describe log dirs", err)
	_, err = admin.OffsetForLeaderEpoch(ctx, kadm.OffsetForLeaderEpochRequest{topic: {0: 0}})
	stop("epochs", err)
	_, err = admin.BrokerMetadata(ctx)
	stop("brokers", err)
}

// group is a transactional session: a member that reads, writes and commits in one transaction.
func (m *matrix) group(ctx context.Context, admin *kadm.Client, topic, group string) error {
	session, err := kgo.NewGroupTransactSession(
		kgo.SeedBrokers(m.bootstrap),
		kgo.TransactionalID(m.name+"-id"),
		kgo.ConsumerGroup(group),
		kgo.ConsumeTopics(topic),
		kgo.DefaultProduceTopic(topic),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.HeartbeatInterval(100*time.Millisecond),
		kgo.RequireStableFetchOffsets(),
	)
	if err != nil {
		return err
	}
	defer session.Close()
	for round := range 3 {
		if err := session.Begin(); err != nil {
			return err
		}
		if err := session.ProduceSync(ctx, kgo.StringRecord("value")).FirstErr(); err != nil {
			return err
		}
		if round > 0 {
			wait, cancel := context.WithTimeout(ctx, 5*time.Second)
			session.PollFetches(wait)
			cancel()
		}
		if _, err := session.End(ctx, kgo.TransactionEndTry(round != 1)); err != nil {
			return err
		}
	}
	_, err = admin.DescribeGroups(ctx, group)
	return err
}

func stop(what string, err error) {
	if err != nil {
		fmt.Printf("tour: %s: %v\n", what, err)
	}
}
