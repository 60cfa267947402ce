package consumer

import (
	"testing"
	"time"
)

func TestLossBeginsWhenTheOldestEventIsForgottenByTimeOrBySize(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	oldest := now.Add(-24 * time.Hour)
	day := 24 * time.Hour
	busy := map[int32]volume{0: {perOffset: 1000, perSecond: 1000}}
	for name, c := range map[string]struct {
		limits limits
		by     string
		begins time.Time
		used   float64
	}{
		"nothing is forgotten":             {limits: limits{retentionLimits: retentionLimits{bytes: -1}}},
		"by time":                          {limits{retentionLimits{age: 7 * day, bytes: -1}, nil}, "time", oldest.Add(7 * day), 1.0 / 7},
		"by size, at the present rate":     {limits{retentionLimits{age: 7 * day, bytes: 136_400_000}, busy}, "size", now.Add(36400 * time.Second), 100_000_000.0 / 136_400_000},
		"by time, before size":             {limits{retentionLimits{age: 25 * time.Hour, bytes: 136_400_000}, busy}, "time", now.Add(time.Hour), 24.0 / 25},
		"by size alone":                    {limits{retentionLimits{bytes: 136_400_000}, busy}, "size", now.Add(36400 * time.Second), 100_000_000.0 / 136_400_000},
		"more waits than is kept":          {limits{retentionLimits{bytes: 50_000_000}, busy}, "size", now, 1},
		"nothing comes that pushes it out": {limits: limits{retentionLimits{bytes: 136_400_000}, map[int32]volume{0: {perOffset: 1000}}}},
		"the disks may not be described":   {limits: limits{retentionLimits{bytes: 136_400_000}, nil}},
	} {
		t.Run(name, func(t *testing.T) {
			l := &LaneStatus{Cursor: 0, End: 100_000, Waiting: Waiting{Lag: 100_000, Oldest: &oldest}}
			got := c.limits.of(0, l, now)
			if c.by == "" {
				if got != nil {
					t.Errorf("%+v, want nothing", got)
				}
				return
			}
			if got == nil || got.By != c.by || !got.LossBegins.Equal(c.begins) || got.Used < c.used-1e-9 || got.Used > c.used+1e-9 {
				t.Errorf("%+v, want %s at %s, %v used", got, c.by, c.begins, c.used)
			}
		})
	}
}

func TestAnAgeThatIsNotKnownIsNotZero(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	hour := now.Add(-time.Hour)
	for name, c := range map[string]struct {
		lanes []Waiting
		want  *float64
	}{
		"nothing waits":              {[]Waiting{{LagKind: LagExact}, {LagKind: LagExact}}, new(0.0)},
		"the oldest is known":        {[]Waiting{{LagKind: LagExact, Lag: 1, Oldest: &hour}, {LagKind: LagExact}}, new(3600.0)},
		"not of all that wait":       {[]Waiting{{LagKind: LagExact, Lag: 1, Oldest: &hour}, {LagKind: LagAtMost, Lag: 5}}, nil},
		"something waits, who knows": {[]Waiting{{LagKind: LagAtMost, Lag: 5}}, nil},
	} {
		w := Waiting{LagKind: LagExact}
		for _, l := range c.lanes {
			w.join(l)
		}
		w.dated(now)
		if (w.LagSeconds == nil) != (c.want == nil) || c.want != nil && *w.LagSeconds != *c.want {
			t.Errorf("%s: %v", name, w.LagSeconds)
		}
	}
}

// Where loss is near, no state is more urgent.
func TestNearLossComesFirst(t *testing.T) {
	begins := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	of := func(state string, used float64, in time.Duration) Status {
		return Status{State: state, Waiting: Waiting{Retention: &Retention{Used: used, LossBegins: begins.Add(in)}}}
	}
	order := []Status{of(StateActive, 0.9, time.Hour), of(StatusPaused, 0.6, 2*time.Hour), of(StateInvalid, 0.1, 9*time.Hour), of(StateActive, 0.2, 8*time.Hour)}
	for i := range order[1:] {
		if order[i].Compare(order[i+1]) >= 0 {
			t.Errorf("%+v does not come before %+v", order[i], order[i+1])
		}
	}
}
