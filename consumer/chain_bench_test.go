package consumer

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/sinks"
)

// usual is a record of the size that services publish, about 600 bytes.
func usual() *kgo.Record {
	r := records(7, 7)[0]
	r.Value = fmt.Appendf(nil, `{"action":"sso.delete_connection","actor":{"id":"user_01JGXYZ123","metadata":{"email":"alice@example.com","first_name":"Alice","last_name":"Johnson"},"name":"Alice Johnson","type":"user"},"context":{"location":"192.0.2.1","user_agent":"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)"},"id":"audit_event_01JGXYZ0000000000000000000","metadata":{"source":"/organizations/sso"},"occurred_at":"2026-01-15T14:30:00.000Z","organization_id":%q,"targets":[{"id":"conn_01JGXYZ789","metadata":{"connection_type":"GoogleSAML"},"name":"GoogleSAML Connection","type":"sso_connection"}],"version":1}`, testOrganization)
	return r
}

// passing is the way of events through a lane: checked, queued, taken by the destination and
// settled. Each call is one event.
func passing(tb testing.TB, stream string) func() {
	tb.Helper()
	p, streams := selecting(tb)
	p.mu.Lock()
	l := p.addLane(streams[stream], 0, nil)
	p.mu.Unlock()
	l.beginChain(0, nil, "", nil)
	l.live, l.running = true, true // it is this test that delivers
	r := usual()
	offset := int64(0)
	return func() {
		r.Offset = offset
		e, violations := p.check.check(r)
		if e == nil {
			tb.Fatal(violations)
		}
		for !l.offer(e, &p.check) {
			c := l.take()
			if c == nil {
				tb.Fatal("the lane has neither room nor anything to send")
			}
			l.settle(len(c.events), fateDelivered, "")
		}
		offset++
	}
}

// What a chain costs an event beside all else is the difference.
func BenchmarkChain(b *testing.B) {
	for name, stream := range map[string]string{"without": "unchained", "with": "plain"} {
		b.Run(name, func(b *testing.B) {
			run := passing(b, stream)
			b.ReportAllocs()
			for b.Loop() {
				run()
			}
		})
	}
}

// How long a settled batch of 1,500 events keeps the lane's lock, for which whoever reads waits,
// where the hashes of the tree are made with it, and where they were made before.
func BenchmarkFold(b *testing.B) {
	head := integrity.Begin("origin")
	links := make([]integrity.Link, 1500)
	for i := range links {
		links[i] = head.Link(integrity.Digest([]byte{byte(i), byte(i >> 8)}))
		head = links[i].Head()
	}
	one := &chain{}
	for name, span := range map[string]integrity.Span{"inside": {}, "outside": integrity.SpanOf(links)} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				l := lane{chains: []*chain{one}}
				l.fold(&run{n: len(links), chain: one, links: links, span: span})
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(links)), "ns/event")
		})
	}
	b.Run("made before", func(b *testing.B) {
		for b.Loop() {
			integrity.SpanOf(links)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(links)), "ns/event")
	})
}

// TestChainingAllocatesNothing has chained events allocate no more than others do: what a batch
// needs, and nothing for each event.
func TestChainingAllocatesNothing(t *testing.T) {
	for _, stream := range []string{"unchained", "plain"} {
		run := passing(t, stream)
		for range 20_000 { // until memory is used again
			run()
		}
		if n := testing.AllocsPerRun(10_000, run); n >= 1 {
			t.Errorf("%s: %v allocations an event", stream, n)
		}
	}
}

// TestEventIsHashedOnceForAllItsStreams counts on the checker to know what it has hashed.
func TestEventIsHashedOnceForAllItsStreams(t *testing.T) {
	var c checker
	for offset := range int64(2) {
		r := records(7, 7)[0]
		r.Offset = offset
		if offset == 1 {
			r.Value = append(r.Value[:len(r.Value)-1:len(r.Value)-1], `,"zz":1}`...)
		}
		e, violations := c.check(r)
		if e == nil {
			t.Fatal(violations)
		}
		want := digest(&sinks.Event{Value: r.Value})
		for range 2 {
			if c.digest() != want {
				t.Errorf("event %d has another digest than its bytes", offset)
			}
		}
	}
}
