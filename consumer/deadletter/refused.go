package deadletter

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/schema"
)

// Outside is the topic id of letters about what never stood in a topic: it came from outside,
// and no event could be made of it.
const Outside = "outside"

// Refused is what came from outside and can never be an event. Nobody can send it again, so
// it is kept with everything that is wrong with it.
type Refused struct {
	ID         string // the same for the same thing, however often it comes
	Kind       string // who took it in, as workos
	Source     string // how it came, as workos.webhook
	Key        []byte // the organization, where it is known; else nil
	Value      []byte // byte for byte as it came
	Violations schema.Violations
	Received   time.Time
}

// IDHeader is the index of the header with the letter's id.
const IDHeader = 1

// maxListed bounds the violations of a letter, as delivery's letters have it.
const maxListed = 50

// Record is the letter as a record of the topic of dead letters.
func (r *Refused) Record(topic string) (*kgo.Record, error) {
	listed := make([]Violation, 0, min(len(r.Violations), maxListed))
	for _, v := range r.Violations[:min(len(r.Violations), maxListed)] {
		listed = append(listed, Violation{bounded(v.Pointer), v.Code, bounded(v.Message)})
	}
	violations, err := json.Marshal(listed)
	if err != nil {
		return nil, err
	}
	var headers []kgo.RecordHeader
	add := func(name, value string) {
		headers = append(headers, kgo.RecordHeader{Key: letterPrefix + name, Value: []byte(value)})
	}
	at := r.Received.UTC()
	add("version", letterVersion)
	add("id", Outside+"."+r.Kind+"."+r.ID+"."+invalid)
	add("class", invalid)
	add("reason", bounded(r.Violations.Error()))
	add("streams", "[]")
	add("kind", r.Kind)
	add("attempts", "1")
	add("first_failure", at.Format(time.RFC3339Nano))
	add("last_failure", at.Format(time.RFC3339Nano))
	add("topic", r.Source)
	add("topic_id", Outside)
	add("partition", "0")
	add("offset", "0")
	add("timestamp", strconv.FormatInt(at.UnixMilli(), 10))
	add("answer", "")
	add("violations", string(violations))
	return &kgo.Record{Topic: topic, Key: r.Key, Value: r.Value, Headers: headers}, nil
}
