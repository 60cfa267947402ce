package consumer

import (
	"math"
	"testing"
	"time"
)

func TestRetryWaits(t *testing.T) {
	usual := Retry{Min: time.Second, Max: 5 * time.Minute}
	tests := []struct {
		name        string
		retry       Retry
		attempt     int
		asked       time.Duration
		atLeast     time.Duration
		atMost      time.Duration
		mustSpread  bool
		mustExceed  time.Duration // some wait of many is longer
		mustFallLow time.Duration // some wait of many is shorter
	}{
		{name: "the first", retry: usual, attempt: 1, atMost: time.Second, mustSpread: true, mustExceed: time.Second / 2, mustFallLow: time.Second / 2},
		{name: "doubles", retry: usual, attempt: 4, atMost: 8 * time.Second, mustSpread: true, mustExceed: 4 * time.Second, mustFallLow: time.Second},
		{name: "up to the bound", retry: usual, attempt: 10, atMost: 5 * time.Minute, mustSpread: true, mustExceed: 2 * time.Minute},
		{name: "and no further", retry: usual, attempt: 1000, atMost: 5 * time.Minute, mustSpread: true, mustExceed: 2 * time.Minute},
		{name: "for ever", retry: usual, attempt: math.MaxInt, atMost: 5 * time.Minute, mustSpread: true, mustExceed: 2 * time.Minute},
		{name: "a first bound whose doubling overflows", retry: Retry{Min: 10 * time.Second, Max: time.Minute}, attempt: 31, atMost: time.Minute, mustSpread: true, mustExceed: 20 * time.Second},
		{name: "a first bound above the other", retry: Retry{Min: time.Hour, Max: time.Second}, attempt: 1, atMost: time.Second},
		{name: "as long as the destination asks", retry: usual, attempt: 1, asked: time.Minute, atLeast: time.Minute, atMost: time.Minute},
		{name: "longer where the bound is longer", retry: usual, attempt: 20, asked: time.Second, atLeast: time.Second, atMost: 5 * time.Minute},
		{name: "but for an hour at most", retry: usual, attempt: 1, asked: 48 * time.Hour, atLeast: time.Hour, atMost: time.Hour},
		{name: "a destination cannot ask for the past", retry: usual, attempt: 1, asked: -time.Hour, atMost: time.Second},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			low, high := time.Duration(math.MaxInt64), time.Duration(0)
			for range 2000 {
				d := test.retry.wait(test.attempt, test.asked)
				low, high = min(low, d), max(high, d)
			}
			if low <= 0 || low < test.atLeast || high > test.atMost {
				t.Errorf("waits of %s to %s, want more than 0 and %s to %s", low, high, test.atLeast, test.atMost)
			}
			if test.mustSpread && (low == high || high <= test.mustExceed || test.mustFallLow > 0 && low >= test.mustFallLow) {
				t.Errorf("waits of %s to %s are not spread over the whole range", low, high)
			}
		})
	}
}
