package consumer

import (
	"testing/synctest"
	"time"
)

// In some worlds Kafka keeps events for a while only, and delivery guards them: what nears
// the end of that goes to the dead letters before, and nothing younger does.
const (
	modelRetention = 20 * time.Minute
	modelGuard     = 0.5
)

// age lets events grow old, or has the guard look at the lanes.
func (w *world) age(o *owner, p *simPartition) {
	if w.tape.chance(50) {
		o.guard(p.number)
		return
	}
	w.tell("time passes")
	w.pass(4 * time.Minute)
	for _, p := range w.parts {
		if w.tape.chance(50) {
			w.retention(p)
		}
	}
}

// outlived is how many of a partition's records are older than Kafka keeps them.
func (w *world) outlived(records []*simRecord) int {
	for i, x := range records {
		if time.Since(x.Timestamp) <= w.retain {
			return i
		}
	}
	return len(records)
}

// guard is one turn of the loop that watches the retention, in one partition.
func (o *owner) guard(number int32) {
	part := o.g.partition(number)
	if part == nil || o.guarding {
		return
	}
	o.w.tell("%s guards %d", o.name, number)
	o.guarding = true
	go func() {
		_ = part.guard(part.ctx)
		o.guarding = false
	}()
	synctest.Wait()
}

// expires judges a letter about an event whose only fault is its age.
func (w *world) expires(s letterStream, x *simRecord) {
	age := time.Since(x.Timestamp)
	switch {
	case s.Replay != "":
		w.fail("12: %s writes a letter about the age of the event at %d of %d", s.Replay, x.Offset, x.Partition)
	case w.retain == 0 || age < time.Duration(modelGuard*float64(w.retain)):
		w.fail("12: the event at %d of %d is in the dead letters as about to expire, at an age of %s", x.Offset, x.Partition, age)
	}
}

// besiege keeps the destination away for longer than Kafka keeps events, while nothing else
// fails. What is young when that begins must be in the dead letters before it expires.
func (w *world) besiege() {
	w.tell("-- the destination stays away")
	for _, z := range w.zombies {
		w.crash(z)
	}
	w.zombies = nil
	w.healthy, w.away = true, true
	w.crash(w.owner)
	w.takeOver(w.known())
	young := time.Now().Add(-time.Duration(modelGuard * float64(w.retain)))
	for end := time.Now().Add(w.retain + time.Minute); w.failed == nil && time.Now().Before(end); w.pass(2 * time.Minute) {
		o := w.owner
		for n := range 150 { // lanes try again and again: there is no rest
			w.pass(time.Millisecond)
			w.resume(o)
			for _, p := range w.parts {
				o.live(p.number)
				if n%20 == 0 {
					o.guard(p.number)
				}
			}
			o.sweep()
		}
		w.inTime(young)
	}
	w.away, w.healthy = false, false
}

// inTime judges that no event has expired that was appended after a time.
func (w *world) inTime(young time.Time) {
	for _, p := range w.parts {
		for _, l := range w.current(p)[1:] {
			for _, x := range w.owed(l, p) {
				if x.Offset >= p.start && x.Timestamp.After(young) && time.Since(x.Timestamp) > w.retain {
					w.fail("17: %s (%s/%d): record %d of %d has expired, and is not in the dead letters", l.id, l.uid, l.base, x.Offset, p.number)
					return
				}
			}
		}
	}
}
