package s3_test

import (
	"testing"

	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/s3"
	"github.com/auditstream/auditstream/sinks/sinktest"
	"github.com/auditstream/auditstream/sinks/sinktest/faults"
	"github.com/auditstream/auditstream/sinks/sinktest/s3store"
	"go.uber.org/zap"
)

func loosely(s *s3.Settings) { s.Guarantee = s3.AtLeastOnce }

func TestConformanceAtLeastOnce(t *testing.T) {
	sinktest.Conformance(t, sinktest.Harness{
		Kind: s3.Kind(),
		Start: func(t *testing.T) *sinktest.Target {
			t.Helper()
			return startTarget(t, s3store.Config{IgnoreCondition: true}, loosely)
		},
		Delivers: putsEvents,
		// What the suite sends again it sends as it was, and that is the same object. Other cuts
		// are in TestLooseObjectsNeverOverwriteOthers.
		ExactlyOnce: true,
		Refusals: []sinktest.Refusal{
			{Name: "access denied", Answer: faults.Answer{Status: 403}, Class: sinks.Misconfigured},
			{Name: "internal error", Answer: faults.Answer{Status: 500}, Class: sinks.Unavailable},
		},
	})
}

// A store that ignores the condition cannot tell two owners from each other: each writes
// what it has, and nothing of the other's is overwritten.
func TestLooseObjectsNeverOverwriteOthers(t *testing.T) {
	r := newRig(t, s3store.Config{IgnoreCondition: true})
	first, second := r.open(t, loosely), r.open(t, loosely)
	deliver(t, first, newBatch(20, 10, 12))
	deliver(t, second, newBatch(15, 10))
	deliver(t, second, newBatch(20, 12))
	deliver(t, first, newBatch(20, 10, 12)) // again, as after a crash: the same object
	same(t, "objects", []string{`10-15: {"n":10}`, `10-20: {"n":10} {"n":12}`, `12-20: {"n":12}`}, r.chainOf(t, today))
	if o := r.Objects(bucket, "audit/.auditstream-probe"); len(o) != 0 {
		t.Error("the store was probed for what nobody relies on")
	}
}

func TestLooseObjectsAreOfOneDay(t *testing.T) {
	r := newRig(t, s3store.Config{})
	s := r.open(t, loosely)
	b := newBatch(40, 10, 20, 30)
	b.Events[1].Day = day - 1
	deliver(t, s, b)
	same(t, "yesterday", []string{`20-30: {"n":20}`}, r.chainOf(t, yesterday))
	same(t, "today", []string{`10-20: {"n":10}`, `30-40: {"n":30}`}, r.chainOf(t, today))
	r.onPut(&faults.Answer{Status: 503})
	if receipt, err := s.Deliver(t.Context(), newBatch(60, 50)); err == nil || receipt.Settled != 0 {
		t.Errorf("%v, settled %d", err, receipt.Settled)
	}
	for _, o := range r.Objects(bucket, "audit/stream=") {
		if o.Metadata["auditstream-format"] != "4" {
			t.Errorf("%s is of format %s", o.Key, o.Metadata["auditstream-format"])
		}
	}
}

func TestLooseReplaysStandUnderTheirJob(t *testing.T) {
	r := newRig(t, s3store.Config{})
	set := settings(t, r.url)
	loosely(set)
	s, err := s3.Open(set, sinks.Options{Log: zap.NewNop(), Version: "test", Replay: "job_A"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	deliver(t, s, newBatch(20, 10))
	deliver(t, r.open(t, loosely), newBatch(20, 10))
	if n, m := len(r.Objects(bucket, "audit/replay=job_A/stream=")), len(r.Objects(bucket, "audit/stream=")); n != 1 || m != 1 {
		t.Errorf("%d objects of the replay and %d of the stream, want one of each", n, m)
	}
}
