package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/internal/seal"
)

// headerSignature is the header of a spec's record that says who wrote it: see
// seal.Ring.Sign. It stands beside the value, and not in it, so that it is about the value's
// bytes as they are, and binaries that know no signatures read the value all the same.
const headerSignature = "auditstream.spec.signature"

// specLog is what the records of the streams topic add up to: of each stream the last one that
// can be believed.
type specLog struct {
	keys *seal.Ring
	byID map[string]consumer.Spec
	bad  map[string]consumer.BadSpec // whose last record cannot
}

// newSpecLog goes on from what is known.
func newSpecLog(keys *seal.Ring, known consumer.Specs) *specLog {
	l := &specLog{keys: keys, byID: make(map[string]consumer.Spec, len(known.Streams)), bad: map[string]consumer.BadSpec{}}
	for _, s := range known.Streams {
		l.byID[s.ID] = s
	}
	for _, b := range known.Bad {
		l.bad[b.ID] = b
	}
	return l
}

// add takes a record in. One that cannot be read, or that none of us wrote, changes nothing:
// the stream goes on as it was, and says so.
func (l *specLog) add(r *kgo.Record) {
	id := string(r.Key)
	former, known := l.byID[id]
	s, err := l.read(r)
	if err == nil && former.Serial > 0 && s.Serial <= former.Serial && l.keys != nil {
		err = fmt.Errorf("it is an old record again, number %d of the stream after number %d: somebody has copied it", s.Serial, former.Serial)
	}
	if err != nil {
		l.bad[id] = consumer.BadSpec{ID: id, Offset: r.Offset, Time: r.Timestamp, Why: err.Error(), Held: !known, Alien: alien(err)}
		return
	}
	delete(l.bad, id)
	l.byID[id] = s
}

// alien says whether somebody else may be able to read what we cannot, so that nobody here
// may write over it.
func alien(err error) bool {
	return consumer.IsNewer(err) || errors.Is(err, seal.ErrNewer) || is[*seal.UnknownKeyError](err)
}

func (l *specLog) read(r *kgo.Record) (consumer.Spec, error) {
	serial, err := l.keys.Verify(signatureOf(r), r.Key, r.Value)
	if err != nil {
		return consumer.Spec{}, err
	}
	s, err := consumer.DecodeSpec(r)
	s.Serial = serial
	return s, err
}

// signatureOf is the signature of a record; empty: it has none. The first counts.
func signatureOf(r *kgo.Record) string {
	for _, h := range r.Headers {
		if h.Key == headerSignature {
			return string(h.Value)
		}
	}
	return ""
}

// specs are all streams, in the order of their ids.
func (l *specLog) specs(offset int64, topicID string) consumer.Specs {
	out := consumer.Specs{Streams: slices.Collect(maps.Values(l.byID)), Offset: offset, TopicID: topicID}
	slices.SortFunc(out.Streams, func(a, b consumer.Spec) int { return compare(a.ID, b.ID) })
	for _, id := range slices.Sorted(maps.Keys(l.bad)) {
		out.Bad = append(out.Bad, l.bad[id])
	}
	return out
}

// readSpecs reads the streams topic. Of each id the last record counts that one of us wrote.
func readSpecs(ctx context.Context, reader *kafka.Reader, topics kafka.Topics, keys *seal.Ring) (consumer.Specs, error) {
	l := newSpecLog(keys, consumer.Specs{})
	end, err := reader.ReadToEnd(ctx, topics.Streams(), 0, l.add)
	if err != nil {
		return consumer.Specs{}, fmt.Errorf("read %s: %w", topics.Streams(), err)
	}
	return l.specs(end, ""), nil
}

// specsRead is what looking at the streams again and again has read of their topic: each look
// goes on where the one before it has stopped. A console that is open asks every few seconds,
// and the topic may hold ten thousand streams.
type specsRead struct {
	mu   sync.Mutex
	log  *specLog // nil: nothing was read; guarded by mu
	next int64    // first offset that was not read; guarded by mu
}

// readOn are the streams as they are now. Whoever gets them changes nothing in them.
func (o *Operator) readOn(ctx context.Context) (consumer.Specs, error) {
	r := &o.streams
	r.mu.Lock()
	defer r.mu.Unlock()
	topic := o.topics.Streams()
	reader := &kafka.Reader{Client: o.client}
	if o.ids.Streams != "" {
		reader.IDs = map[string]string{topic: o.ids.Streams}
	}
	add := func(rec *kgo.Record) {
		r.log.add(rec)
		r.next = rec.Offset + 1 // a record that is taken in twice would pass for a copy
	}
	read := func() error {
		if r.log == nil {
			r.log, r.next = newSpecLog(o.keys, consumer.Specs{}), 0
			end, err := reader.ReadToEnd(ctx, topic, 0, add)
			r.next = max(r.next, end)
			return err
		}
		end, err := reader.ReadOn(ctx, topic, 0, r.next, add)
		r.next = max(r.next, end)
		return err
	}
	err := read()
	if errors.Is(err, kerr.OffsetOutOfRange) {
		r.log = nil // it was cut off
		err = read()
	}
	if errors.Is(err, kafka.ErrRemade) {
		r.log = nil // until somebody notes the new one's id
		return readSpecs(ctx, o.reader, o.topics, o.keys)
	}
	if err != nil {
		r.log = nil
		return consumer.Specs{}, fmt.Errorf("read %s: %w", topic, err)
	}
	return r.log.specs(r.next, ""), nil
}

// specRecords are the records of specs as they are to be written: each numbered behind what
// there is of its id, and signed.
func specRecords(topic string, keys *seal.Ring, have consumer.Specs, changes []consumer.Spec) ([]*kgo.Record, error) {
	serials := map[string]int64{}
	for _, s := range have.Streams {
		if serials[s.ID] = s.Serial; s.Serial > 0 && keys == nil {
			return nil, errSigned
		}
	}
	records := make([]*kgo.Record, 0, len(changes))
	for i := range changes {
		s := &changes[i]
		value, err := s.Encode()
		if err != nil {
			return nil, err
		}
		r := &kgo.Record{Topic: topic, Key: []byte(s.ID), Value: value}
		if keys != nil {
			// A streams topic that was made anew has none of the records that processes know.
			s.Serial = max(serials[s.ID], s.Serial) + 1
			r.Headers = []kgo.RecordHeader{{Key: headerSignature, Value: []byte(keys.Sign(s.Serial, r.Key, r.Value))}}
		}
		records = append(records, r)
	}
	return records, nil
}

// errSigned keeps a process without keys from writing what all others would refuse.
var errSigned = errors.New("the streams on record are signed, and the configuration names no keys under secrets: what is written without one has no effect elsewhere")

// badSpecs says of the streams whose last record has no effect why that is.
func badSpecs(bad []consumer.BadSpec) string {
	texts := make([]string, 0, len(bad))
	for _, b := range bad {
		texts = append(texts, fmt.Sprintf("stream %q: %s", b.ID, b.Why))
	}
	return strings.Join(texts, "; ")
}
