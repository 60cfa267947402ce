package consumer

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/sinks"
)

const testOrganization = "org_AAAAAAAAAAAAAAAAAAAAAAAAAA"

// newTestPartition is a partition of one stream to a sink, without any Kafka.
func newTestPartition(tb testing.TB, sink sinks.Sink, batching sinks.Batching) *partition {
	tb.Helper()
	budget := NewBudget(1<<20, 0.5)
	metrics, err := NewMetrics(prometheus.NewRegistry(), MetricsConfig{Budget: budget})
	if err != nil {
		tb.Fatal(err)
	}
	g, err := New(Config{
		Kind: sinks.Kind{
			Name:     "test",
			Defaults: func() sinks.Settings { return &testSettings{batching} },
			Open:     func(sinks.Settings, sinks.Options) (sinks.Sink, error) { return sink, nil },
		},
		Specs: Specs{Streams: []Spec{{
			ID: "a", UID: "str_a", Epoch: 1, BaseEpoch: 1, Revision: 1, State: SpecActive,
			OrganizationID: AllOrganizations, Kind: "test", Settings: []byte(`{}`), Start: StartBeginning,
		}}},
		Budget: budget, Metrics: metrics, InFlight: NewSlots(SlotsConfig{Max: 1}), Log: zap.NewNop(),
	})
	if err != nil {
		tb.Fatal(err)
	}
	return g.newPartition(0, g.router, g.specs)
}

type testSettings struct{ batching sinks.Batching }

func (*testSettings) Validate() error            { return nil }
func (s *testSettings) Batching() sinks.Batching { return s.batching }

// lineSink frames lines and takes everything.
type lineSink struct{ delivered chan sinks.Batch }

func (lineSink) Frame(dst []byte, e *sinks.Event) ([]byte, error) {
	return append(append(dst, e.Value...), '\n'), nil
}

func (s lineSink) Deliver(_ context.Context, b *sinks.Batch) (sinks.Receipt, error) {
	kept := *b
	kept.Body, kept.Events = bytes.Clone(b.Body), append([]sinks.Entry(nil), b.Events...)
	s.delivered <- kept
	return sinks.Receipt{}, nil
}

func (lineSink) Close() error { return nil }

// records are canonical events at these offsets.
func records(day int, offsets ...int64) []*kgo.Record {
	var out []*kgo.Record
	for _, offset := range offsets {
		out = append(out, &kgo.Record{
			Offset: offset, Key: []byte(testOrganization), Timestamp: time.Date(2026, 11, day, 23, 59, 59, 0, time.UTC),
			Value:   fmt.Appendf(nil, `{"action":"user.login","actor":{"id":"u","type":"user"},"id":"audit_event_%026d","occurred_at":"2026-11-01T00:00:00Z","organization_id":%q,"targets":[]}`, offset, testOrganization),
			Headers: []kgo.RecordHeader{{Key: headerEncoding, Value: []byte(encodingJCS)}, {Key: headerVersion, Value: []byte(recordVersion)}},
		})
	}
	return out
}

func TestNoLaneComesIntoBeingInAPartitionThatStops(t *testing.T) {
	p := newTestPartition(t, lineSink{}, sinks.Batching{MaxBytes: 1 << 20, Linger: time.Hour})
	p.stop(0)
	if _, full := p.feed(records(1, 0, 1)); full != nil {
		t.Error("the dispatcher waits for a lane that will have no room any more")
	}
	if p.lanes[0] != nil || p.position.Load() != 0 {
		t.Errorf("lane %v, position %d; want none, and 0", p.lanes[0], p.position.Load())
	}
}

func TestARangeThatIsEmptyIsNoLoss(t *testing.T) {
	p := newTestPartition(t, lineSink{}, sinks.Batching{MaxBytes: 1 << 20})
	l := p.addLane(p.streams[0], 0, nil)
	l.lose(10, 20, "retention")
	l.lose(20, 20, "noticed twice")
	l.lose(25, 20, "noticed by someone who was slower")
	if l.counts.expired != 10 || len(l.gaps) != 1 || l.gaps[0].From != 10 || l.gaps[0].To != 20 {
		t.Errorf("expired %d, gaps %+v; want 10 and [10, 20)", l.counts.expired, l.gaps)
	}
}

func TestOfManyGapsTheNewestAreListedAndAllAreCounted(t *testing.T) {
	p := newTestPartition(t, lineSink{}, sinks.Batching{MaxBytes: 1 << 20})
	l := p.addLane(p.streams[0], 0, nil)
	for i := range int64(maxGaps + 5) {
		l.lose(10*i, 10*i+1, "retention")
	}
	if l.counts.expired != maxGaps+5 || len(l.gaps) != maxGaps || l.gaps[0].From != 50 {
		t.Errorf("expired %d, %d gaps from %d on; want %d, %d and 50", l.counts.expired, len(l.gaps), l.gaps[0].From, maxGaps+5, maxGaps)
	}
}

func TestAfterARewindTheCursorIsTheLowestOffsetThatIsQueued(t *testing.T) {
	p := newTestPartition(t, lineSink{}, sinks.Batching{MaxBytes: 1 << 20, Linger: time.Hour})
	p.feed(records(1, 100, 101))
	l := p.lanes[0]
	l.stopped = true // nothing is delivered while this looks on
	p.mu.Lock()
	p.rewind(60)
	p.mu.Unlock()
	l.stopped = false
	cursor := func() int64 {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.cursor()
	}
	if got := cursor(); got != 60 {
		t.Errorf("cursor %d, want 60: what Kafka takes there is not delivered", got)
	}
	l.mu.Lock()
	l.running = true // as if the old batch were under way
	l.mu.Unlock()
	p.feed(records(1, 60, 150))
	if got := cursor(); got != 60 {
		t.Errorf("cursor %d with 60 queued, want 60", got)
	}
	c := l.take()
	if len(c.events) != 2 || c.events[0].Offset != 100 {
		t.Fatalf("the first batch is %+v, want the two events from before", c.events)
	}
	if b := l.batch(c, 0, 2); b.Next <= 101 {
		t.Errorf("the batch says that it covers everything below %d, and holds 101", b.Next)
	}
	if got := cursor(); got != 60 {
		t.Errorf("cursor %d while the old batch is under way, want 60", got)
	}
	p.stop(0)
}

func TestBatchesAreCutAsTheDestinationWants(t *testing.T) {
	size := len(records(1, 0)[0].Value) + 1
	tests := map[string]struct {
		batching sinks.Batching
		records  []*kgo.Record
		want     [][]int64
	}{
		"by events":                    {sinks.Batching{MaxBytes: 1 << 20, MaxEvents: 2}, records(1, 0, 1, 2, 3), [][]int64{{0, 1}, {2, 3}}},
		"by bytes":                     {sinks.Batching{MaxBytes: 2*size + 1}, records(1, 0, 1, 2, 3), [][]int64{{0, 1}, {2, 3}}},
		"by bytes, to the last one":    {sinks.Batching{MaxBytes: 2 * size}, records(1, 0, 1, 2, 3), [][]int64{{0, 1}, {2, 3}}},
		"one event is never too large": {sinks.Batching{MaxBytes: 1}, records(1, 0, 1), [][]int64{{0}, {1}}},
		"by days":                      {sinks.Batching{MaxBytes: 1 << 20, Daily: true}, append(records(1, 0, 1), records(2, 2, 3)...), [][]int64{{0, 1}, {2, 3}}},
		"days only where asked for":    {sinks.Batching{MaxBytes: 1 << 20}, append(records(1, 0, 1), records(2, 2, 3)...), [][]int64{{0, 1, 2, 3}}},
		"days that step back":          {sinks.Batching{MaxBytes: 1 << 20, Daily: true}, append(records(2, 0, 1), records(1, 2, 3)...), [][]int64{{0, 1}, {2, 3}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			test.batching.Linger = time.Hour
			sink := lineSink{make(chan sinks.Batch)}
			p := newTestPartition(t, sink, test.batching)
			p.addLane(p.streams[0], 0, &progress{UID: "str_a", Epoch: 1, Revision: 1}).live = true
			done := make(chan struct{})
			go func() {
				defer close(done)
				for rest := test.records; len(rest) > 0; {
					n, full := p.feed(rest)
					rest = rest[n:]
					if full != nil {
						p.waitFor(full, time.Minute)
					}
				}
				p.flush()
			}()
			for i, want := range test.want {
				if i == len(test.want)-1 {
					select {
					case <-done:
					case <-time.After(time.Minute):
						t.Fatal("the last events are not taken")
					}
					p.flush()
				}
				select {
				case b := <-sink.delivered:
					var got []int64
					for i, e := range b.Events {
						got = append(got, e.Offset)
						if id := fmt.Sprintf("audit_event_%026d", e.Offset); !strings.Contains(string(b.Frame(i)), id) {
							t.Errorf("the frame of event %d is %q", e.Offset, b.Frame(i))
						}
					}
					if diff := cmp.Diff(want, got); diff != "" {
						t.Errorf("batch %d (-want +got):\n%s", i, diff)
					}
					if next := want[len(want)-1] + 1; b.Next < next || i+1 < len(test.want) && b.Next > test.want[i+1][0] {
						t.Errorf("batch %d says that it covers everything below %d", i, b.Next)
					}
				case <-time.After(time.Minute):
					t.Fatalf("batch %d does not come", i)
				}
			}
			p.stop(time.Minute)
			p.release()
			if used := p.g.cfg.Budget.Used(); used != 0 {
				t.Errorf("%d bytes of the budget are in use with nothing queued", used)
			}
		})
	}
}

func TestACanonicalValueIsOneLine(t *testing.T) {
	r := records(1, 7)[0]
	r.Value = bytes.Replace(r.Value, []byte(`,"actor"`), []byte(",\r\n\"actor\""), 1)
	var c checker
	e, violations := c.check(r)
	if e == nil {
		t.Fatal(violations)
	}
	if diff := cmp.Diff(string(records(1, 7)[0].Value), string(e.Value)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestASnapshotSaysWhatTheNextOwnerMustReadAgain(t *testing.T) {
	tests := map[string]struct {
		arrange func(p *partition)
		offset  int64
		floor   int64
		records int
	}{
		"nothing is queued": {func(p *partition) {
			p.position.Store(50)
		}, 50, 50, 0},
		"a live lane's queue holds the offset back": {func(p *partition) {
			p.feed(records(1, 40, 41))
			p.position.Store(50)
		}, 40, 40, 1},
		"a lane that was let go holds only the floor back": {func(p *partition) {
			p.feed(records(1, 40, 41))
			p.letGo(p.lanes[0])
			p.position.Store(50)
		}, 50, 40, 1},
		"a live lane without a queue stands at the position": {func(p *partition) {
			l := p.addLane(p.streams[0], 10, nil)
			l.next, l.live = 10, true
			p.position.Store(50)
		}, 50, 50, 1},
		"a lane that has no record yet gets one, wherever it stands": {func(p *partition) {
			p.behind[p.addLane(p.streams[0], 0, nil)] = struct{}{}
			p.position.Store(50)
		}, 50, 0, 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p := newTestPartition(t, lineSink{}, sinks.Batching{MaxBytes: 1 << 20, Linger: time.Hour})
			test.arrange(p)
			s := p.snapshot(false)
			if s.offset != test.offset || s.meta.Floor != test.floor || len(s.records) != test.records {
				t.Errorf("offset %d, floor %d, %d records; want %d, %d, %d", s.offset, s.meta.Floor, len(s.records), test.offset, test.floor, test.records)
			}
			p.stop(0)
		})
	}
}

func TestAPartitionThatWasGivenUpIsCommittedNoMore(t *testing.T) {
	p := newTestPartition(t, lineSink{}, sinks.Batching{MaxBytes: 1 << 20})
	p.lost.Store(true)
	// Neither progress nor offsets are written: the group has no Kafka to write them to.
	if err := p.g.commit(t.Context(), []*partition{p}); err != nil {
		t.Error(err)
	}
}
