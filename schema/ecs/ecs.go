// Package ecs writes audit events as the Elastic Common Schema has them.
//
// Categories and types stand in the catalogue, with the action. What ECS has no field for
// is in auditstream.*, under the names of the audit event: map auditstream.metadata,
// auditstream.actor.metadata and auditstream.targets as flattened, because events of
// different actions may have members of one name and different types.
package ecs

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/auditstream/auditstream/schema"
	"github.com/auditstream/auditstream/schema/catalogue"
)

// Version is the version of ECS that events are written in.
const Version = "8.17.0"

// Config says how events are written.
type Config struct {
	// Action finds what is known of an action in a version, 0 being the latest; nil knows
	// nothing. Its answers are not changed.
	Action func(name string, version int) *catalogue.Action
}

// Format writes audit events as ECS. It may be used by many goroutines at once.
type Format struct {
	action func(name string, version int) *catalogue.Action
}

// New makes a Format.
func New(c Config) *Format {
	if c.Action == nil {
		c.Action = func(string, int) *catalogue.Action { return nil }
	}
	return &Format{c.Action}
}

// document is an event of ECS, its members in the order of their names.
type document struct {
	Timestamp    string        `json:"@timestamp"`
	Auditstream  own           `json:"auditstream"`
	ECS          ecsVersion    `json:"ecs"`
	Error        *failure      `json:"error,omitempty"`
	Event        event         `json:"event"`
	Group        *group        `json:"group,omitempty"`
	Message      string        `json:"message"`
	Organization *organization `json:"organization,omitempty"`
	Related      related       `json:"related,omitzero"`
	Source       *source       `json:"source,omitempty"`
	User         *user         `json:"user,omitempty"`
	UserAgent    *userAgent    `json:"user_agent,omitempty"`
}

// own are the members of the audit event that ECS has no field for.
type own struct {
	Actor    party                      `json:"actor"`
	Context  map[string]any             `json:"context,omitempty"`
	Extra    map[string]json.RawMessage `json:"extra,omitempty"`
	Metadata map[string]any             `json:"metadata,omitempty"`
	Targets  []party                    `json:"targets,omitempty"`
	Version  *int                       `json:"version,omitempty"`
}

type party struct {
	Extra    map[string]json.RawMessage `json:"extra,omitempty"`
	ID       string                     `json:"id,omitempty"`
	Metadata map[string]any             `json:"metadata,omitempty"`
	Name     string                     `json:"name,omitempty"`
	Type     string                     `json:"type,omitempty"`
}

type ecsVersion struct {
	Version string `json:"version"`
}

type failure struct {
	Code    string `json:"code,omitempty"`
	Message string `json:"message,omitempty"`
}

type event struct {
	Action   string   `json:"action"`
	Category []string `json:"category"`
	Dataset  string   `json:"dataset"`
	ID       string   `json:"id,omitempty"`
	Kind     string   `json:"kind"`
	Module   string   `json:"module"`
	Outcome  string   `json:"outcome"`
	Provider string   `json:"provider,omitempty"`
	Reason   string   `json:"reason,omitempty"`
	Severity int      `json:"severity"`
	Type     []string `json:"type"`
}

type group struct {
	ID   string `json:"id,omitempty"`
	Name string `json:"name,omitempty"`
}

type organization struct {
	ID   string `json:"id,omitempty"`
	Name string `json:"name,omitempty"`
}

type related struct {
	IP   []string `json:"ip,omitempty"`
	User []string `json:"user,omitempty"`
}

type source struct {
	Address string `json:"address"`
	IP      string `json:"ip,omitempty"`
}

type user struct {
	Email  string `json:"email,omitempty"`
	ID     string `json:"id,omitempty"`
	Name   string `json:"name,omitempty"`
	Target *user  `json:"target,omitempty"` // whom it was done to
}

type userAgent struct {
	Original string `json:"original"`
}

// Append appends e as one JSON object in canonical form (RFC 8785) to dst and returns the longer
// slice. An event whose occurred_at is no time is refused with [schema.Violations], with
// dst as it was.
func (f *Format) Append(dst []byte, e *schema.Event) ([]byte, error) {
	at, ok := e.Time()
	if !ok {
		return dst, schema.Violations{{Pointer: "/occurred_at", Code: schema.CodeFormat, Message: "is no RFC 3339 date-time, so ECS has no @timestamp for the event"}}
	}
	doc := f.document(e, at)
	out := bytes.NewBuffer(dst)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(&doc); err != nil {
		return dst, err
	}
	return schema.Respell(out.Bytes()[:out.Len()-len("\n")], len(dst)), nil
}

func (f *Format) document(e *schema.Event, at time.Time) document {
	action := catalogue.Find(f.action, e)
	doc := document{
		Timestamp: at.UTC().Format("2006-01-02T15:04:05.000Z"),
		ECS:       ecsVersion{Version},
		Message:   e.Action,
		Auditstream: own{
			Actor: everything(&e.Actor), Extra: e.Extra, Metadata: e.Metadata, Version: e.Version,
		},
		User: person(&e.Actor),
	}
	if action != nil && action.Title != "" {
		doc.Message = action.Title
	}
	doc.Event = eventOf(e, action)
	if e.OrganizationID != "" {
		doc.Organization = &organization{ID: e.OrganizationID}
	}
	if doc.Event.Outcome == string(catalogue.Failure) {
		doc.fail(e)
	}
	doc.place(e.Context)
	doc.targets(e)
	doc.relate()
	return doc
}

func eventOf(e *schema.Event, action *catalogue.Action) event {
	out := event{
		Action: e.Action, Dataset: "auditstream.audit", ID: e.ID, Kind: "event", Module: "auditstream",
		Outcome:  string(catalogue.OutcomeOf(action, e.Metadata)),
		Severity: slices.Index(catalogue.Severities(), catalogue.SeverityOf(action)) + 1,
	}
	if action != nil {
		out.Provider = action.Family
	}
	if action != nil && action.ECS != nil {
		out.Category, out.Type = action.ECS.Category, action.ECS.Type
		return out
	}
	out.Category, out.Type = []string{"iam"}, []string{fallbackType(e.Action)}
	return out
}

// fallbackType is the event.type of an action without a mapping, by its verb.
func fallbackType(action string) string {
	switch catalogue.VerbOf(action) {
	case catalogue.VerbCreate:
		return "creation"
	case catalogue.VerbDelete:
		return "deletion"
	case catalogue.VerbUpdate, catalogue.VerbEnable, catalogue.VerbDisable, catalogue.VerbActivate, catalogue.VerbDeactivate:
		return "change"
	case catalogue.VerbRead, catalogue.NoVerb:
	}
	return "info"
}

func (d *document) fail(e *schema.Event) {
	text := func(name string) string {
		s, _ := e.Metadata[name].(string)
		return s
	}
	f := failure{Code: text("error_code"), Message: text("error_message")}
	if f != (failure{}) {
		d.Error = &f
	}
	d.Event.Reason = text("reason")
}

func (d *document) place(c *schema.Context) {
	if c == nil {
		return
	}
	if c.Location != "" {
		d.Source = &source{Address: c.Location}
		if ip, err := netip.ParseAddr(c.Location); err == nil && ip.Zone() == "" {
			d.Source.IP = c.Location
		}
	}
	if c.UserAgent != "" {
		d.UserAgent = &userAgent{Original: c.UserAgent}
	}
	for name, value := range c.Extra {
		if d.Auditstream.Context == nil {
			d.Auditstream.Context = map[string]any{}
		}
		d.Auditstream.Context[name] = value
	}
}

// targets keeps all targets, and gives the first user, group and organization among them
// their fields.
func (d *document) targets(e *schema.Event) {
	for i := range e.Targets {
		t := &e.Targets[i]
		d.Auditstream.Targets = append(d.Auditstream.Targets, everything((*schema.Actor)(t)))
		switch {
		case strings.HasSuffix(t.Type, "user"):
			u := person((*schema.Actor)(t))
			if u == nil {
				continue
			}
			if d.User == nil {
				d.User = &user{}
			}
			if d.User.Target == nil {
				d.User.Target = u
			}
		case strings.HasSuffix(t.Type, "group") && d.Group == nil && (t.ID != "" || t.Name != ""):
			d.Group = &group{ID: t.ID, Name: t.Name}
		case t.Type == "organization" && d.Organization != nil && d.Organization.ID == t.ID && d.Organization.Name == "":
			d.Organization.Name = t.Name
		}
	}
}

// relate gathers everything that somebody may search a user or an address by.
func (d *document) relate() {
	var users []string
	if u := d.User; u != nil {
		users = append(users, u.ID, u.Name, u.Email)
		if u := u.Target; u != nil {
			users = append(users, u.ID, u.Name, u.Email)
		}
	}
	slices.Sort(users)
	d.Related.User = slices.DeleteFunc(slices.Compact(users), func(s string) bool { return s == "" })
	if d.Source != nil && d.Source.IP != "" {
		d.Related.IP = []string{d.Source.IP}
	}
}

// person is an actor or target as a user; nil if it has nothing that a user has.
func person(a *schema.Actor) *user {
	u := user{ID: a.ID, Name: a.Name}
	u.Email, _ = a.Metadata["email"].(string)
	if u == (user{}) {
		return nil
	}
	return &u
}

func everything(a *schema.Actor) party {
	return party{ID: a.ID, Type: a.Type, Name: a.Name, Metadata: a.Metadata, Extra: a.Extra}
}
