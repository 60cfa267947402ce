package integrity_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/auditstream/auditstream/integrity"
)

// world is an honest installation as it stood before somebody came: two organizations, the
// feed of one of which has gone on in a second chain, and every place that has something of
// them. An attack changes what its adversary can write to.
type world struct {
	tb testing.TB

	first, second key      // the second has replaced the first
	statements    [][]byte // of keys, as the well-known path serves them

	siem    []row                  // what the SIEM has indexed
	hidden  map[int]integrity.Hash // of its rows, by index: the event stands where nobody looks for it, and beside it this digest
	objects []*object              // what the store has
	digests []*digest              // of the store, hour by hour
	bare    bool                   // the store was copied, and its metadata are gone
	log     []record               // the events topic, as the streams' rules read it
	inFeed  []signed               // checkpoints that stand among the feed's own data
	topic   []signed               // the same in audit.checkpoints
	locked  []signed               // the same in the archive that nobody can write to
	chains  []*chain               // as they were made
	refused []byte                 // the last event that went to the dead letters
	until   time.Time              // for which time verify is asked; zero: whatever there is
	sources [][]signed             // that verify is given; nil: all
	trusted []string               // public keys that verify is given
}

// key is a signing key.
type key struct{ secret, public string }

// row is an event in the SIEM, with the place that it carries.
type row struct {
	feed   string
	number int64
	chain  integrity.Hash
	event  []byte
	id     string

	original integrity.Original // of a job's: which event it was at first
}

// object is one of a store: lines, and metadata that say where they stand.
type object struct {
	name          string
	feed          string
	first, last   int64
	before, after integrity.Hash
	lines         [][]byte
	table         bool   // it passes for a table of rows
	opaque        string // why its events cannot be read; empty: they can
}

// digest is the digest of an hour, as it lies in the store.
type digest struct {
	name    string
	content []byte
}

// record is an event that the topic has for a feed.
type record struct {
	origin string
	event  []byte
}

// signed is a checkpoint as it lies somewhere.
type signed struct {
	origin string
	size   int64
	at     time.Time
	note   []byte
}

// chain makes a feed as delivery does.
type chain struct {
	w        *world
	origin   string
	head     integrity.Head
	tree     integrity.Tree
	offset   int64
	after    int64
	previous *integrity.Former
	beside   []integrity.Beside
	withheld []integrity.Withheld
	sent     []integrity.Again // of a job's
}

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// minutes is a time behind noon.
func minutes(n int) time.Time { return noon.Add(time.Duration(n) * time.Minute) }

func newKey(tb testing.TB) key {
	tb.Helper()
	secret, public, err := integrity.GenerateKey("audit.example.com")
	if err != nil {
		tb.Fatal(err)
	}
	return key{secret, public}
}

func (k key) signer(tb testing.TB) note.Signer {
	tb.Helper()
	s, err := note.NewSigner(k.secret)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func originOf(stream string, revision, begin int64) string {
	return originIn(3, stream, revision, begin)
}

func originIn(partition int32, stream string, revision, begin int64) string {
	return integrity.Origin{Stream: stream, UID: "str_" + stream, TopicID: "topic", Partition: partition, Epoch: 1, Revision: revision, Begin: begin}.String()
}

// honest is the world before anything was done to it.
func honest(tb testing.TB) *world {
	tb.Helper()
	w := &world{tb: tb, first: newKey(tb), second: newKey(tb)}
	w.trusted = []string{w.first.public}
	w.statements = append(w.statements, w.replace(w.first, w.second, minutes(25), minutes(30)))

	acme := w.begin("acme", 1, 40, nil)
	acme.deliver(10).seal(0, w.first).deliver(10).seal(10, w.first).deliver(3)
	globex := w.begin("globex", 1, 0, nil)
	globex.deliver(10).seal(0, w.first).deliver(10).seal(10, w.first)
	again := w.begin("acme", 2, 63, &integrity.Former{Origin: acme.origin, Head: acme.head, Reason: "revision"})
	again.seal(15, w.first).deliver(4).refuse().deliver(5).seal(30, w.second).deliver(10).seal(40, w.second)
	globex.deliver(5).seal(40, w.second)
	for _, c := range w.chains {
		c.digest(w.second)
	}
	return w
}

// digest makes the digests of a chain: one that marks where they begin, one for each object,
// and one of an hour without any.
func (c *chain) digest(by key) {
	head := integrity.Begin(c.origin)
	var previous integrity.Hash
	hour := 0
	add := func(objects ...integrity.Object) {
		h := &integrity.Hour{
			Origin: c.origin, Hour: noon.Add(time.Duration(hour) * time.Hour), Time: noon.Add(time.Duration(hour+1) * time.Hour),
			Before: head, After: head, Previous: previous, Objects: objects,
		}
		for _, o := range objects {
			head = integrity.Head{Size: o.Last, Hash: o.After}
		}
		h.After = head
		d := c.w.signDigest(h, by)
		previous = sha256.Sum256(d.content)
		c.w.digests = append(c.w.digests, d)
		hour++
	}
	add()
	for _, o := range c.w.objects {
		if o.feed == integrity.FeedID(c.origin) {
			add(integrity.Object{Key: o.name, Size: 100, SHA256: o.sum(), First: o.first, Last: o.last, Before: o.before, After: o.after, Seen: true})
		}
	}
	add()
}

func (w *world) signDigest(h *integrity.Hour, by key) *digest {
	w.tb.Helper()
	text, err := h.Sign(by.signer(w.tb))
	if err != nil {
		w.tb.Fatal(err)
	}
	return &digest{fmt.Sprintf("%s.%s.txt", integrity.FeedID(h.Origin), h.Hour.Format("20060102T15Z")), text}
}

// digest is that of a feed, so many hours behind noon.
func (w *world) digest(feed string, hour int) *digest {
	w.tb.Helper()
	name := fmt.Sprintf("%s.%s.txt", feed, noon.Add(time.Duration(hour)*time.Hour).Format("20060102T15Z"))
	i := slices.IndexFunc(w.digests, func(d *digest) bool { return d.name == name })
	if i < 0 {
		w.tb.Fatalf("there is no digest %s", name)
	}
	return w.digests[i]
}

// sum is the SHA-256 of the lines.
func (o *object) sum() integrity.Hash {
	return sha256.Sum256(append(bytes.Join(o.lines, []byte("\n")), '\n'))
}

func (w *world) begin(stream string, revision, offset int64, previous *integrity.Former) *chain {
	return w.beginOrigin(originOf(stream, revision, offset), offset, previous)
}

func (w *world) beginOrigin(origin string, offset int64, previous *integrity.Former) *chain {
	c := &chain{w: w, origin: origin, head: integrity.Begin(origin), offset: offset, previous: previous}
	w.chains = append(w.chains, c)
	return c
}

// grow has acme's stream, which has a feed in another partition too, begin one in a partition
// that the topic did not have before: events of acme go there from then on.
func (w *world) grow() {
	elder := w.beginOrigin(originIn(2, "acme", 2, 9), 9, nil)
	elder.deliver(6).seal(41, w.second)
	again := w.chains[2]
	young := w.beginOrigin(originIn(4, "acme", 2, 0), 0, nil)
	young.beside = []integrity.Beside{
		{Origin: elder.origin, Head: elder.head, Time: minutes(41)},
		{Origin: again.origin, Head: again.head, Time: minutes(40)},
	}
	young.seal(45, w.second).deliver(5).seal(50, w.second)
}

// deliver sends n events, as one request and one object.
func (c *chain) deliver(n int) *chain {
	o := &object{feed: integrity.FeedID(c.origin), first: c.head.Size + 1, before: c.head.Hash}
	for range n {
		r := c.next()
		c.w.siem = append(c.w.siem, r)
		o.lines = append(o.lines, r.event)
	}
	o.last, o.after = c.head.Size, c.head.Hash
	o.name = fmt.Sprintf("%s/%08d", o.feed, o.first)
	c.w.objects = append(c.w.objects, o)
	return c
}

// next makes the next event.
func (c *chain) next() row {
	number := c.head.Size + 1
	id := fmt.Sprintf("%s-%d", c.origin[len("auditstream/"):], number)
	event := fmt.Appendf(nil, `{"action":"user.login","id":%q}`, id)
	link := c.head.Link(integrity.Digest(event))
	c.head, c.offset = link.Head(), c.offset+1
	c.tree.Append(link.Digest)
	c.w.log = append(c.w.log, record{c.origin, event})
	return row{integrity.FeedID(c.origin), number, link.Hash, event, id, integrity.Original{}}
}

// refuse sends an event to the dead letters.
func (c *chain) refuse() *chain {
	r := c.next()
	c.w.refused = r.event
	c.withheld = append(c.withheld, integrity.Withheld{From: r.number, To: r.number, Hash: integrity.Digest(r.event), Reason: "rejected"})
	return c
}

// refuseRun sends n events to the dead letters, which are listed as one run. Of a run of which only
// some were refused those in the middle are delivered.
func (c *chain) refuseRun(n int, reason string) *chain {
	run := integrity.Withheld{From: c.head.Size + 1, Before: c.head.Hash, Reason: reason}
	for i := range n {
		if r := c.next(); reason == integrity.Some && i > 0 && i < n-1 {
			c.w.siem = append(c.w.siem, r)
		}
	}
	run.To, run.Hash = c.head.Size, c.head.Hash
	c.withheld = append(c.withheld, run)
	return c
}

// seal makes a checkpoint, and puts it where checkpoints go.
func (c *chain) seal(minute int, keys ...key) *chain {
	s := c.checkpoint(minutes(minute), keys...)
	c.after, c.withheld, c.sent = c.head.Size, nil, nil
	c.w.inFeed = append(c.w.inFeed, s)
	c.w.topic = append(c.w.topic, s)
	c.w.locked = append(c.w.locked, s)
	return c
}

// checkpoint is a checkpoint of the chain as it stands.
func (c *chain) checkpoint(at time.Time, keys ...key) signed {
	return c.w.sign(&integrity.Checkpoint{
		Origin: c.origin, Size: c.head.Size, Root: c.tree.Root(), Chain: c.head.Hash, Offset: c.offset, Time: at,
		After: c.after, Previous: c.previous, Beside: c.beside, Withheld: c.withheld, Again: c.sent,
	}, keys...)
}

func (w *world) sign(c *integrity.Checkpoint, keys ...key) signed {
	w.tb.Helper()
	var signers []note.Signer
	for _, k := range keys {
		signers = append(signers, k.signer(w.tb))
	}
	n, err := c.Sign(signers...)
	if err != nil {
		w.tb.Fatal(err)
	}
	return signed{c.Origin, c.Size, c.Time, n}
}

// replace is the statement by which one key hands on its trust to another.
func (w *world) replace(old, by key, at, until time.Time) []byte {
	w.tb.Helper()
	s := integrity.KeyStatement{New: by.public, Old: old.public, Time: at, Until: until}
	n, err := s.Sign(by.secret, old.secret)
	if err != nil {
		w.tb.Fatal(err)
	}
	return n
}

// feed is the id of a chain of a stream.
func (w *world) feed(stream string, revision, begin int64) string {
	return integrity.FeedID(originOf(stream, revision, begin))
}

// acme, again and globex are the ids of the feeds of the honest world.
func (w *world) acme() string   { return w.feed("acme", 1, 40) }
func (w *world) again() string  { return w.feed("acme", 2, 63) }
func (w *world) globex() string { return w.feed("globex", 1, 0) }

// elder and young are those of the feeds that acme's stream has in other partitions, once
// the topic has grown.
func (w *world) elder() string { return integrity.FeedID(originIn(2, "acme", 2, 9)) }
func (w *world) young() string { return integrity.FeedID(originIn(4, "acme", 2, 0)) }

// row is the index of the event with a number of a feed in the SIEM.
func (w *world) row(feed string, number int64) int {
	w.tb.Helper()
	i := slices.IndexFunc(w.siem, func(r row) bool { return r.feed == feed && r.number == number })
	if i < 0 {
		w.tb.Fatalf("feed %s has no number %d", feed, number)
	}
	return i
}

// object is the object that holds a number of a feed.
func (w *world) object(feed string, number int64) *object {
	w.tb.Helper()
	i := slices.IndexFunc(w.objects, func(o *object) bool { return o.feed == feed && o.first <= number && number <= o.last })
	if i < 0 {
		w.tb.Fatalf("no object holds number %d of feed %s", number, feed)
	}
	return w.objects[i]
}

// forget takes the checkpoints of a feed behind a size out of a place.
func forget(from []signed, feed string, above int64) []signed {
	return slices.DeleteFunc(slices.Clone(from), func(s signed) bool { return integrity.FeedID(s.origin) == feed && s.size > above })
}

// rechain makes the numbers and hashes of a feed's rows anew, as if they were what was
// delivered.
func (w *world) rechain(origin string) {
	head := integrity.Begin(origin)
	for i := range w.siem {
		if r := &w.siem[i]; r.feed == integrity.FeedID(origin) {
			link := head.Link(integrity.Digest(r.event))
			r.number, r.chain, head = link.Number, link.Hash, link.Head()
		}
	}
}

// view is what verify is given to look through.
type view string

const (
	siem  view = "an export of the SIEM"
	store view = "the objects of a store"
	kafka view = "a range of the topic"
	shelf view = "the objects of a store, by its digests"
)

// verify checks a view of the world, as a receiver or an auditor would: with checkpoints from
// wherever they can be had, and a key that was handed over in person.
func (w *world) verify(v view) *integrity.Report {
	w.tb.Helper()
	keys, err := integrity.NewKeys(w.trusted...)
	if err != nil {
		w.tb.Fatal(err)
	}
	o := integrity.Options{Keys: keys, Until: w.until}
	if err := keys.AddAll(w.statements); err != nil {
		o.Found = append(o.Found, integrity.Finding{Kind: integrity.Forked, Detail: err.Error()})
	}
	c := integrity.NewChecker(o)
	sources := w.sources
	if sources == nil {
		sources = [][]signed{w.inFeed, w.topic, w.locked}
	}
	for _, source := range sources {
		for _, s := range source {
			_ = c.Checkpoint(s.note) // one that counts for nothing is counted
		}
	}
	switch v {
	case siem:
		w.rows(c)
	case store:
		w.runs(c)
	case shelf:
		w.byDigests(c)
	case kafka:
		w.recompute(c)
	}
	return c.Finish()
}

func (w *world) rows(c *integrity.Checker) {
	for i, r := range w.siem {
		if r.feed == "" {
			c.Stray([]byte(r.id))
			continue
		}
		x := integrity.Item{Feed: r.feed, Number: r.number, Digest: integrity.Digest(r.event), Chain: r.chain, ID: []byte(r.id), Where: fmt.Sprintf("row %d", i), Original: r.original}
		if digest, ok := w.hidden[i]; ok {
			x.Bare, x.Digest, x.ID = true, digest, nil
		}
		err := c.Event(x)
		if err != nil {
			w.tb.Fatal(err)
		}
	}
}

// originOf is what the id of a feed is the hash of.
func (w *world) originOf(feed string) string {
	w.tb.Helper()
	i := slices.IndexFunc(w.chains, func(c *chain) bool { return integrity.FeedID(c.origin) == feed })
	if i < 0 {
		w.tb.Fatalf("there is no feed %s", feed)
	}
	return w.chains[i].origin
}

// hide alters an event of the SIEM, and leaves no more of the true one than its digest.
func (w *world) hide(i int) {
	if w.hidden == nil {
		w.hidden = map[int]integrity.Hash{}
	}
	w.hidden[i] = integrity.Digest(w.siem[i].event)
	w.siem[i].event = forge(w.siem[i].event)
}

// runs reads objects in the order of their names, as a store lists them.
func (w *world) runs(c *integrity.Checker) {
	all := slices.Clone(w.objects)
	slices.SortStableFunc(all, func(a, b *object) int { return bytes.Compare([]byte(a.name), []byte(b.name)) })
	for _, o := range all {
		p, err := c.Begin(integrity.Run{Feed: o.feed, First: o.first, Last: o.last, Before: o.before, After: o.after, Where: o.name})
		if err != nil {
			c.Unreadable(o.name)
			continue
		}
		for _, line := range o.lines {
			if err := p.Event(integrity.Digest(line), idOf(line)); err != nil {
				w.tb.Fatal(err)
			}
		}
		if err := p.End(); err != nil {
			w.tb.Fatal(err)
		}
	}
}

// byDigests reads digests, what they list, and what is there besides.
func (w *world) byDigests(c *integrity.Checker) {
	v := c.Inventory()
	for _, d := range w.digests {
		if err := v.Digest(d.name, d.content); err != nil {
			w.tb.Fatal(err)
		}
	}
	listed, err := v.Close()
	if err != nil {
		w.tb.Fatal(err)
	}
	names := map[string]*integrity.Listed{}
	for _, l := range listed {
		names[l.Key] = l
	}
	for _, o := range w.objects {
		s := &integrity.Stored{Where: o.name, Listed: names[o.name], Sum: o.sum(), Events: func(yield func(integrity.Hash, []byte) bool) {
			for _, line := range o.lines {
				if !yield(integrity.Digest(line), idOf(line)) {
					return
				}
			}
		}}
		if s.Table = o.table; o.opaque != "" {
			s.Events, s.Why = nil, o.opaque
		}
		if !w.bare {
			s.Run = &integrity.Run{Feed: o.feed, Origin: w.originOf(o.feed), First: o.first, Last: o.last, Before: o.before, After: o.after, Where: o.name}
		}
		switch origin, err := v.Take(s); {
		case err != nil:
			w.tb.Fatal(err)
		case origin == "":
			c.Unreadable(o.name)
		}
	}
	v.Finish()
}

func idOf(line []byte) []byte {
	_, id, _ := bytes.Cut(line, []byte(`"id":"`))
	id, _, _ = bytes.Cut(id, []byte(`"`))
	return id
}

// recompute makes the chains anew from what the topic has.
func (w *world) recompute(c *integrity.Checker) {
	heads := map[string]integrity.Head{}
	for i, r := range w.log {
		head, begun := heads[r.origin]
		if !begun {
			head = integrity.Begin(r.origin)
		}
		link := head.Link(integrity.Digest(r.event))
		heads[r.origin] = link.Head()
		err := c.Event(integrity.Item{Feed: integrity.FeedID(r.origin), Number: link.Number, Digest: link.Digest, Chain: link.Hash, ID: idOf(r.event), Where: fmt.Sprintf("offset %d", i)})
		if err != nil {
			w.tb.Fatal(err)
		}
	}
}
