package transport

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/auditstream/auditstream/internal/secret"
	"github.com/auditstream/auditstream/internal/units"
	"github.com/auditstream/auditstream/sinks"
)

// Settings are what every kind over HTTP lets an operator set. A kind embeds them.
type Settings struct {
	Compression string         `json:"compression"` // gzip or none; for some kinds zstd too
	GzipLevel   int            `json:"gzip_level"`  // 1 (fast) to 9 (small)
	Timeout     units.Duration `json:"timeout"`     // of one request, from its beginning to the answer's end

	CAFile     string     `json:"ca_file,omitempty"`    // PEM certificates trusted in place of the system's
	PinSHA256  []string   `json:"pin_sha256,omitempty"` // fingerprints of the only certificates trusted, in place of any authority
	ClientCert secret.Ref `json:"client_cert,omitzero"` // PEM: our own certificate, for services that ask for one
	ClientKey  secret.Ref `json:"client_key,omitzero"`  // PEM: its private key
	Proxy      Proxy      `json:"proxy,omitzero"`
	HTTP2      bool       `json:"http2,omitempty"` // several requests share a connection
}

// The values of Settings.Compression.
const (
	Gzip = "gzip"
	Zstd = "zstd" // where the kind says that its service knows it
	None = "none"
)

// Defaults are gzip at its fastest, which makes audit events about a fifth as large, and
// 30 s for a request.
func Defaults() Settings {
	return Settings{Compression: Gzip, GzipLevel: 1, Timeout: units.Duration(30 * time.Second)}
}

// Validate returns every violation, each a *sinks.FieldError. The service knows gzip, and
// also the compressions of more.
func (s *Settings) Validate(more ...string) []error {
	var errs []error
	if known := append([]string{Gzip, None}, more...); !slices.Contains(known, s.Compression) {
		errs = append(errs, &sinks.FieldError{Field: "compression", Message: "is none of " + strings.Join(known, ", ")})
	}
	if s.GzipLevel < 1 || s.GzipLevel > 9 {
		errs = append(errs, &sinks.FieldError{Field: "gzip_level", Message: fmt.Sprintf("%d is not from 1 (fast) to 9 (small)", s.GzipLevel)})
	}
	if s.Timeout <= 0 {
		errs = append(errs, &sinks.FieldError{Field: "timeout", Message: "is not more than 0: write it as in 30s"})
	}
	if len(s.PinSHA256) > 0 && s.CAFile != "" {
		errs = append(errs, &sinks.FieldError{Field: "ca_file", Message: "stands beside pin_sha256, with which no authority is asked: leave one of them out"})
	}
	for i, text := range s.PinSHA256 {
		if _, err := parsePin(text); err != nil {
			errs = append(errs, &sinks.FieldError{Field: fmt.Sprintf("pin_sha256[%d]", i), Message: err.Error()})
		}
	}
	for _, f := range []struct {
		name, other string
		ref, beside secret.Ref
	}{
		{"client_cert", "client_key", s.ClientCert, s.ClientKey},
		{"client_key", "client_cert", s.ClientKey, s.ClientCert},
	} {
		if f.ref.IsZero() && !f.beside.IsZero() {
			errs = append(errs, &sinks.FieldError{Field: f.name, Message: "is missing beside " + f.other})
		}
		if err := f.ref.Check(); !f.ref.IsZero() && err != nil {
			errs = append(errs, &sinks.FieldError{Field: f.name, Message: err.Error()})
		}
	}
	return append(errs, s.Proxy.validate()...)
}

// packing is how bodies are compressed; ok is false if they are not.
func (s *Settings) packing() (p packing, ok bool) {
	switch s.Compression {
	case Gzip:
		return packing{Gzip, s.GzipLevel}, true
	case Zstd:
		return packing{encoding: Zstd}, true
	}
	return packing{}, false
}
