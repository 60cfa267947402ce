package config

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/auditstream/auditstream/consumer/filter"
	"github.com/auditstream/auditstream/internal/secret"
	"github.com/auditstream/auditstream/sinks"
)

// AllOrganizations is the OrganizationID of a stream that carries everybody's events.
const AllOrganizations = "*"

// Stream is one feed to one destination. In the file the destination's settings stand
// under the name of its kind.
type Stream struct {
	ID             string             `json:"id"`
	OrganizationID string             `json:"organization_id"`   // or AllOrganizations
	Actions        []string           `json:"actions,omitempty"` // globs, "*" being any run of characters; empty: all
	Filter         *filter.Expression `json:"filter,omitempty"`  // beside Actions; nil: every event passes
	Mask           []Mask             `json:"mask,omitempty"`    // what of the events does not leave
	Integrity      bool               `json:"integrity"`         // whether its events are numbered and chained
	Paused         bool               `json:"paused,omitempty"`
	Start          Start              `json:"start,omitzero"`
	Format         string             `json:"format"` // one of Formats

	// Kind is the name of the destination's kind, Settings its settings over the kind's
	// defaults.
	Kind     string         `json:"-"`
	Settings sinks.Settings `json:"-"`
	// Written are the settings as the file has them, without defaults, in canonical JSON
	// (RFC 8785). It is nil for a stream that no file made.
	Written json.RawMessage `json:"-"`
}

// Mask says what becomes of the values at one place of a stream's events.
type Mask struct {
	Pointer string     `json:"pointer"`      // JSON pointer, a step * being any item or member
	With    string     `json:"with"`         // one of schema.MaskWays
	Key     secret.Ref `json:"key,omitzero"` // of schema.MaskHMAC
}

// Start says with which event a new stream begins: the first one appended since the
// stream was made (the zero Start), since a given time, or the first that Kafka still
// has.
type Start struct {
	Beginning bool
	Time      time.Time // when not Beginning: append time of the first event, or zero for now
}

// String is how a file says it: now, beginning or a time as RFC 3339 has it.
func (s Start) String() string {
	switch {
	case s.Beginning:
		return "beginning"
	case s.Time.IsZero():
		return "now"
	}
	return s.Time.Format(time.RFC3339Nano)
}

// MarshalText writes String.
func (s Start) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what String writes.
func (s *Start) UnmarshalText(text []byte) error {
	switch string(text) {
	case "now":
		*s = Start{}
		return nil
	case "beginning":
		*s = Start{Beginning: true}
		return nil
	}
	t, err := time.Parse(time.RFC3339, string(text))
	if err != nil || t.Before(time.Unix(0, 0)) { // Kafka's times begin in 1970
		return errors.New("is none of now, beginning and a time such as 2026-11-01T00:00:00Z")
	}
	*s = Start{Time: t.UTC()}
	return nil
}
