package export

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/schema"
)

func TestAFileHoldsTheEventsThatWereAskedForAndNoOthers(t *testing.T) {
	r := newRig(t)
	var want []*schema.Event
	for i := range 30 {
		e := r.event(acme, "user.signed_in")
		want = append(want, e)
		r.publish(int32(i%3), r.event(other, "user.signed_in"), e, r.event(other, "user.signed_in"))
	}
	early, late := r.event(acme, "user.signed_in"), r.event(acme, "user.signed_in")
	early.OccurredAt, late.OccurredAt = at.Add(-time.Second).Format(time.RFC3339), at.Add(24*time.Hour).Format(time.RFC3339)
	first := r.event(acme, "team.renamed")
	first.OccurredAt, first.Actor.Name, first.Targets = at.Format(time.RFC3339), "Bob", []schema.Target{{ID: "t", Type: "org"}, {ID: "u", Type: "user"}}
	r.publish(2, early, late, first)

	e := r.count(r.export())
	if e.Rows != 31 || e.State != Ready || len(e.Ranges) != 3 || e.Offsets.Passed != e.Offsets.Total || e.Offsets.Total != 93 {
		t.Errorf("%+v", e)
	}
	file := r.file(e, 0)
	var all []string
	for p := range 3 {
		for i := p; i < 30; i += 3 {
			all = append(all, want[i].ID)
		}
	}
	if diff := cmp.Diff(append(all, first.ID), ids(t, file)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if sum := sha256.Sum256(file); int64(len(file)) != e.Bytes || hex.EncodeToString(sum[:]) != e.SHA256 {
		t.Errorf("%d bytes %x, on record are %d and %s", len(file), sum, e.Bytes, e.SHA256)
	}

	even := 0
	for _, e := range append(want, first) {
		if e.Actor.ID == "user_0" {
			even++
		}
	}
	for name, tt := range map[string]struct {
		query Query
		want  int
	}{
		"of an action":             {Query{Actions: []string{"team.renamed", "team.deleted"}}, 1},
		"of an actor by name":      {Query{ActorNames: []string{"Bob"}}, 1},
		"of an actor by id":        {Query{ActorIDs: []string{"user_0"}}, even},
		"of a type of target":      {Query{Targets: []string{"user"}}, 1},
		"of two things, one is no": {Query{Actions: []string{"team.renamed"}, ActorNames: []string{"Ada"}}, 0},
	} {
		e := r.export()
		tt.query.RangeStart, tt.query.RangeEnd = e.RangeStart, e.RangeEnd
		e.Query = tt.query
		if e = r.count(e); int(e.Rows) != tt.want || len(ids(t, r.file(e, 0))) != tt.want {
			t.Errorf("%s: %d rows, want %d", name, e.Rows, tt.want)
		}
	}

	e = r.export()
	e.Oldest = new(at.Add(time.Second))
	if e = r.count(e); e.Rows != 30 {
		t.Errorf("with a retention: %d rows", e.Rows)
	}
}

// What is published behind an export that was made is not in it, whenever it is downloaded.
func TestAFileIsTheSameAtEveryDownload(t *testing.T) {
	r := newRig(t)
	for range 10 {
		r.publish(0, r.event(acme, "a.b"))
	}
	e := r.export()
	r.publish(0, r.event(acme, "a.b"))
	e = r.count(e)
	file := r.file(e, 0)
	for range 10 {
		r.publish(1, r.event(acme, "a.b"))
	}
	if again := r.file(e, 0); e.Rows != 10 || !bytes.Equal(file, again) {
		t.Errorf("%d rows, %s", e.Rows, cmp.Diff(string(file), string(again)))
	}
}

func TestADownloadCanBeginAnywhere(t *testing.T) {
	r := newRig(t)
	e := r.large()
	file := r.file(e, 0)
	if len(e.Marks) < 2 {
		t.Fatalf("%d marks in %d bytes", len(e.Marks), len(file))
	}
	places := []int64{1, 100, writeBytes, int64(len(file)) / 3, int64(len(file)) - 1, int64(len(file))}
	for _, m := range e.Marks {
		places = append(places, m.At-1, m.At, m.At+1)
	}
	for _, from := range places {
		if !bytes.Equal(file[from:], r.file(e, from)) {
			t.Errorf("from byte %d on it is another file", from)
		}
	}
	if err := r.source.Write(t.Context(), &e, &bytes.Buffer{}, e.Bytes+1); err == nil {
		t.Error("it begins behind its end")
	}
}

// Whoever gets all bytes has the file that was counted: one that differs ends before its end.
func TestAFileThatDiffersHasNoEnd(t *testing.T) {
	r := newRig(t)
	e := r.large()
	last := e.Marks[len(e.Marks)-1].At
	for _, tt := range []struct {
		name   string
		from   int64
		change func(*Export)
	}{
		{"a row is missing", 0, func(e *Export) { e.Ranges[1].From += 4 }},
		{"the last rows are missing", last, func(e *Export) { e.Ranges[2].To -= 4 }},
		{"there is more", 0, func(e *Export) { e.Bytes -= 500 }},
		{"there is more behind a mark", last, func(e *Export) { e.Bytes -= 500 }},
		{"nothing is there", 0, func(e *Export) { e.OrganizationID = other }},
		{"another check sum", 0, func(e *Export) { e.CRC++ }},
		{"another check sum behind a mark", last, func(e *Export) { e.CRC++ }},
		{"another hash", 0, func(e *Export) { e.SHA256 = strings.Repeat("0", 64) }},
	} {
		changed := e
		changed.Ranges = append([]Range(nil), e.Ranges...)
		tt.change(&changed)
		var out bytes.Buffer
		if err := r.source.Write(t.Context(), &changed, &out, tt.from); !errors.Is(err, ErrChanged) {
			t.Errorf("%s: %v", tt.name, err)
		}
		if int64(out.Len()) >= changed.Bytes-tt.from {
			t.Errorf("%s: all of %d bytes were handed on", tt.name, out.Len())
		}
	}
}

// A reader that goes away ends the reading.
func TestAWriterThatFailsEndsTheDownload(t *testing.T) {
	r := newRig(t)
	e := r.large()
	gone := errors.New("gone")
	n := 0
	err := r.source.Write(t.Context(), &e, writerFunc(func([]byte) (int, error) {
		n++
		return 0, gone
	}), 0)
	if !errors.Is(err, gone) || n != 1 {
		t.Errorf("%v after %d writes", err, n)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// What Kafka has dropped, or has under the same name in another topic, is nobody's file.
func TestEventsThatAreGone(t *testing.T) {
	r := newRig(t)
	own := partitionOf(acme, 3)
	for range 20 {
		r.publish(own, r.event(acme, "a.b"))
	}
	e := r.count(r.export())
	adm := kadm.NewClient(r.client)
	drop := func(to int64) {
		t.Helper()
		offsets := kadm.Offsets{}
		offsets.AddOffset(r.topics.Events(), own, to, -1)
		if _, err := adm.DeleteRecords(t.Context(), offsets); err != nil {
			t.Fatal(err)
		}
	}
	drop(1)
	if err := r.source.Write(t.Context(), &e, &bytes.Buffer{}, 0); !errors.Is(err, ErrGone) {
		t.Errorf("its first event is gone: %v", err)
	}
	later := r.export()
	if later.Beginning == nil || later.Beginning.After(time.Now()) {
		t.Errorf("an export whose beginning is gone does not say so: %v", later.Beginning)
	}
	if later = r.count(later); later.Rows != 19 {
		t.Errorf("%d rows", later.Rows)
	}
	waiting := r.export()
	drop(5)
	if _, err := r.source.Count(t.Context(), waiting, func(Export) error { return nil }); !errors.Is(err, ErrGone) {
		t.Errorf("counting: %v", err)
	}
	if _, err := adm.DeleteTopics(t.Context(), r.topics.Events()); err != nil {
		t.Fatal(err)
	}
	if err := kafka.EnsureTopics(t.Context(), kadm.NewClient(newClient(t, r.opts)), r.topics, zap.NewNop()); err != nil {
		t.Fatal(err)
	}
	r.client = newClient(t, r.opts) // that does not know the former topic
	for range 20 {
		r.publish(own, r.event(acme, "a.b"))
	}
	r.source.Patience = time.Minute // the client may know the former topic for a moment
	if err := r.source.Write(t.Context(), &later, &bytes.Buffer{}, 0); !errors.Is(err, ErrGone) {
		t.Errorf("another topic: %v", err)
	}
}

// Records that are no events of the organization are none of its rows; those under its key count.
func TestRecordsThatAreNoEvents(t *testing.T) {
	r := newRig(t)
	good := r.event(acme, "a.b")
	r.publish(0, good)
	record := func(key, value string, headers ...kgo.RecordHeader) *kgo.Record {
		return &kgo.Record{Topic: r.topics.Events(), Key: []byte(key), Value: []byte(value), Headers: headers}
	}
	forged, err := good.AppendCanonical(nil)
	if err != nil {
		t.Fatal(err)
	}
	occurred := at.Add(time.Minute).Format(time.RFC3339)
	plain := fmt.Sprintf(`{"organization_id":%q,"action":"a.c","occurred_at":%q,"targets":[],"actor":{"type":"u","id":"i"}}`, acme, occurred)
	r.produce(
		record(acme, `{}`), record(acme, `no JSON`), record(other, string(forged), kgo.RecordHeader{Key: "encoding", Value: []byte("jcs")}),
		record(acme, string(forged), kgo.RecordHeader{Key: "version", Value: []byte("9")}), record(acme, plain),
	)
	e := r.count(r.export())
	if e.Rows != 2 || e.Unreadable != 3 {
		t.Errorf("%d rows, %d unreadable", e.Rows, e.Unreadable)
	}
	if found := ids(t, r.file(e, 0)); found[0] != good.ID || !strings.HasPrefix(found[1], "audit_event_") {
		t.Errorf("%v", found)
	}
}

// An event whose time nobody can read is not left out for it: it counts as of its append time.
func TestAnEventWithoutAReadableTime(t *testing.T) {
	r := newRig(t)
	e := r.event(acme, "a.b")
	e.ID = schema.NewID(at)
	e.OccurredAt = "noon"
	value, err := e.AppendCanonical(nil)
	if err != nil {
		t.Fatal(err)
	}
	r.produce(&kgo.Record{Topic: r.topics.Events(), Key: []byte(acme), Value: value, Headers: []kgo.RecordHeader{{Key: "encoding", Value: []byte("jcs")}}})
	now := time.Now()
	for _, tt := range []struct {
		from, to time.Time
		want     int64
	}{{now.Add(-time.Hour), now.Add(time.Hour), 1}, {now.Add(time.Hour), now.Add(2 * time.Hour), 0}, {now.Add(-2 * time.Hour), now.Add(-time.Hour), 0}} {
		x := r.export()
		x.RangeStart, x.RangeEnd = tt.from, tt.to
		if x = r.count(x); x.Rows != tt.want {
			t.Errorf("%d rows, want %d", x.Rows, tt.want)
		}
	}
}

func TestCountingTellsHowFarItIs(t *testing.T) {
	r := newRig(t)
	for p := range int32(3) {
		for range 5 {
			r.publish(p, r.event(acme, "a.b"))
		}
	}
	var told []Export
	e, err := r.source.Count(t.Context(), r.export(), func(now Export) error {
		told = append(told, now)
		return nil
	})
	if err != nil || len(told) < 3 {
		t.Fatalf("%v, told %d times", err, len(told))
	}
	last := told[len(told)-1]
	if last.State != Pending || last.Offsets != e.Offsets || last.Rows != 15 || last.Offsets.Passed != 15 {
		t.Errorf("%+v", last)
	}
	stop := errors.New("stop")
	if _, err := r.source.Count(t.Context(), r.export(), func(Export) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("%v", err)
	}
	pending := r.export()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.source.Count(ctx, pending, func(Export) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestMarksAreBounded(t *testing.T) {
	var marks []Mark
	for i := range int64(maxMarks + 1) {
		marks = append(marks, Mark{At: i})
	}
	left := thinned(marks)
	if len(left) != maxMarks/2+1 || left[len(left)-1] != marks[maxMarks] {
		t.Errorf("%v", left)
	}
}
