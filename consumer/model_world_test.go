package consumer

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/sinks"
)

// world is everything outside of the deliverers: Kafka's topics, the destination, and the
// ground truth that the invariants are judged by. Only one goroutine runs at a time, so
// nothing here is locked but the list of calls.
type world struct {
	tape    *tape
	metrics *Metrics
	s3      bool // the destination keeps objects in slots; else it takes batches, and repeats
	linger  time.Duration
	opened  int // sinks
	batch   int // events a batch
	memory  int64
	slots   int           // for requests
	run     int           // of refusals, that a lane bears; 0: any
	waiting int           // batches that may wait to be confirmed; 0: everything is durable at once
	retain  time.Duration // how long Kafka keeps events, and delivery guards them; 0: for ever
	intakes map[sinks.Ticket]*intake
	late    int // batches that are lost although faults have stopped

	parts      []*simPartition
	eventsID   int
	progressID int
	clock      time.Time // Kafka's append time
	specs      []Spec    // the streams topic
	latest     map[string]Spec
	lines      []*line
	uids       int

	owner   *owner   // the member that Kafka knows
	zombies []*owner // stalled ones that go on, and do not know it
	names   int
	mu      sync.Mutex
	calls   []*call // parked

	job     *simJob // that is not done; nil without one
	jobs    int
	letters map[int32][]*simLetter // the dead letters, by the partition of the event

	ctx     context.Context //nolint:containedctx // never ends
	chains  map[string]*chainSeen
	objects map[slot]object
	once    map[string]slot

	healthy   bool          // faults have stopped
	broken    bool          // the destination refuses every event of a stream: something that all share is wrong
	away      bool          // the destination takes no request
	stalled   bool          // an owner has stalled: its record may stand over one that lists a gap
	sealed    []*kgo.Record // checkpoints in their topic
	cuts      bool          // a log was cut off
	forgotten bool          // a whole progress topic or a commit was lost, and gaps with it

	failed error
	trace  []string
	traces bool
}

// simPartition is one partition of the events and of the progress topic, and its commit.
type simPartition struct {
	number     int32
	all        []*simRecord // since the topic was made; those below start are gone
	start, end int64
	keys       map[string][]byte // of the progress topic
	decoded    table
	commit     *commit // decoded
	offset     int64   // of the commit; -1 without one
	metadata   string
	since      int64   // first position that any deliverer took
	epochs     []int64 // of leaders: where each began, of those that lost records at most where the log was cut off
}

type simRecord struct {
	*kgo.Record
	org     byte
	kind    int
	poison  bool // the destination refuses it
	refused bool // it was refused while the mapping was broken
	huge    bool // no frame can hold it
	invalid bool // no event at all
}

// line is a stream from one deliberate move of its cursor to the next: what has to be
// delivered, and what was.
type line struct {
	id, uid   string
	base      int64
	revisions []revision
	changed   bool    // the filter changed
	job       *simJob // whose line it is; nil of a stream
	start     time.Time
	forward   bool // what a former line has settled need not be sent again
	only      *Move
	topic     int             // id of the events topic that only speaks of
	ended     int             // likewise of until
	until     map[int32]int64 // where it ends that is being deleted; nil: nowhere
	parts     map[int32]*lineProgress
}

type lineProgress struct {
	settled  map[int64]bool
	arrived  map[int64]bool
	begin    map[int64]int64 // highest begin on record, by revision
	low      map[int64]int64 // lowest begin that any deliverer took for one
	passed   map[int64]int64 // how far older revisions may have come when they ended: highest floor committed, and the like
	newest   map[byte]int64  // first arrivals, by organization
	onRecord map[int64]bool  // revisions that have ever been on record
	expired  map[int64]bool  // taken by retention when the lane was on record
}

type revision struct {
	number, epoch int64
	org           byte            // 0: all
	kinds         int             // bits
	undecided     bool            // the filter has no verdict on what no frame can hold
	until         map[int32]int64 // of a stream that is draining: where it ends
	topic         int             // in that events topic
}

func (r revision) match(x *simRecord) bool {
	return !x.invalid && (r.org == 0 || r.org == x.org) && r.kinds&(1<<x.kind) != 0
}

func newWorld(t *tape, m *Metrics) *world {
	w := &world{
		tape: t, metrics: m, eventsID: 1, progressID: 1,
		clock:  time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC),
		latest: map[string]Spec{}, letters: map[int32][]*simLetter{}, objects: map[slot]object{}, ctx: context.Background(), chains: map[string]*chainSeen{}, once: map[string]slot{},
	}
	m.mu.Lock()
	m.groups = nil
	m.mu.Unlock()
	switch t.pick(3) {
	case 1:
		w.s3 = true
	case 2:
		w.waiting, w.late, w.intakes = 1+t.pick(3), t.pick(3), map[sinks.Ticket]*intake{}
	}
	w.batch = 1 + t.pick(2)
	w.memory = []int64{1 << 20, 2}[t.pick(2)]
	w.slots = []int{16, 1}[t.pick(2)]
	w.run, w.broken = []int{0, 1, 3}[t.pick(3)], t.chance(15)
	w.linger = []time.Duration{0, 3 * time.Millisecond}[t.pick(2)]
	if w.retain = []time.Duration{0, 0, modelRetention}[t.pick(3)]; w.retain > 0 {
		// Its days begin where those of the bubble do, whatever was played there before.
		<-time.After(time.Until(time.Now().Truncate(24 * time.Hour).Add(24 * time.Hour)))
		w.clock = time.Now()
	}
	w.lines = append(w.lines, &line{
		id: invalidUID, uid: invalidUID + ".model", base: 1, parts: map[int32]*lineProgress{},
		revisions: []revision{{number: 1, epoch: 1}},
	})
	w.grow()
	return w
}

func (w *world) tell(format string, args ...any) {
	if w.traces {
		w.trace = append(w.trace, fmt.Sprintf(format, args...))
	}
}

// fail keeps the first violation of an invariant.
func (w *world) fail(format string, args ...any) {
	if w.failed == nil {
		w.failed = fmt.Errorf(format, args...)
		w.tell("=> %v", w.failed)
	}
}

func (w *world) events() string   { return fmt.Sprintf("events%d", w.eventsID) }
func (w *world) progress() string { return fmt.Sprintf("progress%d", w.progressID) }

// grow adds a partition to events and progress.
func (w *world) grow() {
	n := int32(len(w.parts))
	w.parts = append(w.parts, &simPartition{number: n, keys: map[string][]byte{}, decoded: table{}, offset: -1, since: -1, epochs: []int64{0}})
	w.tell("partition %d exists", n)
}

func (w *world) tick(d time.Duration) time.Time {
	w.clock = w.clock.Add(d)
	if now := time.Now(); w.retain > 0 && w.clock.Before(now) {
		w.clock = now // events age
	}
	return w.clock
}

var modelHeaders = []kgo.RecordHeader{
	{Key: headerEncoding, Value: []byte(encodingJCS)}, {Key: headerVersion, Value: []byte(recordVersion)},
}

func (w *world) append(p *simPartition) {
	if w.retain == 0 && w.tape.chance(20) {
		w.tick(24 * time.Hour)
	}
	at := w.tick(time.Millisecond)
	if w.retain == 0 && w.tape.chance(10) {
		at = at.Add(-24 * time.Hour) // the leader moved to a broker whose clock is late
	}
	if w.tape.chance(20) {
		w.gap(p)
	}
	x := &simRecord{org: "ab"[w.tape.pick(2)], kind: w.tape.pick(2)}
	action := fmt.Sprintf("t%d", x.kind)
	switch {
	case w.tape.chance(8):
		x.poison = true
	case w.tape.chance(4):
		x.huge = true
		action += ".huge"
	case w.tape.chance(4):
		x.invalid = true
	}
	x.Record = &kgo.Record{
		Topic: "events", Partition: p.number, Offset: p.end, Timestamp: at, Key: []byte{x.org}, Headers: modelHeaders, LeaderEpoch: int32(len(p.epochs) - 1),
		Value: fmt.Appendf(nil, `{"action":%q,"actor":{"id":"u","type":"user"},"id":"audit_event_%026d","occurred_at":"2026-11-01T00:00:00Z","organization_id":"%c","targets":[]}`, action, p.end+int64(len(p.epochs)-1)*1_000_000, x.org),
	}
	if x.invalid {
		x.Value = []byte(`{}`)
	}
	p.all = append(p.all, x)
	p.end++
	w.tell("append %d/%d %c %s day %d poison=%t invalid=%t", p.number, x.Offset, x.org, action, dayOf(at), x.poison, x.invalid)
}

// gap leaves offsets without record: control records, aborted transactions.
func (w *world) gap(p *simPartition) {
	p.end += int64(1 + w.tape.pick(2))
	w.tell("offset gap %d, end %d", p.number, p.end)
}

// from lists the records that Kafka still has at offset or above.
func (p *simPartition) from(offset int64) []*simRecord {
	i, _ := slices.BinarySearchFunc(p.all, max(offset, p.start), func(x *simRecord, o int64) int { return int(x.Offset - o) })
	return p.all[i:]
}

func (p *simPartition) at(offset int64) *simRecord {
	if xs := p.from(offset); len(xs) > 0 && xs[0].Offset == offset {
		return xs[0]
	}
	return nil
}

func (p *simPartition) after(t time.Time) int64 {
	for _, x := range p.from(0) {
		if x.Timestamp.UnixMilli() >= t.UnixMilli() {
			return x.Offset
		}
	}
	return p.end
}

func (w *world) retention(p *simPartition) {
	kept, before := p.from(0), p.start
	if len(kept) == 0 {
		return
	}
	n := 1 + w.tape.pick(2)
	if w.retain > 0 {
		n = w.outlived(kept)
	}
	if n == 0 {
		return
	}
	if n < len(kept) {
		p.start = kept[n].Offset
	} else {
		p.start = p.end
	}
	for _, l := range w.lines {
		if at := l.at(p.number); len(at.onRecord) > 0 && l.job == nil {
			for _, x := range w.owed(l, p) {
				if x.Offset >= before && x.Offset < p.start {
					at.expired[x.Offset] = true
				}
			}
		}
	}
	w.tell("retention: %d starts at %d", p.number, p.start)
}

// ---- streams

func (w *world) write(s Spec) {
	s.Offset, s.Time = int64(len(w.specs)), w.tick(time.Millisecond)
	value, err := s.Encode()
	if err == nil {
		s, err = DecodeSpec(&kgo.Record{Key: []byte(s.ID), Value: value, Offset: s.Offset, Timestamp: s.Time})
	}
	if err != nil {
		w.fail("spec: %v", err)
	}
	w.specs = append(w.specs, s)
	w.latest[s.ID] = s
	var l *line
	for _, have := range w.lines {
		if have.uid == s.UID && have.base == s.BaseEpoch {
			l = have
		}
	}
	if l == nil {
		at, err := s.StartTime()
		if err != nil {
			w.fail("spec: %v", err)
		}
		l = &line{id: s.ID, uid: s.UID, base: s.BaseEpoch, start: at, forward: s.Forward, parts: map[int32]*lineProgress{}}
		w.lines = append(w.lines, l)
	}
	now := []*line{l}
	for _, m := range s.Moves {
		i := slices.IndexFunc(w.lines, func(have *line) bool { return have.uid == s.UID && have.base == m.Epoch })
		if i < 0 {
			i = len(w.lines)
			w.lines = append(w.lines, &line{id: s.ID, uid: s.UID, base: m.Epoch, forward: m.Forward, only: &m, topic: w.eventsID, parts: map[int32]*lineProgress{}})
		}
		now = append(now, w.lines[i])
	}
	r := revision{number: s.Revision, epoch: s.Epoch}
	if s.OrganizationID != AllOrganizations {
		r.org = s.OrganizationID[0]
	}
	r.kinds, r.undecided = kindsOf(s), s.Filter == modelFilters[3].text
	if s.State == SpecDraining {
		r.until, r.topic = s.Drain.Until, w.eventsID
	}
	for _, l := range now {
		if n := len(l.revisions); n > 0 && (l.revisions[n-1].org != r.org || l.revisions[n-1].kinds != r.kinds) {
			l.changed = true
		}
		l.revisions = append(l.revisions, r)
		if s.State == SpecDraining && l.until == nil {
			l.until, l.ended = s.Drain.Until, w.eventsID
		}
	}
	w.tell("spec %s uid %s epoch %d/%d revision %d %s %v %q %s start %s forward %t %s", s.ID, s.UID, s.Epoch, s.BaseEpoch, s.Revision, s.OrganizationID, s.Actions, s.Filter, s.State, s.Start, s.Forward, movesOf(s))
}

func movesOf(s Spec) string {
	text := ""
	for _, m := range s.Moves {
		text += fmt.Sprintf("; epoch %d: %d to %d forward %t", m.Epoch, m.Partition, m.Offset, m.Forward)
	}
	return text
}

// modelFilters are the expressions of streams, and the kinds that they let pass. The last one
// has no verdict on events that no frame can hold: they are refused for that already.
var modelFilters = []struct {
	text  string
	kinds int // bits
}{
	{"", 3},
	{`event.action.startsWith("t0")`, 1},
	{`event.action.startsWith("t1")`, 2},
	{`!event.action.endsWith(".huge") || event.metadata.size > 0`, 3},
}

// kindsOf are the kinds of events that a stream carries, by its filter and the globs, which
// have to let an event pass as well.
func kindsOf(s Spec, also ...[]string) int {
	kinds := 0
	for _, f := range modelFilters {
		if f.text == s.Filter {
			kinds = f.kinds
		}
	}
	for i := range 2 {
		for _, globs := range append(also, s.Actions) {
			if !newActionFilter(globs).match(fmt.Appendf(nil, "t%d", i)) {
				kinds &^= 1 << i
			}
		}
	}
	return kinds
}

func (w *world) filter() string { return modelFilters[w.tape.pick(len(modelFilters))].text }

func (w *world) actions() []string {
	return [][]string{nil, {"t0*"}, {"t1*"}}[w.tape.pick(3)]
}

func (w *world) start() string {
	return []string{StartBeginning, StartNow}[w.tape.pick(2)]
}

func (w *world) create(id string) {
	w.uids++
	w.write(Spec{
		ID: id, UID: fmt.Sprintf("u%d", w.uids), Epoch: 1, BaseEpoch: 1, Revision: 1, Owner: "file", State: SpecActive,
		OrganizationID: []string{AllOrganizations, "a", "b"}[w.tape.pick(3)], Actions: w.actions(), Filter: w.filter(),
		Format: "workos", Kind: "model", Settings: json.RawMessage(`{}`), Start: w.start(),
	})
}

// administer is an operator's deed.
func (w *world) administer() {
	id := "s1"
	if w.retain == 0 { // else: of two lanes that hold the same event, who is first to notice its age would be no part of the schedule
		id = []string{"s1", "s2"}[w.tape.pick(2)]
	}
	s, ok := w.latest[id]
	if !ok || s.State == SpecDeleted {
		w.create(id)
		return
	}
	if s.State == SpecDraining {
		w.finish(s)
		return
	}
	switch w.tape.pick(8) {
	case 0: // pause, resume
		s = s.Revise()
		if s.State == SpecPaused {
			s.State = SpecActive
		} else {
			s.State = SpecPaused
		}
	case 1, 2: // another filter
		s = s.Revise()
		s.Actions, s.Filter = w.actions(), w.filter()
	case 3: // another place
		s = s.Continue()
	case 4: // a deliberate move
		start := []string{StartBeginning, StartNow, w.clock.Add(-2 * time.Millisecond).Format(time.RFC3339Nano)}[w.tape.pick(3)]
		s = s.MoveTo(start, Change{What: "moved", By: "operator"})
	case 5: // in one partition
		p := w.parts[w.tape.pick(len(w.parts))]
		offset := max(0, p.end-int64(w.tape.pick(6)))
		forward := false
		if rec, _ := p.decoded.of(s.In(p.number), w.events()); rec != nil {
			forward = offset >= rec.Cursor
		}
		s = s.MovePartition(p.number, offset, w.events(), forward, Change{What: "moved", By: "operator"})
	case 6:
		s = s.Revise()
		s.State = SpecDeleted
	case 7:
		if s.Paused() {
			return
		}
		until := map[int32]int64{}
		for _, p := range w.parts {
			until[p.number] = p.end
		}
		s = s.Drained(w.events(), until, Change{What: "deleted when drained", By: "operator"})
	}
	w.write(s)
}

// finish deletes a stream if it is drained.
func (w *world) finish(s Spec) {
	if !w.drained(s) {
		return
	}
	for _, p := range w.parts {
		for _, x := range w.owed(w.line(s.UID, s.Epoch, p.number), p) {
			if x.Offset >= p.start {
				w.fail("1: %s (%s) is said to be drained; record %d of %d is unsettled", s.ID, s.UID, x.Offset, p.number)
				return
			}
		}
	}
	w.write(s.Deleted(Change{What: "drained and deleted", By: "delivery"}))
}

// drained says whether a stream has delivered what came before its deletion, as far as
// Kafka can tell.
func (w *world) drained(s Spec) bool {
	for _, p := range w.parts {
		f, streams := w.found(p, p.commit, p.decoded, w.progress())
		at, err := place(f, streams)
		if err != nil {
			w.fail("place: %v", err)
			return false
		}
		for _, start := range at.lanes {
			if start.stream.spec.UID != s.UID {
				continue
			}
			until, l := s.until(w.events(), p.number), w.line(s.UID, s.Epoch, p.number)
			for _, x := range p.from(f.settled(start)) {
				if x.Offset < until && l.revisions[len(l.revisions)-1].match(x) {
					return false
				}
			}
		}
	}
	return true
}

// ---- ground truth

func (w *world) line(uid string, epoch int64, part int32) *line {
	var best *line
	for _, l := range w.lines {
		if l.uid == uid && l.base <= epoch && (l.only == nil || l.only.Partition == part) && (best == nil || l.base > best.base) {
			best = l
		}
	}
	return best
}

// repeats says whether an event of a line that goes on where a former one stood has arrived
// as one of that.
func (w *world) repeats(l *line, part int32, offset int64) bool {
	for l.forward && l.base > 1 {
		l = w.line(l.uid, l.base-1, part)
		if l.at(part).arrived[offset] {
			return true
		}
	}
	return false
}

func (l *line) at(part int32) *lineProgress {
	p := l.parts[part]
	if p == nil {
		p = &lineProgress{
			settled: map[int64]bool{}, arrived: map[int64]bool{}, begin: map[int64]int64{}, low: map[int64]int64{}, passed: map[int64]int64{},
			newest: map[byte]int64{}, onRecord: map[int64]bool{}, expired: map[int64]bool{},
		}
		l.parts[part] = p
	}
	return p
}

// begins notes that a deliverer takes a revision to begin at an offset.
func (at *lineProgress) begins(revision, offset int64) {
	if low, ok := at.low[revision]; !ok || offset < low {
		at.low[revision] = offset
	}
}

// newer says whether a revision after this one has been on record.
func (at *lineProgress) newer(revision int64) bool {
	for r := range at.onRecord {
		if r > revision {
			return true
		}
	}
	return false
}

// newer says whether a record of a later revision is there.
func (p *simPartition) newer(rec *progress) bool {
	for key := range p.decoded {
		if key.uid == rec.UID && key.revision > rec.Revision {
			return true
		}
	}
	return false
}

// startsAt is the first offset that belongs to the line.
func (w *world) startsAt(l *line, p *simPartition) int64 {
	switch {
	case l.only != nil && l.topic == w.eventsID:
		return l.only.Offset
	case l.start.IsZero():
		return 0
	}
	for _, x := range p.all {
		if x.Timestamp.UnixMilli() >= l.start.UnixMilli() {
			return x.Offset
		}
	}
	return p.end
}

// owed lists the records that are neither settled nor free to be passed over. Around a
// change of filter a record that only one of the revisions lets pass may be sent or not.
func (w *world) owed(l *line, p *simPartition) []*simRecord {
	var out []*simRecord
	at := l.at(p.number)
	from := w.startsAt(l, p)
	for _, x := range p.all {
		if x.Offset < from || x.Timestamp.Before(l.start) || at.settled[x.Offset] {
			continue
		}
		if l.until != nil && (l.ended != w.eventsID || x.Offset >= l.until[p.number]) {
			continue
		}
		if l.uid == invalidUID+".model" {
			if x.invalid && p.since >= 0 && x.Offset >= p.since && !w.forgotten {
				out = append(out, x)
			}
			continue
		}
		if l.matched(at, x) && (!l.forward || !w.before(l, p, x)) {
			out = append(out, x)
		}
	}
	return out
}

// before says whether a former line has settled a record, or was free to pass it over, or
// began behind it.
func (w *world) before(l *line, p *simPartition, x *simRecord) bool {
	for _, former := range w.lines {
		if former.uid != l.uid || former.base >= l.base || former.only != nil && former.only.Partition != p.number {
			continue
		}
		unwanted := slices.ContainsFunc(former.revisions, func(r revision) bool { return !r.match(x) })
		if unwanted || x.Offset < w.startsAt(former, p) || x.Timestamp.Before(former.start) || former.at(p.number).settled[x.Offset] {
			return true
		}
	}
	return false
}

// matched says whether every revision that may be in force at a record lets it pass: one
// that may have begun, and that no later one has certainly replaced.
func (l *line) matched(at *lineProgress, x *simRecord) bool {
	replaced := false
	for _, r := range slices.Backward(l.revisions) {
		low, known := at.low[r.number]
		first := r.number == l.revisions[0].number
		if !replaced && (first || !known || low <= x.Offset) && !r.match(x) {
			return false
		}
		if begin, ok := at.begin[r.number]; ok {
			for older, passed := range at.passed {
				if older < r.number {
					begin = max(begin, passed)
				}
			}
			replaced = replaced || begin <= x.Offset
		}
	}
	return true
}

// current lists the lines of the streams as they are now in a partition.
func (w *world) current(p *simPartition) []*line {
	out := []*line{w.lines[0]}
	for _, id := range []string{"s1", "s2"} {
		if s, ok := w.latest[id]; ok && s.State != SpecDeleted {
			out = append(out, w.line(s.UID, s.Epoch, p.number))
		}
	}
	return out
}

// ---- progress and commits arrive

func (w *world) progressArrives(o *owner, r *kgo.Record) {
	p := w.parts[r.Partition]
	_, known := p.keys[string(r.Key)]
	if r.Value == nil {
		delete(p.keys, string(r.Key))
	} else {
		p.keys[string(r.Key)] = r.Value
	}
	if err := p.decoded.add(&kgo.Record{Key: r.Key, Value: r.Value}); err != nil {
		w.fail("progress: %v", err)
		return
	}
	key, err := parseProgressKey(r.Key)
	if err != nil {
		w.fail("progress: %v", err)
		return
	}
	rec := p.decoded[key]
	if rec != nil {
		w.chained(p, rec, known)
	}
	if rec == nil {
		w.tell("%s: progress %d %s buried", o.name, p.number, key)
		return
	}
	w.tell("%s: progress %d %s begin %d cursor %d mark %q; matched %d to %d all %t at most %t, became %d %d %d %d", o.name, p.number, key, rec.Begin, rec.Cursor, rec.Mark,
		rec.Matched, rec.CountedTo, rec.CountedAll, rec.AtMost, rec.Delivered, rec.DeadLettered, rec.Filtered, rec.Lost)
	if name := o.name[:1]; ofJob(rec.UID) != (name == "J") {
		w.fail("14: %s writes the progress of %s", o.name, rec.UID)
	}
	if l := w.line(rec.UID, rec.Epoch, p.number); l != nil && (rec.TopicID == w.events() || rec.TopicID == lettersID) {
		at := l.at(p.number)
		at.onRecord[rec.Revision] = true
		at.begin[rec.Revision] = max(at.begin[rec.Revision], rec.Begin)
		at.begins(rec.Revision, rec.Begin)
		if at.newer(rec.Revision) && !p.newer(rec) {
			// The newer revision's record is lost: what counts is that of a stale owner.
			at.passed[rec.Revision] = max(at.passed[rec.Revision], rec.Cursor)
		}
		if first := l.revisions[0].number; rec.Revision > first {
			// Some older one was in force below: a deliverer may jump over revisions, and a stalled
			// one that follows the streams has a new revision begin at its own cursor.
			at.passed[first] = max(at.passed[first], rec.Begin)
		}
	}
	w.judge(p, "progress")
}

func (w *world) commitArrives(o *owner, p *simPartition, offset int64, metadata string) {
	p.offset, p.metadata = offset, metadata
	p.learn(w)
	if c := p.commit; c != nil {
		for _, l := range w.lines {
			if l.job != nil {
				continue
			}
			at, first := l.at(p.number), l.revisions[0].number
			passed := c.meta.Floor
			if len(at.onRecord) == 0 {
				passed = offset // it had nothing to deliver below, under the revision that the committer knew
			}
			at.passed[first] = max(at.passed[first], passed)
		}
	}
	w.tell("%s: commit %d at %d %s", o.name, p.number, offset, metadata)
	w.judge(p, "commit")
}

// learn decodes the commit.
func (p *simPartition) learn(w *world) {
	var err error
	if p.commit, err = decodeCommit(p.offset, p.metadata); err != nil {
		w.fail("commit: %v", err)
	}
}

// judge asks where a new owner would begin if the present one died now: with what Kafka
// has, and with a part of it lost.
func (w *world) judge(p *simPartition, after string) {
	if w.failed != nil {
		return
	}
	w.begins(p, after, "", p.commit, p.decoded, w.progress())
	switch w.tape.pick(4) {
	case 1:
		w.begins(p, after, " with all progress lost", p.commit, table{}, "another")
	case 2:
		w.begins(p, after, " with the group offset expired", nil, p.decoded, w.progress())
	case 3:
		for _, uid := range w.uidsOf(p) {
			rest := maps.Clone(p.decoded)
			maps.DeleteFunc(rest, func(k progressKey, _ *progress) bool { return k.uid == uid })
			w.begins(p, after, " with the record of "+uid+" lost", p.commit, rest, w.progress())
		}
	}
}

func (w *world) keysOf(p *simPartition) []progressKey {
	return slices.SortedFunc(maps.Keys(p.decoded), func(a, b progressKey) int { return strings.Compare(a.String(), b.String()) })
}

func (w *world) uidsOf(p *simPartition) []string {
	var uids []string
	for _, key := range w.keysOf(p) {
		uids = append(uids, key.uid)
	}
	return slices.Compact(uids)
}

func (w *world) begins(p *simPartition, after, how string, c *commit, records table, progressID string) {
	f, streams := w.found(p, c, records, progressID)
	at, err := place(f, streams)
	if err != nil {
		w.fail("place: %v", err)
		return
	}
	for _, start := range at.lanes {
		l := w.line(start.stream.spec.UID, start.stream.spec.Epoch, p.number)
		if start.stream.invalid && c == nil {
			continue // it begins with what is read for the streams
		}
		for _, x := range w.owed(l, p) {
			if x.Offset >= p.start && x.Offset < start.from {
				w.fail("after a %s%s a new owner would begin %s (%s/%d) at %d of %d; record %d is unsettled", after, how, l.id, l.uid, l.base, start.from, p.number, x.Offset)
				return
			}
		}
	}
}

// found is what a new owner of a partition would find.
func (w *world) found(p *simPartition, c *commit, records table, progressID string) (found, []*stream) {
	f := found{
		number: p.number, commit: c, records: records, logStart: p.start, logEnd: p.end,
		events: w.events(), progress: progressID, streams: "streams",
		started: func(s Spec) (int64, error) { return w.started(p, s) },
	}
	w.findCuts(p, &f)
	lines := w.current(p)
	streams := make([]*stream, 0, len(lines))
	for _, l := range lines[1:] {
		streams = append(streams, &stream{spec: w.latest[l.id]})
	}
	streams = append(streams, &stream{spec: Spec{
		ID: invalidUID, UID: invalidUID + ".model", Epoch: 1, BaseEpoch: 1, Revision: 1, State: SpecActive,
		Start: StartBeginning, EpochOffset: new(int64(-1)),
	}, invalid: true})
	return f, streams
}

func (w *world) started(p *simPartition, s Spec) (int64, error) {
	return s.begins(w.events(), p.start, p.end, func(t time.Time) (int64, error) { return p.after(t), nil })
}

// settle notes that something durable has happened to a record.
func (w *world) settle(l *line, part int32, offset int64) { l.at(part).settled[offset] = true }

// letterArrives judges a dead letter: only what is refused may become one.
func (w *world) letterArrives(o *owner, r *kgo.Record) {
	id, class := "", ""
	var streams []letterStream
	for _, h := range r.Headers {
		switch h.Key {
		case letterPrefix + "class":
			class = string(h.Value)
		case letterPrefix + "id":
			id = string(h.Value)
		case letterPrefix + "streams":
			if err := json.Unmarshal(h.Value, &streams); err != nil {
				w.fail("letter: %v", err)
			}
		}
	}
	var topic, part int
	var offset int64
	if _, err := fmt.Sscanf(strings.ReplaceAll(id, ".", " "), "events%d %d %d", &topic, &part, &offset); err != nil {
		w.fail("letter %q: %v", id, err)
		return
	}
	w.tell("%s: letter %s", o.name, id)
	if topic != w.eventsID {
		return
	}
	p := w.parts[part]
	x := w.recordEver(p, offset)
	switch {
	case x == nil:
		w.fail("12: a letter about offset %d of %d, where no record is", offset, part)
	case len(streams) == 0:
		if !x.invalid {
			w.fail("12: the event at %d of %d is in the dead letters as no event", offset, part)
		}
		w.settle(w.lines[0], p.number, offset)
	default:
		switch {
		case class == classExpiring:
			w.expires(streams[0], x)
		case !x.huge && streams[0].Replay == "":
			o.lettered(streams[0].UID, p.number, x)
		}
		if class != classExpiring && !x.poison && !x.huge && !x.refused {
			w.fail("12: the good event at %d of %d is in the dead letters", offset, part)
		}
		uid := streams[0].UID
		if ofJob(uid) {
			w.fail("14: letter %s is about %s, which is no stream: no redrive would find it", id, uid)
			return
		}
		if streams[0].Replay != "" {
			if uid = streams[0].Replay; w.line(uid, streams[0].Epoch, p.number).job.task.StreamUID != streams[0].UID {
				w.fail("14: a letter of %s is about the stream %s", uid, streams[0].UID)
			}
		}
		w.settle(w.line(uid, streams[0].Epoch, p.number), p.number, offset)
	}
	if x != nil {
		w.keepLetter(id, streams, p.number, x)
	}
}

func (w *world) recordEver(p *simPartition, offset int64) *simRecord {
	i, ok := slices.BinarySearchFunc(p.all, offset, func(x *simRecord, o int64) int { return int(x.Offset - o) })
	if !ok {
		return nil
	}
	return p.all[i]
}

// final judges what is left when faults have stopped and nothing moves any more.
func (w *world) final() {
	for _, s := range w.latest {
		if s.State == SpecDraining && !w.drained(s) {
			w.fail("10: %s (%s) is never drained", s.ID, s.UID)
		}
	}
	for _, p := range w.parts {
		for _, l := range w.current(p) {
			w.accounted(l, p)
			var gaps []gap
			if s, ok := w.latest[l.id]; ok {
				if rec, _ := p.decoded.of(s, w.events()); rec != nil {
					gaps = rec.Gaps
				}
			} else if rec := p.decoded[progressKey{l.uid, 1, 1}]; rec != nil {
				gaps = rec.Gaps
			}
			for _, x := range w.owed(l, p) {
				lost := slices.ContainsFunc(gaps, func(g gap) bool { return g.From <= x.Offset && x.Offset < g.To })
				switch {
				case x.Offset >= p.start:
					w.fail("1: %s (%s/%d): record %d of %d is never settled", l.id, l.uid, l.base, x.Offset, p.number)
				case !lost && !w.forgotten && !w.stalled && l.at(p.number).expired[x.Offset]:
					w.fail("1: %s (%s/%d): retention took record %d of %d, and no gap says so", l.id, l.uid, l.base, x.Offset, p.number)
				}
			}
		}
	}
}
