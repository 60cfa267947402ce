package integrity

import (
	"fmt"
	"slices"
)

// diagnose says of every link that does not hold what has become of the event there. A
// chain hash that those behind it go on from is the right one, for nobody can find another
// event for it: so one altered event breaks one link, and is known by it.
func (f *feed) diagnose() {
	for i := 0; i+1 < len(f.spans); i++ {
		if s, next := f.spans[i], f.spans[i+1]; next.first == s.last+2 {
			f.refill(s, next)
		}
	}
	f.spans = slices.DeleteFunc(f.spans, func(s *segment) bool { return s.displaced })
	for i := 0; i+1 < len(f.spans); i++ {
		if f.spans[i+1].first == f.spans[i].last+1 {
			i = f.mend(i) - 1
		}
	}
	for i := range f.odd {
		o := &f.odd[i]
		if !o.placed {
			f.find(Finding{Kind: Inserted, From: o.number, To: o.number, IDs: ids(o.id), Where: o.where, Detail: "another event has this number by right"})
		}
	}
	if f.more > 0 {
		f.find(Finding{Kind: Inserted, Detail: fmt.Sprintf("%d more events have numbers of others", f.more)})
	}
}

// mend goes through the broken links behind segment i, as far as segments touch. hash is
// that of the chain before each: right, if what is found so far is all there is. It returns
// the index of the last of those that touch.
func (f *feed) mend(i int) int {
	hash := f.spans[i].end
	for ; i+1 < len(f.spans) && f.spans[i+1].first == f.spans[i].last+1; i++ {
		s := f.spans[i+1]
		if m := f.marks[s.first-1]; s.follows(hash) || m != nil && s.follows(m.chain) {
			hash = s.end // or it is right, and what is wrong before it shows at the checkpoint
			continue
		}
		x := Finding{From: s.first, To: s.first, IDs: ids(s.begin.id), Where: s.begin.where}
		if s.before != nil {
			x.Kind, x.To = Altered, s.last
			x.Detail = "what stands here does not go on from the chain before it: events between the two were taken out, put in or altered, or it is of another chain"
			f.find(x)
			hash = s.end
			continue
		}
		own := step(hash, s.begin.digest)
		var after *segment
		if i+2 < len(f.spans) && f.spans[i+2].first == s.last+1 {
			after = f.spans[i+2]
		}
		single := s.first == s.last
		switch {
		case single && after != nil && after.follows(own):
			x.Kind, x.Detail = Altered, "the event is right, and the hash of the chain that it carries is not"
			f.forgive(s.first)
			f.find(x)
			hash = own
			continue
		case f.marks[s.first] != nil && f.marks[s.first].chain == own:
			x.Kind, x.Detail = Altered, "the event is right, and the hash of the chain that it carries is not"
			f.forgive(s.first)
			f.find(x)
			hash = own
			continue
		}
		if o := f.rival(s, hash); o != nil {
			o.placed = true
			x.Kind, x.Detail = Inserted, fmt.Sprintf("the event %s has this number by right", o.id)
			f.find(x)
			hash = step(hash, o.digest)
			f.forgive(s.first)
			if !single {
				hash = s.end
			}
			continue
		}
		if other := f.stranger(s, hash); other != nil {
			x.Kind = Reordered
			x.Detail = fmt.Sprintf("the event %s of number %d belongs here", other.begin.id, other.first)
			f.find(x)
			hash = step(hash, other.begin.digest)
			f.forgive(s.first)
			if !single {
				hash = s.end
			}
			continue
		}
		x.Kind, x.Detail = Altered, "it is not the event that the chain has here, or one before it was altered and the hashes between the two made anew"
		if m := f.marks[s.first]; single && after != nil && !after.follows(s.end) && (m == nil || m.chain != s.end) {
			// Nothing says which hash is right between the two.
			x.To, x.IDs = after.first, append(x.IDs, ids(after.begin.id)...)
			x.Detail = "these are not the events that the chain has here: the first is another, and carries another hash, or both are others"
			f.forgive(s.first)
			s = after
			i++
		}
		f.find(x)
		hash = s.end
	}
	return i
}

// forgive notes that a finding says already why the chain differs from a checkpoint there.
func (f *feed) forgive(number int64) {
	if m := f.marks[number]; m != nil && m.state == differed {
		m.state = explained
	}
}

// rival is an event with the number of the first of s that goes on from hash, and that s,
// or what stands behind it, goes on from.
func (f *feed) rival(s *segment, hash Hash) *oddity {
	for i := range f.odd {
		o := &f.odd[i]
		if o.number != s.first || o.placed {
			continue
		}
		if got := step(hash, o.digest); got == o.chain || got == s.begin.chain {
			return o
		}
	}
	return nil
}

// stranger is the first event of a segment behind a broken link that goes on from hash: by
// the hash that it carries itself, or by that which it would have in place of the first of
// s. At most maxFindings are tried.
func (f *feed) stranger(s *segment, hash Hash) *segment {
	tried := 0
	for _, other := range f.spans {
		if other == s || other.empty() || other.before != nil {
			continue
		}
		if tried++; tried > maxFindings {
			return nil
		}
		got := step(hash, other.begin.digest)
		if got == other.begin.chain && other.first != s.first || got == s.begin.chain {
			return other
		}
	}
	return nil
}

// refill looks for the one event that is missing between s and next among those with
// numbers of others: then it is there, with a wrong number.
func (f *feed) refill(s, next *segment) {
	hash := s.end
	for i := range f.odd {
		o := &f.odd[i]
		if got := step(hash, o.digest); !o.placed && next.follows(got) {
			o.placed = true
			f.refound(s.last+1, o.number, o.id, o.where)
			return
		}
	}
	tried := 0
	for _, other := range f.spans {
		if other.empty() || other.first != other.last || other == s || other == next {
			continue
		}
		if tried++; tried > maxFindings {
			return
		}
		if got := step(hash, other.begin.digest); next.follows(got) {
			f.refound(s.last+1, other.first, other.begin.id, other.begin.where)
			f.replace(other)
			return
		}
	}
}

func (f *feed) refound(number, has int64, id, where string) {
	f.moved = append(f.moved, number)
	f.find(Finding{Kind: Reordered, From: number, To: number, IDs: ids(id), Where: where, Detail: fmt.Sprintf("the event is there, as number %d", has)})
}

// replace puts another event with the number of s, whose own number is another, in its place.
func (f *feed) replace(s *segment) {
	for i := range f.odd {
		if o := &f.odd[i]; o.number == s.first && !o.placed {
			o.placed = true
			s.begin, s.end, s.lastID = edge{o.digest, o.chain, o.id, o.where}, o.chain, []byte(o.id)
			return
		}
	}
	s.displaced = true
}
