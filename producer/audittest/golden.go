package audittest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/auditstream/auditstream/schema"
)

// UpdateVariable is the environment variable that has [Golden] write the files instead of
// comparing with them: AUDITTEST_UPDATE=1 go test ./...
const UpdateVariable = "AUDITTEST_UPDATE"

// Golden fails the test unless events are those of the file, one JSON object after another.
// What differs from run to run does not count: ids are numbered in the order of the events,
// and every occurred_at is the same.
func Golden(tb testing.TB, file string, events []*schema.Event) {
	tb.Helper()
	got, err := steady(events)
	if err != nil {
		tb.Fatal(err)
	}
	if os.Getenv(UpdateVariable) != "" {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			tb.Fatal(err)
		}
		if err := os.WriteFile(file, got, 0o644); err != nil {
			tb.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(filepath.Clean(file))
	if errors.Is(err, fs.ErrNotExist) {
		tb.Fatalf("there is no %s yet; look at what would be written, and run the test with %s=1:\n%s", file, UpdateVariable, got)
	}
	if err != nil {
		tb.Fatal(err)
	}
	// Git may have changed the ends of lines.
	want = bytes.ReplaceAll(want, []byte("\r\n"), []byte("\n"))
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		tb.Errorf("events are not those of %s; if they are as they should be, run the test with %s=1 (-want +got):\n%s", file, UpdateVariable, diff)
	}
}

// steady is the text of events without what differs from run to run.
func steady(events []*schema.Event) ([]byte, error) {
	var b bytes.Buffer
	for i, e := range events {
		same := *e
		same.ID = fmt.Sprintf("audit_event_%026d", i+1)
		same.OccurredAt = "2000-01-01T00:00:00.000Z"
		value, err := same.AppendCanonical(nil)
		if err != nil {
			return nil, fmt.Errorf("event %d: %w", i, err)
		}
		if err := json.Indent(&b, value, "", "  "); err != nil {
			return nil, fmt.Errorf("event %d: %w", i, err)
		}
		b.WriteByte('\n')
	}
	return b.Bytes(), nil
}
