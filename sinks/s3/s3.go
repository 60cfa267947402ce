// Package s3 delivers events to Amazon S3, and to stores that speak its API, as packed
// NDJSON or as OCSF in Parquet for Amazon Security Lake, each event exactly once.
//
// The objects of one stream, epoch, partition and UTC day form a chain: each says in its
// name where it begins (its slot: 0, or where the former one ends) and in its metadata
// where it ends (next), and is created only if no object has its name. Two processes
// that deliver the same events, cut in different ways, therefore meet at the same slot:
// one creates the object, the other is told so, reads how far it reaches, and goes on
// from there. No coordinator is needed, and nothing that a process keeps: whatever is
// lost, the chain is walked again from slot 0. The names and the metadata are a
// persisted format; see docs/formats.md.
//
// The credentials need s3:PutObject and s3:GetObject on the prefix. s3:ListBucket is not
// needed; without it S3 answers 403 where an object is missing, which is understood.
//
// Beside the objects stand the checkpoints of the stream's chains, and a signed digest for
// each hour that lists what was written; see [Sink.Checkpoint] and [Sink.Digest].
package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/auditstream/auditstream/sinks"
)

// Kind is this kind of destination, as the configuration names it. The sinks that it opens
// share connections and compressors.
func Kind() sinks.Kind {
	shared := &common{}
	return sinks.Kind{
		Name:     "s3",
		Defaults: func() sinks.Settings { return Defaults() },
		Open: func(settings sinks.Settings, o sinks.Options) (sinks.Sink, error) {
			s, ok := settings.(*Settings)
			if !ok {
				return nil, fmt.Errorf("s3: these are settings of another kind: %T", settings)
			}
			sink, err := open(s, o, shared)
			if err != nil || s.SecurityLake == nil {
				return sink, err
			}
			return lake{sink, sink}, nil
		},
	}
}

// lake is a Sink that puts nothing beside its objects: a custom source of Security Lake holds
// tables of its class and nothing else, so neither checkpoints nor digests.
type lake struct {
	sinks.Sink
	sinks.Tester
}

// Sink delivers one revision of one stream. It holds nothing of any lane.
type Sink struct {
	store  *store
	layout layout
	prefix string
	place  string // bucket and endpoint: marks of another place do not count
	log    *zap.Logger
	probe  probe

	digests digests
}

// Open makes a sink of valid settings. It does no network I/O; credentials and bucket
// are first used by Deliver.
func Open(set *Settings, o sinks.Options) (*Sink, error) { return open(set, o, &common{}) }

func open(set *Settings, o sinks.Options, shared *common) (*Sink, error) {
	if err := set.Validate(); err != nil {
		return nil, err
	}
	st, err := openStore(set, o, shared)
	if err != nil {
		return nil, err
	}
	l := layoutOf(set, &shared.packers)
	prefix := l.root + replayPrefix(o.Replay)
	return &Sink{
		store:  st,
		layout: l,
		prefix: prefix,
		place:  placeOf(set, prefix, l),
		log:    o.Log.Named("s3"),
		probe:  newProbe(l),
	}, nil
}

// placeOf is what marks are bound to. That of the first format is its persisted form.
func placeOf(set *Settings, prefix string, l layout) string {
	place := set.Endpoint + "/" + set.Bucket + "/" + prefix
	if l.format != formatGzip { // loose objects have no marks
		place += l.ending
	}
	return place
}

// Frame appends the event's value, or its line in a format of text, and a newline. A value
// with a newline inside, which one line of JSON never has, is rejected: it would be read as
// two events.
func (s *Sink) Frame(dst []byte, e *sinks.Event) ([]byte, error) {
	value := e.Value
	if e.Line != nil {
		value = e.Line
	}
	if bytes.IndexByte(value, '\n') >= 0 {
		return dst, &sinks.Error{Class: sinks.Rejected, Err: errNewline}
	}
	if s.layout.check != nil {
		if err := s.layout.check(value); err != nil {
			return dst, err
		}
	}
	return append(append(dst, value...), '\n'), nil
}

// Close frees the connections, if no other sink of this kind may need them.
func (s *Sink) Close() error {
	s.store.close()
	return nil
}

// checkBatch refuses what would break the chain. The pipeline never hands over such a
// batch; the chain is for ever, so it is looked at all the same.
func checkBatch(b *sinks.Batch) error {
	if len(b.Events) == 0 {
		return errors.New("s3: a batch without events")
	}
	last, end := int64(-1), 0
	for _, e := range b.Events {
		if e.Offset <= last || e.End < end || e.End > len(b.Body) {
			return fmt.Errorf("s3: the batch is out of order at offset %d", e.Offset)
		}
		last, end = e.Offset, e.End
	}
	if b.Next <= last {
		return fmt.Errorf("s3: the batch holds offset %d and claims to end before %d", last, b.Next)
	}
	return nil
}

func ended(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return &sinks.Error{Class: sinks.Unavailable, Err: fmt.Errorf("s3: %w", err)}
	}
	return nil
}
