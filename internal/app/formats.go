package app

import (
	"fmt"
	"strings"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/schema"
	"github.com/auditstream/auditstream/schema/catalogue"
	"github.com/auditstream/auditstream/schema/cef"
	"github.com/auditstream/auditstream/schema/ecs"
	"github.com/auditstream/auditstream/schema/ocsf"
)

const ocsfPrefix = config.FormatOCSF + "-" // precedes the version of OCSF in a format's name

// FormatNamed makes the format of that name, as a stream's spec or the configuration has
// it, with what lookup knows of actions. It is nil for the one that passes events through.
func FormatNamed(name string, lookup func(name string, version int) *catalogue.Action) (*consumer.Format, error) {
	switch name {
	case config.FormatWorkOS, "":
		return nil, nil //nolint:nilnil // events are passed through, which takes no format
	case config.FormatECS:
		return &consumer.Format{Append: unnumbered(ecs.New(ecs.Config{Action: lookup}).Append)}, nil
	case config.FormatCEF:
		return &consumer.Format{Append: unnumbered(cef.New(cef.Config{Action: lookup}).Append), Text: true}, nil
	}
	version, ok := strings.CutPrefix(pinned(name, ""), ocsfPrefix)
	if !ok || version == "" {
		return nil, fmt.Errorf("format %q is unknown; there are: %s", name, strings.Join(config.Formats(), ", "))
	}
	f, err := ocsf.New(ocsf.Config{Version: version, Action: lookup})
	if err != nil {
		return nil, fmt.Errorf("format %q: %w", name, err)
	}
	return &consumer.Format{Append: f.AppendNumbered}, nil
}

// unnumbered is the Append of a format that has no place for an event's number.
func unnumbered(write func(dst []byte, e *schema.Event) ([]byte, error)) func([]byte, *schema.Event, int64) ([]byte, error) {
	return func(dst []byte, e *schema.Event, _ int64) ([]byte, error) { return write(dst, e) }
}

// pinned is the format that a spec has for what the configuration says. A stream keeps the
// version of OCSF that it was made with until the file names another one: a newer binary
// must not change what a destination has learned to read.
func pinned(format, had string) string {
	switch {
	case format != config.FormatOCSF:
		return format
	case strings.HasPrefix(had, ocsfPrefix):
		return had
	}
	return ocsfPrefix + ocsf.DefaultVersion
}
