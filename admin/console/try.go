package console

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/a-h/templ"

	"github.com/auditstream/auditstream/admin"
)

// maxEvent bounds an event that is tried, in bytes.
const maxEvent = 128 << 10

// attempt is an event that is tried on a stream, and what came of it.
type attempt struct {
	stream string       // id
	draft  string       // name of the draft that it is tried on; empty: the stream as it is
	event  string       // as it was written
	trial  *admin.Trial // nil: nothing was tried yet
}

// action is where the form of an attempt is sent.
func (a *attempt) action() templ.SafeURL {
	if a.draft != "" {
		return "/streams/try-draft"
	}
	return streamURL(a.stream, "try")
}

func (v *visit) tryPage() error {
	s, err := v.named()
	if err != nil {
		return err
	}
	p := v.page("Try "+s.ID, "Streams")
	return v.show(p, tryPage(p, &attempt{stream: s.ID, event: exampleFor(s.OrganizationID, s.Actions)}))
}

func (v *visit) try() error {
	a := &attempt{stream: v.r.PathValue("id"), event: lines(v.r.PostFormValue("event"))}
	return v.attempted(a, func() (*admin.Trial, error) {
		return v.service.TryStream(v.r.Context(), a.stream, []byte(a.event))
	})
}

// tryDraft tries an event on a draft whose plan was shown.
func (v *visit) tryDraft() error {
	d, err := v.drafted(false)
	if err != nil {
		return err
	}
	a := &attempt{stream: d.id, draft: d.name, event: lines(v.r.PostFormValue("event"))}
	if a.event == "" { // the plan's button: there is nothing to try yet
		a.event = exampleFor(d.organization, nil)
		p := v.page("Try "+a.stream, "Streams")
		return v.show(p, tryPage(p, a))
	}
	return v.attempted(a, func() (*admin.Trial, error) {
		return v.service.Try(v.r.Context(), d.document, []byte(a.event))
	})
}

func (v *visit) attempted(a *attempt, try func() (*admin.Trial, error)) error {
	if strings.TrimSpace(a.event) == "" {
		return admin.CodeInvalid.Errorf("there is no event: write one, as JSON")
	}
	if len(a.event) > maxEvent {
		return admin.CodeInvalid.Errorf("the event is larger than %d KiB", maxEvent>>10)
	}
	var err error
	if a.trial, err = try(); err != nil {
		return err
	}
	p := v.page("Try "+a.stream, "Streams")
	return v.show(p, tryPage(p, a))
}

// exampleFor is an event to begin with, that a stream would carry.
func exampleFor(organization string, actions []string) string {
	if organization == "" || organization == "*" {
		organization = "org_01JAAAAAAAAAAAAAAAAAAAAAAA"
	}
	action := "user.signed_in"
	if len(actions) > 0 {
		action = strings.ReplaceAll(actions[0], "*", "signed_in")
	}
	return fmt.Sprintf(`{
  "organization_id": %q,
  "action": %q,
  "occurred_at": %q,
  "actor": {"id": "user_1", "type": "user", "name": "Ada"},
  "targets": [{"id": "team_1", "type": "team"}],
  "context": {"location": "192.0.2.7"},
  "metadata": {}
}`, organization, action, time.Now().UTC().Format(time.RFC3339))
}

// would says whether the event of a trial would be sent.
func would(t *admin.Trial) bool {
	return len(t.Violations) == 0 && t.Route.Pass && (t.Filter == nil || t.Filter.Pass) && t.Refused == ""
}

// outcomeOf is what would become of the event, in words.
func outcomeOf(t *admin.Trial) string {
	switch {
	case len(t.Violations) > 0:
		return "Not sent: it is no valid event. " + t.Route.Why
	case t.Refused != "":
		return "Not sent: " + t.Refused
	case !t.Route.Pass:
		return "Not sent: the stream does not carry it. " + t.Route.Why
	case t.Filter != nil && !t.Filter.Pass:
		return "Not sent: the stream’s filter does not let it through."
	}
	return fmt.Sprintf("It would be sent, as %s before compression.", plural(int64(len(t.Bytes)), "byte", "bytes"))
}

// requestOf is the request that would be made, as text.
func requestOf(t *admin.Trial) string {
	var b strings.Builder
	if t.Method != "" {
		fmt.Fprintf(&b, "%s %s\n", t.Method, t.URL)
	}
	for _, name := range slices.Sorted(maps.Keys(t.Headers)) {
		fmt.Fprintf(&b, "%s: %s\n", name, t.Headers[name])
	}
	if b.Len() > 0 {
		b.WriteString("\n")
	}
	if t.Text == "" && len(t.Bytes) > 0 {
		fmt.Fprintf(&b, "(%s that are no text)", plural(int64(len(t.Bytes)), "byte", "bytes"))
	}
	b.WriteString(t.Text)
	return plain(b.String(), maxBody)
}
