package app

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/auditstream/auditstream/consumer"
)

// standsAt is where an event in Splunk says that it stands.
type standsAt struct {
	ID           string
	Feed         string `json:"auditstream_feed"`
	Number       string `json:"auditstream_seq"`
	OriginalFeed string `json:"auditstream_original_feed"`
	Original     string `json:"auditstream_original_seq"`
	Replay       string `json:"auditstream_replay"`
}

// places are where the events in Splunk say that they stand, in the order of their arrival.
func (s *site) places() []standsAt {
	s.t.Helper()
	var out []standsAt
	for _, e := range s.splunk.Events() {
		var p standsAt
		if err := json.Unmarshal(e.Fields, &p); err != nil {
			s.t.Fatalf("%v: %s", err, e.Fields)
		}
		var event struct{ ID string }
		if err := json.Unmarshal(e.Event, &event); err != nil || event.ID == "" {
			continue // a checkpoint
		}
		p.ID = event.ID
		out = append(out, p)
	}
	return out
}

// replays makes a replay and runs it to its end.
func (s *site) replays(jobs *Jobs, r Replay) consumer.Task {
	s.t.Helper()
	task, _, err := jobs.PlanReplay(s.t.Context(), r)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := jobs.Make(s.t.Context(), task); err != nil {
		s.t.Fatal(err)
	}
	task, standing, err := jobs.Run(s.t.Context(), task, func(*consumer.Job) {})
	if err != nil || task.Ended == nil {
		s.t.Fatalf("%v, ended %v, %+v", err, task.Ended, standing)
	}
	return task
}

// again asks that each event of a replay names the place that it had when it was delivered,
// or, where known says so, none.
func (s *site) again(job string, n int, known bool) {
	s.t.Helper()
	live, seen := map[string]standsAt{}, 0
	for _, p := range s.places() {
		if p.Replay == "" {
			live[p.ID] = p
		}
	}
	for _, p := range s.places() {
		if p.Replay != job {
			continue
		}
		seen++
		want := [2]string{}
		if known {
			want = [2]string{live[p.ID].Feed, live[p.ID].Number}
		}
		if diff := cmp.Diff(want, [2]string{p.OriginalFeed, p.Original}); diff != "" {
			s.t.Errorf("%s (-as delivered +as replayed):\n%s", p.ID, diff)
		}
	}
	if seen != n {
		s.t.Errorf("%d events of %s, want %d", seen, job, n)
	}
}

func TestAReplayNamesTheNumbersThatItsEventsHad(t *testing.T) {
	s := newSite(t)
	s.there()
	o, jobs := s.applied(s.config(oneStream))
	s.again(s.replays(jobs, Replay{Stream: "everything"}).UID, 30, true)

	// What the job narrows only leaves events out.
	s.again(s.replays(jobs, Replay{Stream: "everything", OrganizationID: fmt.Sprintf("org_%026d", 0)}).UID, 5, true)

	// A part of a range, which begins somewhere within a chain.
	for _, l := range s.stands(o).Lanes {
		if l.Cursor > 3 {
			r := consumer.Range{Partition: l.Partition, From: 2, To: l.Cursor - 1}
			s.again(s.replays(jobs, Replay{Stream: "everything", Offsets: []consumer.Range{r}}).UID, int(r.To-r.From), true)
		}
	}
}

// What is told of an event does not depend on where the job was stopped.
func TestAReplayThatIsGoneOnWithNamesTheSameNumbers(t *testing.T) {
	s := newSite(t)
	s.there()
	_, jobs := s.applied(s.config(oneStream))
	task, _, err := jobs.PlanReplay(t.Context(), Replay{Stream: "everything", Rate: 200})
	if err != nil {
		t.Fatal(err)
	}
	if err := jobs.Make(t.Context(), task); err != nil {
		t.Fatal(err)
	}
	for round := range 20 {
		ctx, stop := context.WithCancel(t.Context())
		before := s.splunk.Len()
		go func() {
			for s.splunk.Len() < before+3 && ctx.Err() == nil {
				select {
				case <-ctx.Done():
				case <-time.After(time.Millisecond):
				}
			}
			stop()
		}()
		if task, err = jobs.Find(t.Context(), task.UID); err != nil {
			t.Fatal(err)
		}
		task, _, err = jobs.Run(ctx, task, func(*consumer.Job) {})
		stop()
		if err != nil && ctx.Err() == nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if task.Ended != nil {
			break
		}
	}
	if task.Ended == nil {
		if task, _, err = jobs.Run(t.Context(), task, func(*consumer.Job) {}); err != nil || task.Ended == nil {
			t.Fatalf("%v, ended %v", err, task.Ended)
		}
	}
	s.again(task.UID, 30, true)
	numbers := map[string]string{}
	for _, p := range s.places() {
		if p.Replay == task.UID {
			place := fmt.Sprint(p.Feed, p.Number)
			if other := numbers[place]; other != "" && other != p.ID {
				t.Errorf("%s is the number of %s and of %s", place, other, p.ID)
			}
			numbers[place] = p.ID
		}
	}
}

// Of a revision that let other events through, nobody can tell the numbers any more; of one
// that differs in something else, they can still be shown to be right.
func TestAReplayNamesNoNumberThatItCannotShow(t *testing.T) {
	s := newSite(t)
	s.there()
	cfg := s.config(oneStream)
	o, jobs := s.applied(cfg)
	if _, err := o.Pause(t.Context(), "everything", Deed{By: "ops"}); err != nil {
		t.Fatal(err)
	}
	if _, err := o.Resume(t.Context(), "everything", Deed{By: "ops"}); err != nil {
		t.Fatal(err)
	}
	task := s.replays(jobs, Replay{Stream: "everything"})
	s.again(task.UID, 30, true)

	masked := s.config(strings.Replace(oneStream, "start:", "mask: [{pointer: /actor/type, with: mask}], start:", 1))
	p := run(t, Delivery{Config: masked})
	p.logged("partition taken")
	eventually(t, "the change in force", func() bool {
		st := s.stands(o)
		return st.Spec.Revision > task.Originals.Revision && !slices.ContainsFunc(st.Lanes, func(l consumer.LaneStatus) bool { return !l.InForce })
	})
	p.end()
	task = s.replays(s.jobs(o, masked), Replay{Stream: "everything"})
	s.again(task.UID, 30, false)
	for _, r := range task.Originals.Runs {
		if r.Feed != "" || r.Reason != consumer.OriginalRules {
			t.Errorf("%+v", r)
		}
	}
}
