package integrity

import (
	"cmp"
	"slices"
)

// Bounds of the findings that are kept, and of the events that become some: of a feed, and of
// all feeds together, of which each has one at least.
const (
	maxFindings    = 1000
	maxAllFindings = 20_000
	maxAllOdd      = 100_000
)

// found is what was found about one feed. Of many the gravest are kept; what all of them
// come to is known of those too that are not, so that nobody hides one behind a thousand others.
type found struct {
	room     *room
	kept     []Finding
	more     int64 // that are not kept; the same one twice may be counted twice
	renamed  int64 // objects under another name, kept or not
	worst    Verdict
	ofEvents Verdict // the gravest that is not about digests alone
	unkept   Verdict // the gravest that is not kept
	weights  [6]int  // how many of each gravity are kept
}

// room is what all feeds share of bounded things.
type room struct {
	findings int
	odd      int
}

// full says whether a finding can only be kept in place of another.
func (f *found) full() bool {
	return len(f.kept) >= maxFindings || len(f.kept) > 0 && f.room.findings >= maxAllFindings
}

// wants says whether a finding of a kind would be kept: of others nobody reads the details.
func (f *found) wants(k Kind) bool {
	return !f.full() || k.verdict().gravity() > f.lightest()
}

// lightest is the least gravity that is kept.
func (f *found) lightest() int {
	return slices.IndexFunc(f.weights[:], func(n int) bool { return n > 0 })
}

// find takes in a finding, and keeps it or one that is less grave.
func (f *found) find(x Finding) {
	v := x.Kind.verdict()
	f.worst = graver(f.worst, v)
	if x.About == "" {
		f.ofEvents = graver(f.ofEvents, v)
	}
	if !f.wants(x.Kind) {
		f.more++
		f.unkept = graver(f.unkept, v)
		if x.Kind == Renamed {
			f.renamed++
		}
		return
	}
	if slices.ContainsFunc(f.kept, x.same) {
		return
	}
	if x.Kind == Renamed {
		f.renamed++
	}
	f.weights[v.gravity()]++
	if !f.full() {
		f.kept = append(f.kept, x)
		f.room.findings++
		return
	}
	light := f.lightest()
	for i := range slices.Backward(f.kept) {
		if y := f.kept[i].Kind.verdict(); y.gravity() == light {
			f.weights[light]--
			f.more++
			f.unkept = graver(f.unkept, y)
			f.kept[i] = x
			return
		}
	}
}

// same says whether two findings say the same.
func (x *Finding) same(y Finding) bool {
	return y.Kind == x.Kind && y.From == x.From && y.To == x.To && y.Detail == x.Detail && len(y.IDs) == len(x.IDs) && (len(y.IDs) == 0 || y.IDs[0] == x.IDs[0])
}

// take has a report say what was found, in the order of numbers.
func (r *FeedReport) take(f *found) {
	slices.SortStableFunc(f.kept, func(a, b Finding) int { return cmp.Compare(a.From, b.From) })
	r.found, r.Findings, r.More, r.Verdict = f, f.kept, f.more, graver(Complete, f.worst)
	r.Sentence = r.sentence()
}

// gravest are so many of the gravest findings of a report, in its order.
func (r *FeedReport) gravest(n int) []Finding {
	if len(r.Findings) <= n {
		return r.Findings
	}
	index := make([]int, len(r.Findings))
	for i := range index {
		index[i] = i
	}
	slices.SortStableFunc(index, func(a, b int) int {
		return cmp.Compare(r.Findings[b].Kind.verdict().gravity(), r.Findings[a].Kind.verdict().gravity())
	})
	index = index[:n]
	slices.Sort(index)
	out := make([]Finding, n)
	for i, at := range index {
		out[i] = r.Findings[at]
	}
	return out
}
