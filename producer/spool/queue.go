package spool

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/auditstream/auditstream/internal/dirlock"
)

// Why an event is not on disk; to be asked for with errors.Is.
var (
	// ErrFull: the queue has as many bytes as it may have.
	ErrFull = errors.New("the spool is full")
	// ErrDisk: the disk did not take the event.
	ErrDisk = errors.New("the spool's disk failed")
	// ErrClosed: the spool was closed.
	ErrClosed = errors.New("the spool is closed")
)

// Sizes of a segment: a sixteenth of the queue, within bounds. A segment is read whole when
// it is drained, and freed whole when all of its events have left.
const (
	segmentLeast = 64 << 10
	segmentMost  = 8 << 20
)

// file is what the queue writes to; tests have some that fail.
type file interface {
	io.WriteCloser
	Sync() error
	Truncate(size int64) error
}

// queue is the events on disk. Its methods may be called by many goroutines at once; one
// goroutine of its own writes.
type queue struct {
	dir    string
	most   int64
	each   int64 // size from which on a segment is full
	log    *zap.Logger
	counts *metrics
	create func(path string) (file, error)
	lock   *dirlock.Lock

	wake    chan struct{} // something is to be written; capacity 1
	arrived chan struct{} // there is something to drain; capacity 1
	written sync.WaitGroup

	mu       sync.Mutex
	segments []*segment     // oldest first
	bytes    int64          // of all files
	waiting  int64          // bytes that are to be written
	seq      uint64         // last one given
	number   uint64         // of the last segment
	orgs     map[string]int // events of each organization that are left, those to be written included
	left     int            // events that are left, those to be written included
	oldest   time.Time      // when the oldest of them was accepted, or before; zero: there is none
	todo     []*write
	full     bool // an event was refused for want of room, and there is none yet
	health   health
	closed   bool

	// Owned by the goroutine that writes.
	current *segment
	out     file
	missed  int   // bytes of the last write that failed
	torn    error // why a note behind what is good may be there in part; nil: there is none
}

// write is something to be appended.
type write struct {
	frames []byte
	events []queued
	sync   bool
	done   chan error // nil: nobody waits
}

// openQueue opens the queue of a directory, and reads what is left in it.
func openQueue(dir string, most int64, log *zap.Logger, counts *metrics) (*queue, error) {
	lock, err := dirlock.Take(dir)
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	q := &queue{
		dir: dir, most: most, each: min(max(most/16, segmentLeast), segmentMost), log: log, counts: counts, lock: lock,
		create: func(path string) (file, error) {
			return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		},
		wake: make(chan struct{}, 1), arrived: make(chan struct{}, 1), orgs: map[string]int{},
	}
	err = syncDir(filepath.Dir(dir)) // where it was made, perhaps
	if err == nil {
		err = q.recover()
	}
	if err != nil {
		_ = lock.Close()
		return nil, fmt.Errorf("spool: %w", err)
	}
	q.written.Go(q.write)
	return q, nil
}

// recover reads the segments that are there.
func (q *queue) recover() error {
	names, err := os.ReadDir(q.dir)
	if err != nil {
		return err
	}
	var done []span
	var last contents
	owners := ownership{indexes: map[string]uint32{}, of: map[*segment][]uint32{}}
	for _, entry := range names { // sorted, and so the segments
		info, err := entry.Info()
		if err != nil {
			return err
		}
		number, ok := segmentNumber(entry.Name())
		if !ok {
			switch entry.Name() {
			case dirlock.Name:
			case probeName:
				if err := os.Remove(filepath.Join(q.dir, probeName)); err != nil {
					return err
				}
			default:
				q.bytes += info.Size() // what was refused or damaged takes room too
			}
			continue
		}
		s := &segment{number: number, path: filepath.Join(q.dir, entry.Name()), size: info.Size()}
		c, err := read(s.path, 0, s.size)
		if err != nil {
			return err
		}
		if err := q.tellDamage(s, c); err != nil {
			return err
		}
		for _, e := range c.events {
			if !s.add(e.seq) {
				continue
			}
			owners.note(s, e)
			q.seq = max(q.seq, e.seq)
			if q.oldest.IsZero() {
				q.oldest = e.at
			}
		}
		done, last = append(done, c.done...), c
		q.segments, q.number, q.bytes = append(q.segments, s), number, q.bytes+s.size
	}
	for _, d := range done {
		q.seq = max(q.seq, d.last)
		q.remove(d)
	}
	for _, s := range q.segments {
		for _, seq := range s.remaining() {
			q.orgs[owners.whose(s, seq)]++
			q.left++
		}
	}
	if err := q.cutTail(last); err != nil {
		return err
	}
	if q.left == 0 {
		q.oldest = time.Time{}
	} else {
		q.log.Info("events of the last run wait in the spool", zap.Int("events", q.left), zap.Int64("bytes", q.bytes), zap.Time("oldest", q.oldest))
		q.signal(q.arrived)
	}
	q.free()
	return nil
}

// ownership is whose the events are that were found, in a few bytes each.
type ownership struct {
	indexes map[string]uint32
	names   []string
	of      map[*segment][]uint32 // by the event's bit
}

func (o *ownership) note(s *segment, e queued) {
	index, ok := o.indexes[e.organization]
	if !ok {
		index = uint32(len(o.names))
		o.indexes[e.organization], o.names = index, append(o.names, e.organization)
	}
	for uint64(len(o.of[s])) <= e.seq-s.first {
		o.of[s] = append(o.of[s], 0)
	}
	o.of[s][e.seq-s.first] = index
}

func (o *ownership) whose(s *segment, seq uint64) string { return o.names[o.of[s][seq-s.first]] }

// segmentNumber is the number that a file's name says.
func segmentNumber(name string) (uint64, bool) {
	digits, ok := strings.CutPrefix(name, segmentPrefix)
	digits, ok2 := strings.CutSuffix(digits, segmentSuffix)
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, ok && ok2 && err == nil
}

// tellDamage reports what could not be read, and keeps a copy: nothing that might be an
// event is thrown away unseen.
func (q *queue) tellDamage(s *segment, c contents) error {
	for _, d := range c.damaged {
		copied := filepath.Join(q.dir, fmt.Sprintf("%s%016d-%d.bin", damagedPrefix, s.number, d.offset))
		if _, err := os.Stat(copied); err != nil {
			q.bytes += d.size
		}
		b := make([]byte, d.size)
		f, err := os.Open(s.path)
		if err != nil {
			return err
		}
		n, err := f.ReadAt(b, d.offset)
		_ = f.Close()
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if err := os.WriteFile(copied, b[:n], 0o600); err != nil {
			return err
		}
		q.counts.damage(d.size)
		q.log.Error("part of the spool cannot be read: what was accepted there may be lost; everything else is drained",
			zap.String("file", s.path), zap.Int64("offset", d.offset), zap.Int64("bytes", d.size), zap.String("copy", copied))
	}
	return nil
}

// cutTail cuts off what a crash left half written at the end of the last segment: it was
// not synced, so nobody was told that it is accepted. Without it the next start would
// report it again.
func (q *queue) cutTail(last contents) error {
	if len(q.segments) == 0 || len(last.damaged) == 0 {
		return nil
	}
	s, d := q.segments[len(q.segments)-1], last.damaged[len(last.damaged)-1]
	if d.offset+d.size < s.size {
		return nil
	}
	q.bytes -= s.size - last.good
	s.size = last.good
	return os.Truncate(s.path, last.good)
}

// append puts events into the queue and returns when they are synced, together with what
// others append at the same time.
func (q *queue) append(events []queued) error {
	var size int64
	for _, e := range events {
		size += e.size()
	}
	w := &write{events: events, sync: true, done: make(chan error, 1)}
	q.mu.Lock()
	switch {
	case q.closed:
		q.mu.Unlock()
		return ErrClosed
	case q.bytes+q.waiting+size > q.most:
		q.full = q.left > 0 || q.roomless() // else it is the call that is too large
		err := fmt.Errorf("%w: %d of %d bytes are taken", ErrFull, q.bytes+q.waiting, q.most)
		q.mu.Unlock()
		return err
	}
	for i := range events {
		e := &events[i]
		q.seq++
		e.seq = q.seq
		w.frames = e.append(w.frames)
		q.orgs[e.organization]++
		q.left++
	}
	if q.oldest.IsZero() {
		q.oldest = events[0].at
	}
	q.waiting += size
	q.todo = append(q.todo, w)
	q.mu.Unlock()
	q.signal(q.wake)
	return <-w.done
}

func (q *queue) signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// depart notes that events left the queue. The note is written without a sync: one that is
// lost repeats events.
func (q *queue) depart(events []queued) {
	if len(events) == 0 {
		return
	}
	seqs := make([]uint64, len(events))
	for i, e := range events {
		seqs[i] = e.seq
	}
	slices.Sort(seqs)
	var spans []span
	for _, seq := range seqs {
		if n := len(spans); n > 0 && spans[n-1].last+1 == seq {
			spans[n-1].last = seq
		} else {
			spans = append(spans, span{seq, seq})
		}
	}
	q.mu.Lock()
	for _, s := range spans {
		q.remove(s)
	}
	for _, e := range events {
		q.leave(e.organization)
	}
	if !q.closed {
		q.todo = append(q.todo, &write{frames: appendDone(nil, spans)})
	}
	q.mu.Unlock()
	q.signal(q.wake)
}

// leave counts an event down. mu is held.
func (q *queue) leave(organization string) {
	if q.orgs[organization]--; q.orgs[organization] <= 0 {
		delete(q.orgs, organization)
	}
	if q.left--; q.left <= 0 {
		q.left, q.oldest = 0, time.Time{}
		clear(q.orgs) // of events that were lost on the disk nobody knows whose they were
	}
}

// remove takes events out of their segments. mu is held.
func (q *queue) remove(d span) {
	for _, s := range q.segments {
		if !s.any {
			continue
		}
		end := s.first + uint64(len(s.left))*64
		for seq := max(d.first, s.first); seq <= d.last && seq < end; seq++ {
			s.remove(seq)
		}
	}
}

// holds says whether events of an organization are left, and how many there are of all.
func (q *queue) holds(organization string) (of, all int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.orgs[organization], q.left
}

// write writes what is to be written, until the queue is closed, and probes a disk that fails.
func (q *queue) write() {
	pause := probeFirst
	var due <-chan time.Time // the next probe; nil: the disk does not fail
	for {
		select {
		case <-q.wake:
			if q.writeAll() {
				q.end()
				return
			}
		case <-due:
			q.probe()
			due, pause = nil, min(2*pause, probeMost)
		}
		switch fails := q.fails(); {
		case !fails:
			due, pause = nil, probeFirst
		case due == nil:
			due = time.After(pause)
		}
	}
}

// writeAll writes what is to be written, in order, and syncs once for all that has come
// together meanwhile. It says whether the queue was closed.
func (q *queue) writeAll() bool {
	q.mu.Lock()
	todo, closed := q.todo, q.closed
	q.todo = nil
	q.mu.Unlock()
	for len(todo) > 0 {
		n := q.fitting(todo)
		q.commit(todo[:n])
		todo = todo[n:]
	}
	return closed
}

// fitting is how many writes go into the current segment: at least one.
func (q *queue) fitting(todo []*write) int {
	size := int64(0)
	if q.current != nil {
		size = q.current.size
	}
	for i, w := range todo {
		if size += int64(len(w.frames)); size >= q.each {
			return i + 1
		}
	}
	return len(todo)
}

// commit appends writes to the current segment, and tells those who wait.
func (q *queue) commit(writes []*write) {
	began := q.begun()
	synced, err := q.try(writes)
	q.counts.synced(began, err)
	q.mu.Lock()
	q.judge(synced, err)
	for _, w := range writes {
		for _, e := range w.events {
			q.waiting -= e.size()
			if err != nil {
				q.leave(e.organization)
			} else {
				q.current.add(e.seq)
			}
		}
	}
	q.free()
	torn := q.torn
	if torn != nil {
		q.judge(false, torn)
	}
	// An empty queue keeps a small file, so that a trickle of events does not make one each.
	full := q.current != nil && (q.current.size >= q.each || q.left == 0 && q.current.size >= segmentLeast)
	q.mu.Unlock()
	switch {
	case torn != nil:
		q.counts.synced(began, torn)
		q.giveUp()
	case full:
		q.seal()
	}
	for _, w := range writes {
		if w.done != nil {
			w.done <- err
		}
	}
	if err == nil {
		q.signal(q.arrived)
	}
}

// try appends writes to a file, and says whether it was synced. After an error nothing more goes
// to that file: what the kernel could not write it may have dropped, and the next sync would not
// say so.
func (q *queue) try(writes []*write) (sync bool, err error) {
	var buf []byte
	for _, w := range writes {
		buf = append(buf, w.frames...)
		sync = sync || w.sync
	}
	if q.current == nil {
		if _, left := q.holds(""); !sync && left == 0 {
			return false, nil // notes of what left, and nothing is left that would be repeated
		}
		if err := q.begin(); err != nil {
			q.missed = len(buf)
			return false, fmt.Errorf("%w: %w", ErrDisk, err)
		}
	}
	_, err = q.out.Write(buf)
	if err == nil && sync {
		err = q.out.Sync()
	}
	if err != nil {
		q.missed = len(buf)
		q.giveUp()
		return false, fmt.Errorf("%w: %w", ErrDisk, err)
	}
	q.mu.Lock()
	q.current.size += int64(len(buf))
	q.bytes += int64(len(buf))
	q.mu.Unlock()
	return sync, nil
}

// begin makes the next segment.
func (q *queue) begin() error {
	q.mu.Lock()
	q.number++
	s := &segment{number: q.number, path: segmentPath(q.dir, q.number), open: true, size: int64(headerSize)}
	q.mu.Unlock()
	out, err := q.create(s.path)
	if err != nil {
		return err
	}
	_, err = out.Write(append([]byte(headerMagic), version))
	if err == nil {
		err = syncDir(q.dir) // the file itself is synced with what comes first
	}
	if err != nil {
		_ = out.Close()
		_ = os.Remove(s.path)
		return err
	}
	q.mu.Lock()
	q.segments = append(q.segments, s)
	q.bytes += s.size
	q.mu.Unlock()
	q.current, q.out = s, out
	return nil
}

// seal ends the current segment: the next write begins another one.
func (q *queue) seal() {
	if q.current == nil {
		return
	}
	_ = q.out.Close() // everything that somebody relies on is synced
	q.out = nil
	q.mu.Lock()
	q.current.open = false
	q.free()
	q.mu.Unlock()
	q.current = nil
}

// giveUp ends the current segment after an error and cuts it back to what is good: what stands
// behind that would move everything that follows away from where it is looked for. If that
// fails too, a restart may find events in it that were refused: they are then in Kafka once
// more than their senders know, with their ids.
func (q *queue) giveUp() {
	if err := q.out.Truncate(q.current.size); err != nil {
		q.log.Error("a segment of the spool cannot be cut back after an error", zap.String("file", q.current.path), zap.Error(err))
	}
	q.torn = nil
	q.seal()
}

// free removes segments that nothing is left of. mu is held.
//
// Notes of what left stand in later segments than the events. So before a segment goes that
// has older ones before it, what left of those is written once more.
func (q *queue) free() {
	kept := q.segments[:0]
	for _, s := range q.segments {
		if s.count > 0 || s.open || len(kept) > 0 && !q.noteAgain(kept) {
			kept = append(kept, s)
			continue
		}
		if err := os.Remove(s.path); err != nil && !errors.Is(err, os.ErrNotExist) {
			q.log.Error("a segment of the spool cannot be removed", zap.String("file", s.path), zap.Error(err))
			kept = append(kept, s)
			continue
		}
		q.bytes -= s.size
	}
	clear(q.segments[len(kept):])
	q.segments = kept
	if !q.roomless() {
		q.full = false
	}
}

// roomless says whether most of the room is taken. mu is held.
func (q *queue) roomless() bool { return q.bytes+q.waiting >= q.most/10*9 }

// noteAgain has it written what left of segments, if the current one can take it. mu is held.
func (q *queue) noteAgain(segments []*segment) bool {
	if q.out == nil || q.torn != nil {
		return false
	}
	var spans []span
	for _, s := range segments {
		if !s.open {
			spans = append(spans, s.gone()...)
		}
	}
	if len(spans) == 0 {
		return true
	}
	frame := appendDone(nil, spans)
	if _, err := q.out.Write(frame); err != nil {
		q.missed, q.torn = len(frame), fmt.Errorf("%w: %w", ErrDisk, err)
		return false
	}
	q.bytes += int64(len(frame))
	q.current.size += int64(len(frame))
	return true
}

// end writes what says that nothing is missing.
func (q *queue) end() {
	if q.current == nil {
		return
	}
	frame := appendEnd(nil)
	_, err := q.out.Write(frame)
	if err == nil {
		err = q.out.Sync()
	}
	if err != nil {
		q.log.Error("the spool was not closed cleanly", zap.Error(err))
	}
	_ = q.out.Close()
	q.current, q.out = nil, nil
}

// close writes what is left, and frees the directory.
func (q *queue) close() error {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return nil
	}
	q.closed = true
	q.mu.Unlock()
	q.signal(q.wake)
	q.written.Wait()
	return q.lock.Close()
}

// organizations is of how many organizations events are left.
func (q *queue) organizations() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.orgs)
}

// remaining are the segments that have events left, oldest first.
func (q *queue) remaining() []*segment {
	q.mu.Lock()
	defer q.mu.Unlock()
	var out []*segment
	for _, s := range q.segments {
		if s.count > 0 {
			out = append(out, s)
		}
	}
	return out
}

// load reads the events of a segment that are left, in order.
func (q *queue) load(s *segment) ([]queued, error) {
	q.mu.Lock()
	from, size, want := s.from, s.size, s.remaining()
	q.mu.Unlock()
	if len(want) == 0 {
		return nil, nil
	}
	c, err := read(s.path, from, size)
	if err != nil {
		return nil, err
	}
	var found []queued
	var lost []uint64
	for _, seq := range want {
		i, ok := slices.BinarySearchFunc(c.events, seq, func(e queued, seq uint64) int { return cmp.Compare(e.seq, seq) })
		if !ok {
			lost = append(lost, seq)
			continue
		}
		found = append(found, c.events[i])
	}
	if len(lost) > 0 {
		if err := q.tellDamage(s, c); err != nil {
			return nil, err
		}
		q.giveUpOn(s, lost)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(found) > 0 {
		s.from = found[0].offset
		if q.segments[0] == s {
			q.oldest = found[0].at
		}
	}
	return found, nil
}

// giveUpOn takes events out of the queue that the disk has lost.
func (q *queue) giveUpOn(s *segment, lost []uint64) {
	q.log.Error("accepted events are lost: the disk gives back other bytes than were written",
		zap.String("file", s.path), zap.Int("events", len(lost)), zap.Uint64("first", lost[0]), zap.Uint64("last", lost[len(lost)-1]))
	q.counts.lose(len(lost))
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, seq := range lost {
		if s.remove(seq) {
			q.leave("")
		}
	}
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	return errors.Join(err, d.Close())
}
