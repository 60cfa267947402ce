package producer_test

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/auditstream/auditstream/producer"
	"github.com/auditstream/auditstream/schema"
	"github.com/google/go-cmp/cmp"
)

// The format of an event's record is final: what this test compares with may never change.
func TestRecordFormat(t *testing.T) {
	t.Parallel()
	k := startKafka(t)
	p := newProducer(t, to(k))
	version := 2
	e := &schema.Event{
		ID:             "audit_event_01JAAAAAAAAAAAAAAAAAAAAAAA",
		OrganizationID: "org_01JAAAAAAAAAAAAAAAAAAAAAAA",
		Action:         "sso.delete_connection",
		Version:        &version,
		OccurredAt:     "2026-11-22T10:00:00.5+01:00",
		Actor:          schema.Actor{Type: "user", ID: "user_1", Name: "Zoë", Metadata: map[string]any{"z": true, "a": 1.50}},
		Targets:        []schema.Target{{Type: "connection", ID: "conn_1"}},
		Context:        &schema.Context{UserAgent: "curl/8", Location: "192.0.2.1"},
	}
	before := time.Now().Truncate(time.Millisecond)
	if err := p.Publish(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	after := time.Now()
	r := records(t, k)[0]
	type record struct {
		Key, Value string
		Headers    [][2]string
	}
	got := record{Key: string(r.Key), Value: string(r.Value)}
	for _, h := range r.Headers {
		got.Headers = append(got.Headers, [2]string{h.Key, string(h.Value)})
	}
	want := record{
		Key: "org_01JAAAAAAAAAAAAAAAAAAAAAAA",
		Value: `{"action":"sso.delete_connection","actor":{"id":"user_1","metadata":{"a":1.5,"z":true},"name":"Zoë","type":"user"},` +
			`"context":{"location":"192.0.2.1","user_agent":"curl/8"},"id":"audit_event_01JAAAAAAAAAAAAAAAAAAAAAAA",` +
			`"occurred_at":"2026-11-22T10:00:00.5+01:00","organization_id":"org_01JAAAAAAAAAAAAAAAAAAAAAAA",` +
			`"targets":[{"id":"conn_1","type":"connection"}],"version":2}`,
		Headers: [][2]string{{"version", "1"}, {"encoding", "jcs"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if r.Timestamp.Before(before) || r.Timestamp.After(after) {
		t.Errorf("timestamp %s is not between %s and %s", r.Timestamp, before, after)
	}
	if codec := r.Attrs.CompressionType(); codec != 4 { // zstd in the Kafka protocol
		t.Errorf("compression %d, want 4 (zstd)", codec)
	}
}

func TestPartitionIsMurmur2OfTheOrganization(t *testing.T) {
	t.Parallel()
	k := startKafka(t)
	p := newProducer(t, to(k))
	want := map[string]int32{}
	used := map[int32]bool{}
	var events []*schema.Event
	for i := range 100 {
		e := event(i)
		events = append(events, e)
		want[e.OrganizationID] = murmur2([]byte(e.OrganizationID)) & 0x7fffffff % partitions
		used[want[e.OrganizationID]] = true
	}
	if len(used) != partitions {
		t.Fatalf("the test's keys fall on %d of %d partitions only", len(used), partitions)
	}
	if err := p.Publish(t.Context(), events...); err != nil {
		t.Fatal(err)
	}
	got := map[string]int32{}
	for _, r := range records(t, k) {
		got[string(r.Key)] = r.Partition
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// murmur2 is the hash of org.apache.kafka.common.utils.Utils, seed 0x9747b28c, written
// after its definition.
func murmur2(data []byte) int32 {
	const m = 0x5bd1e995
	h := uint32(0x9747b28c) ^ uint32(len(data))
	for ; len(data) >= 4; data = data[4:] {
		w := binary.LittleEndian.Uint32(data) * m
		h = h*m ^ (w^w>>24)*m
	}
	for i, b := range slices.Backward(data) {
		h ^= uint32(b) << (8 * i)
		if i == 0 {
			h *= m
		}
	}
	h = (h ^ h>>13) * m
	return int32(h ^ h>>15)
}

func TestMurmur2OfTheTest(t *testing.T) {
	t.Parallel()
	// Values of Kafka's own unit test, UtilsTest.testMurmur2.
	for text, want := range map[string]int32{
		"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536,
		"a-little-bit-longer-string": -1486304829, "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971, "abc": 479470107,
	} {
		if got := murmur2([]byte(text)); got != want {
			t.Errorf("%q: got %d, want %d", text, got, want)
		}
	}
}

func TestIDs(t *testing.T) {
	t.Parallel()
	k := startKafka(t)
	p := newProducer(t, to(k))
	with, without := event(1), event(1)
	with.ID = "audit_event_01JAAAAAAAAAAAAAAAAAAAAAAA"
	for range 2 { // the second time is a retry: the event keeps its id
		if err := p.Publish(t.Context(), with, without); err != nil {
			t.Fatal(err)
		}
	}
	if without.ID == "" || without.ID == with.ID {
		t.Fatalf("the event without id got %q", without.ID)
	}
	if diff := cmp.Diff([]string{with.ID, without.ID, with.ID, without.ID}, ids(t, k)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestOrderOfAnOrganization(t *testing.T) {
	t.Parallel()
	k := startKafka(t)
	p := newProducer(t, to(k))
	var want []string
	for i := range 500 {
		e := numbered(i)
		want = append(want, e.ID)
		p.PublishAsync(t.Context(), e, func(err error) {
			if err != nil {
				t.Errorf("event %d: %v", i, err)
			}
		})
	}
	if err := p.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, ids(t, k)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func ExampleTooLargeError() {
	fmt.Println(&producer.TooLargeError{Size: 1200000, Limit: 1048588, Topic: "audit.events"})
	// Output: the event takes 1200000 bytes in Kafka, topic audit.events allows 1048588 (max.message.bytes); shorten its metadata
}
