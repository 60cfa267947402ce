package splunk

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/auditstream/auditstream/internal/secret"
	"github.com/auditstream/auditstream/internal/units"
	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/internal/proof"
	"github.com/auditstream/auditstream/sinks/transport"
)

// maxContentLength is the most that Splunk Enterprise takes in one request unless it is
// told otherwise (max_content_length in limits.conf), in bytes.
const maxContentLength = 838_860_800

// Settings are one stream's Splunk HTTP Event Collector.
type Settings struct {
	URL        string     `json:"url"`                  // base address, as in https://splunk.example:8088
	Token      secret.Ref `json:"token"`                // HEC token
	Index      string     `json:"index,omitempty"`      // empty: the token's default index
	Source     string     `json:"source,omitempty"`     // empty: the token's
	SourceType string     `json:"sourcetype,omitempty"` // empty: the token's
	Host       string     `json:"host,omitempty"`       // empty: Splunk sets the address that sent the event

	Fields map[string]string `json:"fields,omitempty"` // indexed fields by name, without fieldPrefix

	Acknowledge         bool           `json:"acknowledge,omitempty"` // events count when the indexers have written them
	AcknowledgeTimeout  units.Duration `json:"acknowledge_timeout"`   // after that they are sent again
	AcknowledgePoll     units.Duration `json:"acknowledge_poll"`      // between two questions, at first
	AcknowledgeDisabled string         `json:"acknowledge_disabled"`  // what to do with a token that does not: Hold or Accept
	MaxUnacknowledged   int            `json:"max_unacknowledged"`    // batches of a lane that may wait

	transport.Settings

	MaxBytes  units.Bytes    `json:"max_bytes"`            // of a request, unpacked
	MaxEvents int            `json:"max_events,omitempty"` // of a request; 0: no limit
	Linger    units.Duration `json:"linger"`               // how long a first event waits for others
}

// The values of Settings.AcknowledgeDisabled.
const (
	Hold   = "hold"
	Accept = "accept"
)

const (
	maxFields         = 32
	maxUnacknowledged = 256 // the answer to a question about all of them, repeats included, stays below transport.MaxBody
	minPoll           = 10 * time.Millisecond
	maxPoll           = 30 * time.Second // sixteen times that is below the 10 minutes after which Splunk forgets a channel
)

func defaults() sinks.Settings {
	return &Settings{
		Source: "auditstream",
		// Every Splunk knows this one and finds the fields of JSON in it.
		SourceType: "_json",
		Settings:   transport.Defaults(),
		// Splunk may hold the end of a burst for about two minutes.
		AcknowledgeTimeout:  units.Duration(5 * time.Minute),
		AcknowledgePoll:     units.Duration(time.Second),
		AcknowledgeDisabled: Hold,
		MaxUnacknowledged:   16,
		// Splunk Cloud refuses requests of a few MB; its documentation speaks of 1 MB.
		MaxBytes: 1_000_000,
		Linger:   units.Duration(time.Second),
	}
}

// Validate implements sinks.Settings.
func (s *Settings) Validate() error {
	var errs []error
	wrong := func(field, message string) {
		errs = append(errs, &sinks.FieldError{Field: field, Message: message})
	}
	base, err := transport.BaseURL(s.URL)
	switch {
	case err != nil:
		wrong("url", err.Error())
	case strings.Contains(base, "/services/collector"):
		wrong("url", "ends with the collector's path: leave out /services/collector, it is added")
	}
	if err := s.Token.Check(); err != nil {
		wrong("token", err.Error())
	}
	errs = append(errs, s.Settings.Validate()...)
	for _, m := range []struct{ field, template string }{
		{"index", s.Index}, {"source", s.Source}, {"sourcetype", s.SourceType}, {"host", s.Host},
	} {
		if _, err := parse(m.template); err != nil {
			wrong(m.field, err.Error())
		}
	}
	s.checkFields(wrong)
	s.checkAcknowledge(wrong)
	if s.MaxBytes < 1 || s.MaxBytes > maxContentLength {
		wrong("max_bytes", fmt.Sprintf("is not from 1 to %d bytes", maxContentLength))
	}
	if s.MaxEvents < 0 {
		wrong("max_events", "is negative: 0 means no limit")
	}
	return errors.Join(errs...)
}

func (s *Settings) checkFields(wrong func(field, message string)) {
	if len(s.Fields) > maxFields {
		wrong("fields", fmt.Sprintf("are more than %d: each takes room in Splunk's index for every event", maxFields))
	}
	for _, name := range slices.Sorted(maps.Keys(s.Fields)) {
		field := "fields." + name
		switch _, err := parse(s.Fields[name]); {
		case !fieldName(name):
			wrong(field, "has a name that is not 1 to 64 of a-z, A-Z, 0-9 and _")
		case name == replayField:
			wrong(field, "is the field that a replay marks its events with: choose another name")
		case slices.Contains(proof.Fields(), fieldPrefix+name):
			wrong(field, "is a field that says where an event stands in its feed: choose another name")
		case s.Fields[name] == "":
			wrong(field, "is empty: write a text, or what it takes from the event, as in {action}")
		case err != nil:
			wrong(field, err.Error())
		}
	}
}

func fieldName(name string) bool {
	for _, c := range name {
		if c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return len(name) >= 1 && len(name) <= 64
}

func (s *Settings) checkAcknowledge(wrong func(field, message string)) {
	if s.AcknowledgeDisabled != Hold && s.AcknowledgeDisabled != Accept {
		wrong("acknowledge_disabled", "is neither hold nor accept")
	}
	poll := time.Duration(s.AcknowledgePoll)
	if poll < minPoll || poll > maxPoll {
		wrong("acknowledge_poll", fmt.Sprintf("is not from %v to %v", minPoll, maxPoll))
	}
	if time.Duration(s.AcknowledgeTimeout) < poll || s.AcknowledgeTimeout <= 0 {
		wrong("acknowledge_timeout", "is shorter than acknowledge_poll: nobody would have asked by then")
	}
	if s.MaxUnacknowledged < 1 || s.MaxUnacknowledged > maxUnacknowledged {
		wrong("max_unacknowledged", fmt.Sprintf("is not from 1 to %d batches", maxUnacknowledged))
	}
}

// Origins implements sinks.Bound.
func (s *Settings) Origins() []string { return s.OriginsOf(s.URL) }

// Batching implements sinks.Settings.
func (s *Settings) Batching() sinks.Batching {
	b := sinks.Batching{MaxBytes: s.MaxBytes.Int(), MaxEvents: s.MaxEvents, Linger: time.Duration(s.Linger)}
	if s.Acknowledge {
		b.Confirmation = sinks.Confirmation{
			Batches: s.MaxUnacknowledged, Every: time.Duration(s.AcknowledgePoll), Within: time.Duration(s.AcknowledgeTimeout),
		}
	}
	return b
}
