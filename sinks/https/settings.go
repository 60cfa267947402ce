package https

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/auditstream/auditstream/internal/secret"
	"github.com/auditstream/auditstream/internal/units"
	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/transport"
)

// The values of Settings.Body.
const (
	NDJSON = "ndjson" // one event a line
	Array  = "array"  // one JSON array
)

// Settings are one stream's URL, and what goes there.
type Settings struct {
	URL    string `json:"url"`    // in full
	Method string `json:"method"` // POST or PUT
	Body   string `json:"body"`   // NDJSON or Array

	Headers        map[string]string     `json:"headers,omitempty"`
	SecretHeaders  map[string]secret.Ref `json:"secret_headers,omitempty"`
	SigningSecrets []secret.Ref          `json:"signing_secrets,omitempty"` // Standard Webhooks; more than one during a rotation

	RejectedStatuses []int `json:"rejected_statuses"` // with which the receiver refuses events for ever

	transport.Settings

	MaxBytes  units.Bytes    `json:"max_bytes"`  // of a request, unpacked
	MaxEvents int            `json:"max_events"` // of a request; 0: no limit
	Linger    units.Duration `json:"linger"`     // how long a first event waits for others
}

func defaults() sinks.Settings {
	s := &Settings{
		Method:           http.MethodPost,
		Body:             NDJSON,
		RejectedStatuses: []int{http.StatusUnprocessableEntity},
		Settings:         transport.Defaults(),
		MaxBytes:         1_000_000,
		MaxEvents:        1000,
		Linger:           units.Duration(time.Second),
	}
	// Many receivers do not unpack bodies.
	s.Compression = transport.None
	return s
}

// maxSecrets bounds a rotation: each secret is a signature in every request.
const maxSecrets = 5

// Validate implements sinks.Settings.
func (s *Settings) Validate() error {
	var errs []error
	wrong := func(field, format string, args ...any) {
		errs = append(errs, &sinks.FieldError{Field: field, Message: fmt.Sprintf(format, args...)})
	}
	if _, err := transport.BaseURL(s.URL); err != nil {
		wrong("url", "%v", err)
	}
	if s.Method != http.MethodPost && s.Method != http.MethodPut {
		wrong("method", "is neither POST nor PUT")
	}
	if s.Body != NDJSON && s.Body != Array {
		wrong("body", "is neither ndjson nor array")
	}
	s.validateHeaders(wrong)
	if len(s.SigningSecrets) > maxSecrets {
		wrong("signing_secrets", "are more than %d: a rotation needs two", maxSecrets)
	}
	for i, ref := range s.SigningSecrets {
		if err := ref.Check(); err != nil {
			wrong(fmt.Sprintf("signing_secrets[%d]", i), "%v", err)
		}
	}
	for i, status := range s.RejectedStatuses {
		switch {
		case status < 400 || status > 499:
			wrong(fmt.Sprintf("rejected_statuses[%d]", i), "%d is not from 400 to 499: no other status refuses events", status)
		case slices.Contains(neverRejected(), status):
			wrong(fmt.Sprintf("rejected_statuses[%d]", i), "%d says nothing about events: it is about credentials, the way there, or the moment", status)
		}
	}
	errs = append(errs, s.Settings.Validate(transport.Zstd)...)
	if s.MaxBytes < 1 {
		wrong("max_bytes", "is less than 1")
	}
	if s.MaxEvents < 0 {
		wrong("max_events", "is negative: 0 means no limit")
	}
	return errors.Join(errs...)
}

// neverRejected are the statuses that would make dead letters of events for want of a
// credential, a route or a moment's patience.
func neverRejected() []int {
	return []int{
		http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed,
		http.StatusProxyAuthRequired, http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests,
	}
}

func (s *Settings) validateHeaders(wrong func(field, format string, args ...any)) {
	seen := map[string]bool{}
	check := func(setting, name string) {
		field, canonical := setting+"."+name, http.CanonicalHeaderKey(name)
		switch {
		case !isToken(name):
			wrong(setting, "%q is no name of a header: letters, digits and hyphens", name)
		case isOurs(canonical):
			wrong(field, "is set by auditstream itself")
		case seen[canonical]:
			wrong(field, "is there twice; names of headers are the same in upper and lower case")
		}
		seen[canonical] = true
	}
	for _, name := range slices.Sorted(maps.Keys(s.Headers)) {
		check("headers", name)
		if strings.ContainsFunc(s.Headers[name], func(r rune) bool { return r < ' ' || r > '~' }) {
			wrong("headers."+name, "holds a character other than printable ASCII")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.SecretHeaders)) {
		check("secret_headers", name)
		if err := s.SecretHeaders[name].Check(); err != nil {
			wrong("secret_headers."+name, "%v", err)
		}
	}
}

// isOurs reports a header that the request needs as it is.
func isOurs(canonical string) bool {
	switch canonical {
	case "Host", "Connection", "Content-Length", "Content-Encoding", "Transfer-Encoding", "Te", "Trailer", "Upgrade",
		"Expect", "User-Agent", headerID, headerTimestamp, headerSignature, headerStream, headerReplay,
		headerKind, headerOwnProof:
		return true
	}
	if slices.Contains(placeHeaders(), canonical) {
		return true
	}
	return strings.HasPrefix(canonical, "Proxy-")
}

func isToken(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}

// Origins implements sinks.Bound.
func (s *Settings) Origins() []string { return s.OriginsOf(s.URL) }

// Batching implements sinks.Settings.
func (s *Settings) Batching() sinks.Batching {
	return sinks.Batching{MaxBytes: s.MaxBytes.Int(), MaxEvents: s.MaxEvents, Linger: time.Duration(s.Linger), Runs: maxRuns}
}

// maxRuns bounds the header with the original numbers of a job's events: receivers take some
// kilobytes.
const maxRuns = 64
