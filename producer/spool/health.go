package spool

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"
)

// probeName is the file that is written while the disk fails, to find out whether it takes
// something again: nobody else may, as a load balancer sends nothing to a gateway that is not
// ready. A crash may leave it; the next start removes it.
const probeName = "probe.tmp"

const (
	probeFirst = 500 * time.Millisecond // pause before the disk is probed
	probeMost  = 15 * time.Second

	// A probe has the size of what was not taken, within bounds: a disk that is full may have
	// room for a few bytes.
	probeLeastBytes = 4 << 10
	probeMostBytes  = segmentLeast

	// hangs is how long a write may be under way until the disk counts as failing. A disk that
	// does not come back to it has not failed it either.
	hangs = 10 * time.Second
)

// health is whether the disk takes events. Guarded by queue.mu.
type health struct {
	failure error     // of the last write; nil: what was synced last was taken
	began   time.Time // when the write began that is under way; zero: there is none
}

// err is nil while the disk takes events, as far as is known.
func (h *health) err() error {
	if h.failure != nil || h.began.IsZero() {
		return h.failure
	}
	if since := time.Since(h.began); since >= hangs {
		return fmt.Errorf("%w: a write has been under way for %s", ErrDisk, since.Round(time.Second))
	}
	return nil
}

// begun notes that something is being written.
func (q *queue) begun() time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.health.began = time.Now()
	return q.health.began
}

// judge notes how a write ended. Only a sync proves that the disk works: before that, what was
// written is in memory. mu is held.
func (q *queue) judge(synced bool, err error) {
	failed := q.health.failure != nil
	q.health.began = time.Time{}
	switch {
	case err != nil:
		q.health.failure = err
		if !failed {
			q.log.Error("the spool's disk fails: events are refused while Kafka is away", zap.Error(err))
		}
	case synced:
		q.health.failure = nil
		if failed {
			q.log.Info("the spool's disk works again")
		}
	}
}

// fails says whether the last write failed.
func (q *queue) fails() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.health.failure != nil
}

// probe finds out whether a disk that failed works again.
func (q *queue) probe() {
	q.begun()
	err := q.tryProbe()
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrDisk, err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.judge(true, err)
}

// tryProbe does what the next event would need: a new file, some bytes in it, and a sync. The
// bytes are random, or a file system that packs them would need no room.
func (q *queue) tryProbe() error {
	path := filepath.Join(q.dir, probeName)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	f, err := q.create(path)
	if err != nil {
		return err
	}
	b := make([]byte, min(max(q.missed, probeLeastBytes), probeMostBytes))
	_, _ = rand.Read(b) // never fails
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = syncDir(q.dir)
	}
	return errors.Join(err, f.Close(), os.Remove(path))
}
