package consumer

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/sinks"
)

// owner is one deliverer: the real Group with its partitions and lanes, without its loops.
// The schedule takes their steps.
type owner struct {
	w    *world
	name string
	g    *Group
	dead bool

	fetch      map[int32]int64   // where the poll loop reads on
	writes     map[queue][]write // on their way; guarded by w.mu
	inFlight   map[string]bool
	refusals   map[string]*refusalsOf // by stream and partition
	started    int                    // goroutines of lanes
	known      int                    // records of the streams topic
	progressID int                    // the progress topic that it writes to
	renewing   bool
	committing bool
	saving     bool
	seeking    map[int32]bool
	awake      bool // the catch-up loop has swept, or was woken
	sweeping   bool
	reading    bool // the sweep waits for Kafka
	guarding   bool
}

// startedBySchedule has a lane's goroutine begin when the schedule says so.
type startedBySchedule struct {
	workers
	o *owner
}

func (s startedBySchedule) Go(f func()) {
	s.o.w.mu.Lock()
	s.o.started++
	key := fmt.Sprintf("%6d", s.o.started)
	s.o.w.mu.Unlock()
	s.workers.Go(func() {
		_ = s.o.park(context.Background(), "start", key) // a dead process lets it run into its end
		f()
	})
}

// takeOver has a new deliverer take every partition.
func (w *world) takeOver(specs Specs) {
	w.names++
	o := &owner{
		w: w, known: int(specs.Offset), progressID: w.progressID, name: fmt.Sprintf("P%d", w.names), fetch: map[int32]int64{},
		inFlight: map[string]bool{}, refusals: map[string]*refusalsOf{}, seeking: map[int32]bool{}, writes: map[queue][]write{},
	}
	w.owner = o
	g, err := New(Config{
		Topics: Topics{Events: "events", Progress: "progress", DeadLetters: "letters"},
		IDs:    IDs{Cluster: "c", Events: w.events(), Progress: w.progress(), Streams: "streams"},
		ID:     "g",
		Kind: sinks.Kind{
			Name:     "model",
			Defaults: func() sinks.Settings { return w.settings() },
			Open: func(sinks.Settings, sinks.Options) (sinks.Sink, error) {
				if w.waiting > 0 {
					return &confirmingSink{&modelSink{w, o}}, nil
				}
				return &modelSink{w, o}, nil
			},
		},
		Specs:       specs,
		Checkpoints: modelCheckpoints(),
		// The shortest waits: what is random in them would be no part of the schedule. Longer
		// ones are asked for by the destination.
		Retry:  Retry{Min: 1, Max: 1, Probe: 5 * time.Millisecond},
		Budget: NewBudget(w.memory, 0.5), InFlight: NewSlots(SlotsConfig{Max: w.slots, MaxSlow: 1, CatchUp: 0.5}), Rejections: w.run, RetentionGuard: modelGuard, Metrics: w.metrics, Log: zap.NewNop(),
	})
	if err != nil {
		w.fail("New: %v", err)
		return
	}
	k := simKafka{w, o}
	g.member, g.out, g.reader, g.offsets = k, k, k, k
	o.g = g
	g.retention.Store(int64(w.retain))
	for _, p := range w.parts {
		o.open(p)
	}
}

// open has a deliverer take a partition.
func (o *owner) open(p *simPartition) {
	w := o.w
	if o.progressID != w.progressID {
		return // it tries again, and so does the schedule
	}
	p.learn(w)
	c := p.commit
	o.g.mu.Lock()
	o.g.fetched[p.number] = c
	o.g.mu.Unlock()
	part, err := o.g.openPartition(context.Background(), p.number)
	if err != nil {
		w.fail("open: %v", err)
		return
	}
	part.work = startedBySchedule{part.work, o}
	o.fetch[p.number] = part.position.Load()
	part.saveAt.Store(2) // so few events are settled here
	o.begins()
	if p.since < 0 || c == nil && p.decoded[progressKey{w.lines[0].uid, 1, 1}] == nil {
		p.since = part.position.Load()
	}
	w.tell("%s takes %d over at %d; behind: %d", o.name, p.number, part.position.Load(), len(part.behind))
}

// begins takes down where the revisions begin that a deliverer has.
func (o *owner) begins() {
	for _, part := range o.g.owned() {
		part.mu.Lock()
		for i, s := range part.streams {
			if s == nil || s.invalid {
				continue
			}
			from := part.from[i]
			if l := part.lanes[i]; l != nil {
				l.mu.Lock()
				from = min(from, l.begin)
				l.mu.Unlock()
			}
			if from != later {
				o.w.line(s.spec.UID, s.spec.Epoch, part.number).at(part.number).begins(s.spec.Revision, from)
			}
		}
		part.mu.Unlock()
	}
}

// learn has a deliverer follow the streams topic, not always to its end.
func (o *owner) learn() {
	w := o.w
	n := len(w.specs) - o.known
	if n == 0 {
		return
	}
	if w.tape.chance(70) {
		n = 1 + w.tape.pick(n)
	}
	o.known += n
	w.tell("%s learns of the streams to %d", o.name, o.known)
	if err := o.g.Learn(context.Background(), w.knownAt(o.known)); err != nil {
		w.fail("Learn: %v", err)
	}
	synctest.Wait()
	o.begins()
}

// renew has a deliverer notice that the progress topic was made anew.
func (o *owner) renew() {
	if o.progressID == o.w.progressID || o.renewing {
		return
	}
	o.w.tell("%s writes to a new progress topic", o.name)
	o.progressID, o.renewing = o.w.progressID, true
	id := o.w.progress()
	for _, q := range o.queues() {
		if q.topic != "progress" {
			continue
		}
		writes := o.writes[q]
		delete(o.writes, q)
		for _, x := range writes {
			x.promise(x.r, kerr.UnknownTopicID)
		}
	}
	go func() {
		_ = o.g.Renew(context.Background(), id)
		o.renewing = false
	}()
	synctest.Wait()
	for _, p := range o.w.parts {
		if o == o.w.owner && o.g.partition(p.number) == nil {
			o.open(p)
		}
	}
}

// crash ends a process at once. Some of what it had on its way to Kafka still arrives.
func (w *world) crash(o *owner) {
	w.tell("%s dies", o.name)
	var left []write
	for _, q := range o.queues() {
		queued := o.writes[q]
		for _, x := range queued[:w.tape.pick(len(queued)+1)] {
			o.arrive(x.r)
		}
		left = append(left, queued...)
	}
	w.mu.Lock()
	o.dead = true
	calls := w.calls
	w.calls = nil
	for _, c := range calls {
		if c.o == o {
			close(c.again)
		} else {
			w.calls = append(w.calls, c)
		}
	}
	w.mu.Unlock()
	for _, x := range left {
		x.promise(x.r, errModelDead)
	}
	clear(o.writes)
	done := make(chan struct{})
	go func() {
		defer close(done)
		o.g.giveUp(context.Background(), o.g.removed(o.numbers()), false)
	}()
	<-done
	synctest.Wait()
}

func (o *owner) numbers() []int32 {
	var out []int32
	for _, p := range o.g.owned() {
		out = append(out, p.number)
	}
	return out
}

// revoke gives everything up in good order; the schedule goes on with what that waits for.
func (w *world) revoke(o *owner) {
	w.tell("%s gives up in good order", o.name)
	done := false
	go func() {
		o.g.revoked(context.Background(), nil, map[string][]int32{"events": o.numbers()})
		done = true
	}()
	synctest.Wait()
	for range 200 {
		if done {
			break
		}
		w.pass(time.Millisecond)
		w.resume(o)
	}
	w.crash(o)
}

// pass lets time go by.
func (w *world) pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
	all := w.owners()
	if w.job != nil {
		for _, o := range w.job.owners {
			all = append(all, o.owner)
		}
	}
	for _, o := range all {
		o.begins()
		// A sweep that waits for its last lane: with lanes going on meanwhile, who is faster
		// would be no part of the schedule.
		for n := 0; o.sweeping && !o.reading && w.failed == nil; n++ {
			if n > 1000 {
				w.fail("10: a sweep of %s neither reads nor ends", o.name)
			}
			<-time.After(time.Second)
			synctest.Wait()
		}
	}
}

func (w *world) owners() []*owner { return append(slices.Clone(w.zombies), w.owner) }

// resume goes on with one thing that a deliverer waits for; it reports whether there was any.
func (w *world) resume(o *owner) bool {
	w.mu.Lock()
	var mine []*call
	for _, c := range w.calls {
		if c.o == o {
			mine = append(mine, c)
		}
	}
	slices.SortStableFunc(mine, func(a, b *call) int { return cmp.Or(cmp.Compare(a.what, b.what), cmp.Compare(a.key, b.key)) })
	w.mu.Unlock()
	queues := o.queues()
	n := len(mine) + len(queues)
	if n == 0 {
		return false
	}
	i := w.tape.pick(n)
	if i < len(queues) {
		o.land(queues[i])
	} else {
		c := mine[i-len(queues)]
		w.mu.Lock()
		w.calls = slices.DeleteFunc(w.calls, func(have *call) bool { return have == c })
		w.mu.Unlock()
		close(c.again)
	}
	synctest.Wait()
	return true
}

// live is the poll loop and the dispatcher: some records are read and offered.
func (o *owner) live(number int32) bool {
	w := o.w
	part, p := o.g.partition(number), w.parts[number]
	if part == nil || o.seeking[number] {
		return false
	}
	part.end.Store(p.end)
	at := o.fetch[number]
	if at < p.start || at > p.end {
		w.tell("%s: position %d of %d is out of range", o.name, at, number)
		o.seeking[number] = true
		go func() {
			_ = part.outOfRange(part.ctx)
			o.seeking[number] = false
		}()
		synctest.Wait()
		return true
	}
	xs := p.from(at)
	if len(xs) == 0 {
		return false
	}
	records := make([]*kgo.Record, 0, 3)
	for _, x := range xs[:min(len(xs), 1+w.tape.pick(3))] {
		records = append(records, x.Record)
	}
	before := part.position.Load()
	_, full := part.feed(records)
	o.fetch[number] = part.position.Load()
	w.tell("%s: live %d at %d", o.name, number, o.fetch[number])
	moved := o.fetch[number] != before
	if full != nil && (w.tape.chance(50) || w.healthy && !moved) {
		w.tell("%s: %s is let go", o.name, full.id.UID)
		part.letGo(full)
		moved = true
	}
	synctest.Wait()
	return moved
}

// sweep is one turn of the catch-up loop.
func (o *owner) sweep() bool {
	if o.sweeping {
		return false
	}
	select {
	case <-o.g.catchUpWake:
		o.awake = true
	default:
	}
	if !o.awake {
		return false
	}
	var hungry []*partition
	for _, p := range o.g.owned() {
		if p.needsSweep() {
			hungry = append(hungry, p)
		}
	}
	if len(hungry) == 0 {
		o.awake = false
		return false
	}
	p := hungry[o.w.tape.pick(len(hungry))]
	o.sweeping = true
	go func() {
		_ = p.sweep(p.ctx)
		o.sweeping = false
	}()
	synctest.Wait()
	return true
}

// unconfirmed says whether a lane waits for confirmations.
func (o *owner) unconfirmed() bool {
	for _, p := range o.g.owned() {
		for _, l := range p.lanes {
			if l != nil && l.awaitsConfirmation() {
				return true
			}
		}
	}
	return false
}

// early is one turn of the loop that saves progress between commits.
func (o *owner) early() {
	select {
	case <-o.g.saveWake:
	default:
		return
	}
	if o.saving {
		return
	}
	o.saving = true
	go func() {
		o.g.saveEarly(context.Background())
		o.saving = false
	}()
	synctest.Wait()
}

func (o *owner) commit() {
	if o.committing {
		return
	}
	o.committing = true
	go func() {
		_ = o.g.commitWithin(context.Background(), commitTimeout, o.g.owned())
		o.committing = false
	}()
	synctest.Wait()
}
