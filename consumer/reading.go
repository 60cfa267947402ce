package consumer

import (
	"context"
	"sync"
	"time"
)

// Reading has live traffic go first where records are read, checked and offered to lanes,
// over all groups of a process: while it has records to offer, backlogs are read in
// proportion to their share. Backlogs alone are read as fast as their lanes take them.
type Reading struct {
	mu      sync.Mutex // a leaf; guards everything below
	share   share      // of records
	busy    int        // dispatchers that have records to offer, and are not waiting for a lane
	changed chan struct{}
}

// NewReading returns what gives backlogs that share, between 0 and 1.
func NewReading(catchUp float64) *Reading { return &Reading{share: share{catchUp: catchUp}} }

// longestYield bounds the wait of a backlog: live traffic that gets nowhere in that time
// is held up by something else.
const longestYield = 200 * time.Millisecond

// begin says that a dispatcher has records to offer.
func (r *Reading) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.busy++
}

// end says that it has none any more, or waits.
func (r *Reading) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.busy--
	r.tell()
}

// read notes that records were read for one of both.
func (r *Reading) read(t traffic, n int) {
	if n == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.share.add(t, float64(n), time.Now())
	if t == live {
		r.tell()
	}
}

// tell wakes who yields. The caller holds mu.
func (r *Reading) tell() {
	if r.changed != nil && r.mayCatchUp() {
		close(r.changed)
		r.changed = nil
	}
}

// mayCatchUp says whether a backlog may be read now. The caller holds mu.
func (r *Reading) mayCatchUp() bool { return r.busy == 0 || r.share.next() == catchingUp }

// yield returns when a backlog may be read, or ctx has ended.
func (r *Reading) yield(ctx context.Context) {
	r.mu.Lock()
	if r.mayCatchUp() {
		r.mu.Unlock()
		return
	}
	if r.changed == nil {
		r.changed = make(chan struct{})
	}
	changed := r.changed
	r.mu.Unlock()
	t := time.NewTimer(longestYield)
	defer t.Stop()
	select {
	case <-changed:
	case <-t.C:
	case <-ctx.Done():
	}
}
