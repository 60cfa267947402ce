package ddlogs

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/auditstream/auditstream/sinks/sinktest/faults"
)

const key = "0123456789abcdef"

func newServer(t *testing.T, dir string) *Server {
	t.Helper()
	s, err := New(Config{Dir: dir, APIKey: key})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func post(t *testing.T, s *Server, apiKey, encoding, body string) (int, string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/v2/logs", strings.NewReader(body))
	r.Header.Set("DD-API-KEY", apiKey)
	r.Header.Set("Content-Encoding", encoding)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func TestAnswers(t *testing.T) {
	many := func(n int) string { return "[" + strings.TrimSuffix(strings.Repeat(`{"message":1},`, n), ",") + "]" }
	cases := []struct {
		name, key, encoding, body string
		status, stored            int
		detail                    string
	}{
		{"an array", key, "", `[{"message":"a"},{"message":{"b":1}}]`, 202, 2, ""},
		{"one entry alone", key, "", ` {"message":"a"}`, 202, 1, ""},
		{"an empty array", key, "", `[]`, 202, 0, ""},
		{"1000 entries", key, "", many(1000), 202, 1000, ""},
		{"1001 entries", key, "", many(1001), 413, 0, "more than 1000 entries"},
		{"no key", "", "", `[]`, 401, 0, "the header DD-API-KEY is missing"},
		{"another key", "x" + key, "", `[{"message":1}]`, 403, 0, "the API key is not valid"},
		{"no JSON", key, "", `[{"message":1},`, 400, 0, "the body is no JSON array"},
		{"nothing", key, "", ``, 400, 0, "the body is no JSON array"},
		{"null", key, "", `null`, 400, 0, "the body is no JSON array"},
		{"one entry is no object", key, "", `[{"message":1},2]`, 400, 0, "an entry is no JSON object"},
		{"a tag list that is no string", key, "", `[{"ddtags":["a"]}]`, 400, 0, "ddtags is no string"},
		{"5 MB", key, "", `[{"message":1}` + strings.Repeat(" ", 5_000_000-15) + `]`, 202, 1, ""},
		{"more than 5 MB", key, "", `[{"message":1}` + strings.Repeat(" ", 5_000_000-14) + `]`, 413, 0, "the request is larger than 5 MB"},
		{"another encoding", key, "br", `x`, 415, 0, "the content encoding is not supported"},
		{"damaged gzip", key, "gzip", `x`, 400, 0, "the body cannot be unpacked"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := newServer(t, "")
			status, body := post(t, s, c.key, c.encoding, c.body)
			if status != c.status || s.Len() != c.stored {
				t.Errorf("answered %d with %d stored, want %d with %d", status, s.Len(), c.status, c.stored)
			}
			want := "{}"
			if c.detail != "" {
				want = fmt.Sprintf(`{"errors":[{"detail":%q,"status":"%d","title":%q}]}`, c.detail, status, http.StatusText(status))
			}
			if body != want {
				t.Errorf("answered %s, want %s", body, want)
			}
		})
	}
}

func TestEncodings(t *testing.T) {
	var zipped, deflated bytes.Buffer
	for _, w := range []io.WriteCloser{gzip.NewWriter(&zipped), zlib.NewWriter(&deflated)} {
		_, _ = io.WriteString(w, `[{"message":"m"}]`)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for encoding, body := range map[string]string{"gzip": zipped.String(), "deflate": deflated.String(), "identity": `[{"message":"m"}]`} {
		s := newServer(t, "")
		if status, _ := post(t, s, key, encoding, body); status != 202 || s.Len() != 1 {
			t.Errorf("%s: %d, %d stored", encoding, status, s.Len())
		}
	}
}

func TestEntryIsKeptAsItCame(t *testing.T) {
	s := newServer(t, "")
	now := strconv.FormatInt(time.Now().UnixMilli(), 10)
	post(t, s, key, "", `[{"ddsource":"a","ddtags":"b:c","hostname":"h","service":"s","timestamp":`+now+`,"message":{"z": "<"}}]`)
	want := []Event{{
		Message: []byte(`{"z": "<"}`), Source: "a", Tags: "b:c", Hostname: "h", Service: "s",
		Attributes: map[string]json.RawMessage{"timestamp": []byte(now)},
	}}
	if diff := cmp.Diff(want, s.Events()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestLongEntryIsCutAndAnsweredAsASuccess(t *testing.T) {
	for size, truncated := range map[int]bool{MaxEntry: false, MaxEntry + 1: true} {
		s := newServer(t, "")
		entry := `{"message":"` + strings.Repeat("x", size-len(`{"message":""}`)) + `"}`
		status, _ := post(t, s, key, "", "["+entry+"]")
		got := s.Events()
		if status != 202 || len(got) != 1 || got[0].Truncated != truncated {
			t.Errorf("an entry of %d bytes: answered %d, cut: %v", len(entry), status, got[0].Truncated)
		}
	}
}

func TestEntryFromTooFarAwayIsAcceptedAndDropped(t *testing.T) {
	for age, dropped := range map[time.Duration]bool{
		0: false, 17 * time.Hour: false, 19 * time.Hour: true, -time.Hour: false, -3 * time.Hour: true,
	} {
		s := newServer(t, "")
		ms := strconv.FormatInt(time.Now().Add(-age).UnixMilli(), 10)
		status, _ := post(t, s, key, "", `[{"message":1,"timestamp":`+ms+`},{"message":2}]`)
		want := map[bool]int{false: 2, true: 1}[dropped]
		if status != 202 || s.Len() != want || s.Dropped() != 2-want {
			t.Errorf("an age of %v: answered %d, %d stored, %d dropped", age, status, s.Len(), s.Dropped())
		}
	}
}

func TestDuplicateIsStoredTwice(t *testing.T) {
	s := newServer(t, "")
	for range 2 {
		post(t, s, key, "", `[{"message":{"id":1}}]`)
	}
	if s.Len() != 2 {
		t.Errorf("%d stored, want 2", s.Len())
	}
}

func TestEntriesSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	first := newServer(t, dir)
	post(t, first, key, "", `[{"message":{"a":"<é>"},"service":"s","x":1},{"message":"two"}]`)
	second := newServer(t, dir)
	if diff := cmp.Diff(first.Events(), second.Events()); diff != "" || second.Len() != 2 {
		t.Errorf("%d entries (-before +after):\n%s", second.Len(), diff)
	}
}

func TestFaultAfterStoring(t *testing.T) {
	s := newServer(t, "")
	s.Program(func(*http.Request) *faults.Answer {
		return &faults.Answer{Store: true, Status: 429, Header: http.Header{"X-Ratelimit-Reset": {"7"}}}
	})
	if status, _ := post(t, s, key, "", `[{"message":1}]`); status != 429 || s.Len() != 1 {
		t.Errorf("answered %d with %d entries stored, want 429 with 1", status, s.Len())
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`[{"message":1,"ddtags":"a"}]`))
	f.Add([]byte(`{"message":{}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		events, err := read(body)
		if err != nil {
			return
		}
		for _, e := range events {
			if e.Message != nil && !json.Valid(e.Message) {
				t.Errorf("stored %q", e.Message)
			}
		}
	})
}
