package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// election is how processes choose the one of them that does something: all are members of
// one consumer group on a topic of one partition, and who has it is it. So there is one as
// far as Kafka knows; one that Kafka has given up, and does not know it yet, goes on for a
// moment, and what it does must bear that.
type election struct {
	opts    []kgo.Opt // of a client of the cluster
	group   string
	topic   string        // of one partition
	session time.Duration // without a sign of life, after which another one is chosen; 0: the library's 45s
}

// seat is the place of the process that was chosen.
type seat struct {
	client *kgo.Client
	group  string
	topic  string
	news   chan struct{} // something was written to the topic
}

// run has lead run whenever this process is the one that was chosen, until ctx ends. When
// another one is, lead's context ends, and the other has to wait for lead to return.
func (e election) run(ctx context.Context, lead func(context.Context, *seat)) error {
	s := &seat{group: e.group, topic: e.topic, news: make(chan struct{}, 1)}
	var mu sync.Mutex
	var end context.CancelFunc // guarded by mu; nil: it does not lead
	var ended chan struct{}    // guarded by mu
	begin := func(_ context.Context, client *kgo.Client, got map[string][]int32) {
		mu.Lock()
		defer mu.Unlock()
		if len(got) == 0 || end != nil || ctx.Err() != nil {
			return // others have come or gone, the partition stays
		}
		var leading context.Context
		leading, end = context.WithCancel(ctx)
		ended = make(chan struct{})
		s.client = client
		go func(ended chan struct{}) {
			defer close(ended)
			lead(leading, s)
		}(ended)
	}
	stop := func() {
		mu.Lock()
		defer mu.Unlock()
		if end != nil {
			end()
			<-ended
			end = nil
		}
	}
	lost := func(_ context.Context, _ *kgo.Client, gone map[string][]int32) {
		if len(gone) > 0 {
			stop()
		}
	}
	opts := append(slices.Clip(e.opts),
		kgo.ConsumerGroup(e.group),
		kgo.ConsumeTopics(e.topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtEnd()),
		kgo.DisableAutoCommit(),
		kgo.OnPartitionsAssigned(begin),
		kgo.OnPartitionsRevoked(lost),
		kgo.OnPartitionsLost(lost),
	)
	if e.session > 0 {
		opts = append(opts, kgo.SessionTimeout(e.session), kgo.HeartbeatInterval(e.session/4))
	}
	member, err := kgo.NewClient(opts...)
	if err != nil {
		return err
	}
	defer member.Close()
	defer stop()
	for ctx.Err() == nil {
		if fetched := member.PollFetches(ctx); !fetched.Empty() {
			select {
			case s.news <- struct{}{}:
			default:
			}
		}
	}
	return nil
}

// note is what the group has on record: a text that outlives its members, for as long as the
// broker keeps the offsets of an empty group (offsets.retention.minutes, 7 days). Empty: there
// is none.
func (s *seat) note(ctx context.Context) (string, error) {
	return groupNote(ctx, kadm.NewClient(s.client), s.group, s.topic)
}

// groupNote is the note of a group.
func groupNote(ctx context.Context, admin *kadm.Client, group, topic string) (string, error) {
	offsets, err := admin.FetchOffsets(ctx, group)
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return "", fmt.Errorf("what group %s has on record: %w", group, err)
	}
	o, ok := offsets.Lookup(topic, 0)
	if !ok {
		return "", nil
	}
	if o.Err != nil {
		return "", fmt.Errorf("what group %s has on record: %w", group, o.Err)
	}
	return o.Metadata, nil
}

// putNote puts a text on record, at most 4,096 bytes (the brokers' offset.metadata.max.bytes).
// A member that Kafka has given up is refused: what its successor noted stays.
func (s *seat) putNote(ctx context.Context, text string) error {
	ends, err := kadm.NewClient(s.client).ListEndOffsets(ctx, s.topic)
	if err = errors.Join(err, ends.Error()); err != nil {
		return fmt.Errorf("end of %s: %w", s.topic, err)
	}
	end, _ := ends.Lookup(s.topic, 0) // committed, so that nobody sees a group that lags behind
	ctx = kgo.PreCommitFnContext(ctx, func(req *kmsg.OffsetCommitRequest) error {
		for i := range req.Topics {
			for j := range req.Topics[i].Partitions {
				req.Topics[i].Partitions[j].Metadata = &text
			}
		}
		return nil
	})
	s.client.CommitOffsetsSync(ctx, map[string]map[int32]kgo.EpochOffset{s.topic: {0: {Epoch: -1, Offset: end.Offset}}},
		func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, failed error) {
			if err = failed; err != nil {
				return
			}
			for _, t := range resp.Topics {
				for _, p := range t.Partitions {
					err = errors.Join(err, kerr.ErrorForCode(p.ErrorCode))
				}
			}
		})
	if err != nil {
		return fmt.Errorf("put on record in group %s: %w", s.group, err)
	}
	return nil
}
