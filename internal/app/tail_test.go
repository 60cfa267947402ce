package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"go.uber.org/zap"

	"github.com/auditstream/auditstream/admin"
)

func TestWhoIsSlowMissesTheOldestAndIsToldHowMany(t *testing.T) {
	b := newTailBuffer()
	for i := range tailEvents + 7 {
		b.put(admin.TailEvent{Offset: int64(i)})
	}
	first, ok := b.take(t.Context())
	if !ok || first.Offset != 7 || first.Missed != 7 {
		t.Errorf("the first is %+v, %v", first, ok)
	}
	second, _ := b.take(t.Context())
	if second.Offset != 8 || second.Missed != 0 {
		t.Errorf("the second is %+v", second)
	}
	large := make([]byte, tailBytes/2+1)
	for i := range 3 {
		b.put(admin.TailEvent{Offset: int64(9000 + i), Event: large})
	}
	if last, _ := b.take(t.Context()); last.Offset != 9002 || last.Missed != tailEvents-2+2 {
		t.Errorf("of three large ones one has room: %d, %d missed", last.Offset, last.Missed)
	}
	if b.bytes != 0 {
		t.Errorf("%d bytes of nothing", b.bytes)
	}
}

func TestWhoTakesWaitsForTheNextAndForTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTailBuffer()
		taken := make(chan bool)
		take := func(ctx context.Context) {
			_, ok := b.take(ctx)
			taken <- ok
		}
		go take(t.Context())
		synctest.Wait()
		b.put(admin.TailEvent{})
		if !<-taken {
			t.Error("what came was not taken")
		}
		ctx, cancel := context.WithCancel(t.Context())
		go take(ctx)
		synctest.Wait()
		cancel()
		if <-taken {
			t.Error("something was taken after the end of its context")
		}
		b.put(admin.TailEvent{})
		b.close()
		if _, ok := b.take(t.Context()); !ok {
			t.Error("what was left is lost")
		}
		if _, ok := b.take(t.Context()); ok {
			t.Error("something comes after the end")
		}
	})
}

// started is a Kafka with topics, and an operator of it.
func started(t *testing.T, streams string) (*site, *Operator) {
	t.Helper()
	s := newSite(t)
	s.there()
	cfg := s.config(streams)
	p := run(t, Delivery{Config: cfg})
	eventually(t, "the streams", func() bool {
		o, err := Operate(t.Context(), cfg, zap.NewNop())
		if err != nil {
			return false
		}
		defer o.Close()
		have, err := o.Streams(t.Context())
		return err == nil && len(have) == len(cfg.Streams)
	})
	p.end()
	return s, s.operator(cfg)
}

func TestATailShowsEachEventOnceFromTheLastOnesOn(t *testing.T) {
	s, o := started(t, "streams: []\n")
	s.publish(0)
	s.publish(30)
	enough := errors.New("enough")
	var ids []string
	err := o.Tail(t.Context(), admin.TailQuery{Last: 40}, func(e admin.TailEvent) error {
		if e.Missed != 0 {
			t.Errorf("%d missed", e.Missed)
		}
		if ids = append(ids, e.ID); len(ids) == 40 {
			s.publish(60)
		}
		if len(ids) == 70 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, id := range ids {
		seen[id] = true
	}
	if len(seen) != 70 {
		t.Errorf("%d different events of 70", len(seen))
	}
	for i := 60; i < 90; i++ {
		if !seen[eventID(i)] {
			t.Errorf("event %d came while it was followed, and is not shown", i)
		}
	}
}

// The last events of one organization are found also when others have published thousands
// since: what does not pass takes no place.
func TestTheLastEventsAreThoseThatPass(t *testing.T) {
	s, o := started(t, "streams: []\n")
	const rare = "org_0000000000000000000RARE000"
	for i := range 3 {
		s.put(rare, fmt.Sprintf(`{"action":"user.login","actor":{"id":"u","type":"user"},"id":%q,"occurred_at":"2026-11-01T00:00:00Z","organization_id":%q,"targets":[]}`, eventID(9000+i), rare))
	}
	for i := range 40 {
		s.publish(30 * i)
	}
	var ids []string
	err := o.Tail(t.Context(), admin.TailQuery{Last: 2, Ends: true, Organization: rare}, func(e admin.TailEvent) error {
		ids = append(ids, e.ID)
		return nil
	})
	if err != nil || !slices.Equal(ids, []string{eventID(9001), eventID(9002)}) {
		t.Errorf("%v, %v", ids, err)
	}
}

func TestATailRefusesWhatItCannotShow(t *testing.T) {
	_, o := started(t, oneStream)
	for name, tt := range map[string]struct {
		q    admin.TailQuery
		want string
	}{
		"too many":          {admin.TailQuery{Last: admin.MaxTailLast + 1}, "0 to 10000 can"},
		"nothing":           {admin.TailQuery{Ends: true}, "nothing to show"},
		"an unknown stream": {admin.TailQuery{Stream: "everythin"}, `did you mean "everything"?`},
	} {
		t.Run(name, func(t *testing.T) {
			err := o.Tail(t.Context(), tt.q, func(admin.TailEvent) error { return nil })
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %s", err, tt.want)
			}
		})
	}
}
