package app

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
)

// candidates are processes that choose one of themselves.
type candidates struct {
	t       *testing.T
	e       election
	leading atomic.Int32 // how many think that they lead
	most    atomic.Int32 // at once
}

func newCandidates(t *testing.T) *candidates {
	t.Helper()
	s := newSite(t)
	s.there()
	cfg := s.config("")
	opts, done, err := connect(cfg, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = done() })
	if _, err := prepare(t.Context(), opts, cfg.Topics.Kafka(), zap.NewNop(), nil); err != nil {
		t.Fatal(err)
	}
	return &candidates{t: t, e: election{opts: opts, group: "auditstream.test", topic: cfg.Topics.Kafka().Schemas(), session: 6 * time.Second}}
}

// stand is a candidate that tells when it is chosen, until stop is called.
func (c *candidates) stand(lead func(context.Context, *seat)) (chosen <-chan struct{}, stop func()) {
	c.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	told := make(chan struct{}, 8)
	done := make(chan error, 1)
	go func() {
		done <- c.e.run(ctx, func(ctx context.Context, s *seat) {
			c.most.Store(max(c.most.Load(), c.leading.Add(1)))
			defer c.leading.Add(-1)
			told <- struct{}{}
			if lead != nil {
				lead(ctx, s)
			}
			<-ctx.Done()
		})
	}()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				c.t.Error(err)
			}
		})
	}
	c.t.Cleanup(stop)
	return told, stop
}

func await(t *testing.T, what string, ch <-chan struct{}) {
	t.Helper()
	select {
	case <-ch:
	case <-time.After(patience):
		t.Fatalf("still waiting for: %s", what)
	}
}

func TestOneOfManyLeadsAndAnotherTakesOver(t *testing.T) {
	c := newCandidates(t)
	first, stop := c.stand(nil)
	await(t, "the first to lead", first)
	second, _ := c.stand(nil)
	third, _ := c.stand(nil)
	stop()
	select {
	case <-second:
	case <-third:
	case <-time.After(patience):
		t.Fatal("nobody took over")
	}
	if n := c.most.Load(); n != 1 {
		t.Errorf("%d led at once", n)
	}
}

func TestANoteOutlivesWhoeverMadeIt(t *testing.T) {
	c := newCandidates(t)
	found := make(chan string, 1)
	chosen, stop := c.stand(func(ctx context.Context, s *seat) {
		if text, err := s.note(ctx); err != nil || text != "" {
			t.Errorf("a new group has the note %q, error %v", text, err)
		}
		for _, text := range []string{"one", `{"version":1}`} {
			if err := s.putNote(ctx, text); err != nil {
				t.Error(err)
			}
		}
		text, err := s.note(ctx)
		if err != nil {
			t.Error(err)
		}
		found <- text
	})
	await(t, "the first to lead", chosen)
	if text := <-found; text != `{"version":1}` {
		t.Errorf("note %q", text)
	}
	stop()
	c.stand(func(ctx context.Context, s *seat) {
		text, err := s.note(ctx)
		if err != nil {
			t.Error(err)
		}
		found <- text
	})
	if text := <-found; text != `{"version":1}` {
		t.Errorf("the next one finds the note %q", text)
	}
}
