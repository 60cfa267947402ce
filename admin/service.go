package admin

import (
	"context"
	"time"

	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/consumer/deadletter"
	"github.com/auditstream/auditstream/sinks"
)

// Service is the control plane. All methods may be called concurrently. Errors that a caller
// can do something about are *[Error]; any other means that Kafka could not be asked.
type Service interface {
	StreamService
	EventService
	DeadLetterService
	JobService

	// Schemas lists the actions that are known, of each the newest version, by name.
	Schemas(ctx context.Context) ([]Schema, error)
	// Schema is one version of an action's schema; version 0 is the newest.
	Schema(ctx context.Context, action string, version int) (*Schema, error)
	// Topics says what topics there are, their partitions' ends and who owns them.
	Topics(ctx context.Context) (*Topics, error)
}

// StreamService is about streams. Those that change one return it as it stands then, and
// take what the caller knows of it: If is the version that it has to have, or empty.
type StreamService interface {
	// Streams says where all streams stand, the worst first.
	Streams(ctx context.Context) ([]Stream, error)
	Stream(ctx context.Context, id string) (*Stream, error)
	// History is what is known of the last hours of a stream; of all streams together if id
	// is empty.
	History(ctx context.Context, id string) (*History, error)

	CreateStream(ctx context.Context, d Draft, c Change) (*Stream, error)
	UpdateStream(ctx context.Context, id string, d Draft, c Change) (*Stream, error)
	// PlanStream says what CreateStream or UpdateStream would do, and does nothing.
	PlanStream(ctx context.Context, d Draft) (*Plan, error)
	PauseStream(ctx context.Context, id string, c Change) (*Stream, error)
	ResumeStream(ctx context.Context, id string, c Change) (*Stream, error)
	// DeleteStream ends a stream: with drain after what was published before has been
	// delivered, else at once.
	DeleteStream(ctx context.Context, id string, drain bool, c Change) (*Stream, error)
	// PlanSkip says what SkipStream would pass over or repeat, partition by partition.
	PlanSkip(ctx context.Context, id string, to Target) ([]Passage, error)
	SkipStream(ctx context.Context, id string, to Target, c Change) (*Stream, error)
	// ReportStream accounts for the events that Kafka took in a time: what became of each.
	ReportStream(ctx context.Context, id string, q ReportQuery) (*Report, error)
	// TestStream sends one marked event to a stream's destination, and tells each step as it
	// is done. It returns the id of the event, and why the destination did not take it: a
	// *[sinks.Error] where the destination has had its say.
	TestStream(ctx context.Context, id string, c Change, step func(sinks.Step)) (eventID string, err error)
	// TestDraft does the same for a stream that is not made yet.
	TestDraft(ctx context.Context, d Draft, c Change, step func(sinks.Step)) (eventID string, err error)
	// Try says what would become of an event in a stream, and which bytes would be sent. It
	// sends nothing.
	Try(ctx context.Context, d Draft, event []byte) (*Trial, error)
	// TryStream does the same with a stream as it is in force.
	TryStream(ctx context.Context, id string, event []byte) (*Trial, error)
}

// EventService is about events on their way.
type EventService interface {
	// Tail follows the events topic from its end on until ctx ends or each returns an error.
	Tail(ctx context.Context, q TailQuery, each func(TailEvent) error) error
	// Explain finds out where one event is on its way to each stream.
	Explain(ctx context.Context, q ExplainQuery) (*Explanation, error)
}

// DeadLetterService is about what was not delivered.
type DeadLetterService interface {
	DeadLetters(ctx context.Context, q deadletter.Query) (*deadletter.Listing, error)
	DeadLetter(ctx context.Context, at deadletter.Position) (*DeadLetter, error)
	// DiscardDeadLetters discards all of the letters, or none if one of them is not there or
	// was redriven.
	DiscardDeadLetters(ctx context.Context, at []deadletter.Position, c Change) (*Discarded, error)
}

// JobService is about replays and redrives. A job that is started runs in the process that
// serves, which also goes on with those that it has started before.
type JobService interface {
	// PlanReplay and PlanRedrive count what would be sent, and make nothing.
	PlanReplay(ctx context.Context, r Replay) (*JobPlan, error)
	PlanRedrive(ctx context.Context, r Redrive) (*JobPlan, error)
	StartReplay(ctx context.Context, r Replay, c Change) (*Job, error)
	StartRedrive(ctx context.Context, r Redrive, c Change) (*Job, error)
	// Jobs lists the jobs on record, the newest first.
	Jobs(ctx context.Context) ([]Job, error)
	Job(ctx context.Context, uid string) (*Job, error)
	// StopJob stops a job where it is; ResumeJob goes on with it, also with one that another
	// process has left; ForgetJob takes it off the record.
	StopJob(ctx context.Context, uid string, c Change) (*Job, error)
	ResumeJob(ctx context.Context, uid string, c Change) (*Job, error)
	ForgetJob(ctx context.Context, uid string, c Change) error
}

// Change says who changes something, and why.
type Change struct {
	By     string `json:"-"` // the caller; it is never taken from what the caller sends
	Reason string `json:"reason,omitempty"`
	If     string `json:"-"` // the version that what is changed has to have; empty: whichever
	// Wait bounds how long is waited, after a stream was changed, for the change to be in
	// force in every process that delivers; [Outcome] says whether it is. 0: not at all.
	Wait time.Duration `json:"-"`
}

// Draft is a stream as its owner writes it: the document that stands in a configuration
// file under streams, as JSON or YAML. Secrets are {value: …} in it, and are sealed before
// they are written anywhere; {sealed: true} keeps the one that the stream has.
type Draft []byte

// Stream is a stream and where it stands.
type Stream struct {
	ID             string   `json:"id"`
	UID            string   `json:"uid"`
	Version        string   `json:"version"` // another one after each change; see [Change]
	Owner          string   `json:"owner"`   // who changes its settings: "file" or "api"
	OrganizationID string   `json:"organization_id"`
	Actions        []string `json:"actions,omitempty"`
	Filter         string   `json:"filter,omitempty"` // beside Actions: an expression
	Mask           Document `json:"mask,omitempty"`   // as in a draft, without any secret
	Integrity      bool     `json:"integrity"`        // its events are numbered and chained
	Format         string   `json:"format"`
	Kind           string   `json:"kind"`
	Settings       Document `json:"settings"` // without any secret
	Start          string   `json:"start"`
	Epoch          int64    `json:"epoch"`
	Revision       int64    `json:"revision"`
	consumer.Status
	Advice  string            `json:"advice,omitempty"` // what to do about the state
	Hold    *consumer.Change  `json:"hold,omitempty"`   // an operator's pause
	Paused  bool              `json:"paused,omitempty"` // by its settings, which only its owner changes
	Changes []consumer.Change `json:"changes,omitempty"`
	Outcome *Outcome          `json:"outcome,omitempty"` // of the change that this answers; else nil
}

// Outcome is what became of the change of a stream.
type Outcome struct {
	Written bool `json:"written"`  // false: it was so already
	InForce int  `json:"in_force"` // partitions whose process has taken the change over
	Owned   int  `json:"owned"`    // partitions that have a process
	Members int  `json:"members"`  // processes; those that have just come own nothing yet
}

// Identity says which stream has an id.
type Identity struct{ ID, UID, Version, OrganizationID string }

// Identifier tells whose streams are, and drafts, before anything is done with them; see
// [Confine].
type Identifier interface {
	// Identities are all streams that are not deleted.
	Identities(ctx context.Context) ([]Identity, error)
	// IdentifyDraft reads of a draft what it calls the stream, and its organization. Like
	// everything that reads drafts it finds in it what the stream would be made of, and it
	// looks at no stream that there is.
	IdentifyDraft(d Draft) (id, organizationID string, err error)
}
