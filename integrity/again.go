package integrity

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unique"
)

// The events of a job name those that they were at first. What a checkpoint of the job says of
// that has to agree; and where both are here, they have to be the same.

// maxPairs bounds what is kept of events that wait for the other one to come: digests of those
// that a job has sent another time, and what jobs say.
const maxPairs = 1 << 19

// pair is an event that a job may have sent another time.
type pair struct {
	feed   *feed
	number int64
}

// claim is what an event of a job says: that it was another one at first.
type claim struct {
	by     *feed
	number int64
	digest Hash
	id     string
	where  string
}

// difference is an event that is not what it says that it was at first.
type difference struct {
	claim
	of pair
}

// pairs are events of jobs and those that they were at first.
type pairs struct {
	originals map[pair]Hash // of feeds whose events are known to be named, as far as they came
	claims    map[pair][]claim
	kept      int
	differ    []difference
}

// AgainReport is what is to be said of a feed that sends events another time.
type AgainReport struct {
	Events   int64 `json:"events"`             // that name the one that they were at first
	Same     int64 `json:"same"`               // of them, that are what was delivered at first
	Withheld int64 `json:"withheld,omitempty"` // that had not been delivered at first
	Changed  int64 `json:"changed,omitempty"`  // of these, that are not what was withheld: the stream has been changed since
	Apart    int64 `json:"apart,omitempty"`    // whose originals are not here, or not compared
}

// stretch are numbers of a feed.
type stretch struct{ first, last int64 }

// repeated takes in what a checkpoint says of a job's events.
func (c *Checker) repeated(f *feed, list []Again) error {
	for _, a := range list {
		a.Feed, a.Reason = unique.Make(a.Feed).Value(), unique.Make(a.Reason).Value() // the checkpoint's text is not kept for them
		if err := c.runs(f, a); err != nil {
			return err
		}
		if a.Feed == "" {
			continue
		}
		of, err := c.feed(a.Feed)
		if err != nil {
			return err
		}
		of.name(stretch{a.First, a.Last})
	}
	return nil
}

// runs adds what of a run no checkpoint has said yet: one that was made, and not taken down as
// made, is made again, and what has grown together since is one run then.
func (c *Checker) runs(f *feed, a Again) error {
	for a.From <= a.To {
		i, _ := slices.BinarySearchFunc(f.runs, a.From, func(x Again, n int64) int { return cmp.Compare(x.To, n) })
		if i < len(f.runs) && f.runs[i].From <= a.From {
			a = a.behind(f.runs[i].To)
			continue
		}
		part := a
		if i < len(f.runs) && f.runs[i].From <= a.To {
			part.To = f.runs[i].From - 1
			if part.exact() {
				part.Last = part.First + part.To - part.From
			}
		}
		if c.marks++; c.marks > maxMarks {
			return fmt.Errorf("%w: checkpoints", ErrTooMany)
		}
		f.runs = slices.Insert(f.runs, i, part)
		a = a.behind(part.To)
	}
	return nil
}

// exact says whether it is known of each event which one it was.
func (a Again) exact() bool { return a.Feed != "" && !a.Among }

// behind is what of a stands behind a number.
func (a Again) behind(number int64) Again {
	if a.exact() {
		a.First += number + 1 - a.From
	}
	a.From = number + 1
	return a
}

// name notes that jobs speak of some numbers.
func (f *feed) name(s stretch) {
	i, _ := slices.BinarySearchFunc(f.named, s.first, func(x stretch, n int64) int { return cmp.Compare(x.first, n) })
	if i > 0 && f.named[i-1].last >= s.first-1 {
		i--
		s = stretch{f.named[i].first, max(f.named[i].last, s.last)}
	}
	end := i
	for end < len(f.named) && f.named[end].first <= s.last+1 {
		s.first, s.last = min(s.first, f.named[end].first), max(s.last, f.named[end].last)
		end++
	}
	f.named = slices.Replace(f.named, i, end, s)
}

func (f *feed) isNamed(number int64) bool {
	if len(f.named) == 0 {
		return false
	}
	i, found := slices.BinarySearchFunc(f.named, number, func(x stretch, n int64) int { return cmp.Compare(x.first, n) })
	return found || i > 0 && f.named[i-1].last >= number
}

// said is what checkpoints say of an event of a job; nil: nothing yet.
func (f *feed) said(number int64) *Again {
	if len(f.runs) == 0 {
		return nil
	}
	i, found := slices.BinarySearchFunc(f.runs, number, func(x Again, n int64) int { return cmp.Compare(x.From, n) })
	if !found {
		i--
	}
	if i < 0 || f.runs[i].To < number {
		return nil
	}
	return &f.runs[i]
}

// hold holds an event, which came for the first time, against the one that it was at first,
// and against those that say that they were this one.
func (c *Checker) hold(f *feed, e *Item) error {
	of := pair{f, e.Number}
	if waiting := c.pairs.claims[of]; len(waiting) > 0 {
		for i := range waiting {
			c.compare(waiting[i], of, e.Digest)
		}
		c.pairs.kept -= len(waiting)
		delete(c.pairs.claims, of)
	}
	if f.isNamed(e.Number) && c.pairs.kept < maxPairs {
		if c.pairs.originals == nil {
			c.pairs.originals = map[pair]Hash{}
		}
		c.pairs.originals[of] = e.Digest
		c.pairs.kept++
	}
	original := e.Original
	if a := f.said(e.Number); a != nil {
		switch exact := a.Feed != "" && !a.Among; {
		case original.Known() && !a.allows(e.Number, original):
			f.find(Finding{Kind: Altered, From: e.Number, To: e.Number, IDs: ids(string(e.ID)), Where: e.at(), Detail: fmt.Sprintf(
				"it says that it was number %d of feed %s at first, and the checkpoint says that it was %s", original.Number, original.Feed, a.was(e.Number))})
			return nil
		case !original.Known() && exact:
			original = Original{a.Feed, a.First + e.Number - a.From}
		}
	}
	if !original.Known() {
		return nil
	}
	g, err := c.feed(original.Feed)
	if err != nil {
		return err
	}
	c.claims(claim{by: f, number: e.Number, digest: e.Digest, id: string(e.ID), where: e.at()}, pair{g, original.Number})
	return nil
}

// was is a run in words, for one event.
func (a *Again) was(number int64) string {
	switch {
	case a.Feed == "":
		return "not known"
	case a.Among:
		return fmt.Sprintf("one of numbers %d to %d of feed %s", a.First, a.Last, a.Feed)
	}
	return fmt.Sprintf("number %d of feed %s", a.First+number-a.From, a.Feed)
}

// claims holds what an event of a job says against what is known of the other one.
func (c *Checker) claims(x claim, of pair) {
	if x.by.jobs == nil {
		x.by.jobs = &AgainReport{}
	}
	r := x.by.jobs
	r.Events++
	switch w := of.feed.heldAt(of.number); {
	case w == nil:
	case w.partly():
		r.Apart++ // it may have been delivered, and then the event that it was is not kept
		return
	default:
		r.Withheld++
		if w.single() && w.Hash != x.digest {
			r.Changed++
		}
		of.feed.arrives(of.number)
		return
	}
	if digest, ok := c.pairs.originals[of]; ok {
		c.compare(x, of, digest)
		return
	}
	if n := int64(len(of.feed.slots)); n > 0 {
		if s := of.feed.slots[of.number%n]; s.number == of.number {
			c.compare(x, of, s.digest)
			return
		}
	}
	if c.pairs.kept >= maxPairs {
		r.Apart++
		return
	}
	if c.pairs.claims == nil {
		c.pairs.claims = map[pair][]claim{}
	}
	c.pairs.claims[of] = append(c.pairs.claims[of], x)
	c.pairs.kept++
}

func (c *Checker) compare(x claim, of pair, digest Hash) {
	switch {
	case x.digest == digest:
		x.by.jobs.Same++
	case len(c.pairs.differ) < maxFindings:
		c.pairs.differ = append(c.pairs.differ, difference{x, of})
	default:
		x.by.more++
	}
}

// heldAt is what is on record of a number as withheld; nil: it is not.
func (f *feed) heldAt(number int64) *Withheld {
	i, found := slices.BinarySearchFunc(f.held, number, func(w Withheld, n int64) int { return cmp.Compare(w.From, n) })
	if !found {
		i--
	}
	if i < 0 || f.held[i].To < number {
		return nil
	}
	return &f.held[i]
}

// maxArrived bounds the withheld events of which it is noted that they came later.
const maxArrived = 1 << 16

// arrives notes that a withheld event came later, in the feed of a job.
func (f *feed) arrives(number int64) {
	if f.arrived == nil {
		f.arrived = map[int64]bool{}
	}
	if len(f.arrived) < maxArrived {
		f.arrived[number] = true
	}
}

// unpaired counts what is left of claims when everything was read.
func (c *Checker) unpaired() {
	for _, list := range c.pairs.claims {
		for _, x := range list {
			x.by.jobs.Apart++
		}
	}
}

// blame says of events that are not what they say that they were which of the two was altered:
// the one that no checkpoint vouches for.
func (c *Checker) blame(feeds []FeedReport) {
	byID := map[string]*FeedReport{}
	for i := range feeds {
		byID[feeds[i].Feed] = &feeds[i]
	}
	for _, d := range c.pairs.differ {
		job, first := byID[d.by.id], byID[d.of.feed.id]
		sound := job.vouchedFor(d.number)
		x := Finding{Kind: Altered, From: d.number, To: d.number, IDs: ids(d.id), Where: d.where}
		said := fmt.Sprintf("it says that it was number %d of feed %s at first, which is another event: ", d.of.number, d.of.feed.id)
		switch original := first.vouchedFor(d.of.number); {
		case original && !sound:
			x.Detail = said + "checkpoints vouch for that one and not for this"
		case sound && !original && first != nil:
			x = Finding{Kind: Altered, From: d.of.number, To: d.of.number, Detail: fmt.Sprintf(
				"number %d of feed %s is the same event, sent another time, and checkpoints vouch for that one and not for this", d.number, d.by.id)}
			job = first
		case sound:
			x.Detail = said + "checkpoints vouch for both, so that it was not, and what it says was put there by somebody else"
		default:
			x.Detail = said + "one of the two was altered, and checkpoints vouch for neither"
		}
		if job.accused(x.From) {
			continue // it is said already, from the chain itself
		}
		job.found.find(x)
		job.take(job.found)
	}
}

// vouchedFor says whether checkpoints vouch for an event, and nothing was found about it. Of
// findings that were not kept nobody knows which events they are about.
func (r *FeedReport) vouchedFor(number int64) bool {
	if r == nil || number > r.Covered || r.found.unkept == Tampered {
		return false
	}
	return !r.accused(number)
}

// accused says whether it was found that an event was altered, or put in.
func (r *FeedReport) accused(number int64) bool {
	return slices.ContainsFunc(r.Findings, func(x Finding) bool {
		return x.Kind.verdict() == Tampered && (x.To == 0 || x.From <= number && number <= x.To)
	})
}

// sentence is what a person is told of events that were sent another time.
func (a *AgainReport) sentence() string {
	var parts []string
	if a.Same > 0 {
		parts = append(parts, count(a.Same, "event was sent before, and is the same as it was", "events were sent before, and are the same as they were"))
	}
	if a.Withheld > 0 {
		text := count(a.Withheld, "event had not been delivered at first", "events had not been delivered at first")
		if a.Changed > 0 {
			text += fmt.Sprintf(", %d of which looked otherwise then", a.Changed)
		}
		parts = append(parts, text)
	}
	if a.Apart > 0 {
		parts = append(parts, count(a.Apart, "event was sent before, in what is not here or was not compared", "events were sent before, in what is not here or was not compared"))
	}
	return strings.Join(parts, "; ")
}
