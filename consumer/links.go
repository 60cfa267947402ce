package consumer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/integrity"
)

// What the topic of checkpoints still has of a chain says where that stood, signed, when the
// records of progress do not: so a lane whose record was lost goes on in its chain, and a
// chain that begins without one before it names what its stream had, in this partition and in
// others. That is asked for rarely, and read back only so far: every feed has a checkpoint in
// every interval, so the last ones are near the end.

const (
	checkpointsBack = 100_000          // offsets that are read back from the end of the topic
	checkpointsFor  = 5 * time.Second  // for which what was read serves for other partitions that are opened
	checkpointsWait = 30 * time.Second // for the reading
	maxBeside       = 64               // chains that one names beside it
)

// edgeHeader is the header of a checkpoint's record that has the edge of its tree, 32 bytes a
// hash. Nobody has signed it: the root shows whether it is right.
const edgeHeader = "edge"

// sealed are the last checkpoints of a chain, as they were found.
type sealed struct {
	origin integrity.Origin
	text   string    // of the origin
	since  time.Time // append time of the first that was found
	last   []sealing // newest last
}

// sealing is one checkpoint.
type sealing struct {
	offset int64 // of its record
	signed []byte
	edge   []byte // see edgeHeader
}

// sealings is how many checkpoints of a chain are kept: whoever can write to the topic can
// write what counts for nothing behind the one that counts.
const sealings = 4

// ledger is what was read of the topic of checkpoints.
type ledger struct {
	reading turn // held while it is read, and by whoever looks
	at      time.Time
	last    map[string]*sealed // by origin
}

// lastCheckpoints finds the last checkpoint of each chain of the group's streams, by origin.
// What it returns does not change, and has at least what was there at a time. Nobody has looked
// at its signatures.
func (g *Group) lastCheckpoints(ctx context.Context, since time.Time) (map[string]*sealed, error) {
	if err := g.ledger.reading.take(ctx); err != nil {
		return nil, err
	}
	defer g.ledger.reading.give()
	if g.ledger.last != nil && !g.ledger.at.Before(since) {
		return g.ledger.last, nil
	}
	ctx, cancel := context.WithTimeout(ctx, checkpointsWait)
	defer cancel()
	began := time.Now()
	last, err := g.readCheckpoints(ctx)
	switch {
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		last = map[string]*sealed{} // nobody has made any
	case err != nil:
		return nil, fmt.Errorf("the last checkpoints of feeds: %w", err)
	}
	g.ledger.at, g.ledger.last = began, last
	return last, nil
}

func (g *Group) readCheckpoints(ctx context.Context) (map[string]*sealed, error) {
	topic, number := g.cfg.Checkpoints.Topic, g.cfg.Checkpoints.Partition
	start, end, err := g.offsets.Bounds(ctx, topic, number)
	if err != nil {
		return nil, err
	}
	mine := g.uids()
	last := map[string]*sealed{}
	for at := max(start, end-checkpointsBack); at < end; {
		span, err := g.reader.Read(ctx, topic, number, at, 4<<20)
		if err != nil {
			return nil, err
		}
		for _, r := range span.Records {
			origin, err := integrity.ParseOrigin(string(r.Key))
			if err != nil || origin.TopicID != g.cfg.IDs.Events || !mine[origin.UID] {
				continue
			}
			s := last[string(r.Key)]
			if s == nil {
				s = &sealed{origin: origin, text: string(r.Key), since: r.Timestamp}
				last[s.text] = s
			}
			one := sealing{offset: r.Offset, signed: slices.Clone(r.Value)}
			for _, h := range r.Headers {
				if h.Key == edgeHeader {
					one.edge = slices.Clone(h.Value)
				}
			}
			if s.last = append(s.last, one); len(s.last) > sealings {
				s.last = slices.Clone(s.last[1:])
			}
		}
		if at == span.Next {
			return nil, fmt.Errorf("%s[%d] cannot be read at offset %d", topic, number, at)
		}
		at = span.Next
	}
	return last, nil
}

// uids are those of the group's streams.
func (g *Group) uids() map[string]bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make(map[string]bool, len(g.router.streams))
	for _, s := range g.router.streams {
		out[s.spec.UID] = true
	}
	return out
}

// compare puts chains of one partition in the order in which they followed each other.
func (s *sealed) compare(other *sealed) int {
	a, b := s.origin, other.origin
	return cmp.Or(cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.Revision, b.Revision), cmp.Compare(s.last[len(s.last)-1].offset, other.last[len(other.last)-1].offset))
}

// latest is the last checkpoint among those of chains of one partition that a key of ours has
// signed; nil without one.
func (g *Group) latest(chains []*sealed) (*sealed, *sealing, *integrity.Checkpoint) {
	slices.SortFunc(chains, (*sealed).compare)
	for _, s := range slices.Backward(chains) {
		for i := range slices.Backward(s.last) {
			c, err := g.cfg.Checkpoints.Open(s.last[i].signed)
			if err == nil && c.Origin == s.text {
				return s, &s.last[i], c
			}
			why := "it speaks of another feed than its record"
			if err != nil {
				why = err.Error()
			}
			g.forged.complain(zap.WarnLevel, why, zap.String("origin", s.text), zap.Int64("offset", s.last[i].offset))
		}
	}
	return nil, nil, nil
}

// checkpointEdge is a tree's edge as a header has it.
func checkpointEdge(edge []integrity.Hash) []kgo.RecordHeader {
	if len(edge) == 0 {
		return nil
	}
	out := make([]byte, 0, len(edge)*len(integrity.Hash{}))
	for _, h := range edge {
		out = append(out, h[:]...)
	}
	return []kgo.RecordHeader{{Key: edgeHeader, Value: out}}
}

// stood is where a chain stood by a checkpoint.
func stood(o integrity.Origin, from *sealing, c *integrity.Checkpoint) *lastStood {
	rec := &chainRecord{
		Origin: c.Origin, Begin: o.Begin, Head: c.Head(), Previous: c.Previous, Beside: c.Beside, Gaps: c.Gaps,
		Checkpoint: &checkpointRecord{Size: c.Size, At: c.Time}, cursor: c.Offset,
	}
	const size = len(integrity.Hash{})
	for rest := from.edge; len(rest) >= size; rest = rest[size:] {
		rec.Edge = append(rec.Edge, integrity.Hash(rest[:size]))
	}
	tree, err := rec.tree()
	// Below zero nobody knows the offset where it began.
	return &lastStood{o, rec, err == nil && tree.Root() == c.Root && o.Begin >= 0}
}

// lastStood is where a stream's chain of a partition stood by its last checkpoint.
type lastStood struct {
	origin integrity.Origin
	chain  *chainRecord
	whole  bool // it can go on from there: what is known of its tree is that of the root that was signed
}

// vouchedIn finds where the chains of a partition stood, by the uids of their streams. An
// error passes: without knowing, a lane would begin another chain.
func (g *Group) vouchedIn(ctx context.Context, number int32) (map[string]*lastStood, error) {
	if g.cfg.Checkpoints == nil || g.letters != nil {
		return map[string]*lastStood{}, nil
	}
	last, err := g.lastCheckpoints(ctx, time.Now().Add(-checkpointsFor))
	switch {
	case err != nil && (passes(err) || ctx.Err() != nil):
		return nil, err
	case err != nil:
		g.log.Error("records of progress are lost, and the last checkpoints cannot be read: feeds begin new chains", zap.Error(err))
		return map[string]*lastStood{}, nil
	}
	chains := map[string][]*sealed{}
	for _, s := range last {
		if s.origin.Partition == number {
			chains[s.origin.UID] = append(chains[s.origin.UID], s)
		}
	}
	out := map[string]*lastStood{}
	for uid, of := range chains {
		if s, one, c := g.latest(of); c != nil {
			out[uid] = stood(s.origin, one, c)
		}
	}
	return out, nil
}

// goesOn has a lane whose record is lost go on from the last checkpoint of its chain, if
// that was of the stream as it is now: it comes to the numbers that it had. Else another chain
// begins there, so that what came behind the checkpoint comes again and is vouched for.
func (f *found) goesOn(l *laneStart, spec Spec, start int64) {
	v := f.vouched[spec.UID]
	if v == nil {
		return
	}
	kept := v.chain.cursor >= f.logStart // else nobody knows what of the rest is not delivered
	switch o := v.origin; {
	case kept && v.whole && l.stream.chained() && o.Epoch == spec.Epoch && o.Revision == spec.Revision:
		l.resumed, l.from = v.chain, v.chain.cursor
	default:
		l.former, l.because = v.chain, integrity.ProgressLost
		if kept && o.Epoch >= spec.BaseEpoch {
			l.from = max(start, min(l.from, v.chain.cursor))
		}
	}
}

// seeksLinks says whether a chain that begins at an offset, and of which no record names one
// before it, may have some: in a partition that is new, or that the group has never
// committed. The caller holds p.mu, or nobody else knows the partition.
func (l *lane) seeksLinks(begin int64) bool {
	p := l.p
	return p.g.cfg.Checkpoints != nil && p.g.letters == nil && l.stream.spec.Sends == "" && (p.uncommitted || begin == 0 && p.number > 0)
}

// link finds what the first checkpoints of feeds are to say of the chains before them. Those
// for which that is not known now are taken out.
func (c *checkpointer) link(ctx context.Context, due []*parcel) []*parcel {
	var began time.Time // of the last feed that is asked for: what was before it must have been read
	for _, p := range due {
		if p.feed.unlinked() && p.feed.began.After(began) {
			began = *p.feed.began
		}
	}
	if began.IsZero() {
		return due
	}
	last, err := c.g.lastCheckpoints(ctx, began)
	if err != nil && (passes(err) || ctx.Err() != nil) {
		c.nags[0].complain(zap.WarnLevel, err.Error())
		return slices.DeleteFunc(due, func(p *parcel) bool {
			if p.feed.unlinked() {
				c.drop(p)
				return true
			}
			return false
		})
	}
	if err != nil {
		c.nags[0].complain(zap.ErrorLevel, err.Error()) // a checkpoint that names none is better than none
	}
	byUID := map[string][]*sealed{}
	for _, s := range last {
		byUID[s.origin.UID] = append(byUID[s.origin.UID], s)
	}
	for _, p := range due {
		if p.feed.unlinked() {
			p.feed.Previous, p.feed.Beside = c.g.earlier(&p.feed, byUID[p.feed.Lane.UID])
		}
	}
	return due
}

// unlinked says whether what was before the feed is still to be found.
func (f *Feed) unlinked() bool { return f.began != nil && f.Previous == nil && len(f.Beside) == 0 }

// earlier finds among the chains of a stream those that there were before a feed began: that
// of its partition, if the record of it is lost, and those of the partitions below, which were
// there before a topic grew. Each had got so far at least, whatever it has had since.
func (g *Group) earlier(f *Feed, chains []*sealed) (previous *integrity.Former, beside []integrity.Beside) {
	own := f.Lane.Partition
	before := map[int32][]*sealed{}
	for _, s := range chains {
		if number := s.origin.Partition; number <= own && s.text != f.Origin && s.since.Before(*f.began) {
			before[number] = append(before[number], s)
		}
	}
	step := int32((len(before) + maxBeside - 1) / maxBeside) // so that several new partitions name all of many
	for _, number := range slices.Sorted(maps.Keys(before)) {
		if number != own && (number%step != own%step || len(beside) == maxBeside) {
			continue
		}
		s, _, c := g.latest(before[number])
		switch {
		case c == nil:
		case number == own:
			previous = &integrity.Former{Origin: s.text, Head: c.Head(), Reason: integrity.ProgressLost}
		default:
			beside = append(beside, integrity.Beside{Origin: s.text, Head: c.Head(), Time: c.Time})
		}
	}
	return previous, beside
}
