package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/schema"
)

// FloorConfig says what to deliver where.
type FloorConfig struct {
	Client       *kgo.Client   // in a group, reading the topic, with the same fetch sizes as delivery; commits what is marked
	URL          string        // of the collector; see Destinations
	Token        string        // of the collector
	Gzip         bool          // compress as delivery does by default
	BatchBytes   int           // cut a batch when it has so many bytes
	Linger       time.Duration // or when its first event has waited for so long
	Deliveries   int64         // end after so many
	Fanout       Fanout        // which stream wants which event
	Destinations int           // addresses, which the streams share; see Destination
	Timeout      time.Duration // of one request
}

const (
	// floorInFlight is how many requests are under way at once: delivery's default.
	floorInFlight = 64
	// floorHeld bounds the bytes of batches that are cut and not sent: delivery's default
	// for what waits.
	floorHeld = 256 << 20
)

// Floor is the smallest program that gets the same events from the same topic to the same
// endpoints: it reads in a group, proves with schema.Scan that a value is one JSON object,
// puts the same bytes into the collector's envelope, compresses them the same way and
// posts batches for each stream and partition, of the same size or after the same wait, one
// at a time. It has no filters, no progress, no retry and no dead letters: any failure ends
// it, and it commits what it has read when all of it is posted. It is as fast as we could
// make it, and never made slower.
func Floor(ctx context.Context, c FloorConfig) error {
	group, ctx := errgroup.WithContext(ctx)
	f := &floor{
		FloorConfig: c, group: group, lanes: map[floorKey]*floorLane{}, last: map[int32]*kgo.Record{},
		held: semaphore.NewWeighted(floorHeld), slots: make(chan struct{}, floorInFlight),
		writers: make(chan *gzip.Writer, runtime.GOMAXPROCS(0)),
	}
	f.http = &http.Client{Timeout: c.Timeout, Transport: &http.Transport{
		MaxIdleConnsPerHost: floorInFlight,
		DisableCompression:  true,
		WriteBufferSize:     64 << 10,
	}}
	defer f.http.CloseIdleConnections()
	for range cap(f.writers) {
		w, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
		if err != nil {
			return err
		}
		f.writers <- w
	}
	group.Go(func() error {
		// Also on failure: the senders end when their channels are closed.
		defer f.close()
		return f.read(ctx)
	})
	if err := group.Wait(); err != nil {
		return err
	}
	for _, r := range f.last {
		c.Client.MarkCommitRecords(r)
	}
	return nil
}

type floor struct {
	FloorConfig
	http    *http.Client
	group   *errgroup.Group
	held    *semaphore.Weighted
	slots   chan struct{}     // a token for each request under way
	writers chan *gzip.Writer // not in use
	bodies  sync.Pool         // of *[]byte

	// All of these are owned by the reading goroutine.
	envelope envelope
	lanes    map[floorKey]*floorLane
	waiting  []floorWait // for their linger, the oldest first; some were sent meanwhile
	last     map[int32]*kgo.Record
	framed   int64 // deliveries put into batches so far
}

type floorKey struct {
	stream    int
	partition int32
}

// floorLane is one stream's batch in the making in one partition, and its sender.
type floorLane struct {
	url   string
	batch []byte      // owned by the reading goroutine
	since time.Time   // of the batch's first event, or close to it
	jobs  chan []byte // batches that are cut: one waits while one is sent
}

// floorWait is a lane with a batch in the making.
type floorWait struct {
	lane  *floorLane
	since time.Time // of that batch
}

func (f *floor) read(ctx context.Context) error {
	for f.framed < f.Deliveries {
		wait, cancel := context.WithTimeout(ctx, f.Linger)
		fetches := f.Client.PollFetches(wait)
		cancel()
		if err := fetches.Err(); err != nil && (ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded)) {
			return fmt.Errorf("read: %w", err)
		}
		now := time.Now()
		var err error
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			if err == nil && len(p.Records) > 0 {
				f.last[p.Partition] = p.Records[len(p.Records)-1]
				err = f.frame(ctx, p, now)
			}
		})
		if err == nil {
			err = f.sendOlder(ctx, now.Add(-f.Linger))
		}
		if err != nil {
			return err
		}
	}
	return f.sendOlder(ctx, time.Now())
}

// sendOlder sends the batches whose first event has come before a time.
func (f *floor) sendOlder(ctx context.Context, than time.Time) error {
	for len(f.waiting) > 0 {
		w := f.waiting[0]
		if w.since.After(than) {
			return nil
		}
		f.waiting = f.waiting[1:]
		if !w.since.Equal(w.lane.since) {
			continue // it was full before
		}
		if err := f.send(ctx, w.lane); err != nil {
			return err
		}
	}
	return nil
}

// frame puts a partition's records into batches and hands on those that are full.
func (f *floor) frame(ctx context.Context, fetched kgo.FetchTopicPartition, now time.Time) error {
	var fields schema.Fields
	for _, r := range fetched.Records {
		if err := schema.Scan(r.Value, &fields); err != nil {
			return fmt.Errorf("record %d of partition %d: %w", r.Offset, r.Partition, err)
		}
		streams := f.Fanout.Of(fields.OrganizationID)
		for _, stream := range streams {
			l := f.lane(ctx, floorKey{stream, fetched.Partition})
			if len(l.batch) == 0 {
				l.since = now
				f.waiting = append(f.waiting, floorWait{l, now})
			}
			l.batch = f.envelope.append(l.batch, r.Value, fields.OccurredAt)
			if len(l.batch) >= f.BatchBytes {
				if err := f.send(ctx, l); err != nil {
					return err
				}
			}
		}
		f.framed += int64(len(streams))
	}
	return nil
}

func (f *floor) lane(ctx context.Context, key floorKey) *floorLane {
	l := f.lanes[key]
	if l == nil {
		l = &floorLane{url: Destination(f.URL, key.stream%f.Destinations) + "/services/collector/event", jobs: make(chan []byte, 1)}
		f.lanes[key] = l
		f.group.Go(func() error { return f.sender(ctx, l) })
	}
	return l
}

func (f *floor) send(ctx context.Context, l *floorLane) error {
	if len(l.batch) == 0 {
		return nil
	}
	if err := f.held.Acquire(ctx, int64(len(l.batch))); err != nil {
		return context.Cause(ctx)
	}
	select {
	case l.jobs <- l.batch:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	l.batch = nil
	if body, ok := f.bodies.Get().(*[]byte); ok {
		l.batch = *body
	}
	return nil
}

func (f *floor) close() {
	for _, l := range f.lanes {
		close(l.jobs)
	}
}

// sender posts the batches of one lane, one at a time.
func (f *floor) sender(ctx context.Context, l *floorLane) error {
	for batch := range l.jobs {
		f.slots <- struct{}{}
		err := f.deliver(ctx, l.url, batch)
		<-f.slots
		f.held.Release(int64(len(batch)))
		if err != nil {
			return err
		}
		batch = batch[:0]
		f.bodies.Put(&batch)
	}
	return nil
}

func (f *floor) deliver(ctx context.Context, url string, batch []byte) error {
	if !f.Gzip {
		return f.post(ctx, url, batch)
	}
	space, _ := f.bodies.Get().(*[]byte)
	if space == nil {
		space = new([]byte)
	}
	packed := bytes.NewBuffer((*space)[:0])
	w := <-f.writers
	w.Reset(packed)
	_, err := w.Write(batch)
	err = errors.Join(err, w.Close())
	f.writers <- w
	if err != nil {
		return err
	}
	err = f.post(ctx, url, packed.Bytes())
	body := packed.Bytes()[:0]
	f.bodies.Put(&body)
	return err
}

func (f *floor) post(ctx context.Context, url string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Splunk "+f.Token)
	req.Header.Set("Content-Type", "application/json")
	if f.Gzip {
		req.Header.Set("Content-Encoding", "gzip")
	}
	resp, err := f.http.Do(req)
	if err != nil {
		return fmt.Errorf("post: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, 4<<10)); err != nil {
		return fmt.Errorf("post: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("post: the endpoint answered %s", resp.Status)
	}
	return nil
}

// FloorOptions are the options of the floor's client beside how it connects. It fetches
// as much at a time as delivery does.
func FloorOptions(topic, group string) []kgo.Opt {
	return append(kafka.FetchOptions(),
		kgo.ConsumeTopics(topic),
		kgo.ConsumerGroup(group),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.AutoCommitMarks(),
	)
}
