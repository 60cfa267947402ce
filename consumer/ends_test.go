package consumer_test

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/auditstream/auditstream/consumer"
)

// figure is the value of one figure with these labels, as name, value, name, value; false if
// there is none.
func (r *rig) figure(name string, labels ...string) (float64, bool) {
	r.t.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
	metrics:
		for _, m := range f.GetMetric() {
			have := map[string]string{}
			for _, l := range m.GetLabel() {
				have[l.GetName()] = l.GetValue()
			}
			for i := 0; i < len(labels); i += 2 {
				if have[labels[i]] != labels[i+1] {
					continue metrics
				}
			}
			switch {
			case m.Gauge != nil:
				return m.GetGauge().GetValue(), true
			case m.Counter != nil:
				return m.GetCounter().GetValue(), true
			case m.Histogram != nil:
				return float64(m.GetHistogram().GetSampleCount()), true
			}
		}
	}
	return 0, false
}

// A producer that hangs in the midst of a transaction keeps everything behind it from
// everybody. The reader hears of nothing, so it would look as if there were nothing.
func TestATransactionThatHangsIsSeen(t *testing.T) {
	r := newRig(t, 1)
	r.stream("all", consumer.AllOrganizations)
	hanging, err := kgo.NewClient(append(r.opts, kgo.TransactionalID("hangs"), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		t.Fatal(err)
	}
	defer hanging.Close()
	core, logs := observer.New(zap.WarnLevel)
	r.logs = zap.New(core)
	r.start()
	r.publish(orgA, 0, 3)
	r.eventually("what is committed to arrive", func() bool { return r.dest.count("all") == 3 })

	if err := hanging.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := hanging.ProduceSync(t.Context(), &kgo.Record{Topic: r.topics.Events(), Key: []byte(orgA), Value: []byte("{}")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	r.publish(orgA, 3, 2)
	kind := []string{"kind", r.name, "partition", "0"}
	r.eventually("the figures to say that it hangs", func() bool {
		stuck, ok := r.figure("auditstream_partition_unstable_seconds", kind...)
		return ok && stuck > 0
	})
	if stable, _ := r.figure("auditstream_partition_last_stable_offset", kind...); stable != 3 {
		t.Errorf("the last stable offset is %v, not 3", stable)
	}
	if high, _ := r.figure("auditstream_partition_high_watermark", kind...); high < 4 {
		t.Errorf("the high watermark is %v, with a record of the transaction behind 3", high)
	}
	if lag, _ := r.figure("auditstream_stream_lag_events", "stream", "all"); lag < 1 {
		t.Error("nothing seems to wait")
	}

	r.eventually("the log to say whose it is", func() bool {
		for _, e := range logs.FilterMessageSnippet("keeps part of the events topic from all streams").All() {
			why, _ := e.ContextMap()["error"].(string)
			return strings.Contains(why, "partition 0 from offset 3 on") && strings.Contains(why, `"hangs"`)
		}
		return false
	})

	if err := hanging.EndTransaction(t.Context(), kgo.TryAbort); err != nil {
		t.Fatal(err)
	}
	r.eventually("what waited behind it to arrive", func() bool { return r.dest.count("all") == 5 })
	r.eventually("the figures to say that it is over", func() bool {
		stuck, ok := r.figure("auditstream_partition_unstable_seconds", kind...)
		return ok && stuck == 0
	})
}
