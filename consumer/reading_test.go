package consumer

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// windows has a backlog read windows of n records for as long as ctx lasts, each taking d.
func windows(ctx context.Context, r *Reading, n int, d time.Duration, count *int) {
	for ctx.Err() == nil {
		r.yield(ctx)
		if pause(ctx, d) != nil {
			return
		}
		r.read(catchingUp, n)
		*count += n
	}
}

func TestABacklogIsReadInProportionWhileLiveTrafficHasRecordsToOffer(t *testing.T) {
	for _, share := range []float64{0.1, 0.5, 0.8} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			r := NewReading(share)
			behind, offered := 0, 0
			var work sync.WaitGroup
			work.Go(func() { windows(ctx, r, 1000, time.Millisecond, &behind) })
			r.begin()
			for pause(ctx, time.Millisecond) == nil {
				r.read(live, 200)
				offered += 200
			}
			r.end()
			work.Wait()
			if got := float64(behind) / float64(behind+offered); got < share-0.03 || got > share+0.03 {
				t.Errorf("with a share of %.1f a backlog had %.3f of the records: %d beside %d", share, got, behind, offered)
			}
		})
	}
}

func TestABacklogIsReadFreelyWhileLiveTrafficHasNothingToOffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		r := NewReading(0.1)
		behind, offered := 0, 0
		var work sync.WaitGroup
		work.Go(func() { windows(ctx, r, 1000, time.Millisecond, &behind) })
		for pause(ctx, 9*time.Millisecond) == nil {
			r.begin() // for a tenth of the time
			_ = pause(ctx, time.Millisecond)
			r.read(live, 10)
			offered += 10
			r.end()
		}
		work.Wait()
		if least := 1000 * 10_000 * 8 / 10; behind < least {
			t.Errorf("%d records of a backlog were read beside %d, want at least %d: nobody else wanted to read", behind, offered, least)
		}
	})
}

// A dispatcher that has records and gets nowhere does not stop a backlog for ever.
func TestABacklogDoesNotWaitForLiveTrafficThatGetsNowhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewReading(0.1)
		r.begin()
		r.read(live, 1)
		r.read(catchingUp, 1_000_000)
		began := time.Now()
		r.yield(t.Context())
		if d := time.Since(began); d != longestYield {
			t.Errorf("waited %v, want %v", d, longestYield)
		}
		r.end()
		r.yield(t.Context()) // returns
		if d := time.Since(began); d != longestYield {
			t.Errorf("waited %v in all although nothing is live any more", d)
		}
	})
}
