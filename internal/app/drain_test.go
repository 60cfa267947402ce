package app

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/sinks/sinktest/faults"
)

// gone waits until the stream of oneStream is deleted.
func (s *site) gone(o *Operator) {
	s.t.Helper()
	eventually(s.t, "the stream to be deleted", func() bool {
		_, err := o.Get(s.t.Context(), "everything")
		_, gone := errors.AsType[*NoStreamError](err)
		return gone
	})
}

// records counts the streams' records of progress that no tombstone has replaced.
func (s *site) records(o *Operator) int {
	s.t.Helper()
	alive := map[string]bool{}
	for number := range int32(3) {
		if _, err := o.reader.ReadToEnd(s.t.Context(), o.topics.Progress(), number, func(r *kgo.Record) {
			alive[string(r.Key)] = r.Value != nil && strings.HasPrefix(string(r.Key), "str_")
		}); err != nil {
			s.t.Fatal(err)
		}
	}
	n := 0
	for _, is := range alive {
		if is {
			n++
		}
	}
	return n
}

// A destination is away when the stream is deleted with a drain, the process starts again
// meanwhile with a file that does not list the stream any more: what was published before
// arrives, what is published later does not, and no record of progress is left.
func TestADrainDeliversWhatWasPublishedBeforeAndNothingElse(t *testing.T) {
	s := newSite(t)
	s.there()
	cfg := s.config(oneStream)
	p := run(t, Delivery{Config: cfg})
	s.publishNow(p, 0)
	s.delivered(30)
	o := s.operator(cfg)
	s.splunk.Program(func(*http.Request) *faults.Answer { return &faults.Answer{Status: http.StatusServiceUnavailable} })
	s.publish(30)
	done, err := o.Drain(t.Context(), "everything", Deed{By: "ops", Reason: "contract ended"})
	if err != nil || !done.Written {
		t.Fatal(done, err)
	}
	s.publish(60)
	if again, err := o.Drain(t.Context(), "everything", Deed{By: "ops"}); err != nil || again.Written {
		t.Errorf("drained twice: %+v, %v", again, err)
	}
	if _, err := o.Move(t.Context(), "everything", Target{Now: true}, Deed{}); err == nil {
		t.Error("a stream that is being deleted was moved")
	}
	p.end()
	p = run(t, Delivery{Config: s.config("streams: []\n")})
	p.logged("partition taken")
	// Between a lane's record and the commit that follows it, which of its events wait is not
	// told exactly.
	eventually(t, "a lag of 30 up to the end", func() bool { return s.stands(o).Lag == 30 })
	s.splunk.Program(nil)
	s.gone(o)
	eventually(t, "no record of progress", func() bool { return s.records(o) == 0 })
	p.end()
	if diff := cmp.Diff(numbers(0, 60), s.arrived()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestADropDeliversNothingMoreAndTheFileDoesNotMakeTheStreamAgain(t *testing.T) {
	s := newSite(t)
	s.there()
	cfg := s.config(oneStream)
	p := run(t, Delivery{Config: cfg})
	s.publishNow(p, 0)
	s.delivered(30)
	o := s.operator(cfg)
	if _, err := o.Pause(t.Context(), "everything", Deed{By: "ops"}); err != nil {
		t.Fatal(err)
	}
	s.publish(30)
	if _, err := o.Drain(t.Context(), "everything", Deed{By: "ops"}); err == nil || !strings.Contains(err.Error(), "resume it first") {
		t.Errorf("a paused stream is to be drained: %v", err)
	}
	done, err := o.Drop(t.Context(), "everything", Deed{By: "ops"})
	if err != nil || !done.Written {
		t.Fatal(done, err)
	}
	p.end()
	p = run(t, Delivery{Config: cfg})
	p.logged("an operator has deleted this stream, although the file lists it")
	p.end()
	if _, err := o.Get(t.Context(), "everything"); err == nil {
		t.Error("the stream is there again")
	}
	p = run(t, Delivery{Config: s.config("streams: []\n")})
	p.logged("there is no stream to deliver")
	p.end()
	p = run(t, Delivery{Config: cfg})
	s.publishNow(p, 60)
	s.eventually(func() bool { return len(s.splunk.Events()) >= 30+90 })
	p.end()
	if diff := cmp.Diff(slices.Sorted(slices.Values(slices.Concat(numbers(0, 30), numbers(0, 90)))), s.arrived()); diff != "" {
		t.Errorf("the first 30, and all from the beginning for the stream that was made anew (-want +got):\n%s", diff)
	}
}

func TestAStreamTakenOutOfTheFileIsDroppedWithAWordOnWhatItLacks(t *testing.T) {
	s := newSite(t)
	s.there()
	cfg := s.config(oneStream)
	p := run(t, Delivery{Config: cfg})
	s.publishNow(p, 0)
	s.delivered(30)
	p.end()
	s.publish(30)
	p = run(t, Delivery{Config: s.config("streams: []\n")})
	said := p.logged("the file lists this stream no more").ContextMap()
	if said["undelivered"] != int64(30) || said["stream"] != "everything" {
		t.Errorf("it says %v; want 30 undelivered", said)
	}
}

// What the file may do to a stream that an operator deletes.
func TestADeletionByAnOperatorAndTheFile(t *testing.T) {
	const splunk = `
streams:
  - {id: a, organization_id: "*", splunk: {url: "https://splunk.example:8088", token: {env: T}}}
`
	const none = "streams: []\n"
	ops := consumer.Change{What: "deleted", By: "ops"}
	draining := func(s consumer.Spec) consumer.Spec { return s.Drained("T", map[int32]int64{0: 7}, ops) }
	dropped := func(s consumer.Spec) consumer.Spec { return s.Deleted(ops) }
	for name, test := range map[string]struct {
		deed  func(consumer.Spec) consumer.Spec
		files []string
		state string
		same  bool // the stream has its uid still
	}{
		"draining, still listed":                    {draining, []string{splunk, splunk}, consumer.SpecDraining, true},
		"draining, taken out":                       {draining, []string{none}, consumer.SpecDraining, true},
		"draining, listed again":                    {draining, []string{none, splunk}, consumer.SpecDraining, true},
		"drained, still listed":                     {func(s consumer.Spec) consumer.Spec { return dropped(draining(s)) }, []string{splunk}, consumer.SpecDeleted, true},
		"dropped, still listed":                     {dropped, []string{splunk, splunk}, consumer.SpecDeleted, true},
		"dropped, still listed with other settings": {dropped, []string{strings.Replace(splunk, "token:", "index: x, token:", 1)}, consumer.SpecDeleted, true},
		"dropped, taken out":                        {dropped, []string{none, none}, consumer.SpecDeleted, true},
		"dropped, taken out and listed again":       {dropped, []string{none, splunk}, consumer.SpecActive, false},
	} {
		t.Run(name, func(t *testing.T) {
			have := apply(t, nil, splunk)
			uid := have[0].UID
			have = written(have, []consumer.Spec{test.deed(have[0])})
			for _, file := range test.files {
				have = apply(t, have, file)
			}
			if have[0].State != test.state || (have[0].UID == uid) != test.same {
				t.Errorf("%s, the same stream: %t; want %s, %t", have[0].State, have[0].UID == uid, test.state, test.same)
			}
			if again, err := diffStreams(have, streams(t, test.files[len(test.files)-1])); err != nil || len(again) > 0 {
				t.Errorf("once written there is still something to change: %v, %v", again, err)
			}
			core, logs := observer.New(zap.WarnLevel)
			tellRemoved(have, streams(t, splunk), zap.New(core))
			if told := logs.Len() > 0; told != (have[0].Removed != nil) {
				t.Errorf("told: %t", told)
			}
		})
	}
}
