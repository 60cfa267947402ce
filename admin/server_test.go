package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/auditstream/auditstream/integrity"
)

// few is a control plane with what a test of the server needs.
type few struct {
	Service
	streams []Stream
	fail    error
	last    Change
}

func (f *few) Streams(context.Context) ([]Stream, error) { return f.streams, f.fail }

func (f *few) Stream(_ context.Context, id string) (*Stream, error) {
	for _, s := range f.streams {
		if s.ID == id {
			return &s, f.fail
		}
	}
	return nil, CodeNotFound.Errorf("there is no stream %q", id)
}

func (f *few) PauseStream(ctx context.Context, id string, c Change) (*Stream, error) {
	f.last = c
	return f.Stream(ctx, id)
}

func (f *few) UpdateStream(ctx context.Context, id string, _ Draft, c Change) (*Stream, error) {
	f.last = c
	s, err := f.Stream(ctx, id)
	if err == nil && c.If != "" && c.If != s.Version {
		return nil, CodeChanged.Errorf("it has version %s", s.Version)
	}
	return s, err
}

func (f *few) CreateStream(context.Context, Draft, Change) (*Stream, error) {
	e := CodeInvalid.Errorf("the stream is wrong")
	e.Problems = []Problem{{Pointer: "/splunk/url", Line: 3, Column: 8, Message: "is required"}}
	return nil, e
}

func (f *few) Tail(ctx context.Context, q TailQuery, each func(TailEvent) error) error {
	for i := range 3 {
		if err := each(TailEvent{Offset: int64(i), OrganizationID: "org_1", Event: Document(`{}`)}); err != nil {
			return err
		}
	}
	if q.Last > 0 {
		return CodeUnavailable.Errorf("Kafka has gone")
	}
	<-ctx.Done()
	return ctx.Err()
}

func (f *few) Topics(context.Context) (*Topics, error) { panic("oh dear") }

func (f *few) Identities(context.Context) ([]Identity, error) {
	var out []Identity
	for _, s := range f.streams {
		out = append(out, Identity{ID: s.ID, UID: s.UID, Version: s.Version, OrganizationID: s.OrganizationID})
	}
	return out, f.fail
}

func (f *few) IdentifyDraft(Draft) (id, organization string, err error) { return "new", "org_1", nil }

// known are tokens in clear.
type known map[string]Caller

func (k known) Caller(token string) (Caller, error) {
	c, ok := k[token]
	if !ok {
		return c, CodeUnauthenticated.Errorf("the token is not valid")
	}
	return c, nil
}

// desk is a server under test.
type desk struct {
	t    *testing.T
	few  *few
	http *httptest.Server
	logs *observer.ObservedLogs
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	core, logs := observer.New(zap.DebugLevel)
	d := &desk{t: t, logs: logs, few: &few{streams: []Stream{
		{ID: "one", UID: "str_1", Version: "str_1.4", OrganizationID: "org_1"},
		{ID: "two", UID: "str_2", Version: "str_2.1", OrganizationID: "org_2"},
		{ID: "all", UID: "str_3", Version: "str_3.1", OrganizationID: "*"},
	}}}
	d.http = httptest.NewServer(NewServer(Config{
		Service: d.few, Identifier: d.few, Log: zap.New(core), Tokens: known{
			"viewer": {Name: "eve", Role: RoleViewer}, "operator": {Name: "ops", Role: RoleOperator}, "admin": {Name: "root", Role: RoleAdmin},
			"tenant": {Name: "tenant", Role: RoleAdmin, Organizations: []string{"org_1"}},
		},
	}))
	t.Cleanup(d.http.Close)
	return d
}

// ask sends a request; headers are pairs.
func (d *desk) ask(token, method, path, body string, headers ...string) (reply, string) {
	d.t.Helper()
	r, err := http.NewRequestWithContext(d.t.Context(), method, d.http.URL+path, strings.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		d.t.Fatal(err)
	}
	defer answer.Body.Close() //nolint:errcheck // only read
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	return reply{answer.StatusCode, answer.Header}, string(b)
}

// reply is the head of an answer.
type reply struct {
	StatusCode int
	Header     http.Header
}

// problem is the error that an answer has to be.
func (d *desk) problem(answer reply, body string, code Code) ProblemDocument {
	d.t.Helper()
	var p ProblemDocument
	if err := json.Unmarshal([]byte(body), &p); err != nil {
		d.t.Fatalf("%s: %v", body, err)
	}
	if p.Code != code || answer.StatusCode != code.Status() || p.Status != answer.StatusCode ||
		answer.Header.Get("Content-Type") != "application/problem+json" || p.RequestID == "" || p.RequestID != answer.Header.Get("Request-Id") {
		d.t.Errorf("status %d, %+v, want %s", answer.StatusCode, p, code)
	}
	return p
}

func TestWhoMayAsk(t *testing.T) {
	d := newDesk(t)
	for name, test := range map[string]struct {
		headers []string
		path    string
		code    Code
	}{
		"nobody":              {nil, "/v1/streams", CodeUnauthenticated},
		"a wrong token":       {[]string{"Authorization", "Bearer nonsense"}, "/v1/streams", CodeUnauthenticated},
		"another scheme":      {[]string{"Authorization", "Basic YTpi"}, "/v1/streams", CodeUnauthenticated},
		"no token":            {[]string{"Authorization", "Bearer "}, "/v1/streams", CodeUnauthenticated},
		"two headers":         {[]string{"Authorization", "Bearer viewer", "Authorization", "Bearer admin"}, "/v1/streams", CodeMalformed},
		"two in one":          {[]string{"Authorization", "Bearer viewer, Bearer admin"}, "/v1/streams", CodeUnauthenticated},
		"a token as a query":  {nil, "/v1/streams?access_token=admin", CodeMalformed},
		"one beside a header": {[]string{"Authorization", "Bearer admin"}, "/v1/streams?Token=admin", CodeMalformed},
		"a cookie":            {[]string{"Cookie", "token=admin"}, "/v1/streams", CodeUnauthenticated},
	} {
		answer, body := d.ask("", "GET", test.path, "", test.headers...)
		d.problem(answer, body, test.code)
		if test.code == CodeUnauthenticated && answer.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: no WWW-Authenticate", name)
		}
	}
	if answer, body := d.ask("", "GET", "/v1/streams", "", "Authorization", "bearer  viewer"); answer.StatusCode != 200 {
		t.Error(answer.StatusCode, body)
	}
}

func TestFailuresToLogInAreBounded(t *testing.T) {
	d := newDesk(t)
	const within = 20 // failures a minute that are answered as what they are
	for i := range within + 1 {
		answer, body := d.ask("nonsense", "GET", "/v1/streams", "")
		if want := CodeUnauthenticated; i < within {
			d.problem(answer, body, want)
		} else {
			d.problem(answer, body, CodeTooMany)
			if answer.Header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
		}
	}
	if answer, _ := d.ask("viewer", "GET", "/v1/streams", ""); answer.StatusCode != 200 {
		t.Errorf("who shares the address is locked out: %d", answer.StatusCode)
	}
}

func TestMethodsAndPaths(t *testing.T) {
	d := newDesk(t)
	answer, body := d.ask("admin", "PATCH", "/v1/streams/one", "")
	d.problem(answer, body, CodeNoMethod)
	if allow := answer.Header.Get("Allow"); allow != "DELETE, GET, HEAD, PUT, OPTIONS" {
		t.Errorf("allowed: %s", allow)
	}
	answer, body = d.ask("", "OPTIONS", "/v1/streams/one/pause", "")
	if answer.StatusCode != 204 || answer.Header.Get("Allow") != "POST, OPTIONS" || body != "" {
		t.Error(answer.StatusCode, answer.Header, body)
	}
	answer, body = d.ask("viewer", "HEAD", "/v1/streams/one", "")
	if answer.StatusCode != 200 || body != "" || answer.Header.Get("ETag") != `"str_1.4"` {
		t.Error(answer.StatusCode, answer.Header, body)
	}
	for _, path := range []string{"/v1/", "/v1/nothing", "/v1/streams/one/two/three", "/v1//streams", "/v1/streams/", "/v1/./streams", "/elsewhere"} {
		answer, body = d.ask("admin", "GET", path, "")
		d.problem(answer, body, CodeNotFound)
		if answer.Header.Get("Location") != "" {
			t.Errorf("%s is forwarded", path)
		}
	}
	if answer, body = d.ask("", "GET", "/healthz", ""); answer.StatusCode != 200 || body != "ok\n" {
		t.Error(answer.StatusCode, body)
	}
}

func TestBodies(t *testing.T) {
	d := newDesk(t)
	for name, test := range map[string]struct {
		body, kind string
		code       Code
		at         Problem
	}{
		"no JSON":       {"{\n  \"reason\" \"x\"}", "application/json", CodeMalformed, Problem{Line: 2, Column: 13}},
		"two values":    {`{} {}`, "application/json", CodeMalformed, Problem{Line: 1, Column: 5}},
		"another type":  {`{"reason": 7}`, "application/json", CodeMalformed, Problem{Pointer: "/reason", Line: 1, Column: 14}},
		"unknown":       {`{"force": true}`, "application/json", CodeMalformed, Problem{}},
		"cut off":       {`{"reason": "x`, "application/json", CodeMalformed, Problem{}},
		"a form":        {`reason=x`, "application/x-www-form-urlencoded", CodeMediaType, Problem{}},
		"no type":       {`{}`, "", CodeMediaType, Problem{}},
		"huge":          {`{"reason": "` + strings.Repeat("x", maxBody) + `"}`, "application/json", CodeTooLarge, Problem{}},
		"a long reason": {`{"reason": "` + strings.Repeat("x", maxText+1) + `"}`, "application/json", CodeInvalid, Problem{}},
		"two lines":     {`{"reason": "a\nb"}`, "application/json", CodeInvalid, Problem{}},
	} {
		r, err := http.NewRequestWithContext(t.Context(), "POST", d.http.URL+"/v1/streams/one/pause", strings.NewReader(test.body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer operator")
		r.Header.Set("Content-Type", test.kind)
		answer, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close() //nolint:errcheck // read to its end
		p := d.problem(reply{answer.StatusCode, answer.Header}, string(body), test.code)
		if test.at.Line > 0 && (len(p.Problems) != 1 || p.Problems[0].Pointer != test.at.Pointer || p.Problems[0].Line != test.at.Line || p.Problems[0].Column != test.at.Column) {
			t.Errorf("%s: %+v, want %+v", name, p.Problems, test.at)
		}
	}
}

func TestWhatIsWrongWithADocumentIsToldByPlace(t *testing.T) {
	d := newDesk(t)
	answer, body := d.ask("admin", "POST", "/v1/streams", `{"id": "x"}`)
	p := d.problem(answer, body, CodeInvalid)
	if len(p.Problems) != 1 || p.Problems[0].Pointer != "/splunk/url" || p.Problems[0].Line != 3 {
		t.Errorf("%+v", p)
	}
}

func TestAChangeIsSignedAndConditional(t *testing.T) {
	d := newDesk(t)
	answer, body := d.ask("operator", "POST", "/v1/streams/one/pause?wait=3s", `{"reason": "OPS-1"}`, "If-Match", `"str_1.4"`)
	if answer.StatusCode != 200 || answer.Header.Get("ETag") != `"str_1.4"` {
		t.Error(answer.StatusCode, body)
	}
	if c := d.few.last; c.By != "ops" || c.Reason != "OPS-1" || c.If != "str_1.4" || c.Wait.Seconds() != 3 {
		t.Errorf("%+v", c)
	}
	answer, body = d.ask("admin", "PUT", "/v1/streams/one", `{"id": "one"}`)
	d.problem(answer, body, CodeNoCondition)
	answer, body = d.ask("admin", "PUT", "/v1/streams/one", `{"id": "one"}`, "If-Match", `"str_1.3"`)
	d.problem(answer, body, CodeChanged)
	for _, odd := range []string{`str_1.4`, `W/"str_1.4"`, `"a", "b"`, `""`} {
		answer, body = d.ask("admin", "PUT", "/v1/streams/one", `{"id": "one"}`, "If-Match", odd)
		d.problem(answer, body, CodeMalformed)
	}
	if answer, body = d.ask("admin", "PUT", "/v1/streams/one", `{"id": "one"}`, "If-Match", "*"); answer.StatusCode != 200 || d.few.last.If != "" {
		t.Error(answer.StatusCode, body, d.few.last)
	}
	answer, body = d.ask("viewer", "POST", "/v1/streams/one/pause", ``)
	d.problem(answer, body, CodeForbidden)
	answer, body = d.ask("admin", "DELETE", "/v1/streams/one", "")
	d.problem(answer, body, CodeMalformed) // drain or drop?
}

func TestListsAreBounded(t *testing.T) {
	d := newDesk(t)
	var page StreamList
	after, seen := "", []string{}
	for {
		_, body := d.ask("viewer", "GET", "/v1/streams?order=id&limit=2&after="+after, "")
		if err := json.Unmarshal([]byte(body), &page); err != nil {
			t.Fatal(err)
		}
		for _, s := range page.Streams {
			seen = append(seen, s.ID)
		}
		if page.More == 0 {
			break
		}
		after = seen[len(seen)-1]
	}
	if strings.Join(seen, " ") != "all one two" {
		t.Error(seen)
	}
	for _, odd := range []string{"limit=0", "limit=10001", "limit=x", "order=size", "after=one", "colour=red", "state=a&state=b", "%zz"} {
		answer, body := d.ask("viewer", "GET", "/v1/streams?"+odd, "")
		d.problem(answer, body, CodeMalformed)
	}
}

func TestEventsAreFollowedLineByLine(t *testing.T) {
	d := newDesk(t)
	for kind, prefix := range map[string]string{"application/x-ndjson": "{", "text/event-stream": "data: {"} {
		ctx, stop := context.WithCancel(t.Context())
		r, err := http.NewRequestWithContext(ctx, "GET", d.http.URL+"/v1/tail", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer viewer")
		r.Header.Set("Accept", kind)
		answer, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		if got := answer.Header.Get("Content-Type"); got != kind {
			t.Errorf("%s as %s", kind, got)
		}
		in, n := bufio.NewScanner(answer.Body), 0
		for n < 3 && in.Scan() {
			if strings.HasPrefix(in.Text(), prefix) {
				n++
			}
			if strings.Contains(in.Text(), `"event":`) {
				t.Errorf("a viewer sees a payload: %s", in.Text())
			}
		}
		if n != 3 {
			t.Errorf("%d events, %v", n, in.Err())
		}
		stop()
		answer.Body.Close() //nolint:errcheck // given up
	}
	answer, body := d.ask("viewer", "GET", "/v1/tail?payload=true", "")
	d.problem(answer, body, CodeForbidden)
	_, body = d.ask("operator", "GET", "/v1/tail?payload=true&last=1", "")
	if lines := strings.Split(strings.TrimSpace(body), "\n"); len(lines) != 4 || !strings.Contains(lines[3], `{"error":{`) || !strings.Contains(lines[3], "Kafka has gone") {
		t.Errorf("%q", lines)
	}
}

func TestKafkaThatDoesNotAnswer(t *testing.T) {
	d := newDesk(t)
	d.few.fail = errors.New("dial tcp 10.1.2.3:9092: connection refused")
	answer, body := d.ask("viewer", "GET", "/v1/streams", "")
	if p := d.problem(answer, body, CodeUnavailable); !strings.Contains(p.Detail, "10.1.2.3") || answer.Header.Get("Retry-After") == "" {
		t.Errorf("%+v", p)
	}
	answer, body = d.ask("tenant", "GET", "/v1/streams", "")
	if p := d.problem(answer, body, CodeUnavailable); strings.Contains(p.Detail, "10.1.2.3") {
		t.Errorf("a tenant sees addresses: %+v", p)
	}
}

func TestAMistakeIsAnsweredAndLogged(t *testing.T) {
	d := newDesk(t)
	answer, body := d.ask("viewer", "GET", "/v1/topics", "")
	p := d.problem(answer, body, CodeInternal)
	if strings.Contains(body, "oh dear") {
		t.Error(body)
	}
	found := d.logs.FilterField(zap.String("panic", "oh dear")).All()
	if len(found) != 1 || found[0].ContextMap()["request"] != p.RequestID {
		t.Errorf("%+v", found)
	}
	if answer, _ := d.ask("viewer", "GET", "/v1/streams", ""); answer.StatusCode != 200 {
		t.Error(answer.StatusCode)
	}
}

func TestTheLogHasRequestsWithoutSecrets(t *testing.T) {
	d := newDesk(t)
	d.ask("operator", "POST", "/v1/streams/one/pause", `{"reason": "quiet-please"}`)
	d.ask("nobody-knows-this", "GET", "/v1/streams?state=in-the-query", "")
	d.ask("", "GET", "/v1/streams?access_token=in-the-address", "")
	logged := d.logs.FilterMessage("request").All()
	if len(logged) != 3 || logged[0].ContextMap()["caller"] != "ops" || logged[0].ContextMap()["route"] != "/v1/streams/{id}/pause" || logged[0].ContextMap()["status"] != int64(200) {
		t.Fatalf("%+v", logged)
	}
	for _, l := range logged {
		b, err := json.Marshal(l.ContextMap())
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{"nobody-knows-this", "in-the-query", "in-the-address", "quiet-please", "Bearer"} {
			if strings.Contains(string(b), secret) {
				t.Errorf("%s is in the log: %s", secret, b)
			}
		}
	}
}

func TestPublicKeysNeedNoTokenAndNoConsole(t *testing.T) {
	published := integrity.Published{Keys: []integrity.PublishedKey{{Key: "audit.example.com+1+A"}}, Statements: []string{}}
	console := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	for name, with := range map[string]http.Handler{"with a console": console, "without": nil} {
		t.Run(name, func(t *testing.T) {
			server := NewServer(Config{
				Service: &few{}, Identifier: &few{}, Log: zap.NewNop(), Tokens: known{}, Console: with,
				Keys: func(context.Context) (integrity.Published, error) { return published, nil },
			})
			answer := httptest.NewRecorder()
			server.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), "GET", integrity.WellKnown, nil))
			if answer.Code != 200 || !strings.Contains(answer.Body.String(), published.Keys[0].Key) {
				t.Errorf("%d %s", answer.Code, answer.Body)
			}
		})
	}
}
