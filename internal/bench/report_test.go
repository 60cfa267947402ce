package bench

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/pprof/profile"
)

func TestTablesStandBetweenTheirCommentsAndNowhereElse(t *testing.T) {
	dir := t.TempDir()
	page := filepath.Join(dir, "page.md")
	r := &Report{
		Made: time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC),
		Ratio: []Result{
			{Streams: 1, Compression: "gzip", FloorRatio: 1.2, Requests: 1000},
			{Streams: 200, Compression: "gzip", FloorRatio: 1.3},
			{Streams: 1, Compression: "gzip", FloorRatio: 1.0, Requests: 1001},
			{Streams: 1, Compression: "gzip", FloorRatio: 1.1},
		},
		Chains:  []Chained{{With: Result{Streams: 200}, Micros: 0.8, Ratio: 1.2, Pairs: []ChainedPair{{2, 2.7}, {2, 2.9}}}},
		Streams: []Result{{Streams: 1, CPUSecondsPerMillion: 3}, {Streams: 10_000, CPUSecondsPerMillion: 7, PeakRSSBytes: 5 << 20}},
	}
	text := "before\n"
	for name := range r.tables() {
		text += "<!-- " + name + ": made by make bench -->\nold\n<!-- end of " + name + " -->\nbetween\n"
	}
	if err := os.WriteFile(page, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // a second time it replaces its own
		if err := r.Write(dir, page); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"before\n", "between\n",
		"| 1 | gzip | **1.10** | 1.20, 1.00, 1.10 |", "| 200 | gzip | **1.30** | 1.30 |", "| 1,001 |",
		"| 10,000 | **0.00** | 7.00 |", "| 200 | **0.80** | 0.70, 0.90 | 1.20 |", "| Redpanda Connect, bytes passed through | gzip | 10.3 | 3.4 | 3.1 |",
	} {
		if !strings.Contains(string(got), want) {
			t.Errorf("the page lacks %q:\n%s", want, got)
		}
	}
	if strings.Contains(string(got), "old") {
		t.Errorf("something old is left:\n%s", got)
	}
	again, err := ReadReport(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r, again); diff != "" {
		t.Errorf("the figures read again (-want +got):\n%s", diff)
	}
	if err := os.WriteFile(page, []byte("no comments"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.Write(dir, page); err == nil {
		t.Error("no error although the page has no place for the tables")
	}
}

func TestAPlotIsWellFormedAndKeepsWithinItsFrame(t *testing.T) {
	plots := map[string]Plot{
		"several points": {Title: "a < b & c", Series: []Series{{"one", []Point{{1, 3}, {10, 4}, {10_000, 120.5}}}, {"two", []Point{{1, 2}, {10_000, 7}}}}},
		"one point":      {Series: []Series{{"one", []Point{{6, 1}}}}},
		"nothing":        {},
	}
	for name, p := range plots {
		t.Run(name, func(t *testing.T) {
			svg := string(p.SVG())
			for _, bad := range []string{"NaN", "Inf"} {
				if strings.Contains(svg, bad) {
					t.Errorf("%s in the plot:\n%s", bad, svg)
				}
			}
			d := xml.NewDecoder(strings.NewReader(svg))
			for {
				if _, err := d.Token(); errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					t.Fatalf("%v in:\n%s", err, svg)
				}
			}
		})
	}
}

func TestNumbersAreWrittenForPeople(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", 0.5: "0.5", 2.25: "2.25"} {
		if got := number(v); got != want {
			t.Errorf("%v is %q, want %q", v, got, want)
		}
	}
}

func TestASampleCountsForItsInnermostPart(t *testing.T) {
	sample := func(functions ...string) *profile.Sample {
		s := &profile.Sample{}
		for _, f := range functions {
			s.Location = append(s.Location, &profile.Location{Line: []profile.Line{{Function: &profile.Function{Name: f}}}})
		}
		return s
	}
	const deliver = "github.com/auditstream/auditstream/consumer.(*lane).deliver"
	tests := map[string][]string{
		"compress":                  {"runtime.memmove", "github.com/klauspost/compress/flate.(*fastEncL1).Encode", "github.com/klauspost/compress/gzip.(*Writer).Write", "github.com/auditstream/auditstream/sinks/transport.(*compressor).pack", deliver},
		"post":                      {"syscall.Syscall", "net/http.(*persistConn).writeLoop"},
		"garbage collection":        {"runtime.scanobject", "runtime.gcAssistAlloc", "runtime.mallocgc", "net/http.NewRequest", deliver},
		"check":                     {"github.com/auditstream/auditstream/schema.scan", "github.com/auditstream/auditstream/consumer.(*checker).check", "github.com/auditstream/auditstream/consumer.(*partition).feed"},
		"route, wrap and copy":      {"runtime.memmove", "github.com/auditstream/auditstream/consumer.(*lane).offer"},
		"decompress what Kafka has": {"github.com/klauspost/compress/zstd.(*Decoder).DecodeAll", "github.com/twmb/franz-go/pkg/kgo.(*decompressor).Decompress"},
		"progress and commits":      {"encoding/json.Marshal", "github.com/auditstream/auditstream/consumer.(*partition).write"},
		"fetch and hand over":       {"syscall.Read", "github.com/twmb/franz-go/pkg/kgo.(*brokerCxn).readConn"},
		rest:                        {"runtime.futex", "runtime.schedule"},
	}
	for want, functions := range tests {
		if got := partOf(sample(functions...)); got != want {
			t.Errorf("%v is %q, want %q", functions, got, want)
		}
	}
}

func TestAges(t *testing.T) {
	var a ages
	now := time.UnixMilli(1_700_000_100_000)
	for _, envelope := range []string{
		`{"time":1700000099.990,"event":{}}`, `{"time":1700000099.980,"event":{}}`, `{"time":1700000099.970,`,
		`{"time":1700000101.000,"event":{}}`, // a clock that is ahead: no age below 0
		`{"time":1600000000.000,"event":{}}`, // older than is told apart
		`{"time":17000000`, `{"event":{}}`, ``, `{"time":x,`,
	} {
		a.add([]byte(envelope), now)
	}
	events, got := a.quantiles(0.5, 0.8, 1)
	if want := []int{20, 30, int(maxAge/time.Millisecond) - 1}; events != 5 || !cmp.Equal(got, want) {
		t.Errorf("%d events, quantiles %v; want 5, %v", events, got, want)
	}
	a.reset()
	if events, got := a.quantiles(0.5); events != 0 || got[0] != 0 {
		t.Errorf("after a reset: %d, %v", events, got)
	}
}
