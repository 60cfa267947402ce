package sinktest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/auditstream/auditstream/sinks"
)

// batch is a batch and the values that its frames were made of.
type batch struct {
	sinks.Batch
	values [][]byte
}

// rest is what a Deliver that returned receipt has left of b.
func (b *batch) rest(receipt sinks.Receipt) *batch {
	n := receipt.Settled
	if n == len(b.Events) {
		return &batch{}
	}
	s := &batch{Batch: *b.Slice(n, len(b.Events)), values: b.values[n:]}
	if receipt.Mark != "" {
		s.Mark = receipt.Mark
	}
	return s
}

// lane is the lane with number i; the lanes of a stream differ in their partition.
func lane(i int) sinks.Lane {
	return sinks.Lane{
		Stream: "acme-audit", UID: "01JDAAAAAAAAAAAAAAAAAAAAAA", Epoch: 1, Revision: 1,
		Cluster: "k1", Topic: "audit.events", TopicID: "Zm9vYmFyYmF6cXV4MTIzNA",
		Partition: int32(i),
	}
}

// appendTime is the append time of the record at offset: all are of one UTC day.
func appendTime(offset int64) time.Time {
	return time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC).Add(time.Duration(offset) * time.Millisecond)
}

// event is the event at offset in the lane with number l. Its value is canonical JSON.
func event(l int, offset int64) *sinks.Event {
	return makeEvent(l, offset, "user.created", "2026-11-20T09:59:58.123Z", "Ada")
}

func makeEvent(l int, offset int64, action, occurredAt, name string) *sinks.Event {
	id := fmt.Sprintf("audit_event_%02d%024d", l, offset)
	org := fmt.Sprintf("org_01JAAAAAAAAAAAAAAAAAAAAA%02d", l)
	var value bytes.Buffer
	enc := json.NewEncoder(&value)
	enc.SetEscapeHTML(false)
	err := enc.Encode(map[string]any{
		"action": action, "id": id, "occurred_at": occurredAt, "organization_id": org, "version": 1,
		"actor":   map[string]any{"id": "user_01", "type": "user", "name": name},
		"targets": []any{map[string]any{"id": "team_01", "type": "team"}},
		"context": map[string]any{"location": "203.0.113.7", "user_agent": "curl/8.9"},
	})
	if err != nil {
		panic(err) // strings and numbers always encode
	}
	return &sinks.Event{
		Value: bytes.TrimSuffix(value.Bytes(), []byte("\n")),
		ID:    []byte(id), OrganizationID: []byte(org), Action: []byte(action), OccurredAt: []byte(occurredAt),
		Offset: offset, Time: appendTime(offset),
	}
}

// oddEvents are events whose text tries to break out of whatever it is put into.
func oddEvents(l int) []*sinks.Event {
	odd := []struct{ action, occurredAt, name string }{
		{"user.created", "2026-11-20T09:59:58Z", `quote " backslash \ slash /`},
		{"user.created", "2026-11-20T09:59:58.123456789+05:30", "line\nfeed\r\ttab\x00nul"},
		{"user.created", "2026-11-20T09:59:58.1-00:30", "</script><b>&amp;"},
		{"user.created", "2026-11-20T09:59:58.5Z", "\u2028\u2029 \U0001f512 é"},
		{`","event":{},"x":"`, "2026-11-20T09:59:58Z", `"}{"event":"forged"}`},
		{"a,b:c\nd", "not a time", "an action with a comma, and no time"},
		{"user.created", "", "no time at all"},
		{"user.created", "0001-01-01T00:00:00Z", "long ago"},
	}
	events := make([]*sinks.Event, len(odd))
	for i, o := range odd {
		events[i] = makeEvent(l, int64(i), o.action, o.occurredAt, o.name)
	}
	return events
}

// newBatch frames n events of the lane with number l, from offset first on.
func (r *rig) newBatch(t *testing.T, l int, first int64, n int) *batch {
	t.Helper()
	events := make([]*sinks.Event, n)
	for i := range events {
		events[i] = event(l, first+int64(i))
	}
	return r.batchOf(t, l, events)
}

func (r *rig) batchOf(t *testing.T, l int, events []*sinks.Event) *batch {
	t.Helper()
	b := &batch{Batch: sinks.Batch{Lane: lane(l)}}
	for i, e := range events {
		var err error
		if b.Body, err = r.sink.Frame(b.Body, e); err != nil {
			t.Fatalf("Frame of event %d: %v", i, err)
		}
		b.Events = append(b.Events, sinks.Entry{
			Offset: e.Offset, End: len(b.Body), Day: int32(e.Time.Unix() / 86400),
		})
		b.values = append(b.values, e.Value)
		b.Next = e.Offset + 1
	}
	return b
}

// largeEvent is an event with a value of at least size bytes.
func largeEvent(size int) *sinks.Event {
	return makeEvent(0, 0, "user.created", "2026-11-20T09:59:58Z", strings.Repeat("x", size))
}
