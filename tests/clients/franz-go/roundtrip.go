package main

import (
	"bytes"
	"context"
	"fmt"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// stream is what must lie in a topic: the records of each partition, in order, from offset 0.
type stream struct {
	topic      string
	partitions [][]*kgo.Record
}

func (s stream) count() int {
	total := 0
	for _, records := range s.partitions {
		total += len(records)
	}
	return total
}

// roundTrip makes the topic, produces, and reads all of it back.
func (m *matrix) roundTrip(t *topics, topic string, c combo, records []*kgo.Record) (stream, error) {
	if err := t.create(topic); err != nil {
		return stream{}, err
	}
	producer, err := kgo.NewClient(append(c.options(), kgo.SeedBrokers(m.bootstrap))...)
	if err != nil {
		return stream{}, err
	}
	defer producer.Close()
	made, err := produce(producer, topic, c, records)
	if err != nil {
		return stream{}, err
	}
	consumer, err := kgo.NewClient(kgo.SeedBrokers(m.bootstrap), kgo.ConsumePartitions(fromStart(topic)))
	if err != nil {
		return stream{}, err
	}
	defer consumer.Close()
	if err := consume(consumer, made); err != nil {
		return stream{}, err
	}
	return made, checkOffsets(t, made) // Nothing lies behind the last record.
}

// produce sends the records and answers what must now lie in the topic. Acknowledged records must have been given the
// offsets 0, 1, 2, … of a new topic; with acks=0 the client learns none.
func produce(client *kgo.Client, topic string, c combo, records []*kgo.Record) (stream, error) {
	var (
		mu    sync.Mutex
		first error
	)
	note := func(record *kgo.Record, err error) {
		mu.Lock()
		defer mu.Unlock()
		if err != nil && first == nil {
			first = fmt.Errorf("producing to %s-%d: %w", record.Topic, record.Partition, err)
		}
	}
	err := limited(func(ctx context.Context) error {
		for _, record := range records {
			record.Topic = topic
			client.Produce(ctx, record, note)
		}
		return client.Flush(ctx)
	})
	if err == nil {
		mu.Lock()
		err = first
		mu.Unlock()
	}
	if err != nil {
		return stream{}, err
	}
	made := stream{topic: topic, partitions: make([][]*kgo.Record, partitions)}
	for i, record := range records {
		at := int64(len(made.partitions[record.Partition]))
		if c.acks != "0" && record.Offset != at {
			return stream{}, fmt.Errorf("record %d of %s-%d was given offset %d instead of %d",
				i, topic, record.Partition, record.Offset, at)
		}
		made.partitions[record.Partition] = append(made.partitions[record.Partition], record)
	}
	return made, nil
}

// consume reads every partition of the topic, which the client is assigned from its start, and compares each record.
func consume(client *kgo.Client, made stream) error {
	next := make([]int, partitions)
	for compared := 0; compared < made.count(); {
		fetched, err := poll(client, -1)
		if err != nil {
			return fmt.Errorf("after %d of %d records: %w", compared, made.count(), err)
		}
		for _, record := range fetched {
			if record.Topic != made.topic || next[record.Partition] >= len(made.partitions[record.Partition]) {
				return fmt.Errorf("%s-%d: more records than were sent: offset %d", record.Topic, record.Partition, record.Offset)
			}
			if err := same(made, record.Partition, next[record.Partition], record); err != nil {
				return err
			}
			next[record.Partition]++
			compared++
		}
	}
	return nil
}

// poll waits for some records, at most so many if that is not negative.
func poll(client *kgo.Client, recordsMax int) ([]*kgo.Record, error) {
	var records []*kgo.Record
	err := limited(func(ctx context.Context) error {
		fetches := client.PollRecords(ctx, recordsMax)
		records = fetches.Records()
		return fetches.Err()
	})
	return records, err
}

// same demands that the record found is the sent one, byte for byte, at its offset.
func same(made stream, partition int32, index int, found *kgo.Record) error {
	sent := made.partitions[partition][index]
	where := fmt.Sprintf("%s-%d offset %d", found.Topic, found.Partition, found.Offset)
	if found.Topic != made.topic || found.Partition != partition || found.Offset != int64(index) {
		return fmt.Errorf("%s came instead of %s-%d offset %d", where, made.topic, partition, index)
	}
	if !sameBytes(sent.Key, found.Key) {
		return fmt.Errorf("%s: key differs", where)
	}
	if !sameBytes(sent.Value, found.Value) {
		return fmt.Errorf("%s: value differs", where)
	}
	if !sent.Timestamp.Equal(found.Timestamp) {
		return fmt.Errorf("%s: timestamp %v instead of %v", where, found.Timestamp, sent.Timestamp)
	}
	if len(sent.Headers) != len(found.Headers) {
		return fmt.Errorf("%s: %d headers instead of %d", where, len(found.Headers), len(sent.Headers))
	}
	for i, header := range sent.Headers {
		if header.Key != found.Headers[i].Key || !sameBytes(header.Value, found.Headers[i].Value) {
			return fmt.Errorf("%s: header %d differs", where, i)
		}
	}
	if found.LeaderEpoch < 0 {
		return fmt.Errorf("%s: no leader epoch", where)
	}
	return nil
}

// sameBytes tells null from empty.
func sameBytes(sent, found []byte) bool {
	return (sent == nil) == (found == nil) && bytes.Equal(sent, found)
}

func fromStart(topic string) map[string]map[int32]kgo.Offset {
	starts := make(map[int32]kgo.Offset)
	for partition := range int32(partitions) {
		starts[partition] = kgo.NewOffset().AtStart()
	}
	return map[string]map[int32]kgo.Offset{topic: starts}
}
