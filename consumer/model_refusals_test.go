package consumer

import (
	"fmt"

	"github.com/auditstream/auditstream/sinks"
)

// The model plays a destination at which something is broken that all events share: it
// refuses every one, until that is mended. A lane bears a number of refusals in a row; then
// it holds, and what it holds must not go to the dead letters.

// refuses says whether the destination refuses an event.
func (w *world) refuses(j *simJob, x *simRecord) bool {
	switch {
	case j != nil:
		return x.poison && !j.mended
	case w.broken:
		x.refused = true
	}
	return x.poison || w.broken
}

// refusalsOf is what became of a lane's events since the destination last took one.
type refusalsOf struct {
	lane    sinks.Lane
	letters map[int64]byte // organizations, by offset
}

func runOf(uid string, partition int32) string { return fmt.Sprintf("%d %s", partition, uid) }

// delivers begins a run with a lane's first request: each lane counts for itself.
func (o *owner) delivers(b *sinks.Batch) {
	key := runOf(b.Lane.UID, b.Lane.Partition)
	if run := o.refusals[key]; run == nil || run.lane != b.Lane {
		o.refusals[key] = &refusalsOf{b.Lane, map[int64]byte{}}
	}
}

// lettered judges the letter of a refused event: a lane that holds writes none.
func (o *owner) lettered(uid string, part int32, x *simRecord) {
	run := o.refusals[runOf(uid, part)]
	if run == nil || run.letters[x.Offset] != 0 {
		return // a letter that is written once more says nothing new
	}
	limit := o.g.cfg.Rejections
	if limit > 0 && len(run.letters) >= limit && (run.several() || !o.w.ofAll(run.lane)) {
		o.w.fail("12: %d events of %s in %d were refused in a row, and %d follows them to the dead letters", len(run.letters), uid, part, x.Offset)
	}
	run.letters[x.Offset] = x.org
}

// several says whether the run spans organizations.
func (r *refusalsOf) several() bool {
	orgs := map[byte]bool{}
	for _, org := range r.letters {
		orgs[org] = true
	}
	return len(orgs) > 1
}

// ofAll says whether a lane is of all organizations.
func (w *world) ofAll(l sinks.Lane) bool {
	for _, r := range w.line(l.UID, l.Epoch, l.Partition).revisions {
		if r.number == l.Revision {
			return r.org == 0
		}
	}
	return true
}
