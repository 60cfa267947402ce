package app

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/internal/kafka"
)

// jobs connects to the site's Kafka.
func (s *site) jobs(o *Operator, cfg *config.Config) *Jobs {
	s.t.Helper()
	j, err := o.Jobs(s.t.Context(), cfg, "test", "ada", zap.NewNop())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(j.Close)
	return j
}

// applied has a process apply the streams of a configuration and deliver what there is.
func (s *site) applied(cfg *config.Config) (*Operator, *Jobs) {
	s.t.Helper()
	p := run(s.t, Delivery{Config: cfg})
	p.logged("partition taken")
	s.publish(0)
	s.delivered(30)
	p.end()
	o := s.operator(cfg)
	return o, s.jobs(o, cfg)
}

func TestAReplaySaysWhatOfItsRangeHasExpired(t *testing.T) {
	s := newSite(t)
	s.there()
	o, jobs := s.applied(s.config(oneStream))
	admin := kadm.NewClient(o.client)
	ends, err := admin.ListEndOffsets(t.Context(), "audit.events")
	if err != nil {
		t.Fatal(err)
	}
	var full kadm.ListedOffset
	ends.Each(func(end kadm.ListedOffset) {
		if end.Offset > full.Offset {
			full = end
		}
	})
	var gone kadm.Offsets
	gone.AddOffset("audit.events", full.Partition, 4, -1)
	if _, err := admin.DeleteRecords(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		replay Replay
		want   []Expired
		first  int64
	}{
		"by time":                  {Replay{From: time.Now().Add(-time.Hour)}, []Expired{{Partition: full.Partition, Begins: 4}}, 4},
		"from what there is":       {Replay{}, nil, 4},
		"by offsets":               {Replay{Offsets: []consumer.Range{{Partition: full.Partition, From: 1, To: 6}}}, []Expired{{Partition: full.Partition, Offsets: 3, Begins: 4}}, 4},
		"by offsets that are left": {Replay{Offsets: []consumer.Range{{Partition: full.Partition, From: 5, To: 6}}}, nil, 5},
	} {
		t.Run(name, func(t *testing.T) {
			c.replay.Stream = "everything"
			task, expired, err := jobs.PlanReplay(t.Context(), c.replay)
			if err != nil {
				t.Fatal(err)
			}
			for i := range expired {
				if expired[i].Since.IsZero() {
					t.Error("nobody says when what is left begins")
				}
				expired[i].Since = time.Time{}
			}
			if diff := cmp.Diff(c.want, expired); diff != "" {
				t.Errorf("expired (-want +got):\n%s", diff)
			}
			for _, r := range task.Ranges {
				if r.Partition == full.Partition && r.From != c.first {
					t.Errorf("the range begins at %d, want %d", r.From, c.first)
				}
			}
		})
	}
}

func TestAPauseStopsAJobAndAResumedStreamLetsItGoOn(t *testing.T) {
	s := newSite(t)
	s.there()
	o, jobs := s.applied(s.config(oneStream))
	task, _, err := jobs.PlanReplay(t.Context(), Replay{Stream: "everything", Rate: 1})
	if err != nil {
		t.Fatal(err)
	}
	counts, err := jobs.Count(t.Context(), task, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range counts {
		task.Matched += n
	}
	if task.Matched != 30 {
		t.Errorf("%d events would be sent, want 30", task.Matched)
	}
	if err := jobs.Make(t.Context(), task); err != nil {
		t.Fatal(err)
	}
	paused := make(chan error, 1)
	go func() {
		for s.splunk.Len() == 30 { // the job has begun with the first event that comes again
			select {
			case <-t.Context().Done():
			case <-time.After(time.Millisecond):
			}
		}
		_, err := o.Pause(context.WithoutCancel(t.Context()), "everything", Deed{By: "ops", Reason: "test"})
		paused <- err
	}()
	after, standing, err := jobs.Run(t.Context(), task, func(*consumer.Job) {})
	if err := <-paused; err != nil {
		t.Fatal(err)
	}
	if err == nil || !strings.Contains(err.Error(), "is paused") || after.Ended != nil {
		t.Fatalf("%v, ended %v, %+v", err, after.Ended, standing)
	}
	if _, err := o.Resume(t.Context(), "everything", Deed{By: "ops"}); err != nil {
		t.Fatal(err)
	}
	on, err := jobs.Find(t.Context(), task.UID)
	if err != nil {
		t.Fatal(err)
	}
	on.Rate = 0
	after, standing, err = jobs.Run(t.Context(), on, func(*consumer.Job) {})
	if err != nil || after.Ended == nil || standing.Delivered != 30 {
		t.Fatalf("%v, ended %v, %+v", err, after.Ended, standing)
	}
	if n := s.splunk.Len(); n != 60 {
		t.Errorf("%d events in Splunk, want 30 live and 30 again", n)
	}
}

// The events that a job has sent before its stream was deleted are vouched for, although nobody
// can go on with it.
func TestAJobWhoseStreamIsDeletedLeavesACheckpoint(t *testing.T) {
	s := newSite(t)
	s.there()
	o, jobs := s.applied(s.config(strings.Replace(s.signed(), "interval: 1s", "interval: 1h", 1) + oneStream))
	task, _, err := jobs.PlanReplay(t.Context(), Replay{Stream: "everything", Rate: 5})
	if err != nil {
		t.Fatal(err)
	}
	if err := jobs.Make(t.Context(), task); err != nil {
		t.Fatal(err)
	}
	sent := func() (n int) {
		for _, p := range s.places() {
			if p.Replay == task.UID {
				n++
			}
		}
		return n
	}
	dropped := make(chan error, 1)
	go func() {
		for sent() == 0 {
			select {
			case <-t.Context().Done():
			case <-time.After(time.Millisecond):
			}
		}
		_, err := o.Drop(context.WithoutCancel(t.Context()), "everything", Deed{By: "ops"})
		dropped <- err
	}()
	after, standing, err := jobs.Run(t.Context(), task, func(*consumer.Job) {})
	if err := <-dropped; err != nil {
		t.Fatal(err)
	}
	if err == nil || !strings.Contains(err.Error(), "is deleted") || after.Ended != nil {
		t.Fatalf("%v, ended %v, %+v", err, after.Ended, standing)
	}
	last := map[string]int64{} // sizes, by origin
	if _, err := o.reader.ReadToEnd(t.Context(), o.topics.Checkpoints(), kafka.CheckpointsPartition, func(r *kgo.Record) {
		if !strings.HasPrefix(string(r.Key), "auditstream/everything/"+task.UID+"/") {
			return
		}
		text, _, _ := strings.Cut(string(r.Value), "\n\n")
		c, err := integrity.ParseCheckpoint(text + "\n")
		if err != nil {
			t.Fatal(err)
		}
		last[c.Origin] = c.Size
	}); err != nil {
		t.Fatal(err)
	}
	size := int64(0)
	for _, n := range last {
		size += n
	}
	if n := sent(); size != int64(n) {
		t.Errorf("the checkpoints in the topic are about %d events, and %d were sent", size, n)
	}
}
