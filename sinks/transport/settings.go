package transport

import (
	"fmt"
	"time"

	"github.com/auditstream/auditstream/internal/units"
	"github.com/auditstream/auditstream/sinks"
)

// Settings are what every kind over HTTP lets an operator set. A kind embeds them.
type Settings struct {
	Compression string         `json:"compression"`       // gzip or none
	GzipLevel   int            `json:"gzip_level"`        // 1 (fast) to 9 (small)
	CAFile      string         `json:"ca_file,omitempty"` // PEM certificates trusted in place of the system's
	Timeout     units.Duration `json:"timeout"`           // of one request, from its beginning to the answer's end
}

// The values of Settings.Compression.
const (
	Gzip = "gzip"
	None = "none"
)

// Defaults are gzip at its fastest, which makes audit events about a fifth as large, and
// 30 s for a request.
func Defaults() Settings {
	return Settings{Compression: Gzip, GzipLevel: 1, Timeout: units.Duration(30 * time.Second)}
}

// Validate returns every violation, each a *sinks.FieldError.
func (s *Settings) Validate() []error {
	var errs []error
	if s.Compression != Gzip && s.Compression != None {
		errs = append(errs, &sinks.FieldError{Field: "compression", Message: "is neither gzip nor none"})
	}
	if s.GzipLevel < 1 || s.GzipLevel > 9 {
		errs = append(errs, &sinks.FieldError{Field: "gzip_level", Message: fmt.Sprintf("%d is not from 1 (fast) to 9 (small)", s.GzipLevel)})
	}
	if s.Timeout <= 0 {
		errs = append(errs, &sinks.FieldError{Field: "timeout", Message: "is not more than 0: write it as in 30s"})
	}
	return errs
}

// Level is the gzip level for a Config: 0 without compression.
func (s *Settings) Level() int {
	if s.Compression == None {
		return 0
	}
	return s.GzipLevel
}
