package splunk

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/auditstream/auditstream/internal/secret"
	"github.com/auditstream/auditstream/internal/units"
	"github.com/auditstream/auditstream/sinks"
)

func TestValidate(t *testing.T) {
	cases := []struct {
		name   string
		change func(*Settings)
		want   []string // fields with a violation
	}{
		{"a good one", func(*Settings) {}, nil},
		{"plain HTTP", func(s *Settings) { s.URL = "http://127.0.0.1:8088" }, nil},
		{"a path of its own", func(s *Settings) { s.URL = "https://gateway.example/splunk/" }, nil},
		{"nothing at all", func(s *Settings) { *s = Settings{} }, []string{"url", "token", "compression", "gzip_level", "timeout", "acknowledge_disabled", "acknowledge_poll", "acknowledge_timeout", "max_unacknowledged", "max_bytes"}},
		{"the collector's path", func(s *Settings) { s.URL += "/services/collector/event" }, []string{"url"}},
		{"a password in the url", func(s *Settings) { s.URL = "https://user:hunter2@splunk.example" }, []string{"url"}},
		{"a token in two places", func(s *Settings) { s.Token.File = "f" }, []string{"token"}},
		{"an unknown compression", func(s *Settings) { s.Compression = "zstd" }, []string{"compression"}},
		{"a level out of range", func(s *Settings) { s.GzipLevel = 10 }, []string{"gzip_level"}},
		{"too many bytes", func(s *Settings) { s.MaxBytes = 838_860_801 }, []string{"max_bytes"}},
		{"templates", func(s *Settings) { s.Source, s.Index = "a-{action}", "{organization_id}" }, nil},
		{"an unknown name", func(s *Settings) { s.Host = "{actor.id}" }, []string{"host"}},
		{"a brace that is not closed", func(s *Settings) { s.Source = "{action" }, []string{"source"}},
		{"a brace that is not opened", func(s *Settings) { s.SourceType = "action}" }, []string{"sourcetype"}},
		{"a long template", func(s *Settings) { s.Index = strings.Repeat("x", maxTemplate+1) }, []string{"index"}},
		{"fields", func(s *Settings) { s.Fields = map[string]string{"Action_1": "{action}"} }, nil},
		{"bad fields", func(s *Settings) {
			s.Fields = map[string]string{"a b": "x", "replay": "x", "empty": "", "open": "{"}
		}, []string{"fields.a b", "fields.empty", "fields.open", "fields.replay"}},
		{"acknowledgement", func(s *Settings) { s.Acknowledge, s.AcknowledgeDisabled = true, Accept }, nil},
		{"an unknown fall-back", func(s *Settings) { s.AcknowledgeDisabled = "ignore" }, []string{"acknowledge_disabled"}},
		{"a time-out before the first question", func(s *Settings) { s.AcknowledgeTimeout = units.Duration(time.Millisecond) }, []string{"acknowledge_timeout"}},
		{"questions too rare", func(s *Settings) { s.AcknowledgePoll = units.Duration(time.Hour) }, []string{"acknowledge_poll", "acknowledge_timeout"}},
		{"nothing may wait", func(s *Settings) { s.MaxUnacknowledged = 0 }, []string{"max_unacknowledged"}},
		{"fewer than no events", func(s *Settings) { s.MaxEvents = -1 }, []string{"max_events"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := testSettings("https://splunk.example:8088")
			c.change(s)
			if diff := cmp.Diff(c.want, fieldsOf(t, s.Validate())); diff != "" {
				t.Errorf("violations (-want +got):\n%s", diff)
			}
		})
	}
}

// fieldsOf lists the fields that err complains about.
func fieldsOf(t *testing.T, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("not joined: %v", err)
	}
	var fields []string
	for _, e := range joined.Unwrap() {
		f, ok := errors.AsType[*sinks.FieldError](e)
		if !ok {
			t.Fatalf("not a FieldError: %v", e)
		}
		fields = append(fields, f.Field)
	}
	return fields
}

func TestSettingsOverDefaults(t *testing.T) {
	s := defaults().(*Settings)
	err := json.Unmarshal([]byte(`{"url":"https://splunk.example:8088","token":{"env":"T"},"timeout":"5s","gzip_level":6,"max_bytes":"2MB"}`), s)
	if err != nil {
		t.Fatal(err)
	}
	want := defaults().(*Settings)
	want.URL, want.Token = "https://splunk.example:8088", secret.Ref{Env: "T"}
	want.Timeout, want.GzipLevel, want.MaxBytes = 5e9, 6, 2_000_000
	if diff := cmp.Diff(want, s); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := s.Validate(); err != nil {
		t.Error(err)
	}
	wantBatching := sinks.Batching{MaxBytes: 2_000_000, Linger: time.Second}
	if diff := cmp.Diff(wantBatching, s.Batching()); diff != "" {
		t.Errorf("batching (-want +got):\n%s", diff)
	}
}
