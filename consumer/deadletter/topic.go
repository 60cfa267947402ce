package deadletter

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/internal/kafka"
)

// Config says which letters, and who looks at them.
type Config struct {
	Kafka []kgo.Opt // of a client of the cluster
	Topic string    // of dead letters
	By    string    // who marks; bounded by MaxReason
}

// Topic is the topic of dead letters. It is safe for concurrent use.
type Topic struct {
	client *kgo.Client
	reader *kafka.Reader
	admin  *kadm.Client
	name   string
	by     string
	most   int // standings in memory at once
}

const (
	// mostStandings bounds memory to about 100 MB.
	mostStandings = 1 << 20
	// readBytes is what one request asks for, compressed. For a single record one byte is
	// asked for, which gets its batch.
	readBytes = 1 << 20
	// markTimeout bounds how long a mark is tried to be written.
	markTimeout = 30 * time.Second
)

// Connect makes a client of its own. It does not wait for Kafka.
func Connect(c Config) (*Topic, error) {
	client, err := kgo.NewClient(append(slices.Clone(c.Kafka),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordDeliveryTimeout(markTimeout),
	)...)
	if err != nil {
		return nil, err
	}
	return &Topic{
		client: client, reader: &kafka.Reader{Client: client}, admin: kadm.NewClient(client),
		name: c.Topic, by: c.By, most: mostStandings,
	}, nil
}

// Close disconnects.
func (t *Topic) Close() { t.client.Close() }

// Ready returns nil when Kafka answers and has the topic. It tries once.
func (t *Topic) Ready(ctx context.Context) error {
	if err := t.client.Ping(ctx); err != nil {
		return fmt.Errorf("cannot reach Kafka: %s", kafka.Reason(err))
	}
	_, err := t.Partitions(ctx)
	return err
}

// Partitions are the numbers of the topic's partitions, ascending.
func (t *Topic) Partitions(ctx context.Context) ([]int32, error) {
	md, err := t.admin.Metadata(ctx, t.name)
	if err == nil {
		err = md.Topics[t.name].Err
	}
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return nil, fmt.Errorf("topic %s does not exist: delivery makes it when it first starts: %w", t.name, err)
	}
	if err != nil {
		return nil, fmt.Errorf("partitions of %s: %w", t.name, err)
	}
	return slices.Sorted(maps.Keys(md.Topics[t.name].Partitions)), nil
}

// offsets are a range [from, to) of one partition.
type offsets struct{ from, to int64 }

// extents are what the partitions hold now, from the first record on that was written at
// since or later; a zero since is the beginning.
func (t *Topic) extents(ctx context.Context, since time.Time) (map[int32]offsets, error) {
	list := t.admin.ListStartOffsets
	if !since.IsZero() {
		list = func(ctx context.Context, topics ...string) (kadm.ListedOffsets, error) {
			return t.admin.ListOffsetsAfterMilli(ctx, since.UnixMilli(), topics...)
		}
	}
	starts, err := list(ctx, t.name)
	if err = errors.Join(err, starts.Error()); err != nil {
		return nil, fmt.Errorf("start of %s: %w", t.name, err)
	}
	ends, err := t.admin.ListCommittedOffsets(ctx, t.name)
	if err = errors.Join(err, ends.Error()); err != nil {
		return nil, fmt.Errorf("end of %s: %w", t.name, err)
	}
	out := map[int32]offsets{}
	ends.Each(func(end kadm.ListedOffset) {
		if start, ok := starts.Lookup(t.name, end.Partition); ok {
			out[end.Partition] = offsets{start.Offset, end.Offset}
		}
	})
	return out, nil
}

// errStop ends a scan without being an error.
var errStop = errors.New("enough")

// patience is how many answers without progress, each waited for half a second, a scan
// takes below an offset that the partition was said to hold.
const patience = 20

// scan hands every record of a range to f, in order, until f fails. What retention takes
// meanwhile is passed over.
func (t *Topic) scan(ctx context.Context, partition int32, r offsets, f func(*kgo.Record) error) error {
	idle, bytes := 0, int32(readBytes)
	if r.to-r.from == 1 {
		bytes = 1
	}
	for at := r.from; at < r.to; {
		span, err := t.reader.Read(ctx, t.name, partition, at, bytes)
		if errors.Is(err, kerr.OffsetOutOfRange) {
			extents, err := t.extents(ctx, time.Time{})
			if err != nil {
				return err
			}
			if start := extents[partition].from; start > at {
				at = start
				continue
			}
		}
		if err == nil && span.Next <= at {
			if idle++; idle == patience {
				err = fmt.Errorf("no answer holds it although the partition reached to %d", r.to)
			}
		}
		if err = errors.Join(err, ctx.Err()); err != nil {
			return fmt.Errorf("read %s[%d] at %d: %w", t.name, partition, at, err)
		}
		for _, rec := range span.Records {
			if rec.Offset >= r.to {
				break
			}
			if err := f(rec); err != nil {
				return err
			}
		}
		if span.Next > at {
			at, idle = span.Next, 0
		}
	}
	return nil
}

// Letter reads the letter at p. A *[PositionError] says that there is none.
func (t *Topic) Letter(ctx context.Context, p Position) (*Letter, error) {
	var letter *Letter
	err := t.Letters(ctx, []Position{p}, func(l *Letter) { letter = l })
	return letter, err
}

// Letters hands the letter at each position to f, in their order. The error names every
// position without one, each by a *[PositionError]. An error of another kind ends it.
func (t *Topic) Letters(ctx context.Context, at []Position, f func(*Letter)) error {
	extents, err := t.extents(ctx, time.Time{})
	if err != nil {
		return err
	}
	var missing []error
	for _, p := range at {
		l, err := t.letter(ctx, p, extents)
		if e, ok := errors.AsType[*PositionError](err); ok {
			missing = append(missing, e)
			continue
		}
		if err != nil {
			return err
		}
		f(l)
	}
	if len(missing) == 1 {
		return missing[0]
	}
	return errors.Join(missing...)
}

func (t *Topic) letter(ctx context.Context, p Position, extents map[int32]offsets) (*Letter, error) {
	held, ok := extents[p.Partition]
	switch {
	case !ok:
		return nil, &PositionError{p, fmt.Sprintf("%s has no partition %d", t.name, p.Partition)}
	case held.from == held.to:
		return nil, &PositionError{p, "the partition holds nothing"}
	case p.Offset < held.from || p.Offset >= held.to:
		return nil, &PositionError{p, fmt.Sprintf("the partition holds offsets %d to %d", held.from, held.to-1)}
	}
	var letter *Letter
	err := t.scan(ctx, p.Partition, offsets{p.Offset, p.Offset + 1}, func(r *kgo.Record) error {
		l, m, err := decode(r)
		switch {
		case err != nil:
			return &PositionError{p, err.Error()}
		case m != nil:
			return &PositionError{p, fmt.Sprintf("it is a mark, %s, of letter %s", m.State, m.Letter)}
		}
		letter = l
		return nil
	})
	if err == nil && letter == nil {
		err = &PositionError{p, "the offset holds no record"}
	}
	return letter, err
}

// Fate is what became of an event that has a letter.
type Fate struct {
	Partition int32 // where its record stands, or stood, in the events topic
	Offset    int64
	State     State // of the letter, now
}

// Fates hands each letter of those written at since or later for which match holds to f, once,
// however often a crash has repeated it; a zero since is the beginning. What a newer version
// wrote is an error: nobody can tell what it is about.
func (t *Topic) Fates(ctx context.Context, since time.Time, match func(*Letter) bool, f func(Fate)) error {
	extents, err := t.extents(ctx, since)
	if err != nil {
		return err
	}
	for _, partition := range slices.Sorted(maps.Keys(extents)) {
		unread, err := t.fold(ctx, partition, extents[partition], match, func(s *standing) {
			if since.IsZero() || s.millis >= since.UnixMilli() { // clocks step back, as in list
				f(Fate{Partition: s.partition, Offset: s.offset, State: s.state})
			}
		})
		if err == nil {
			err = unread.Newer
		}
		if err != nil {
			return err
		}
	}
	return nil
}
