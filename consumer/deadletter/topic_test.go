package deadletter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/internal/kafka"
)

// lines is a listing in short: position, state, how often written, stream.
func lines(l *Listing) []string {
	var out []string
	for _, x := range l.Letters {
		stream := "-"
		if len(x.Streams) > 0 {
			stream = x.Streams[0].ID
		}
		out = append(out, fmt.Sprintf("%s %s %d %s", x.Position, x.State, x.Written, stream))
	}
	return out
}

func (r *rig) list(q Query) *Listing {
	r.t.Helper()
	if q.Limit == 0 {
		q.Limit = 100
	}
	l, err := r.topic.List(r.t.Context(), q)
	if err != nil {
		r.t.Fatal(err)
	}
	return l
}

func (r *rig) open(partition int32, uid string) []string {
	r.t.Helper()
	var out []string
	for l, err := range r.topic.OpenLetters(r.t.Context(), partition, uid) {
		if err != nil {
			r.t.Fatal(err)
		}
		out = append(out, l.Position.String())
	}
	return out
}

// fill is a topic in which everything occurs:
//
//	0:0 a, 0:1 b, 0:2 a, discarded by 0:3, 0:4 a, again 0:5
//	1:0 invalid, without key, 1:1 c, redriven by 1:2, and refused again 1:3
func fill(t *testing.T) *rig {
	t.Helper()
	r := newRig(t)
	r.put(letter(0, 1, "a", orgA), letter(0, 2, "b", orgA), letter(0, 3, "a", orgB))
	r.markAt(Discarded, "0:2")
	r.put(letter(0, 4, "a", orgA), letter(0, 4, "a", orgA))
	r.put(letter(1, 5, "", ""), letter(1, 6, "c", orgA))
	r.markAt(Redriven, "1:1")
	r.put(with(letter(1, 6, "c", orgA), letterPrefix+"reason", "refused again"))
	return r
}

func TestListing(t *testing.T) {
	r := fill(t)
	tests := map[string]struct {
		query Query
		want  []string
		more  int64
	}{
		"everything, the newest first": {Query{}, []string{"1:3 open 2 c", "1:0 open 1 -", "0:5 open 2 a", "0:2 discarded 1 a", "0:1 open 1 b", "0:0 open 1 a"}, 0},
		"what is open":                 {Query{State: Open}, []string{"1:3 open 2 c", "1:0 open 1 -", "0:5 open 2 a", "0:1 open 1 b", "0:0 open 1 a"}, 0},
		"what was discarded":           {Query{State: Discarded}, []string{"0:2 discarded 1 a"}, 0},
		"what was redriven and stayed": {Query{State: Redriven}, nil, 0},
		"of a stream by id":            {Query{Stream: "a", State: Open}, []string{"0:5 open 2 a", "0:0 open 1 a"}, 0},
		"of a stream by uid":           {Query{Stream: "str_b"}, []string{"0:1 open 1 b"}, 0},
		"of a class":                   {Query{Class: "invalid"}, []string{"1:0 open 1 -"}, 0},
		"of an organization":           {Query{Organization: orgB}, []string{"0:2 discarded 1 a"}, 0},
		"since a time":                 {Query{Since: noon.Add(4 * time.Second)}, []string{"1:3 open 2 c", "1:0 open 1 -", "0:5 open 2 a"}, 0},
		"since the end":                {Query{Since: noon.Add(time.Hour)}, nil, 0},
		"no more than the limit":       {Query{Limit: 2, State: Open}, []string{"1:3 open 2 c", "1:0 open 1 -"}, 3},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r.t = t
			got := r.list(test.query)
			if diff := cmp.Diff(test.want, lines(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if got.More != test.more || got.Unread.Records != 0 {
				t.Errorf("%d more, %d unread: %v", got.More, got.Unread.Records, got.Unread.First)
			}
		})
	}
}

func TestAListedLetterSaysWhatWasDecidedAndWhatTheEventIs(t *testing.T) {
	r := fill(t)
	got := r.list(Query{State: Discarded}).Letters[0]
	if got.Mark == nil {
		t.Fatal("no mark")
	}
	if m := got.Mark; m.State != Discarded || m.Reason != "because of discarded" || m.By != "ops@desk" || m.Position != (Position{0, 3}) || time.Since(m.At) > time.Hour {
		t.Errorf("mark %+v", m)
	}
	if got.Action != "user.login" || got.EventID != "event_3" || got.OrganizationID != orgB || got.Reason != "refused 3" {
		t.Errorf("%+v", got)
	}
	again := r.list(Query{Stream: "c"}).Letters[0]
	if again.Reason != "refused again" || again.Mark != nil {
		t.Errorf("of a letter that is open again the last record counts: %q, mark %v", again.Reason, again.Mark)
	}
}

// A bound on memory must not cost an answer: the same in one pass and in many.
func TestFatesSayWhatBecameOfEachEventOnce(t *testing.T) {
	r := fill(t)
	r.markAt(Redriven, "0:0", "0:4")
	of := func(stream string) func(*Letter) bool { return func(l *Letter) bool { return l.Of("str_" + stream) } }
	for _, test := range []struct {
		name   string
		stream string
		since  time.Time
		want   []Fate
	}{
		{"redriven, discarded, repeated by a crash", "a", time.Time{}, []Fate{{0, 1, Redriven}, {0, 3, Discarded}, {0, 4, Redriven}}},
		{"of another stream", "b", time.Time{}, []Fate{{0, 2, Open}}},
		{"redriven, and refused again", "c", time.Time{}, []Fate{{1, 6, Open}}},
		{"since a time", "a", noon.Add(4 * time.Second), []Fate{{0, 4, Redriven}}},
		{"since the end", "a", noon.Add(time.Hour), nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got []Fate
			if err := r.topic.Fates(t.Context(), test.since, of(test.stream), func(f Fate) { got = append(got, f) }); err != nil {
				t.Fatal(err)
			}
			slices.SortFunc(got, func(a, b Fate) int { return int(a.Offset - b.Offset) })
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	r.put(with(letter(0, 9, "a", orgA), letterPrefix+"version", "2"))
	if err := r.topic.Fates(t.Context(), time.Time{}, of("a"), func(Fate) {}); !errors.Is(err, errNewer) {
		t.Errorf("behind a record of a newer version: %v", err)
	}
}

func TestListingInLittleMemory(t *testing.T) {
	r := newRig(t)
	var records []*kgo.Record
	for n := range 40 {
		records = append(records, letter(int32(n%2), n, "a", orgA), letter(int32(n%2), n, "a", orgA))
	}
	r.put(records...)
	r.markAt(Discarded, "0:0", "1:0", "1:21")
	want := r.list(Query{State: Open, Limit: 1000})
	for _, most := range []int{1, 3, 15} {
		r.topic.most = most
		got := r.list(Query{State: Open, Limit: 1000})
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("with %d in memory (-want +got):\n%s", most, diff)
		}
		few := r.list(Query{State: Open, Limit: 5})
		if diff := cmp.Diff(lines(want)[:5], lines(few)); diff != "" || few.More != int64(len(want.Letters))-5 {
			t.Errorf("%d more, (-want +got):\n%s", few.More, diff)
		}
	}
}

// Of many letters the newest are kept, not those that came first or last in the reading.
func TestTheNewestOfManyLetters(t *testing.T) {
	r := newRig(t)
	const many = 3000
	var records []*kgo.Record
	for i := range many {
		n := i * 7 % many // 7 and 3000 have no common divisor: every n once
		records = append(records, letter(int32(i%2), n, "a", orgA))
	}
	r.put(records...)
	got := r.list(Query{State: Open, Limit: 50})
	var offsets, want []int64
	for i, l := range got.Letters {
		offsets, want = append(offsets, l.Source.Offset), append(want, int64(many-1-i))
	}
	if diff := cmp.Diff(want, offsets); diff != "" || len(got.Letters) != 50 || got.More != many-50 {
		t.Errorf("%d more, (-want +got):\n%s", got.More, diff)
	}
}

// Writers' clocks differ: behind a newer letter there may be older ones.
func TestSinceWhenClocksStepBack(t *testing.T) {
	r := newRig(t)
	r.put(letter(0, 10, "a", orgA), letter(0, 2, "a", orgA), letter(0, 11, "a", orgA))
	got := r.list(Query{Since: noon.Add(5 * time.Second)})
	if diff := cmp.Diff([]string{"0:2 open 1 a", "0:0 open 1 a"}, lines(got)); diff != "" || got.More != 0 {
		t.Errorf("%d more, (-want +got):\n%s", got.More, diff)
	}
}

func TestOpenLettersComeInOrderWithTheirRecord(t *testing.T) {
	r := fill(t)
	for uid, want := range map[string][]string{"str_a": {"0:0", "0:4"}, "str_b": {"0:1"}, "str_c": nil, "": nil} {
		if diff := cmp.Diff(want, r.open(0, uid)); diff != "" {
			t.Errorf("partition 0, %q (-want +got):\n%s", uid, diff)
		}
	}
	for uid, want := range map[string][]string{"str_c": {"1:3"}, "": {"1:0"}} {
		if diff := cmp.Diff(want, r.open(1, uid)); diff != "" {
			t.Errorf("partition 1, %q (-want +got):\n%s", uid, diff)
		}
	}
	for l, err := range r.topic.OpenLetters(t.Context(), 0, "str_b") {
		if err != nil {
			t.Fatal(err)
		}
		want := letter(0, 2, "b", orgA)
		if string(l.Key) != orgA || string(l.Value) != string(want.Value) || !slices.EqualFunc(l.Headers, want.Headers[len(want.Headers)-1:], func(a, b kgo.RecordHeader) bool { return a.Key == b.Key && string(a.Value) == string(b.Value) }) {
			t.Errorf("key %q, value %q, headers %v", l.Key, l.Value, l.Headers)
		}
	}
	for l, err := range r.topic.OpenLetters(t.Context(), 0, "str_a") {
		if err != nil || l.Position != (Position{0, 0}) {
			t.Errorf("%v, %v", l, err)
		}
		break // an iteration may be left
	}
}

// What a redrive does: it marks while it reads.
func TestMarkingWhileIterating(t *testing.T) {
	r := newRig(t)
	for n := range 20 {
		r.put(letter(0, n, "a", orgA))
	}
	n := 0
	for l, err := range r.topic.OpenLetters(t.Context(), 0, "str_a") {
		if err != nil {
			t.Fatal(err)
		}
		if l.Source.Offset != int64(n) {
			t.Errorf("event %d comes as number %d", l.Source.Offset, n)
		}
		if err := r.topic.Mark(t.Context(), Redriven, "", l); err != nil {
			t.Fatal(err)
		}
		n++
	}
	if left := r.open(0, "str_a"); n != 20 || len(left) != 0 {
		t.Errorf("%d came, %v are left", n, left)
	}
}

// The groups of all kinds write a letter about an invalid record, each when it comes past:
// the one that catches up late must not undo what was decided.
func TestADiscardedLetterAboutAnInvalidRecordStaysDiscarded(t *testing.T) {
	r := newRig(t)
	r.put(letter(0, 1, "", orgA))
	for _, step := range []struct {
		does string
		do   func()
		want State
	}{
		{"written by another kind", func() { r.put(letter(0, 1, "", orgA)) }, Open},
		{"discarded", func() { r.markAt(Discarded, "0:0") }, Discarded},
		{"written by a third kind", func() { r.put(letter(0, 1, "", orgA)) }, Discarded},
		{"redriven", func() { r.markAt(Redriven, "0:0") }, Redriven},
		{"found invalid once more", func() { r.put(letter(0, 1, "", orgA)) }, Open},
	} {
		step.do()
		l := r.at("0:0")
		standings, err := r.topic.Standings(t.Context(), l)
		if err != nil {
			t.Fatal(err)
		}
		if got := standings[l.ID].State; got != step.want {
			t.Errorf("%s: %s, want %s", step.does, got, step.want)
		}
		if got := r.list(Query{}).Letters[0].State; got != step.want {
			t.Errorf("%s: listed as %s, want %s", step.does, got, step.want)
		}
	}
}

func TestTheLastRecordOfALetterSaysHowItStands(t *testing.T) {
	r := newRig(t)
	r.put(letter(0, 1, "a", orgA))
	steps := []struct {
		does string
		do   func()
		want State
	}{
		{"written", func() {}, Open},
		{"discarded", func() { r.markAt(Discarded, "0:0") }, Discarded},
		{"redriven", func() { r.markAt(Redriven, "0:0") }, Redriven},
		{"written again", func() { r.put(letter(0, 1, "a", orgA)) }, Open},
		{"discarded by its first position", func() { r.markAt(Discarded, "0:0") }, Discarded},
		{"and once more", func() { r.markAt(Discarded, "0:0") }, Discarded},
	}
	for _, step := range steps {
		step.do()
		l := r.at("0:0")
		standings, err := r.topic.Standings(t.Context(), l)
		if err != nil {
			t.Fatal(err)
		}
		if got := standings[l.ID].State; got != step.want {
			t.Errorf("%s: %s, want %s", step.does, got, step.want)
		}
		if got := r.list(Query{}).Letters[0].State; got != step.want {
			t.Errorf("%s: listed as %s, want %s", step.does, got, step.want)
		}
	}
	l := r.at("0:0")
	standings, err := r.topic.Standings(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	var states []State
	for _, m := range standings[l.ID].Marks {
		states = append(states, m.State)
	}
	if diff := cmp.Diff([]State{Discarded, Redriven, Discarded, Discarded}, states); diff != "" || standings[l.ID].Written != 2 {
		t.Errorf("written %d times, marks (-want +got):\n%s", standings[l.ID].Written, diff)
	}
	for range maxMarks {
		r.markAt(Redriven, "0:0")
	}
	if standings, err = r.topic.Standings(t.Context(), l); err != nil || len(standings[l.ID].Marks) != maxMarks {
		t.Errorf("%d marks, %v; want the last %d", len(standings[l.ID].Marks), err, maxMarks)
	}
}

// With its key it would go elsewhere: to the partition that murmur2 names, or, without a
// key, to any.
func TestAMarkStandsInThePartitionOfItsLetter(t *testing.T) {
	r := newRig(t)
	for p := range int32(2) {
		r.put(letter(p, 1, "a", orgA), letter(p, 2, "", ""))
		for range 5 {
			r.markAt(Discarded, fmt.Sprintf("%d:0", p), fmt.Sprintf("%d:1", p))
		}
	}
	if got := r.list(Query{State: Discarded}); len(got.Letters) != 4 {
		t.Errorf("discarded are %v", lines(got))
	}
	for _, m := range r.list(Query{}).Letters {
		if m.Mark == nil || m.Mark.Position.Partition != m.Position.Partition {
			t.Errorf("letter %s, mark %+v", m.Position, m.Mark)
		}
	}
}

func TestOnlyDecisionsAreMarked(t *testing.T) {
	r := newRig(t)
	r.put(letter(0, 1, "a", orgA))
	if err := r.topic.Mark(t.Context(), Open, "", r.at("0:0")); err == nil {
		t.Error("a letter was marked as open")
	}
	if got := r.open(0, "str_a"); len(got) != 1 {
		t.Errorf("open are %v", got)
	}
}

func TestPositionsWithoutALetter(t *testing.T) {
	r := fill(t)
	r.put(&kgo.Record{Partition: 1, Value: []byte("hello")}, with(letter(1, 9, "a", orgA), letterPrefix+"version", "2"))
	for position, why := range map[string]string{
		"2:0": "audit.dead_letters has no partition 2",
		"0:6": "the partition holds offsets 0 to 5",
		"0:3": "it is a mark, discarded, of letter T.0.3.str_a.rejected",
		"1:4": "neither a letter nor a mark",
		"1:5": `letter of version "2": written by a newer version: upgrade auditstream`,
	} {
		p, err := ParsePosition(position)
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.topic.Letter(t.Context(), p)
		if e, ok := errors.AsType[*PositionError](err); !ok || e.Position != p || e.Why != why {
			t.Errorf("%s: %v", position, err)
		}
	}
	if _, err := newRig(t).topic.Letter(t.Context(), Position{}); err == nil || err.Error() != "no letter at 0:0: the partition holds nothing" {
		t.Error(err)
	}
}

func TestRecordsOfOthersAreCountedAndPassedOver(t *testing.T) {
	r := fill(t)
	before := lines(r.list(Query{}))
	r.put(&kgo.Record{Value: []byte("hello")}, &kgo.Record{Partition: 1})
	got := r.list(Query{})
	if diff := cmp.Diff(before, lines(got)); diff != "" || got.Unread.Records != 2 || got.Unread.Newer != nil {
		t.Errorf("%+v, (-want +got):\n%s", got.Unread, diff)
	}
	if got := r.open(0, "str_a"); len(got) != 2 {
		t.Errorf("open are %v", got)
	}
}

// A mark of a version that is not understood may say that the letter was redriven.
func TestBehindRecordsOfANewerVersionNothingIsDecided(t *testing.T) {
	r := fill(t)
	l := r.at("0:0")
	mark := (&Mark{Letter: l.ID, State: Redriven, At: noon}).record("", l)
	r.put(with(mark, markPrefix+"version", "2"))
	if got := r.list(Query{}); got.Unread.Newer == nil || !strings.Contains(got.Unread.Newer.Error(), "record 0:6: mark of version") {
		t.Errorf("%+v", got.Unread)
	}
	if _, err := r.topic.Standings(t.Context(), l); !errors.Is(err, errNewer) {
		t.Error(err)
	}
	n := 0
	for _, err := range r.topic.OpenLetters(t.Context(), 0, "str_a") {
		if n++; !errors.Is(err, errNewer) {
			t.Error(err)
		}
	}
	if n != 1 {
		t.Errorf("%d answers, want one error", n)
	}
}

// Retention takes letters from the front while someone reads.
func TestWhatRetentionTookIsPassedOver(t *testing.T) {
	r := fill(t)
	before := kadm.Offsets{}
	before.AddOffset(r.name, 0, 2, -1)
	if _, err := r.topic.admin.DeleteRecords(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"1:3 open 2 c", "1:0 open 1 -", "0:5 open 2 a", "0:2 discarded 1 a"}, lines(r.list(Query{}))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var seen []int64
	err := r.topic.scan(t.Context(), 0, offsets{0, 6}, func(rec *kgo.Record) error {
		seen = append(seen, rec.Offset)
		return nil
	})
	if diff := cmp.Diff([]int64{2, 3, 4, 5}, seen); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestWithoutTopicOrKafka(t *testing.T) {
	r := newRig(t)
	other, err := Connect(Config{Kafka: r.writer.Opts(), Topic: "other.dead_letters"})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := other.Ready(t.Context()); !errors.Is(err, kerr.UnknownTopicOrPartition) || !strings.Contains(err.Error(), "topic other.dead_letters does not exist") {
		t.Error(err)
	}
	opts, err := kafka.Config{Brokers: []string{"127.0.0.1:1"}}.Options(nil)
	if err != nil {
		t.Fatal(err)
	}
	nowhere, err := Connect(Config{Kafka: opts, Topic: r.name})
	if err != nil {
		t.Fatal(err)
	}
	defer nowhere.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := nowhere.Ready(ctx); err == nil || err.Error() != "cannot reach Kafka: connection refused" {
		t.Error(err)
	}
	if err := r.topic.Ready(t.Context()); err != nil {
		t.Error(err)
	}
}
