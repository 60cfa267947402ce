// Package cef writes audit events in ArcSight's Common Event Format, version 0: a line of
// text, its head separated by bars, then names and values.
//
// Name and severity stand in the catalogue, with the action. What CEF has no key for is in
// its strings of free use: cs1 the organization, cs2 the targets as type:id, cs3 the
// event's metadata as JSON, cs4 the type of the actor, cs5 the actor's metadata as JSON,
// each with its label.
package cef

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/auditstream/auditstream/schema"
	"github.com/auditstream/auditstream/schema/catalogue"
)

// Config says how events are written.
type Config struct {
	// Action finds what is known of an action in a version, 0 being the latest; nil knows
	// nothing. Its answers are not changed.
	Action func(name string, version int) *catalogue.Action
}

// Format writes audit events as CEF. It may be used by many goroutines at once.
type Format struct {
	action func(name string, version int) *catalogue.Action
}

// New makes a Format.
func New(c Config) *Format {
	if c.Action == nil {
		c.Action = func(string, int) *catalogue.Action { return nil }
	}
	return &Format{c.Action}
}

// deviceVersion is the version of this mapping, where CEF wants that of the device. It
// changes when a key changes its meaning.
const deviceVersion = "1"

// Append appends e as one line, without line end, to dst and returns the longer slice. An
// event whose occurred_at is no time, or that has no canonical form, is refused with
// [schema.Violations], with dst as it was.
func (f *Format) Append(dst []byte, e *schema.Event) ([]byte, error) {
	at, ok := e.Time()
	if !ok {
		return dst, schema.Violations{{Pointer: "/occurred_at", Code: schema.CodeFormat, Message: "is no RFC 3339 date-time, so CEF has no rt for the event"}}
	}
	action := catalogue.Find(f.action, e)
	w := writer{dst: dst}
	w.head(e, action)
	w.number("rt", at.UnixMilli())
	w.text("externalId", e.ID)
	w.text("act", e.Action)
	if action != nil {
		w.text("cat", action.Family)
	}
	w.text("outcome", string(catalogue.OutcomeOf(action, e.Metadata)))
	for _, name := range []string{"reason", "error_message", "error_reason", "error_code"} {
		if reason, _ := e.Metadata[name].(string); reason != "" {
			w.text("reason", reason)
			break
		}
	}
	w.text("suid", e.Actor.ID)
	w.text("suser", e.Actor.Name)
	if i := slices.IndexFunc(e.Targets, func(t schema.Target) bool { return strings.HasSuffix(t.Type, "user") }); i >= 0 {
		w.text("duid", e.Targets[i].ID)
		w.text("duser", e.Targets[i].Name)
	}
	w.context(e.Context)
	if e.Version != nil {
		w.key("cn1")
		w.dst = strconv.AppendInt(w.dst, int64(*e.Version), 10)
		w.text("cn1Label", "version")
	}
	w.labelled("cs1", "organization", e.OrganizationID)
	w.labelled("cs2", "targets", targets(e))
	w.metadata("cs3", "metadata", e.Metadata)
	w.labelled("cs4", "actorType", e.Actor.Type)
	w.metadata("cs5", "actorMetadata", e.Actor.Metadata)
	if w.err != nil {
		return dst, w.err
	}
	return w.dst, nil
}

func targets(e *schema.Event) string {
	var all strings.Builder
	for i := range e.Targets {
		if i > 0 {
			all.WriteByte(',')
		}
		all.WriteString(e.Targets[i].Type)
		all.WriteByte(':')
		all.WriteString(e.Targets[i].ID)
	}
	return all.String()
}

// severityOf is CEF's severity, 0 to 10, of an action without a mapping.
func severityOf(s catalogue.Severity) int {
	switch s {
	case catalogue.Low:
		return 3
	case catalogue.Medium:
		return 5
	case catalogue.High:
		return 8
	case catalogue.Critical:
		return 10
	case catalogue.Informational:
	}
	return 1
}

// writer appends to a line.
type writer struct {
	dst  []byte
	some bool // a key has been written
	err  error
}

func (w *writer) head(e *schema.Event, action *catalogue.Action) {
	name, severity := e.Action, severityOf(catalogue.SeverityOf(action))
	switch {
	case action != nil && action.CEF != nil:
		name, severity = action.CEF.Name, action.CEF.Severity
	case action != nil && action.Title != "":
		name = action.Title
	}
	w.dst = append(w.dst, "CEF:0|auditstream|auditstream|"+deviceVersion+"|"...)
	w.dst = appendHead(w.dst, e.Action)
	w.dst = append(w.dst, '|')
	w.dst = appendHead(w.dst, name)
	w.dst = append(w.dst, '|')
	w.dst = strconv.AppendInt(w.dst, int64(severity), 10)
	w.dst = append(w.dst, '|')
}

func (w *writer) key(name string) {
	if w.some {
		w.dst = append(w.dst, ' ')
	}
	w.some = true
	w.dst = append(w.dst, name...)
	w.dst = append(w.dst, '=')
}

// text writes a key with its value, and nothing for an empty one.
func (w *writer) text(name, value string) {
	if value != "" {
		w.key(name)
		w.dst = appendValue(w.dst, value)
	}
}

func (w *writer) number(name string, value int64) {
	w.key(name)
	w.dst = strconv.AppendInt(w.dst, value, 10)
}

// labelled writes one of the strings of free use with its label.
func (w *writer) labelled(name, label, value string) {
	if value != "" {
		w.text(name, value)
		w.text(name+"Label", label)
	}
}

func (w *writer) metadata(name, label string, m map[string]any) {
	if len(m) == 0 {
		return
	}
	text, err := schema.AppendMetadata(nil, m)
	if err != nil {
		w.err = err
		return
	}
	w.labelled(name, label, string(text))
}

// context writes where it was done from. src takes no address of version 6.
func (w *writer) context(c *schema.Context) {
	if c == nil {
		return
	}
	switch ip, err := netip.ParseAddr(c.Location); {
	case err == nil && ip.Is4():
		w.text("src", c.Location)
	case err == nil && ip.Zone() == "":
		w.labelled("c6a2", "sourceIPv6Address", c.Location)
	default:
		w.labelled("cs6", "location", c.Location)
	}
	w.text("requestClientApplication", c.UserAgent)
}

// appendHead appends a field of the head, which can hold no line end: bars and backslashes
// are escaped, control characters become spaces.
func appendHead(dst []byte, text string) []byte {
	for _, c := range []byte(text) {
		switch {
		case c == '|' || c == '\\':
			dst = append(dst, '\\', c)
		case c < ' ' || c == 0x7f:
			dst = append(dst, ' ')
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// appendValue appends a value: equal signs, backslashes and line ends are escaped, other
// control characters become spaces. A bar needs no escape there.
func appendValue(dst []byte, text string) []byte {
	for _, c := range []byte(text) {
		switch {
		case c == '=' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, `\n`...)
		case c == '\r':
			dst = append(dst, `\r`...)
		case c < ' ' || c == 0x7f:
			dst = append(dst, ' ')
		default:
			dst = append(dst, c)
		}
	}
	return dst
}
