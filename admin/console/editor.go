package console

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/sinks"
)

// maxProblems bounds what is said about one draft.
const maxProblems = 30

// draftTime is how long a draft whose plan was shown can be applied. It may hold secrets: it
// is in memory only, and one of a session.
const draftTime = 10 * time.Minute

// draft is a stream's document whose plan was shown.
type draft struct {
	name     string // by which the form that applies it calls it
	id       string // of the stream
	document admin.Draft
	former   string // id of the stream that it changes; empty: it makes one

	organization string // as the form has it; of a document empty
	version      string // that the stream had
	at           time.Time
}

// edit is what the form of a stream's settings shows.
type edit struct {
	former   *admin.Stream // nil: a new one
	kind     kind
	whole    bool // the document as a whole
	document string

	organization, actions, filter, format, start string
	unproved                                     bool // its events are not to be numbered and chained
	mask                                         []maskRule
	settings                                     map[string]json.RawMessage
	more                                         string // settings that the form has no field for
}

func (e *edit) formerID() string {
	if e.former == nil {
		return ""
	}
	return e.former.ID
}

func (e *edit) version() string {
	if e.former == nil {
		return ""
	}
	return e.former.Version
}

func (e *edit) back() templ.SafeURL {
	if e.former == nil {
		return "/streams"
	}
	return streamURL(e.former.ID)
}

// value is a setting as a field holds it.
func (e *edit) value(name string) string {
	var s string
	if v, is := e.settings[name]; is && json.Unmarshal(v, &s) != nil {
		s = string(v)
	}
	return s
}

func (e *edit) secretHint(name string) string {
	if v := e.settings[name]; len(v) > 0 && bytes.Contains(v, []byte(`"sealed"`)) {
		return "there is one; empty keeps it"
	}
	return ""
}

func (v *visit) newPage() error {
	name := v.r.FormValue("kind")
	p := v.page("New stream", "Streams")
	if name == "" {
		return v.show(p, kindPage())
	}
	rules, err := rulesOf(nil)
	if err != nil {
		return err
	}
	e := &edit{format: "workos", start: "now", more: "{}", mask: rules}
	k, known := kindNamed(name)
	if e.kind = k; !known {
		e.whole, e.kind.name = true, ""
		e.document = "id: acme-splunk\norganization_id: org_…\nsplunk:\n  url: https://splunk.acme.example:8088\n  token: {value: …}\n"
	}
	return v.show(p, editor(p, e))
}

func (v *visit) editPage() error {
	s, err := v.named()
	if err != nil {
		return err
	}
	if s.Owner == "file" {
		return admin.CodeFileOwned.Errorf("stream %s stands in a configuration file, and its settings are changed there: whoever starts delivery with the file next would undo what is changed here. Pause, move and delete it as any other.", s.ID)
	}
	document, err := documentOf(s)
	if err != nil {
		return err
	}
	e := &edit{former: s, document: document, organization: s.OrganizationID, actions: strings.Join(s.Actions, ", "), filter: s.Filter, format: s.Format, start: s.Start, unproved: !s.Integrity}
	k, known := kindNamed(s.Kind)
	if e.kind, e.whole = k, v.r.FormValue("whole") == "yes"; !known {
		e.kind, e.whole = kind{}, true
	}
	if err := json.Unmarshal(s.Settings, &e.settings); err != nil {
		return err
	}
	rest := maps.Clone(e.settings)
	for _, f := range k.fields {
		delete(rest, f.name)
	}
	more, err := json.MarshalIndent(rest, "", "  ")
	if err != nil {
		return err
	}
	e.more = string(more)
	if e.mask, err = rulesOf(s.Mask); err != nil {
		return err
	}
	// A field cannot show what a document can escape.
	e.whole = e.whole || hides(string(s.Settings), string(s.Mask), s.OrganizationID, e.actions, s.Filter, s.Format, s.Start)
	p := v.page("Edit "+s.ID, "Streams")
	return v.show(p, editor(p, e))
}

// hides says whether a text has characters that would not be seen in a field.
func hides(texts ...string) bool {
	return slices.ContainsFunc(texts, func(t string) bool { return strings.ContainsFunc(t, unseen) })
}

// member is a member of a document, in the order in which people write them.
type member struct {
	name  string
	value any
}

// documentOf is a stream as its owner would write it, secrets as {sealed: true}.
func documentOf(s *admin.Stream) (string, error) {
	list := []member{{"id", s.ID}, {"organization_id", s.OrganizationID}}
	if len(s.Actions) > 0 {
		list = append(list, member{"actions", s.Actions})
	}
	if s.Filter != "" {
		list = append(list, member{"filter", s.Filter})
	}
	if len(s.Mask) > 0 {
		list = append(list, member{"mask", s.Mask})
	}
	if !s.Integrity {
		list = append(list, member{"integrity", false})
	}
	list = append(list, member{"format", s.Format}, member{"start", s.Start}, member{s.Kind, s.Settings})
	return document(list)
}

func document(list []member) (string, error) {
	var b bytes.Buffer
	b.WriteString("{")
	for i, m := range list {
		if i > 0 {
			b.WriteString(",")
		}
		name, err := json.Marshal(m.name)
		if err != nil {
			return "", err
		}
		value, err := json.Marshal(m.value)
		if err != nil {
			return "", err
		}
		b.Write(name)
		b.WriteString(":")
		b.Write(value)
	}
	b.WriteString("}")
	var out bytes.Buffer
	err := json.Indent(&out, b.Bytes(), "", "  ")
	return visible(out.String()), err
}

// draftOf is the document that the form makes.
func (v *visit) draftOf() (admin.Draft, error) {
	f := v.r.PostForm
	if d := f.Get("document"); d != "" {
		return admin.Draft(d), nil
	}
	k, known := kindNamed(f.Get("kind"))
	if !known {
		return nil, admin.CodeInvalid.Errorf("say which kind of destination the stream has")
	}
	settings := map[string]json.RawMessage{}
	if m := strings.TrimSpace(f.Get("more")); m != "" {
		if err := json.Unmarshal([]byte(m), &settings); err != nil {
			return nil, admin.CodeInvalid.Errorf("More settings: must be a JSON object: %v", err)
		}
	}
	kept := map[string]json.RawMessage{}
	id, former := f.Get("id"), f.Get("former")
	var s *admin.Stream
	if former != "" {
		var err error
		if s, err = v.service.Stream(v.r.Context(), former); err != nil {
			return nil, err
		}
		if err := json.Unmarshal(s.Settings, &kept); err != nil {
			return nil, err
		}
	}
	for _, field := range k.fields {
		value, err := field.of(f.Get("setting."+field.name), f.Get("secret."+field.name), kept[field.name])
		if err != nil {
			return nil, err
		}
		if value != nil {
			settings[field.name] = value
		}
	}
	list := []member{{"id", id}, {"organization_id", strings.TrimSpace(f.Get("organization_id"))}}
	var globs []string
	for a := range strings.SplitSeq(f.Get("actions"), ",") {
		if a = strings.TrimSpace(a); a != "" {
			globs = append(globs, a)
		}
	}
	if len(globs) > 0 {
		list = append(list, member{"actions", globs})
	}
	if filter := strings.TrimSpace(f.Get("filter")); filter != "" {
		list = append(list, member{"filter", filter})
	}
	var formerMask admin.Document
	if s != nil {
		formerMask = s.Mask
	}
	mask, err := maskFrom(f["mask.pointer"], f["mask.with"], f["mask.key"], formerMask)
	if err != nil {
		return nil, err
	}
	if len(mask) > 0 {
		list = append(list, member{"mask", mask})
	}
	switch f.Get("integrity") {
	case "true":
	case "false":
		list = append(list, member{"integrity", false})
	case "": // a page of an older version does not ask: what was set stays
		if s != nil && !s.Integrity {
			list = append(list, member{"integrity", false})
		}
	default:
		return nil, admin.CodeInvalid.Errorf("Proof: must be true or false")
	}
	list = append(list, member{"format", f.Get("format")})
	if start := strings.TrimSpace(f.Get("start")); start != "" {
		list = append(list, member{"start", start})
	}
	d, err := document(append(list, member{k.name, settings}))
	return admin.Draft(d), err
}

// of is the setting as the document has it; nil: it is left out. A secret that is not given
// stays what it is.
func (f field) of(setting, secret string, kept json.RawMessage) (json.RawMessage, error) {
	setting = strings.TrimSpace(setting)
	switch {
	case f.secret && secret == "":
		return kept, nil
	case f.secret && f.list:
		return json.Marshal([]map[string]string{{"value": secret}})
	case f.secret:
		return json.Marshal(map[string]string{"value": secret})
	case setting == "":
		return nil, nil
	case f.truth:
		if setting != "true" && setting != "false" {
			return nil, admin.CodeInvalid.Errorf("%s: must be true or false", f.label)
		}
		return json.RawMessage(setting), nil
	}
	return json.Marshal(setting)
}

// plan shows what a draft would do, and keeps it for the form that applies it.
func (v *visit) plan() error {
	fragment := v.r.Header.Get("HX-Request") != ""
	d, plan, err := v.planned()
	if wrong, is := errors.AsType[*admin.Error](err); is && fragment {
		write(v.w, v.r, http.StatusOK, draftWrong(wrong, v.fields())) // the form stays as it is
		return nil
	}
	if err != nil {
		return err
	}
	p := v.page("Plan for "+plan.ID, "Streams")
	if fragment {
		return v.write(planPart(p, d, plan))
	}
	return v.show(p, planPage(p, d, plan))
}

func (v *visit) planned() (*draft, *admin.Plan, error) {
	document, err := v.draftOf()
	if err != nil {
		return nil, nil, err
	}
	plan, err := v.service.PlanStream(v.r.Context(), document)
	if err != nil {
		return nil, nil, err
	}
	former := v.r.PostFormValue("former")
	switch {
	case former == "" && plan.Action != "create":
		return nil, nil, admin.CodeExists.Errorf("there is a stream %s already: edit that, or choose another id", plan.ID)
	case former != "" && plan.ID != former:
		return nil, nil, admin.CodeInvalid.Errorf("a stream keeps its id, %s: make another stream for another id", former)
	case former != "" && plan.Action == "create":
		return nil, nil, admin.CodeNotFound.Errorf("stream %s is there no more", former)
	}
	d := &draft{
		name: rand.Text(), id: plan.ID, organization: v.r.PostFormValue("organization_id"), document: document, former: former, version: v.r.PostFormValue("if"), at: time.Now(),
	}
	v.session.mu.Lock()
	v.session.draft = d
	v.session.mu.Unlock()
	return d, plan, nil
}

// drafted is the draft that a form names. With take it is the session's no more.
func (v *visit) drafted(take bool) (*draft, error) {
	name := v.r.PostFormValue("draft")
	v.session.mu.Lock()
	defer v.session.mu.Unlock()
	d := v.session.draft
	if d != nil && time.Since(d.at) > draftTime {
		d, v.session.draft = nil, nil
	}
	if d == nil || subtle.ConstantTimeCompare([]byte(name), []byte(d.name)) != 1 {
		return nil, admin.CodeConflict.Errorf("this plan is too old, or another was made since: show the plan again")
	}
	if take {
		v.session.draft = nil
	}
	return d, nil
}

func (v *visit) apply() error {
	d, err := v.drafted(true)
	if err != nil {
		return err
	}
	c := v.change()
	if d.former == "" {
		s, err := v.service.CreateStream(v.r.Context(), d.document, c)
		if err != nil {
			return err
		}
		return v.done(string(streamURL(s.ID)), outcome(s, "created"))
	}
	c.If = d.version
	s, err := v.service.UpdateStream(v.r.Context(), d.former, d.document, c)
	if err != nil {
		return err
	}
	return v.done(string(streamURL(s.ID)), outcome(s, "changed"))
}

func (v *visit) testDraft() error {
	d, err := v.drafted(false)
	if err != nil {
		return err
	}
	p := v.page("Test", "Streams")
	return v.tried(func(ctx context.Context, c admin.Change, step func(sinks.Step)) (string, error) {
		return v.service.TestDraft(ctx, d.document, c, step)
	}, func(t *trial) error { return v.show(p, draftTestPage(p, t)) })
}

// value is a setting in a plan.
func value(d admin.Document) string {
	if len(d) == 0 {
		return ""
	}
	return cell(setting(json.RawMessage(d)))
}

// wholeField is the id of the field of a whole document.
const wholeField = "document"

// fields are those of the form that was sent.
type fields struct {
	kind  string
	rules []int // the line of each rule of the mask: empty ones are no rules
}

func (v *visit) fields() fields {
	f := fields{kind: v.r.PostFormValue("kind")}
	for i, pointer := range v.r.PostForm["mask.pointer"] {
		if strings.TrimSpace(pointer) != "" {
			f.rules = append(f.rules, i)
		}
	}
	return f
}

// of is the id of the form's field that a JSON pointer into the document is about; empty
// where there is none.
func (f fields) of(pointer string) string {
	parts := strings.Split(strings.TrimPrefix(pointer, "/"), "/")
	k, known := kindNamed(f.kind)
	if !known {
		return wholeField
	}
	switch name := parts[0]; name {
	case "id", "format", "start", "actions", "filter", "integrity":
		return "f-" + name
	case "organization_id":
		return "f-organization"
	case "mask":
		line, field := 0, "pointer"
		if len(parts) > 1 {
			if n, err := strconv.Atoi(parts[1]); err == nil && 0 <= n && n < len(f.rules) {
				line = f.rules[n]
			}
		}
		if len(parts) > 2 {
			field = parts[2]
		}
		return fmt.Sprintf("m-%s-%d", field, line)
	case f.kind:
		for _, setting := range k.fields {
			if len(parts) > 1 && setting.name == parts[1] {
				return "s-" + setting.name
			}
		}
		return "more"
	}
	return ""
}
