package idempotency

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
)

const (
	followFirst = 250 * time.Millisecond // pause before the topic is read anew after trouble
	followMost  = 10 * time.Second
	// followQuiet is how long trouble may last before it is told of: whoever starts first in a
	// new cluster comes before the topic.
	followQuiet = 3 * time.Second
)

// follower reads the notes of all processes, those of the last 24 hours first.
type follower struct{ *Once }

// run follows until ctx ends. After any trouble it begins anew, at what may be new: a note
// that is read twice changes nothing.
func (f follower) run(ctx context.Context) error {
	log := f.conf.Log.Named("idempotency")
	wait, said, well := followFirst, "", time.Now()
	from := time.Now().Add(-Horizon)
	for ctx.Err() == nil {
		began := time.Now()
		read, err := f.follow(ctx, from)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it was told to end
		}
		if read {
			wait, said, well = followFirst, "", time.Now()
			// From a little before: what is written meanwhile has a time of another clock.
			from = began.Add(-time.Hour)
		}
		if said != err.Error() && time.Since(well) >= followQuiet {
			said = err.Error()
			log.Warn("what other processes accept is not known for now: a repeat there is taken for new", zap.String("topic", f.conf.Topic), zap.Error(err))
		}
		again := time.NewTimer(wait)
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
		}
		wait = min(2*wait, followMost)
	}
	return nil
}

// follow reads the topic from a time on, until something goes wrong. It says whether it has
// read all that was there when it began.
func (f follower) follow(ctx context.Context, from time.Time) (read bool, err error) {
	client, err := kgo.NewClient(append(slices.Clip(f.conf.Kafka),
		kgo.ConsumeTopics(f.conf.Topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AfterMilli(from.UnixMilli())),
		kgo.KeepControlRecords(),        // their offsets count
		kgo.KeepRetryableFetchErrors(),  // a topic that is made anew shows as one
		kgo.FetchMaxBytes(8<<20),        // a note is small: this many are many
		kgo.MaxConcurrentFetches(2),     // bounds the memory at the start
		kgo.FetchMaxWait(time.Second/2), // the answer comes as soon as there is a note
	)...)
	if err != nil {
		return false, err
	}
	defer client.Close()
	left, err := toRead(ctx, kadm.NewClient(client), f.conf.Topic, from)
	if err != nil {
		return false, err
	}
	for {
		if len(left) == 0 && !read {
			read = true
			f.load.Do(func() { close(f.loaded) })
			f.counts.isLoaded()
		}
		fetches := client.PollRecords(ctx, 10_000)
		if ctx.Err() != nil {
			return read, context.Cause(ctx)
		}
		var failed error
		fetches.EachError(func(_ string, partition int32, err error) {
			if !passes(err) {
				failed = fmt.Errorf("partition %d: %w", partition, err)
			}
		})
		now := time.Now()
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
			if !r.Attrs.IsControl() {
				f.take(r, now)
			}
		})
		if failed != nil {
			return read, failed
		}
	}
}

// passes says whether the library gets over an error by itself: a leader moves, a broker
// restarts. The others end the reading, which begins anew.
func passes(err error) bool {
	return !errors.Is(err, kerr.UnknownTopicID) && !errors.Is(err, kerr.UnknownTopicOrPartition) &&
		(kerr.IsRetriable(err) || kgo.IsRetryableBrokerErr(err))
}

// take takes a record over. What is no note of ours is counted and passed over.
func (f follower) take(r *kgo.Record, now time.Time) {
	n, err := decodeNote(r.Value)
	if err != nil {
		f.counts.noted(noteUnread)
		f.notes.say("a note cannot be read, and is passed over", fmt.Errorf("%s[%d] at %d: %w", r.Topic, r.Partition, r.Offset, err))
		return
	}
	f.counts.noted(noteRead)
	f.learn(n, now)
}

// toRead is, for each partition that has notes since a time, the offset behind its last one.
func toRead(ctx context.Context, admin *kadm.Client, topic string, from time.Time) (map[int32]int64, error) {
	ends, err := admin.ListEndOffsets(ctx, topic)
	if err = errors.Join(err, ends.Error()); err != nil {
		return nil, fmt.Errorf("end of %s: %w", topic, err)
	}
	starts, err := admin.ListOffsetsAfterMilli(ctx, from.UnixMilli(), topic)
	if err = errors.Join(err, starts.Error()); err != nil {
		return nil, fmt.Errorf("start of %s: %w", topic, err)
	}
	left := map[int32]int64{}
	ends.Each(func(end kadm.ListedOffset) {
		if start, ok := starts.Lookup(topic, end.Partition); ok && start.Offset >= 0 && start.Offset < end.Offset {
			left[end.Partition] = end.Offset
		}
	})
	return left, nil
}
