package consumer

import (
	"slices"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/sinks"
)

// The model knows of every chain what must be in it: the events of the log, from where it
// begins on, that its revision lets pass. Whoever numbers them, at whatever time and after
// whatever crash, must come to the same.

// link is an event of a chain by the ground truth.
type link struct {
	offset int64
	integrity.Link
}

// truth are the events of a chain; ok is false where nobody can tell, because its topic is
// gone.
func (w *world) truth(origin string) (links []link, o integrity.Origin, ok bool) {
	o, err := integrity.ParseOrigin(origin)
	if err != nil {
		w.fail("20: %v", err)
		return nil, o, false
	}
	if o.TopicID == lettersID {
		return w.lettersTruth(origin, o)
	}
	if o.TopicID != w.events() {
		return nil, o, false
	}
	if c := w.chains[origin]; c != nil && c.lost {
		return nil, o, false
	} else if c != nil && c.over != nil {
		return c.over, o, true
	}
	begin, known := w.beginsAt(o, origin)
	if !known {
		return nil, o, false
	}
	l := w.line(o.UID, o.Epoch, o.Partition)
	i := slices.IndexFunc(l.revisions, func(r revision) bool { return r.number == o.Revision })
	if i < 0 {
		w.fail("20: %s is of a revision that never was", origin)
		return nil, o, false
	}
	r, head := l.revisions[i], integrity.Begin(origin)
	for _, x := range w.parts[o.Partition].all {
		if x.Offset < begin || !r.match(x) || r.until != nil && (r.topic != w.eventsID || x.Offset >= r.until[o.Partition]) {
			continue
		}
		digest := integrity.Digest(x.Value)
		if x.huge && r.undecided {
			digest = undeliverable(x.Offset)
		}
		links = append(links, link{x.Offset, head.Link(digest)})
		head = links[len(links)-1].Head()
	}
	return links, o, true
}

// lettersTruth are the events of a redrive's chain: every letter that the redrive was made for.
func (w *world) lettersTruth(origin string, o integrity.Origin) (links []link, _ integrity.Origin, ok bool) {
	if w.job == nil || w.job.task.UID != o.UID {
		return nil, o, false // it is over
	}
	i := slices.IndexFunc(w.job.line.revisions, func(r revision) bool { return r.number == o.Revision })
	if i < 0 {
		w.fail("20: %s is of a revision that never was", origin)
		return nil, o, false
	}
	r, head := w.job.line.revisions[i], integrity.Begin(origin)
	for n, l := range w.lettersOf(o.Partition) {
		offset := int64(n)
		if offset < o.Begin || !w.job.meant[o.Partition][offset] {
			continue
		}
		digest := integrity.Digest(l.x.Value)
		if l.x.invalid || !r.match(l.x) || l.x.huge && r.undecided {
			digest = undeliverable(offset)
		}
		links = append(links, link{offset, head.Link(digest)})
		head = links[len(links)-1].Head()
	}
	return links, o, true
}

// below counts the events of a chain below an offset.
func below(links []link, offset int64) int64 {
	n, _ := slices.BinarySearchFunc(links, offset, func(l link, o int64) int { return int(l.offset - o) })
	return int64(n)
}

// headAt is a chain's head after a number of events.
func headAt(origin string, links []link, size int64) integrity.Head {
	if size == 0 {
		return integrity.Begin(origin)
	}
	return links[size-1].Head()
}

// chainOf is what the model has seen of a chain.
type chainSeen struct {
	sent   map[int64]bool // numbers that the destination has from it
	listed map[int64]bool // numbers that a checkpoint has said are withheld
	ever   bool           // on record
	most   int64          // number up to which anybody has seen it
	to     int64          // offset up to which it was on record
	begin  *int64         // of one that begins behind a cut: the offset, by its record
	lost   bool           // likewise, and what was on record of it is lost
	over   []link         // of one of which an event was cut off: what was seen of it, and all it ever has
}

func (w *world) seen(origin string) *chainSeen {
	c := w.chains[origin]
	if c == nil {
		c = &chainSeen{sent: map[int64]bool{}, listed: map[int64]bool{}}
		w.chains[origin] = c
	}
	return c
}

// numbered judges the numbers of a batch before it is sent.
func (w *world) numbered(b *sinks.Batch) {
	if b.Chain == nil || len(b.Chain.Links) != len(b.Events) {
		w.fail("20: a batch of %s without numbers: %v, %v", b.Lane.UID, b.Events, b.Chain)
		return
	}
	links, o, ok := w.truth(b.Chain.Origin)
	if o.Begin < 0 && w.seen(b.Chain.Origin).begin == nil {
		w.fail("20: %s sends before its chain was ever on record", b.Chain.Origin)
	}
	if !ok {
		return
	}
	if !w.seen(b.Chain.Origin).ever {
		w.fail("20: %s sends before its chain was ever on record", b.Chain.Origin)
	}
	for i, got := range b.Chain.Links {
		if got.Number < 1 || got.Number > int64(len(links)) {
			w.fail("20: %s has no event %d", b.Chain.Origin, got.Number)
			return
		}
		if want := links[got.Number-1]; want.offset != b.Events[i].Offset || want.Link != got {
			w.fail("20: %s: number %d is the event at %d with the digest %s and the hash %s, not that at %d with %s and %s", b.Chain.Origin, got.Number,
				b.Events[i].Offset, got.Digest, got.Hash, want.offset, want.Digest, want.Hash)
			return
		}
	}
	if first := b.Chain.Links[0].Number; b.Chain.Before != headAt(b.Chain.Origin, links, first-1) {
		w.fail("20: %s: before %d stands %v", b.Chain.Origin, first, b.Chain.Before)
	}
}

// has notes that the destination has events of a batch.
func (w *world) has(b *sinks.Batch, from, to int) {
	if b.Chain == nil {
		return
	}
	seen := w.seen(b.Chain.Origin)
	for _, l := range b.Chain.Links[from:to] {
		seen.sent[l.Number] = true
		seen.most = max(seen.most, l.Number)
	}
}

// chained judges what a record says of its chain.
func (w *world) chained(p *simPartition, rec *progress, known bool) {
	c := rec.Chain
	if c == nil {
		if l := w.line(rec.UID, rec.Epoch, p.number); l != nil && l != w.lines[0] {
			w.fail("20: the record %s of %d has no chain", rec.key(), p.number)
		}
		return
	}
	for _, former := range c.Ended {
		w.follows(former, former.Offset)
	}
	if o, err := integrity.ParseOrigin(c.Origin); err == nil && o.Begin < 0 && !w.seen(c.Origin).ever {
		w.seen(c.Origin).begin = new(c.Begin)
	}
	w.follows(c, rec.Cursor)
	links, o, ok := w.truth(c.Origin)
	if !ok || w.failed != nil {
		return
	}
	if o.UID != rec.UID || o.Epoch != rec.Epoch || o.Revision != rec.Revision || o.Partition != p.number {
		w.fail("20: the record %s of %d has the chain %s", rec.key(), p.number, c.Origin)
	}
	if n := below(links, rec.Cursor); n != c.Size {
		w.fail("20: %s has %d events on record as of %d, where %d are below", c.Origin, c.Size, rec.Cursor, n)
		return
	}
	seen := w.seen(c.Origin)
	seen.ever = true
	if o.Begin < 0 && c.Begin != *seen.begin {
		w.fail("20: %s begins at %d, and began at %d", c.Origin, c.Begin, *seen.begin)
	}
	if c.Previous != nil {
		w.succeeds(c, o)
	} else if l := w.line(o.UID, o.Epoch, o.Partition); !known && l.job == nil && !w.stalled && !w.forgotten && !w.gone(o.UID) {
		for other, seen := range w.chains {
			before, err := integrity.ParseOrigin(other)
			if err == nil && seen.ever && other != c.Origin && before.UID == o.UID && before.Partition == o.Partition && before.TopicID == o.TopicID {
				w.fail("20: %s has no chain before it, and %s was on record", c.Origin, other)
			}
		}
	}
}

// gone says whether a stream is deleted, and with it what was on record of it.
func (w *world) gone(uid string) bool {
	for _, s := range w.latest {
		if s.UID == uid {
			return s.State == SpecDeleted
		}
	}
	return true
}

// follows judges a chain on record by itself, as of an offset.
func (w *world) follows(c *chainRecord, at int64) {
	links, _, ok := w.truth(c.Origin)
	if !ok {
		return
	}
	if c.Size > int64(len(links)) || c.Size != below(links, at) && w.seen(c.Origin).over == nil || c.Head != headAt(c.Origin, links, c.Size) {
		w.fail("20: %s is on record with %d events as of %d and the hash %s, of %d events", c.Origin, c.Size, at, c.Hash, len(links))
		return
	}
	var tree integrity.Tree
	for _, l := range links[:c.Size] {
		tree.Append(l.Digest)
	}
	if !slices.Equal(tree.Edge(), c.Edge) {
		w.fail("20: %s is on record with another tree", c.Origin)
	}
	seen, held := w.seen(c.Origin), map[int64]bool{}
	seen.most, seen.to = max(seen.most, c.Size), max(seen.to, at)
	last := int64(0)
	for _, r := range c.Withheld {
		if r.From <= last || r.To < r.From || r.To > c.Size || r.Before != headAt(c.Origin, links, r.From-1).Hash || r.Hash != links[r.To-1].Hash || r.Digest != links[r.To-1].Digest {
			w.fail("20: %s is on record with %+v withheld", c.Origin, r)
			return
		}
		for n := r.From; n <= r.To; n++ {
			held[n] = true
		}
		last = r.To
	}
	for n := int64(1); n <= c.Size; n++ {
		if !seen.sent[n] && !held[n] && !seen.listed[n] {
			w.fail("20: %s has %d events on record, number %d (offset %d) never arrived, and nothing says so", c.Origin, c.Size, n, links[n-1].offset)
			return
		}
	}
}

// succeeds judges what a chain says of the one before it.
func (w *world) succeeds(c *chainRecord, o integrity.Origin) {
	links, before, ok := w.truth(c.Previous.Origin)
	switch {
	case !ok:
		return
	case c.Previous.Origin == c.Origin || before.UID != o.UID || before.Partition != o.Partition:
		w.fail("20: %s cannot follow %s", c.Origin, c.Previous.Origin)
		return
	case c.Previous.Size > int64(len(links)) || c.Previous.Head != headAt(c.Previous.Origin, links, c.Previous.Size):
		w.fail("20: %s follows %s, which has not had %v", c.Origin, c.Previous.Origin, c.Previous.Head)
		return
	}
	stood := c.Begin
	if len(c.Gaps) > 0 {
		stood = c.Gaps[0].From
	}
	n := below(links, stood)
	if c.Previous.Reason == chainMoved && len(c.Gaps) == 0 || c.Previous.Reason == integrity.ProgressLost || w.seen(c.Previous.Origin).over != nil { // back, or lost, or cut off: nothing says where it stood
		n = c.Previous.Size
	}
	if c.Previous.Size != n {
		w.fail("20: %s (%s, gaps %v) follows %s at %d events, of which %d are below", c.Origin, c.Previous.Reason, c.Gaps, c.Previous.Origin, c.Previous.Size, n)
	}
}

// modelCheckpoints are those of the model: nobody signs them.
func modelCheckpoints() *Checkpoints {
	return &Checkpoints{Topic: "checkpoints", Open: func(text []byte) (*integrity.Checkpoint, error) { return integrity.ParseCheckpoint(string(text)) }}
}

// checkpoint visits the feeds of a deliverer, and makes checkpoints of some.
func (o *owner) checkpoint() {
	w := o.w
	o.g.topicPartitions.Store(int64(len(w.parts)))
	links := newCheckpointer(o.g, o.g.cfg.Checkpoints)
	o.g.Feeds(w.ctx, func(f *Feed) time.Time {
		w.shown(f)
		if !w.tape.chance(60) {
			return time.Time{}
		}
		w.tell("%s: checkpoint of %s at %d, offset %d, after %d", o.name, f.Origin, f.Head.Size, f.Offset, f.After)
		for _, r := range f.Withheld {
			for n := r.From; n <= r.To; n++ {
				w.seen(f.Origin).listed[n] = true
			}
		}
		linked, asked := &parcel{feed: *f}, f.unlinked()
		links.link(w.ctx, []*parcel{linked})
		*f = linked.feed
		if asked {
			w.linked(f)
		}
		w.shown(f)
		now := time.Now()
		text := f.Checkpoint(now.UTC().Truncate(time.Second))
		w.sealed = append(w.sealed, &kgo.Record{
			Offset: int64(len(w.sealed)), Timestamp: now, Key: []byte(f.Origin), Value: []byte(text.Text()), Headers: checkpointEdge(f.Tree.Edge()),
		})
		return now
	})
	synctest.Wait()
}

// linked wants a feed that begins in a new partition to name, in its first checkpoint, what its
// stream had a checkpoint of in each of the others before it began.
func (w *world) linked(f *Feed) {
	for _, r := range w.sealed {
		before, err := integrity.ParseOrigin(string(r.Key))
		if err != nil || before.UID != f.Lane.UID || before.TopicID != w.events() || before.Partition >= f.Lane.Partition || !r.Timestamp.Before(*f.began) {
			continue
		}
		if !slices.ContainsFunc(f.Beside, func(b integrity.Beside) bool {
			o, err := integrity.ParseOrigin(b.Origin)
			return err == nil && o.Partition == before.Partition
		}) {
			w.fail("20: %s does not name %s, of which there was a checkpoint when it began", f.Origin, r.Key)
		}
	}
}

// stands judges what a feed says of chains in other partitions.
func (w *world) stands(f *Feed, o integrity.Origin) {
	for _, b := range f.Beside {
		links, other, ok := w.truth(b.Origin)
		switch {
		case !ok:
		case other.UID != o.UID || other.Partition >= o.Partition:
			w.fail("20: %s cannot stand beside %s", b.Origin, f.Origin)
		case b.Size > int64(len(links)) || b.Head != headAt(b.Origin, links, b.Size):
			w.fail("20: %s stands beside %s with %d events, of %d", b.Origin, f.Origin, b.Size, len(links))
		}
	}
}

// shown judges what a deliverer would sign.
func (w *world) shown(f *Feed) {
	checkpoint := f.Checkpoint(time.Now())
	if _, err := integrity.ParseCheckpoint(checkpoint.Text()); err != nil {
		w.fail("20: a checkpoint that nobody can read: %v\n%s", err, checkpoint.Text())
	}
	links, o, ok := w.truth(f.Origin)
	if !ok {
		return
	}
	n := below(links, f.Offset)
	if w.seen(f.Origin).over != nil { // of which an event was cut off: the log does not say any more
		n = min(f.Head.Size, int64(len(links)))
	}
	if n != f.Head.Size || f.Head != headAt(f.Origin, links, n) {
		w.fail("20: %s is shown with %d events as of %d, where %d are below", f.Origin, f.Head.Size, f.Offset, n)
		return
	}
	if !w.seen(f.Origin).ever {
		w.fail("20: %s is shown, and was never on record", f.Origin)
	}
	w.stands(f, o)
	rec := w.parts[o.Partition].decoded[progressKey{o.UID, o.Epoch, o.Revision}]
	if rec != nil && rec.Chain != nil && !w.stalled && !w.forgotten && !f.Ended && rec.Chain.Origin == f.Origin && rec.Chain.Size < f.Head.Size {
		w.fail("20: %s is shown with %d events, and has %d on record", f.Origin, f.Head.Size, rec.Chain.Size)
	}
}
