package app

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/internal/seal"
)

// streamRecords are the records of the streams topic as they are.
func (s *site) streamRecords() []*kgo.Record {
	s.t.Helper()
	var records []*kgo.Record
	reader := &kafka.Reader{Client: s.client()}
	if _, err := reader.ReadToEnd(s.t.Context(), "audit.streams", 0, func(r *kgo.Record) { records = append(records, r) }); err != nil {
		s.t.Fatal(err)
	}
	return records
}

// smuggle writes a record to the streams topic past everything that writes there.
func (s *site) smuggle(r *kgo.Record) {
	s.t.Helper()
	r.Topic, r.Partition = "audit.streams", 0
	if err := s.client().ProduceSync(s.t.Context(), r).FirstErr(); err != nil {
		s.t.Fatal(err)
	}
}

func TestABadRecordLeavesTheFormerSpecInForce(t *testing.T) {
	s := newSite(t)
	s.there()
	cfg := s.keyed(oneStream, "one")
	p := run(t, Delivery{Config: cfg})
	p.logged("partition taken")
	c := s.control(cfg)
	if _, err := c.CreateStream(t.Context(), s.draft("acme", withToken), admin.Change{By: "ops"}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.UpdateStream(t.Context(), "acme", s.draft("acme", `"index": "audit", `+withToken), admin.Change{By: "ops"}); err != nil {
		t.Fatal(err)
	}
	records := s.streamRecords()
	old := records[slices.IndexFunc(records, func(r *kgo.Record) bool { return string(r.Key) == "acme" })]
	now, err := c.Stream(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		record *kgo.Record
		why    string
	}{
		"unsigned":    {&kgo.Record{Key: []byte("acme"), Value: slices.Clone(old.Value)}, "not signed"},
		"changed":     {&kgo.Record{Key: []byte("acme"), Value: []byte(strings.Replace(string(old.Value), "active", "paused", 1)), Headers: old.Headers}, "not that of what it says"},
		"no spec":     {&kgo.Record{Key: []byte("acme"), Value: []byte("{"), Headers: old.Headers}, "not that of what it says"},
		"a tombstone": {&kgo.Record{Key: []byte("acme")}, "not signed"},
		"an old one":  {&kgo.Record{Key: old.Key, Value: old.Value, Headers: old.Headers}, "an old record again"},
	} {
		s.smuggle(test.record)
		eventually(t, name+" to be noticed", func() bool {
			st, err := c.Stream(t.Context(), "acme")
			return err == nil && strings.Contains(st.BadRecord, test.why) && st.Version == now.Version && st.State == consumer.StateActive
		})
	}
	p.logged("records of streams have no effect")
	eventually(t, "the metric", func() bool {
		_, page := p.get("/metrics")
		return strings.Contains(page, "auditstream_streams_bad_records 1\n")
	})
	s.publish(0)
	eventually(t, "both streams", func() bool { return len(s.splunk.Events()) == 60 })

	// The next change mends it.
	after, err := c.PauseStream(t.Context(), "acme", admin.Change{By: "ops", If: now.Version})
	if err != nil || after.BadRecord != "" || after.Revision != now.Revision+1 {
		t.Errorf("%+v, %v", after, err)
	}
	eventually(t, "the metric", func() bool {
		_, page := p.get("/metrics")
		return strings.Contains(page, "auditstream_streams_bad_records 0\n")
	})
}

// After a start, a compacted topic may no longer have what was before a bad record.
func TestAStreamOfWhichOnlyABadRecordIsLeftIsHeldAndTheOthersGoOn(t *testing.T) {
	s := newSite(t)
	s.there()
	unsigned := s.keyed(oneStream)
	p := run(t, Delivery{Config: unsigned}) // without keys
	p.logged("partition taken")
	s.publish(0)
	s.delivered(30)
	p.end()

	cfg := s.keyed(oneStream, "one")
	p = run(t, Delivery{Config: cfg})
	p.logged("a stream of the file is not delivered")
	c := s.control(cfg)
	held, err := c.Stream(t.Context(), "everything")
	if err != nil || held.State != consumer.StateInvalid || !strings.Contains(held.Error, "not signed") {
		t.Fatalf("%+v, %v", held, err)
	}
	if _, err := c.PauseStream(t.Context(), "everything", admin.Change{By: "ops"}); !errors.Is(err, admin.CodeConflict.Err()) {
		t.Errorf("a held stream is changed: %v", err)
	}
	if _, err := c.CreateStream(t.Context(), s.draft("other", withToken), admin.Change{By: "ops"}); err != nil {
		t.Fatal(err)
	}
	s.publish(30)
	s.delivered(60) // by the other one
	eventually(t, "the other stream's share", func() bool { return len(s.splunk.Events()) == 90 })

	// Signed, it goes on from its cursor: what came meanwhile is not lost, and nothing repeated.
	if n, err := s.operator(cfg).Adopt(t.Context()); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	eventually(t, "the held stream's share", func() bool { return len(s.splunk.Events()) == 120 })
	st, err := c.Stream(t.Context(), "everything")
	if err != nil || st.Revision != 1 || st.State != consumer.StateActive {
		t.Errorf("%+v, %v", st, err)
	}
	p.end()
	if n := len(s.splunk.Events()); n != 120 {
		t.Errorf("%d events, want 30 and 30 of the held stream, 60 of the other", n)
	}
}

// Else the older of two versions, or of two sets of keys, would undo what the other has done.
func TestNobodyWritesOverARecordThatOthersMayRead(t *testing.T) {
	s := newSite(t)
	s.there()
	cfg := s.keyed(oneStream, "old")
	p := run(t, Delivery{Config: cfg})
	p.logged("partition taken")
	if _, err := s.operator(s.keyed(oneStream, "new", "old")).Pause(t.Context(), "everything", Deed{By: "ops"}); err != nil {
		t.Fatal(err)
	}
	o := s.operator(cfg)
	eventually(t, "the record to be noticed", func() bool {
		st := s.stands(o)
		return strings.Contains(st.BadRecord, `its key "new" is not among secrets.keys`) && st.State == consumer.StateActive
	})
	if _, err := o.Resume(t.Context(), "everything", Deed{By: "ops"}); !is[*HeldError](err) {
		t.Errorf("error %v", err)
	}
	if _, err := o.Rotate(t.Context(), func(Rotated) {}); err != nil {
		t.Error(err)
	}
	if st := s.stands(s.operator(s.keyed(oneStream, "new", "old"))); st.Spec.Hold == nil || st.Spec.Revision != 2 {
		t.Errorf("%+v", st.Spec)
	}
}

func TestAHeldStreamCanBeDropped(t *testing.T) {
	s := newSite(t)
	s.there()
	cfg := s.keyed("", "one")
	run(t, Delivery{Config: cfg}).logged("there is no stream")
	s.smuggle(&kgo.Record{Key: []byte("acme"), Value: []byte("{")})
	c := s.control(cfg)
	if _, err := c.CreateStream(t.Context(), s.draft("acme", withToken), admin.Change{By: "ops"}); !errors.Is(err, admin.CodeExists.Err()) {
		t.Fatal(err)
	}
	held, err := c.Stream(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.DeleteStream(t.Context(), "acme", false, admin.Change{By: "ops", If: held.Version}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Stream(t.Context(), "acme"); !errors.Is(err, admin.CodeNotFound.Err()) {
		t.Error(err)
	}
}

func TestAProcessWithoutKeysWritesNothingWhereRecordsAreSigned(t *testing.T) {
	s := newSite(t)
	s.there()
	cfg := s.keyed(oneStream, "one")
	run(t, Delivery{Config: cfg}).logged("partition taken")
	o := s.operator(s.keyed(oneStream)) // without keys
	if _, err := o.Pause(t.Context(), "everything", Deed{By: "ops"}); !errors.Is(err, errSigned) {
		t.Error(err)
	}
}

func TestRecordsAreNumberedAcrossStreamsOfTheSameID(t *testing.T) {
	keys, err := seal.Load(t.Context(), newSite(t).keyed("", "one").Sealing.Keys)
	if err != nil {
		t.Fatal(err)
	}
	log := newSpecLog(keys, consumer.Specs{})
	var all []*kgo.Record
	write := func(s consumer.Spec) consumer.Spec {
		t.Helper()
		records, err := specRecords("audit.streams", keys, log.specs(0, ""), []consumer.Spec{s})
		if err != nil {
			t.Fatal(err)
		}
		records[0].Offset = int64(len(all))
		all = append(all, records[0])
		log.add(records[0])
		return log.byID[s.ID]
	}
	one := streams(t, `streams: [{id: a, organization_id: "*", splunk: {url: "https://splunk.example:8088", token: {env: T}}}]`)[0]
	first := write(newSpec(one, ownerAPI))
	gone := write(first.Deleted(consumer.Change{What: "deleted"}))
	again := write(newSpec(one, ownerAPI))
	if first.Serial != 1 || gone.Serial != 2 || again.Serial != 3 || len(log.bad) != 0 {
		t.Fatalf("numbers %d, %d, %d; %v", first.Serial, gone.Serial, again.Serial, log.bad)
	}
	for i, r := range all {
		log.add(r)
		if bad, ok := log.bad["a"]; !ok || bad.Held || log.byID["a"].UID != again.UID {
			t.Errorf("record %d again: %+v", i, log.bad)
		}
	}
}

func TestTheSignatureIsTheFirstOfItsHeader(t *testing.T) {
	r := &kgo.Record{Headers: []kgo.RecordHeader{{Key: "x", Value: []byte("a")}, {Key: headerSignature, Value: []byte("b")}, {Key: headerSignature, Value: []byte("c")}}}
	if got := signatureOf(r); got != "b" {
		t.Error(got)
	}
}

// Who looks at the streams again and again reads on where the look before has stopped, sees
// every change at once, and begins anew when the topic is another one.
func TestLookingAgainReadsOn(t *testing.T) {
	s := newSite(t)
	s.there()
	cfg := s.config(oneStream)
	p := run(t, Delivery{Config: cfg})
	p.logged("partition taken")
	o, other := s.operator(cfg), s.operator(cfg)
	first := s.stands(o)
	read := o.streams.next
	if read == 0 || o.streams.log == nil {
		t.Fatalf("nothing is remembered: %d", read)
	}
	known := o.streams.log
	if s.stands(o); o.streams.log != known || o.streams.next != read {
		t.Error("a look at what has not changed has begun anew")
	}
	if _, err := other.Pause(t.Context(), first.Spec.ID, Deed{By: "somebody"}); err != nil {
		t.Fatal(err)
	}
	if now := s.stands(o); now.Spec.Hold == nil || o.streams.log != known || o.streams.next <= read {
		t.Errorf("what somebody else has changed is not seen, or all was read again: %+v", now.Spec.Hold)
	}
	o.streams.next += 1000 // as if the log had been cut off
	if now := s.stands(o); now.Spec.Hold == nil || o.streams.next >= read+1000 {
		t.Errorf("what was cut off is not read anew: %d", o.streams.next)
	}
}
