package file

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"time"

	"github.com/auditstream/auditstream/internal/units"
	"github.com/auditstream/auditstream/sinks"
)

// Settings are one stream's files.
type Settings struct {
	Dir         string         `json:"dir"`          // exists; the stream's own directory is made in it
	Mode        Mode           `json:"mode"`         // of files
	RotateSize  units.Bytes    `json:"rotate_size"`  // of a file
	RotateEvery units.Duration `json:"rotate_every"` // a file holds what was written in one such period of UTC; 0: any

	MaxBytes  units.Bytes    `json:"max_bytes"`  // of one write
	MaxEvents int            `json:"max_events"` // of one write; 0: no limit
	Linger    units.Duration `json:"linger"`     // how long a first event waits for others
}

func defaults() sinks.Settings {
	return &Settings{
		Mode:        0o600,
		RotateSize:  128_000_000,
		RotateEvery: units.Duration(24 * time.Hour),
		MaxBytes:    1_000_000,
		Linger:      units.Duration(time.Second),
	}
}

// minPeriod keeps a slip from making a file of every event.
const minPeriod = time.Minute

// Validate implements sinks.Settings.
func (s *Settings) Validate() error {
	var errs []error
	wrong := func(field, message string) {
		errs = append(errs, &sinks.FieldError{Field: field, Message: message})
	}
	switch {
	case s.Dir == "":
		wrong("dir", "is missing: write a directory that exists, as in /var/log/auditstream")
	case !filepath.IsAbs(s.Dir):
		wrong("dir", "does not begin at the root: a path such as /var/log/auditstream means the same wherever the process was started")
	}
	if s.Mode&^0o666 != 0 || s.Mode&0o600 != 0o600 {
		wrong("mode", `is not as in "0600" or "0640": the owner reads and writes, nobody executes`)
	}
	if s.RotateSize < 1 {
		wrong("rotate_size", "is less than 1")
	}
	if every := s.RotateEvery.Std(); every != 0 && every < minPeriod {
		wrong("rotate_every", fmt.Sprintf("is less than %v; 0s is no period at all", units.Duration(minPeriod)))
	}
	if s.MaxBytes < 1 {
		wrong("max_bytes", "is less than 1")
	}
	if s.MaxEvents < 0 {
		wrong("max_events", "is negative: 0 means no limit")
	}
	return errors.Join(errs...)
}

// Origins implements sinks.Bound: there is no secret, and nothing is sent.
func (s *Settings) Origins() []string { return nil }

// HostOnly implements sinks.Hosted.
func (s *Settings) HostOnly() []*sinks.FieldError {
	return []*sinks.FieldError{{Field: "dir", Message: "is a directory of the machine that delivers, which only a configuration file may name: choose a destination on the network"}}
}

// Batching implements sinks.Settings.
func (s *Settings) Batching() sinks.Batching {
	return sinks.Batching{MaxBytes: s.MaxBytes.Int(), MaxEvents: s.MaxEvents, Linger: time.Duration(s.Linger)}
}

// Mode is who may read and write files, as chmod writes it: "0640".
type Mode fs.FileMode

// UnmarshalText reads octal digits.
func (m *Mode) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 8, 16)
	if err != nil {
		return errors.New(`is no mode: write it in octal digits and quotes, as in "0640"`)
	}
	*m = Mode(n)
	return nil
}

// MarshalText writes octal digits.
func (m Mode) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%04o", uint32(m)), nil }

func (m Mode) file() fs.FileMode { return fs.FileMode(m) }

// dir is the mode of directories: who may read files may enter them.
func (m Mode) dir() fs.FileMode { return fs.FileMode(m | m&0o444>>2) }
