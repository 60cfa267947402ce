package splunk

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/auditstream/auditstream/sinks"
)

var occurred = time.Date(2025, 1, 15, 10, 30, 0, 123e6, time.UTC)

// event is an event of about 600 bytes.
func event() *sinks.Event {
	return &sinks.Event{
		Value: []byte(`{"action":"user.created","actor":{"id":"user_01J0000000000000000000000","metadata":{"role":"admin"},"name":"Ada Lovelace","type":"user"},` +
			`"context":{"location":"203.0.113.7","user_agent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36"},` +
			`"id":"audit_event_01JD0000000000000000000000","metadata":{"request_id":"req_4f9a2c","source":"dashboard"},"occurred_at":"2025-01-15T10:30:00.123Z",` +
			`"organization_id":"org_01JAAAAAAAAAAAAAAAAAAAAAAA","targets":[{"id":"team_01J000000000000000000000","name":"Analytical Engines","type":"team"}],"version":1}`),
		ID:             []byte("audit_event_01JD0000000000000000000000"),
		OrganizationID: []byte("org_01JAAAAAAAAAAAAAAAAAAAAAAA"),
		Action:         []byte("user.created"),
		OccurredAt:     []byte("2025-01-15T10:30:00.123Z"),
		Time:           time.UnixMilli(1_736_937_001_007),
	}
}

func framerOf(tb testing.TB, s *Settings, job string) *framer {
	tb.Helper()
	f, err := newFramer(s, job)
	if err != nil {
		tb.Fatal(err)
	}
	return &f
}

func TestFrame(t *testing.T) {
	full := Settings{Host: `h"1`, Source: "s", SourceType: "t", Index: "i"}
	cases := []struct {
		name       string
		settings   Settings
		occurredAt string
		appended   time.Time
		want       string
	}{
		{"everything", full, "2025-01-15T10:30:00.123Z", time.Time{}, `{"time":1736937000.123,"host":"h\"1","source":"s","sourcetype":"t","index":"i","event":{"a":1}}`},
		{"nothing set", Settings{}, "2025-01-15T10:30:00.123Z", time.Time{}, `{"time":1736937000.123,"event":{"a":1}}`},
		{"whole seconds keep their decimals", Settings{}, "2025-01-15T10:30:00Z", time.Time{}, `{"time":1736937000.000,"event":{"a":1}}`},
		{"milliseconds keep their zeros", Settings{}, "2025-01-15T10:30:00.007Z", time.Time{}, `{"time":1736937000.007,"event":{"a":1}}`},
		{"finer is cut off", Settings{}, "2025-01-15T10:30:00.1239999Z", time.Time{}, `{"time":1736937000.123,"event":{"a":1}}`},
		{"another zone", Settings{}, "2025-01-15T11:30:00+01:00", time.Time{}, `{"time":1736937000.000,"event":{"a":1}}`},
		{
			"templates",
			Settings{Host: "h-{organization_id}", Source: "{action}", Index: "i", Fields: map[string]string{"b": "x", "a": "{id}!"}},
			"2025-01-15T10:30:00Z",
			time.Time{},
			`{"time":1736937000.000,"host":"h-org_1","source":"user.\"x\"","index":"i","fields":{"auditstream_a":"evt_1!","auditstream_b":"x"},"event":{"a":1}}`,
		},
		{"no time: that of its record", Settings{}, "noon", time.UnixMilli(1_736_937_001_050), `{"time":1736937001.050,"event":{"a":1}}`},
		{"no time at all", Settings{Source: "s"}, "", time.Time{}, `{"source":"s","event":{"a":1}}`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f := framerOf(t, &c.settings, "")
			got, err := f.Frame([]byte("before"), &sinks.Event{
				Value: []byte(`{"a":1}`), OccurredAt: []byte(c.occurredAt), Time: c.appended,
				ID: []byte("evt_1"), OrganizationID: []byte("org_1"), Action: []byte(`user."x"`),
			})
			if err != nil || string(got) != "before"+c.want {
				t.Errorf("%s, %v\nwant %s", got, err, c.want)
			}
		})
	}
}

func TestFrameAllocatesNothing(t *testing.T) {
	s := testSettings("http://127.0.0.1")
	s.Fields = map[string]string{"action": "{action}", "organization": "{organization_id}"}
	f, e, dst := framerOf(t, s, ""), event(), make([]byte, 0, 4096)
	n := testing.AllocsPerRun(100, func() {
		if _, err := f.Frame(dst, e); err != nil {
			t.Fatal(err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkFrame(b *testing.B) {
	f, e, dst := framerOf(b, testSettings("http://127.0.0.1"), ""), event(), make([]byte, 0, 4096)
	b.SetBytes(int64(len(e.Value)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.Frame(dst, e); err != nil {
			b.Fatal(err)
		}
	}
}

func TestAReplayNamesItsJobInAnIndexedField(t *testing.T) {
	for _, s := range []*Settings{{}, {Index: "i"}} {
		f := framerOf(t, s, "job_1")
		for occurredAt, want := range map[string]string{
			"2025-01-15T10:30:00Z": `"fields":{"auditstream_replay":"job_1"},"event":{"a":1}}`,
			"":                     `"fields":{"auditstream_replay":"job_1"},"event":{"a":1}}`,
		} {
			got, err := f.Frame(nil, &sinks.Event{Value: []byte(`{"a":1}`), OccurredAt: []byte(occurredAt)})
			if err != nil || !strings.HasSuffix(string(got), want) || !json.Valid(got) {
				t.Errorf("%s, %v\nwant …%s", got, err, want)
			}
		}
	}
}
