package consumer_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/internal/secret"
	"github.com/auditstream/auditstream/sinks"
)

// person is a login of somebody whose name is a secret, with metadata or without.
func (r *rig) person(n int, name, metadata string) *kgo.Record {
	rec := record(r.topics.Events(), orgA, eventID(n), "user.login")
	value := fmt.Sprintf(`{"action":"user.login","actor":{"id":"u","name":%q,"type":"user"},"id":%q`, name, eventID(n))
	if metadata != "" {
		value += `,"metadata":` + metadata
	}
	rec.Value = []byte(value + fmt.Sprintf(`,"occurred_at":"2026-11-01T00:00:00Z","organization_id":%q,"targets":[]}`, orgA))
	return rec
}

func filtered(expression string) func(*consumer.Spec) {
	return func(s *consumer.Spec) { s.Filter = expression }
}

func TestAFilterLetsEventsPass(t *testing.T) {
	r := newRig(t, 1)
	r.stream("adas", orgA, filtered(`event.actor.name == "Ada"`))
	r.stream("others", orgA, filtered(`event.actor.name != "Ada"`))
	r.stream("none", orgA, filtered(`event.actor.name == "nobody"`))
	r.stream("all", orgA)
	var adas, others []string
	for i := range 100 {
		name := "Ada"
		if i%3 == 0 {
			name, others = "Bob", append(others, eventID(i))
		} else {
			adas = append(adas, eventID(i))
		}
		r.produce(r.person(i, name, ""))
	}
	stop := r.start()
	r.eventually("all of them", func() bool {
		return r.dest.count("adas") == len(adas) && r.dest.count("others") == len(others) && r.dest.count("all") == 100
	})
	r.eventually("the cursors pass what is filtered out", func() bool {
		return r.progress("str_adas").Cursor == 100 && r.progress("str_others").Cursor == 100
	})
	stop()
	if diff := cmp.Diff(adas, r.dest.ids("adas")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(others, r.dest.ids("others")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if n := r.dest.count("none") + len(r.letters()); n != 0 {
		t.Errorf("%d events more", n)
	}
	for stream, want := range map[string][2]int64{"str_adas": {66, 34}, "str_others": {34, 66}, "str_none": {0, 100}, "str_all": {100, 0}} {
		p := r.progress(stream)
		if p.Matched != 100 || p.Delivered != want[0] || p.Filtered != want[1] || p.DeadLettered != 0 || p.Cursor != 100 {
			t.Errorf("%s: %+v", stream, p)
		}
	}
}

// Where a filter has no verdict, the event is neither dropped nor sent.
func TestAnEventThatAFilterCannotDecideGoesToTheDeadLetters(t *testing.T) {
	r := newRig(t, 1)
	r.stream("a", orgA, filtered(`event.metadata.level > 2`))
	r.stream("all", orgA)
	r.produce(r.person(0, "Ada", `{"level":3}`), r.person(1, "Ada", ""), r.person(2, "Ada", `{"level":"secret"}`), r.person(3, "Ada", `{"level":1}`), r.person(4, "Ada", `{"level":4}`))
	r.start()
	r.eventually("what is decided", func() bool { return r.dest.count("a") == 2 && r.dest.count("all") == 5 })
	r.eventually("the letters", func() bool { return len(r.letters()) == 2 })
	r.eventually("the cursor", func() bool { return r.progress("str_a").Cursor == 5 })
	if diff := cmp.Diff([]string{eventID(0), eventID(4)}, r.dest.ids("a")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	r.eventually("the counts", func() bool {
		p := r.progress("str_a")
		return p.Matched == 5 && p.Delivered == 2 && p.Filtered == 1 && p.DeadLettered == 2
	})
	for i, want := range []string{
		"the event has no such name there",
		"a value in the event is of another type",
	} {
		l := r.letters()[i]
		reason := header(l, "auditstream.letter.reason")
		if !strings.Contains(reason, want) || strings.Contains(reason, "secret") || header(l, "auditstream.letter.class") != "rejected" {
			t.Errorf("letter %d: %s", i, reason)
		}
	}
	if string(r.letters()[1].Value) != string(r.person(2, "Ada", `{"level":"secret"}`).Value) {
		t.Error("a letter does not hold the original bytes")
	}
}

// A change of the filter takes effect between two batches, at the cursor.
func TestAFilterIsMendedWhileDeliveryRuns(t *testing.T) {
	r := newRig(t, 1)
	r.stream("a", orgA, filtered(`event.actor.name == "Ada" && event.metadata.level > 2`))
	g := r.group()
	r.run(g)
	r.produce(r.person(0, "Ada", `{"level":3}`), r.person(1, "Bob", `{"level":3}`), r.person(2, "Bob", ""))
	r.eventually("the first", func() bool { return r.dest.count("a") == 1 && r.progress("str_a").Cursor == 3 })
	r.revise("a", filtered(`event.metadata.?level.orValue(9) > 2`))
	r.learn(g)
	r.produce(r.person(3, "Bob", ""), r.person(4, "Bob", `{"level":1}`), r.person(5, "Bob", `{"level":5}`))
	r.eventually("those of the new filter", func() bool { return r.dest.count("a") == 3 && r.progress("str_a").Cursor == 6 })
	if diff := cmp.Diff([]string{eventID(0), eventID(3), eventID(5)}, r.dest.ids("a")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A spec whose filter this binary cannot use holds its own stream and no other.
func TestAFilterThatDoesNotCompileHoldsItsStream(t *testing.T) {
	r := newRig(t, 1)
	r.stream("a", orgA, filtered(`event.nonsense == 1`))
	r.stream("b", orgA)
	r.publish(orgA, 0, 50)
	g := r.group()
	r.run(g)
	r.eventually("the neighbour", func() bool { return r.dest.count("b") == 50 })
	r.eventually("the state", func() bool { return r.progress("str_a").State == "invalid" })
	if p := r.progress("str_a"); p.Cursor != 0 || !strings.Contains(p.Error, `filter: 1:6: no event has "nonsense" there`) {
		t.Errorf("the stream stands at %d: %s", p.Cursor, p.Error)
	}
	if n := r.dest.count("a") + len(r.letters()); n != 0 {
		t.Errorf("%d events of a stream that is held", n)
	}
	r.revise("a", filtered(`event.action == "user.login"`))
	r.learn(g)
	r.eventually("everything", func() bool { return r.dest.count("a") == 50 && r.progress("str_a").State == "active" })
	if diff := cmp.Diff(wantIDs(0, 50), r.dest.ids("a")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestNothingLeavesUnmasked(t *testing.T) {
	r := newRig(t, 1)
	r.dest.keep = true
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("0123456789abcdef\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.stream("a", orgA, func(s *consumer.Spec) {
		s.Filter = `event.actor.name == "secret Ada" && event.metadata.email != ""` // it sees the values
		s.Mask = []consumer.MaskRule{
			{Pointer: "/actor/name", With: "mask"},
			{Pointer: "/metadata/email", With: "hmac", Key: secret.Ref{File: key}},
			{Pointer: "/metadata/phone", With: "drop"},
		}
	})
	r.produce(r.person(0, "secret Ada", `{"email":"secret@example.com","phone":"secret 1"}`))
	r.produce(&kgo.Record{ // of another client: neither canonical nor marked
		Topic: r.topics.Events(), Key: []byte(orgA),
		Value: fmt.Appendf(nil, `{"organizationId":%q, "action":"user.login", "occurredAt":"2026-11-01T00:00:00Z", "actor":{"type":"user","name":"secret Ada","id":"u"},
			"targets":[], "metadata":{"phone":"secret 2","email":"secret@example.com"}, "id":%q}`, orgA, eventID(1)),
	})
	r.start()
	r.eventually("both", func() bool { return r.dest.count("a") == 2 })
	mac := hmac.New(sha256.New, []byte("0123456789abcdef"))
	mac.Write([]byte("secret@example.com"))
	hash := "hmac:" + hex.EncodeToString(mac.Sum(nil))[:32]
	want := ""
	for i := range 2 {
		want += fmt.Sprintf(`{"action":"user.login","actor":{"id":"u","name":"[masked]","type":"user"},"id":%q,"metadata":{"email":%q},"occurred_at":"2026-11-01T00:00:00Z","organization_id":%q,"targets":[]}`+"\n",
			eventID(i), hash, orgA)
	}
	if diff := cmp.Diff(want, r.dest.text("a")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// While the key of a mask cannot be read its stream waits, in a state that says so; others
// do not.
func TestAMaskWithoutItsKeyHoldsItsStream(t *testing.T) {
	r := newRig(t, 1)
	r.dest.keep = true
	r.retry.Probe = 0 // as fast as may be
	key := filepath.Join(t.TempDir(), "key")
	r.stream("a", orgA)
	r.stream("b", orgA)
	g := r.group()
	r.run(g)
	r.produce(r.person(0, "public Ada", ""))
	r.eventually("the first", func() bool { return r.dest.count("a") == 1 })
	r.revise("a", func(s *consumer.Spec) {
		s.Mask = []consumer.MaskRule{{Pointer: "/actor/name", With: "hmac", Key: secret.Ref{File: key}}}
	})
	r.learn(g) // from here on nothing leaves as it is, also not by the former revision
	for i := 1; i < 40; i++ {
		r.produce(r.person(i, "secret Ada", ""))
	}
	r.eventually("the neighbour", func() bool { return r.dest.count("b") == 40 })
	r.eventually("the state", func() bool { return r.progress("str_a").State == "invalid" })
	if p := r.progress("str_a"); r.dest.count("a") != 1 || !strings.Contains(p.Error, "mask[0].key: secret {file: "+key) {
		t.Errorf("%d arrived; %+v", r.dest.count("a"), p)
	}
	if err := os.WriteFile(key, []byte("too short"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.eventually("the new reason", func() bool {
		return strings.Contains(r.progress("str_a").Error, "mask[0].key is shorter than 16 bytes")
	})
	if err := os.WriteFile(key, []byte("0123456789abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.eventually("everything", func() bool { return r.dest.count("a") == 40 && r.progress("str_a").State == "active" })
	if diff := cmp.Diff(wantIDs(0, 40), r.dest.ids("a")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if strings.Contains(r.dest.text("a"), "secret") || len(r.letters()) != 0 {
		t.Errorf("unmasked: %s", r.dest.text("a"))
	}
}

// A redrive sends what the stream's filter lets through now, and what it does not is left for
// somebody to decide about.
func TestARedriveKeepsToTheStreamsFilterAndMask(t *testing.T) {
	r := newRig(t, 1)
	r.dest.keep = true
	r.stream("a", orgA)
	r.refuseAll()
	r.produce(r.person(0, "secret Ada", ""), r.person(1, "secret Bob", ""), r.person(2, "secret Ada", ""))
	stop := r.start()
	r.eventually("the letters", func() bool { return len(r.letters()) == 3 })
	stop()
	r.dest.program(nil)
	r.revise("a", func(s *consumer.Spec) {
		s.Filter = `event.actor.name == "secret Ada"`
		s.Mask = []consumer.MaskRule{{Pointer: "/actor/name", With: "drop"}}
	})
	got := r.redrive()
	if diff := cmp.Diff([]string{eventID(0), eventID(2)}, r.dest.ids(replayed)); diff != "" {
		t.Errorf("redriven (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"redriven", "open", "redriven"}, r.states()); diff != "" {
		t.Errorf("letters (-want +got):\n%s", diff)
	}
	if got.Delivered != 2 || got.Refused != 1 || strings.Contains(r.dest.text(replayed), "secret") {
		t.Errorf("standing %+v; %s", got, r.dest.text(replayed))
	}
}

func TestAReplayKeepsToTheStreamsFilter(t *testing.T) {
	r := newRig(t, 1)
	r.stream("a", orgA, filtered(`event.actor.name == "Ada"`))
	r.produce(r.person(0, "Ada", ""), r.person(1, "Bob", ""), r.person(2, "Ada", ""), r.person(3, "Bob", ""))
	task := r.task(0, 4)
	j, err := r.job(task)
	if err != nil {
		t.Fatal(err)
	}
	n, err := j.Count(t.Context(), nil)
	j.Close()
	if err != nil || n[0] != 2 {
		t.Errorf("counted %v, %v", n, err)
	}
	got := r.do(task)
	if diff := cmp.Diff([]string{eventID(0), eventID(2)}, r.dest.ids(replayed)); diff != "" {
		t.Errorf("replayed (-want +got):\n%s", diff)
	}
	if got.Delivered != 2 || got.Refused != 0 || got.Passed != 4 {
		t.Errorf("standing %+v", got)
	}
}

// What is filtered out is not rescued when it is about to expire, and needs no room: a lane
// that is full passes over it.
func TestAFilterHoldsWhileTheDestinationIsDown(t *testing.T) {
	r := newRig(t, 1)
	r.batching.MaxEvents = 5
	r.stream("a", orgA, filtered(`event.actor.name == "Ada"`))
	down := true
	r.dest.program(func(_ string, ids []string) (int, sinks.Receipt, error) {
		if down {
			return 0, sinks.Receipt{}, errDown
		}
		return len(ids), sinks.Receipt{}, nil
	})
	var want []string
	for i := range 300 {
		name := "Bob"
		if i%2 == 0 {
			name, want = "Ada", append(want, eventID(i))
		}
		r.produce(r.person(i, name, ""))
	}
	stop := r.start()
	r.eventually("the destination is tried", func() bool { return r.progress("str_a").State == "error" })
	r.dest.mu.Lock()
	down = false
	r.dest.mu.Unlock()
	r.eventually("all of its own", func() bool { return r.dest.count("a") == len(want) && r.progress("str_a").Cursor == 300 })
	stop()
	if diff := cmp.Diff(want, r.dest.ids("a")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(r.letters()) != 0 {
		t.Error("there are dead letters")
	}
}
