package consumer_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/auditstream/auditstream/consumer"
)

// A filter that fails on everything holds its stream, whose events then wait for the filter
// to be mended: they do not drain into the dead letters.
func TestAFilterThatNeverHasAVerdictHoldsItsStream(t *testing.T) {
	r := newRig(t, 1)
	r.rejections = 5
	r.stream("a", orgA, filtered(`event.metadata.level > 2`))
	r.stream("all", orgA)
	g := r.group()
	r.run(g)
	for i := range 300 {
		r.produce(r.person(i, "Ada", ""))
	}
	r.eventually("the others' events", func() bool { return r.dest.count("all") == 300 })
	r.eventually("the record says why it is held", func() bool {
		p := r.progress("str_a")
		return p.State == consumer.StateInvalid && strings.Contains(p.Error, "no verdict on 5 events in a row") && strings.Contains(p.Error, "no such name")
	})
	if n := len(r.letters()); n != 5 {
		t.Errorf("%d dead letters, want the 5 that made the run", n)
	}
	if p := r.progress("str_a"); p.Cursor != 5 {
		t.Errorf("the cursor is at %d, not at the first event that waits", p.Cursor)
	}
	r.revise("a", filtered(`event.metadata.?level.orValue(9) > 2`))
	r.learn(g)
	r.eventually("the events that waited", func() bool { return r.dest.count("a") == 295 })
	if diff := cmp.Diff(wantIDs(5, 295), r.dest.ids("a")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	r.eventually("the lane is well", func() bool { return r.progress("str_a").State == consumer.StateActive })
	if n := len(r.letters()); n != 5 {
		t.Errorf("%d dead letters, want 5", n)
	}
}

// Events that the filter decides about, either way, end the run: what is between them is as
// many bad events.
func TestAVerdictEndsARunWithoutOne(t *testing.T) {
	for name, level := range map[string]string{"that lets pass": `{"level":3}`, "that does not": `{"level":1}`} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 1)
			r.rejections = 2
			r.stream("a", orgA, filtered(`event.metadata.level > 2`))
			r.start()
			for i := range 30 {
				metadata := ""
				if i%3 == 2 {
					metadata = level
				}
				r.produce(r.person(i, "Ada", metadata))
			}
			r.eventually("everything is settled", func() bool { return r.progress("str_a").Cursor == 30 })
			if n := len(r.letters()); n != 20 {
				t.Errorf("%d dead letters, want 20", n)
			}
		})
	}
}

// One tenant's events must not freeze the others' on a stream of all organizations.
func TestOneTenantsUndecidedEventsDoNotHoldAStreamOfAll(t *testing.T) {
	r := newRig(t, 1)
	r.rejections = 2
	r.stream("all", consumer.AllOrganizations, filtered(`event.metadata.level > 2`))
	r.start()
	for i := range 10 {
		r.produce(r.person(i, "Ada", ""))
	}
	r.eventually("everything is settled", func() bool { return r.progress("str_all").Cursor == 10 })
	r.produce(record(r.topics.Events(), orgB, eventID(10), "user.login"), r.person(11, "Ada", ""))
	r.eventually("the stream is held", func() bool { return r.progress("str_all").State == consumer.StateInvalid })
	if n := len(r.letters()); n != 11 {
		t.Errorf("%d dead letters, want 11", n)
	}
}

// Whoever takes a stream over that is held, and one that is paused and resumed, holds it again
// soon, and passes over nothing.
func TestAHeldFilterSurvivesAStart(t *testing.T) {
	r := newRig(t, 1)
	r.rejections = 3
	r.stream("a", orgA, filtered(`event.metadata.level > 2`))
	for i := range 20 {
		r.produce(r.person(i, "Ada", ""))
	}
	stop := r.start()
	r.eventually("it is held", func() bool { return r.progress("str_a").State == consumer.StateInvalid })
	stop()
	r.start()
	r.eventually("it is held again", func() bool {
		p := r.progress("str_a")
		return p.State == consumer.StateInvalid && p.Cursor == 6
	})
	if n := len(r.letters()); n != 6 {
		t.Errorf("%d dead letters, want 6", n)
	}
}
