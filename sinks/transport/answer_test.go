package transport

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/auditstream/auditstream/sinks"
)

func TestClass(t *testing.T) {
	want := map[sinks.Class][]int{
		sinks.Rejected:      {413},
		sinks.Unavailable:   {0, 100, 200, 204, 408, 425, 429, 500, 502, 503, 504, 599},
		sinks.Misconfigured: {300, 301, 302, 307, 308, 400, 401, 402, 403, 404, 405, 407, 410, 411, 415, 421, 422, 431, 451},
	}
	for class, statuses := range want {
		for _, status := range statuses {
			a := &Answer{Status: status}
			if got := a.Class(); got != class {
				t.Errorf("HTTP %d is %v, want %v", status, got, class)
			}
			if refusal := a.Unknown(); refusal.Class != class || refusal.Status != status || refusal.Err == nil {
				t.Errorf("HTTP %d: %+v", status, refusal)
			}
		}
	}
	if got := (&Answer{Status: 200, HTML: true}).Class(); got != sinks.Misconfigured {
		t.Errorf("a page of HTML is %v", got)
	}
}

func TestAnswerOf(t *testing.T) {
	cases := []struct {
		name, media, body string
		html              bool
		kept              string
	}{
		{"JSON", "application/json", `{"code":0}`, false, `{"code":0}`},
		{"HTML by its type", "text/html; charset=utf-8", "Please log in", true, "Please log in"},
		{"HTML by its look", "application/json", "\n <!doctype html>", true, "<!doctype html>"},
		{"an echo of the credential", "text/plain", "you sent s3cr3t-key, s3cr3t-key!", false, "you sent [redacted], [redacted]!"},
		{"no UTF-8", "", "a\xffb", false, "ab"},
		{"a long one", "", strings.Repeat("é", 2000), false, strings.Repeat("é", sinks.MaxAnswer/2)},
		{"a long one, cut in a letter", "", "x" + strings.Repeat("é", 2000), false, "x" + strings.Repeat("é", sinks.MaxAnswer/2-1)},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			res := &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {c.media}}}
			a := newAnswer("the service", "http://h", masks{key}, res, []byte(c.body))
			refusal := a.Refusal(sinks.Unavailable, "words")
			if a.HTML != c.html || refusal.Answer != c.kept {
				t.Errorf("HTML %v, keeps %q; want %v, %q", a.HTML, refusal.Answer, c.html, c.kept)
			}
			if len(refusal.Answer) > sinks.MaxAnswer || !utf8.ValidString(refusal.Answer) {
				t.Errorf("keeps %d bytes: %q", len(refusal.Answer), refusal.Answer)
			}
		})
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	const date, later, earlier = "Sun, 22 Nov 2026 12:00:00 GMT", "Sun, 22 Nov 2026 12:00:30 GMT", "Sun, 22 Nov 2026 11:59:00 GMT"
	cases := []struct {
		name, retry, reset, date string
		want                     time.Duration
	}{
		{"nothing", "", "", "", 0},
		{"seconds", "7", "", "", 7 * time.Second},
		{"seconds with space", " 7 ", "", "", 7 * time.Second},
		{"a date, by the server's clock", later, "", date, 30 * time.Second},
		{"a date, by ours", "Sun, 22 Nov 2026 10:00:05 GMT", "", "", 5 * time.Second},
		{"a date that has passed", earlier, "", date, 0},
		{"a far date", "Sun, 22 Nov 2126 12:00:00 GMT", "", date, MaxRetryAfter},
		{"many seconds", "86400", "", "", MaxRetryAfter},
		{"more seconds than there are", "99999999999999999999", "", "", MaxRetryAfter},
		{"negative", "-5", "", "", 0},
		{"nonsense", "soon", "", "", 0},
		{"Datadog's", "", "12", "", 12 * time.Second},
		{"both: the standard's", "3", "12", "", 3 * time.Second},
		{"nonsense beside Datadog's", "soon", "12", "", 12 * time.Second},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := http.Header{}
			h.Set("Retry-After", c.retry)
			h.Set("X-Ratelimit-Reset", c.reset)
			h.Set("Date", c.date)
			if got := retryAfter(h, now); got != c.want {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}

func FuzzRetryAfter(f *testing.F) {
	f.Add("7", "", "")
	f.Add("Sun, 22 Nov 2026 12:00:30 GMT", "12", "Sun, 22 Nov 2026 12:00:00 GMT")
	f.Fuzz(func(t *testing.T, retry, reset, date string) {
		h := http.Header{"Retry-After": {retry}, "X-Ratelimit-Reset": {reset}, "Date": {date}}
		if got := retryAfter(h, time.Unix(1_800_000_000, 0)); got < 0 || got > MaxRetryAfter {
			t.Errorf("%v", got)
		}
	})
}

func TestBaseURL(t *testing.T) {
	cases := []struct{ text, want, problem string }{
		{"https://splunk.example:8088", "https://splunk.example:8088", ""},
		{"http://127.0.0.1:8088/", "http://127.0.0.1:8088", ""},
		{"https://gateway.example/splunk//", "https://gateway.example/splunk", ""},
		{"", "", "is missing"},
		{"splunk.example:8088", "", "https://"},
		{"ftp://splunk.example", "", "https://"},
		{"https://", "", "names no host"},
		{"https://:8088", "", "names no host"},
		{"https://hunter2@splunk.example", "", "user name or password"},
		{"https://user:hunter2@splunk.example", "", "user name or password"},
		{"https://splunk.example?token=hunter2", "", "query"},
		{"https://splunk.example#hunter2", "", "fragment"},
		{"https://splunk.example:hunter2", "", "is not a URL"},
	}
	for _, c := range cases {
		t.Run(c.text, func(t *testing.T) {
			got, err := BaseURL(c.text)
			if got != c.want || (err == nil) != (c.problem == "") {
				t.Fatalf("%q, %v; want %q, %q", got, err, c.want, c.problem)
			}
			if text := fmt.Sprint(err); !strings.Contains(text, c.problem) || strings.Contains(text, "hunter2") {
				t.Errorf("error %q, want %q and no secret", text, c.problem)
			}
		})
	}
}
