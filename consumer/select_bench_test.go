package consumer

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/schema"
	"github.com/auditstream/auditstream/sinks"
)

// selecting is a partition with one stream of each sort, by name.
func selecting(tb testing.TB) (*partition, map[string]*stream) {
	tb.Helper()
	budget := NewBudget(256<<20, 0.5)
	metrics, err := NewMetrics(prometheus.NewRegistry(), MetricsConfig{Budget: budget})
	if err != nil {
		tb.Fatal(err)
	}
	spec := func(id string, change func(*Spec)) Spec {
		s := Spec{
			ID: id, UID: "str_" + id, Epoch: 1, BaseEpoch: 1, Revision: 1, State: SpecActive,
			OrganizationID: AllOrganizations, Kind: "test", Settings: []byte(`{}`), Start: StartBeginning,
		}
		change(&s)
		return s
	}
	filter := func(s *Spec) { s.Filter = `event.actor.type == "user" && event.action != "user.logout"` }
	g, err := New(Config{
		Kind: sinks.Kind{
			Name:     "test",
			Defaults: func() sinks.Settings { return &testSettings{sinks.Batching{MaxBytes: 1 << 20}} },
			Open:     func(sinks.Settings, sinks.Options) (sinks.Sink, error) { return lineSink{}, nil },
		},
		Specs: Specs{Streams: []Spec{
			spec("plain", func(*Spec) {}),
			spec("unchained", func(s *Spec) { s.Unchained = true }),
			spec("globs", func(s *Spec) { s.Actions = []string{"sso.*", "user.*"} }),
			spec("filter", filter),
			spec("mask", func(s *Spec) { s.Mask = []MaskRule{{Pointer: "/actor/name", With: schema.MaskReplace}} }),
			spec("both", func(s *Spec) {
				filter(s)
				s.Mask = []MaskRule{{Pointer: "/actor/name", With: schema.MaskDrop}}
			}),
		}},
		Budget: budget, Metrics: metrics, InFlight: NewSlots(SlotsConfig{Max: 1}), Log: zap.NewNop(),
	})
	if err != nil {
		tb.Fatal(err)
	}
	p, byID := g.newPartition(0, g.router, g.specs), map[string]*stream{}
	for _, s := range g.router.streams {
		byID[s.spec.ID] = s
	}
	return p, byID
}

// path is the way of a record through the streams that are named, up to their frames.
func path(tb testing.TB, p *partition, streams ...*stream) func() {
	tb.Helper()
	r := records(7, 7)[0]
	buffers := make([][]byte, len(streams))
	return func() {
		e, violations := p.check.check(r)
		if e == nil {
			tb.Fatal(violations)
		}
		p.found = p.router.match(e.OrganizationID, e.Action, p.found[:0])
		for i, s := range streams {
			pass, err := s.passes(&p.check)
			if err != nil || !pass {
				tb.Fatal(pass, err)
			}
			if buffers[i], err = s.frame(buffers[i][:0], e, &p.check, integrity.Head{}); err != nil {
				tb.Fatal(err)
			}
		}
	}
}

// A stream without filter and mask is passed through unparsed, whatever its neighbours have:
// no event is decoded for it, and nothing allocated.
func TestAStreamWithoutFilterPaysNothingForItsNeighbours(t *testing.T) {
	p, streams := selecting(t)
	for _, name := range []string{"plain", "globs"} {
		run := path(t, p, streams[name])
		run()
		if n := testing.AllocsPerRun(100, run); n != 0 {
			t.Errorf("%s: %v allocations an event", name, n)
		}
	}
	if n := testing.AllocsPerRun(100, path(t, p, streams["filter"])); n == 0 {
		t.Error("a filter costs nothing: what is measured here?")
	}
}

// Of several streams with filters the event is decoded for the first alone.
func BenchmarkSelect(b *testing.B) {
	p, streams := selecting(b)
	for _, c := range []struct {
		name  string
		these []*stream
	}{
		{"plain", []*stream{streams["plain"]}},
		{"action globs", []*stream{streams["globs"]}},
		{"filter", []*stream{streams["filter"]}},
		{"mask", []*stream{streams["mask"]}},
		{"filter and mask", []*stream{streams["both"]}},
		{"plain beside filter", []*stream{streams["plain"], streams["filter"]}},
		{"two filters", []*stream{streams["filter"], streams["filter"]}},
	} {
		b.Run(c.name, func(b *testing.B) {
			run := path(b, p, c.these...)
			b.ReportAllocs()
			b.SetBytes(int64(len(records(7, 7)[0].Value)))
			for b.Loop() {
				run()
			}
		})
	}
}
