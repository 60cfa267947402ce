package consumer

import (
	"testing"
	"time"

	"github.com/auditstream/auditstream/sinks"
)

func TestWhenEventsCountAsExpiring(t *testing.T) {
	tests := []struct {
		name       string
		guard      float64
		retention  time.Duration
		held, well time.Duration // 0: never
	}{
		{"usual", 0.9, 1000 * time.Hour, 900 * time.Hour, 950 * time.Hour},
		{"early", 0.5, 1000 * time.Hour, 500 * time.Hour, 750 * time.Hour},
		{"switched off by one", 1, 1000 * time.Hour, 0, 0},
		{"switched off by zero", 0, 1000 * time.Hour, 0, 0},
		{"kept for ever, or not known", 0.9, 0, 0, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newTestPartition(t, lineSink{}, sinks.Batching{MaxBytes: 1 << 20})
			p.g.cfg.RetentionGuard = test.guard
			p.g.retention.Store(int64(test.retention))
			if held, well := p.g.expiryAge(true).Round(time.Second), p.g.expiryAge(false).Round(time.Second); held != test.held || well != test.well {
				t.Errorf("held %s, well %s; want %s and %s", held, well, test.held, test.well)
			}
		})
	}
}
