package spool

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/auditstream/auditstream/producer"
	"github.com/auditstream/auditstream/schema"
)

func TestWhileKafkaAnswersNothingGoesToDisk(t *testing.T) {
	t.Parallel()
	r := open(t, t.TempDir(), &kafka{})
	r.publish(t, event(1, 1), event(2, 1), event(1, 2))
	if n, _ := r.kafka.count(); n != 3 || r.waiting() != 0 || len(files(t, r.dir, "spool-*")) != 0 {
		t.Errorf("%d events in Kafka, %d on disk, files %v", n, r.waiting(), files(t, r.dir, "*"))
	}
}

func TestWhatKafkaDoesNotTakeIsDrainedInOrder(t *testing.T) {
	t.Parallel()
	r := open(t, t.TempDir(), &kafka{})
	r.publish(t, event(1, 1))
	r.kafka.set(away, false)
	r.publish(t, event(1, 2), event(2, 1), event(1, 3))
	if r.waiting() != 3 {
		t.Fatalf("%d events on disk, want 3", r.waiting())
	}
	r.kafka.set(nil, false)
	// Kafka is back, and what is on disk still comes first.
	r.publish(t, event(1, 4))
	if r.waiting() != 4 {
		t.Fatal("an event has overtaken one on disk")
	}
	r.drains(t).empty(t)
	r.publish(t, event(1, 5))
	if r.waiting() != 0 {
		t.Error("after the drain events go on disk still")
	}
	for org, last := range map[int]int{1: 5, 2: 1} {
		if diff := cmp.Diff(ids(org, 1, last), r.kafka.first(org)); diff != "" {
			t.Errorf("organization %d (-want +got)\n%s", org, diff)
		}
	}
	r.stop()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if again := open(t, r.dir, r.kafka); again.waiting() != 0 {
		t.Errorf("%d drained events wait again after a restart", again.waiting())
	}
}

// Kafka has it, and the answer was lost: it goes to disk and is there twice, with one id.
func TestWhatIsUncertainGoesToDiskWithItsID(t *testing.T) {
	t.Parallel()
	r := open(t, t.TempDir(), &kafka{})
	r.kafka.set(away, true)
	e := event(1, 1)
	e.ID = ""
	r.publish(t, e)
	r.kafka.set(nil, false)
	r.drains(t).empty(t)
	if got := r.kafka.got[orgID(1)]; len(got) != 2 || got[0] != got[1] || got[0] != e.ID {
		t.Errorf("in Kafka there are %v, want the id %s twice", got, e.ID)
	}
}

func TestKafkaThatIsAwayIsNotAskedForEachEvent(t *testing.T) {
	t.Parallel()
	r := open(t, t.TempDir(), &kafka{})
	r.kafka.set(away, false)
	for n := range 50 {
		r.publish(t, event(n, 1))
	}
	if _, asked := r.kafka.count(); asked != 1 {
		t.Errorf("Kafka was asked %d times", asked)
	}
}

// When the disk takes nothing there is nobody who drains, and so nobody but a sender finds
// out that Kafka is back.
func TestKafkaThatComesBackIsNoticedWithoutADisk(t *testing.T) {
	t.Parallel()
	r := open(t, t.TempDir(), &kafka{})
	r.queue.create = func(string) (file, error) { return nil, os.ErrPermission }
	r.kafka.set(away, false)
	for range 2 {
		err := failures(t, r.Publish(t.Context(), event(1, 1)))[0]
		if !errors.Is(err, ErrDisk) || !errors.Is(err, producer.ErrUnavailable) {
			t.Fatalf("got %v, want both reasons", err)
		}
	}
	r.kafka.set(nil, false)
	r.publish(t, event(1, 1))
}

// A partition without a leader, say: what goes to disk behind the one event that waits was not
// tried, so it is no reason to take everybody else's there.
func TestWhatIsKeptForItsOrderDoesNotSayThatKafkaIsAway(t *testing.T) {
	t.Parallel()
	r := open(t, t.TempDir(), &kafka{})
	r.kafka.set(away, false)
	r.publish(t, event(1, 1), event(2, 1))
	if !r.away.Load() {
		t.Error("Kafka has not taken an event, and is not said to be away")
	}
	r.kafka.set(func(e *schema.Event) error {
		if e.OrganizationID == orgID(1) {
			return errAway
		}
		return nil
	}, false)
	r.sweepOnce(t)
	r.publish(t, event(1, 2))
	if r.away.Load() || r.figure(t, "away", "") != 0 {
		t.Error("Kafka is said to be away for an event that was not tried")
	}
	r.publish(t, event(2, 2))
	if got := r.waiting(); got != 2 {
		t.Errorf("%d events wait, want those of the one organization", got)
	}
	if diff := cmp.Diff(ids(2, 1, 2), r.kafka.first(2)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// All that is sent goes behind what waits, so no sender finds out that Kafka is away: the drain does.
func TestTheDrainFindsOutThatKafkaIsAway(t *testing.T) {
	t.Parallel()
	first := open(t, t.TempDir(), &kafka{})
	first.kafka.set(away, false)
	first.publish(t, event(1, 1))
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	r := open(t, first.dir, first.kafka)
	says := func(when string, want float64) {
		t.Helper()
		if got := r.figure(t, "away", ""); got != want {
			t.Errorf("%s the metric says %v, want %v", when, got, want)
		}
	}
	r.publish(t, event(1, 2))
	says("before Kafka was asked", 0)
	for range 2 {
		r.sweepOnce(t)
		says("after a drain of which Kafka took nothing", 1)
	}
	// Only what waits is Kafka known not to take: others try.
	r.kafka.set(func(e *schema.Event) error {
		if e.OrganizationID == orgID(1) {
			return errAway
		}
		return nil
	}, false)
	r.publish(t, event(2, 1))
	if r.waiting() != 2 {
		t.Errorf("%d events wait, want those of the one organization", r.waiting())
	}
	says("when it took somebody else's", 0)
	r.sweepOnce(t)
	says("when it took nothing again", 1)
	r.kafka.set(nil, false)
	r.sweepOnce(t)
	says("drained", 0)
}

func TestWhatIsNotValidIsRefusedAndNotKept(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(*schema.Event) error{"Kafka is there": nil, "Kafka is away": away} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := open(t, t.TempDir(), &kafka{})
			r.kafka.set(away, false)
			r.publish(t, event(9, 1)) // from now on it is known to be away
			r.kafka.set(fail, false)
			bad, large, none := event(1, 1), event(1, 2), event(1, 3)
			bad.Action, none.OrganizationID = "", ""
			large.Metadata = map[string]any{"k": strings.Repeat("x", 2_000_000)}
			failed := failures(t, r.Publish(t.Context(), bad, large, none, nil, event(1, 4)))
			for i := range 3 {
				if _, ok := errors.AsType[schema.Violations](failed[i]); !ok {
					t.Errorf("event %d: got %v, want violations", i, failed[i])
				}
			}
			if len(failed) != 4 || r.waiting() != 2 {
				t.Errorf("%d failed and %d wait, want 4 and the valid ones", len(failed), r.waiting())
			}
		})
	}
}

func TestATooLargeEventIsItsSendersToMend(t *testing.T) {
	t.Parallel()
	r := open(t, t.TempDir(), &kafka{})
	r.kafka.set(func(*schema.Event) error { return &producer.TooLargeError{Size: 2, Limit: 1, Topic: "audit.events"} }, false)
	if _, ok := errors.AsType[*producer.TooLargeError](r.Publish(t.Context(), event(1, 1))); !ok || r.waiting() != 0 {
		t.Errorf("it is kept: %d wait", r.waiting())
	}
}

// Also when Kafka says so only to the drain: nobody is there any more to be told.
func TestWhatKafkaRefusesForEverIsKeptBesideTheQueue(t *testing.T) {
	t.Parallel()
	r := open(t, t.TempDir(), &kafka{})
	r.kafka.set(away, false)
	r.publish(t, event(1, 1), event(1, 2), event(1, 3))
	r.kafka.set(func(e *schema.Event) error {
		if e.ID == event(1, 2).ID {
			return &producer.TooLargeError{Size: 2, Limit: 1, Topic: "audit.events"}
		}
		return nil
	}, false)
	r.drains(t).empty(t)
	if diff := cmp.Diff([]string{event(1, 1).ID, event(1, 3).ID}, r.kafka.first(1)); diff != "" {
		t.Errorf("in Kafka (-want +got)\n%s", diff)
	}
	b, err := os.ReadFile(r.dir + "/" + RefusedName)
	if err != nil {
		t.Fatal(err)
	}
	if text := string(b); strings.Count(text, "\n") != 1 || !strings.Contains(text, event(1, 2).ID) || !strings.Contains(text, "max.message.bytes") {
		t.Errorf("refused: %s", text)
	}
	if got := r.figure(t, "events_total", outcomeRefused); got != 1 {
		t.Errorf("%v refused events are counted", got)
	}
}

// Whoever may not write today may tomorrow: that is no reason to set events aside.
func TestMissingRightsHoldEventsBack(t *testing.T) {
	t.Parallel()
	r := open(t, t.TempDir(), &kafka{})
	r.kafka.set(func(*schema.Event) error { return kerr.TopicAuthorizationFailed }, false)
	r.publish(t, event(1, 1))
	r.sweepOnce(t)
	if r.waiting() != 1 || len(files(t, r.dir, RefusedName)) != 0 {
		t.Error("the event is not held back")
	}
	r.kafka.set(nil, false)
	r.sweepOnce(t)
	if r.waiting() != 0 {
		t.Error("the event stays when the right is there")
	}
}

func TestAStuckOrganizationHoldsNobodyElseUp(t *testing.T) {
	t.Parallel()
	r := open(t, t.TempDir(), &kafka{})
	r.kafka.set(away, false)
	for n := 1; n <= 3; n++ {
		r.publish(t, event(1, n), event(2, n))
	}
	stuck := func(e *schema.Event) error {
		if e.ID == event(1, 1).ID {
			return errAway
		}
		return nil
	}
	r.kafka.set(stuck, false)
	r.sweepOnce(t)
	if diff := cmp.Diff(ids(2, 1, 3), r.kafka.first(2)); diff != "" {
		t.Errorf("the other organization (-want +got)\n%s", diff)
	}
	if got := r.kafka.first(1); got != nil {
		t.Errorf("%v have overtaken an event of their organization", got)
	}
	r.publish(t, event(2, 4)) // straight
	if r.waiting() != 3 {
		t.Errorf("%d wait, want the three of the stuck organization", r.waiting())
	}
	r.kafka.set(nil, false)
	r.sweepOnce(t)
	if diff := cmp.Diff(ids(1, 1, 3), r.kafka.first(1)); diff != "" {
		t.Errorf("when it is stuck no more (-want +got)\n%s", diff)
	}
}

func TestACallerWhoHasGone(t *testing.T) {
	t.Parallel()
	r := open(t, t.TempDir(), &kafka{})
	ctx, cancel := context.WithCancel(t.Context())
	r.kafka.set(func(*schema.Event) error { cancel(); return errAway }, false)
	if err := r.Publish(ctx, event(1, 1)); !errors.Is(err, producer.ErrUnavailable) || r.waiting() != 0 {
		t.Errorf("got %v, and %d wait", err, r.waiting())
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]Config{
		"spool.Config.Dir: required":                  {Kafka: &kafka{}},
		"spool.Config.Kafka: required":                {Dir: "x"},
		"spool.Config.Max: 1000 is less than 1048576": {Dir: "x", Kafka: &kafka{}, Max: 1000},
		"spool.Config.After: -1s is negative":         {Dir: "x", Kafka: &kafka{}, After: -time.Second},
	} {
		if _, err := Open(c); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// TestEncodedEventsTakeTheSameWays has events, with and without an id, go to disk and from
// there to Kafka.
func TestEncodedEventsTakeTheSameWays(t *testing.T) {
	r := open(t, t.TempDir(), &kafka{}).drains(t)
	r.kafka.set(away, false)
	var v schema.Validator
	var want []string
	for n := range 5 {
		e := event(1, n)
		if n%2 == 0 {
			e.ID = ""
		}
		x, violations := v.Encoded(e)
		if violations != nil {
			t.Fatal(violations)
		}
		if err := r.PublishEncoded(t.Context(), x); err != nil || x.ID() == "" || x.ID() != e.ID {
			t.Fatalf("event %d has id %q, %q: %v", n, e.ID, x.ID(), err)
		}
		want = append(want, e.ID)
	}
	if r.waiting() == 0 {
		t.Error("nothing waits on the disk")
	}
	r.kafka.set(nil, false)
	r.empty(t)
	if diff := cmp.Diff(want, r.kafka.first(1)); diff != "" {
		t.Errorf("(-published +arrived):\n%s", diff)
	}
}
