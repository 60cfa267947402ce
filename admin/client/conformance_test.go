package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/admin/admintest"
	"github.com/auditstream/auditstream/admin/client"
	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/consumer/deadletter"
	"github.com/auditstream/auditstream/sinks"
)

// callers are tokens of every role, and one that is confined.
type callers map[string]admin.Caller

func (c callers) Caller(token string) (admin.Caller, error) {
	found, ok := c[token]
	if !ok {
		return found, admin.CodeUnauthenticated.Errorf("the token is not valid")
	}
	return found, nil
}

func tokens() callers {
	return callers{
		"viewer":   {Name: "viewer", Role: admin.RoleViewer},
		"operator": {Name: "operator", Role: admin.RoleOperator},
		"admin":    {Name: "admin", Role: admin.RoleAdmin},
		"tenant":   {Name: "tenant", Role: admin.RoleAdmin, Organizations: []string{admintest.Acme}},
	}
}

// over is a client of a server of a service.
func over(t *testing.T, s *admintest.Service, token string) admin.Service {
	t.Helper()
	server := httptest.NewServer(described(t, admin.NewServer(admin.Config{Service: s, Identifier: s, Tokens: tokens(), Log: zap.NewNop()})))
	t.Cleanup(server.Close)
	c, err := client.New(client.Config{URL: server.URL, Token: func(context.Context) (string, error) { return token, nil }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// what varies from one world to the next: times, and what is made at random.
var varies = regexp.MustCompile(`\d{4}-\d\d-\d\dT[0-9:.]+(Z|[+-]\d\d:\d\d)|job_[A-Z0-9]+`)

// said is an outcome as text.
func said(t *testing.T, out any, err error) string {
	t.Helper()
	b, marshalled := json.Marshal(out)
	if marshalled != nil {
		t.Fatal(marshalled)
	}
	text := string(b)
	if err != nil {
		if e, ok := errors.AsType[*admin.Error](err); ok {
			text = fmt.Sprintf("%s: %s %v", e.Code, e.Message, e.Problems)
		} else {
			text = fmt.Sprintf("%s: %s []", admin.CodeUnavailable, err)
		}
	}
	return varies.ReplaceAllString(text, "*")
}

// calls is one call of each method and more, each with what it returns.
func calls(ctx context.Context, s admin.Service) map[string]func() (any, error) {
	reason := admin.Change{Reason: "a <reason> & more"}
	draft := admin.Draft(`{"id": "acme-new", "organization_id": "` + admintest.Acme + `", "splunk": {"url": "https://splunk.acme.example:8088", "token": {"value": "hunter2"}}}`)
	at := func(p int32, o int64) deadletter.Position { return deadletter.Position{Partition: p, Offset: o} }
	first := func() deadletter.Position {
		list, err := s.DeadLetters(ctx, deadletter.Query{State: deadletter.Open, Limit: 100})
		if err != nil || len(list.Letters) == 0 {
			return at(0, 0)
		}
		return list.Letters[0].Position
	}
	job := func() string {
		list, err := s.Jobs(ctx)
		if err != nil || len(list) == 0 {
			return "job_none"
		}
		return list[0].UID
	}
	now := time.Now()
	from := now.Add(-time.Hour)
	steps := func(run func(func(sinks.Step)) (string, error)) (any, error) {
		var names []any
		id, err := run(func(s sinks.Step) {
			names = append(names, s.Name, s.Detail, s.Took, s.Sent, s.Answer, fmt.Sprint(s.Err), sinks.ClassOf(s.Err))
		})
		if err != nil {
			_, its := errors.AsType[*admin.Error](err)
			names = append(names, "failed", its, sinks.ClassOf(err).String(), err.Error())
			if !its {
				err = nil
			}
		}
		return []any{id, names}, err
	}
	return map[string]func() (any, error){
		"Streams":                  func() (any, error) { return s.Streams(ctx) },
		"Stream":                   func() (any, error) { return s.Stream(ctx, "acme-splunk") },
		"Stream of another":        func() (any, error) { return s.Stream(ctx, "globex-datadog") },
		"Stream of all":            func() (any, error) { return s.Stream(ctx, "everyone-archive") },
		"Stream that is not there": func() (any, error) { return s.Stream(ctx, "no-such") },
		"Stream without a name":    func() (any, error) { return s.Stream(ctx, "a b%2e?x=1#y/z") },
		"History":                  func() (any, error) { return s.History(ctx, "acme-splunk") },
		"History of all":           func() (any, error) { return s.History(ctx, "") },
		"CreateStream":             func() (any, error) { return s.CreateStream(ctx, draft, reason) },
		"CreateStream, wrong": func() (any, error) {
			return s.CreateStream(ctx, admin.Draft(`{"splunk": {}, "organization_id": "`+admintest.Acme+`"}`), reason)
		},
		"CreateStream, of another": func() (any, error) {
			return s.CreateStream(ctx, admin.Draft(`{"id": "x", "organization_id": "`+admintest.Globex+`", "splunk": {}}`), reason)
		},
		"UpdateStream":                        func() (any, error) { return s.UpdateStream(ctx, "acme-splunk", draft, reason) },
		"UpdateStream, changed":               func() (any, error) { return s.UpdateStream(ctx, "acme-splunk", draft, admin.Change{If: "str_X.1"}) },
		"UpdateStream of another, a file's":   func() (any, error) { return s.UpdateStream(ctx, "globex-datadog", draft, reason) },
		"PlanStream":                          func() (any, error) { return s.PlanStream(ctx, draft) },
		"PlanStream, no document":             func() (any, error) { return s.PlanStream(ctx, admin.Draft("id: [")) },
		"PauseStream":                         func() (any, error) { return s.PauseStream(ctx, "acme-splunk", reason) },
		"PauseStream, changed":                func() (any, error) { return s.PauseStream(ctx, "acme-splunk", admin.Change{If: "str_X.1"}) },
		"ResumeStream":                        func() (any, error) { return s.ResumeStream(ctx, "acme-webhook", reason) },
		"ResumeStream of another, not paused": func() (any, error) { return s.ResumeStream(ctx, "globex-files", reason) },
		"DeleteStream":                        func() (any, error) { return s.DeleteStream(ctx, "acme-webhook", false, reason) },
		"DeleteStream of another, drained":    func() (any, error) { return s.DeleteStream(ctx, "globex-files", true, reason) },
		"PlanSkip":                            func() (any, error) { return s.PlanSkip(ctx, "acme-splunk", admin.Target{Now: true}) },
		"ReportStream":                        func() (any, error) { return s.ReportStream(ctx, "acme-splunk", admin.ReportQuery{}) },
		"ReportStream of another":             func() (any, error) { return s.ReportStream(ctx, "globex-files", admin.ReportQuery{From: from}) },
		"ReportStream, a time": func() (any, error) {
			return s.ReportStream(ctx, "acme-splunk", admin.ReportQuery{From: from, To: now, Within: 10})
		},
		"SkipStream": func() (any, error) { return s.SkipStream(ctx, "acme-splunk", admin.Target{Beginning: true}, reason) },
		"TestStream": func() (any, error) {
			return steps(func(f func(sinks.Step)) (string, error) { return s.TestStream(ctx, "acme-splunk", reason, f) })
		},
		"TestStream, none": func() (any, error) {
			return steps(func(f func(sinks.Step)) (string, error) { return s.TestStream(ctx, "no-such", reason, f) })
		},
		"TestDraft": func() (any, error) {
			return steps(func(f func(sinks.Step)) (string, error) { return s.TestDraft(ctx, draft, reason, f) })
		},
		"Try": func() (any, error) {
			return s.Try(ctx, draft, []byte(` {"id":"a","action":"x","organization_id":"o","occurred_at":"2026-11-22T10:00:00Z"} `))
		},
		"Try, no text": func() (any, error) { return s.Try(ctx, draft, []byte("\xff\x00")) },
		"TryStream": func() (any, error) {
			return s.TryStream(ctx, "acme-splunk", []byte(` {"id":"a","action":"x","organization_id":"o","occurred_at":"2026-11-22T10:00:00Z"} `))
		},
		"TryStream, no text":    func() (any, error) { return s.TryStream(ctx, "acme-splunk", []byte("\xff\x00")) },
		"TryStream, of another": func() (any, error) { return s.TryStream(ctx, "globex-datadog", []byte("{}")) },
		"Explain":               func() (any, error) { return s.Explain(ctx, admin.ExplainQuery{EventID: "audit_event_x", Since: from}) },
		"Explain, of another": func() (any, error) {
			return s.Explain(ctx, admin.ExplainQuery{EventID: "audit_event_x", Organization: admintest.Globex})
		},
		"DeadLetters": func() (any, error) { return s.DeadLetters(ctx, deadletter.Query{Limit: 100}) },
		"DeadLetters, chosen": func() (any, error) {
			return s.DeadLetters(ctx, deadletter.Query{Stream: "acme-splunk", Class: "rejected", State: deadletter.Open, Limit: 2})
		},
		"DeadLetter":               func() (any, error) { return s.DeadLetter(ctx, first()) },
		"DeadLetter, none":         func() (any, error) { return s.DeadLetter(ctx, at(4711, 4711)) },
		"DiscardDeadLetters":       func() (any, error) { return s.DiscardDeadLetters(ctx, []deadletter.Position{first()}, reason) },
		"DiscardDeadLetters, none": func() (any, error) { return s.DiscardDeadLetters(ctx, []deadletter.Position{at(4711, 4711)}, reason) },
		"PlanReplay":               func() (any, error) { return s.PlanReplay(ctx, admin.Replay{Stream: "acme-splunk", From: &from}) },
		"PlanReplay, offsets": func() (any, error) {
			return s.PlanReplay(ctx, admin.Replay{Stream: "acme-splunk", Offsets: []consumer.Range{{Partition: 1, From: 2, To: 3}}})
		},
		"PlanRedrive": func() (any, error) { return s.PlanRedrive(ctx, admin.Redrive{Stream: "acme-splunk"}) },
		"StartReplay": func() (any, error) {
			return s.StartReplay(ctx, admin.Replay{Stream: "acme-splunk", From: &from, Rate: 10}, reason)
		},
		"StartReplay, of another": func() (any, error) {
			return s.StartReplay(ctx, admin.Replay{Stream: "globex-files", From: &from}, reason)
		},
		"StartRedrive": func() (any, error) {
			return s.StartRedrive(ctx, admin.Redrive{Stream: "acme-splunk", Letters: []deadletter.Position{first()}}, reason)
		},
		"Jobs":         func() (any, error) { return s.Jobs(ctx) },
		"Job":          func() (any, error) { return s.Job(ctx, job()) },
		"Job, none":    func() (any, error) { return s.Job(ctx, "job_none") },
		"StopJob":      func() (any, error) { return s.StopJob(ctx, job(), reason) },
		"ResumeJob":    func() (any, error) { return s.ResumeJob(ctx, job(), reason) },
		"ForgetJob":    func() (any, error) { return nil, s.ForgetJob(ctx, job(), reason) },
		"Schemas":      func() (any, error) { return s.Schemas(ctx) },
		"Schema":       func() (any, error) { return s.Schema(ctx, "user.invite", 0) },
		"Schema, none": func() (any, error) { return s.Schema(ctx, "no.such", 3) },
		"Topics":       func() (any, error) { return s.Topics(ctx) },
		"Tail": func() (any, error) {
			var seen []admin.TailEvent
			enough := errors.New("enough")
			err := s.Tail(ctx, admin.TailQuery{Last: 1000, Organization: admintest.Acme}, func(e admin.TailEvent) error {
				if seen = append(seen, e); len(seen) == 1 {
					return enough
				}
				return nil
			})
			if errors.Is(err, enough) {
				err = nil
			}
			return seen, err
		},
		"Tail with payloads": func() (any, error) {
			return nil, s.Tail(ctx, admin.TailQuery{Last: 1000, Payload: true, Organization: admintest.Acme}, func(e admin.TailEvent) error {
				return admin.CodeConflict.Errorf("seen: %s", e.Event)
			})
		},
	}
}

// The same calls give the same, in the process and over HTTP, for every caller.
func TestTheClientIsTheServiceItself(t *testing.T) {
	covered := map[string]bool{}
	for token, caller := range tokens() {
		for name := range calls(t.Context(), nil) {
			covered[regexp.MustCompile(`^\w+`).FindString(name)] = true
			t.Run(token+"/"+name, func(t *testing.T) {
				here := admintest.World()
				want, wantErr := calls(t.Context(), admin.Confine(here, here, caller))[name]()
				if text := said(t, want, wantErr); token == "tenant" && !strings.Contains(name, " of a") && regexp.MustCompile(`(?i)globex|everyone-archive|hunter2`).MatchString(text) {
					t.Errorf("a tenant sees what is another's: %s", text)
				}
				there := admintest.World()
				got, gotErr := calls(t.Context(), over(t, there, token))[name]()
				if diff := cmp.Diff(said(t, want, wantErr), said(t, got, gotErr)); diff != "" {
					t.Errorf("(-in the process +over HTTP):\n%s", diff)
				}
				if diff := cmp.Diff(here.Deeds(), there.Deeds(), cmp.Transformer("varies", func(s string) string { return varies.ReplaceAllString(s, "*") })); diff != "" {
					t.Errorf("what was done (-in the process +over HTTP):\n%s", diff)
				}
			})
		}
	}
	for m := range reflect.TypeFor[admin.Service]().Methods() {
		if !covered[m.Name] {
			t.Errorf("%s is not called", m.Name)
		}
	}
}

func TestAFailedTestKeepsItsClass(t *testing.T) {
	s := admintest.World()
	s.FailTests(&sinks.Error{Class: sinks.Misconfigured, Status: 403, Answer: "Invalid token", Err: errors.New("Splunk refuses the token")})
	for token, text := range map[string]string{"operator": "Splunk refuses the token", "tenant": "the destination refuses the credentials or a setting"} {
		var last sinks.Step
		_, err := over(t, s, token).TestStream(t.Context(), "acme-splunk", admin.Change{}, func(s sinks.Step) { last = s })
		if err == nil || sinks.ClassOf(err) != sinks.Misconfigured || !regexp.MustCompile(text).MatchString(err.Error()) {
			t.Errorf("%s: %v", token, err)
		}
		if sinks.ClassOf(last.Err) != sinks.Misconfigured || token == "tenant" && (last.Answer != "" || last.Detail != "" || last.Sent != "") {
			t.Errorf("%s: %+v", token, last)
		}
	}
}

func TestWhatIsNoServerOfOurs(t *testing.T) {
	for _, url := range []string{"", "splunk", "ftp://a", "https://a/b", "https://u:p@a", "https://a?token=x", "http://auditstream.example:8082"} {
		if _, err := client.New(client.Config{URL: url}); err == nil {
			t.Errorf("%q is taken for a server", url)
		}
	}
	if _, err := client.New(client.Config{URL: "http://auditstream.example:8082", Insecure: true}); err != nil {
		t.Error(err)
	}
	if _, err := client.New(client.Config{URL: "http://[::1]:8082/"}); err != nil {
		t.Error(err)
	}
}
