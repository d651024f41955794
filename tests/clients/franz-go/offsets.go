package main

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// checkOffsets lists earliest and latest of every partition.
func checkOffsets(t *topics, made stream) error {
	return limited(func(ctx context.Context) error {
		starts, err := t.admin.ListStartOffsets(ctx, made.topic)
		if err != nil {
			return err
		}
		ends, err := t.admin.ListEndOffsets(ctx, made.topic)
		if err != nil {
			return err
		}
		for partition, records := range made.partitions {
			if err := offsetIs(starts, made.topic, partition, 0); err != nil {
				return fmt.Errorf("earliest: %w", err)
			}
			if err := offsetIs(ends, made.topic, partition, len(records)); err != nil {
				return fmt.Errorf("latest: %w", err)
			}
		}
		return nil
	})
}

// checkSeekOffset puts one consumer to the first, a middle and the last offset of each partition, and back again.
func checkSeekOffset(bootstrap string, made stream) error {
	for partition, records := range made.partitions {
		last := len(records) - 1
		consumer, err := kgo.NewClient(kgo.SeedBrokers(bootstrap), at(made.topic, partition, kgo.NewOffset().At(0)))
		if err != nil {
			return err
		}
		defer consumer.Close()
		for step, index := range []int{0, last / 2, last, 0, last / 2} {
			if step > 0 {
				consumer.SetOffsets(map[string]map[int32]kgo.EpochOffset{
					made.topic: {int32(partition): {Epoch: -1, Offset: int64(index)}},
				})
			}
			if err := nextIs(consumer, made, partition, index); err != nil {
				return fmt.Errorf("seek to %d: %w", index, err)
			}
		}
	}
	return nil
}

// checkSeekTime asks for the offset of times before, at, just after and beyond records, and reads from there.
func checkSeekTime(bootstrap string, t *topics, made stream) error {
	for partition, records := range made.partitions {
		middle := records[len(records)/2].Timestamp.UnixMilli()
		latest := int64(0)
		for _, record := range records {
			latest = max(latest, record.Timestamp.UnixMilli())
		}
		for _, ms := range []int64{0, middle, middle + 1, latest, latest + 1} {
			index := 0
			for index < len(records) && records[index].Timestamp.UnixMilli() < ms {
				index++
			}
			if err := seekTime(bootstrap, t, made, partition, ms, index); err != nil {
				return fmt.Errorf("time %d: %w", ms, err)
			}
		}
	}
	return nil
}

func seekTime(bootstrap string, t *topics, made stream, partition int, ms int64, index int) error {
	// Where no record is late enough, kadm asks once more and answers with the end.
	err := limited(func(ctx context.Context) error {
		found, err := t.admin.ListOffsetsAfterMilli(ctx, ms, made.topic)
		if err != nil {
			return err
		}
		return offsetIs(found, made.topic, partition, index)
	})
	if err != nil || index == len(made.partitions[partition]) {
		return err
	}
	consumer, err := kgo.NewClient(kgo.SeedBrokers(bootstrap), at(made.topic, partition, kgo.NewOffset().AfterMilli(ms)))
	if err != nil {
		return err
	}
	defer consumer.Close()
	return nextIs(consumer, made, partition, index)
}

func offsetIs(found kadm.ListedOffsets, topic string, partition int, offset int) error {
	listed, ok := found.Lookup(topic, int32(partition))
	if !ok || listed.Err != nil || listed.Offset != int64(offset) {
		return fmt.Errorf("%s-%d: expected %d, found %+v", topic, partition, offset, listed)
	}
	return nil
}

func nextIs(consumer *kgo.Client, made stream, partition int, index int) error {
	fetched, err := poll(consumer, 1)
	if err != nil {
		return err
	}
	if len(fetched) != 1 {
		return fmt.Errorf("%s-%d: %d records came instead of one", made.topic, partition, len(fetched))
	}
	return same(made, int32(partition), index, fetched[0])
}

func at(topic string, partition int, offset kgo.Offset) kgo.Opt {
	return kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {int32(partition): offset}})
}

// recreate deletes a topic under one open client that produces to it and reads it, and goes on with its successor.
//
// Purging a topic and adding it again is how franz-go's users resume after that: by design the client holds to the
// topic id that it knew.
func (m *matrix) recreate(t *topics, topic string, c combo) (stream, error) {
	client, err := kgo.NewClient(append(c.options(),
		kgo.SeedBrokers(m.bootstrap),
		kgo.MetadataMinAge(10*time.Millisecond), // Looked up again at once, after a purge.
		// A first assignment makes it a client that takes assignments.
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{}),
	)...)
	if err != nil {
		return stream{}, err
	}
	defer client.Close()
	var made stream
	for _, records := range [][]*kgo.Record{content(m.seed, m.records/10), content(m.seed+1, recreateRecords)} {
		if made.topic != "" {
			if err := t.delete(topic); err != nil {
				return stream{}, err
			}
		}
		if err := t.create(topic); err != nil {
			return stream{}, err
		}
		if made.topic != "" {
			client.PurgeTopicsFromClient(topic)
		}
		made, err = produce(client, topic, c, records)
		if err != nil {
			return stream{}, err
		}
		client.AddConsumePartitions(fromStart(topic))
		if err := consume(client, made); err != nil {
			return stream{}, err
		}
	}
	return made, nil
}
