package consumer

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/auditstream/auditstream/sinks"
)

func TestBreaker(t *testing.T) {
	var (
		a, b = &lane{}, &lane{}
		down = errors.New("connection refused")
		wait = func(n int) time.Duration { return time.Duration(n) * time.Minute }
	)
	// open is one that two lanes have opened; its first probe is due in a minute.
	open := func(t *testing.T) *breaker {
		t.Helper()
		var br breaker
		for _, l := range []*lane{a, a, b} {
			if !br.enter(l).ok {
				t.Fatal("it is open before it should be")
			}
			br.fails(l, down, wait)
		}
		return &br
	}
	t.Run("a lane that fails alone does not open it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var br breaker
			for range 100 {
				br.fails(a, down, wait)
			}
			if !br.enter(b).ok {
				t.Error("it is open")
			}
		})
	})
	t.Run("nor do lanes between which something is taken", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var br breaker
			for range 100 {
				br.fails(a, down, wait)
				br.fails(b, down, wait)
				br.answered()
			}
			if !br.enter(b).ok {
				t.Error("it is open")
			}
		})
	})
	t.Run("open, it says why and until when", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			got := open(t).enter(a)
			if got.ok || !errors.Is(got.err, down) || !got.until.Equal(time.Now().Add(time.Minute)) {
				t.Errorf("got %+v", got)
			}
		})
	})
	t.Run("it lets one attempt through at a time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			br := open(t)
			time.Sleep(time.Minute)
			if !br.enter(b).ok || br.enter(a).ok {
				t.Error("want b to go and a to wait")
			}
		})
	})
	t.Run("each time after a longer wait", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			br := open(t)
			for n := 2; n < 5; n++ {
				time.Sleep(time.Duration(n-1) * time.Minute)
				if !br.enter(b).ok {
					t.Fatal("no probe although it is due")
				}
				br.fails(b, down, wait)
				if got, want := br.enter(b).until, time.Now().Add(time.Duration(n)*time.Minute); !got.Equal(want) {
					t.Errorf("next probe at %s, want %s", got, want)
				}
			}
		})
	})
	t.Run("who was under way when it opened delays nothing", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			br := open(t)
			time.Sleep(time.Minute)
			br.fails(a, down, wait)
			if !br.enter(b).ok {
				t.Error("no probe although it is due")
			}
		})
	})
	t.Run("an answer closes it, and says so", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			br := open(t)
			changed := br.enter(a).changed
			br.answered()
			select {
			case <-changed:
			default:
				t.Error("nobody heard of it")
			}
			if !br.enter(a).ok || !br.enter(b).ok || br.recovery() != nil {
				t.Error("it is not closed")
			}
		})
	})
	t.Run("then it takes as many failures as at first", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			br := open(t)
			br.answered()
			br.fails(a, down, wait)
			br.fails(b, down, wait)
			if !br.enter(a).ok {
				t.Error("it is open after two failures")
			}
		})
	})
	t.Run("a probe that is given up leaves its place to another", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			br := open(t)
			time.Sleep(time.Minute)
			br.enter(b)
			changed := br.enter(a).changed
			br.abandons(a) // who has no probe gives none up
			if br.enter(a).ok {
				t.Error("a second probe")
			}
			br.abandons(b)
			<-changed
			if !br.enter(a).ok {
				t.Error("no probe although none is under way")
			}
		})
	})
}

func TestARecoveryEndsTheWaitsOfAllLanesOfTheStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newTestPartition(t, lineSink{}, sinks.Batching{MaxBytes: 1 << 20})
		l, other := p.addLane(p.streams[0], 0, nil), &lane{}
		p.g.cfg.Retry = Retry{Min: 24 * time.Hour, Max: 24 * time.Hour, Probe: 24 * time.Hour}
		refused := &sinks.Error{Class: sinks.Misconfigured, Err: errors.New("token revoked")}
		hour := func(int) time.Duration { return time.Hour }
		l.stream.breaker.fails(other, refused, hour)
		l.stream.breaker.fails(other, refused, hour)
		l.hold(&failures{err: refused}) // opens it, for a day
		began := time.Now()
		done := make(chan error, 1)
		go func() {
			_, err := l.await(context.Background(), &chunk{}, 0)
			done <- err
		}()
		synctest.Wait()
		if l.health.state != StateInvalid || !l.waiting {
			t.Errorf("state %s, waiting %t; want a lane that waits and says why", l.health.state, l.waiting)
		}
		time.Sleep(time.Minute)
		l.stream.breaker.answered()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if waited := time.Since(began); waited != time.Minute || l.waiting {
			t.Errorf("waited %s, and waits: %t; want the minute until another lane got an answer", waited, l.waiting)
		}
	})
}
