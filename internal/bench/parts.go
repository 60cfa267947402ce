package bench

import (
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/pprof/profile"
)

// Part is what one part of delivery costs.
type Part struct {
	Name   string  `json:"name"`
	Micros float64 `json:"us_per_event"`
	Share  float64 `json:"share"`
}

// part says which functions a part consists of: what they call counts for them, unless it
// belongs to another part itself.
type part struct {
	name      string
	functions []string // parts of their names
}

// rest is what belongs to no part.
const rest = "the rest: start, timers, scheduler"

func parts() []part {
	return []part{
		{"garbage collection", []string{"runtime.gcBgMarkWorker", "runtime.gcAssistAlloc", "runtime.bgsweep", "runtime.bgscavenge", "runtime.gcStart"}},
		{"compress", []string{"compress/gzip.", "compress/flate."}},
		{"decompress what Kafka has", []string{"compress/zstd.(*Decoder", "kgo.(*decompressor)"}},
		{"decode batches into records", []string{"kgo.(*ProcessFetchPartitionOpts)", "kgo.ProcessFetchPartition"}},
		{"check", []string{"consumer.(*checker)", "/schema.Scan", "/schema.scan"}},
		{"progress and commits", []string{"consumer.(*Group).commit", "consumer.(*Group).saveEarly", "consumer.(*partition).save", "consumer.(*partition).write", "kgo.(*producer)", "kgo.(*sink)", "kgo.(*recBuf)"}},
		{"route, wrap and copy", []string{"consumer.(*partition).offer", "consumer.(*partition).feed", "consumer.(*lane).offer"}},
		{"post", []string{"sinks/transport.", "net/http.", "crypto/tls."}},
		{"fetch and hand over", []string{"franz-go/pkg/kgo.", "internal/kafka.", "consumer.(*partition).dispatch", "consumer.(*Group).poll"}},
	}
}

// Parts divides the CPU time of a profile of delivery among its parts, the largest first.
func Parts(file string, events int64) ([]Part, error) {
	in, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer in.Close() //nolint:errcheck // only read
	p, err := profile.Parse(in)
	if err != nil {
		return nil, err
	}
	spent := map[string]int64{}
	var total int64
	for _, s := range p.Sample {
		d := s.Value[len(s.Value)-1] // nanoseconds; before it the number of samples
		spent[partOf(s)] += d
		total += d
	}
	var out []Part
	for name, d := range spent {
		out = append(out, Part{
			Name: name, Share: float64(d) / float64(total),
			Micros: float64(d) / float64(time.Microsecond) / float64(max(events, 1)),
		})
	}
	slices.SortFunc(out, func(a, b Part) int {
		if (a.Name == rest) != (b.Name == rest) {
			return map[bool]int{true: 1, false: -1}[a.Name == rest]
		}
		return int((b.Share - a.Share) * 1e9)
	})
	return out, nil
}

// partOf is the part of a sample: that of its innermost function that belongs to one.
func partOf(s *profile.Sample) string {
	known := parts()
	for _, l := range s.Location {
		for _, line := range l.Line {
			for _, p := range known {
				if slices.ContainsFunc(p.functions, func(f string) bool { return strings.Contains(line.Function.Name, f) }) {
					return p.name
				}
			}
		}
	}
	return rest
}
