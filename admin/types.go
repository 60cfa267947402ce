package admin

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/consumer/deadletter"
	"github.com/auditstream/auditstream/schema"
)

// Document is JSON that is handed on as it is.
type Document = json.RawMessage

// Plan is what a draft would change.
type Plan struct {
	ID      string       `json:"id"`
	Action  string       `json:"action"`            // create, update or none
	Changes []PlanChange `json:"changes,omitempty"` // of settings, by JSON pointer
	Cursor  string       `json:"cursor"`            // in words, what becomes of the cursor
	Version string       `json:"version,omitempty"` // of the stream that would change; see [Change]
}

// PlanChange is one setting that would change. Secrets are shown as what they are, never
// with a value.
type PlanChange struct {
	Pointer string   `json:"pointer"`
	From    Document `json:"from,omitempty"`
	To      Document `json:"to,omitempty"`
}

// Target is where a cursor is moved to: one of Now, Beginning and Time, for the whole
// stream, or an offset of one partition.
type Target struct {
	Within    int        `json:"within_seconds,omitempty"` // of a plan: count for so long at most, up to MaxPlanWithin; 0: 10 s
	Now       bool       `json:"now,omitempty"`
	Beginning bool       `json:"beginning,omitempty"`
	Time      *time.Time `json:"time,omitempty"`
	Partition *int32     `json:"partition,omitempty"` // with Offset
	Offset    *int64     `json:"offset,omitempty"`
}

// MaxPlanWithin bounds Target.Within, in seconds.
const MaxPlanWithin = 600

// Passage is what a move does in one partition.
type Passage struct {
	Partition int32 `json:"partition"`
	Cursor    int64 `json:"cursor"`
	Target    int64 `json:"target"`
	Skipped   int64 `json:"skipped"`  // events of the stream that are passed over
	Repeated  int64 `json:"repeated"` // that are sent again
	AtLeast   bool  `json:"at_least"` // there may be more: counting took too long
}

// History is what is known of the last hours, in equal steps, the oldest first. A number
// that nobody has measured is null, which is not 0.
type History struct {
	From time.Time `json:"from"`
	Step int       `json:"step"` // seconds

	Delivered    []*float64 `json:"delivered"`     // events a second
	DeadLettered []*float64 `json:"dead_lettered"` // events a second
	Retried      []*float64 `json:"retried"`       // attempts made again, a second
	Lag          []*float64 `json:"lag"`           // events, or offsets where they are not counted
	LagSeconds   []*float64 `json:"lag_seconds"`   // age of the oldest event that waits
}

// TailQuery says which events to follow. What is zero does not restrict.
type TailQuery struct {
	Organization string   `json:"organization,omitempty"`
	Actions      []string `json:"actions,omitempty"` // globs
	Stream       string   `json:"stream,omitempty"`  // only what this stream would deliver
	Actor        string   `json:"actor,omitempty"`   // id of the actor
	Payload      bool     `json:"payload,omitempty"` // with the event itself; else what identifies it
	Last         int      `json:"last,omitempty"`    // begin with so many of the last events, at most MaxTailLast
	Ends         bool     `json:"ends,omitempty"`    // end with those, and follow nothing
}

// MaxTailLast bounds TailQuery.Last: so many events are held in memory.
const MaxTailLast = 10_000

// TailEvent is a record that was published. What it has beside the event itself identifies
// it, and says nothing about a person.
type TailEvent struct {
	Partition      int32     `json:"partition"`
	Offset         int64     `json:"offset"`
	Time           time.Time `json:"time"` // when Kafka took it
	OrganizationID string    `json:"organization_id"`
	Action         string    `json:"action"`
	ID             string    `json:"id"`
	OccurredAt     string    `json:"occurred_at"`
	ActorType      string    `json:"actor_type,omitempty"`
	Event          Document  `json:"event,omitempty"`
	Invalid        string    `json:"invalid,omitempty"` // what is wrong with a record that is no valid event: it goes to the dead letters
	Missed         int64     `json:"missed,omitempty"`  // events before this one that there was no time to show
}

// ExplainQuery names an event. Whatever else is known of it makes finding it faster.
type ExplainQuery struct {
	EventID      string    `json:"event_id"`
	Organization string    `json:"organization,omitempty"`
	Since        time.Time `json:"since,omitzero"`           // look through all that was published since; zero: begin where the id says, and end when it is found
	Within       int       `json:"within_seconds,omitempty"` // look for so long at most; 0: a minute

	// Progress, which may be nil, is told how many offsets of how many were looked through.
	Progress func(passed, of int64) `json:"-"`
}

// Explanation says where an event is.
type Explanation struct {
	EventID  string      `json:"event_id"`
	Copies   []EventCopy `json:"copies"`          // more than one if it was published more than once; none: not found
	Complete bool        `json:"complete"`        // whatever can be said was looked for: time was not up before
	Sought   string      `json:"sought"`          // where was looked, in words
	Hints    []string    `json:"hints,omitempty"` // what may be the case if it was not found
}

// EventCopy is one record of an event.
type EventCopy struct {
	TailEvent
	Gone    bool          `json:"gone,omitempty"` // Kafka has it no longer: it is known from its dead letter
	Streams []Whereabouts `json:"streams"`        // of every stream of its organization
}

// Whereabouts is where one record is on its way to one stream.
type Whereabouts struct {
	Stream      string               `json:"stream,omitempty"` // empty: what is no valid event belongs to none
	State       string               `json:"state"`            // one of the constants below
	Why         string               `json:"why"`              // in words
	DeadLetter  *deadletter.Position `json:"dead_letter,omitempty"`
	Before      *int64               `json:"before,omitempty"`       // of what waits: events of the stream that come first
	AtLeast     bool                 `json:"at_least,omitempty"`     // there may be more before it: counting took too long
	NextAttempt *time.Time           `json:"next_attempt,omitempty"` // of what waits
}

// Where a record can be on its way to a stream.
const (
	WhereDelivered    = "delivered"     // the destination has it
	WhereFiltered     = "filtered"      // the stream does not take such events
	WhereWaiting      = "waiting"       // it is not settled yet
	WhereDeadLettered = "dead-lettered" // it is in the dead letters
	WherePassedOver   = "passed over"   // the stream was moved past it
	WhereExpired      = "expired"       // Kafka forgot it before it could be delivered
	WhereBeforeStart  = "before start"  // the stream begins behind it
	WhereAfterEnd     = "after end"     // the stream is being deleted, and ends before it
	WhereUnknown      = "unknown"       // settled, but the record of how has been dropped
)

// Trial is what would become of an event in a stream.
type Trial struct {
	Violations []schema.Violation `json:"violations,omitempty"` // the event is not valid: it would be dead-lettered
	Route      Verdict            `json:"route"`                // organization and actions
	Filter     *Verdict           `json:"filter,omitempty"`     // the stream's expression
	Masked     []schema.Masked    `json:"masked,omitempty"`     // values that do not leave as they are
	Refused    string             `json:"refused,omitempty"`    // why it cannot be sent: it would be dead-lettered
	Method     string             `json:"method,omitempty"`     // of the request, where one would be made
	URL        string             `json:"url,omitempty"`
	Headers    map[string]string  `json:"headers,omitempty"` // secrets masked
	Bytes      []byte             `json:"bytes,omitempty"`   // of the request's body, before compression
	Text       string             `json:"text,omitempty"`    // the same, if it is text
	Notes      []string           `json:"notes,omitempty"`   // in which the trial differs from delivery
}

// Verdict is whether an event goes on, and why.
type Verdict struct {
	Pass bool   `json:"pass"`
	Why  string `json:"why"`
}

// DeadLetter is a letter with everything that it holds.
type DeadLetter struct {
	deadletter.Listed                      // with the violations
	Marks             []deadletter.Mark    `json:"marks,omitempty"`  // the last ones, the newest last
	Record            *deadletter.Original `json:"record,omitempty"` // nil: the caller may not see payloads
}

// Discarded is what became of letters that were to be discarded.
type Discarded struct {
	Discarded []deadletter.Position `json:"discarded"`
	Before    []deadletter.Position `json:"before,omitempty"` // they were discarded already
}

// Replay asks for events of a stream another time: by the time at which Kafka took them, or
// by offsets.
type Replay struct {
	Stream         string           `json:"stream"`
	From           *time.Time       `json:"from,omitempty"` // absent: what Kafka still has
	To             *time.Time       `json:"to,omitempty"`   // absent: now
	Offsets        []consumer.Range `json:"offsets,omitempty"`
	Actions        []string         `json:"actions,omitempty"`
	OrganizationID string           `json:"organization_id,omitempty"`
	Rate           float64          `json:"rate,omitempty"` // events a second at most; 0: no cap
	AllowExpired   bool             `json:"allow_expired,omitempty"`

	// Progress, which may be nil, is told how many offsets of how many were counted.
	Progress func(passed, of int64) `json:"-"`
}

// Redrive asks for the events of dead letters again: of the named ones, or of all that are
// open and match.
type Redrive struct {
	Stream         string                `json:"stream"`
	Letters        []deadletter.Position `json:"letters,omitempty"`
	Class          string                `json:"class,omitempty"`
	OrganizationID string                `json:"organization_id,omitempty"`
	Since          *time.Time            `json:"since,omitempty"`
	Rate           float64               `json:"rate,omitempty"`

	// Progress, which may be nil, is told how many offsets of how many were counted.
	Progress func(passed, of int64) `json:"-"`
}

// JobPlan is what a job would send.
type JobPlan struct {
	Stream  string     `json:"stream"`
	Matched int64      `json:"matched"`
	Ranges  []JobRange `json:"ranges"`
	Expired []Expired  `json:"expired,omitempty"`
}

// JobRange is what a job would send of one partition.
type JobRange struct {
	consumer.Range
	Matched int64 `json:"matched"`
}

// Expired is what is missing at the beginning of a range that was asked for: Kafka has it no
// more.
type Expired struct {
	Partition int32     `json:"partition"`
	Offsets   int64     `json:"offsets,omitempty"` // how many, where offsets were asked for; 0: not known, as times were
	Begins    int64     `json:"begins"`            // first offset that Kafka has
	Since     time.Time `json:"since,omitzero"`    // when its event was appended; zero if there is none
}

// String says what is missing at the beginning of a range.
func (e Expired) String() string {
	since := "and holds nothing of it"
	if !e.Since.IsZero() {
		since = "appended " + e.Since.Format(time.RFC3339)
	}
	if e.Offsets > 0 {
		return fmt.Sprintf("partition %d: %d of the offsets have expired, Kafka begins at %d, %s", e.Partition, e.Offsets, e.Begins, since)
	}
	return fmt.Sprintf("partition %d: what was appended before has expired: Kafka begins at offset %d, %s", e.Partition, e.Begins, since)
}

// States of a job.
const (
	JobRunning = "running"
	JobWaiting = "waiting" // nobody runs it, or its turn has not come
	JobStopped = "stopped" // by an operator, until it is resumed
	JobDone    = "done"
)

// Job is a job and how far it is.
type Job struct {
	consumer.Task
	State   string         `json:"state"` // one of the job states
	Done    consumer.Tally `json:"done"`
	Left    int64          `json:"left"` // offsets that it has not come to
	Problem string         `json:"problem,omitempty"`
	Expired []Expired      `json:"expired,omitempty"` // of the range that was asked for; only of a job that was just made
}

// Schema is one version of an action's schema.
type Schema struct {
	Action   string   `json:"action"`
	Version  int      `json:"version"`
	Versions []int    `json:"versions,omitempty"` // all there are
	Family   string   `json:"family,omitempty"`
	Title    string   `json:"title,omitempty"`
	Builtin  bool     `json:"builtin"` // of the catalogue; else registered here
	Schema   Document `json:"schema,omitempty"`
	Example  Document `json:"example,omitempty"`
}

// Topics are the topics of the cluster that are auditstream's, and the groups that read.
type Topics struct {
	Cluster string  `json:"cluster"`
	Topics  []Topic `json:"topics"`
	Groups  []Group `json:"groups"`
}

// Topic is a topic.
type Topic struct {
	Name       string      `json:"name"`
	ID         string      `json:"id"`
	Retention  int         `json:"retention_seconds,omitempty"` // 0: for ever, or compacted
	Partitions []Partition `json:"partitions"`
	Problems   []string    `json:"problems,omitempty"` // settings that are not as they should be
}

// Partition is a partition of a topic.
type Partition struct {
	Number     int32 `json:"number"`
	Leader     int32 `json:"leader"`   // -1: none
	Replicas   int   `json:"replicas"` // that are configured
	InSync     int   `json:"in_sync"`
	Start      int64 `json:"start"`
	End        int64 `json:"end"`         // high watermark
	LastStable int64 `json:"last_stable"` // below it no transaction is open

	Open *Transaction `json:"open_transaction,omitempty"` // nil: none keeps what is behind LastStable
}

// Transaction is one that is open, so that nobody gets what is behind its first record.
type Transaction struct {
	ProducerID      int64      `json:"producer_id"`                // -1: Kafka does not say
	TransactionalID string     `json:"transactional_id,omitempty"` // empty: Kafka does not say, or nobody knows it any more
	Since           *time.Time `json:"since,omitempty"`            // when it began, or last wrote; nil: not known
}

// Group is the consumer group of a kind of destination.
type Group struct {
	ID      string   `json:"id"`
	Kind    string   `json:"kind"`
	State   string   `json:"state"`
	Members []Member `json:"members"`
	Lag     int64    `json:"lag"` // offsets between its commits and the ends
}

// Member is a process of a group.
type Member struct {
	Client     string  `json:"client"`
	Host       string  `json:"host"`
	Partitions []int32 `json:"partitions"`
}
