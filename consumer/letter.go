package consumer

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/schema"
	"github.com/auditstream/auditstream/sinks"
)

// letterVersion is the version of the headers of a dead letter.
const letterVersion = "1"

// Classes of a dead letter.
const (
	classRejected = "rejected" // the destination refuses the event for ever
	classInvalid  = "invalid"  // the record is no valid event: no stream can carry it
	classExpiring = "expiring" // Kafka was about to forget the event before it could be delivered
	classUnwanted = "unwanted" // no class of a letter: the stream takes such events no longer
	classRedriven = "redriven" // no class of a letter: the redrive itself has sent its event before it was gone on with
	classDecided  = "decided"  // no class of a letter: somebody else has discarded or redriven it since the redrive was made
)

// cause says why an event goes to the dead letters.
type cause struct {
	class       string
	reason      string
	answer      string // of the destination, bounded
	violations  schema.Violations
	attempts    int
	first, last time.Time // of the failures
	held        bool      // it is one too many in a row: the lane holds before it

	at integrity.Original // where the event stands in the feed that does not have it; zero: in none
}

// refusal is the cause of an event that a sink refused by err.
func refusal(err error) cause {
	now := time.Now()
	c := cause{class: classRejected, reason: bounded(err.Error()), attempts: 1, first: now, last: now}
	if e, ok := asError(err); ok {
		c.answer = bounded(e.Answer)
	}
	return c
}

// size is about what a cause takes of memory, in bytes.
func (c *cause) size() int {
	const fixed, violation = 128, 64 // without the texts
	n := fixed + len(c.reason) + len(c.answer)
	for i := range c.violations {
		v := &c.violations[i]
		n += violation + len(v.Pointer) + len(v.Message)
	}
	return n
}

// bounded cuts text to the size of an answer, between runes.
func bounded(s string) string {
	if len(s) > sinks.MaxAnswer {
		s = s[:sinks.MaxAnswer]
		for len(s) > 0 {
			if r, n := utf8.DecodeLastRuneInString(s); r != utf8.RuneError || n != 1 {
				break
			}
			s = s[:len(s)-1]
		}
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// letterStream names a stream in a letter: a letter may be about several.
type letterStream struct {
	ID       string `json:"id"`
	UID      string `json:"uid"`
	Epoch    int64  `json:"epoch"`
	Revision int64  `json:"revision"`
	Replay   string `json:"replay,omitempty"` // uid of the job that sent the event another time
	Feed     string `json:"feed,omitempty"`   // id of the chain that the event is in; absent: in none, or an older binary has written the letter
	Number   int64  `json:"seq,omitempty"`    // of the event in it
}

// Prefix of the headers that a dead letter adds to those of its record.
const letterPrefix = "auditstream.letter."

// write puts the record at offset into the dead letters and returns when all replicas
// have it. The record is read again: a lane keeps no copies. Its key is returned, which is
// the organization where the record is an event.
func (l *lane) write(ctx context.Context, offset int64, why cause) (key string, err error) {
	g := l.p.g
	r, err := g.reader.ReadRecord(ctx, g.cfg.Topics.Events, l.p.number, offset)
	if err != nil {
		return "", fmt.Errorf("read the event to dead-letter: %w", err)
	}
	if g.letters != nil {
		return string(r.Key), nil // it has its letter, which stays open
	}
	letter, err := l.letter(r, why)
	if err != nil {
		return "", err
	}
	if err := g.produce(ctx, letter)[0]; err != nil {
		return "", fmt.Errorf("write to %s: %w", g.cfg.Topics.DeadLetters, err)
	}
	return string(r.Key), nil
}

// letter is r as a dead letter: key, value and headers as they were, and headers that
// say why and from where.
func (l *lane) letter(r *kgo.Record, why cause) (*kgo.Record, error) {
	cfg := &l.p.g.cfg
	streams := []letterStream{}
	if !l.stream.invalid {
		s := l.stream.spec
		streams = append(streams, letterStream{ID: s.ID, UID: s.UID, Epoch: s.Epoch, Revision: s.Revision})
		if l.stream.of != "" { // the stream's uid, that redrive finds the letter by; the spec's is the job's
			streams[0].UID, streams[0].Replay = l.stream.of, s.UID
		}
		streams[0].Feed, streams[0].Number = why.at.Feed, why.at.Number
	}
	names, err := json.Marshal(streams)
	if err != nil {
		return nil, err
	}
	headers := []kgo.RecordHeader{}
	add := func(name, value string) {
		headers = append(headers, kgo.RecordHeader{Key: letterPrefix + name, Value: []byte(value)})
	}
	add("version", letterVersion)
	// The same record refused to the same stream has the same id, however often a crash
	// repeats the letter.
	uid := l.id.UID
	if l.stream.invalid {
		uid = invalidUID // of every kind: it is the same letter
	}
	add("id", fmt.Sprintf("%s.%d.%d.%s.%s", cfg.IDs.Events, r.Partition, r.Offset, uid, why.class))
	add("class", why.class)
	add("reason", why.reason)
	add("streams", string(names))
	add("kind", cfg.Kind.Name)
	add("attempts", strconv.Itoa(why.attempts))
	add("first_failure", why.first.UTC().Format(time.RFC3339Nano))
	add("last_failure", why.last.UTC().Format(time.RFC3339Nano))
	add("topic", r.Topic)
	add("topic_id", cfg.IDs.Events)
	add("partition", strconv.Itoa(int(r.Partition)))
	add("offset", strconv.FormatInt(r.Offset, 10))
	add("timestamp", strconv.FormatInt(r.Timestamp.UnixMilli(), 10))
	// Every header is written, also an empty one: the record's own headers follow, and one
	// of the same name that its publisher made up would stand for what is missing.
	add("answer", why.answer)
	v, err := json.Marshal(firstViolations(why.violations))
	if err != nil {
		return nil, err
	}
	add("violations", string(v))
	return &kgo.Record{
		Topic:     cfg.Topics.DeadLetters,
		Key:       r.Key,
		Value:     r.Value,
		Headers:   append(headers, r.Headers...),
		Partition: -1,
	}, nil
}

// maxViolations bounds what a letter lists; an event of ten thousand bad targets must
// not make a letter that no topic takes.
const maxViolations = 50

type letterViolation struct {
	Pointer string `json:"pointer"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

func firstViolations(vs schema.Violations) []letterViolation {
	out := make([]letterViolation, 0, min(len(vs), maxViolations))
	for _, v := range vs[:min(len(vs), maxViolations)] {
		out = append(out, letterViolation{bounded(v.Pointer), v.Code, bounded(v.Message)})
	}
	return out
}
