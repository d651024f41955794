package main

import (
	"fmt"
	"os"
	"runtime/debug"
)

// report prints facts on standard output, and on standard error why a case failed.
type report struct {
	version string
	failed  bool
}

func newReport() *report {
	r := &report{version: "unknown"}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			if module.Path == "github.com/twmb/franz-go" {
				r.version = module.Version[1:]
			}
		}
	}
	return r
}

// row runs a case, which answers with the rest of its row.
func (r *report) row(fields string, body func() (string, error)) {
	found, err := body()
	if err != nil {
		r.failed = true
		fmt.Fprintf(os.Stderr, "failed: %s: %v\n", fields, err)
		fmt.Printf("row version=%s %s result=failed\n", r.version, fields)
		return
	}
	if found != "" {
		fields += " " + found
	}
	fmt.Printf("row version=%s %s result=ok\n", r.version, fields)
}

// stored tells what now lies in each partition that has records.
func (r *report) stored(made stream, c combo) {
	for partition, records := range made.partitions {
		if len(records) > 0 {
			fmt.Printf("stored topic=%s partition=%d records=%d codec=%s idempotent=%s\n",
				made.topic, partition, len(records), c.codec, onOff(c.idempotent))
		}
	}
}
