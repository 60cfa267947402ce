package consumer

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/sinks"
)

// Checkpoints say how far feeds have come. A group makes them of what is acknowledged in
// Kafka, writes each to a topic of its own, and then, beside the events and at most once,
// hands it to the destination and to the operator's archive. What fails there is not
// repeated: the next checkpoint says all that this one does.

// Checkpoints is how the feeds of a group are vouched for.
type Checkpoints struct {
	Topic           string
	Partition       int32         // of the topic
	Interval        time.Duration // between two checkpoints of a feed
	Sign            func(*integrity.Checkpoint) ([]byte, error)
	Open            func(signed []byte) (*integrity.Checkpoint, error)         // one that a key of this process has signed
	Archive         func(ctx context.Context, key string, signed []byte) error // nil: there is none
	ArchiveInterval time.Duration                                              // between two of a feed that are put there

	// For destinations that keep hourly digests of what they were given; see sinks.Digester.
	SignHour func(*integrity.Hour) ([]byte, error)
	OpenHour func([]byte) (*integrity.Hour, error) // one that is there already
}

// Bounds of making checkpoints.
const (
	checkpointFirst = 30 * time.Second // within that a feed gets its first, so that they spread out
	checkpointLook  = 5 * time.Second  // between two looks at which feeds are due, at most
	checkpointBatch = 500              // records at once: the others are due a moment later
	checkpointLines = 48               // withheld here and there: of those beyond maxWithheld nobody could tell which were delivered
	errandTime      = 15 * time.Second // for a request with a checkpoint
	digestTime      = 2 * time.Minute  // for digests: who begins anew may have to look for many objects
)

// errands are where checkpoints are taken beside the topic. Destinations that failed the
// last time have places of their own: however many hang, the others get theirs.
type errand int

const (
	errandFeed errand = iota
	errandFailing
	errandArchive
	errandDigest

	errands = iota
)

// errandsAtOnce is how many of each are under way at once.
func errandsAtOnce() [errands]int { return [errands]int{8, 4, 4, 4} }

// Where a checkpoint was taken, as figures have it.
const (
	toTopic   = "topic"
	toFeed    = "feed"
	toArchive = "archive"
	toDigests = "digests"
)

// Why a destination has not the last checkpoint of a feed, where nothing is wrong with that.
const (
	NoWitness     = "this kind of destination takes none"
	PausedWitness = "the stream is paused"
)

// checkpointer makes the checkpoints of a group. All of it is owned by run's goroutine.
type checkpointer struct {
	g       *Group
	cfg     *Checkpoints
	feeds   map[string]*vouched // by origin
	waiting [errands][]*parcel  // by errand, first in, first out
	under   [errands]int        // under way, by errand
	done    chan *parcel
	slow    patron // of destinations that failed the last time
	usual   patron
	nags    [4]*nag // by place: topic, feeds, archive, digests
	ending  bool    // each feed gets at most one more
	last    bool    // likewise, and no checkpoint ever comes after it
	silent  bool    // the destinations get none any more
}

// vouched is what is known of a feed's checkpoints beside its record.
type vouched struct {
	since    time.Time // when it was first seen here
	made     time.Time // its last one, if this process made it
	archived time.Time // likewise
	failing  bool      // the destination did not take the last one
	seen     bool      // in this round
	closed   bool      // it has had its last one of this process
}

// parcel is a checkpoint on its way.
type parcel struct {
	feed   Feed
	signed []byte
	at     time.Time
	what   errand
	last   bool // no other follows
	err    error
}

func newCheckpointer(g *Group, cfg *Checkpoints) *checkpointer {
	c := &checkpointer{g: g, cfg: cfg, feeds: map[string]*vouched{}}
	all := 0
	for _, n := range errandsAtOnce() {
		all += n
	}
	c.done = make(chan *parcel, all)
	c.nags = [4]*nag{
		{what: "checkpoints of feeds cannot be made, trying again", over: "checkpoints are made again", log: g.log},
		{what: "a destination does not take checkpoints of its feed", over: "destinations take checkpoints again", log: g.log},
		{what: "checkpoints cannot be archived, trying again with the next", over: "checkpoints are archived again", log: g.log},
		{what: "digests of a feed cannot be made, trying again with the next checkpoint", over: "digests are made again", log: g.log},
	}
	return c
}

// run makes checkpoints until ctx ends.
func (c *checkpointer) run(ctx context.Context) {
	var running sync.WaitGroup
	defer c.abandon()
	defer running.Wait()
	look := time.NewTicker(min(max(c.cfg.Interval/10, 50*time.Millisecond), checkpointLook))
	defer look.Stop()
	for {
		c.send(ctx, &running)
		select {
		case <-ctx.Done():
			return
		case p := <-c.done:
			c.arrived(ctx, p)
		case <-look.C:
			for c.round(ctx) { // as long as more are due than one batch holds
				c.send(ctx, &running)
			}
		}
	}
}

// round makes the checkpoints that are due, and reports whether there are more of them.
func (c *checkpointer) round(ctx context.Context) (more bool) {
	var due []*parcel
	now := time.Now()
	for _, v := range c.feeds {
		v.seen = false
	}
	c.g.Feeds(ctx, func(f *Feed) time.Time {
		v := c.feeds[f.Origin]
		if v == nil {
			v = &vouched{since: now}
			c.feeds[f.Origin] = v
		}
		v.seen = true
		switch {
		case !c.due(f, v, now):
		case len(due) == checkpointBatch:
			more = true
		default:
			f.lane.stream.visits.Add(1) // its sink stays open until arrived, or drop, says that it need not
			due = append(due, &parcel{feed: *f, at: now, last: c.last})
		}
		return time.Time{}
	})
	if ctx.Err() == nil {
		for origin, v := range c.feeds {
			if !v.seen {
				delete(c.feeds, origin)
			}
		}
	}
	return c.make(ctx, due) && more
}

// due says whether a feed is to get a checkpoint now. Those of many feeds are spread out.
func (c *checkpointer) due(f *Feed, v *vouched, now time.Time) bool {
	last := f.At
	if v.made.After(last) {
		last = v.made // the record that says so may not be acknowledged yet
	}
	switch {
	case c.last:
		return !v.closed
	case c.ending:
		return !v.closed && f.Head.Size > f.After
	case f.Ended:
		return v.made.IsZero() // nothing comes after the one that says how it ended
	case f.places >= checkpointLines && !v.made.After(f.At):
		return true // and what the last one listed is off the record
	case last.IsZero():
		h := fnv.New32a()
		_, _ = h.Write([]byte(f.Origin))
		spread := min(c.cfg.Interval, checkpointFirst)
		return now.Sub(v.since) >= time.Duration(float64(spread)*float64(h.Sum32())/(1<<32))
	}
	// The absolute value, so that a clock that was ahead once does not keep a feed without one.
	return now.Sub(last).Abs() >= c.cfg.Interval
}

// make signs checkpoints and writes them to the topic. It reports whether Kafka took them.
func (c *checkpointer) make(ctx context.Context, due []*parcel) bool {
	due = c.link(ctx, due)
	var records []*kgo.Record
	signed := due[:0]
	for _, p := range due {
		var err error
		text := p.feed.Checkpoint(p.at.UTC().Truncate(time.Second))
		if p.signed, err = c.cfg.Sign(&text); err != nil {
			c.g.metrics.checkpoint(p.feed.Lane.Stream, toTopic, err)
			c.nags[0].complain(zap.ErrorLevel, err.Error(), zap.String("stream", p.feed.Lane.Stream))
			c.drop(p)
			continue
		}
		signed = append(signed, p)
		records = append(records, &kgo.Record{Topic: c.cfg.Topic, Partition: c.cfg.Partition, Key: []byte(p.feed.Origin), Value: p.signed, Headers: checkpointEdge(p.feed.Tree.Edge())})
	}
	if len(records) == 0 {
		return false
	}
	ok := true
	for i, err := range c.g.produce(ctx, records...) {
		p := signed[i]
		if ctx.Err() != nil && err != nil {
			c.drop(p)
			continue
		}
		c.g.metrics.checkpoint(p.feed.Lane.Stream, toTopic, err)
		if err != nil {
			ok = false
			c.nags[0].complain(zap.WarnLevel, fmt.Sprintf("write to %s: %v", c.cfg.Topic, err))
			c.drop(p)
			continue
		}
		c.made(p)
	}
	if ok {
		c.nags[0].relieve()
	}
	return ok
}

// made notes a checkpoint that Kafka has, and has it taken to where else it goes.
func (c *checkpointer) made(p *parcel) {
	v := c.feeds[p.feed.Origin]
	v.made, v.closed = p.at, c.ending
	p.feed.lane.checkpointed(&p.feed, p.at)
	if c.cfg.Archive != nil && (p.feed.Ended || p.last || p.at.Sub(v.archived).Abs() >= c.cfg.ArchiveInterval) {
		v.archived = p.at // until it is known to have failed
		archive := *p
		archive.what = errandArchive
		p.feed.lane.stream.visits.Add(1)
		c.queue(&archive)
	}
	if _, keeps := p.feed.Sink.(sinks.Digester); keeps && c.cfg.SignHour != nil && !p.feed.lane.stream.paused() && !c.silent {
		digest := *p
		digest.what = errandDigest
		p.feed.lane.stream.visits.Add(1)
		c.queue(&digest)
	}
	_, takes := p.feed.Sink.(sinks.Witness)
	switch {
	case c.silent:
		c.drop(p)
	case !takes:
		p.feed.lane.witnessed(&p.feed, NoWitness)
		c.drop(p)
	case p.feed.lane.stream.paused():
		p.feed.lane.witnessed(&p.feed, PausedWitness)
		c.drop(p)
	default:
		p.what = errandFeed
		if v.failing {
			p.what = errandFailing
		}
		c.queue(p)
	}
}

// queue has a checkpoint wait for its turn. One of the same feed that waits already says
// nothing that this one does not.
func (c *checkpointer) queue(p *parcel) {
	line := &c.waiting[p.what]
	if i := slices.IndexFunc(*line, func(w *parcel) bool { return w.feed.Origin == p.feed.Origin }); i >= 0 {
		c.drop((*line)[i])
		(*line)[i] = p
		return
	}
	*line = append(*line, p)
}

// send begins as many errands as there are places for.
func (c *checkpointer) send(ctx context.Context, running *sync.WaitGroup) {
	for what, most := range errandsAtOnce() {
		for c.under[what] < most && len(c.waiting[what]) > 0 && ctx.Err() == nil {
			p := c.waiting[what][0]
			c.waiting[what] = c.waiting[what][1:]
			c.under[what]++
			running.Go(func() {
				p.err = c.carry(ctx, p)
				c.done <- p
			})
		}
	}
}

// lastTries is how often somebody is asked to take a feed's last checkpoint: no other says what
// it does.
const lastTries = 4

// carry makes one attempt, or a few at the last checkpoint.
func (c *checkpointer) carry(ctx context.Context, p *parcel) error {
	for n := 1; ; n++ {
		err := c.deliver(ctx, p)
		if err == nil || !p.last || n == lastTries || pause(ctx, c.g.cfg.Retry.wait(n, 0)) != nil {
			return err
		}
	}
}

// finish makes the last checkpoint of every feed, of what is on record, and returns when
// everybody who takes checkpoints has it, or was asked in vain. An error says that one is not
// in the topic. run has returned.
func (c *checkpointer) finish(ctx context.Context) error {
	c.last = true
	if err := c.end(ctx); err != nil {
		return err
	}
	for _, v := range c.feeds {
		if !v.closed {
			return fmt.Errorf("everything was sent, and the last checkpoint of it is not written to %s yet", c.cfg.Topic)
		}
	}
	return nil
}

// part makes a checkpoint of every feed that has had events since its last one, of what is on
// record: nobody knows whether it is ever gone on with. Silent says that the destinations are to
// get nothing any more. run has returned.
func (c *checkpointer) part(ctx context.Context, silent bool) error {
	c.last, c.silent = false, silent
	return c.end(ctx)
}

// end makes one more checkpoint of each feed that is to have one, and returns when everybody who
// takes them has it, or was asked in vain.
func (c *checkpointer) end(ctx context.Context) error {
	var running sync.WaitGroup
	defer c.abandon()
	defer running.Wait()
	c.ending, c.under = true, [errands]int{}
	for c.round(ctx) {
		c.send(ctx, &running)
	}
	for {
		c.send(ctx, &running)
		if c.under == [errands]int{} {
			return nil
		}
		select {
		case p := <-c.done:
			c.arrived(ctx, p)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// deliver makes one attempt.
func (c *checkpointer) deliver(ctx context.Context, p *parcel) error {
	most := errandTime
	if p.what == errandDigest {
		most = digestTime
	}
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	if digester, ok := p.feed.Sink.(sinks.Digester); ok && p.what == errandDigest {
		return digester.Digest(ctx, &sinks.Digest{
			Lane: p.feed.Lane, Origin: p.feed.Origin, Head: p.feed.Head, First: p.feed.At.IsZero(), Ended: p.feed.Ended || p.last, At: p.at,
			Sign: c.cfg.SignHour, Open: c.cfg.OpenHour,
		})
	}
	if p.what == errandArchive {
		return c.cfg.Archive(ctx, archiveKey(p), p.signed)
	}
	of := &c.usual
	if p.what == errandFailing {
		of = &c.slow
	}
	slot, err := c.g.cfg.InFlight.acquire(ctx, of, live)
	if err != nil {
		return fmt.Errorf("no slot of delivery.in_flight was free in time: %w", err)
	}
	defer c.g.cfg.InFlight.release(slot)
	witness, ok := p.feed.Sink.(sinks.Witness)
	if !ok {
		return nil // made has asked
	}
	return witness.Checkpoint(ctx, p.feed.Lane, p.signed)
}

// archiveKey names a checkpoint in the archive, the same each time that it is brought.
func archiveKey(p *parcel) string {
	return fmt.Sprintf("%s/%s-%d.txt", p.feed.Origin, p.at.UTC().Format("20060102T150405Z"), p.feed.Head.Size)
}

// arrived takes note of how an errand went.
func (c *checkpointer) arrived(ctx context.Context, p *parcel) {
	defer c.drop(p)
	c.under[p.what]--
	if p.err != nil && ctx.Err() != nil {
		return // cut off
	}
	v := c.feeds[p.feed.Origin]
	where, nag := toFeed, c.nags[1]
	switch p.what {
	case errandArchive:
		where, nag = toArchive, c.nags[2]
		if v != nil && p.err != nil {
			v.archived = time.Time{}
		}
	case errandDigest:
		where, nag = toDigests, c.nags[3]
	case errandFeed, errandFailing:
		why := ""
		if p.err != nil {
			why = p.err.Error()
		}
		p.feed.lane.witnessed(&p.feed, why)
		if v != nil {
			v.failing = p.err != nil
		}
	}
	c.g.metrics.checkpoint(p.feed.Lane.Stream, where, p.err)
	if p.err != nil {
		nag.complain(zap.WarnLevel, p.err.Error(), zap.String("stream", p.feed.Lane.Stream))
	} else {
		nag.relieve()
	}
}

// drop lets go of the feed's sink.
func (c *checkpointer) drop(p *parcel) { p.feed.lane.stream.visits.Add(-1) }

// abandon lets go of everything. Nothing is under way any more.
func (c *checkpointer) abandon() {
	for len(c.done) > 0 {
		c.drop(<-c.done)
	}
	for what := range c.waiting {
		for _, p := range c.waiting[what] {
			c.drop(p)
		}
		c.waiting[what] = nil
	}
}

// witnessed takes down whether the destination has the last checkpoint of the feed, and if
// not, why.
func (l *lane) witnessed(f *Feed, why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.chains) == 0 || l.chains[0].origin != f.Origin || l.proof.checkpoint == nil {
		return
	}
	last := *l.proof.checkpoint
	last.Feed, last.Why = why == "", brief(why)
	l.proof.checkpoint = &last
	l.dirty = true
}

// brief is a reason as a record has it.
func brief(why string) string {
	const most = 300
	if len(why) > most {
		why = strings.ToValidUTF8(why[:most], "") + "…"
	}
	return why
}

// sinceCheckpoint is how long the lane's chain has been without a checkpoint; false where it
// has none. The caller holds mu.
func (l *lane) sinceCheckpoint(began, now time.Time) (time.Duration, bool) {
	if len(l.chains) == 0 {
		return 0, false
	}
	last := began
	if c := l.proof.checkpoint; c != nil {
		last = c.At
	}
	return max(0, now.Sub(last)), true
}
