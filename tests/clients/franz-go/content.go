package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// The records of a seed hold what implementers get wrong: null and empty keys and values, the same header key twice,
// headers with a null or an empty value or an empty name, names beyond ASCII, values of 20 KB, timestamps that go back.

const (
	firstTimestampMs = 1_700_000_000_000
	timestampStepMs  = 10
	timestampBackMs  = 5_000
	wideValueBytes   = 20_000
)

var words = strings.Fields("partition segment batch record offset epoch leader")

func content(seed uint64, count int) []*kgo.Record {
	random := rand.New(rand.NewPCG(seed, 1))
	records := make([]*kgo.Record, count)
	for i := range records {
		ms := int64(firstTimestampMs + i*timestampStepMs)
		if i%7 == 3 && i != count-1 {
			ms -= timestampBackMs
		}
		records[i] = &kgo.Record{
			Timestamp: time.UnixMilli(ms),
			Key:       key(i, random),
			Value:     value(i, random),
			Headers:   headers(i, random),
		}
	}
	return records
}

// large makes records that fill almost all that a broker takes by default, and that do not compress.
func large(seed uint64) []*kgo.Record {
	random := rand.New(rand.NewPCG(seed, 2))
	records := make([]*kgo.Record, largeRecords)
	for i := range records {
		records[i] = &kgo.Record{
			Timestamp: time.UnixMilli(int64(firstTimestampMs + i)),
			Key:       fmt.Appendf(nil, "large-%d", i),
			Value:     noise(random, largeValueBytes),
		}
	}
	return records
}

func key(i int, random *rand.Rand) []byte {
	switch i % 16 {
	case 5:
		return nil
	case 11:
		return []byte{}
	default:
		return fmt.Appendf(nil, "key-%d", random.IntN(1000))
	}
}

func value(i int, random *rand.Rand) []byte {
	switch {
	case i%10 == 3:
		return nil
	case i%10 == 7:
		return []byte{}
	case i%2500 == 4:
		return text(random, wideValueBytes)
	case i%10 == 9:
		return noise(random, random.IntN(300))
	default:
		return text(random, random.IntN(300))
	}
}

func headers(i int, random *rand.Rand) []kgo.RecordHeader {
	switch i % 4 {
	case 1:
		return []kgo.RecordHeader{{Key: "trace", Value: text(random, 20)}}
	case 2:
		return []kgo.RecordHeader{
			{Key: "twice", Value: []byte("first")},
			{Key: "between", Value: []byte{0, 0xff}},
			{Key: "twice", Value: []byte("second")},
			{Key: "twice", Value: []byte("first")},
		}
	case 3:
		return []kgo.RecordHeader{
			{Key: "null", Value: nil},
			{Key: "empty", Value: []byte{}},
			{Key: "", Value: []byte("no name")},
			{Key: "žluťoučký", Value: []byte("kůň")},
		}
	default:
		return nil
	}
}

func text(random *rand.Rand, bytes int) []byte {
	var made []byte
	for len(made) < bytes {
		made = append(made, words[random.IntN(len(words))]...)
		made = append(made, ' ')
	}
	return made
}

func noise(random *rand.Rand, bytes int) []byte {
	made := make([]byte, bytes)
	for i := range made {
		made[i] = byte(random.Uint32())
	}
	return made
}
