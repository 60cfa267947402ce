package schema

import (
	"testing"
	"time"
)

func TestTime(t *testing.T) {
	tests := []struct {
		text string
		want time.Time
		ok   bool
	}{
		{"2026-01-02T03:04:05.678Z", time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC), true},
		{"2026-01-02t03:04:05z", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), true},
		{"2026-01-02T03:04:05+02:00", time.Date(2026, 1, 2, 1, 4, 5, 0, time.UTC), true},
		{"2016-12-31T23:59:60Z", time.Date(2017, 1, 1, 0, 0, 0, 0, time.UTC), true},
		{"2016-12-31T23:59:60.5Z", time.Date(2017, 1, 1, 0, 0, 0, 0, time.UTC), true},
		{"0000-01-01T00:00:00Z", time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC), true},
		{"2026-01-02T03:04:05.1234567891234567Z", time.Date(2026, 1, 2, 3, 4, 5, 123456789, time.UTC), true},
		{"2026-01-02 03:04:05Z", time.Time{}, false},
		{"yesterday", time.Time{}, false},
		{"", time.Time{}, false},
	}
	for _, tt := range tests {
		got, ok := (&Event{OccurredAt: tt.text}).Time()
		if ok != tt.ok || !got.Equal(tt.want) {
			t.Errorf("%q: %v, %v; want %v, %v", tt.text, got, ok, tt.want, tt.ok)
		}
	}
}
