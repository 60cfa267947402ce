package integrity

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// Inventory holds the objects of a store against its signed digests: it takes the digests
// first, then the objects. An object is what its content says that it is; the name under
// which it lies only tells where to look for it.
type Inventory struct {
	checker *Checker
	hours   []storedHour
	listed  []*Listed
	bySum   map[Hash][]*Listed // a replay may have written the same as the stream has
	broken  []brokenHour
	forms   map[string]*forms // by origin
}

// forms are how many objects of a chain are of which form, and the first of each.
type forms struct {
	lines, tables          int64
	firstLines, firstTable string
}

// Listed is an object that a digest names.
type Listed struct {
	Object

	Origin string    // of the chain that it is a piece of
	Hour   time.Time // of the digest
	found  bool
}

// storedHour is a digest and where it lies.
type storedHour struct {
	*Hour

	name string
	sum  Hash // of the digest's own bytes
}

// brokenHour is what lies where a digest should be, and is none.
type brokenHour struct {
	name string
	err  error
}

// Inventory is that of a store whose chains c checks. Only chains whose digests were taken
// in, or of which checkpoints speak, are known.
func (c *Checker) Inventory() *Inventory {
	return &Inventory{checker: c, bySum: map[Hash][]*Listed{}, forms: map[string]*forms{}}
}

// Digest takes in a digest, and the name under which it lies. What it says of the chain it
// vouches for, as a checkpoint does. One that counts for nothing is noted; an error is a reason
// not to go on.
func (v *Inventory) Digest(name string, stored []byte) error {
	c := v.checker
	h, err := c.options.Keys.OpenHour(stored)
	if errors.Is(err, errNotSigned) {
		if c.digestsUntrusted++; c.whyDigest == "" {
			c.whyDigest = fmt.Sprintf("%s: %v", name, err)
		}
		return nil
	}
	if err != nil {
		if len(v.broken) < maxFindings {
			v.broken = append(v.broken, brokenHour{name, err})
		} else {
			c.Unreadable(fmt.Sprintf("%s: %v", name, err))
		}
		return nil
	}
	signed := c.options.Keys != nil
	if err := c.Vouch(h.Origin, h.Before, time.Time{}, signed); err != nil {
		return err
	}
	if err := c.Vouch(h.Origin, h.After, h.Time, signed); err != nil {
		return err
	}
	v.hours = append(v.hours, storedHour{h, name, sha256.Sum256(stored)})
	return nil
}

// Close ends the digests: it says what is wrong with their series, and returns what they list,
// in the order of the chains.
func (v *Inventory) Close() ([]*Listed, error) {
	slices.SortFunc(v.hours, func(a, b storedHour) int {
		return cmp.Or(cmp.Compare(a.Origin, b.Origin), a.Hour.Hour.Compare(b.Hour.Hour), bytes.Compare(a.sum[:], b.sum[:]))
	})
	v.names()
	// The same digest twice is one digest.
	v.hours = slices.CompactFunc(v.hours, func(a, b storedHour) bool { return a.sum == b.sum })
	for i := range v.hours {
		h := &v.hours[i]
		if err := v.follows(v.hours[:i], h); err != nil {
			return nil, err
		}
		for _, o := range h.Objects {
			l := &Listed{Object: o, Origin: h.Origin, Hour: h.Hour.Hour}
			v.listed = append(v.listed, l)
			v.bySum[o.SHA256] = append(v.bySum[o.SHA256], l)
		}
	}
	return v.listed, nil
}

// After is the chain's head behind the last digest of it; ok is false if there is none.
func (v *Inventory) After(origin string) (head Head, ok bool) {
	for _, h := range slices.Backward(v.hours) {
		if h.Origin == origin {
			return h.After, true
		}
	}
	return Head{}, false
}

// digestName is what the name of a digest says: FEED.YYYYMMDDTHHZ.txt, in whatever directory.
type digestName struct {
	feed string
	hour time.Time
}

func parseDigestName(name string) (digestName, bool) {
	parts := strings.Split(path.Base(strings.ReplaceAll(name, `\`, "/")), ".")
	if len(parts) != 3 || parts[2] != "txt" {
		return digestName{}, false
	}
	hour, err := time.Parse("20060102T15Z", parts[1])
	return digestName{parts[0], hour.UTC()}, err == nil && len(parts[0]) == 16
}

// names finds digests that something else lies in place of.
func (v *Inventory) names() {
	have := map[digestName]bool{}
	for i := range v.hours {
		have[digestName{FeedID(v.hours[i].Origin), v.hours[i].Hour.Hour}] = true
	}
	for i := range v.hours {
		h := &v.hours[i]
		should, ok := parseDigestName(h.name)
		f := v.checker.feeds[should.feed]
		if !ok || f == nil || have[should] {
			continue // a digest under another name is there all the same
		}
		f.find(Finding{
			Kind: Missing, About: aboutDigest, Where: h.name,
			Detail: fmt.Sprintf("in place of the digest of %s lies that of %s of the feed %s", stamp(should.hour), stamp(h.Hour.Hour), h.Origin),
		})
	}
	for _, b := range v.broken {
		should, ok := parseDigestName(b.name)
		f := v.checker.feeds[should.feed]
		if !ok || f == nil {
			v.checker.Unreadable(fmt.Sprintf("%s: %v", b.name, b.err))
			continue
		}
		if have[should] {
			continue // the true one lies elsewhere
		}
		f.find(Finding{Kind: Altered, About: aboutDigest, Where: b.name, Detail: fmt.Sprintf("the digest of %s is not as it was signed: %v", stamp(should.hour), b.err)})
	}
}

// follows finds digests that are missing before h, of all that come before it.
func (v *Inventory) follows(all []storedHour, h *storedHour) error {
	x := Finding{Kind: Missing, About: aboutDigest, Where: h.name}
	var before *storedHour
	for i := len(all) - 1; i >= 0 && all[i].Origin == h.Origin; i-- {
		if before == nil {
			before = &all[i]
		}
		if !all[i].Hour.Hour.Equal(before.Hour.Hour) {
			break // there may be several of the hour before
		}
		if h.Previous == all[i].sum && !h.Hour.Hour.Equal(all[i].Hour.Hour) {
			return nil
		}
	}
	switch {
	case before == nil && h.Previous != (Hash{}) && v.checker.options.From.IsZero():
		x.Detail = fmt.Sprintf("the digests before that of %s are not there", stamp(h.Hour.Hour))
	case before == nil:
		return nil
	case before.Hour.Hour.Equal(h.Hour.Hour):
		x.Kind, x.Detail = Forked, fmt.Sprintf("there are two digests of %s: whoever signs has told two stories", stamp(h.Hour.Hour))
	default:
		x.Detail = fmt.Sprintf("between the digests of %s and of %s others are missing", stamp(before.Hour.Hour), stamp(h.Hour.Hour))
	}
	return v.checker.Find(h.Origin, x)
}

// Stored is an object as it lies in a store.
type Stored struct {
	Where  string  // it lies
	Listed *Listed // that its name is the key of; nil: no digest has that key
	Sum    Hash    // as that of [Object]
	Run    *Run    // as its metadata say, which nobody has signed; nil: they say nothing

	// Other says that by its name or metadata it is of another chain than that of an origin. What a
	// replay has written has the same content as what it repeats. Nil: they say nothing.
	Other func(origin string) bool

	// Table says that it is a table of rows, and not lines: a chain has objects of one form.
	Table bool

	// Events are its digests and ids, in order; nil: its events cannot be hashed as they
	// were, and Why says why not. All there is to check is then the sum, where a digest has it.
	Events iter.Seq2[Hash, []byte]
	Why    string
	Unread bool // Sum is not that of what lies there, which could not be read
}

// Take takes in an object. It returns the origin of the chain that it is a piece of; empty
// where neither a digest nor metadata say so.
func (v *Inventory) Take(s *Stored) (origin string, err error) {
	origin, err = v.take(s)
	if origin != "" {
		v.formed(origin, s)
	}
	return origin, err
}

func (v *Inventory) take(s *Stored) (origin string, err error) {
	l := s.Listed
	if l == nil || l.SHA256 != s.Sum {
		if by := v.likely(s); by != nil {
			return by.Origin, v.elsewhere(s, by)
		}
	}
	switch {
	case l != nil:
		l.found = true
		right, err := v.read(s, l.run(s.Where))
		if err == nil && right && l.SHA256 != s.Sum {
			err = v.checker.Find(l.Origin, Finding{Kind: Altered, From: l.First, To: l.Last, Where: s.Where, Detail: "the object has another SHA-256 than its digest says"})
		}
		return l.Origin, err
	case s.Run != nil:
		_, err := v.read(s, *s.Run)
		return s.Run.Origin, err
	}
	return "", nil
}

// formed notes of what form an object of a chain is.
func (v *Inventory) formed(origin string, s *Stored) {
	f := v.forms[origin]
	if f == nil {
		f = &forms{}
		v.forms[origin] = f
	}
	n, first := &f.lines, &f.firstLines
	if s.Table {
		n, first = &f.tables, &f.firstTable
	}
	if *n++; *n == 1 {
		*first = s.Where
	}
}

// Vouched says whether a digest has an object of that sum which the process that has signed
// it wrote itself: its contents are what was delivered, whether they can be read or not.
func (v *Inventory) Vouched(sum Hash) bool {
	return slices.ContainsFunc(v.bySum[sum], func(l *Listed) bool { return l.Seen })
}

// likely is the object of a digest that s is, by its content: one that was not found yet, else
// one of which s is a copy.
func (v *Inventory) likely(s *Stored) *Listed {
	for _, l := range v.bySum[s.Sum] {
		if !l.found {
			return l
		}
	}
	for _, l := range v.bySum[s.Sum] {
		if s.Listed != nil || s.Other == nil || !s.Other(l.Origin) {
			return l
		}
	}
	return nil
}

// elsewhere takes in an object that lies under another name than its digest has.
func (v *Inventory) elsewhere(s *Stored, by *Listed) error {
	switch l := s.Listed; {
	case l != nil && l.Origin != by.Origin:
		x := Finding{Kind: Altered, From: l.First, To: l.Last, Where: s.Where, Detail: "in place of the object of this feed lies one of another, " + by.Origin}
		if err := v.checker.Find(l.Origin, x); err != nil {
			return err
		}
	case !by.found:
		x := Finding{Kind: Renamed, From: by.First, To: by.Last, Where: s.Where, Detail: fmt.Sprintf("the object that the digest of %s calls %s lies under this name: its events are there", stamp(by.Hour), by.Key)}
		if err := v.checker.Find(by.Origin, x); err != nil {
			return err
		}
	}
	by.found = true
	_, err := v.read(s, by.run(s.Where))
	return err
}

// read hands the events to the checker; right says whether they are those of the run.
func (v *Inventory) read(s *Stored, r Run) (right bool, err error) {
	switch {
	case s.Events != nil:
	case !s.Unread && v.Vouched(s.Sum):
		return true, v.checker.Claim(r, "")
	default:
		return true, v.checker.Claim(r, s.Why)
	}
	piece, err := v.checker.Begin(r)
	if err != nil {
		return false, err
	}
	for digest, id := range s.Events {
		if err := piece.Event(digest, id); err != nil {
			return false, err
		}
	}
	return piece.Head() == Head{r.Last, r.After}, piece.End()
}

func (l *Listed) run(where string) Run {
	return Run{Feed: FeedID(l.Origin), Origin: l.Origin, First: l.First, Last: l.Last, Before: l.Before, After: l.After, Where: where}
}

// Finish ends the objects: what is listed and was not taken in is not there. The numbers are
// missing then, and this says where they were.
func (v *Inventory) Finish() {
	for _, l := range v.listed {
		if f := v.checker.feeds[FeedID(l.Origin)]; f != nil && !l.found {
			f.absent = append(f.absent, l)
		}
	}
	for origin, f := range v.forms {
		if of := v.checker.feeds[FeedID(origin)]; of != nil && f.lines > 0 && f.tables > 0 {
			of.find(Finding{Kind: Altered, Where: f.firstTable, Detail: fmt.Sprintf(
				"%s of rows, and %s: a feed is written in one form, and somebody has put the other there",
				count(f.tables, "object of this feed is a table", "objects of this feed are tables"), count(f.lines, "is of lines, "+f.firstLines, "are of lines, the first of which is "+f.firstLines),
			)})
		}
	}
}

// inAbsent says which objects that are not there had numbers from one to another.
func (f *feed) inAbsent(from, to int64) string {
	begin, _ := slices.BinarySearchFunc(f.absent, from, func(l *Listed, n int64) int { return cmp.Compare(l.Last, n) })
	end := begin
	for end < len(f.absent) && f.absent[end].First <= to {
		end++
	}
	if begin == end {
		return ""
	}
	first := fmt.Sprintf("%s, which the digest of %s names", f.absent[begin].Key, stamp(f.absent[begin].Hour))
	if end-begin == 1 {
		return "; not there is the object " + first
	}
	return fmt.Sprintf("; not there are %d objects, the first of which is %s", end-begin, first)
}

// aboutDigest marks findings about digests, and not about events.
const aboutDigest = "digest"

// errNotSigned says that no key that counts has signed.
var errNotSigned = errors.New("no key that is trusted, and was in force then, has signed it")

// notSigned marks an error of opening a note.
func notSigned(err error) error {
	if _, unknown := errors.AsType[*note.UnverifiedNoteError](err); unknown {
		return fmt.Errorf("%w (%w)", errNotSigned, err)
	}
	return err
}
