package app

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/internal/kafka"
)

// Replay says which events of a stream are to be sent another time.
type Replay struct {
	Stream         string
	From, To       time.Time        // append times; zero: from the first event there is, to the last there is now
	Offsets        []consumer.Range // instead of times
	Actions        []string         // globs beside those of the stream; empty: all of the stream's
	OrganizationID string           // the only one, of a stream of all; empty: all
	Rate           float64          // events a second at most; 0: no cap
	By             string
}

// Expired is what is missing at the beginning of a range: Kafka has it no more.
type Expired struct {
	Partition int32     `json:"partition"`
	Offsets   int64     `json:"offsets,omitempty"` // how many, where offsets were asked for; 0: not known, as times were
	Begins    int64     `json:"begins"`            // first offset that Kafka has
	Since     time.Time `json:"since,omitzero"`    // when its event was appended; zero if there is none
}

// PlanReplay finds the offsets of a replay, and what of it has expired.
func (j *Jobs) PlanReplay(ctx context.Context, r Replay) (consumer.Task, []Expired, error) {
	specs, err := readSpecs(ctx, j.o.reader, j.o.topics, j.o.keys)
	if err != nil {
		return consumer.Task{}, nil, err
	}
	s, err := streamNamed(specs.Streams, r.Stream)
	if err != nil {
		return consumer.Task{}, nil, err
	}
	t := newTask(consumer.TaskReplay, s, r.By)
	t.Topic, t.TopicID = j.o.topics.Events(), j.o.ids.Events
	t.Actions, t.OrganizationID, t.Rate = r.Actions, r.OrganizationID, r.Rate
	e, err := j.edges(ctx, r)
	if err != nil {
		return t, nil, err
	}
	var expired []Expired
	add := func(p int32, from, to, missing int64, gone bool) {
		if gone {
			expired = append(expired, Expired{Partition: p, Offsets: missing, Begins: e.starts[p].Offset})
		}
		if from < to {
			t.Ranges = append(t.Ranges, consumer.Range{Partition: p, From: from, To: to})
		}
	}
	if r.Offsets != nil {
		for _, want := range r.Offsets {
			end, ok := e.ends[want.Partition]
			switch {
			case !ok:
				return t, nil, &TargetError{fmt.Sprintf("%s has no partition %d", t.Topic, want.Partition)}
			case want.To > end.Offset:
				return t, nil, &TargetError{fmt.Sprintf("%s[%d] has no offset %d yet: the next event gets %d", t.Topic, want.Partition, want.To-1, end.Offset)}
			}
			start := e.starts[want.Partition].Offset
			missing := max(0, min(want.To, start)-want.From)
			add(want.Partition, max(want.From, start), want.To, missing, missing > 0)
		}
	} else {
		for p, end := range e.ends {
			start, from, to := e.starts[p].Offset, e.from[p].Offset, min(e.to[p].Offset, end.Offset)
			// Kafka has given up the beginning of the log, and what it begins with now is younger
			// than what was asked for: something in between may be gone.
			add(p, from, to, 0, !r.From.IsZero() && start > 0 && from <= start)
		}
	}
	sortRanges(t.Ranges)
	for i := range expired {
		if expired[i].Since, err = j.appended(ctx, expired[i].Partition, expired[i].Begins); err != nil {
			return t, nil, err
		}
	}
	return t, expired, nil
}

// edges are offsets of every partition of the events topic.
type edges struct{ starts, ends, from, to map[int32]kadm.ListedOffset }

func (j *Jobs) edges(ctx context.Context, r Replay) (e edges, err error) {
	admin, topic := kadm.NewClient(j.o.client), j.o.topics.Events()
	list := func(at time.Time, otherwise map[int32]kadm.ListedOffset) (map[int32]kadm.ListedOffset, error) {
		if at.IsZero() {
			return otherwise, nil
		}
		l, err := admin.ListOffsetsAfterMilli(ctx, at.UnixMilli(), topic)
		return listed(l, topic, err)
	}
	starts, err := admin.ListStartOffsets(ctx, topic)
	if e.starts, err = listed(starts, topic, err); err != nil {
		return e, err
	}
	ends, err := admin.ListCommittedOffsets(ctx, topic)
	if e.ends, err = listed(ends, topic, err); err != nil {
		return e, err
	}
	if e.from, err = list(r.From, e.starts); err != nil {
		return e, err
	}
	e.to, err = list(r.To, e.ends)
	return e, err
}

// appended is when the record at offset, or the first behind it, was appended.
func (j *Jobs) appended(ctx context.Context, partition int32, offset int64) (time.Time, error) {
	span, err := j.o.reader.Read(ctx, j.o.topics.Events(), partition, offset, 1)
	if err != nil || len(span.Records) == 0 {
		return time.Time{}, err
	}
	return span.Records[0].Timestamp.UTC(), nil
}

// topicID asks for the id of a topic.
func (j *Jobs) topicID(ctx context.Context, topic string) (string, error) {
	ids, err := kafka.TopicIDs(ctx, kadm.NewClient(j.o.client), topic)
	return ids[topic], err
}
