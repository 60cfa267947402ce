package bench

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestResult(t *testing.T) {
	start := time.Unix(1000, 0)
	c := Config{Events: 600_000, Partitions: 6, Organizations: 20, Streams: 2, Gzip: true, Brokers: []string{"a:1", "b:2"}}
	tests := []struct {
		name            string
		floor, delivery measurement
		want            Result
	}{
		{
			"both complete",
			measurement{counts: Counts{Events: 500_000, Requests: 10, First: start, Last: start.Add(2 * time.Second)}, cpu: 2 * time.Second},
			measurement{counts: Counts{Events: 500_000, Requests: 12, First: start, Last: start.Add(5 * time.Second)}, cpu: 3 * time.Second, peakRSS: 7 << 20},
			Result{
				EventsPerSecond: 100_000, CPUSecondsPerMillion: 6, FloorEventsPerSecond: 250_000, FloorCPUSecondsPerMillion: 4,
				FloorRatio: 1.5, Requests: 12, FloorRequests: 10, PeakRSSBytes: 7 << 20, Delivered: 500_000,
			},
		},
		{
			"time was up before anything arrived",
			measurement{cpu: time.Second},
			measurement{cpu: time.Second},
			Result{},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.want.Events, tt.want.Deliveries, tt.want.Organizations, tt.want.Streams = 600_000, 500_000, 20, 2
			tt.want.Destinations = 2
			tt.want.Partitions = 6
			tt.want.Compression, tt.want.Kafka = "gzip", "a:1,b:2"
			got := newResult(c, 500_000, tt.floor, tt.delivery)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			var table strings.Builder
			if err := got.WriteTable(&table); err != nil {
				t.Fatal(err)
			}
			if lines := strings.Count(table.String(), "\n"); lines != 15 {
				t.Errorf("the table has %d lines, want one for each figure:\n%s", lines, table.String())
			}
		})
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	var said tail
	for range 1000 {
		if n, err := said.Write([]byte("0123456789\n")); n != 11 || err != nil {
			t.Fatalf("wrote %d, %v", n, err)
		}
	}
	if _, err := said.Write([]byte("the end")); err != nil {
		t.Fatal(err)
	}
	if got := said.String(); len(got) > tailBytes || !strings.HasSuffix(got, "0123456789\nthe end") {
		t.Errorf("kept %d bytes, ending in %q", len(got), got[max(0, len(got)-20):])
	}
}
