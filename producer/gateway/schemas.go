package gateway

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/auditstream/auditstream/schema"
	"github.com/auditstream/auditstream/schema/catalogue"
	"github.com/auditstream/auditstream/schema/registry"
)

// Schemas are the schemas of actions that hold in the cluster.
type Schemas interface {
	// Known are all versions of all actions.
	Known(ctx context.Context) ([]KnownSchema, error)
	// Register makes a schema the latest version of its action, unless it is that already; by is
	// who wants it. Where it would break somebody it returns a *registry.BreakingError, unless
	// that is allowed.
	Register(ctx context.Context, by string, a *catalogue.Action, allowBreaking bool) (KnownSchema, registry.Registered, error)
}

// KnownSchema is a version of an action.
type KnownSchema struct {
	*catalogue.Action
	Created time.Time // zero: the binary has it
}

// created is when, as an answer says it: of what the binary has nobody asks when it was made.
func (k KnownSchema) created() string {
	if k.Created.IsZero() {
		return stamp(time.Unix(0, 0))
	}
	return stamp(k.Created)
}

// schemaAnswer is a version in WorkOS's form.
type schemaAnswer struct {
	Object    string          `json:"object"`
	Version   int             `json:"version"`
	Targets   []schemaTarget  `json:"targets"`
	Actor     schemaActor     `json:"actor"`
	Metadata  json.RawMessage `json:"metadata,omitempty"`
	CreatedAt string          `json:"created_at"`

	Builtin bool              `json:"builtin"`           // the binary has it
	Changes []registry.Change `json:"changes,omitempty"` // of an answer to a registration: since the version before
	Breaks  []string          `json:"breaks,omitempty"`  // whom these break
}

type schemaTarget struct {
	Type     string          `json:"type"`
	Metadata json.RawMessage `json:"metadata,omitempty"`
	Required bool            `json:"required,omitempty"`
	Named    bool            `json:"named,omitempty"`
}

type schemaActor struct {
	Metadata json.RawMessage `json:"metadata"`
}

// actionAnswer is an action in WorkOS's form.
type actionAnswer struct {
	Object    string       `json:"object"`
	Name      string       `json:"name"`
	Schema    schemaAnswer `json:"schema"` // the latest version
	CreatedAt string       `json:"created_at"`
	UpdatedAt string       `json:"updated_at"`
}

func schemaView(k KnownSchema) schemaAnswer {
	out := schemaAnswer{
		Object: "audit_log_schema", Version: k.Version, Targets: []schemaTarget{}, Actor: schemaActor{k.Actor},
		Metadata: k.Metadata, CreatedAt: k.created(), Builtin: k.Created.IsZero(),
	}
	if out.Actor.Metadata == nil {
		out.Actor.Metadata = json.RawMessage("{}") // it may be anything
	}
	for _, t := range k.Targets {
		out.Targets = append(out.Targets, schemaTarget{t.Type, t.Metadata, t.Required, t.Named})
	}
	return out
}

// versions are those of one action, the first one in front.
type versions []KnownSchema

func (v versions) view() any {
	latest := v[len(v)-1]
	return actionAnswer{
		Object: "audit_log_action", Name: latest.Name, Schema: schemaView(latest), CreatedAt: v[0].created(), UpdatedAt: latest.created(),
	}
}

// listActions is GET /audit_logs/actions: those that the key is for, in the order in which they
// were made.
func (r *request) listActions() error {
	p, err := r.page()
	if err != nil {
		return err
	}
	known, err := r.schemas()
	if err != nil {
		return err
	}
	byName := map[string]int{}
	var actions []versions
	for _, k := range known {
		if !r.caller.Does(k.Name) {
			continue
		}
		i, ok := byName[k.Name]
		if !ok {
			i = len(actions)
			byName[k.Name], actions = i, append(actions, nil)
		}
		actions[i] = append(actions[i], k)
	}
	for _, v := range actions {
		slices.SortFunc(v, func(a, b KnownSchema) int { return a.Version - b.Version })
	}
	slices.SortFunc(actions, func(a, b versions) int {
		return cmp.Or(a[0].Created.Compare(b[0].Created), strings.Compare(a[0].Name, b[0].Name))
	})
	l, err := paged(actions, func(v versions) string { return v[0].Name }, p, versions.view)
	if err != nil {
		return err
	}
	writeJSON(r.w, http.StatusOK, l)
	return nil
}

// listSchemas is GET /audit_logs/actions/{name}/schemas: all versions of one action.
func (r *request) listSchemas() error {
	p, err := r.page()
	if err != nil {
		return err
	}
	known, err := r.schemas()
	if err != nil {
		return err
	}
	name := r.PathValue("name")
	known = slices.DeleteFunc(slices.Clone(known), func(k KnownSchema) bool { return k.Name != name || !r.caller.Does(k.Name) })
	if len(known) == 0 {
		return Errorf(http.StatusNotFound, CodeNotFound, "Audit Log action not found: '%s'.", cut(name))
	}
	slices.SortFunc(known, func(a, b KnownSchema) int { return a.Version - b.Version })
	l, err := paged(known, func(k KnownSchema) string { return strconv.Itoa(k.Version) }, p, func(k KnownSchema) any { return schemaView(k) })
	if err != nil {
		return err
	}
	writeJSON(r.w, http.StatusOK, l)
	return nil
}

func (r *request) schemas() ([]KnownSchema, error) {
	if err := r.server.begun(); err != nil {
		return nil, err
	}
	known, err := r.server.cfg.Schemas.Known(r.Context())
	if err != nil {
		return nil, unavailable(CodeUnavailable, "Which schemas there are cannot be found out at the moment.", err)
	}
	return known, nil
}

// createSchema is POST /audit_logs/actions/{name}/schemas. With ?breaking=refuse a schema that
// breaks those who write or read events is refused; without, as with WorkOS, it is told.
func (r *request) createSchema() error {
	if err := r.server.begun(); err != nil {
		return err
	}
	if err := r.allowed(AllowSchemas); err != nil {
		return err
	}
	name := r.PathValue("name")
	if !slices.Contains(r.caller.Organizations, "*") || !r.caller.Does(name) {
		e := Errorf(http.StatusForbidden, CodeForbidden, "The API key does not allow this.")
		e.Remedy = "A schema holds for all organizations: it takes a key whose organizations are \"*\", and whose actions have this one among them."
		return e
	}
	refuse := false
	switch r.URL.Query().Get("breaking") {
	case "", "allow":
	case "refuse":
		refuse = true
	default:
		return invalid([]Detail{{Code: schema.CodeRange, Message: "must be allow or refuse", Field: "breaking"}})
	}
	text, err := r.body(typeJSON)
	if err != nil {
		return err
	}
	if err := r.weigh(text); err != nil {
		return err
	}
	a, err := readSchema(name, text)
	if err != nil {
		return err
	}
	known, done, err := r.server.cfg.Schemas.Register(r.Context(), r.caller.Name, a, !refuse)
	if broken, ok := errors.AsType[*registry.BreakingError](err); ok {
		e := Errorf(http.StatusConflict, CodeBreaking, "The schema breaks what version %d allows.", broken.Version)
		e.Remedy = "Leave out breaking=refuse to register it all the same."
		for _, c := range broken.Changes {
			if c.Breaks != registry.Nobody {
				e.Errors = append(e.Errors, Detail{Code: "breaks_" + c.Breaks, Message: c.Message, Pointer: c.Pointer})
			}
		}
		return e
	}
	if err != nil {
		if e, ok := errors.AsType[*Error](err); ok {
			return e
		}
		return unavailable(CodeUnavailable, "The schema cannot be registered at the moment.", err)
	}
	view := schemaView(known)
	for _, c := range done.Changes {
		view.Changes = append(view.Changes, c)
		if c.Breaks != registry.Nobody && !slices.Contains(view.Breaks, c.Breaks) {
			view.Breaks = append(view.Breaks, c.Breaks)
		}
	}
	writeJSON(r.w, http.StatusCreated, view)
	return nil
}

// readSchema reads {"targets": [{"type", "metadata"}], "actor": {"metadata"}, "metadata"}, the
// metadata being JSON Schemas.
func readSchema(name string, text []byte) (*catalogue.Action, error) {
	var details []Detail
	bad := func(code, field, message string) {
		details = append(details, Detail{Code: code, Message: message, Field: field, Pointer: "/" + strings.ReplaceAll(field, ".", "/")})
	}
	object := func(text []byte, field string) json.RawMessage {
		switch {
		case string(text) == "null":
			return nil
		case text[0] != '{':
			bad(schema.CodeType, field, "must be an object: a JSON Schema")
			return nil
		}
		return text
	}
	flag := func(text []byte, field string) bool {
		if s := string(text); s != "true" && s != "false" {
			bad(schema.CodeType, field, "must be true or false")
		}
		return string(text) == "true"
	}
	members, err := schema.Members(text)
	if found, ok := errors.AsType[schema.Violations](err); ok {
		return nil, unread(found, "")
	}
	a := &catalogue.Action{Name: name, Version: 1, Targets: []catalogue.Target{}}
	listed := false
	for _, m := range members {
		switch m.Name {
		case "metadata":
			a.Metadata = object(m.Value, m.Name)
		case "actor":
			if string(m.Value) == "null" {
				continue
			}
			inner, err := schema.Members(m.Value)
			if err != nil {
				bad(schema.CodeType, m.Name, "must be an object")
			}
			for _, i := range inner {
				if i.Name != "metadata" {
					bad(registry.CodeUnknownMember, "actor."+i.Name, "there is no such member here")
					continue
				}
				a.Actor = object(i.Value, "actor.metadata")
			}
		case "targets":
			listed = true
			var targets []json.RawMessage
			if json.Unmarshal(m.Value, &targets) != nil || targets == nil {
				bad(schema.CodeType, m.Name, "must be an array")
			}
			for i, text := range targets {
				field := "targets." + strconv.Itoa(i)
				inner, err := schema.Members(text)
				if err != nil {
					bad(schema.CodeType, field, "must be an object")
					continue
				}
				var t catalogue.Target
				for _, i := range inner {
					switch i.Name {
					case "type":
						if json.Unmarshal(i.Value, &t.Type) != nil {
							bad(schema.CodeType, field+".type", "must be a string")
						}
					case "metadata":
						t.Metadata = object(i.Value, field+".metadata")
					case "required":
						t.Required = flag(i.Value, field+".required")
					case "named":
						t.Named = flag(i.Value, field+".named")
					default:
						bad(registry.CodeUnknownMember, field+"."+i.Name, "there is no such member here")
					}
				}
				if t.Type == "" {
					bad(schema.CodeRequired, field+".type", schema.CodeRequired)
				}
				a.Targets = append(a.Targets, t)
			}
		default:
			bad(registry.CodeUnknownMember, m.Name, "there is no such member here")
		}
	}
	if !listed {
		bad(schema.CodeRequired, "targets", schema.CodeRequired)
	}
	if len(details) > 0 {
		return nil, invalid(details)
	}
	if err := sound(a); err != nil {
		bad(registry.CodeSchema, "", cut(err.Error()))
		return nil, invalid(details)
	}
	return a, nil
}

// sound says what is wrong with an action's name or schemas.
func sound(a *catalogue.Action) error {
	if err := a.Check(); err != nil {
		return err
	}
	only, err := catalogue.New([]*catalogue.Family{{Name: "new", Actions: []*catalogue.Action{a}}})
	if err != nil {
		return err
	}
	if _, err := registry.New(registry.Config{}, only); err != nil {
		return fmt.Errorf("no JSON Schema: %w", err)
	}
	return nil
}
