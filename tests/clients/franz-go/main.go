// franz-go against one broker: franz-go HOST:PORT SEED RECORDS prompt|settling|groups-PROTOCOL|…|tour.
//
// tests/clients/README.md says what it must do and what it prints.
package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	partitions      = 3
	largeRecords    = 20
	largeValueBytes = 900_000
	recreateRecords = 100
	// Every wait ends after this long without progress.
	waitMax = 30 * time.Second
)

// combo is one way of producing.
type combo struct {
	codec      string
	acks       string
	idempotent bool
}

// Every codec and every acks value that the client has, and the idempotent producer, which is its default.
var combos = []combo{
	{"none", "0", false},
	{"gzip", "1", false},
	{"snappy", "all", false},
	{"lz4", "0", false},
	{"none", "all", true},
	{"zstd", "all", true},
}

// matrix is what all cases share.
type matrix struct {
	bootstrap string
	name      string
	seed      uint64
	records   int
	prompt    bool
}

func main() {
	if len(os.Args) != 5 {
		fmt.Fprintln(os.Stderr, "usage: franz-go HOST:PORT SEED RECORDS prompt|settling|groups-PROTOCOL|…|tour")
		os.Exit(2)
	}
	seed, seedErr := strconv.ParseUint(os.Args[2], 10, 64)
	records, recordsErr := strconv.Atoi(os.Args[3])
	if seedErr != nil || recordsErr != nil {
		fmt.Fprintln(os.Stderr, "SEED and RECORDS are numbers")
		os.Exit(2)
	}
	m := &matrix{
		bootstrap: os.Args[1],
		name:      os.Getenv("OTTLA_CLIENT"),
		seed:      seed,
		records:   records,
		prompt:    os.Args[4] == "prompt",
	}
	if m.name == "" {
		m.name = "franz-go"
	}
	if os.Args[4] == "tour" {
		m.tour()
		return
	}
	if m.run(os.Args[4]) {
		os.Exit(1)
	}
}

// run does every case and answers whether one failed.
func (m *matrix) run(pace string) bool {
	r := newReport()
	topics, err := newTopics(m.bootstrap, m.prompt)
	if err != nil {
		fmt.Fprintln(os.Stderr, "the admin client:", err)
		return true
	}
	defer topics.close()
	switch kind, protocol, _ := strings.Cut(pace, "-"); kind {
	case "groups":
		m.groups(topics, protocol).run(r)
		return r.failed
	case "member":
		m.groups(topics, protocol).killedMember()
		return r.failed
	case "floor":
		m.groups(topics, protocol).first(r.version, mockTopic)
		return r.failed
	case "first":
		m.groups(topics, protocol).firstRecord(r.version)
		return r.failed
	}

	empty := m.name + "-admin"
	r.row("case=create-topic", func() (string, error) {
		return "", topics.checkCreate(empty)
	})
	filled := stream{}
	for _, c := range combos {
		r.row("case=produce-consume "+c.fields(), func() (string, error) {
			made, err := m.roundTrip(topics, m.name+"-"+c.topic(), c, content(m.seed, m.records))
			if err != nil {
				return "", err
			}
			r.stored(made, c)
			filled = made
			return fmt.Sprintf("records=%d", made.count()), nil
		})
	}
	r.row("case=large-records codec=none", func() (string, error) {
		c := combo{"none", "all", true}
		made, err := m.roundTrip(topics, m.name+"-large", c, large(m.seed))
		if err != nil {
			return "", err
		}
		r.stored(made, c)
		return fmt.Sprintf("records=%d", made.count()), nil
	})
	r.row("case=list-offsets", func() (string, error) {
		if err := checkOffsets(topics, stream{topic: empty, partitions: make([][]*kgo.Record, partitions)}); err != nil {
			return "", err
		}
		return "", checkOffsets(topics, filled)
	})
	r.row("case=seek-offset", func() (string, error) {
		return "", checkSeekOffset(m.bootstrap, filled)
	})
	r.row("case=seek-time", func() (string, error) {
		return "", checkSeekTime(m.bootstrap, topics, filled)
	})
	r.row("case=recreate-topic", func() (string, error) {
		c := combo{"none", "all", true}
		made, err := m.recreate(topics, m.name+"-recreated", c)
		if err != nil {
			return "", err
		}
		r.stored(made, c)
		return fmt.Sprintf("records=%d", made.count()), nil
	})
	return r.failed
}

func (c combo) fields() string {
	return fmt.Sprintf("codec=%s acks=%s idempotent=%s", c.codec, c.acks, onOff(c.idempotent))
}

func (c combo) topic() string {
	if c.idempotent {
		return c.codec + "-idempotent"
	}
	return c.codec + "-acks-" + c.acks
}

// options leaves what is the client's default to the client: idempotent, acks=all.
func (c combo) options() []kgo.Opt {
	codecs := map[string]kgo.CompressionCodec{
		"none":   kgo.NoCompression(),
		"gzip":   kgo.GzipCompression(),
		"snappy": kgo.SnappyCompression(),
		"lz4":    kgo.Lz4Compression(),
		"zstd":   kgo.ZstdCompression(),
	}
	options := []kgo.Opt{kgo.ProducerBatchCompression(codecs[c.codec])}
	if !c.idempotent {
		acks := map[string]kgo.Acks{"0": kgo.NoAck(), "1": kgo.LeaderAck(), "all": kgo.AllISRAcks()}
		options = append(options, kgo.DisableIdempotentWrite(), kgo.RequiredAcks(acks[c.acks]))
	}
	return options
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}
