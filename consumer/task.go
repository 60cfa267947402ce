package consumer

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/internal/record"
)

// TaskVersion is the version of the job's record in the jobs topic: 2 of one that knows which
// events its own were at first, else 1. A record of another version is refused: it was written
// by a newer binary.
const TaskVersion = 2

// What a job does.
const (
	TaskReplay  = "replay"  // sends events of the events topic another time
	TaskRedrive = "redrive" // sends events of the dead letters again
)

// RunnerServer runs jobs that were started through the API: of all processes that serve it
// the one that the others have chosen.
const RunnerServer = "server"

// Task is a job as the jobs topic keeps it, keyed by UID: what is to be sent, decided once,
// so that the job can be gone on with from any machine. How far it is stands in the
// progress topic, by lane, under the job's uid.
type Task struct {
	Version   int    `json:"v"`
	UID       string `json:"uid"`
	Job       string `json:"job"`        // TaskReplay or TaskRedrive
	Stream    string `json:"stream"`     // the name that people use
	StreamUID string `json:"stream_uid"` // whose events are sent; a stream made again is another one
	Epoch     int64  `json:"epoch"`      // from 1, one more for each change of the place that events are put to
	Place     string `json:"place"`      // where that is, for kinds that know such a thing; else empty

	Topic   string  `json:"topic"`    // that the ranges speak of: events, or dead letters
	TopicID string  `json:"topic_id"` // its id: of a topic made anew they say nothing
	Ranges  []Range `json:"ranges"`   // one a partition, none of them empty

	Actions        []string   `json:"actions,omitempty"`         // globs, beside those of the stream
	OrganizationID string     `json:"organization_id,omitempty"` // the only one; empty: all of the stream
	Class          string     `json:"class,omitempty"`           // of a redrive: the only class of letters
	Since          *time.Time `json:"since,omitempty"`           // of a redrive: letters written then or later
	Letters        []string   `json:"letters,omitempty"`         // of a redrive: the ids of the only ones; absent: all
	Rate           float64    `json:"rate,omitempty"`            // events a second at most; 0: no cap

	Runner  string  `json:"runner,omitempty"`  // RunnerServer; empty: a command, in its own process
	Stopped *Change `json:"stopped,omitempty"` // of RunnerServer: it is not to go on until somebody takes this away

	Originals *Originals `json:"originals,omitempty"` // of a replay: which events its own were at first; absent: nobody has looked

	Matched int64      `json:"matched"` // events that were found to be sent when the job was made
	By      string     `json:"by,omitempty"`
	Made    time.Time  `json:"made"`
	Ended   *time.Time `json:"ended,omitempty"` // absent: there is something left to do
	Result  *Tally     `json:"result,omitempty"`
}

// Range is the offsets [From, To) of one partition.
type Range struct {
	Partition int32 `json:"partition"`
	From      int64 `json:"from"`
	To        int64 `json:"to"`
}

// Tally is what a job has done with the events of its ranges.
type Tally struct {
	Delivered int64 `json:"delivered"`
	Refused   int64 `json:"refused"` // a replay: in the dead letters; a redrive: their letters stay open
	Retried   int64 `json:"retried"` // attempts beyond the first
	Expired   int64 `json:"expired"` // offsets that retention took before their turn: an upper bound of events
}

// Encode returns the value of the job's record.
func (t Task) Encode() ([]byte, error) {
	t.Version = 1
	if t.Originals != nil { // a binary that does not know of it would send other bytes of the same events
		t.Version = TaskVersion
	}
	return json.Marshal(t)
}

// DecodeTask reads a record of the jobs topic that has a value.
func DecodeTask(r *kgo.Record) (Task, error) {
	var t Task
	if err := record.Decode(r.Value, TaskVersion, &t); err != nil {
		return Task{}, fmt.Errorf("job %q: %w", r.Key, err)
	}
	switch {
	case t.UID == "" || t.UID != string(r.Key) || t.StreamUID == "" || t.TopicID == "" || t.Epoch < 1:
		return Task{}, fmt.Errorf("job %q: the record lacks uid, stream, topic or epoch, or was written under another key", r.Key)
	case t.Job != TaskReplay && t.Job != TaskRedrive:
		return Task{}, fmt.Errorf("job %q: %q is no kind of job", r.Key, t.Job)
	}
	for _, g := range t.Ranges {
		if g.Partition < 0 || g.From < 0 || g.To <= g.From {
			return Task{}, fmt.Errorf("job %q: no range of a partition: %+v", r.Key, g)
		}
	}
	return t, nil
}

// spec is the stream as the job sends its events: identity and progress are the job's own.
func (t Task) spec(s Spec) Spec {
	s.Sends, s.UID = s.StreamUID(), t.UID
	s.BaseEpoch, s.Epoch = 1, t.Epoch
	s.Start, s.EpochOffset = StartBeginning, new(int64(0))
	s.Forward, s.FormerOffset, s.Moved, s.Moves, s.Here = false, nil, nil, nil, nil // of the stream's own cursor
	s.State, s.Drain = SpecActive, nil                                              // its end is not the job's
	if t.OrganizationID != "" {
		s.OrganizationID = t.OrganizationID
	}
	return s
}
