package rfc3339

import (
	"testing"
	"time"

	"github.com/auditstream/auditstream/sinks"
)

func TestEventMillis(t *testing.T) {
	appended := time.UnixMilli(1_700_000_000_123)
	cases := []struct {
		name, occurredAt string
		appended         time.Time
		want             int64
		ok               bool
	}{
		{"when it occurred", "2025-01-15T10:30:00.123Z", appended, 1_736_937_000_123, true},
		{"no time: when it was appended", "noon", appended, 1_700_000_000_123, true},
		{"before 1970: when it was appended", "1969-12-31T23:59:59.999Z", appended, 1_700_000_000_123, true},
		{"the first moment of 1970", "1970-01-01T00:00:00Z", appended, 0, true},
		{"neither", "", time.Time{}, 0, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, ok := EventMillis(&sinks.Event{OccurredAt: []byte(c.occurredAt), Time: c.appended})
			if ok != c.ok || ok && got != c.want {
				t.Errorf("%d, %v; want %d, %v", got, ok, c.want, c.ok)
			}
		})
	}
}
