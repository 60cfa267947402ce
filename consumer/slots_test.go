package consumer

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// counter notes how many requests are under way.
type counter struct {
	sync.Mutex

	now, most int
	done      [2]int // by traffic
	longest   time.Duration
}

// request makes one that takes d, and notes it.
func (c *counter) request(ctx context.Context, s *Slots, p *patron, what traffic, d time.Duration) error {
	began := time.Now()
	x, err := s.acquire(ctx, p, what)
	if err != nil {
		return err
	}
	defer s.release(x)
	c.Lock()
	c.now++
	c.most = max(c.most, c.now)
	c.longest = max(c.longest, time.Since(began))
	c.Unlock()
	err = pause(ctx, d)
	c.Lock()
	defer c.Unlock()
	c.now--
	if err == nil {
		c.done[what]++
	}
	return err
}

// reached says whether there were so many requests of live traffic and of catching up.
func (c *counter) reached(ofLive, ofCatchingUp int) bool {
	c.Lock()
	defer c.Unlock()
	return c.done[live] >= ofLive && c.done[catchingUp] >= ofCatchingUp
}

// lanes have several lanes of a stream make requests of length d, one at a time, until ctx
// ends or each has made n.
func (c *counter) lanes(ctx context.Context, work *sync.WaitGroup, s *Slots, p *patron, lanes int, what traffic, d time.Duration, n int) {
	for range lanes {
		work.Go(func() {
			for i := 0; i < n && c.request(ctx, s, p, what, d) == nil; i++ {
			}
		})
	}
}

const anyNumber = 1 << 30

// A hundred destinations take a connection and never answer; requests to them end by their
// time-out, and are made again.
func TestAHundredDestinationsThatHangKeepNoSlotFromTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const (
			streams, lanes = 100, 6
			timeout        = 30 * time.Second
			maximum, slow  = 64, 128
		)
		ctx, cancel := context.WithCancel(t.Context())
		s := NewSlots(SlotsConfig{Max: maximum, MaxSlow: slow, CatchUp: 0.5})
		var hanging, healthy sync.WaitGroup
		var bad, good counter
		for range streams {
			bad.lanes(ctx, &hanging, s, &patron{}, lanes, live, timeout, anyNumber)
		}
		synctest.Wait() // they are there first
		for range streams {
			good.lanes(ctx, &healthy, s, &patron{}, lanes, live, 10*time.Millisecond, 300)
		}
		healthy.Wait()
		if good.done[live] != streams*lanes*300 {
			t.Errorf("%d requests of healthy streams were made", good.done[live])
		}
		// The first second goes to the lanes of the few streams that came first; then each of the
		// others turns slow with one request, 64 in a second.
		if good.longest > 4*time.Second {
			t.Errorf("a healthy stream waited %v for a slot", good.longest)
		}
		// None of its lanes takes another one after that, but for those that may try in turn.
		if most := maximum + slow + streams + maximum/tried*int(timeout/time.Second); bad.most > most {
			t.Errorf("%d requests hang at once, want %d at most", bad.most, most)
		}
		if bad.most < slow {
			t.Errorf("only %d requests to destinations that hang are under way, of %d that may be", bad.most, slow)
		}
		// From then on they are as if they were not there.
		good = counter{}
		for range streams {
			good.lanes(ctx, &healthy, s, &patron{}, lanes, live, 10*time.Millisecond, 300)
		}
		healthy.Wait()
		if rounds := time.Duration(streams*lanes/(maximum-maximum/tried) + 2); good.longest > rounds*10*time.Millisecond {
			t.Errorf("a healthy stream waited %v for a slot, although all that hang are known", good.longest)
		}
		cancel()
		hanging.Wait()
		if s.held != [2]int{} || s.slow != 0 || s.order.Len() != 0 {
			t.Errorf("slots are left: %v, %d slow", s.held, s.slow)
		}
	})
}

// Whoever waits for a slot of fast streams while its own stream turns slow is moved to the
// slow ones, and gets a slot that is free there at once.
func TestAStreamThatTurnsSlowWhileItWaitsIsNotForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := NewSlots(SlotsConfig{Max: 1, MaxSlow: 2})
		var c counter
		var p patron
		var work sync.WaitGroup
		work.Go(func() { _ = c.request(ctx, s, &p, live, time.Hour) }) // its destination hangs
		synctest.Wait()
		if err := c.request(ctx, s, &p, live, time.Millisecond); err != nil {
			t.Fatal(err)
		}
		if c.longest > time.Second {
			t.Errorf("the other lane waited %v for a slot that was free after a second", c.longest)
		}
		cancel()
		work.Wait()
	})
}

func TestAStreamThatIsFastAgainIsTreatedLikeTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSlots(SlotsConfig{Max: 1, MaxSlow: 1})
		var c counter
		var p, other patron
		for _, d := range []time.Duration{2 * time.Second, time.Millisecond} {
			if err := c.request(t.Context(), s, &p, live, d); err != nil {
				t.Fatal(err)
			}
			if want := d > time.Second; p.slow != want {
				t.Errorf("after a request of %v: slow %t", d, p.slow)
			}
		}
		x, err := s.acquire(t.Context(), &other, live)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := c.request(t.Context(), s, &p, live, 0); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(began); waited != time.Second {
			t.Errorf("waited %v for the one slot, want until its request is slow", waited)
		}
		s.release(x)
	})
}

// Every stream may be slow once. It must not stand behind those that hang from then on.
func TestAStreamThatIsSlowByChanceIsNotLeftToThoseThatHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := NewSlots(SlotsConfig{Max: 8, MaxSlow: 8})
		var hanging sync.WaitGroup
		var bad, good counter
		var healthy patron
		if err := good.request(ctx, s, &healthy, live, 2*time.Second); err != nil {
			t.Fatal(err)
		}
		for range 100 {
			bad.lanes(ctx, &hanging, s, &patron{slow: true}, 6, live, 1000*time.Hour, anyNumber)
		}
		synctest.Wait()
		for range 100 {
			if err := good.request(ctx, s, &healthy, live, 10*time.Millisecond); err != nil {
				t.Fatal(err)
			}
		}
		// One of eight slots is for tries, and each of the hundred keeps it for a second.
		if good.longest > 102*time.Second {
			t.Errorf("a healthy stream waited %v for a slot", good.longest)
		}
		if healthy.slow {
			t.Error("the healthy stream is still taken for a slow one")
		}
		cancel()
		hanging.Wait()
		if s.held != [2]int{} || s.slow != 0 || s.tries != 0 {
			t.Errorf("slots are left: %v, %d slow, %d tries", s.held, s.slow, s.tries)
		}
	})
}

func TestLiveTrafficAndCatchingUpShareSlotsThatBothWant(t *testing.T) {
	tests := []struct {
		name             string
		share            float64
		live, catchingUp time.Duration // of a request
		want             float64       // share of the slot-seconds of catching up
	}{
		{"evenly", 0.5, 10 * time.Millisecond, 10 * time.Millisecond, 0.5},
		{"a small share", 0.1, 10 * time.Millisecond, 10 * time.Millisecond, 0.1},
		{"by time, not by requests", 0.5, 5 * time.Millisecond, 100 * time.Millisecond, 0.5},
		{"by requests, where they take no time", 0.5, 0, 0, 0.5},
	}
	for _, tt := range tests {
		for _, maximum := range []int{1, 8} {
			t.Run(tt.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					s := NewSlots(SlotsConfig{Max: maximum, CatchUp: tt.share})
					var work sync.WaitGroup
					var c counter
					took := [2]time.Duration{max(tt.live, time.Microsecond), max(tt.catchingUp, time.Microsecond)}
					for range 20 {
						c.lanes(ctx, &work, s, &patron{}, 6, live, took[live], anyNumber)
						c.lanes(ctx, &work, s, &patron{}, 6, catchingUp, took[catchingUp], anyNumber)
					}
					for !c.reached(5000, 200) {
						<-time.After(10 * time.Millisecond)
						synctest.Wait()
					}
					cancel()
					work.Wait()
					behind := float64(c.done[catchingUp]) * took[catchingUp].Seconds()
					got := behind / (behind + float64(c.done[live])*took[live].Seconds())
					if got < tt.want-0.05 || got > tt.want+0.05 {
						t.Errorf("catching up had %.2f of the slot-seconds, want %.2f: %d requests beside %d", got, tt.want, c.done[catchingUp], c.done[live])
					}
				})
			})
		}
	}
}

func TestWhatOneDoesNotWantTheOtherMayHaveWhole(t *testing.T) {
	for _, what := range []traffic{live, catchingUp} {
		synctest.Test(t, func(t *testing.T) {
			s := NewSlots(SlotsConfig{Max: 8, CatchUp: 0.1})
			var work sync.WaitGroup
			var c counter
			for range 20 {
				c.lanes(t.Context(), &work, s, &patron{}, 1, what, 100*time.Millisecond, 10)
			}
			work.Wait()
			if c.most != 8 {
				t.Errorf("%d requests at once, want all 8", c.most)
			}
		})
	}
}

// Live traffic that comes only now and then gets the first slot that is given back,
// however many lanes catch up.
func TestABacklogIsNotWaitedForByLiveTrafficWithinItsShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const long = 300 * time.Millisecond
		ctx, cancel := context.WithCancel(t.Context())
		s := NewSlots(SlotsConfig{Max: 8, CatchUp: 0.5})
		var work sync.WaitGroup
		var backlog, c counter
		for range 200 {
			backlog.lanes(ctx, &work, s, &patron{}, 1, catchingUp, long, anyNumber)
		}
		<-time.After(5 * time.Second)
		var p patron
		for range 100 {
			<-time.After(50 * time.Millisecond)
			if err := c.request(ctx, s, &p, live, 10*time.Millisecond); err != nil {
				t.Fatal(err)
			}
		}
		if c.longest > long {
			t.Errorf("live traffic waited %v for a slot, longer than for one request to end", c.longest)
		}
		cancel()
		work.Wait()
	})
}

func TestStreamsTakeTurnsHoweverManyRequestsTheyWant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSlots(SlotsConfig{Max: 1})
		first, err := s.acquire(t.Context(), &patron{}, live)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		var work sync.WaitGroup
		ask := func(name string, p *patron) {
			work.Go(func() {
				x, err := s.acquire(t.Context(), p, live)
				if err != nil {
					t.Error(err)
					return
				}
				got = append(got, name)
				s.release(x)
			})
			synctest.Wait()
		}
		var many, one, two patron
		for _, name := range []string{"m1", "m2", "m3", "m4"} {
			ask(name, &many)
		}
		ask("o1", &one)
		ask("t1", &two)
		ask("t2", &two)
		s.release(first)
		work.Wait()
		if want := []string{"m1", "o1", "t1", "m2", "t2", "m3", "m4"}; !slices.Equal(got, want) {
			t.Errorf("turns were %v, want %v", got, want)
		}
	})
}

func TestWhoGivesUpWaitingLeavesNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSlots(SlotsConfig{Max: 1, MaxSlow: 1})
		var p, other patron
		x, err := s.acquire(t.Context(), &p, live)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		failed := make(chan error, 3)
		for _, p := range []*patron{&p, &p, &other} {
			go func() {
				_, err := s.acquire(ctx, p, catchingUp)
				failed <- err
			}()
		}
		synctest.Wait()
		cancel()
		for range 3 {
			if err := <-failed; !errors.Is(err, context.Canceled) {
				t.Errorf("acquire: %v", err)
			}
		}
		s.release(x)
		if s.waiting[live].any() || s.waiting[catchingUp].any() || s.waiting[slowly].any() || s.held != [2]int{} {
			t.Errorf("left behind: %+v, %v", s.waiting, s.held)
		}
		// A slot that comes together with the end is given back.
		for range 100 {
			ctx, cancel := context.WithCancel(t.Context())
			if x, err = s.acquire(t.Context(), &p, live); err != nil {
				t.Fatal(err)
			}
			go func() {
				if x, err := s.acquire(ctx, &other, live); err == nil {
					s.release(x)
				}
				failed <- nil
			}()
			synctest.Wait()
			cancel()
			s.release(x)
			if err := <-failed; err != nil {
				t.Error(err)
			}
		}
		if s.held != [2]int{} || s.slow != 0 {
			t.Errorf("held %v and %d of slow streams", s.held, s.slow)
		}
	})
}
