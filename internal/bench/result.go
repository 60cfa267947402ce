package bench

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// Result is what a run has measured.
type Result struct {
	Events        int    `json:"events"`          // in the topic
	Partitions    int    `json:"partitions"`      // of the topic
	Deliveries    int64  `json:"deliveries"`      // wanted: more than events where several streams want one
	Delivered     int64  `json:"delivered"`       // by delivery, within its time
	Organizations int    `json:"organizations"`   // that the events are of
	Streams       int    `json:"streams"`         // that are delivered
	Destinations  int    `json:"destinations"`    // addresses that they go to
	Cores         int    `json:"cores,omitempty"` // that each process had; 0: all
	Compression   string `json:"compression"`     // of requests: gzip or none
	Integrity     bool   `json:"integrity"`       // events were numbered and chained
	Kafka         string `json:"kafka"`           // embedded, or the brokers given

	Requests      int64 `json:"requests"`       // that delivery made
	FloorRequests int64 `json:"floor_requests"` // and the floor, for the same deliveries

	EventsPerSecond           float64 `json:"events_per_second"` // delivered, from the first answer of the endpoint to the last
	CPUSecondsPerMillion      float64 `json:"cpu_seconds_per_million"`
	FloorEventsPerSecond      float64 `json:"floor_events_per_second"`
	FloorCPUSecondsPerMillion float64 `json:"floor_cpu_seconds_per_million"`
	FloorRatio                float64 `json:"floor_ratio"`    // of the two CPU figures
	PeakRSSBytes              int64   `json:"peak_rss_bytes"` // of the delivering process; 0 where the system does not tell
}

// measurement is what one process has used for what it delivered.
type measurement struct {
	counts  Counts
	cpu     time.Duration
	peakRSS int64
}

func (m measurement) perSecond() float64 {
	took := m.counts.Last.Sub(m.counts.First).Seconds()
	if took <= 0 {
		return 0
	}
	return float64(m.counts.Events) / took
}

func (m measurement) cpuPerMillion() float64 {
	if m.counts.Events == 0 {
		return 0
	}
	return m.cpu.Seconds() / float64(m.counts.Events) * 1e6
}

func newResult(c Config, wanted int64, floor, delivery measurement) Result {
	r := Result{
		Events: c.Events, Partitions: c.Partitions, Deliveries: wanted, Delivered: delivery.counts.Events,
		Organizations: c.Organizations, Streams: c.Streams, Destinations: c.destinations(), Cores: c.Cores,
		Requests: delivery.counts.Requests, FloorRequests: floor.counts.Requests,
		Compression: c.compression(), Integrity: c.Integrity, Kafka: c.kafka(),
		EventsPerSecond: delivery.perSecond(), CPUSecondsPerMillion: delivery.cpuPerMillion(),
		FloorEventsPerSecond: floor.perSecond(), FloorCPUSecondsPerMillion: floor.cpuPerMillion(),
		PeakRSSBytes: delivery.peakRSS,
	}
	if r.FloorCPUSecondsPerMillion > 0 {
		r.FloorRatio = r.CPUSecondsPerMillion / r.FloorCPUSecondsPerMillion
	}
	return r
}

// WriteTable writes r for people.
func (r Result) WriteTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	rows := []struct{ name, value string }{
		{"events in the topic", fmt.Sprint(r.Events)},
		{"partitions", fmt.Sprint(r.Partitions)},
		{"delivered", fmt.Sprintf("%d of %d", r.Delivered, r.Deliveries)},
		{"organizations, streams, destinations", fmt.Sprintf("%d, %d, %d", r.Organizations, r.Streams, r.Destinations)},
		{"compression", r.Compression},
		{"chained", fmt.Sprint(r.Integrity)},
		{"kafka", r.Kafka},
		{"requests", fmt.Sprint(r.Requests)},
		{"  of the floor", fmt.Sprint(r.FloorRequests)},
		{"events per second", fmt.Sprintf("%.0f", r.EventsPerSecond)},
		{"  of the floor", fmt.Sprintf("%.0f", r.FloorEventsPerSecond)},
		{"CPU seconds per million", fmt.Sprintf("%.2f", r.CPUSecondsPerMillion)},
		{"  of the floor", fmt.Sprintf("%.2f", r.FloorCPUSecondsPerMillion)},
		{"  ratio", fmt.Sprintf("%.2f", r.FloorRatio)},
		{"peak memory", fmt.Sprintf("%.1f MiB", float64(r.PeakRSSBytes)/(1<<20))},
	}
	for _, row := range rows {
		fmt.Fprintf(t, "%s\t%s\n", row.name, row.value) //nolint:errcheck // Flush says
	}
	return t.Flush()
}
