package deadletter

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"
)

var update = flag.Bool("update", false, "write the golden file of a new format version")

func TestALetterIsReadAsDeliveryWritesIt(t *testing.T) {
	want := &Letter{
		Position: Position{4, 7}, Time: noon,
		ID:    "dG9waWMtaWQtb2YtZXZlbnQ.4.250.str_ABCDEFGHIJKLMNOPQRSTUVWXYZ.rejected",
		Class: "rejected", Reason: "rejected: invalid data format (HTTP 400)", Answer: `{"text":"Invalid data format","code":6}`,
		Streams:  []Stream{{ID: "acme-splunk", UID: "str_ABCDEFGHIJKLMNOPQRSTUVWXYZ", Epoch: 2, Revision: 3}},
		Kind:     "splunk",
		Attempts: 3, FirstFailure: time.Date(2026, 11, 22, 10, 30, 0, 123e6, time.UTC), LastFailure: time.Date(2026, 11, 22, 10, 30, 1, 123e6, time.UTC),
		Source:     Source{Topic: "audit.events", TopicID: "dG9waWMtaWQtb2YtZXZlbnQ", Partition: 4, Offset: 250, Time: time.Date(2026, 11, 22, 10, 30, 0, 123e6, time.UTC)},
		Violations: []Violation{{Pointer: "/actor/id", Code: "required", Message: "required"}},
		Key:        []byte("org_01JAAAAAAAAAAAAAAAAAAAAAAA"), Value: []byte(`{"id":"x"}`),
		Headers: []kgo.RecordHeader{{Key: "version", Value: []byte("1")}, {Key: "encoding", Value: []byte("jcs")}},
	}
	got, mark, err := decode(goldenLetter(t))
	if err != nil || mark != nil {
		t.Fatal(mark, err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestMarkRecord(t *testing.T) {
	want := &Mark{Letter: "T.4.250.str_A.rejected", State: Discarded, Reason: "test data of the vendor", At: noon.Add(123 * time.Millisecond), By: "ops@desk"}
	r := want.record("audit.dead_letters", &Letter{Position: Position{4, 7}, Key: []byte(orgA)})
	var b strings.Builder
	fmt.Fprintf(&b, "topic: %s\npartition: %d\nkey: %s\nno value: %t\n", r.Topic, r.Partition, r.Key, r.Value == nil)
	for _, h := range r.Headers {
		fmt.Fprintf(&b, "%s: %s\n", h.Key, h.Value)
	}
	const golden = "testdata/mark-1.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pinned, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(pinned), b.String()); diff != "" {
		t.Errorf("the persisted format has changed (-want +got):\n%s", diff)
	}
	letter, got, err := decode(r)
	if err != nil || letter != nil {
		t.Fatal(letter, err)
	}
	want.Position = Position{Partition: 4}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWhatIsNeitherLetterNorMarkIsTold(t *testing.T) {
	mark := func() *kgo.Record {
		return (&Mark{Letter: "x", State: Discarded, At: noon}).record("", &Letter{})
	}
	front := func(r *kgo.Record, name, value string) *kgo.Record {
		r.Headers = append([]kgo.RecordHeader{{Key: name, Value: []byte(value)}}, r.Headers...)
		return r
	}
	tests := map[string]struct {
		record *kgo.Record
		is     error
		says   string
	}{
		"no headers":                    {&kgo.Record{}, errAlien, "neither a letter nor a mark"},
		"another first header":          {front(goldenLetter(t), "trace", "1"), errAlien, "neither"},
		"a newer letter":                {with(goldenLetter(t), letterPrefix+"version", "2"), errNewer, `letter of version "2"`},
		"a newer mark":                  {with(mark(), markPrefix+"version", "2"), errNewer, `mark of version "2"`},
		"a letter without id":           {with(goldenLetter(t), letterPrefix+"id", ""), nil, "damaged letter: id: missing"},
		"a letter from a bad offset":    {with(goldenLetter(t), letterPrefix+"offset", "-1"), nil, `offset: "-1" is no such number`},
		"a letter from a bad partition": {with(goldenLetter(t), letterPrefix+"partition", "2147483648"), nil, "partition:"},
		"a letter without time":         {with(goldenLetter(t), letterPrefix+"last_failure", "yesterday"), nil, `last_failure: "yesterday" is no time`},
		"a letter with damaged streams": {with(goldenLetter(t), letterPrefix+"streams", "[{"), nil, "streams:"},
		"a letter with a huge reason":   {with(goldenLetter(t), letterPrefix+"reason", strings.Repeat("x", 1025)), nil, "reason: 1025 bytes, at most 1024 are written"},
		"a mark of no letter":           {with(mark(), markPrefix+"letter", ""), nil, "damaged mark: letter: missing"},
		"a mark of an unknown state":    {with(mark(), markPrefix+"state", "lost"), nil, `"lost" is no state`},
		"a mark that opens":             {with(mark(), markPrefix+"state", "open"), nil, `"open" is no state`},
		"a mark without time":           {with(mark(), markPrefix+"at", ""), nil, "at:"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, _, err := decode(test.record)
			if err == nil || test.is != nil && !errors.Is(err, test.is) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("error %v, want one that says %q", err, test.says)
			}
		})
	}
}

// Whoever publishes an event chooses its headers: they must not speak for the letter.
func TestHeadersOfTheRecordDoNotSpeakForTheLetter(t *testing.T) {
	r := goldenLetter(t)
	r.Headers = append(r.Headers,
		kgo.RecordHeader{Key: markPrefix + "version", Value: []byte("1")},
		kgo.RecordHeader{Key: letterPrefix + "reason", Value: []byte("forged")},
		kgo.RecordHeader{Key: letterPrefix + "id", Value: []byte("forged")},
	)
	l, m, err := decode(r)
	if err != nil || m != nil {
		t.Fatal(m, err)
	}
	if strings.Contains(l.Reason+l.ID, "forged") {
		t.Errorf("id %q, reason %q", l.ID, l.Reason)
	}
	if len(l.Headers) != 5 {
		t.Errorf("%d headers of the record's own, want all 5: %v", len(l.Headers), l.Headers)
	}
}

func TestPositions(t *testing.T) {
	for text, want := range map[string]Position{"0:0": {}, "3:41": {3, 41}, "2147483647:9223372036854775807": {1<<31 - 1, 1<<63 - 1}} {
		got, err := ParsePosition(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "3", "3:", ":3", "-1:3", "3:-1", "+3:1", "3:1:2", "3.1", "2147483648:0", "0:9223372036854775808", " 3:1"} {
		if p, err := ParsePosition(text); err == nil {
			t.Errorf("%q is read as %s", text, p)
		}
	}
}

func TestTextIsCutBetweenRunes(t *testing.T) {
	if got := bounded(strings.Repeat("x", MaxReason-1) + "é"); got != strings.Repeat("x", MaxReason-1) {
		t.Errorf("%d bytes, ending in %q", len(got), got[len(got)-2:])
	}
	if got := bounded("a\xffb"); got != "a\uFFFDb" {
		t.Errorf("%q", got)
	}
}

func FuzzDecode(f *testing.F) {
	golden := goldenLetter(f)
	for _, h := range golden.Headers {
		f.Add(h.Key, h.Value, golden.Value)
	}
	f.Add(markPrefix+"version", []byte("1"), []byte{})
	f.Add(markPrefix+"state", []byte("discarded"), []byte{})
	f.Fuzz(func(t *testing.T, name string, text, value []byte) {
		r := goldenLetter(t)
		mark := (&Mark{Letter: "x", State: Redriven, At: noon}).record("", &Letter{})
		for _, r := range []*kgo.Record{with(r, name, string(text)), with(mark, name, string(text)), {Headers: []kgo.RecordHeader{{Key: name, Value: text}}}} {
			r.Value = value
			l, m, err := decode(r)
			if n := boolInt(l != nil) + boolInt(m != nil) + boolInt(err != nil); n != 1 {
				t.Fatalf("letter %v, mark %v, error %v: want exactly one", l, m, err)
			}
			if l != nil {
				l.Event()
				if len(l.Reason) > MaxReason || l.ID == "" || l.Streams == nil {
					t.Errorf("%+v", l)
				}
			}
		}
	})
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
