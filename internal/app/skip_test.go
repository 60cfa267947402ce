package app

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/sinks/sinktest/s3store"
)

// move moves the stream of oneStream and waits until that is in force.
func (s *site) move(o *Operator, t Target) {
	s.t.Helper()
	done, err := o.Move(s.t.Context(), "everything", t, Deed{By: "ops", Reason: "test"})
	if err != nil || !done.Written {
		s.t.Fatal(done, err)
	}
	s.inForce(o, done)
}

func TestSkipForwardAndBackWhileDeliveryRunsAndAcrossAStart(t *testing.T) {
	s := newSite(t)
	s.there()
	cfg := s.config(oneStream)
	p := run(t, Delivery{Config: cfg})
	s.publishNow(p, 0)
	s.delivered(30)
	o := s.operator(cfg)
	done, err := o.Pause(t.Context(), "everything", Deed{By: "ops"})
	if err != nil {
		t.Fatal(err)
	}
	s.inForce(o, done)
	s.publish(30)
	plan, err := o.PlanMove(t.Context(), "everything", Target{Now: true}, 0)
	if err != nil || passedOver(plan) != 30 {
		t.Fatalf("%+v, %v; want 30 to be passed over", plan, err)
	}
	waitAMillisecond(t)
	s.move(o, Target{Now: true})
	waitAMillisecond(t)
	s.publish(60)
	if _, err := o.Resume(t.Context(), "everything", Deed{By: "ops"}); err != nil {
		t.Fatal(err)
	}
	s.eventually(func() bool { return len(s.splunk.Events()) >= 60 })
	p.end()
	p = run(t, Delivery{Config: cfg}) // with the same file
	p.logged("partition taken")
	eventually(t, "no lag", func() bool { return s.stands(o).Lag == 0 })
	if diff := cmp.Diff(slices.Concat(numbers(0, 30), numbers(60, 90)), s.arrived()); diff != "" {
		t.Errorf("after the skip (-want +got):\n%s", diff)
	}
	gone := int64(0)
	for _, l := range s.stands(o).Lanes {
		for _, g := range l.Gaps {
			gone += g.To - g.From
		}
	}
	if gone != 30 {
		t.Errorf("%d offsets are on record as passed over, want 30", gone)
	}
	s.move(o, Target{Beginning: true})
	s.eventually(func() bool { return len(s.splunk.Events()) >= 60+90 })
	p.end()
	if diff := cmp.Diff(slices.Sorted(slices.Values(slices.Concat(numbers(0, 30), numbers(60, 90), numbers(0, 90)))), s.arrived()); diff != "" {
		t.Errorf("after the move back (-want +got):\n%s", diff)
	}
}

func (s *site) publishNow(p *process, first int) {
	s.t.Helper()
	p.logged("partition taken")
	s.publish(first)
}

func (s *site) eventually(ok func() bool) {
	s.t.Helper()
	eventually(s.t, "the events", ok)
}

// waitAMillisecond lets Kafka's clock, by which streams start, go on.
func waitAMillisecond(t *testing.T) {
	t.Helper()
	now := time.Now().UnixMilli()
	eventually(t, "the next millisecond", func() bool { return time.Now().UnixMilli() > now+1 })
}

func passedOver(plan []Passage) int64 {
	n := int64(0)
	for _, p := range plan {
		n += p.Skipped
	}
	return n
}

// arrived are the numbers of the events that Splunk has, in their order.
func (s *site) arrived() []int {
	s.t.Helper()
	var out []int
	for _, e := range s.splunk.Events() {
		out = append(out, numberOf(s.t, e.Event))
	}
	slices.Sort(out)
	return out
}

func numberOf(t *testing.T, event []byte) int {
	t.Helper()
	var v struct{ ID string }
	var n int
	if err := json.Unmarshal(event, &v); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscanf(v.ID, "audit_event_%d", &n); err != nil {
		t.Fatal(err)
	}
	return n
}

func numbers(from, to int) []int {
	var out []int
	for n := from; n < to; n++ {
		out = append(out, n)
	}
	return out
}

// A move back must not be swallowed by the objects that are there: its epoch has a chain of
// its own. And within each epoch every event is in one object.
func TestAMoveBackOfAnArchiveMakesNewObjectsBesideTheOldOnes(t *testing.T) {
	s := newSite(t)
	s.there()
	store, err := s3store.New(s3store.Config{AccessKeyID: "key", SecretAccessKey: "secret", Buckets: []string{"audit"}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(store)
	t.Cleanup(server.Close)
	file := filepath.Join(s.dir, "secret")
	if err := os.WriteFile(file, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := s.config(fmt.Sprintf(`
streams:
  - id: everything
    organization_id: "*"
    start: beginning
    s3: {bucket: audit, endpoint: %q, path_style: true, access_key_id: key, secret_access_key: {file: %q}, max_age: 100ms}
`, server.URL, file))
	p := run(t, Delivery{Config: cfg})
	s.publishNow(p, 0)
	stored := func() int {
		events, err := store.Events()
		if err != nil {
			t.Fatal(err)
		}
		return len(events)
	}
	eventually(t, "the objects", func() bool { return stored() == 30 })
	o := s.operator(cfg)
	s.move(o, Target{Beginning: true})
	s.publish(30)
	eventually(t, "the objects of the second epoch", func() bool { return stored() == 30+60 })
	p.end()
	epochs := map[string][]int{}
	for _, object := range store.Objects("audit", "stream=") {
		_, body, ok := store.Get("audit", object.Key)
		if !ok {
			t.Fatal(object.Key)
		}
		epoch := strings.Split(filepath.Base(object.Key), ".")[1]
		for line := range bytes.Lines(unzipped(t, body)) {
			epochs[epoch] = append(epochs[epoch], numberOf(t, line))
		}
	}
	for _, e := range epochs {
		slices.Sort(e)
	}
	if diff := cmp.Diff(map[string][]int{"000001": numbers(0, 30), "000002": numbers(0, 60)}, epochs); diff != "" {
		t.Errorf("events by epoch (-want +got):\n%s", diff)
	}
}

func unzipped(t *testing.T, b []byte) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestWhereAStreamCannotBeMovedTo(t *testing.T) {
	s := newSite(t)
	s.there()
	cfg := s.config(oneStream)
	p := run(t, Delivery{Config: cfg})
	s.publishNow(p, 0)
	s.delivered(30)
	p.end()
	o := s.operator(cfg)
	for name, target := range map[string]Target{
		"is in the future":       {Time: time.Now().Add(time.Hour)},
		"there is no partition":  {At: &Place{Partition: 9}},
		"is not in partition 1,": {At: &Place{Partition: 1, Offset: 1000}},
	} {
		_, err := o.Move(t.Context(), "everything", target, Deed{})
		if _, ok := errors.AsType[*TargetError](err); !ok || !strings.Contains(err.Error(), name) {
			t.Errorf("%+v: error %v, want one that says %q", target, err, name)
		}
	}
	if st := s.stands(o); st.Spec.Revision != 1 || st.State != consumer.StatusStopped {
		t.Errorf("%+v", st)
	}
}
