package consumer_test

import (
	"errors"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/sinks"
)

func TestEventsArriveInOrderOnceAndOnlyAtTheirOrganization(t *testing.T) {
	r := newRig(t, 3)
	r.stream("a", orgA)
	r.stream("b", orgB)
	r.stream("all", consumer.AllOrganizations)
	r.publish(orgA, 0, 300)
	r.publish(orgB, 1000, 200)
	r.start()
	r.eventually("500 events", func() bool {
		return r.dest.count("a") == 300 && r.dest.count("b") == 200 && r.dest.count("all") == 500
	})
	if diff := cmp.Diff(wantIDs(0, 300), r.dest.ids("a")); diff != "" {
		t.Errorf("stream a (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(wantIDs(1000, 200), r.dest.ids("b")); diff != "" {
		t.Errorf("stream b (-want +got):\n%s", diff)
	}
}

func TestActionsAreFiltered(t *testing.T) {
	r := newRig(t, 1)
	r.stream("logins", orgA, func(s *consumer.Spec) { s.Actions = []string{"user.*", "sso.delete_connection"} })
	for i, action := range []string{"user.login", "group.create", "sso.delete_connection", "sso.view_settings", "user."} {
		r.produce(record(r.topics.Events(), orgA, eventID(i), action))
	}
	r.start()
	r.eventually("3 events", func() bool { return r.dest.count("logins") >= 3 })
	if diff := cmp.Diff([]string{eventID(0), eventID(2), eventID(4)}, r.dest.ids("logins")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestARestartRepeatsNothingAndMissesNothing(t *testing.T) {
	r := newRig(t, 3)
	r.stream("a", orgA)
	for i := range 5 {
		r.publish(orgA, i*100, 100)
		stop := r.start()
		r.eventually("the next hundred", func() bool { return r.dest.count("a") >= (i+1)*100 })
		stop()
	}
	if diff := cmp.Diff(wantIDs(0, 500), r.dest.ids("a")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestADestinationThatIsDownIsTriedUntilItTakesEverything(t *testing.T) {
	r := newRig(t, 1)
	r.stream("a", orgA)
	failures := 0
	r.dest.program(func(string, []string) (int, sinks.Receipt, error) {
		if failures++; failures < 20 {
			return 0, sinks.Receipt{}, errors.New("connection refused")
		}
		return 1 << 30, sinks.Receipt{}, nil
	})
	r.dest.program(func(_ string, ids []string) (int, sinks.Receipt, error) {
		if failures++; failures < 20 {
			return 0, sinks.Receipt{}, errors.New("connection refused")
		}
		return len(ids), sinks.Receipt{}, nil
	})
	r.publish(orgA, 0, 500)
	r.start()
	r.eventually("500 events", func() bool { return r.dest.count("a") >= 500 })
	if diff := cmp.Diff(wantIDs(0, 500), r.dest.ids("a")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if n := len(r.letters()); n != 0 {
		t.Errorf("%d dead letters for a destination that was down", n)
	}
}

func TestABrokenStreamHoldsUpNoOther(t *testing.T) {
	r := newRig(t, 1)
	r.stream("broken", orgA)
	r.stream("healthy", orgA)
	broken := true
	r.dest.program(func(stream string, ids []string) (int, sinks.Receipt, error) {
		if stream == "broken" && broken {
			return 0, sinks.Receipt{}, &sinks.Error{Class: sinks.Misconfigured, Err: errors.New("token revoked")}
		}
		return len(ids), sinks.Receipt{}, nil
	})
	r.publish(orgA, 0, 2000)
	r.start()
	r.eventually("the healthy stream's 2000", func() bool { return r.dest.count("healthy") >= 2000 })
	if n := r.dest.count("broken"); n != 0 {
		t.Errorf("the broken stream took %d events", n)
	}
	r.dest.mu.Lock()
	broken = false
	r.dest.mu.Unlock()
	r.eventually("what the broken stream was owed", func() bool { return r.dest.count("broken") >= 2000 })
	for _, s := range []string{"healthy", "broken"} {
		if diff := cmp.Diff(wantIDs(0, 2000), r.dest.ids(s)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", s, diff)
		}
	}
	if n := len(r.letters()); n != 0 {
		t.Errorf("%d dead letters for a wrong token", n)
	}
}

func TestARefusedEventIsFoundAndTheOthersArriveOnce(t *testing.T) {
	feedIDs := regexp.MustCompile(`"feed":"[a-z2-7]{16}"`) // of a topic's id, which no other has
	rejected := func(event int, named bool) error {
		return &sinks.Error{Class: sinks.Rejected, Event: event, Named: named, Status: 400, Answer: `{"code":6}`, Err: errors.New("invalid data format")}
	}
	poison := []string{eventID(3), eventID(57), eventID(58)}
	tests := map[string]func(ids []string) (int, sinks.Receipt, error){
		"named, those before it taken": func(ids []string) (int, sinks.Receipt, error) {
			for i, id := range ids {
				if slices.Contains(poison, id) {
					return i, sinks.Receipt{Settled: i}, rejected(i, true)
				}
			}
			return len(ids), sinks.Receipt{}, nil
		},
		"named, nothing taken": func(ids []string) (int, sinks.Receipt, error) {
			for i, id := range ids {
				if slices.Contains(poison, id) {
					return 0, sinks.Receipt{}, rejected(i, true)
				}
			}
			return len(ids), sinks.Receipt{}, nil
		},
		"not named": func(ids []string) (int, sinks.Receipt, error) {
			for _, id := range ids {
				if slices.Contains(poison, id) {
					return 0, sinks.Receipt{}, rejected(0, false)
				}
			}
			return len(ids), sinks.Receipt{}, nil
		},
		"named beyond the batch": func(ids []string) (int, sinks.Receipt, error) {
			for _, id := range ids {
				if slices.Contains(poison, id) {
					return 0, sinks.Receipt{}, rejected(len(ids)+5, true)
				}
			}
			return len(ids), sinks.Receipt{}, nil
		},
	}
	for name, answer := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 1)
			r.stream("a", orgA)
			r.dest.program(func(_ string, ids []string) (int, sinks.Receipt, error) { return answer(ids) })
			r.publish(orgA, 0, 100)
			r.start()
			r.eventually("97 events and 3 letters", func() bool { return r.dest.count("a") >= 97 && len(r.letters()) >= 3 })
			want := slices.DeleteFunc(wantIDs(0, 100), func(id string) bool { return slices.Contains(poison, id) })
			if diff := cmp.Diff(want, r.dest.ids("a")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			letters := r.letters()
			if len(letters) != 3 {
				t.Fatalf("%d letters, want 3", len(letters))
			}
			if diff := cmp.Diff(string(event(orgA, poison[0], "user.login")), string(letters[0].Value)); diff != "" {
				t.Errorf("the letter's value (-want +got):\n%s", diff)
			}
			for key, want := range map[string]string{
				"auditstream.letter.version": "1", "auditstream.letter.class": "rejected", "auditstream.letter.offset": "3",
				"auditstream.letter.answer": `{"code":6}`, "encoding": "jcs",
				"auditstream.letter.streams": `[{"id":"a","uid":"str_a","epoch":1,"revision":1,"feed":"","seq":4}]`,
			} {
				if got := feedIDs.ReplaceAllString(header(letters[0], key), `"feed":""`); got != want {
					t.Errorf("header %s = %q, want %q", key, got, want)
				}
			}
		})
	}
}

func TestAnEventThatCannotBeFramedIsDeadLetteredInItsPlace(t *testing.T) {
	r := newRig(t, 1)
	r.stream("a", orgA)
	r.produce(
		record(r.topics.Events(), orgA, eventID(0), "user.login"),
		record(r.topics.Events(), orgA, eventID(1), "huge"),
		record(r.topics.Events(), orgA, eventID(2), "user.login"),
		record(r.topics.Events(), orgA, eventID(3), "huge"),
		record(r.topics.Events(), orgA, eventID(4), "huge"),
	)
	r.start()
	r.eventually("2 events and 3 letters", func() bool { return r.dest.count("a") >= 2 && len(r.letters()) >= 3 })
	if diff := cmp.Diff([]string{eventID(0), eventID(2)}, r.dest.ids("a")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPoisonsCostLittleMoreThanTheirHalvings(t *testing.T) {
	const events = 1000
	poison := []string{eventID(3), eventID(500), eventID(998)}
	r := newRig(t, 1)
	r.batching = sinks.Batching{MaxEvents: events, MaxBytes: 1 << 20, Linger: time.Hour} // one batch: it waits until it is full
	r.stream("a", orgA)
	requests := 0
	r.dest.program(func(_ string, ids []string) (int, sinks.Receipt, error) {
		requests++ // with the destination's lock held
		if slices.ContainsFunc(ids, func(id string) bool { return slices.Contains(poison, id) }) {
			return 0, sinks.Receipt{}, &sinks.Error{Class: sinks.Rejected, Err: errors.New("invalid data format")}
		}
		return len(ids), sinks.Receipt{}, nil
	})
	r.publish(orgA, 0, events)
	r.start()
	r.eventually("997 events and 3 letters", func() bool { return r.dest.count("a") >= events-3 && len(r.letters()) >= 3 })
	want := slices.DeleteFunc(wantIDs(0, events), func(id string) bool { return slices.Contains(poison, id) })
	if diff := cmp.Diff(want, r.dest.ids("a")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if n := len(r.letters()); n != 3 {
		t.Errorf("%d letters, want 3", n)
	}
	// A poison is found by ten halvings, each of which sends the sound half too.
	r.dest.mu.Lock()
	defer r.dest.mu.Unlock()
	if most := 3*2*10 + 5; requests > most {
		t.Errorf("%d requests, want %d at most", requests, most)
	}
}
