package splunk

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/auditstream/auditstream/internal/secret"
	"github.com/auditstream/auditstream/internal/units"
	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/transport"
)

// maxContentLength is the most that Splunk Enterprise takes in one request unless it is
// told otherwise (max_content_length in limits.conf), in bytes.
const maxContentLength = 838_860_800

// Settings are one stream's Splunk HTTP Event Collector.
type Settings struct {
	URL        string     `json:"url"`                  // base address, as in https://splunk.example:8088
	Token      secret.Ref `json:"token"`                // HEC token, without acknowledgement
	Index      string     `json:"index,omitempty"`      // empty: the token's default index
	Source     string     `json:"source,omitempty"`     // empty: the token's
	SourceType string     `json:"sourcetype,omitempty"` // empty: the token's
	Host       string     `json:"host,omitempty"`       // empty: Splunk sets the address that sent the event

	transport.Settings

	MaxBytes  units.Bytes    `json:"max_bytes"`            // of a request, unpacked
	MaxEvents int            `json:"max_events,omitempty"` // of a request; 0: no limit
	Linger    units.Duration `json:"linger"`               // how long a first event waits for others
}

func defaults() sinks.Settings {
	return &Settings{
		Source: "auditstream",
		// Every Splunk knows this one and finds the fields of JSON in it.
		SourceType: "_json",
		Settings:   transport.Defaults(),
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
	if s.MaxBytes < 1 || s.MaxBytes > maxContentLength {
		wrong("max_bytes", fmt.Sprintf("is not from 1 to %d bytes", maxContentLength))
	}
	if s.MaxEvents < 0 {
		wrong("max_events", "is negative: 0 means no limit")
	}
	return errors.Join(errs...)
}

// Batching implements sinks.Settings.
func (s *Settings) Batching() sinks.Batching {
	return sinks.Batching{MaxBytes: s.MaxBytes.Int(), MaxEvents: s.MaxEvents, Linger: time.Duration(s.Linger)}
}
