package export

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/auditstream/auditstream/schema"
)

// Format is the version of the file's form: its columns and the spelling of each cell. A
// download has to give the bytes that were counted, perhaps by another version of this
// program, so no byte of it changes within a version.
const Format = 1

// columns are the names in the file's first row.
func columns() []string {
	return []string{
		"id", "organization_id", "occurred_at", "action", "version",
		"actor_type", "actor_id", "actor_name", "actor_metadata",
		"targets", "location", "user_agent", "metadata", "other",
	}
}

func appendHeader(dst []byte) []byte {
	for i, name := range columns() {
		dst = appendCell(dst, i, name)
	}
	return append(dst, "\r\n"...)
}

// appendRow appends the row of an event. Together its cells hold everything that the event
// holds: what has no column of its own is in the last one.
func appendRow(dst []byte, e *schema.Event) ([]byte, error) {
	version := ""
	if e.Version != nil {
		version = strconv.Itoa(*e.Version)
	}
	actorMetadata, err := metadata(e.Actor.Metadata)
	if err != nil {
		return dst, err
	}
	eventMetadata, err := metadata(e.Metadata)
	if err != nil {
		return dst, err
	}
	targets, err := part(&schema.Event{Targets: e.Targets})
	if err != nil {
		return dst, err
	}
	targets = strings.TrimSuffix(strings.TrimPrefix(targets, `{"targets":`), "}")
	rest := &schema.Event{Extra: e.Extra, Actor: schema.Actor{Extra: e.Actor.Extra}}
	context := schema.Context{}
	if e.Context != nil {
		context = *e.Context
		if len(context.Extra) > 0 {
			rest.Context = &schema.Context{Extra: context.Extra}
		}
	}
	other, err := part(rest)
	if err != nil {
		return dst, err
	}
	for i, cell := range [...]string{
		e.ID, e.OrganizationID, e.OccurredAt, e.Action, version,
		e.Actor.Type, e.Actor.ID, e.Actor.Name, actorMetadata,
		targets, context.Location, context.UserAgent, eventMetadata, other,
	} {
		dst = appendCell(dst, i, cell)
	}
	return append(dst, "\r\n"...), nil
}

// metadata is its canonical JSON; empty for none.
func metadata(m map[string]any) (string, error) {
	if m == nil {
		return "", nil
	}
	text, err := schema.AppendMetadata(nil, m)
	if err != nil {
		return "", fmt.Errorf("metadata: %w", err)
	}
	return string(text), nil
}

// part is the canonical JSON of an event of which only some members are there; empty for none.
func part(e *schema.Event) (string, error) {
	text, err := e.AppendCanonical(nil)
	if err != nil {
		return "", err
	}
	if string(text) == "{}" {
		return "", nil
	}
	return string(text), nil
}

// appendCell appends the i-th cell of a row. Every cell is in quotes: a program that takes
// the semicolon for the separator, as spreadsheets do in some countries, still finds where
// each cell ends.
func appendCell(dst []byte, i int, text string) []byte {
	if i > 0 {
		dst = append(dst, ',')
	}
	dst = append(dst, '"')
	if begins(text) {
		dst = append(dst, '\'')
	}
	for {
		before, after, found := strings.Cut(text, `"`)
		dst = append(dst, before...)
		if !found {
			return append(dst, '"')
		}
		dst, text = append(dst, `""`...), after
	}
}

// begins says whether text begins with what a spreadsheet may take for a formula, or with the
// apostrophe that is put before such a text: so whoever takes one apostrophe away from every
// cell that begins with one has what was in the event.
func begins(text string) bool {
	first, _ := utf8.DecodeRuneInString(text)
	return text != "" && strings.ContainsRune("=+-@\t\r\n'＝＋－＠", first)
}
