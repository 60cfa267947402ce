package integrity

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Finish says what the check has come to. Of the checker only Leads is of use afterwards.
func (c *Checker) Finish() *Report {
	r := &Report{Verdict: Complete, Feeds: []FeedReport{}}
	c.unpaired()
	for _, f := range c.feeds {
		if f.events == 0 && f.unclear == 0 && len(f.marks) == 0 {
			continue
		}
		r.Feeds = append(r.Feeds, c.judge(f))
	}
	slices.SortFunc(r.Feeds, func(a, b FeedReport) int {
		return cmp.Or(cmp.Compare(a.Origin, b.Origin), cmp.Compare(a.Feed, b.Feed))
	})
	c.blame(r.Feeds)
	r.Findings = c.general()
	for i := range r.Feeds {
		r.Verdict = graver(r.Verdict, r.Feeds[i].Verdict)
	}
	for i := range r.Findings {
		r.Verdict = graver(r.Verdict, r.Findings[i].Kind.verdict())
	}
	if len(r.Feeds) == 0 && r.Verdict == Complete {
		r.Verdict = Unchecked
	}
	r.Sentence = r.sentence()
	return r
}

// general are the findings about no feed.
func (c *Checker) general() []Finding {
	found := slices.Clone(c.options.Found)
	if c.untrusted > 0 {
		found = append(found, Finding{Kind: Uncovered, Detail: fmt.Sprintf("%s for nothing; of the first: %s", count(c.untrusted, "checkpoint counts", "checkpoints count"), c.why)})
	}
	if c.digestsUntrusted > 0 {
		found = append(found, Finding{Kind: Uncovered, About: aboutDigest, Detail: fmt.Sprintf("%s for nothing; of the first: %s", count(c.digestsUntrusted, "digest counts", "digests count"), c.whyDigest)})
	}
	if c.strays > 0 {
		found = append(found, Finding{Kind: Uncovered, IDs: c.strayIDs, Detail: count(c.strays, "event carries no number of a feed: nothing says that it was delivered", "events carry no number of a feed: nothing says that they were delivered")})
	}
	if c.unreadable > 0 {
		found = append(found, Finding{Kind: Unclear, Where: strings.Join(c.unreadables, ", "), Detail: count(c.unreadable, "entry", "entries") + " could not be read"})
	}
	return found
}

// bounds are what has to be there of a feed: everything above after, up to until; and the
// marks that say so, where there are any.
type bounds struct {
	after, until int64
	begin, end   *mark
}

func (c *Checker) bounds(f *feed, sizes []int64) bounds {
	var b bounds
	for _, size := range sizes {
		m := f.marks[size]
		if !m.timed() {
			continue
		}
		if from := c.options.From; !from.IsZero() && !m.first.After(from) {
			b.after, b.begin = size, m
		}
		if until := c.options.Until; until.IsZero() || b.end == nil || b.end.last.Before(until) {
			b.until, b.end = size, m
		}
	}
	if f.after > b.after {
		b.after, b.begin = f.after, f.marks[f.after]
	}
	b.until = max(b.until, b.after)
	return b
}

func (c *Checker) judge(f *feed) FeedReport {
	sizes := slices.Sorted(maps.Keys(f.marks))
	b := c.bounds(f, sizes)
	f.diagnose()
	f.links()
	f.rewritten(sizes)
	last := b.until
	if n := len(f.spans); n > 0 && c.options.Until.IsZero() {
		last = max(last, f.spans[n-1].last)
	}
	f.partly(b, last)
	f.gone(sizes, b, last, c.options.Until.IsZero() && b.end != nil && !f.ended())
	covered, by := f.covered(sizes, b)
	c.uncovered(f, b, last, covered)
	if f.bare > 0 && !c.options.DigestsSuffice {
		f.find(Finding{Kind: Unclear, From: f.bareFrom, To: f.bareTo, Where: f.bareWhere, Detail: unread(f.bare)})
	}

	r := FeedReport{
		Feed: f.id, Origin: f.origin, First: b.after + 1, Last: last, Covered: covered,
		Events: f.events, Repeats: f.repeats + f.alsoThere, Previous: f.previous, Beside: f.beside, NamedBy: f.namedBy, Gaps: f.gaps, Tail: f.tail,
		DigestOnly: f.bare, accepted: f.bare > 0 && c.options.DigestsSuffice, Again: f.jobs, Arrived: int64(len(f.arrived)),
	}
	for _, w := range f.held {
		if w.To <= b.after || w.From > last {
			continue
		}
		if !w.partly() {
			r.Withheld += min(w.To, last) - max(w.From, b.after+1) + 1
		}
		if len(r.Held) < 100 {
			r.Held = append(r.Held, w)
		}
	}
	if by != nil {
		r.Until = &by.last
	}
	switch {
	case b.begin != nil && b.begin.timed():
		r.Since = &b.begin.first
	case !f.since.IsZero():
		r.Since = &f.since
	}
	r.take(&f.found)
	return r
}

// links holds what begins behind a gap, or behind what is not here, against what signed
// statements say of the chain before it.
func (f *feed) links() {
	for i, s := range f.spans {
		if s.empty() || i > 0 && f.spans[i-1].last+1 == s.first {
			continue
		}
		if hash, ok := f.signedAt(s.first - 1); ok && !s.follows(hash) {
			f.find(Finding{Kind: Altered, From: s.first, To: s.first, IDs: ids(s.begin.id), Where: s.begin.where, Detail: "it does not go on from the checkpoint before it"})
		}
	}
}

// signedAt is the hash of the chain at a number as signed statements alone say it: that of a
// mark there, or of the last one before it and the events since that are on record as withheld.
func (f *feed) signedAt(number int64) (Hash, bool) {
	var digests []Hash
	for ; f.marks[number] == nil; number-- {
		w := f.heldAt(number)
		if w == nil || !w.single() {
			return Hash{}, false
		}
		digests = append(digests, w.Hash)
	}
	hash := f.marks[number].chain
	for _, digest := range slices.Backward(digests) {
		hash = step(hash, digest)
	}
	return hash, true
}

// partly names the runs of which nobody can tell which events should be there: whatever is, and
// whatever is not, they are not complete.
func (f *feed) partly(b bounds, last int64) {
	for _, w := range f.held {
		if from, to := max(w.From, b.after+1), min(w.To, last); w.partly() && from <= to {
			f.find(Finding{Kind: Unclear, From: from, To: to, Detail: "some of these events were delivered and others went to the dead letters, too many to list one by one: which should be there no checkpoint says"})
		}
	}
}

// rewritten finds events whose links hold, and lead to another hash than a checkpoint has:
// whoever altered something has altered all hashes behind it too. What lies before all that was
// asked for is looked at as well: nothing else looks at a link that goes on from a checkpoint.
func (f *feed) rewritten(sizes []int64) {
	good, from, to := int64(0), int64(0), int64(0)
	tell := func() {
		if to > 0 {
			f.find(Finding{Kind: Altered, From: from, To: to, Detail: "the events lead to another hash than the checkpoint has: one or more of them were altered, put in, taken out or moved, and the hashes behind made anew"})
		}
		to = 0
	}
	for _, size := range sizes {
		switch m := f.marks[size]; m.state {
		case matched:
			tell()
			good = size
		case differed:
			if to == 0 {
				from = max(good+1, min(f.spans[max(f.place(size), 0)].first, size))
			}
			to = size
		case unseen, explained:
		}
	}
	tell()
}

// gone finds the numbers that nobody has and no checkpoint accounts for. Of one behind the last
// checkpoint nobody can tell yet: the next one may say that it was withheld, so an honest feed
// has such holes too.
func (f *feed) gone(sizes []int64, b bounds, last int64, goesOn bool) {
	next := b.after + 1 // the first number that nothing was said of
	before := ""
	absent := func(from, to int64, behind string) {
		sure := to
		if goesOn && f.inAbsent(max(from, b.until+1), to) == "" { // else a digest says that it was delivered
			sure = min(to, b.until)
		}
		f.miss(sizes, from, sure, before, behind)
		f.await(max(from, sure+1), to)
	}
	missing := func(to int64, behind string) {
		for _, w := range f.held[f.heldFrom(next):] {
			if w.From > to {
				break
			}
			absent(next, w.From-1, behind)
			next = w.To + 1
		}
		absent(next, to, behind)
	}
	for _, s := range f.spans {
		if s.last < next || s.empty() {
			if s.last+1 == next && len(s.lastID) > 0 {
				before = string(s.lastID)
			}
			continue
		}
		if s.first > last {
			break
		}
		missing(s.first-1, s.begin.id)
		next, before = s.last+1, string(s.lastID)
	}
	missing(last, "")
}

func (f *feed) miss(sizes []int64, from, to int64, before, behind string) {
	if from > to || from == to && slices.Contains(f.moved, from) {
		return
	}
	x := Finding{Kind: Missing, From: from, To: to}
	if !f.wants(x.Kind) {
		f.find(x)
		return
	}
	x.Detail = fmt.Sprintf("%s not there", count(to-from+1, "event is", "events are"))
	switch {
	case before != "" && behind != "":
		x.Detail += fmt.Sprintf(", between %s and %s", before, behind)
	case before != "":
		x.Detail += ", behind " + before
	case behind != "":
		x.Detail += ", before " + behind
	}
	if f.events == 0 && f.since.IsZero() && f.namedBy != "" {
		x.Detail += fmt.Sprintf("; nothing of this feed is there, and %s says that its stream had it before", f.namedBy)
	}
	x.Detail += f.inAbsent(from, to)
	if lost := f.lostCheckpoint(sizes, from, to); lost > 0 {
		x.Detail += fmt.Sprintf("; the checkpoint of size %d is not there either, and it may say that they were not delivered: look for it in audit.checkpoints", lost)
	}
	f.find(x)
}

// await says of numbers behind the last checkpoint that they are not there.
func (f *feed) await(from, to int64) {
	if from > to || from == to && slices.Contains(f.moved, from) {
		return
	}
	f.find(Finding{Kind: Uncovered, From: from, To: to, Detail: count(to-from+1, "event is", "events are") +
		" not there, behind the last checkpoint: the next one says whether delivered or withheld"})
}

// lostCheckpoint is the size of a checkpoint that others name and that is not there, and
// that would have said what was withheld of the numbers; 0 if there is none.
func (f *feed) lostCheckpoint(sizes []int64, from, to int64) int64 {
	for _, size := range sizes {
		m := f.marks[size]
		if size < from || !m.rooted {
			continue
		}
		if before := f.marks[m.after]; m.after >= from && (before == nil || !before.rooted) {
			return m.after
		}
		if size >= to {
			break
		}
	}
	return 0
}

// covered is the number up to which signed statements vouch for what is there, and the last
// of these that has a time; nil: none has.
func (f *feed) covered(sizes []int64, b bounds) (int64, *mark) {
	number := int64(-1)
	for _, size := range slices.Backward(sizes) {
		m := f.marks[size]
		if size > b.until && b.end != nil || !m.signed {
			continue
		}
		if m.state == matched || size == 0 || size == b.after || f.heldAt(size) != nil {
			if number = max(number, size); m.timed() {
				return number, m
			}
		}
	}
	return max(number, 0), nil
}

func (c *Checker) uncovered(f *feed, b bounds, last, covered int64) {
	none := Finding{Kind: Uncovered, From: covered + 1, To: last}
	switch {
	case c.options.Keys == nil:
		none.From, none.To = b.after+1, last
		none.Detail = "no key was given: the events go with each other, and nothing shows who made them"
		f.find(none)
	case b.end == nil:
		none.Detail = "no checkpoint is about this feed"
		f.find(none)
	case f.tampered():
	case covered < b.until || covered == 0 && last > 0 || covered < last && (!c.options.Until.IsZero() || f.ended()):
		none.Detail = "no checkpoint vouches for " + count(last-covered, "event", "events")
		if f.lost && covered >= b.until && covered < last {
			none.Detail += ", and none will: the sender has lost where this feed stood, and has gone on in another, which has them again if it begins before them"
		}
		f.find(none)
	default:
		f.tail = last - covered // those of the last minutes
	}
	if b.end != nil && b.end.last.Before(c.options.reach()) && !f.ended() {
		f.find(Finding{Kind: Uncovered, Detail: fmt.Sprintf("nothing covers what came after %s, the time of the last checkpoint", stamp(b.end.last))})
	}
	if f.uncompared > 0 {
		f.find(Finding{Kind: Unclear, From: f.farthest, To: f.farthest, Detail: fmt.Sprintf(
			"%s again long after the first time, from this number on, and could not be compared: sort by feed and number", count(f.uncompared, "event came", "events came"),
		)})
	}
	if f.unclear > 0 {
		f.find(Finding{Kind: Unclear, Detail: fmt.Sprintf("%s there that %s on record as not delivered, among many: nothing says what they should be", count(f.unclear, "event is", "events are"), "stand")})
	}
}

// reach is the time that the checkpoints of each feed have to get to: who asks for what came
// from a time on is not answered by those from before it.
func (o *Options) reach() time.Time {
	reach := o.Reach
	for _, t := range []time.Time{o.From, o.Until} {
		if t.After(reach) {
			reach = t
		}
	}
	return reach
}

// tampered says whether something graver was found than that checkpoints are missing.
func (f *feed) tampered() bool {
	return f.ofEvents.gravity() > Unchecked.gravity()
}

// ended says whether another chain has taken over: it says how long this one was, and no
// checkpoint will ever come behind.
func (f *feed) ended() bool {
	for _, m := range f.marks {
		if m.ends {
			return true
		}
	}
	return false
}

func count(n int64, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}

// unread says of events that only their digests are here.
func unread(n int64) string {
	if n == 1 {
		return "1 event: only its digest was here, so that what it says was not checked"
	}
	return fmt.Sprintf("%d events: only their digests were here, so that what they say was not checked", n)
}

// sentence is what a person is told of the feed.
func (r *FeedReport) sentence() string {
	var b strings.Builder
	name := r.Feed
	if r.Origin != "" {
		name = r.Origin
	}
	fmt.Fprintf(&b, "%s: ", name)
	if r.accepted {
		fmt.Fprintf(&b, "%s; ", unread(r.DigestOnly))
	}
	switch {
	case r.Verdict == Complete && (r.Covered == 0 || r.Last < r.First):
		b.WriteString("no event, as the checkpoints say")
	case r.Verdict == Complete && r.accepted:
		fmt.Fprintf(&b, "but for that complete and unaltered from number %d to %d", r.First, r.Covered)
	case r.Verdict == Complete:
		fmt.Fprintf(&b, "complete and unaltered from number %d to %d", r.First, r.Covered)
	default:
		b.WriteString(string(r.Verdict))
		told := r.gravest(3)
		for _, x := range told {
			fmt.Fprintf(&b, "; %s", x)
		}
		if more := int64(len(r.Findings)-len(told)) + r.More; more > 0 {
			fmt.Fprintf(&b, "; and %s", count(more, "finding more", "findings more"))
		}
	}
	if r.Until != nil {
		from := ""
		if r.Since != nil && !r.Since.Equal(*r.Until) {
			from = " from " + stamp(*r.Since)
		}
		fmt.Fprintf(&b, "; checkpoints cover it%s to %s", from, stamp(*r.Until))
	}
	if r.Tail > 0 {
		fmt.Fprintf(&b, "; %s behind the last checkpoint", count(r.Tail, "event stands", "events stand"))
	}
	switch p := r.Previous; {
	case p != nil && p.Reason == ProgressLost:
		fmt.Fprintf(&b, "; it goes on from %s, which had got to number %d at least (%s)", p.Origin, p.Size, p.Reason)
	case p != nil:
		fmt.Fprintf(&b, "; it goes on from %s, which ended with number %d (%s)", p.Origin, p.Size, p.Reason)
	}
	for i, o := range r.Beside {
		if i == 3 {
			fmt.Fprintf(&b, " and %d more", len(r.Beside)-i)
			break
		}
		before := "; when it began its stream had got to number"
		if i > 0 {
			before = ", to"
		}
		fmt.Fprintf(&b, "%s %d in %s", before, o.Size, o.Origin)
	}
	if r.Withheld > 0 {
		fmt.Fprintf(&b, "; %s on record as not delivered", count(r.Withheld, "event is", "events are"))
		if r.Arrived > 0 {
			fmt.Fprintf(&b, ", %d of which came later, sent again", r.Arrived)
		}
	}
	if r.Again != nil {
		fmt.Fprintf(&b, "; %s", r.Again.sentence())
	}
	if r.Repeats > 0 {
		fmt.Fprintf(&b, "; %s, which is no tampering", count(r.Repeats, "event came again", "events came again"))
	}
	if r.Verdict == Complete {
		if n := r.found.renamed; n > 0 {
			fmt.Fprintf(&b, "; %s under another name than the digests have", count(n, "object lies", "objects lie"))
		}
	}
	return b.String()
}

// sentence is what a person is told of all feeds.
func (r *Report) sentence() string {
	feeds := count(int64(len(r.Feeds)), "feed", "feeds")
	var until time.Time
	bad, accepted := 0, int64(0)
	for i := range r.Feeds {
		if r.Feeds[i].accepted {
			accepted += r.Feeds[i].DigestOnly
		}
		if r.Feeds[i].Verdict != Complete {
			bad++
		}
		if u := r.Feeds[i].Until; u != nil && (until.IsZero() || u.Before(until)) {
			until = *u
		}
	}
	switch {
	case len(r.Feeds) == 0:
		return "Nothing was found that could be checked."
	case r.Verdict == Complete && accepted > 0:
		return fmt.Sprintf("Of %s; but for that complete and unaltered: %s, covered by checkpoints to %s or later.", unread(accepted), feeds, stamp(until))
	case r.Verdict == Complete:
		return fmt.Sprintf("Complete and unaltered: %s, covered by checkpoints to %s or later.", feeds, stamp(until))
	}
	what := map[Verdict]string{
		NotCovered: "Nothing contradicts what is there, but checkpoints do not vouch for all of it",
		Unchecked:  "Not everything could be checked",
		Shuffled:   "Events are not in their order",
		Lacking:    "Events are missing",
		Tampered:   "Events were altered or inserted",
	}[r.Verdict]
	if r.aboutDigests() {
		what = map[Verdict]string{
			NotCovered: "Nothing contradicts what is there, but digests do not vouch for all of it",
			Lacking:    "Digests are missing, and no events that checkpoints vouch for",
			Tampered:   "Digests were altered or contradict each other, and no events were altered or inserted",
		}[r.Verdict]
	}
	if bad == 0 {
		return what + "."
	}
	return fmt.Sprintf("%s: see %d of %s.", what, bad, feeds)
}

// aboutDigests says whether all that led to the verdict is about digests.
func (r *Report) aboutDigests() bool {
	some := false
	for i := range r.Feeds {
		f := r.Feeds[i].found
		if f.ofEvents == r.Verdict {
			return false
		}
		some = some || f.worst == r.Verdict
	}
	for i := range r.Findings {
		if r.Findings[i].Kind.verdict() != r.Verdict {
			continue
		}
		if some = true; r.Findings[i].About != aboutDigest {
			return false
		}
	}
	return some && (r.Verdict == NotCovered || r.Verdict == Lacking || r.Verdict == Tampered)
}
