package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/schema"
)

// FloorConfig says what to deliver where.
type FloorConfig struct {
	Client     *kgo.Client   // in a group, reading the topic, with the same fetch sizes as delivery; commits what is marked
	URL        string        // of the collector's event endpoint
	Token      string        // of the collector
	Gzip       bool          // compress as delivery does by default
	BatchBytes int           // cut a batch when it has so many bytes
	Deliveries int64         // end after so many
	Fanout     Fanout        // how often each event is delivered
	Timeout    time.Duration // of one request
}

// Floor is the smallest program that gets the same events from the same topic to the same
// endpoint: it reads in a group, proves with schema.Scan that a value is one JSON object,
// puts the same bytes into the collector's envelope, compresses them the same way and
// posts batches of the same size, one at a time for each partition, and commits what is
// posted. It has no filters, no lanes, no progress, no retry and no dead letters: any
// failure ends it. It is as fast as we could make it, and never made slower.
func Floor(ctx context.Context, c FloorConfig) error {
	group, ctx := errgroup.WithContext(ctx)
	f := &floor{FloorConfig: c, group: group, partitions: map[int32]*floorPartition{}}
	f.http = &http.Client{Timeout: c.Timeout, Transport: &http.Transport{
		MaxIdleConnsPerHost: 64,
		DisableCompression:  true,
		WriteBufferSize:     64 << 10,
	}}
	defer f.http.CloseIdleConnections()
	group.Go(func() error {
		// Also on failure: the senders end when their channels are closed.
		defer f.closePartitions()
		return f.read(ctx)
	})
	return group.Wait()
}

type floor struct {
	FloorConfig
	http       *http.Client
	envelope   envelope // owned by the reading goroutine
	group      *errgroup.Group
	partitions map[int32]*floorPartition // owned by the reading goroutine
	framed     int64                     // likewise: deliveries put into batches so far
}

// floorPartition is one partition's batch in the making, and its sender.
type floorPartition struct {
	batch []byte // owned by the reading goroutine
	jobs  chan floorJob
	free  chan []byte // memory of batches that were sent
}

// floorJob is a batch, and the record that it goes up to.
type floorJob struct {
	batch []byte
	last  *kgo.Record
}

func (f *floor) read(ctx context.Context) error {
	last := map[int32]*kgo.Record{}
	for f.framed < f.Deliveries {
		fetches := f.Client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("read: %w", err)
		}
		var err error
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			if err == nil && len(p.Records) > 0 {
				last[p.Partition] = p.Records[len(p.Records)-1]
				err = f.frame(ctx, p)
			}
		})
		if err != nil {
			return err
		}
	}
	for number, p := range f.partitions {
		if err := p.send(ctx, last[number]); err != nil {
			return err
		}
	}
	return nil
}

// frame puts a partition's records into batches and hands on those that are full.
func (f *floor) frame(ctx context.Context, fetched kgo.FetchTopicPartition) error {
	p := f.partitions[fetched.Partition]
	if p == nil {
		// Two batches at most wait for the sender: one is filled while one is sent.
		p = &floorPartition{jobs: make(chan floorJob, 1), free: make(chan []byte, 3)}
		f.partitions[fetched.Partition] = p
		f.group.Go(func() error { return f.sender(ctx, p) })
	}
	var fields schema.Fields
	for _, r := range fetched.Records {
		if err := schema.Scan(r.Value, &fields); err != nil {
			return fmt.Errorf("record %d of partition %d: %w", r.Offset, r.Partition, err)
		}
		copies := f.Fanout.Copies(fields.OrganizationID)
		for range copies {
			p.batch = f.envelope.append(p.batch, r.Value, fields.OccurredAt)
		}
		f.framed += copies
		if len(p.batch) >= f.BatchBytes {
			if err := p.send(ctx, r); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *floorPartition) send(ctx context.Context, last *kgo.Record) error {
	if len(p.batch) == 0 {
		return nil
	}
	select {
	case p.jobs <- floorJob{p.batch, last}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case p.batch = <-p.free:
	default:
		p.batch = nil
	}
	return nil
}

func (f *floor) closePartitions() {
	for _, p := range f.partitions {
		close(p.jobs)
	}
}

func (f *floor) sender(ctx context.Context, p *floorPartition) error {
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	if err != nil {
		return err
	}
	for job := range p.jobs {
		body := job.batch
		if f.Gzip {
			packed.Reset()
			w.Reset(&packed)
			if _, err := w.Write(body); err != nil {
				return err
			}
			if err := w.Close(); err != nil {
				return err
			}
			body = packed.Bytes()
		}
		if err := f.post(ctx, body); err != nil {
			return err
		}
		f.Client.MarkCommitRecords(job.last)
		select {
		case p.free <- job.batch[:0]:
		default:
		}
	}
	return nil
}

func (f *floor) post(ctx context.Context, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.URL, bytes.NewReader(body))
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
