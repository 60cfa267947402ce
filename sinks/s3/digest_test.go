package s3_test

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"

	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/s3"
	"github.com/auditstream/auditstream/sinks/sinktest/s3store"
)

// feed is a chain that is delivered, and what makes digests of it.
type feed struct {
	origin  string
	head    integrity.Head
	next    int64 // offset
	signer  note.Signer
	keys    *integrity.Keys
	day     int32
	present time.Time // begin of the hour in which the test runs
}

func newFeed(t *testing.T) *feed {
	t.Helper()
	secret, public, err := integrity.GenerateKey("audit.example.com")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(secret)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := integrity.NewKeys(public)
	if err != nil {
		t.Fatal(err)
	}
	l := lane()
	origin := integrity.Origin{Stream: l.Stream, UID: l.UID, TopicID: l.TopicID, Partition: l.Partition, Epoch: l.Epoch, Revision: l.Revision}.String()
	now := time.Now().UTC().Truncate(time.Hour)
	return &feed{origin: origin, head: integrity.Begin(origin), signer: signer, keys: keys, day: int32(now.Unix() / 86400), present: now}
}

// batch is the feed's next n events.
func (f *feed) batch(n int) *sinks.Batch {
	var offsets []int64
	for range n {
		offsets = append(offsets, f.next)
		f.next++
	}
	b := newBatch(f.next, offsets...)
	b.Chain = &sinks.Chain{Origin: f.origin, Before: f.head}
	for i := range b.Events {
		b.Events[i].Day = f.day
		link := f.head.Link(integrity.Digest(slices.Clone(b.Frame(i)[:len(b.Frame(i))-1])))
		f.head = link.Head()
		b.Chain.Links = append(b.Chain.Links, link)
	}
	return b
}

// at is what digests are asked for so many hours from now.
func (f *feed) at(hours int) *sinks.Digest {
	return &sinks.Digest{
		Lane: lane(), Origin: f.origin, Head: f.head, At: f.present.Add(time.Duration(hours)*time.Hour + time.Minute),
		Sign: func(h *integrity.Hour) ([]byte, error) { return h.Sign(f.signer) }, Open: f.keys.OpenHour,
	}
}

func (f *feed) digest(t *testing.T, s *s3.Sink, hours int) {
	t.Helper()
	if err := s.Digest(t.Context(), f.at(hours)); err != nil {
		t.Fatal(err)
	}
}

func (f *feed) begin(t *testing.T, s *s3.Sink) {
	t.Helper()
	d := f.at(0)
	d.First = true
	if err := s.Digest(t.Context(), d); err != nil {
		t.Fatal(err)
	}
}

// digests reads all that are there, in order, and checks that they go on from each other and
// that their objects are as they say. Each hour is shown as the numbers of its objects.
func (f *feed) digests(t *testing.T, r *rig) (shown []string) {
	t.Helper()
	var former *integrity.Hour
	var hash integrity.Hash
	for _, o := range r.Objects(bucket, "audit/_digests/stream="+lane().Stream) {
		_, text, _ := r.Get(bucket, o.Key)
		h, err := f.keys.OpenHour(text)
		if err != nil {
			t.Fatalf("%s: %v\n%s", o.Key, err, text)
		}
		if former != nil && (h.Previous != hash || !h.Hour.Equal(former.Hour.Add(time.Hour)) || h.Before != former.After) {
			t.Errorf("%s does not go on from the one before it", o.Key)
		}
		if want := fmt.Sprintf("day=%s/%s.%s.txt", h.Hour.Format("2006-01-02"), integrity.FeedID(f.origin), h.Hour.Format("20060102T15Z")); !strings.HasSuffix(o.Key, want) {
			t.Errorf("the key %s does not end with %s", o.Key, want)
		}
		former, hash = h, sha256.Sum256(text)
		line := fmt.Sprintf("%+d:", int(h.Hour.Sub(f.present)/time.Hour))
		for _, listed := range h.Objects {
			_, packed, ok := r.Get(bucket, listed.Key)
			lines := unpack(t, packed)
			if !ok || int64(len(packed)) != listed.Size || sha256.Sum256([]byte(lines)) != listed.SHA256 {
				t.Errorf("%s is not as its digest says", listed.Key)
			}
			line += fmt.Sprintf(" %d-%d", listed.First, listed.Last)
			if !listed.Seen {
				line += "?"
			}
		}
		shown = append(shown, line)
	}
	return shown
}

func (f *feed) hold(t *testing.T, r *rig, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, f.digests(t, r)); diff != "" {
		t.Errorf("hours and the numbers of their objects (-want +got):\n%s", diff)
	}
}

func TestEveryHourHasADigestOfItsObjects(t *testing.T) {
	r, f := newRig(t, s3store.Config{}), newFeed(t)
	s := r.open(t)
	f.begin(t, s)
	deliver(t, s, f.batch(2))
	deliver(t, s, f.batch(3))
	f.digest(t, s, 0) // the hour is not over
	f.hold(t, r, "-1:")
	f.digest(t, s, 1)
	f.digest(t, s, 1)
	f.hold(t, r, "-1:", "+0: 1-2 3-5")
	f.digest(t, s, 4) // nobody was there for a while
	deliver(t, s, f.batch(1))
	f.digest(t, s, 5)
	f.hold(t, r, "-1:", "+0: 1-2 3-5", "+1:", "+2:", "+3:", "+4: 6-6")
}

func TestDigestsGoOnAfterARestart(t *testing.T) {
	r, f := newRig(t, s3store.Config{}), newFeed(t)
	s := r.open(t)
	f.begin(t, s)
	deliver(t, s, f.batch(2))
	f.digest(t, s, 1)
	deliver(t, s, f.batch(3))

	s = r.open(t) // knows nothing
	deliver(t, s, f.batch(1))
	f.digest(t, s, 2)
	f.hold(t, r, "-1:", "+0: 1-2", "+1: 3-5? 6-6?")
	deliver(t, s, f.batch(1))
	f.digest(t, s, 3)
	f.hold(t, r, "-1:", "+0: 1-2", "+1: 3-5? 6-6?", "+2: 7-7")

	// A process that never delivered finds all that there is, and asks for little more.
	deliver(t, r.open(t), f.batch(2))
	f.digest(t, r.open(t), 4)
	f.hold(t, r, "-1:", "+0: 1-2", "+1: 3-5? 6-6?", "+2: 7-7", "+3: 8-9?")
}

// A lane that was behind when its process died had written into the days of its events.
func TestDigestsFindObjectsOfALaneThatIsBehind(t *testing.T) {
	r, f := newRig(t, s3store.Config{}), newFeed(t)
	s := r.open(t)
	f.begin(t, s)
	today := f.day
	for f.day = today - 9; f.day < today; f.day += 3 {
		deliver(t, s, f.batch(1))
		deliver(t, s, f.batch(1))
	}
	f.digest(t, r.open(t), 1)
	f.hold(t, r, "-1:", "+0: 1-1? 2-2? 3-3? 4-4? 5-5? 6-6?")
	f.day = today - 1
	deliver(t, s, f.batch(1))
	f.digest(t, r.open(t), 2)
	f.hold(t, r, "-1:", "+0: 1-1? 2-2? 3-3? 4-4? 5-5? 6-6?", "+1: 7-7?")
}

// Events that went to the dead letters are in no object, and leave a place between two.
func TestDigestsBesideDeadLetters(t *testing.T) {
	r, f := newRig(t, s3store.Config{}), newFeed(t)
	s := r.open(t)
	f.begin(t, s)
	f.batch(1)
	deliver(t, s, f.batch(2))
	f.batch(2)
	deliver(t, s, f.batch(1))
	f.batch(1)
	f.digest(t, s, 1)
	f.batch(1)
	f.digest(t, s, 2)
	deliver(t, s, f.batch(1))
	f.digest(t, s, 3)
	f.hold(t, r, "-1:", "+0: 2-3 6-6", "+1:", "+2: 9-9")
}

func TestTwoOwnersMakeOneSeriesOfDigests(t *testing.T) {
	r, f := newRig(t, s3store.Config{}), newFeed(t)
	one, other := r.open(t), r.open(t)
	f.begin(t, one)
	f.begin(t, other)
	for hour := 1; hour < 8; hour++ {
		writer, owners := one, []*s3.Sink{one, other}
		if hour%2 == 0 {
			writer = other
			slices.Reverse(owners)
		}
		deliver(t, writer, f.batch(hour))
		done := make(chan error)
		for _, s := range owners {
			d := f.at(hour)
			go func() { done <- s.Digest(t.Context(), d) }()
		}
		for range owners {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	shown := f.digests(t, r)
	if len(shown) != 8 {
		t.Errorf("%d digests: %q", len(shown), shown)
	}
	all := strings.ReplaceAll(strings.Join(shown, "\n"), "?", "")
	for _, numbers := range []string{" 1-1", " 2-3", " 4-6", " 7-10", " 11-15", " 16-21", " 22-28"} {
		if strings.Count(all+"\n", numbers+"\n")+strings.Count(all, numbers+" ") != 1 {
			t.Errorf("%s is not listed once:\n%s", numbers, all)
		}
	}
}

func TestAChainThatHasEndedGetsItsLastDigestAtOnce(t *testing.T) {
	r, f := newRig(t, s3store.Config{}), newFeed(t)
	s := r.open(t)
	f.begin(t, s)
	deliver(t, s, f.batch(2))
	d := f.at(0)
	d.Ended = true
	for range 2 {
		if err := s.Digest(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	f.hold(t, r, "-1:", "+0: 1-2")
}

// Who may write to the bucket cannot have his digest continued.
func TestADigestOfSomebodyElseIsNotGoneOnFrom(t *testing.T) {
	r, f := newRig(t, s3store.Config{}), newFeed(t)
	s := r.open(t)
	f.begin(t, s)
	deliver(t, s, f.batch(1))
	f.digest(t, s, 1)
	other := newFeed(t) // has another key
	for hour, first := range map[int]bool{0: true, 1: false, 2: false} {
		d := other.at(hour)
		d.First = first
		err := r.open(t).Digest(t.Context(), d)
		if err == nil || sinks.ClassOf(err) != sinks.Misconfigured || !strings.Contains(err.Error(), "_digests/") {
			t.Errorf("hour %d: %v", hour, err)
		}
	}
	f.hold(t, r, "-1:", "+0: 1-1")
}

func TestDigestsOfAStoreWithoutConditions(t *testing.T) {
	r, f := newRig(t, s3store.Config{IgnoreCondition: true}), newFeed(t)
	s := r.open(t, func(set *s3.Settings) { set.Guarantee = s3.AtLeastOnce })
	f.begin(t, s)
	b := f.batch(2)
	deliver(t, s, b)
	deliver(t, s, b)
	deliver(t, s, f.batch(1))
	f.digest(t, s, 1)
	f.hold(t, r, "-1:", "+0: 1-2 3-3")
}

// What a process wrote that ended before the hour did is found by its name.
func TestDigestsOfAStoreWithoutConditionsAfterARestart(t *testing.T) {
	for _, tt := range []struct {
		name string
		deny []string
		want []string
	}{
		{"found", nil, []string{"-1:", "+0: 1-2? 3-5", "+1: 6-6"}},
		{"may not be listed", []string{"s3:ListBucket"}, []string{"-1:", "+0: 3-5", "+1: 6-6"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, f := newRig(t, s3store.Config{IgnoreCondition: true, Deny: tt.deny}), newFeed(t)
			before := r.open(t, loosely)
			f.begin(t, before)
			deliver(t, before, f.batch(2))
			after := r.open(t, loosely)
			f.digest(t, after, 0)
			deliver(t, after, f.batch(3))
			f.digest(t, after, 1)
			deliver(t, after, f.batch(1))
			f.digest(t, after, 2)
			f.hold(t, r, tt.want...)
		})
	}
}

func TestDigestsWhileTheStoreIsAway(t *testing.T) {
	r, f := newRig(t, s3store.Config{}), newFeed(t)
	s := r.open(t)
	f.begin(t, s)
	deliver(t, s, f.batch(2))
	r.Fail("SlowDown", 1)
	if err := s.Digest(t.Context(), f.at(1)); err == nil || sinks.ClassOf(err) != sinks.Unavailable {
		t.Errorf("while the store is away: %v", err)
	}
	f.digest(t, s, 1)
	f.hold(t, r, "-1:", "+0: 1-2")
}
