package integrity

import (
	"cmp"
	"slices"
)

// segment is a run of events whose numbers follow one another and whose links hold: each
// chain hash is that of the one before and the event. Two segments may touch: then the link
// between them does not hold. One that ends before it begins has no event, only the hash at
// which the chain begins.
type segment struct {
	first, last int64
	begin       edge     // its first event
	before      *Hash    // of the chain, as whoever made the events says; nil: nobody does
	end         Hash     // of the chain after last
	lastID      []byte   // of its last event
	tree        *tracked // over all events from 1 to last; nil: not known, for not all of them came in order
	displaced   bool     // its event has another number by right
}

// edge is what is needed to check the link of an event once the one before it is there.
type edge struct {
	digest Hash
	chain  Hash
	id     string
	where  string
}

func (s *segment) empty() bool { return s.last < s.first }

// follows says whether the link between a chain at hash and the first event of s holds.
func (s *segment) follows(hash Hash) bool {
	switch {
	case s.empty():
		return s.end == hash
	case s.before != nil:
		return *s.before == hash
	}
	return step(hash, s.begin.digest) == s.begin.chain
}

func step(hash, digest Hash) Hash { return Head{Hash: hash}.Next(digest).Hash }

// Event takes in one event. An error is a reason not to go on.
func (c *Checker) Event(e Item) error {
	if e.Number < 1 || e.Number > MaxNumber {
		c.Unreadable(e.at())
		return nil
	}
	f, err := c.feed(e.Feed)
	if err != nil {
		return err
	}
	if e.Bare {
		if f.bare++; f.bare == 1 {
			f.bareFrom, f.bareWhere = e.Number, e.at()
		}
		f.bareFrom, f.bareTo = min(f.bareFrom, e.Number), max(f.bareTo, e.Number)
	}
	if f.onRecord(&e) {
		return nil
	}
	i := f.place(e.Number)
	if i >= 0 && e.Number <= f.spans[i].last {
		f.again(&e)
		return nil
	}
	f.events++
	c.want(f, e.Number, e.ID)
	if c.options.Ordered && e.Number < f.high {
		f.find(Finding{Kind: Reordered, From: e.Number, To: e.Number, IDs: ids(string(e.ID)), Where: e.at(), Detail: "it comes behind events with greater numbers"})
	}
	f.high = max(f.high, e.Number)
	c.remember(f, &e)
	if err := c.hold(f, &e); err != nil {
		return err
	}
	return c.insert(f, i, &e)
}

// place is the index of the last segment that begins at or before number, or -1.
func (f *feed) place(number int64) int {
	if n := len(f.spans); n > 0 && f.spans[n-1].first <= number {
		return n - 1
	}
	i, found := slices.BinarySearchFunc(f.spans, number, func(s *segment, n int64) int { return cmp.Compare(s.first, n) })
	if found {
		// An empty segment, which says where the chain begins, stands before its first event.
		for i+1 < len(f.spans) && f.spans[i+1].first == number {
			i++
		}
		return i
	}
	return i - 1
}

// insert puts an event behind segment i or before the one after it, where the links hold,
// and else between them.
func (c *Checker) insert(f *feed, i int, e *Item) error {
	if i >= 0 {
		s := f.spans[i]
		if s.last+1 == e.Number && step(s.end, e.Digest) == e.Chain {
			if s.empty() {
				s.begin = edge{e.Digest, e.Chain, string(e.ID), e.at()}
			}
			s.last, s.end = e.Number, e.Chain
			s.lastID = append(s.lastID[:0], e.ID...)
			f.append(s.tree, e.Digest)
			f.meet(e.Number, e.Chain, s.tree)
			f.grow(i)
			c.join(f, i)
			return nil
		}
	}
	if i+1 < len(f.spans) {
		s := f.spans[i+1]
		if s.first-1 == e.Number && !s.empty() && s.follows(e.Chain) {
			s.first, s.before = e.Number, nil
			s.begin = edge{e.Digest, e.Chain, string(e.ID), e.at()}
			f.meet(e.Number, e.Chain, nil)
			if i >= 0 {
				c.join(f, i)
			}
			return nil
		}
	}
	s := &segment{first: e.Number, last: e.Number, begin: edge{e.Digest, e.Chain, string(e.ID), e.at()}, end: e.Chain, lastID: slices.Clone(e.ID)}
	return c.put(f, i+1, s)
}

// put makes s the segment at i.
func (c *Checker) put(f *feed, i int, s *segment) error {
	if c.segments++; c.segments > maxSegments {
		return ErrScattered
	}
	f.spans = slices.Insert(f.spans, i, s)
	if !s.empty() {
		f.meet(s.last, s.end, nil)
	}
	f.grow(i)
	c.join(f, i)
	if i > 0 {
		c.join(f, i-1)
	}
	return nil
}

// join makes one of segment i and the one after it, if they touch and the link holds.
func (c *Checker) join(f *feed, i int) {
	if i+1 >= len(f.spans) {
		return
	}
	s, next := f.spans[i], f.spans[i+1]
	if s.last+1 != next.first || !next.follows(s.end) || s.empty() && s.first != 1 {
		return
	}
	if !next.empty() {
		if s.empty() {
			s.begin, s.before = next.begin, next.before
		}
		s.tree = f.grown(s, next)
		s.last, s.end, s.lastID = next.last, next.end, next.lastID
		if s.tree != nil {
			f.meet(s.last, s.end, s.tree)
		}
	}
	f.spans = slices.Delete(f.spans, i+1, i+2)
	c.segments--
	f.grow(i)
}

// grown is the tree of s with the events of next: they are known only where next is one.
func (f *feed) grown(s, next *segment) *tracked {
	if next.tree != nil && next.tree.Size() == next.last {
		return next.tree
	}
	if s.tree == nil || next.first != next.last || next.before != nil {
		return nil
	}
	f.append(s.tree, next.begin.digest)
	return s.tree
}

// root puts the hash at which a chain begins before everything else of it: its first event,
// also one that was withheld, then has a link as the others.
func (c *Checker) root(f *feed) error {
	return c.put(f, 0, &segment{first: 1, last: 0, end: Begin(f.origin).Hash, tree: &tracked{}})
}

// grow lets segment i go on over the events behind it that are on record as withheld. A run
// that does not go on from it is left alone: that something before the run is wrong shows at
// the mark there.
func (f *feed) grow(i int) {
	s := f.spans[i]
	for {
		at, ok := slices.BinarySearchFunc(f.held, s.last+1, func(w Withheld, n int64) int { return cmp.Compare(w.From, n) })
		if !ok {
			return
		}
		w := f.held[at]
		if i+1 < len(f.spans) && f.spans[i+1].first <= w.To {
			return // they are there all the same
		}
		if !w.follows(s.end) {
			return
		}
		if s.empty() {
			s.begin = edge{digest: w.Hash, chain: w.after(s.end)}
			s.before = new(s.end)
		}
		if w.single() {
			f.append(s.tree, w.Hash)
		} else {
			s.tree = nil
		}
		s.last, s.end, s.lastID = w.To, w.after(s.end), nil
		f.meet(s.last, s.end, s.tree)
	}
}

// withhold takes in events that are on record as withheld. The same ones may be on record
// twice: a checkpoint that was made, and not taken down as made, is made again, and what has
// grown together since is one run then.
func (f *feed) withhold(w Withheld) {
	i := f.heldFrom(w.From)
	j := i
	next, all := w.From, w // first number that is not on record yet; everything together
	for ; j < len(f.held) && f.held[j].From <= w.To; j++ {
		x := f.held[j]
		if x.single() && x.From == w.From && w.single() && x.Hash != w.Hash {
			f.find(Finding{Kind: Forked, From: w.From, To: w.To, Detail: "two checkpoints say of different events that they were withheld with this number: whoever signs has told two stories"})
			return
		}
		if x.From <= next {
			next = max(next, x.To+1)
		}
		all = all.with(x)
	}
	if next > w.To {
		return // read before; of runs the hashes are held against each other as those of checkpoints
	}
	f.held = slices.Replace(f.held, i, j, all)
	if at := f.place(all.From); at >= 0 && f.spans[at].last+1 == all.From {
		f.grow(at)
	}
}

// heldFrom is the index of the first run on record as withheld that reaches a number.
func (f *feed) heldFrom(number int64) int {
	i, _ := slices.BinarySearchFunc(f.held, number, func(w Withheld, n int64) int { return cmp.Compare(w.To, n) })
	return i
}

// with is w and another run that overlaps it as one. The hashes of both were held against each
// other as those of checkpoints. Of two that begin together one is a run, and has the hash
// before it.
func (w Withheld) with(x Withheld) Withheld {
	all := w
	if x.From < w.From || x.From == w.From && w.single() {
		all.From, all.Before = x.From, x.Before
	}
	if x.To > w.To || x.To == w.To && w.single() {
		all.To, all.Hash = x.To, x.Hash
	}
	switch {
	case w.partly() || x.partly():
		all.Reason = Some
	case x.To > w.To || w.single():
		all.Reason = x.Reason
	}
	return all
}

// onRecord says whether e is on record as withheld, and looks at what came all the same: a
// destination may take an event of which nobody hears in time that it did.
func (f *feed) onRecord(e *Item) bool {
	if len(f.held) == 0 {
		return false
	}
	i, found := slices.BinarySearchFunc(f.held, e.Number, func(w Withheld, n int64) int { return cmp.Compare(w.From, n) })
	if !found {
		i--
	}
	if i < 0 || f.held[i].To < e.Number {
		return false
	}
	switch w := f.held[i]; {
	case w.partly():
		// Of these it is said anyway that nobody can tell which should be there.
	case !w.single():
		f.unclear++
	case w.Hash == e.Digest:
		f.alsoThere++
	default:
		f.oddly(e)
	}
	return true
}

// again looks at an event whose number is there already.
func (f *feed) again(e *Item) {
	var s slot
	if len(f.slots) > 0 {
		s = f.slots[e.Number%int64(len(f.slots))]
	}
	switch {
	case s.number != e.Number:
		if f.uncompared++; f.farthest == 0 {
			f.farthest = e.Number
		}
	case s.digest == e.Digest && s.chain == e.Chain:
		f.repeats++
	default:
		f.oddly(e)
	}
}

func (f *feed) oddly(e *Item) {
	for _, o := range f.odd {
		if o.number == e.Number && o.digest == e.Digest && o.chain == e.Chain {
			f.repeats++
			return
		}
	}
	if len(f.odd) >= maxFindings || len(f.odd) > 0 && f.room.odd >= maxAllOdd {
		f.more++
		return
	}
	f.room.odd++
	f.odd = append(f.odd, oddity{number: e.Number, digest: e.Digest, chain: e.Chain, id: string(e.ID), where: e.at()})
}

// Sizes of a feed's slots: repeats come soon after the first time, for they are what was
// under way when something broke.
const (
	leastSlots = 64
	mostSlots  = 8192
)

// remember keeps what a repeat of e is compared with.
func (c *Checker) remember(f *feed, e *Item) {
	if n := len(f.slots); f.events > int64(n) && n < mostSlots {
		more := max(n, leastSlots)
		if c.memory+more <= maxSlots {
			c.memory += more
			old := f.slots
			f.slots = make([]slot, n+more)
			for _, s := range old {
				if s.number > 0 {
					f.slots[s.number%int64(len(f.slots))] = s
				}
			}
		}
	}
	if n := int64(len(f.slots)); n > 0 {
		f.slots[e.Number%n] = slot{e.Number, e.Digest, e.Chain}
	}
}

// append puts a digest at the end of a tree, where one is known.
func (f *feed) append(tree *tracked, digest Hash) {
	if tree == nil {
		return
	}
	if f.wantedAt == tree.size+1 {
		tree.wanted = f.wantedAt
	}
	tree.Append(digest)
}

// meet holds the chain at a number against what a checkpoint says of it, and the tree, where
// it is known.
func (f *feed) meet(number int64, chain Hash, tree *tracked) {
	m := f.marks[number]
	if m == nil {
		return
	}
	m.state = differed
	if m.chain != chain {
		return
	}
	m.state = matched
	if tree == nil || tree.Size() != number || !m.rooted {
		return
	}
	if tree.Root() != m.root {
		f.find(Finding{Kind: Forked, From: number, To: number, Detail: "the checkpoint's root is not that of the events whose chain it vouches for"})
		return
	}
	f.prove(number, m, tree)
}

// look holds what came already against a mark that comes late.
func (f *feed) look(number int64) {
	if i := f.place(number); i >= 0 && f.spans[i].last == number && !f.spans[i].empty() {
		f.meet(number, f.spans[i].end, f.spans[i].tree)
		return
	}
	if n := int64(len(f.slots)); n > 0 && f.slots[number%n].number == number {
		f.meet(number, f.slots[number%n].chain, nil)
	}
}

func ids(id string) []string {
	if id == "" {
		return nil
	}
	return []string{id}
}
