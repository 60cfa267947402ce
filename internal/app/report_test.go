package app

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/consumer/deadletter"
)

// report waits until a stream's report has as many events delivered as it should.
func (s *site) report(o *Operator, id string, q admin.ReportQuery, want admin.ReportCounts) *admin.Report {
	s.t.Helper()
	var got *admin.Report
	eventually(s.t, fmt.Sprintf("the report of %s to be %+v", id, want), func() bool {
		var err error
		if got, err = o.Report(s.t.Context(), id, q); err != nil {
			s.t.Fatal(err)
		}
		return got.Total == want
	})
	return got
}

const reportedStreams = `
streams:
  - {id: all, organization_id: "*", start: beginning, SPLUNK}
  - {id: one, organization_id: org_00000000000000000000000001, start: beginning, SPLUNK}
  - {id: none, organization_id: "*", start: beginning, filter: 'event.actor.id == "nobody"', SPLUNK}
  - {id: teams, organization_id: "*", start: beginning, actions: ["team.*"], SPLUNK}
  - {id: undecided, organization_id: org_00000000000000000000000001, start: beginning, filter: 'event.metadata.level > 2', SPLUNK}
  - {id: held, organization_id: "*", start: beginning, paused: true, SPLUNK}
  - {id: late, organization_id: "*", start: "2100-01-01T00:00:00Z", SPLUNK}
`

func TestAReportPutsEveryEventWhereItIs(t *testing.T) {
	s := newSite(t)
	s.there()
	cfg := s.config(reportedStreams)
	run(t, Delivery{Config: cfg}).logged("partition taken")
	s.publish(0)
	s.put("org_00000000000000000000000001", "no event")
	o := s.operator(cfg)
	for id, want := range map[string]admin.ReportCounts{
		"all":       {Accepted: 30, Delivered: 30, Invalid: 1},
		"one":       {Accepted: 5, Delivered: 5, Invalid: 1},
		"undecided": {Accepted: 5, DeadLettered: 5, Invalid: 1},
		"none":      {Accepted: 30, Filtered: 30, Invalid: 1},
		"teams":     {Accepted: 30, Filtered: 30, Invalid: 1},
		"held":      {Accepted: 30, Pending: 30, Invalid: 1},
		"late":      {},
	} {
		r := s.report(o, id, admin.ReportQuery{}, want)
		if r.Verdict != admin.ReportAddsUp || len(r.Why) != 0 {
			t.Errorf("%s: %s: %v", id, r.Verdict, r.Why)
		}
		var hours admin.ReportCounts
		for _, h := range r.Hours {
			hours.Add(h.ReportCounts)
		}
		if hours != r.Total {
			t.Errorf("%s: the hours have %+v, all together %+v", id, hours, r.Total)
		}
	}

	// What is redriven later is dead-lettered still, and known for what it is.
	s.decide(o, "undecided", deadletter.Discarded, deadletter.Redriven, deadletter.Redriven)
	s.report(o, "undecided", admin.ReportQuery{}, admin.ReportCounts{Accepted: 5, DeadLettered: 5, Redriven: 2, Invalid: 1})

	// What was passed over is named.
	done, err := o.Move(t.Context(), "held", Target{Now: true}, Deed{By: "ops", Reason: "load test"})
	if err != nil {
		t.Fatal(err)
	}
	s.inForce(o, done)
	r := s.report(o, "held", admin.ReportQuery{}, admin.ReportCounts{Accepted: 30, PassedOver: 30, Invalid: 1})
	if r.Verdict != admin.ReportAddsUp || len(r.Gaps) == 0 || r.Gaps[0].By != "ops" {
		t.Errorf("%s: %+v", r.Verdict, r.Gaps)
	}
}

// decide marks as many letters of a stream.
func (s *site) decide(o *Operator, stream string, states ...deadletter.State) {
	s.t.Helper()
	topic, err := deadletter.Connect(deadletter.Config{Kafka: o.opts, Topic: o.topics.DeadLetters()})
	if err != nil {
		s.t.Fatal(err)
	}
	defer topic.Close()
	listing, err := topic.List(s.t.Context(), deadletter.Query{Stream: stream, Limit: len(states)})
	if err != nil {
		s.t.Fatal(err)
	}
	for i, state := range states {
		if err := topic.Mark(s.t.Context(), state, "test", &listing.Letters[i].Letter); err != nil {
			s.t.Fatal(err)
		}
	}
}

func TestAReportIsAboutTheTimeThatWasAskedFor(t *testing.T) {
	s := newSite(t)
	s.there()
	cfg := s.config(oneStream)
	run(t, Delivery{Config: cfg}).logged("partition taken")
	o := s.operator(cfg)
	s.publish(0)
	s.delivered(30)
	var between time.Time
	eventually(t, "the clock to go on", func() bool {
		r, err := o.Report(t.Context(), "everything", admin.ReportQuery{})
		if err != nil {
			t.Fatal(err)
		}
		between = time.Now().Truncate(time.Millisecond).Add(2 * time.Millisecond)
		return r.Total.Delivered == 30
	})
	eventually(t, "the clock to go on", func() bool { return time.Now().After(between) })
	s.publish(30)
	s.delivered(60)
	s.report(o, "everything", admin.ReportQuery{From: between}, admin.ReportCounts{Accepted: 30, Delivered: 30})
	s.report(o, "everything", admin.ReportQuery{To: between}, admin.ReportCounts{Accepted: 30, Delivered: 30})
	s.report(o, "everything", admin.ReportQuery{From: between.Add(-time.Hour), To: between.Add(time.Hour)}, admin.ReportCounts{Accepted: 60, Delivered: 60})
	for _, q := range []admin.ReportQuery{{From: between, To: between}, {From: time.Now().Add(time.Hour)}} {
		if _, err := o.Report(t.Context(), "everything", q); !errors.Is(err, admin.CodeInvalid.Err()) {
			t.Errorf("%+v: %v", q, err)
		}
	}
	if _, err := o.Report(t.Context(), "nothing", admin.ReportQuery{}); !is[*NoStreamError](err) {
		t.Errorf("%v", err)
	}
}

// part is a partition that was read from offset 0 on, in which each offset has an event of the
// feed; all below 100 are settled.
func part(letters ...int64) *reportPart {
	p := &reportPart{number: 2, to: 200, lane: consumer.LaneStatus{Partition: 2, Cursor: 100}, tally: newReportTally(hours{n: 1})}
	for _, offset := range letters {
		p.letters.add(offset)
	}
	return p
}

// count reads the partition.
func (p *reportPart) count() {
	for offset := p.from; offset < p.to; offset++ {
		p.passes(offset)
		p.tally.matched++
		if p.letters.has(offset) {
			p.tally.lettered++
		}
		if offset < p.lane.Cursor {
			p.tally.settled++
		}
	}
	p.passes(p.to)
}

func TestTheNumbersOfAFeedAreHeldAgainstTheTopic(t *testing.T) {
	mark := func(offset, size int64) *feedMark {
		return &feedMark{origin: "a", begin: 10, offset: offset, size: size, signed: true, dead: -1}
	}
	former := func(offset, size int64) *feedMark {
		m := mark(offset, size)
		m.origin, m.begin, m.former = "former", 0, true
		return m
	}
	dead := func(m *feedMark, n int64) *feedMark {
		m.dead = n
		return m
	}
	for _, tt := range []struct {
		name    string
		marks   []*feedMark
		letters []int64
		from    int64
		taken   bool
		want    admin.ReportFeed
		missing int
	}{
		{name: "none", want: admin.ReportFeed{Open: 100}},
		{name: "as many numbers as events", marks: []*feedMark{mark(40, 30), mark(60, 50)}, want: admin.ReportFeed{Spans: 2, Signed: 2, Events: 50, Numbers: 50, Open: 50}},
		{name: "a number more", marks: []*feedMark{mark(40, 30), mark(60, 51)}, want: admin.ReportFeed{
			Spans: 2, Signed: 2, Events: 50, Numbers: 51, Open: 50,
			Differ: []admin.ReportSpan{{Partition: 2, Origin: "a", From: 40, To: 60, First: 31, Last: 51, Events: 20, Signed: true}},
		}},
		{name: "a chain that goes back", marks: []*feedMark{mark(40, 30), mark(60, 20)}, want: admin.ReportFeed{
			Spans: 2, Signed: 2, Events: 50, Numbers: 20, Open: 50,
			Differ: []admin.ReportSpan{{Partition: 2, Origin: "a", From: 40, To: 60, First: 31, Last: 20, Events: 20, Signed: true}},
		}},
		{name: "two sizes at one offset", marks: []*feedMark{mark(40, 30), mark(40, 31)}, want: admin.ReportFeed{
			Spans: 2, Signed: 2, Events: 30, Numbers: 31, Open: 70,
			Differ: []admin.ReportSpan{{Partition: 2, Origin: "a", From: 40, To: 40, First: 31, Last: 31, Signed: true}},
		}},
		{name: "only between places that were read", from: 30, marks: []*feedMark{mark(20, 999), mark(40, 30), mark(60, 50), mark(300, 9)}, want: admin.ReportFeed{Spans: 1, Signed: 1, Events: 20, Numbers: 20, Open: 50}},
		{name: "by rules that are not known any more", marks: []*feedMark{former(10, 3), mark(40, 30)}, want: admin.ReportFeed{Spans: 1, Signed: 1, Events: 30, Numbers: 30, Open: 70, Changed: 1}},
		{name: "by former rules that were the same", marks: []*feedMark{former(10, 10), mark(40, 30)}, want: admin.ReportFeed{Spans: 2, Signed: 2, Events: 40, Numbers: 40, Open: 60}},
		{name: "while retention took some", taken: true, marks: []*feedMark{mark(40, 33)}, want: admin.ReportFeed{Open: 100}},
		{name: "letters that are there", letters: []int64{12, 13}, marks: []*feedMark{dead(mark(40, 30), 2)}, want: admin.ReportFeed{Spans: 1, Signed: 1, Events: 30, Numbers: 30, Open: 70}},
		{name: "a letter that is not", letters: []int64{12, 50}, marks: []*feedMark{dead(mark(40, 30), 2)}, want: admin.ReportFeed{Spans: 1, Signed: 1, Events: 30, Numbers: 30, Open: 70}, missing: 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := part(tt.letters...)
			p.from = tt.from
			p.marks(tt.marks)
			p.count()
			p.tally.taken = tt.taken
			got := p.held()
			if diff := cmp.Diff(tt.want, got.ReportFeed); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if len(got.missing) != tt.missing {
				t.Errorf("missing letters: %q", got.missing)
			}
		})
	}
}

func TestFatesOfAReport(t *testing.T) {
	p := part(5, 120)
	p.start = 40
	p.lane.Gaps = []consumer.Gap{
		{From: 10, To: 20, Reason: "expired"},
		{From: 20, To: 30, Reason: "moved", By: "ops"},
		{From: 50, To: 60, Reason: goneTopicText},
	}
	for offset, want := range map[int64]admin.ReportCounts{
		5: {DeadLettered: 1}, 6: {Unknown: 1}, 10: {Lost: 1}, 19: {Lost: 1}, 20: {PassedOver: 1}, 30: {Unknown: 1},
		40: {Delivered: 1}, 55: {Delivered: 1}, 99: {Delivered: 1}, 100: {Pending: 1}, 120: {DeadLettered: 1},
	} {
		var got admin.ReportCounts
		*p.fate(&got, offset, p.letters.has(offset))++
		if got != want {
			t.Errorf("offset %d: %+v, want %+v", offset, got, want)
		}
	}
}

// goneTopicText begins as the reason of a gap does whose offsets are those of another topic.
const goneTopicText = "the events topic was made anew: what the former one had from here on, and was not delivered, is gone; the offsets are those of topic x"

func TestAReportNamesWhatHasExpired(t *testing.T) {
	s := newSite(t)
	s.there()
	cfg := s.config(oneStream)
	p := run(t, Delivery{Config: cfg})
	p.logged("partition taken")
	s.publish(0)
	s.delivered(30)
	o := s.operator(cfg)
	before := s.report(o, "everything", admin.ReportQuery{}, admin.ReportCounts{Accepted: 30, Delivered: 30})
	var gone kadm.Offsets
	gone.AddOffset("audit.events", before.Partitions[fullest(before)].Partition, 5, -1)
	if _, err := kadm.NewClient(o.client).DeleteRecords(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	r, err := o.Report(t.Context(), "everything", admin.ReportQuery{From: time.Now().Add(-time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	if r.Verdict != admin.ReportIncomplete || len(r.Expired) == 0 || !strings.Contains(strings.Join(r.Why, " "), "has expired: Kafka begins at offset 5") {
		t.Errorf("%s: %v %+v", r.Verdict, r.Why, r.Expired)
	}
	// Without a time that reaches further, what there is adds up.
	if r, err = o.Report(t.Context(), "everything", admin.ReportQuery{}); err != nil || r.Verdict != admin.ReportAddsUp || r.Total.Accepted >= 30 {
		t.Errorf("%+v, %v", r, err)
	}
}

// fullest is where most events are.
func fullest(r *admin.Report) int {
	most := 0
	for i, p := range r.Partitions {
		if p.To > r.Partitions[most].To {
			most = i
		}
	}
	return most
}

func TestTheHoursOfAReportAreBounded(t *testing.T) {
	to := time.Date(2026, 11, 22, 10, 30, 0, 0, time.UTC)
	for _, tt := range []struct {
		from  time.Time
		n     int
		first time.Time
	}{
		{to.Add(-time.Minute), 1, to.Truncate(time.Hour)},
		{to.Add(-time.Hour), 2, to.Add(-90 * time.Minute)},
		{to.AddDate(-50, 0, 0), maxReportHours, to.Truncate(time.Hour).Add(-(maxReportHours - 1) * time.Hour)},
		{to, 1, to.Truncate(time.Hour)},
	} {
		h := hoursOf(tt.from, to)
		if h.n != tt.n || !h.first.Equal(tt.first) {
			t.Errorf("from %s: %d hours from %s", tt.from, h.n, h.first)
		}
		if h.of(to.AddDate(9, 0, 0)) != h.n-1 || h.of(time.Time{}) != 0 || h.of(to.Add(-time.Millisecond)) != h.n-1 {
			t.Errorf("from %s: times are put into hours that there are not", tt.from)
		}
	}
}
