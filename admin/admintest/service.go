// Package admintest is a control plane in memory, for tests of what is built on
// [admin.Service]. It keeps what is done to it and answers as the real one does, refusals
// included, and it fails when it is told to.
package admintest

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/sinks"
)

// Service is an [admin.Service]. Methods that it has not are those of the embedded one. It is
// safe for concurrent use.
type Service struct {
	admin.Service

	mu        sync.Mutex
	fail      error          // what every method answers; guarded by mu, like all below
	streams   []admin.Stream //
	histories map[string]admin.History
	letters   []admin.DeadLetter //
	jobs      []admin.Job        //
	schemas   []admin.Schema     //
	topics    admin.Topics       //
	events    []admin.TailEvent  // of the events topic, the oldest first
	feed      chan struct{}      // is closed, and made anew, when there is another event
	deeds     []string           // what was done, in words
	testFails *sinks.Error       // what a test of a destination ends in
	testHeld  <-chan struct{}    // a test waits for it behind its first step; nil: it does not
}

// New makes one with nothing in it.
func New() *Service {
	return &Service{histories: map[string]admin.History{}, feed: make(chan struct{})}
}

// Fail makes every method answer err, until it is called with nil.
func (s *Service) Fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}

// FailTests makes tests of destinations end in err.
func (s *Service) FailTests(err *sinks.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.testFails = err
}

// Deeds are what was changed, in words, the oldest first.
func (s *Service) Deeds() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.deeds)
}

// AddStream adds a stream as it is.
func (s *Service) AddStream(st admin.Stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st.Version = version(st)
	s.streams = append(s.streams, st)
}

// SetHistory is what is known of a stream's last hours; of all together for the empty id.
func (s *Service) SetHistory(id string, h admin.History) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.histories[id] = h
}

func version(st admin.Stream) string { return fmt.Sprintf("%s.%d", st.UID, st.Revision) }

// begin takes the lock, unless the service is told to fail.
func (s *Service) begin() (func(), error) {
	s.mu.Lock()
	if s.fail != nil {
		s.mu.Unlock()
		return nil, s.fail
	}
	return s.mu.Unlock, nil
}

// Streams implements [admin.StreamService].
func (s *Service) Streams(context.Context) ([]admin.Stream, error) {
	end, err := s.begin()
	if err != nil {
		return nil, err
	}
	defer end()
	list := slices.Clone(s.streams)
	slices.SortStableFunc(list, func(a, b admin.Stream) int { return a.Compare(b.Status) })
	return list, nil
}

// Stream implements [admin.StreamService].
func (s *Service) Stream(_ context.Context, id string) (*admin.Stream, error) {
	end, err := s.begin()
	if err != nil {
		return nil, err
	}
	defer end()
	st, err := s.named(id)
	if err != nil {
		return nil, err
	}
	out := *st
	return &out, nil
}

// named is a stream. The caller holds mu.
func (s *Service) named(id string) (*admin.Stream, error) {
	i := slices.IndexFunc(s.streams, func(st admin.Stream) bool { return st.ID == id })
	if i < 0 {
		return nil, admin.CodeNotFound.Errorf("there is no stream %q", id)
	}
	return &s.streams[i], nil
}

// History implements [admin.StreamService].
func (s *Service) History(_ context.Context, id string) (*admin.History, error) {
	end, err := s.begin()
	if err != nil {
		return nil, err
	}
	defer end()
	if id != "" {
		if _, err := s.named(id); err != nil {
			return nil, err
		}
	}
	h := s.histories[id]
	return &h, nil
}

// change changes a stream, if it has the version that the caller knows.
func (s *Service) change(id string, c admin.Change, what string, f func(*admin.Stream) error) (*admin.Stream, error) {
	end, err := s.begin()
	if err != nil {
		return nil, err
	}
	defer end()
	st, err := s.named(id)
	if err != nil {
		return nil, err
	}
	if c.If != "" && c.If != st.Version {
		return nil, admin.CodeChanged.Errorf("stream %s was changed meanwhile: look at it again", id)
	}
	if err := f(st); err != nil {
		return nil, err
	}
	st.Revision++
	st.Version = version(*st)
	st.Changes = append(st.Changes, consumer.Change{What: what, By: c.By, At: time.Now(), Reason: c.Reason})
	s.deeds = append(s.deeds, deed(id, what, c))
	out := *st
	out.Outcome = &admin.Outcome{Written: true, InForce: len(st.Lanes), Owned: len(st.Lanes), Members: 1}
	return &out, nil
}

func deed(on, what string, c admin.Change) string {
	text := on + ": " + what + " by " + c.By
	if c.Reason != "" {
		text += ": " + c.Reason
	}
	return text
}

// PauseStream implements [admin.StreamService].
func (s *Service) PauseStream(_ context.Context, id string, c admin.Change) (*admin.Stream, error) {
	return s.change(id, c, "paused", func(st *admin.Stream) error {
		st.Hold = &consumer.Change{What: "paused", By: c.By, At: time.Now(), Reason: c.Reason}
		st.State, st.Error, st.NextAttempt = consumer.StatusPaused, "", nil
		for i := range st.Lanes {
			st.Lanes[i].State, st.Lanes[i].Error = consumer.StatusPaused, ""
		}
		return nil
	})
}

// ResumeStream implements [admin.StreamService].
func (s *Service) ResumeStream(_ context.Context, id string, c admin.Change) (*admin.Stream, error) {
	return s.change(id, c, "resumed", func(st *admin.Stream) error {
		if st.Hold == nil {
			return admin.CodeConflict.Errorf("stream %s is not paused", id)
		}
		st.Hold, st.State = nil, consumer.StateActive
		for i := range st.Lanes {
			st.Lanes[i].State = consumer.StateActive
		}
		return nil
	})
}

// DeleteStream implements [admin.StreamService].
func (s *Service) DeleteStream(_ context.Context, id string, drain bool, c admin.Change) (*admin.Stream, error) {
	if drain {
		return s.change(id, c, "is deleted when drained", func(st *admin.Stream) error {
			st.State = consumer.StatusDraining
			return nil
		})
	}
	out, err := s.change(id, c, "deleted", func(*admin.Stream) error { return nil })
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.streams = slices.DeleteFunc(s.streams, func(st admin.Stream) bool { return st.ID == id })
	return out, nil
}

// PlanSkip implements [admin.StreamService].
func (s *Service) PlanSkip(_ context.Context, id string, to admin.Target) ([]admin.Passage, error) {
	end, err := s.begin()
	if err != nil {
		return nil, err
	}
	defer end()
	st, err := s.named(id)
	if err != nil {
		return nil, err
	}
	return passages(*st, to), nil
}

func passages(st admin.Stream, to admin.Target) []admin.Passage {
	var list []admin.Passage
	for _, l := range st.Lanes {
		p := admin.Passage{Partition: l.Partition, Cursor: l.Cursor, Target: l.Cursor}
		switch {
		case to.Now:
			p.Target = l.End
		case to.Beginning:
			p.Target = l.Start
		case to.Time != nil:
			p.Target = (l.Start + l.End) / 2
		case to.Partition != nil && *to.Partition == l.Partition && to.Offset != nil:
			p.Target = *to.Offset
		}
		p.Skipped, p.Repeated = max(p.Target-p.Cursor, 0), max(p.Cursor-p.Target, 0)
		list = append(list, p)
	}
	return list
}

// SkipStream implements [admin.StreamService].
func (s *Service) SkipStream(_ context.Context, id string, to admin.Target, c admin.Change) (*admin.Stream, error) {
	return s.change(id, c, "moved", func(st *admin.Stream) error {
		st.Lag = 0
		for i, p := range passages(*st, to) {
			l := &st.Lanes[i]
			if p.Skipped > 0 {
				l.Gaps = append(l.Gaps, consumer.Gap{From: l.Cursor, To: p.Target, Reason: "moved", At: time.Now(), By: c.By})
			}
			l.Cursor, l.Lag = p.Target, l.End-p.Target
			st.Lag += l.Lag
		}
		st.Epoch++
		return nil
	})
}

// TestStream implements [admin.StreamService].
func (s *Service) TestStream(_ context.Context, id string, c admin.Change, step func(sinks.Step)) (string, error) {
	end, err := s.begin()
	if err != nil {
		return "", err
	}
	defer end()
	if _, err := s.named(id); err != nil {
		return "", err
	}
	s.deeds = append(s.deeds, deed(id, "tested", c))
	return s.test(step)
}

// TestDraft implements [admin.StreamService].
func (s *Service) TestDraft(_ context.Context, d admin.Draft, c admin.Change, step func(sinks.Step)) (string, error) {
	end, err := s.begin()
	if err != nil {
		return "", err
	}
	defer end()
	doc, err := parse(d)
	if err != nil {
		return "", err
	}
	s.deeds = append(s.deeds, deed(doc.ID, "tested as a draft", c))
	return s.test(step)
}

// test plays a test. The caller holds mu.
func (s *Service) test(step func(sinks.Step)) (string, error) {
	step(sinks.Step{Name: sinks.StepDNS, Detail: "splunk.acme.example is 192.0.2.10", Took: 3 * time.Millisecond})
	if s.testHeld != nil {
		<-s.testHeld
	}
	step(sinks.Step{Name: sinks.StepTCP, Detail: "connected to 192.0.2.10:8088", Took: 12 * time.Millisecond})
	write := sinks.Step{
		Name: sinks.StepWrite, Took: 41 * time.Millisecond,
		Sent:   "POST /services/collector/event HTTP/1.1\nAuthorization: Splunk ***\n\n{\"event\":{\"action\":\"auditstream.test\"}}",
		Answer: `{"text":"Success","code":0}`,
	}
	if s.testFails != nil {
		write.Err, write.Answer = s.testFails, s.testFails.Answer
		step(write)
		return testEvent, s.testFails
	}
	step(write)
	return testEvent, nil
}

const testEvent = "audit_event_01JTESTTESTTESTTESTTESTTE"

// draft is as much of a stream's document as is looked at here.
type draft struct {
	Integrity      bool            `json:"integrity"`
	ID             string          `json:"id"`
	OrganizationID string          `json:"organization_id"`
	Actions        []string        `json:"actions"`
	Filter         string          `json:"filter"`
	Mask           json.RawMessage `json:"mask"`
	Format         string          `json:"format"`
	Start          string          `json:"start"`
	kind           string
	settings       map[string]json.RawMessage
}

func parse(d admin.Draft) (*draft, error) {
	out := draft{Integrity: true}
	var all map[string]json.RawMessage
	if err := errors.Join(json.Unmarshal(d, &out), json.Unmarshal(d, &all)); err != nil {
		return nil, admin.CodeInvalid.Errorf("the document is not JSON: %v", err)
	}
	e := admin.CodeInvalid.Errorf("the stream is not valid")
	if out.ID == "" {
		e.Problems = append(e.Problems, admin.Problem{Pointer: "/id", Line: 1, Column: 1, Message: "required"})
	}
	for _, kind := range []string{"splunk", "datadog", "s3", "https", "scs", "file"} {
		if of, is := all[kind]; is {
			out.kind = kind
			if err := json.Unmarshal(of, &out.settings); err != nil {
				e.Problems = append(e.Problems, admin.Problem{Pointer: "/" + kind, Message: "must be an object"})
			}
		}
	}
	e.Problems = append(e.Problems, out.wrong()...)
	if out.kind == "" {
		e.Problems = append(e.Problems, admin.Problem{Message: "a destination is required: splunk, datadog, s3, https, scs or file"})
	}
	if len(e.Problems) > 0 {
		return nil, e
	}
	return &out, nil
}

// apply gives a stream what its draft says, secrets sealed.
func (d *draft) apply(st *admin.Stream) {
	st.Integrity = d.Integrity
	settings := map[string]any{}
	for name, value := range d.settings {
		var secret struct {
			Value  *string `json:"value"`
			Sealed bool    `json:"sealed"`
		}
		if json.Unmarshal(value, &secret) == nil && (secret.Value != nil || secret.Sealed) {
			settings[name] = map[string]bool{"sealed": true}
			continue
		}
		settings[name] = value
	}
	st.OrganizationID, st.Actions, st.Kind = d.OrganizationID, d.Actions, d.kind
	st.Format, st.Start = cmp.Or(d.Format, "workos"), cmp.Or(d.Start, st.Start, "now")
	st.Filter, st.Mask = d.Filter, d.sealedMask()
	st.Settings, _ = json.Marshal(settings) //nolint:errchkjson // values that were JSON before
}

// PlanStream implements [admin.StreamService].
func (s *Service) PlanStream(_ context.Context, d admin.Draft) (*admin.Plan, error) {
	end, err := s.begin()
	if err != nil {
		return nil, err
	}
	defer end()
	doc, err := parse(d)
	if err != nil {
		return nil, err
	}
	var before admin.Stream
	plan := &admin.Plan{ID: doc.ID, Action: "create", Cursor: "the stream begins with what is published from now on"}
	if have, err := s.named(doc.ID); err == nil {
		if err := doc.moves(have); err != nil {
			return nil, err
		}
		before, plan.Action, plan.Cursor = *have, "none", "the cursor stays where it is"
	}
	after := before
	doc.apply(&after)
	was, is := members(before), members(after)
	for _, p := range slices.Sorted(keys(was, is)) {
		if was[p] == is[p] {
			continue
		}
		plan.Changes = append(plan.Changes, admin.PlanChange{Pointer: p, From: admin.Document(was[p]), To: admin.Document(is[p])})
		if plan.Action == "none" {
			plan.Action = "update"
		}
	}
	return plan, nil
}

func keys(maps ...map[string]string) func(func(string) bool) {
	all := map[string]bool{}
	for _, m := range maps {
		for k := range m {
			all[k] = true
		}
	}
	return func(yield func(string) bool) {
		for k := range all {
			if !yield(k) {
				return
			}
		}
	}
}

// members are the settings of a stream by JSON pointer.
func members(st admin.Stream) map[string]string {
	out := map[string]string{}
	if st.Kind == "" {
		return out
	}
	var settings map[string]json.RawMessage
	_ = json.Unmarshal(st.Settings, &settings)
	for name, value := range settings {
		out["/"+st.Kind+"/"+name] = string(value)
	}
	for name, value := range map[string]any{"filter": st.Filter, "mask": string(st.Mask), "organization_id": st.OrganizationID, "actions": st.Actions, "format": st.Format, "start": st.Start} {
		text, _ := json.Marshal(value) //nolint:errchkjson // strings
		out["/"+name] = string(text)
	}
	if !st.Integrity {
		out["/integrity"] = "false"
	}
	return out
}

// CreateStream implements [admin.StreamService].
func (s *Service) CreateStream(_ context.Context, d admin.Draft, c admin.Change) (*admin.Stream, error) {
	end, err := s.begin()
	if err != nil {
		return nil, err
	}
	doc, err := parse(d)
	if err != nil {
		end()
		return nil, err
	}
	if _, err := s.named(doc.ID); err == nil {
		end()
		return nil, admin.CodeExists.Errorf("there is a stream %q already", doc.ID)
	}
	st := admin.Stream{ID: doc.ID, UID: "str_" + strings.ToUpper(doc.ID), Owner: "api", Epoch: 1, Start: "now"}
	st.State, st.InForce = consumer.StateActive, true
	s.streams = append(s.streams, st)
	end()
	return s.change(doc.ID, c, "made", func(st *admin.Stream) error {
		doc.apply(st)
		return nil
	})
}

// UpdateStream implements [admin.StreamService].
func (s *Service) UpdateStream(_ context.Context, id string, d admin.Draft, c admin.Change) (*admin.Stream, error) {
	doc, err := parse(d)
	if err != nil {
		return nil, err
	}
	return s.change(id, c, "changed", func(st *admin.Stream) error {
		if st.Owner == "file" {
			return admin.CodeFileOwned.Errorf("stream %s stands in a configuration file, and is changed there", id)
		}
		doc.apply(st)
		return nil
	})
}
