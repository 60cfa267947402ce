package app

import (
	"errors"
	"strings"
	"testing"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/consumer/deadletter"
	"github.com/auditstream/auditstream/sinks"
)

func TestLettersAreListedShownAndDiscardedThroughTheControlPlane(t *testing.T) {
	s := newSite(t)
	s.there()
	cfg := s.config(oneStream)
	p := run(t, Delivery{Config: cfg})
	p.logged("partition taken")
	s.invalid(2)
	eventually(t, "the letters", func() bool { return len(s.letters()) == 2 })
	p.end()
	c := s.control(cfg)
	list, err := c.DeadLetters(t.Context(), deadletter.Query{State: deadletter.Open})
	if err != nil || len(list.Letters) != 2 {
		t.Fatalf("%+v, %v", list, err)
	}
	at := list.Letters[0].Position
	l, err := c.DeadLetter(t.Context(), at)
	if err != nil || l.State != deadletter.Open || l.Record == nil || len(l.Record.Value) == 0 || len(l.Violations) == 0 || l.Position != at {
		t.Fatalf("%+v, %v", l, err)
	}
	missing := deadletter.Position{Partition: at.Partition, Offset: 4711}
	if _, err := c.DeadLetter(t.Context(), missing); !errors.Is(err, admin.CodeNotFound.Err()) {
		t.Errorf("no letter: %v", err)
	}
	if _, err := c.DiscardDeadLetters(t.Context(), []deadletter.Position{at, missing}, admin.Change{By: "ada", Reason: "test"}); !errors.Is(err, admin.CodeNotFound.Err()) {
		t.Errorf("one of them is missing: %v", err)
	}
	if _, err := c.DiscardDeadLetters(t.Context(), []deadletter.Position{at}, admin.Change{By: "ada"}); !errors.Is(err, admin.CodeInvalid.Err()) {
		t.Errorf("without a reason: %v", err)
	}
	for i, want := range []int{1, 0} {
		d, err := c.DiscardDeadLetters(t.Context(), []deadletter.Position{at}, admin.Change{By: "ada", Reason: "test"})
		if err != nil || len(d.Discarded) != want || len(d.Before) != i {
			t.Errorf("time %d: %+v, %v", i, d, err)
		}
	}
	l, err = c.DeadLetter(t.Context(), at)
	if err != nil || l.State != deadletter.Discarded || len(l.Marks) != 1 || l.Mark == nil || l.Mark.By != "ada" || l.Mark.Reason != "test" {
		t.Errorf("%+v, %v", l, err)
	}
}

func TestSchemasAndTopicsThroughTheControlPlane(t *testing.T) {
	s := newSite(t)
	s.there()
	cfg := s.config(oneStream)
	p := run(t, Delivery{Config: cfg})
	p.logged("partition taken")
	s.publish(0)
	s.delivered(30)
	c := s.control(cfg)
	all, err := c.Schemas(t.Context())
	if err != nil || len(all) < 170 {
		t.Fatalf("%d schemas, %v", len(all), err)
	}
	one, err := c.Schema(t.Context(), "audit_log_stream.paused", 0)
	if err != nil || !one.Builtin || one.Version != 1 || len(one.Versions) != 1 || len(one.Schema) == 0 || len(one.Example) == 0 {
		t.Errorf("%+v, %v", one, err)
	}
	for action, version := range map[string]int{"no.such": 0, "audit_log_stream.paused": 7} {
		if _, err := c.Schema(t.Context(), action, version); !errors.Is(err, admin.CodeNotFound.Err()) {
			t.Errorf("%s, version %d: %v", action, version, err)
		}
	}
	topics, err := c.Topics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var events admin.Topic
	for _, topic := range topics.Topics {
		if topic.Name == "audit.events" {
			events = topic
		}
		if len(topic.Partitions) == 0 || topic.ID == "" {
			t.Errorf("%+v", topic)
		}
	}
	written := int64(0)
	for _, part := range events.Partitions {
		written += part.End - part.Start
	}
	if len(events.Partitions) != 3 || written != 30 || events.Retention != 7*24*60*60 {
		t.Errorf("%+v", events)
	}
	if len(topics.Groups) != 1 || topics.Groups[0].ID != "auditstream.splunk" || len(topics.Groups[0].Members) != 1 || len(topics.Groups[0].Members[0].Partitions) != 3 {
		t.Errorf("%+v", topics.Groups)
	}
}

func TestAStreamIsTestedThroughTheControlPlane(t *testing.T) {
	s := newSite(t)
	s.there()
	cfg := s.config(oneStream)
	p := run(t, Delivery{Config: cfg})
	p.logged("partition taken")
	p.end()
	c := s.control(cfg)
	var steps []string
	id, err := c.TestStream(t.Context(), "everything", admin.Change{By: "ada"}, func(step sinks.Step) { steps = append(steps, step.Name) })
	if err != nil || !strings.HasPrefix(id, "audit_event_") || steps[len(steps)-1] != sinks.StepWrite || s.splunk.Len() != 1 {
		t.Errorf("event %s, steps %v, %v", id, steps, err)
	}
	if _, err := c.TestStream(t.Context(), "nothing", admin.Change{}, func(sinks.Step) {}); !errors.Is(err, admin.CodeNotFound.Err()) {
		t.Errorf("no stream: %v", err)
	}
}
