package app

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"go.uber.org/zap"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/consumer"
)

// operator connects to the site's Kafka.
func (s *site) operator(cfg *config.Config) *Operator {
	s.t.Helper()
	o, err := Operate(s.t.Context(), cfg, zap.NewNop())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(o.Close)
	return o
}

// stands says where the stream of oneStream does.
func (s *site) stands(o *Operator) consumer.Status {
	s.t.Helper()
	st, err := o.Get(s.t.Context(), "everything")
	if err != nil {
		s.t.Fatal(err)
	}
	return st
}

// inForce waits until every process has taken a change over.
func (s *site) inForce(o *Operator, done Done) {
	s.t.Helper()
	eventually(s.t, "the change to be in force", func() bool {
		r, err := o.Reach(s.t.Context(), done.Spec)
		return err == nil && r.Owned > 0 && r.InForce == r.Owned
	})
}

func TestAPauseHoldsUnderTrafficAndAcrossStartsAndNothingIsLostOrRepeated(t *testing.T) {
	s := newSite(t)
	s.there()
	cfg := s.config(oneStream)
	p := run(t, Delivery{Config: cfg})
	p.logged("partition taken")
	s.publish(0)
	s.delivered(30)
	o := s.operator(cfg)
	done, err := o.Pause(t.Context(), "everything", Deed{By: "ops", Reason: "test"})
	if err != nil || !done.Written {
		t.Fatal(done, err)
	}
	s.inForce(o, done)
	s.publish(30)
	eventually(t, "the lag", func() bool { return s.stands(o).Lag == 30 })
	p.end()
	p = run(t, Delivery{Config: cfg}) // with the same file, which says nothing of a pause
	p.logged("partition taken")
	s.publish(60)
	eventually(t, "the lag", func() bool { st := s.stands(o); return st.State == consumer.StatusPaused && st.Lag == 60 })
	if n := len(s.splunk.Events()); n != 30 {
		t.Errorf("a paused stream has %d events, want 30", n)
	}
	if done, err = o.Resume(t.Context(), "everything", Deed{By: "ops"}); err != nil || !done.Written {
		t.Fatal(done, err)
	}
	s.delivered(90)
	p.end()
	if n := len(s.splunk.Events()); n != 90 {
		t.Errorf("%d events for 90", n)
	}
	if got := changesOf(s.stands(o).Spec); got != "made by file; paused by ops: test; resumed by ops" {
		t.Errorf("on record: %s", got)
	}
}

func changesOf(s consumer.Spec) string {
	var texts []string
	for _, c := range s.Changes {
		texts = append(texts, c.String())
	}
	return strings.Join(texts, "; ")
}

func TestAPauseOutlivesEveryChangeOfTheFile(t *testing.T) {
	const splunk = `
streams:
  - {id: a, organization_id: "*", splunk: {url: "https://splunk.example:8088", token: {env: T}}}
`
	have := apply(t, nil, splunk)
	hold := &consumer.Change{What: "paused", By: "ops"}
	have[0] = have[0].Revise()
	have[0].Hold = hold
	for _, text := range []string{
		splunk,
		strings.Replace(splunk, "token:", "index: audit, token:", 1),
		`streams: [{id: a, organization_id: "*", paused: true, splunk: {url: "https://splunk.example:8088", token: {env: T}}}]`,
		splunk,
		`streams: [{id: a, organization_id: "*", s3: {bucket: one-bucket, region: eu-central-1}}]`,
	} {
		have = apply(t, have, text)
		if len(have) != 1 || have[0].Hold != hold || !have[0].Paused() {
			t.Fatalf("after %s: %+v", text, have)
		}
	}
	have = apply(t, have, "streams: []\n")
	if have = apply(t, have, splunk); have[0].Paused() {
		t.Error("a stream that is made anew is paused for what was done to its predecessor")
	}
}

// apply is the streams topic after a start with a file.
func apply(t *testing.T, have []consumer.Spec, text string) []consumer.Spec {
	t.Helper()
	changes, err := diffStreams(have, streams(t, text))
	if err != nil {
		t.Fatal(err)
	}
	return written(have, changes)
}

func TestAStreamPausedInItsFileIsNotResumedByACommand(t *testing.T) {
	s := newSite(t)
	s.there()
	cfg := s.config(`
streams:
  - {id: a, organization_id: "*", paused: true, SPLUNK}
`)
	run(t, Delivery{Config: cfg}).logged("partition taken")
	o := s.operator(cfg)
	_, err := o.Resume(t.Context(), "a", Deed{By: "ops"})
	if e, ok := errors.AsType[*PausedError](err); !ok || e.Lifted || !strings.Contains(err.Error(), `take "paused: true" out`) {
		t.Errorf("error %v", err)
	}
	if _, err := o.Pause(t.Context(), "a", Deed{By: "ops"}); err != nil {
		t.Fatal(err)
	}
	_, err = o.Resume(t.Context(), "a", Deed{By: "ops"})
	if e, ok := errors.AsType[*PausedError](err); !ok || !e.Lifted {
		t.Errorf("error %v", err)
	}
}

// Each of two operators decides knowing what the other has done: nothing is done twice,
// and nothing is lost.
func TestOperatorsAtOnce(t *testing.T) {
	s := newSite(t)
	s.there()
	cfg := s.config(oneStream)
	p := run(t, Delivery{Config: cfg})
	p.logged("partition taken")
	p.end()
	var operators [4]*Operator
	for i := range operators {
		operators[i] = s.operator(cfg)
	}
	var at sync.WaitGroup
	var done [len(operators)]Done
	var errs [len(operators)]error
	for i, o := range operators {
		at.Go(func() { done[i], errs[i] = o.Pause(t.Context(), "everything", Deed{By: "ops"}) })
	}
	at.Wait()
	wrote := 0
	for i := range operators {
		if errs[i] != nil {
			t.Error(errs[i])
		}
		if done[i].Written {
			wrote++
		}
	}
	st := s.stands(operators[0])
	if wrote != 1 || st.Spec.Revision != 2 || st.State != consumer.StatusPaused {
		t.Errorf("%d have written; revision %d, state %s; want 1, 2, %s", wrote, st.Spec.Revision, st.State, consumer.StatusPaused)
	}
}

func TestAnUnknownStreamIsNamedWithWhatMayBeMeant(t *testing.T) {
	have := []consumer.Spec{{ID: "acme-splunk", State: consumer.SpecActive}, {ID: "acme-s3", State: consumer.SpecDeleted}}
	for id, near := range map[string]string{"acme_splnk": "acme-splunk", "acme-s3": "", "other": ""} {
		_, err := streamNamed(have, id)
		if e, ok := errors.AsType[*NoStreamError](err); !ok || e.ID != id || e.Near != near {
			t.Errorf("%s: %v", id, err)
		}
	}
}
