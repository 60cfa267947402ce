package consumer

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// The model runs the real code of this package against a simulated Kafka and a simulated
// destination, by random schedules of small steps: events, changes of streams, live
// reading, catching up, deliveries with every way to fail, letters, progress record by
// record, commits, crashes, stalled owners that go on, lost progress, expired offsets,
// retention and the guard against it, topics made anew, logs that are cut off, new partitions. Then faults stop, everything must come to
// rest, and what must always hold (ARCHITECTURE.md) is judged by the ground truth.
//
// Time is that of a synctest bubble, and only one goroutine is let run at a time, so a seed
// determines its schedule:
//
//	go test ./consumer -run TestModel -model.for 10m
//	go test ./consumer -run TestModel -model.seed 4711
var (
	modelFor  = flag.Duration("model.for", 8*time.Second, "how long random schedules are tried")
	modelSeed = flag.Uint64("model.seed", 0, "the one schedule to run, with a trace of its steps; 0: many")
	modelBase = flag.Uint64("model.base", 1, "the seed to begin with; 0: a random one")
)

// tape is where a schedule takes its decisions from: a seed, or a list of them.
type tape struct {
	rng   *rand.Rand
	taken []int
	fixed []int // instead of rng, then zeros
}

// pick decides for one of n.
func (t *tape) pick(n int) int {
	v := 0
	switch {
	case t.rng != nil:
		v = t.rng.IntN(n)
	case len(t.taken) < len(t.fixed):
		v = t.fixed[len(t.taken)] % n
	}
	t.taken = append(t.taken, v)
	return v
}

// chance is true in percent of 100 cases.
func (t *tape) chance(percent int) bool { return t.pick(100) >= 100-percent }

func seeded(seed uint64) *tape { return &tape{rng: rand.New(rand.NewPCG(seed, 1))} }

// simulate runs one schedule and returns the world that it left.
func simulate(t *tape, m *Metrics, traced bool) *world {
	w := newWorld(t, m)
	w.traces = traced
	w.create("s1")
	if w.retain == 0 && t.chance(50) {
		w.create("s2")
	}
	w.takeOver(w.known())
	for range []int{20, 40, 80, 140}[t.pick(4)] {
		if w.failed != nil {
			break
		}
		w.pass(time.Millisecond)
		if w.tape.chance(25) {
			w.jobStep()
		} else {
			w.step()
		}
	}
	if w.failed == nil && w.retain > 0 && t.chance(20) {
		w.besiege()
	}
	if w.failed == nil {
		w.quiet()
	}
	if w.job != nil {
		w.forgetJob("the schedule ends")
	}
	for _, o := range w.owners() {
		w.crash(o)
	}
	return w
}

// known are the streams as a process that starts now reads them.
func (w *world) known() Specs { return w.knownAt(len(w.specs)) }

func (w *world) knownAt(n int) Specs {
	last := map[string]Spec{}
	for _, s := range w.specs[:n] {
		last[s.ID] = s
	}
	out := Specs{Offset: int64(n)}
	for _, id := range []string{"s1", "s2"} {
		if s, ok := last[id]; ok {
			out.Streams = append(out.Streams, s)
		}
	}
	return out
}

// next is the streams that the next owner knows: it may have started long ago.
func (w *world) next() Specs {
	if w.tape.chance(15) {
		return w.knownAt(max(1, len(w.specs)-w.tape.pick(3)))
	}
	return w.known()
}

func (w *world) step() {
	t := w.tape
	p := w.parts[t.pick(len(w.parts))]
	o := w.owner
	if len(w.zombies) > 0 && t.chance(40) {
		o = w.zombies[t.pick(len(w.zombies))]
	}
	if w.retain > 0 && t.chance(6) {
		w.age(o, p)
		return
	}
	if w.retain == 0 && !w.s3 && t.chance(1) {
		w.cutOff(p)
		return
	}
	switch q := t.pick(1000); {
	case q < 170:
		o.live(p.number)
	case q < 310:
		w.append(p)
	case q < 430:
		o.learn()
	case q < 530:
		o.sweep()
	case q < 760:
		w.resume(o)
	case q < 850:
		o.commit()
	case q < 890:
		w.administer()
	case q < 895:
		w.gap(p)
	case q < 909:
		o.early()
		o.checkpoint()
	case q < 915:
		o.renew()
		o.learn()
	case q < 930:
		w.crash(o)
		if o == w.owner {
			w.takeOver(w.next())
		} else {
			w.zombies = slices.DeleteFunc(w.zombies, func(z *owner) bool { return z == o })
		}
	case q < 945:
		if o == w.owner {
			w.revoke(o)
			w.takeOver(w.next())
		}
	case q < 962:
		if len(w.zombies) < 2 {
			w.tell("%s stalls and is replaced", w.owner.name)
			w.zombies, w.stalled = append(w.zombies, w.owner), true
			w.takeOver(w.next())
		}
	case q < 968:
		w.tell("the progress topic is made anew")
		for _, p := range w.parts {
			clear(p.keys)
			clear(p.decoded)
		}
		w.progressID++
		w.forgets()
	case q < 973:
		if uids := w.uidsOf(p); len(uids) > 0 {
			uid := uids[t.pick(len(uids))]
			w.tell("the record of %s in %d is lost", uid, p.number)
			maps.DeleteFunc(p.keys, func(k string, _ []byte) bool { return strings.HasPrefix(k, uid+"/") })
			maps.DeleteFunc(p.decoded, func(k progressKey, _ *progress) bool { return k.uid == uid })
			w.forgets()
			if t.chance(50) { // else its owner writes it anew
				w.crash(w.owner)
				w.takeOver(w.next())
			}
		}
	case q < 977:
		w.tell("group offsets expire")
		for _, p := range w.parts {
			p.offset, p.metadata = -1, ""
			p.learn(w)
		}
		w.forgets()
		w.crash(w.owner)
		w.takeOver(w.next())
	case q < 984:
		w.retention(p)
	case q < 987:
		if len(w.parts) < 2 {
			if t.chance(50) {
				w.owner.checkpoint()
			}
			w.grow()
			for _, o := range w.owners()[len(w.zombies):] {
				o.open(w.parts[1])
			}
		}
	case q < 990:
		w.remake()
	case q < 996:
		w.broken = !w.broken
		w.tell("the destination's mapping is broken: %t", w.broken)
	default:
		w.pass([]time.Duration{10 * time.Millisecond, produceTimeout + time.Second, refreshAfter + refreshSpread + time.Minute}[t.pick(3)])
	}
}

// remake makes the events topic anew: everybody finds another topic when they start.
func (w *world) remake() {
	for _, o := range w.owners() {
		w.crash(o)
	}
	w.zombies = nil
	w.tell("the events topic is made anew")
	w.eventsID++
	for _, p := range w.parts {
		p.all, p.start, p.end, p.since, p.epochs = nil, 0, 0, -1, []int64{0}
	}
	if w.job != nil && w.job.task.Job == TaskReplay {
		w.forgetJob("its topic was made anew")
	}
	for _, l := range w.lines {
		if l.job == nil || l.job.task.Job == TaskReplay {
			clear(l.parts)
		}
	}
	w.takeOver(w.known())
}

// quiet stops the faults and lets everything come to rest.
func (w *world) quiet() {
	w.tell("-- quiet")
	w.healthy, w.broken = true, false
	w.run = 0 // what is left of bad events in a row, an operator lets go to the dead letters
	for _, z := range w.zombies {
		w.crash(z)
	}
	w.zombies = nil
	for _, id := range []string{"s1", "s2"} {
		if s, ok := w.latest[id]; ok && s.State == SpecPaused {
			s = s.Revise()
			s.State = SpecActive
			w.write(s)
		}
	}
	if w.tape.chance(50) {
		w.revoke(w.owner)
	} else {
		w.crash(w.owner)
	}
	w.takeOver(w.known())
	o := w.owner
	for idle, n := 0, 0; idle < 12 && w.failed == nil; n++ {
		if n > 3000 {
			w.fail("10: no rest")
		}
		w.pass(time.Millisecond)
		did := w.resume(o)
		for _, p := range w.parts {
			did = o.live(p.number) || did
		}
		did = o.sweep() || did
		if idle++; did || o.unconfirmed() {
			idle = 0
		}
	}
	for _, p := range o.g.owned() {
		for _, l := range p.lanes {
			if l == nil {
				continue
			}
			l.mu.Lock()
			if !l.live || l.head() != nil {
				w.fail("10: the lane of %s in %d rests: live %t at %d of %d, cursor %d", l.id.UID, p.number, l.live, l.next, p.position.Load(), l.cursor())
			}
			l.mu.Unlock()
		}
	}
	o.commit()
	for o.committing && w.failed == nil {
		w.resume(o)
	}
	if w.failed == nil {
		w.final()
		o.checkpoint() // of feeds that have had none, too
	}
	for n := 0; w.job != nil && w.failed == nil; n++ {
		if n > 5000 {
			w.fail("10: no rest: %s is not done", w.job.task.UID)
		}
		w.pass(time.Millisecond)
		w.jobStep()
	}
}

func modelMetrics(t *testing.T) *Metrics {
	t.Helper()
	m, err := NewMetrics(prometheus.NewRegistry(), MetricsConfig{Budget: NewBudget(1, 0.5)})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestModel(t *testing.T) {
	if underRace {
		t.Skip("the model hands over between goroutines in a way that the race detector does not know")
	}
	if *modelSeed != 0 {
		synctest.Test(t, func(t *testing.T) {
			w := simulate(seeded(*modelSeed), modelMetrics(t), true)
			t.Log(strings.Join(w.trace, "\n"))
			if w.failed != nil {
				t.Error(w.failed)
			}
		})
		return
	}
	base := *modelBase
	if base == 0 {
		base = rand.Uint64() >> 16
	}
	const bundle = 100 // schedules that share a bubble
	var tried atomic.Int64
	var next atomic.Uint64
	next.Store(base)
	var found struct {
		sync.Mutex
		seed uint64
		err  error
	}
	began := time.Now()
	t.Run("schedules", func(t *testing.T) {
		for i := range runtime.GOMAXPROCS(0) {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				for time.Since(began) < *modelFor {
					first := next.Add(bundle) - bundle
					synctest.Test(t, func(t *testing.T) {
						m := modelMetrics(t)
						for seed := first; seed < first+bundle; seed++ {
							w := simulate(seeded(seed), m, false)
							tried.Add(1)
							if w.failed != nil {
								found.Lock()
								defer found.Unlock()
								if found.err == nil {
									found.seed, found.err = seed, w.failed
								}
								return
							}
						}
					})
					found.Lock()
					err := found.err
					found.Unlock()
					if err != nil {
						return
					}
				}
			})
		}
	})
	t.Logf("%d schedules from seed %d", tried.Load(), base)
	if found.err == nil {
		return
	}
	synctest.Test(t, func(t *testing.T) {
		m := modelMetrics(t)
		w := shrink(found.seed, m)
		t.Errorf("%v\nschedule %d, after %d others; -model.seed %d shows it whole. In short:\n%s",
			found.err, found.seed, tried.Load()-1, found.seed, strings.Join(w.trace, "\n"))
	})
}

// shrink looks for a shorter schedule that breaks the same invariant.
func shrink(seed uint64, m *Metrics) *world {
	full := seeded(seed)
	first := simulate(full, m, false)
	if first.failed == nil {
		first.trace = []string{"the same seed breaks nothing when it is run again"}
		return first
	}
	class := func(w *world) string {
		if w.failed == nil {
			return ""
		}
		return w.failed.Error()[:min(12, len(w.failed.Error()))]
	}
	want, best := class(first), full.taken
	tries := 0
	for size := len(best) / 2; size > 0; size /= 2 {
		for at := 0; at+size <= len(best) && tries < 3000; {
			tries++
			less := slices.Concat(best[:at], best[at+size:])
			if class(simulate(&tape{fixed: less}, m, false)) == want {
				best = less
			} else {
				at += size
			}
		}
	}
	return simulate(&tape{fixed: best}, m, true)
}

// The same seed takes the same steps: what fails can be looked at. (With two partitions a
// breaker may wake two lanes at one instant, and who is first is not the schedule's choice.)
func TestASeedDeterminesItsSchedule(t *testing.T) {
	if underRace {
		t.Skip("the model hands over between goroutines in a way that the race detector does not know")
	}
	m := modelMetrics(t)
	run := func(seed uint64) (w *world) { // in a bubble of its own: what time it is may be part of the schedule
		synctest.Test(t, func(*testing.T) { w = simulate(seeded(seed), m, true) })
		return w
	}
	for seed := range uint64(200) {
		one, two := run(seed+1), run(seed+1)
		if len(one.parts) == 1 && len(two.parts) == 1 && !slices.Equal(one.trace, two.trace) {
			i := 0
			for i < min(len(one.trace), len(two.trace)) && one.trace[i] == two.trace[i] {
				i++
			}
			t.Fatalf("seed %d takes different ways after:\n%s\none:   %q\nother: %q", seed+1, strings.Join(one.trace[:i], "\n"),
				strings.Join(one.trace[i:min(i+3, len(one.trace))], "; "), strings.Join(two.trace[i:min(i+3, len(two.trace))], "; "))
		}
	}
}
