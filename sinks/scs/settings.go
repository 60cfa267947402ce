package scs

import (
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/auditstream/auditstream/internal/secret"
	"github.com/auditstream/auditstream/internal/units"
	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/transport"
)

// The limits of a request to the service.
const (
	maxRequest = 1_040_000 // bytes
	maxEvents  = 500
)

// Settings are one stream's tenant.
type Settings struct {
	Tenant       string     `json:"tenant"`
	ClientID     string     `json:"client_id"`
	ClientSecret secret.Ref `json:"client_secret"`
	URL          string     `json:"url"`      // base address of the API
	AuthURL      string     `json:"auth_url"` // of the authorization server, in full
	Source       string     `json:"source,omitempty"`
	SourceType   string     `json:"sourcetype,omitempty"`
	Host         string     `json:"host,omitempty"`

	transport.Settings

	MaxBytes  units.Bytes    `json:"max_bytes"`  // of a request, unpacked
	MaxEvents int            `json:"max_events"` // of a request
	Linger    units.Duration `json:"linger"`     // how long a first event waits for others
}

func defaults() sinks.Settings {
	s := &Settings{
		URL:        "https://api.scp.splunk.com",
		AuthURL:    "https://auth.scp.splunk.com/token",
		Source:     "auditstream",
		SourceType: "_json",
		Settings:   transport.Defaults(),
		MaxBytes:   1_000_000,
		MaxEvents:  maxEvents,
		Linger:     units.Duration(time.Second),
	}
	// Nobody says that the service unpacks bodies.
	s.Compression = transport.None
	return s
}

// Validate implements sinks.Settings.
func (s *Settings) Validate() error {
	var errs []error
	wrong := func(field, message string) {
		errs = append(errs, &sinks.FieldError{Field: field, Message: message})
	}
	// It becomes a part of a path.
	if !regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]{0,127}$`).MatchString(s.Tenant) {
		wrong("tenant", "is not a name of letters, digits and hyphens")
	}
	if s.ClientID == "" {
		wrong("client_id", "is missing")
	}
	if err := s.ClientSecret.Check(); err != nil {
		wrong("client_secret", err.Error())
	}
	for _, f := range []struct{ field, value string }{{"url", s.URL}, {"auth_url", s.AuthURL}} {
		if _, err := transport.BaseURL(f.value); err != nil {
			wrong(f.field, err.Error())
		}
	}
	errs = append(errs, s.Settings.Validate()...)
	if most := units.Bytes(maxRequest - len("[]")); s.MaxBytes < 1 || s.MaxBytes > most {
		wrong("max_bytes", fmt.Sprintf("is not from 1 to %d bytes", int64(most)))
	}
	if s.MaxEvents < 1 || s.MaxEvents > maxEvents {
		wrong("max_events", fmt.Sprintf("is not from 1 to %d", maxEvents))
	}
	return errors.Join(errs...)
}

// Origins implements sinks.Bound: the secret goes to the authorization server, and what it
// gives for it to the API.
func (s *Settings) Origins() []string { return s.OriginsOf(s.URL, s.AuthURL) }

// Batching implements sinks.Settings.
func (s *Settings) Batching() sinks.Batching {
	return sinks.Batching{MaxBytes: s.MaxBytes.Int(), MaxEvents: s.MaxEvents, Linger: time.Duration(s.Linger)}
}
