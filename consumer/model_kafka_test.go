package consumer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/internal/kafka"
)

// simKafka is Kafka as one deliverer sees it: its source, producer, offsets and
// membership. What takes time parks until the schedule goes on with it.
type simKafka struct {
	w *world
	o *owner
}

// call is a goroutine that waits for the schedule.
type call struct {
	o         *owner
	what, key string
	again     chan struct{}
	gone      bool
}

var (
	errModelDead   = errors.New("the process is dead")
	errModelKafka  = errors.New("request refused by Kafka")
	errModelFenced = errors.New("the member is fenced")
)

// park waits until the schedule resumes the call; an error says that the process is dead
// or the context has ended.
func (o *owner) park(ctx context.Context, what, key string) error {
	w := o.w
	w.mu.Lock()
	if o.dead {
		w.mu.Unlock()
		return errModelDead
	}
	c := &call{o: o, what: what, key: key, again: make(chan struct{})}
	w.calls = append(w.calls, c)
	w.mu.Unlock()
	select {
	case <-c.again:
	case <-ctx.Done():
		w.mu.Lock()
		c.gone = true
		w.calls = slices.DeleteFunc(w.calls, func(have *call) bool { return have == c })
		w.mu.Unlock()
		return ctx.Err()
	}
	if o.dead {
		return errModelDead
	}
	return nil
}

func (k simKafka) Read(ctx context.Context, topic string, partition int32, from int64, size int32) (kafka.Span, error) {
	o, w := k.o, k.w
	if topic == "checkpoints" {
		return kafka.Span{Records: w.sealed[from:], Next: int64(len(w.sealed))}, nil
	}
	sweeps := size == window || size == window/16 // else it is the guard that reads
	o.reading = o.reading || sweeps
	err := o.park(ctx, "read", fmt.Sprintf("%d/%d/%d", partition, from, size))
	o.reading = o.reading && !sweeps
	if err != nil {
		return kafka.Span{}, err
	}
	p := w.parts[partition]
	if !w.healthy && w.tape.chance(10) {
		return kafka.Span{}, errModelKafka
	}
	if from < p.start || from > p.end {
		return kafka.Span{}, kerr.OffsetOutOfRange
	}
	s := kafka.Span{Next: p.end, Start: p.start, Stable: p.end}
	xs := p.from(from)
	if n := 1 + w.tape.pick(4); n < len(xs) {
		s.Next = xs[n-1].Offset + 1
		s.Next += int64(w.tape.pick(int(xs[n].Offset-s.Next) + 1))
		xs = xs[:n]
	}
	for _, x := range xs {
		s.Records = append(s.Records, x.Record)
	}
	w.tell("%s: window %d [%d, %d) of %d records", o.name, partition, from, s.Next, len(s.Records))
	return s, nil
}

func (k simKafka) ReadRecord(ctx context.Context, topic string, partition int32, offset int64) (*kgo.Record, error) {
	if err := k.o.park(ctx, "reread", fmt.Sprintf("%d/%d", partition, offset)); err != nil {
		return nil, err
	}
	if topic == "letters" {
		return k.w.lettersOf(partition)[offset].x.Record, nil
	}
	p := k.w.parts[partition]
	if !k.w.healthy && k.w.tape.chance(10) {
		return nil, errModelKafka
	}
	if offset < p.start {
		return nil, kerr.OffsetOutOfRange
	}
	if x := p.at(offset); x != nil {
		return x.Record, nil
	}
	return nil, fmt.Errorf("no record at %d", offset)
}

func (k simKafka) ReadToEnd(_ context.Context, _ string, partition int32, f func(*kgo.Record)) (int64, error) {
	p := k.w.parts[partition]
	for _, key := range k.w.keysOf(p) {
		f(&kgo.Record{Key: []byte(key.String()), Value: p.keys[key.String()]})
	}
	return int64(len(p.keys)), nil
}

func (k simKafka) Bounds(_ context.Context, topic string, number int32) (start, end int64, err error) {
	if topic == "letters" {
		return 0, int64(len(k.w.lettersOf(number))), nil
	}
	if topic == "checkpoints" {
		return 0, int64(len(k.w.sealed)), nil
	}
	p := k.w.parts[number]
	return p.start, p.end, nil
}

func (k simKafka) At(_ context.Context, _ string, number int32, t time.Time) (int64, error) {
	return k.w.parts[number].after(t), nil
}

func (k simKafka) EpochEnd(_ context.Context, _ string, number, epoch int32) (int64, error) {
	return k.w.epochEnd(k.w.parts[number], epoch), nil
}

func (k simKafka) ID(_ context.Context, topic string) (string, error) {
	if topic == "events" {
		return k.w.events(), nil
	}
	return k.w.progress(), nil
}

// write is a record on its way.
type write struct {
	r       *kgo.Record
	promise func(*kgo.Record, error)
}

// queue is where the writes to one partition wait: Kafka keeps the order of these, and of
// no others.
type queue struct {
	topic     string
	partition int32
}

func (q queue) compare(other queue) int {
	return cmp.Or(cmp.Compare(q.topic, other.topic), cmp.Compare(q.partition, other.partition))
}

func (k simKafka) TryProduce(_ context.Context, r *kgo.Record, promise func(*kgo.Record, error)) {
	if k.o.dead {
		promise(r, errModelDead)
		return
	}
	k.w.mu.Lock() // a commit writes to several partitions at once
	defer k.w.mu.Unlock()
	q := queue{r.Topic, r.Partition}
	k.o.writes[q] = append(k.o.writes[q], write{r, promise})
}

// queues lists those in which something waits.
func (o *owner) queues() []queue {
	o.w.mu.Lock()
	defer o.w.mu.Unlock()
	return slices.SortedFunc(maps.Keys(o.writes), queue.compare)
}

// land goes on with the oldest write of a queue: it arrives or not, and an error may come
// although it has.
func (o *owner) land(q queue) {
	o.w.mu.Lock()
	x := o.writes[q][0]
	if o.writes[q] = o.writes[q][1:]; len(o.writes[q]) == 0 {
		delete(o.writes, q)
	}
	o.w.mu.Unlock()
	var err error
	arrives := true
	switch {
	case x.r.Topic == "progress" && o.progressID != o.w.progressID:
		err, arrives = kerr.UnknownTopicID, false
	case !o.w.healthy:
		switch o.w.tape.pick(12) {
		case 10:
			err, arrives = errModelKafka, false
		case 11:
			err = errModelKafka
		}
	}
	if arrives {
		o.arrive(x.r)
	} else {
		o.w.tell("%s: a write to %s fails", o.name, x.r.Topic)
	}
	x.promise(x.r, err)
}

func (o *owner) arrive(r *kgo.Record) {
	if r.Topic == "letters" {
		o.w.letterArrives(o, r)
		return
	}
	if o.progressID != o.w.progressID {
		return // the topic that it knows is gone
	}
	o.w.progressArrives(o, r)
}

func (k simKafka) Commit(ctx context.Context, offsets map[int32]int64, metadata map[int32]string) error {
	o, w := k.o, k.w
	if err := o.park(ctx, "commit", ""); err != nil {
		return err
	}
	if o != w.owner {
		w.tell("%s: commit refused", o.name)
		return errModelFenced
	}
	mood := 0
	if !w.healthy {
		mood = w.tape.pick(10)
	}
	if mood == 9 {
		return errModelKafka
	}
	for _, p := range w.parts {
		if offset, ok := offsets[p.number]; ok {
			w.commitArrives(o, p, offset, metadata[p.number])
		}
	}
	if mood == 8 {
		return errModelKafka
	}
	return nil
}

func (k simKafka) Seek(number int32, offset int64) { k.o.fetch[number] = offset }
