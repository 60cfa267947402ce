package kafka

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"
)

// Topics says which topics there are and how large they are.
type Topics struct {
	Prefix              string        `json:"prefix,omitempty"`      // of their names; default audit
	Partitions          int32         `json:"partitions,omitempty"`  // of events, progress and dead letters; default 12
	Replication         int16         `json:"replication,omitempty"` // copies of each partition; default 3
	Retention           time.Duration `json:"-"`                     // of events; default 7 days
	DeadLetterRetention time.Duration `json:"-"`                     // default 30 days
	CheckpointRetention time.Duration `json:"-"`                     // 0: for ever
}

// Defaults of Topics.
const (
	DefaultPrefix              = "audit"
	DefaultPartitions          = 12
	DefaultReplication         = 3
	DefaultRetention           = 7 * 24 * time.Hour
	DefaultDeadLetterRetention = 30 * 24 * time.Hour
)

// What a gateway accepted is remembered for a day. Kafka deletes whole segments, so small ones
// spare a gateway that starts the reading of what it would forget at once.
const (
	idempotencyRetention = 24 * time.Hour
	idempotencySegment   = time.Hour
)

// Sizes of the largest record batch that a topic takes, in bytes.
const (
	// eventBytes is Kafka's own default of message.max.bytes, set on the topic so that a
	// broker's setting cannot move it.
	eventBytes = 1048588
	// letterRoom is what the headers of a dead letter may add to the event's record.
	letterRoom = 64 << 10
	// letterBytes leaves room for an event that compressed well in its producer's batch and
	// does less so beside its headers.
	letterBytes = 2 * eventBytes
)

// Events is the name of the topic of events.
func (t Topics) Events() string { return t.name("events") }

// Streams is the name of the topic of stream specs.
func (t Topics) Streams() string { return t.name("streams") }

// Progress is the name of the topic of lanes' progress.
func (t Topics) Progress() string { return t.name("progress") }

// DeadLetters is the name of the topic of events that could not be delivered.
func (t Topics) DeadLetters() string { return t.name("dead_letters") }

// Schemas is the name of the topic of registered action schemas.
func (t Topics) Schemas() string { return t.name("schemas") }

// Jobs is the name of the topic of replays and redrives.
func (t Topics) Jobs() string { return t.name("jobs") }

// Idempotency is the name of the topic of notes about events that a gateway accepted.
func (t Topics) Idempotency() string { return t.name("idempotency") }

// Exports is the name of the topic of exports that were asked for.
func (t Topics) Exports() string { return t.name("exports") }

// Organizations is the name of the topic of what is kept of organizations.
func (t Topics) Organizations() string { return t.name("organizations") }

// Checkpoints is the name of the topic of signed checkpoints, and of statements about the
// keys that sign them.
func (t Topics) Checkpoints() string { return t.name("checkpoints") }

// Partitions of the topic of checkpoints. Whoever wants the few statements about keys need
// not read checkpoints of years for them.
const (
	CheckpointsPartition = 0
	KeysPartition        = 1
)

// Names are the names of all topics, in the order in which they are made.
func (t Topics) Names() []string {
	return []string{t.Events(), t.Progress(), t.Streams(), t.DeadLetters(), t.Schemas(), t.Jobs(), t.Idempotency(), t.Exports(), t.Organizations(), t.Checkpoints()}
}

func (t Topics) name(of string) string {
	if t.Prefix == "" {
		return DefaultPrefix + "." + of
	}
	return t.Prefix + "." + of
}

func (t Topics) withDefaults() Topics {
	set(&t.Prefix, DefaultPrefix)
	set(&t.Partitions, DefaultPartitions)
	set(&t.Replication, DefaultReplication)
	set(&t.Retention, DefaultRetention)
	set(&t.DeadLetterRetention, DefaultDeadLetterRetention)
	return t
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// topicChars are the characters that Kafka allows in a topic's name.
var topicChars = regexp.MustCompile(`^[a-zA-Z0-9._-]+$`)

// Validate reports every violation, joined; each is a *FieldError. Zero values mean the
// defaults and are valid.
func (t Topics) Validate() error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, &FieldError{field, fmt.Sprintf(format, args...)})
	}
	t = t.withDefaults()
	// A topic's name has at most 249 characters; the longest that we append has 14.
	if !topicChars.MatchString(t.Prefix) || len(t.Prefix) > 249-14 {
		bad("prefix", "%q is not 1 to 235 of the characters a-z, A-Z, 0-9, '.', '_' and '-'", t.Prefix)
	}
	if t.Partitions < 1 {
		bad("partitions", "%d is less than 1", t.Partitions)
	}
	if t.Replication < 1 {
		bad("replication", "%d is less than 1", t.Replication)
	}
	if t.Retention < time.Minute {
		bad("retention", "%s is less than a minute", t.Retention)
	}
	if t.DeadLetterRetention < time.Minute {
		bad("dead_letter_retention", "%s is less than a minute", t.DeadLetterRetention)
	}
	if t.CheckpointRetention != 0 && t.CheckpointRetention < time.Minute {
		bad("checkpoint_retention", "%s is less than a minute", t.CheckpointRetention)
	}
	return errors.Join(errs...)
}

// topicSpec is what a topic is created with.
type topicSpec struct {
	name       string
	partitions int32
	settings   map[string]string
}

// Names of topic settings, as Kafka has them.
const (
	cleanupPolicy    = "cleanup.policy"
	timestampType    = "message.timestamp.type"
	retentionMs      = "retention.ms"
	retentionBytes   = "retention.bytes"
	segmentMs        = "segment.ms"
	maxMessageBytes  = "max.message.bytes"
	minInSyncReplica = "min.insync.replicas"
)

const appendTime = "LogAppendTime"

// specs are the topics in the order of Names: progress before anything could be routed,
// so that no partition of events is ever without its partition of progress.
func (t Topics) specs() []topicSpec {
	minISR := strconv.Itoa(max(1, int(t.Replication)-1))
	compacted := func(name string, partitions int32) topicSpec {
		return topicSpec{name, partitions, map[string]string{
			cleanupPolicy: "compact", minInSyncReplica: minISR,
		}}
	}
	ms := func(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
	streams := compacted(t.Streams(), 1)
	// A stream that starts "now" starts at its spec's append time.
	streams.settings[timestampType] = appendTime
	return []topicSpec{
		{t.Events(), t.Partitions, map[string]string{
			cleanupPolicy: "delete", minInSyncReplica: minISR, timestampType: appendTime,
			retentionMs: ms(t.Retention), maxMessageBytes: strconv.Itoa(eventBytes),
		}},
		compacted(t.Progress(), t.Partitions),
		streams,
		{t.DeadLetters(), t.Partitions, map[string]string{
			cleanupPolicy: "delete", minInSyncReplica: minISR,
			retentionMs: ms(t.DeadLetterRetention), maxMessageBytes: strconv.Itoa(letterBytes),
		}},
		compacted(t.Schemas(), 1),
		compacted(t.Jobs(), 1),
		{t.Idempotency(), t.Partitions, map[string]string{
			cleanupPolicy: "delete", minInSyncReplica: minISR, timestampType: appendTime,
			retentionMs: ms(idempotencyRetention), segmentMs: ms(idempotencySegment),
		}},
		compacted(t.Exports(), 1),
		compacted(t.Organizations(), 1),
		// Kafka's own time beside each checkpoint is a second opinion on the one that it claims.
		{t.Checkpoints(), 2, map[string]string{
			cleanupPolicy: "delete", minInSyncReplica: minISR, timestampType: appendTime, retentionMs: forEver(t.CheckpointRetention),
		}},
	}
}

// forEver is a retention as Kafka has it, where zero is one without end.
func forEver(d time.Duration) string {
	if d == 0 {
		return "-1"
	}
	return strconv.FormatInt(d.Milliseconds(), 10)
}
