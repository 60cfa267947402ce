package deadletter

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/sinks"
)

// State is what became of a letter.
type State string

// States of a letter. Marks carry the last two.
const (
	Open      State = "open"
	Redriven  State = "redriven"  // handed to its streams again
	Discarded State = "discarded" // not to be delivered, by decision of an operator
)

// Mark is what was decided about a letter. A later mark of the same letter wins.
type Mark struct {
	Position Position  `json:"position"` // of the mark itself
	Letter   string    `json:"letter"`   // id of the letter
	State    State     `json:"state"`    // Redriven or Discarded
	Reason   string    `json:"reason,omitempty"`
	At       time.Time `json:"at"`
	By       string    `json:"by,omitempty"`
	Feed     string    `json:"feed,omitempty"` // of a redrive, that has the event; empty: none
}

const (
	markPrefix  = "auditstream.mark."
	markVersion = "1"
)

// MaxReason bounds the reason of a mark, and who made it, in bytes.
const MaxReason = sinks.MaxAnswer

// record is the mark as the record behind letter l. Its partition is named and not left to
// the key: a letter without key has none to go by, and where the topic has got partitions
// since the letter was written, its key leads elsewhere now.
func (m *Mark) record(topic string, l *Letter) *kgo.Record {
	headers := make([]kgo.RecordHeader, 0, 7)
	add := func(name, value string) {
		headers = append(headers, kgo.RecordHeader{Key: markPrefix + name, Value: []byte(value)})
	}
	add("version", markVersion)
	add("letter", m.Letter)
	add("state", string(m.State))
	add("reason", m.Reason)
	add("at", m.At.UTC().Format(time.RFC3339Nano))
	add("by", m.By)
	if m.Feed != "" {
		add("feed", m.Feed)
	}
	return &kgo.Record{Topic: topic, Partition: l.Position.Partition, Key: l.Key, Headers: headers}
}

func decodeMark(r *kgo.Record) (*Mark, error) {
	own, _ := split(r.Headers, markPrefix)
	f := fields{values: own}
	m := &Mark{
		Position: Position{r.Partition, r.Offset},
		Letter:   f.text("letter", true),
		State:    State(f.text("state", true)),
		Reason:   f.text("reason", false),
		At:       f.time("at"),
		By:       f.text("by", false),
		Feed:     f.text("feed", false),
	}
	if m.State != Redriven && m.State != Discarded {
		f.fail("state", fmt.Errorf("%.40q is no state of a mark", m.State))
	}
	if f.err != nil {
		return nil, f.err
	}
	return m, nil
}

// Mark puts a mark on each letter and returns when all in-sync replicas have them. The
// error names every letter whose mark is not known to be there; to mark one twice does no
// harm. Reason and the topic's By are cut to MaxReason.
func (t *Topic) Mark(ctx context.Context, state State, reason string, letters ...*Letter) error {
	return t.mark(ctx, Mark{State: state, Reason: reason}, letters...)
}

// mark is Mark with what the marks have in common.
func (t *Topic) mark(ctx context.Context, common Mark, letters ...*Letter) error {
	state := common.State
	if state != Redriven && state != Discarded {
		return fmt.Errorf("a letter is not marked as %q", state)
	}
	records := make([]*kgo.Record, len(letters))
	for i, l := range letters {
		m := Mark{Letter: l.ID, State: state, Reason: bounded(common.Reason), At: time.Now(), By: bounded(t.by), Feed: common.Feed}
		records[i] = m.record(t.name, l)
	}
	var errs []error
	for i, result := range t.produce(ctx, records) {
		if result != nil {
			errs = append(errs, fmt.Errorf("mark letter %s: %w", letters[i].Position, result))
		}
	}
	return errors.Join(errs...)
}

// produce returns the fate of each record, in their order, which is not that in which
// they are acknowledged.
func (t *Topic) produce(ctx context.Context, records []*kgo.Record) []error {
	fates := make(map[*kgo.Record]error, len(records))
	for _, r := range t.client.ProduceSync(ctx, records...) {
		fates[r.Record] = r.Err
	}
	out := make([]error, len(records))
	for i, r := range records {
		out[i] = fates[r]
	}
	return out
}

// bounded cuts text between runes.
func bounded(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= MaxReason {
		return s
	}
	end := MaxReason
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}
