package workos_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/auditstream/auditstream/producer"
	"github.com/auditstream/auditstream/producer/workos"
	"github.com/auditstream/auditstream/producer/workos/workostest"
	"github.com/auditstream/auditstream/schema"
)

// shelf keeps a cursor, or fails to.
type shelf struct {
	mu     sync.Mutex
	cursor workos.Cursor
	saves  int
	down   error
	onSave func()
}

func (s *shelf) Load(context.Context) (workos.Cursor, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cursor, s.down
}

func (s *shelf) Save(_ context.Context, c workos.Cursor) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down != nil {
		return s.down
	}
	s.cursor = c
	s.saves++
	if s.onSave != nil {
		s.onSave()
	}
	return nil
}

func (s *shelf) now() workos.Cursor {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cursor
}

// polling is a world, a Kafka, a cursor, and a poller between them. It is used within
// synctest, where time passes by itself.
type polling struct {
	t     *testing.T
	world *workostest.World
	topic *topic
	shelf *shelf
	reg   *prometheus.Registry
	logs  *observer.ObservedLogs
}

func newPolling(t *testing.T) *polling {
	t.Helper()
	world := &workostest.World{}
	world.Keys("sk_test")
	return &polling{t: t, world: world, topic: &topic{}, shelf: &shelf{}}
}

// start runs a poller until stop is called.
func (p *polling) start(change func(*workos.PollConfig)) (stop func()) {
	p.t.Helper()
	core, logs := observer.New(zapcore.InfoLevel)
	p.logs, p.reg = logs, prometheus.NewRegistry()
	c := workos.PollConfig{
		Key:      func(context.Context) (string, error) { return "sk_test", nil },
		Events:   []string{"organization_membership.created", "user.created"},
		Backfill: workos.DefaultBackfill,
		Cursors:  p.shelf, Intake: newIntake(p.t, workos.IntakeConfig{Publisher: p.topic, Letters: p.topic}),
		Client: &http.Client{Transport: p.world}, Log: zap.New(core), Metrics: p.reg,
	}
	if change != nil {
		change(&c)
	}
	poller, err := workos.NewPoller(c)
	if err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(p.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		poller.Run(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

func idOf(n int) string {
	return schema.ForeignID("workos", fmt.Sprintf("event_%026d", n))
}

// idsOf are the ids of the Events from one number to another.
func idsOf(from, to int) []string {
	var ids []string
	for n := from; n <= to; n++ {
		ids = append(ids, idOf(n))
	}
	return ids
}

// happened adds Events of the past, a second apart, of which the last is that old.
func (p *polling) happened(from, to int, age time.Duration) {
	for n := from; n <= to; n++ {
		p.world.Happen(workostest.New(n, time.Now().Add(-age-time.Duration(to-n)*time.Second), orgA))
	}
}

func (p *polling) wants(ids []string) {
	p.t.Helper()
	if diff := cmp.Diff(ids, p.topic.published()); diff != "" {
		p.t.Errorf("published (-want +got)\n%s", diff)
	}
}

func TestThePastIsReadInOrderAndThenWhatComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPolling(t)
		p.happened(1, 250, 24*time.Hour)
		defer p.start(nil)()
		time.Sleep(time.Second)
		p.wants(idsOf(1, 250))
		for n := 251; n <= 260; n++ {
			p.world.Happen(workostest.New(n, time.Now(), orgA))
			time.Sleep(7 * time.Second)
		}
		time.Sleep(10 * time.Minute) // the young ones are read again and again
		p.wants(idsOf(1, 260))
		if c := p.shelf.now(); c.After != "event_00000000000000000000000260" {
			t.Errorf("the cursor is at %+v, want the last Event", c)
		}
		if got := figures(t, p.reg); got["auditstream_workos_poll_active"] != 1 || got["auditstream_workos_poll_state active"] != 1 ||
			got["auditstream_workos_poll_caught_up_timestamp_seconds"] < float64(time.Now().Add(-12*time.Second).Unix()) {
			t.Errorf("figures %v", got)
		}
	})
}

func TestEventsThatAppearLateAreFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPolling(t)
		defer p.start(nil)()
		p.world.Happen(workostest.New(1, time.Now(), orgA), workostest.New(3, time.Now().Add(2*time.Second), orgA))
		time.Sleep(30 * time.Second)
		p.wants([]string{idOf(1), idOf(3)})
		p.world.Happen(workostest.New(2, time.Now().Add(-29*time.Second), orgA))
		time.Sleep(30 * time.Second)
		p.wants([]string{idOf(1), idOf(3), idOf(2)})
	})
}

// A process that is killed anywhere repeats what is behind the saved cursor, with the same
// ids, and passes nothing over.
func TestAKillAmidPagesLosesNothing(t *testing.T) {
	for after := 1; after <= 6; after++ {
		synctest.Test(t, func(t *testing.T) {
			p := newPolling(t)
			p.happened(1, 450, time.Hour)
			gone := make(chan struct{})
			p.shelf.onSave = func() {
				if p.shelf.saves == after {
					p.shelf.down = errors.New("killed") // what would be saved from now on is not
					close(gone)
				}
			}
			stop := p.start(nil)
			<-gone
			stop()
			p.shelf.down = nil
			defer p.start(nil)()
			time.Sleep(time.Minute)
			got := p.topic.published()
			if n := len(got); n > 450+100 {
				t.Errorf("killed after save %d: %d events, want at most a page repeated", after, n)
			}
			slices.Sort(got)
			want := idsOf(1, 450)
			slices.Sort(want)
			if diff := cmp.Diff(want, slices.Compact(got)); diff != "" {
				t.Errorf("killed after save %d (-want +got)\n%s", after, diff)
			}
		})
	}
}

func TestTheCursorWaitsForKafka(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPolling(t)
		p.happened(1, 150, time.Hour)
		p.topic.set(producer.ErrUnavailable)
		defer p.start(nil)()
		time.Sleep(time.Hour)
		if c := p.shelf.now(); c.After != "" {
			t.Errorf("the cursor is at %+v although Kafka has nothing", c)
		}
		p.topic.set(nil)
		time.Sleep(6 * time.Minute)
		p.wants(idsOf(1, 150))
	})
}

func TestALostCursorRepeatsWithTheSameIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPolling(t)
		p.happened(1, 20, time.Hour)
		stop := p.start(nil)
		time.Sleep(time.Minute)
		stop()
		p.shelf.cursor = workos.Cursor{}
		defer p.start(nil)()
		time.Sleep(time.Minute)
		p.wants(append(idsOf(1, 20), idsOf(1, 20)...))
	})
}

func TestACursorThatWorkOSDoesNotTakeBeginsAtItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPolling(t)
		p.happened(1, 20, 30*time.Minute)
		stop := p.start(nil)
		time.Sleep(time.Second)
		stop()
		p.world.Forget(p.shelf.now().After)
		p.happened(21, 25, 10*time.Second)
		defer p.start(nil)()
		time.Sleep(time.Minute)
		got := p.topic.published()
		if diff := cmp.Diff(idsOf(21, 25), got[len(got)-5:]); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		if n := len(got); n > 27 { // the cursor's own Event, and those of its second
			t.Errorf("%d events, want at most two repeated", n)
		}
	})
}

func TestWhatIsBeyondTheHorizonIsToldAsAGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPolling(t)
		p.shelf.cursor = workos.Cursor{After: "event_00000000000000000000000001", Time: time.Now().Add(-40 * 24 * time.Hour)}
		p.happened(2, 10, 20*24*time.Hour)
		defer p.start(nil)()
		time.Sleep(time.Minute)
		p.wants(idsOf(2, 10))
		if got := figures(t, p.reg)["auditstream_workos_poll_gaps_total"]; got != 1 {
			t.Errorf("%v gaps, want 1", got)
		}
		if p.logs.FilterMessageSnippet("may be lost").Len() != 1 {
			t.Error("the log does not say that Events may be lost")
		}
	})
}

func TestAQuietEnvironmentHasNoGaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPolling(t)
		p.happened(1, 5, 29*24*time.Hour)
		slowly := func(c *workos.PollConfig) { c.Interval = 20 * time.Minute }
		stop := p.start(slowly)
		time.Sleep(45 * 24 * time.Hour)
		stop()
		saves := p.shelf.saves
		if saves > 45*24+10 {
			t.Errorf("the cursor was saved %d times in 45 quiet days", saves)
		}
		time.Sleep(29 * 24 * time.Hour)
		p.happened(6, 7, time.Hour)
		defer p.start(slowly)()
		time.Sleep(time.Minute)
		p.wants(idsOf(1, 7))
		if got := figures(t, p.reg)["auditstream_workos_poll_gaps_total"]; got != 0 {
			t.Errorf("%v gaps, want none", got)
		}
	})
}

func TestABackfillOfNothingBeginsNowAndStaysThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPolling(t)
		p.happened(1, 5, time.Hour)
		now := func(c *workos.PollConfig) { c.Backfill = 0 }
		stop := p.start(now)
		time.Sleep(time.Second)
		stop()
		time.Sleep(30 * time.Minute)
		p.happened(6, 7, 10*time.Minute)
		defer p.start(now)()
		time.Sleep(time.Minute)
		p.wants(idsOf(6, 7))
	})
}

func TestRateLimitsAreHonoured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPolling(t)
		p.happened(1, 5, time.Hour)
		p.world.Wait(90 * time.Second)
		p.world.Fail(http.StatusTooManyRequests)
		defer p.start(nil)()
		time.Sleep(89 * time.Second)
		if n := p.world.Asked(); n != 1 {
			t.Errorf("asked %d times before the time that WorkOS has named", n)
		}
		time.Sleep(3 * time.Second)
		p.wants(idsOf(1, 5))
		if got := figures(t, p.reg)["auditstream_workos_poll_requests_total limited"]; got != 1 {
			t.Errorf("%v limited requests, want 1", got)
		}
	})
}

func TestFailuresAreTriedAgainWithGrowingPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPolling(t)
		p.happened(1, 5, time.Hour)
		p.world.Fail(500, 502, 503, 504, 429, 500)
		defer p.start(nil)()
		time.Sleep(3 * time.Minute)
		p.wants(idsOf(1, 5))
		if n := p.world.Asked(); n > 30 {
			t.Errorf("asked %d times in three minutes with six failures", n)
		}
	})
}

func TestARefusedKeyIsShownAndProbedSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPolling(t)
		p.happened(1, 5, time.Hour)
		p.world.Keys("sk_another")
		var key atomic.Value // read by the poller
		key.Store("sk_test")
		defer p.start(func(c *workos.PollConfig) {
			c.Key = func(context.Context) (string, error) {
				if key := key.Load().(string); key != "" {
					return key, nil
				}
				return "", errors.New("no such file")
			}
		})()
		time.Sleep(10 * time.Minute)
		if n := p.world.Asked(); n < 8 || n > 13 {
			t.Errorf("asked %d times in ten minutes, want about once a minute", n)
		}
		if got := figures(t, p.reg); got["auditstream_workos_poll_state invalid"] != 1 || got["auditstream_workos_poll_state active"] != 0 {
			t.Errorf("figures %v, want the state invalid", got)
		}
		for _, l := range p.logs.All() {
			if strings.Contains(fmt.Sprint(l.Message, l.ContextMap()), "sk_test") {
				t.Errorf("the log holds the key: %v", l)
			}
		}
		key.Store("")
		time.Sleep(5 * time.Minute)
		key.Store("sk_another")
		time.Sleep(2 * time.Minute)
		p.wants(idsOf(1, 5))
	})
}

func TestARequestThatIsRefusedIsShownWithWorkOSsWords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPolling(t)
		defer p.start(func(c *workos.PollConfig) { c.Events = nil })()
		time.Sleep(time.Minute)
		if p.logs.FilterLevelExact(zapcore.ErrorLevel).Len() == 0 || !strings.Contains(fmt.Sprint(p.logs.All()[len(p.logs.All())-1].ContextMap()), "events should not be empty") {
			t.Errorf("logged: %v", p.logs.All())
		}
	})
}

// A cursor that goes down a list would skip everything that happens from then on.
func TestAListInDescendingOrderIsNotFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPolling(t)
		p.happened(1, 5, time.Hour)
		defer p.start(func(c *workos.PollConfig) {
			c.Client = &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
				q := r.URL.Query()
				q.Set("order", "desc")
				r.URL.RawQuery = q.Encode()
				return p.world.RoundTrip(r)
			})}
		})()
		time.Sleep(time.Minute)
		p.wants(nil)
		if c := p.shelf.now(); c.After != "" {
			t.Errorf("the cursor is at %+v", c)
		}
	})
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// memory is what both doors share.
type memory struct{ ids map[string]bool }

func (m *memory) Claim(_ context.Context, e *schema.Event) (bool, func(bool), error) {
	return m.ids[e.ID], func(accepted bool) { m.ids[e.ID] = m.ids[e.ID] || accepted }, nil
}

func TestWebhookAndPollerGiveTheSameIDs(t *testing.T) {
	for name, once := range map[string]workos.Once{"without a memory": nil, "with one": &memory{map[string]bool{}}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPolling(t)
				in := newIntake(t, workos.IntakeConfig{Publisher: p.topic, Letters: p.topic, Once: once})
				h := newWebhook(t, p.topic, func(c *workos.WebhookConfig) { c.Intake = in })
				body := membership(t)
				if w := post(h, body, signed("new secret", time.Now(), body)); w.Code != http.StatusOK {
					t.Fatal(w.Code)
				}
				p.world.Happen(workostest.New(1, time.Now(), orgA))
				defer p.start(func(c *workos.PollConfig) { c.Intake = in })()
				time.Sleep(time.Minute)
				if once == nil {
					p.wants([]string{idOf(1), idOf(1)})
				} else {
					p.wants([]string{idOf(1)})
				}
			})
		})
	}
}

func TestOnlyTheOrganizationsThatAreWantedAreTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPolling(t)
		p.world.Happen(workostest.New(1, time.Now(), orgA), workostest.New(2, time.Now(), orgB))
		defer p.start(func(c *workos.PollConfig) {
			c.Intake = newIntake(t, workos.IntakeConfig{Publisher: p.topic, Letters: p.topic, Organizations: []string{orgB}})
		})()
		time.Sleep(time.Minute)
		p.wants([]string{idOf(2)})
	})
}

// Of a page some Events are taken and one is a letter; none holds the others up.
func TestABadEventDoesNotHoldThePollerUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPolling(t)
		p.happened(1, 3, time.Hour)
		bad := workostest.New(4, time.Now().Add(-30*time.Minute), "")
		p.world.Happen(bad)
		p.happened(5, 6, 10*time.Minute)
		defer p.start(nil)()
		time.Sleep(time.Minute)
		p.wants(append(idsOf(1, 3), idsOf(5, 6)...))
		if len(p.topic.letters) != 1 || p.topic.letters[0].ID != idOf(4) || p.topic.letters[0].Source != workos.SourceEvents {
			t.Errorf("letters %+v, want one about Event 4", p.topic.letters)
		}
	})
}
