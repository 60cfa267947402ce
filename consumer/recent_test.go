package consumer

import (
	"testing"
	"time"
)

func TestRatesSlideOverTheLastMinuteFiveMinutesAndHour(t *testing.T) {
	from := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	var r recently
	for i := range 3600 { // ten a second, for an hour
		r.add(&r.delivered, 10, from.Add(time.Duration(i)*time.Second))
	}
	end := from.Add(time.Hour)
	near := func(what string, got, want float64) {
		t.Helper()
		if got < want*0.99-0.001 || got > want*1.01+0.001 {
			t.Errorf("%s: %v a second, want %v", what, got, want)
		}
	}
	for _, c := range []struct {
		after              time.Duration
		minute, five, hour float64
	}{
		{0, 10, 10, 10},
		{30 * time.Second, 5, 9, 10 * 3570.0 / 3600},
		{time.Minute, 0, 8, 10 * 3540.0 / 3600},
		{5 * time.Minute, 0, 0, 10 * 3300.0 / 3600},
		{30 * time.Minute, 0, 0, 5},
		{time.Hour + 5*time.Minute, 0, 0, 0},
	} {
		// What another process finds on record is the same.
		again := r.clone()
		again = again.record(end).decoded()
		got := again.rates(end.Add(c.after)).Delivered
		near("1m after "+c.after.String(), got.Minute, c.minute)
		near("5m after "+c.after.String(), got.Five, c.five)
		near("1h after "+c.after.String(), got.Hour, c.hour)
	}
}

func TestWhatIsOverAnHourAgoTakesNoRoom(t *testing.T) {
	var r recently
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	r.add(&r.retried, 1, now)
	if rec := r.record(now.Add(66 * time.Minute)); rec != nil || r.retried != nil {
		t.Errorf("%+v", rec)
	}
}

func TestAClockThatGoesBackLosesNothing(t *testing.T) {
	var r recently
	now := time.Date(2026, 11, 22, 10, 7, 0, 0, time.UTC)
	r.add(&r.delivered, 3, now)
	r.add(&r.delivered, 4, now.Add(-3*time.Minute))
	if got := r.delivered.minutes[0]; got != 7 {
		t.Errorf("%d in the present minute, want 7", got)
	}
}
