package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// topics is the library's admin client.
type topics struct {
	client *kgo.Client
	admin  *kadm.Client
	prompt bool
}

func newTopics(bootstrap string, prompt bool) (*topics, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(bootstrap))
	if err != nil {
		return nil, err
	}
	return &topics{client: client, admin: kadm.NewClient(client), prompt: prompt}, nil
}

func (t *topics) close() {
	t.client.Close()
}

// create makes a topic that keeps its records for ever: they are dated in the past.
func (t *topics) create(name string) error {
	return limited(func(ctx context.Context) error {
		forever := "-1"
		_, err := t.admin.CreateTopic(ctx, partitions, 1, map[string]*string{"retention.ms": &forever}, name)
		if err != nil {
			return fmt.Errorf("creating %s: %w", name, err)
		}
		return t.settled(ctx, func() error { return t.leads(ctx, name) })
	})
}

// list asks the broker: without the purge, kadm might repeat what it was told seconds ago.
func (t *topics) list(ctx context.Context, name string) (kadm.TopicDetails, error) {
	t.client.PurgeTopicsFromClient(name)
	return t.admin.ListTopics(ctx, name)
}

// leads demands that every partition has a leader and answers for its offsets.
func (t *topics) leads(ctx context.Context, name string) error {
	listed, err := t.list(ctx, name)
	if err != nil {
		return err
	}
	topic := listed[name]
	if topic.Err != nil {
		return fmt.Errorf("listing %s: %w", name, topic.Err)
	}
	if len(topic.Partitions) != partitions {
		return fmt.Errorf("%s has %d partitions", name, len(topic.Partitions))
	}
	for _, partition := range topic.Partitions {
		if partition.Err != nil || partition.Leader < 0 {
			return fmt.Errorf("%s-%d has leader %d: %v", name, partition.Partition, partition.Leader, partition.Err)
		}
	}
	ends, err := t.admin.ListEndOffsets(ctx, name)
	if err != nil {
		return err
	}
	return ends.Error()
}

func (t *topics) checkCreate(name string) error {
	if err := t.create(name); err != nil {
		return err
	}
	return limited(func(ctx context.Context) error {
		_, err := t.admin.CreateTopic(ctx, partitions, 1, nil, name)
		return refused(err, kerr.TopicAlreadyExists, "the same topic again")
	})
}

// delete removes a topic and finds it gone.
func (t *topics) delete(name string) error {
	return limited(func(ctx context.Context) error {
		if _, err := t.admin.DeleteTopic(ctx, name); err != nil {
			return fmt.Errorf("deleting %s: %w", name, err)
		}
		return t.settled(ctx, func() error {
			listed, err := t.list(ctx, name)
			if err != nil {
				return err
			}
			return refused(listed[name].Err, kerr.UnknownTopicOrPartition, "listing a deleted topic")
		})
	})
}

// settled runs the step once against a broker that is prompt, else until it passes.
func (t *topics) settled(ctx context.Context, step func() error) error {
	for {
		err := step()
		if err == nil || t.prompt || ctx.Err() != nil {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func limited(body func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), waitMax)
	defer cancel()
	// What was answered is asked again at once. With the authorized operations, metadata does not come from the
	// library's cache.
	return body(kadm.WithAuthorizedOps(ctx))
}

func refused(err error, with *kerr.Error, what string) error {
	if !errors.Is(err, with) {
		return fmt.Errorf("%s: not refused with %s but: %v", what, with.Message, err)
	}
	return nil
}
