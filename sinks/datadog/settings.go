package datadog

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/auditstream/auditstream/internal/secret"
	"github.com/auditstream/auditstream/internal/units"
	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/transport"
)

// The limits of the intake, as Datadog documents them.
const (
	maxRequest = 5_000_000 // bytes of a request, unpacked
	maxEntries = 1000      // of a request
	maxEntry   = 1_000_000 // bytes of an entry

	// What frames may take of a request: the rest is for brackets, and for the longer name of
	// the time of entries from long ago.
	maxFrames = maxRequest - maxEntries*untimedMore - len("[]")
)

// Settings are one stream's Datadog logs intake.
type Settings struct {
	Site     string     `json:"site,omitempty"` // as in datadoghq.eu
	URL      string     `json:"url,omitempty"`  // in place of a site: base address of another intake
	APIKey   secret.Ref `json:"api_key"`
	Source   string     `json:"source,omitempty"` // ddsource: picks Datadog's pipeline
	Service  string     `json:"service,omitempty"`
	Hostname string     `json:"hostname,omitempty"`
	Tags     []string   `json:"tags,omitempty"` // key:value, of every entry

	Attributes bool `json:"attributes"` // say who, where from, what and how it ended as Datadog's standard attributes do

	transport.Settings

	MaxBytes  units.Bytes    `json:"max_bytes"`  // of a request, unpacked
	MaxEvents int            `json:"max_events"` // of a request
	Linger    units.Duration `json:"linger"`     // how long a first event waits for others
}

func defaults() sinks.Settings {
	return &Settings{
		Source:     "auditstream",
		Service:    "audit-logs",
		Attributes: true,
		Settings:   transport.Defaults(),
		MaxBytes:   4_000_000,
		MaxEvents:  maxEntries,
		Linger:     units.Duration(time.Second),
	}
}

// sites are those of Datadog's that take logs.
func sites() []string {
	return []string{
		"datadoghq.com", "us3.datadoghq.com", "us5.datadoghq.com", "datadoghq.eu",
		"ap1.datadoghq.com", "ap2.datadoghq.com", "uk1.datadoghq.com", "ddog-gov.com", "us2.ddog-gov.com",
	}
}

// Validate implements sinks.Settings.
func (s *Settings) Validate() error {
	var errs []error
	wrong := func(field, message string) {
		errs = append(errs, &sinks.FieldError{Field: field, Message: message})
	}
	switch {
	case s.Site == "" && s.URL == "":
		wrong("site", "is missing: write one of "+strings.Join(sites(), ", "))
	case s.Site != "" && s.URL != "":
		wrong("url", "stands beside a site: write one of the two")
	case s.Site != "" && !slices.Contains(sites(), s.Site):
		// A slip here would send events and the key to somebody else's host.
		wrong("site", "is none of "+strings.Join(sites(), ", ")+"; any other intake is written as a url")
	case s.URL != "":
		base, err := transport.BaseURL(s.URL)
		if err != nil {
			wrong("url", err.Error())
		} else if strings.HasSuffix(base, path) {
			wrong("url", "ends with the intake's path: leave out "+path+", it is added")
		}
	}
	if err := s.APIKey.Check(); err != nil {
		wrong("api_key", err.Error())
	}
	for i, tag := range s.Tags {
		if string(appendTag(nil, []byte(tag))) != tag || tag == "" {
			wrong(fmt.Sprintf("tags[%d]", i), "is not as in env:prod: letters, digits and _-:./ only")
		}
	}
	errs = append(errs, s.Settings.Validate()...)
	if s.MaxBytes < 1 || s.MaxBytes > units.Bytes(maxFrames) {
		wrong("max_bytes", fmt.Sprintf("is not from 1 to %d bytes", maxFrames))
	}
	if s.MaxEvents < 1 || s.MaxEvents > maxEntries {
		wrong("max_events", fmt.Sprintf("is not from 1 to %d", maxEntries))
	}
	return errors.Join(errs...)
}

// Origins implements sinks.Bound.
func (s *Settings) Origins() []string {
	base, err := s.base()
	if err != nil {
		base = s.URL
	}
	return s.OriginsOf(base)
}

// Batching implements sinks.Settings.
func (s *Settings) Batching() sinks.Batching {
	return sinks.Batching{MaxBytes: s.MaxBytes.Int(), MaxEvents: s.MaxEvents, Linger: time.Duration(s.Linger)}
}

// base is the intake's address. The settings are valid.
func (s *Settings) base() (string, error) {
	if s.URL == "" {
		return "https://http-intake.logs." + s.Site, nil
	}
	return transport.BaseURL(s.URL)
}
