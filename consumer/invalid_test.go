package consumer_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestWhatIsNoEventGoesToTheDeadLettersWithEveryViolation(t *testing.T) {
	good := string(event(orgA, eventID(7), "user.login"))
	jcs := []kgo.RecordHeader{{Key: "version", Value: []byte("1")}, {Key: "encoding", Value: []byte("jcs")}}
	tests := map[string]struct {
		key     string
		value   string
		headers []kgo.RecordHeader
		want    []string // pointer: code
	}{
		"no key":                      {"", good, jcs, []string{": key"}},
		"another organization's key":  {orgB, good, jcs, []string{"/organization_id: key"}},
		"not JSON":                    {orgA, `hello`, jcs, []string{": syntax"}},
		"cut off":                     {orgA, good[:len(good)-5], jcs, []string{": syntax"}},
		"two values":                  {orgA, `{}{}`, jcs, []string{": syntax"}},
		"two events":                  {orgA, good + good, jcs, []string{": syntax"}},
		"an array":                    {orgA, `[` + good + `]`, jcs, []string{": type"}},
		"empty":                       {orgA, ``, jcs, []string{": syntax"}},
		"a second action":             {orgA, strings.Replace(good, `{"action":"user.login"`, `{"action":"user.login","\u0061ction":"forged"`, 1), jcs, []string{"/action: duplicate"}},
		"not UTF-8":                   {orgA, strings.Replace(good, "user.login", "user.\xff", 1), jcs, []string{": syntax"}},
		"no id in a canonical record": {orgA, strings.Replace(good, fmt.Sprintf(`"id":%q,"occurred`, eventID(7)), `"occurred`, 1), jcs, []string{"/id: required"}},
		"marked as canonical, and a member repeats": {
			orgA, strings.Replace(good, `"targets":`, `"metadata":{"level":4,"level":5},"targets":`, 1), jcs,
			[]string{"/metadata/level: duplicate"},
		},
		"marked as canonical, with a number that readers round": {
			orgA, strings.Replace(good, `"targets":`, `"metadata":{"n":9007199254740993},"targets":`, 1), jcs,
			[]string{"/metadata/n: range"},
		},
		"marked as canonical, with half a character": {
			orgA, strings.Replace(good, `"targets":`, `"metadata":{"n":"\ud800"},"targets":`, 1), jcs,
			[]string{"/metadata/n: syntax"},
		},
		"unmarked and several violations": {orgA, `{"action":5,"organization_id":"` + orgA + `","occurred_at":"yesterday","targets":[{}]}`, nil, []string{"/action: type", "/actor: required", "/occurred_at: format", "/targets/0/id: required", "/targets/0/type: required"}},
		"a newer record format":           {orgA, good, []kgo.RecordHeader{{Key: "version", Value: []byte("2")}, {Key: "encoding", Value: []byte("jcs")}}, []string{": version"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 1)
			r.stream("a", orgA)
			r.publish(orgA, 0, 3)
			bad := &kgo.Record{Topic: r.topics.Events(), Value: []byte(test.value), Headers: test.headers}
			if test.key != "" {
				bad.Key = []byte(test.key)
			}
			r.produce(bad)
			r.publish(orgA, 3, 3)
			stop := r.start()
			r.eventually("the good events and a letter", func() bool { return r.dest.count("a") >= 6 && len(r.letters()) >= 1 })
			stop()
			if diff := cmp.Diff(wantIDs(0, 6), r.dest.ids("a")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			letters := r.letters()
			if len(letters) != 1 {
				t.Fatalf("%d letters, want 1", len(letters))
			}
			letter := letters[0]
			if string(letter.Value) != test.value || string(letter.Key) != test.key {
				t.Errorf("the letter holds %q: %q", letter.Key, letter.Value)
			}
			if class := header(letter, "auditstream.letter.class"); class != "invalid" {
				t.Errorf("class %q", class)
			}
			var vs []struct{ Pointer, Code string }
			if err := json.Unmarshal([]byte(header(letter, "auditstream.letter.violations")), &vs); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, v := range vs {
				got = append(got, v.Pointer+": "+v.Code)
			}
			slices.Sort(got)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("violations (-want +got):\n%s", diff)
			}
			r.start()
			r.publish(orgA, 6, 3)
			r.eventually("the next", func() bool { return r.dest.count("a") >= 9 })
			if n := len(r.letters()); n != 1 {
				t.Errorf("%d letters after a restart, want 1", n)
			}
		})
	}
}

func TestAnEventOfAnotherClientIsEncodedAndGetsAnIDOfItsPlace(t *testing.T) {
	r := newRig(t, 1)
	r.stream("a", orgA)
	value := `{ "organizationId": "` + orgA + `", "occurredAt": "2026-11-01T00:00:00Z", "targets": [], "actor": {"type": "user", "id": "u"}, "action": "user.login" }`
	r.produce(&kgo.Record{Topic: r.topics.Events(), Key: []byte(orgA), Value: []byte(value)})
	stop := r.start()
	r.eventually("the event", func() bool { return r.dest.count("a") >= 1 })
	stop()
	first := r.dest.ids("a")[0]
	if !strings.HasPrefix(first, "audit_event_") || len(first) != len("audit_event_")+26 {
		t.Errorf("id %q", first)
	}
	r.forgetGroup()
	r.remakeTopic(r.topics.Progress())
	r.start()
	r.eventually("the event again", func() bool { return r.dest.count("a") >= 2 })
	if second := r.dest.ids("a")[1]; second != first {
		t.Errorf("read again it has the id %q, before %q", second, first)
	}
}
