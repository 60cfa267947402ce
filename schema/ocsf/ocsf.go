// Package ocsf writes audit events as the Open Cybersecurity Schema Framework has them.
//
// Which class an event becomes stands in the catalogue, with its action. What the
// catalogue does not know, and what lacks something that its class requires, becomes
// Entity Management (3004). Nothing is left out: what OCSF has no place for is in unmapped,
// under the names of the audit event.
package ocsf

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/auditstream/auditstream/schema"
	"github.com/auditstream/auditstream/schema/catalogue"
)

// Config says how events are written.
type Config struct {
	// Version is the version of OCSF, one of Versions; empty: DefaultVersion.
	Version string
	// Action finds what is known of an action in a version, 0 being the latest; nil knows
	// nothing. Its answers are not changed.
	Action func(name string, version int) *catalogue.Action
}

// Format writes audit events as OCSF. It may be used by many goroutines at once.
type Format struct {
	version string
	action  func(name string, version int) *catalogue.Action
}

// New makes a Format.
func New(c Config) (*Format, error) {
	if c.Version == "" {
		c.Version = DefaultVersion
	}
	if !slices.Contains(Versions(), c.Version) {
		return nil, fmt.Errorf("OCSF version %q is unknown; there are: %s", c.Version, strings.Join(Versions(), ", "))
	}
	if c.Action == nil {
		c.Action = func(string, int) *catalogue.Action { return nil }
	}
	return &Format{c.Version, c.Action}, nil
}

// Version is the version of OCSF that events are written in.
func (f *Format) Version() string { return f.version }

// Append appends e as one JSON object in canonical form (RFC 8785) to dst and returns the
// longer slice. What Map refuses is refused, with dst as it was.
func (f *Format) Append(dst []byte, e *schema.Event) ([]byte, error) {
	return f.AppendNumbered(dst, e, 0)
}

// AppendNumbered is Append for an event that has a number in its feed, which OCSF has as
// metadata.sequence; 0: it has none.
func (f *Format) AppendNumbered(dst []byte, e *schema.Event, number int64) ([]byte, error) {
	event, err := f.Map(e)
	if err != nil {
		return dst, err
	}
	event.Metadata.Sequence = number
	out := bytes.NewBuffer(dst)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(event); err != nil {
		return dst, err
	}
	return schema.Respell(out.Bytes()[:out.Len()-len("\n")], len(dst)), nil
}

// Map makes the OCSF event of e. One whose occurred_at is no time is refused with
// [schema.Violations].
func (f *Format) Map(e *schema.Event) (*Event, error) {
	at, ok := e.Time()
	if !ok {
		return nil, schema.Violations{{Pointer: "/occurred_at", Code: schema.CodeFormat, Message: "is no RFC 3339 date-time, so OCSF has no time for the event"}}
	}
	action := catalogue.Find(f.action, e)
	m := mapping{event: e, action: action, out: &Event{
		Actor:        Actor{User: actorUser(&e.Actor)},
		CategoryName: categoryName,
		CategoryUID:  categoryUID,
		Message:      e.Action,
		Metadata: Metadata{
			EventCode:    e.Action,
			OriginalTime: e.OccurredAt,
			Product:      Product{Name: "auditstream", VendorName: "auditstream"},
			TenantUID:    e.OrganizationID,
			UID:          e.ID,
			Version:      f.version,
		},
		Time: at.UnixMilli(),
	}}
	if action != nil && action.Title != "" {
		m.out.Message = action.Title
	}
	m.context()
	m.status()
	m.severity()
	m.classify(f.version)
	m.unmapped()
	return m.out, nil
}

// mapping is the making of one event.
type mapping struct {
	event  *schema.Event
	action *catalogue.Action // nil if it is not known
	out    *Event
}

func (m *mapping) context() {
	c := m.event.Context
	if c == nil {
		return
	}
	if isAddress(c.Location) {
		m.out.SrcEndpoint = &Endpoint{IP: c.Location}
	}
	if c.UserAgent != "" {
		m.out.HTTPRequest = &HTTPRequest{UserAgent: c.UserAgent}
	}
}

// isAddress says whether text is an IP address. One with a zone is for a single machine
// only, and not what OCSF takes for an address.
func isAddress(text string) bool {
	ip, err := netip.ParseAddr(text)
	return err == nil && ip.Zone() == ""
}

func (m *mapping) status() {
	out := m.out
	switch catalogue.OutcomeOf(m.action, m.event.Metadata) {
	case catalogue.Success:
		out.StatusID, out.Status = 1, "Success"
	case catalogue.Failure:
		out.StatusID, out.Status = 2, "Failure"
		out.StatusCode = m.metadata("error_code")
		for _, name := range []string{"reason", "error_message", "error_reason", "error_code"} {
			if out.StatusDetail = m.metadata(name); out.StatusDetail != "" {
				break
			}
		}
	case catalogue.Unknown:
		out.StatusID, out.Status = 0, "Unknown"
	}
}

func (m *mapping) severity() {
	severity := catalogue.SeverityOf(m.action)
	m.out.SeverityID = slices.Index(catalogue.Severities(), severity) + 1
	m.out.Severity = strings.ToUpper(string(severity[:1])) + string(severity[1:])
}

// classify gives the event its class, or Entity Management if it lacks what that requires.
func (m *mapping) classify(version string) {
	var rules catalogue.OCSF
	k := fallback(m.event.Action)
	if m.action != nil && m.action.OCSF != nil {
		rules = *m.action.OCSF
		k = kindOf(&rules, version)
	}
	subject := m.target(rules.Subject)
	if !m.fill(k.class, &rules, subject) {
		// The activity of another class has no number here, but it keeps its name.
		k = kind{EntityManagement, other, k.name}
		m.out.Entity = m.entity(subject)
	}
	out := m.out
	out.ClassUID, out.ClassName = k.class, className(k.class)
	out.ActivityID, out.ActivityName = k.activity, k.name
	out.TypeUID = k.class*100 + k.activity
	out.TypeName = out.ClassName + ": " + k.name
}

// fill sets what the class requires, or reports that the event does not have it.
func (m *mapping) fill(class int, rules *catalogue.OCSF, subject *schema.Target) bool {
	out := m.out
	switch class {
	case AccountChange:
		out.User = m.user(subject)
	case Authentication:
		out.User = m.user(subject)
		out.Service = &Service{Name: m.service()}
		if s := m.target("session"); s != nil && s.Type == "session" {
			out.Session = &Session{UID: s.ID}
		}
	case UserAccess:
		// Without a user among the targets nobody can tell whose privilege it is.
		privilege := m.metadata(rules.Privilege)
		if privilege == "" || !isUser(subject) {
			return false
		}
		out.User, out.Privileges = m.user(subject), []string{privilege}
	case GroupManagement:
		if subject == nil || subject.Type != rules.Subject || subject.ID == "" && subject.Name == "" {
			return false
		}
		out.Group = &Group{Name: subject.Name, Type: subject.Type, UID: subject.ID}
		if member := m.target(rules.Member); rules.Member != "" && member != nil && member.Type == rules.Member {
			u := targetUser(member)
			out.User = &u
		}
	default:
		out.Entity = m.entity(subject)
	}
	return true
}

// target is the first target of the type, else the first of all, else nil. Without a type
// it is the first of all; the actor is no target.
func (m *mapping) target(kind string) *schema.Target {
	targets := m.event.Targets
	if kind == "actor" {
		return nil
	}
	for i := range targets {
		if targets[i].Type == kind {
			return &targets[i]
		}
	}
	if len(targets) > 0 {
		return &targets[0]
	}
	return nil
}

// user is whom an account belongs to: the subject if it is a user, else whoever the
// metadata's email names, else the actor. The metadata's email is about the one meant.
func (m *mapping) user(subject *schema.Target) *User {
	email := address(m.metadata("email"))
	u := m.out.Actor.User
	switch {
	case isUser(subject):
		u = targetUser(subject)
	case subject != nil && email != "" && email != u.EmailAddr:
		return &User{EmailAddr: email, Name: email, Type: "User", TypeID: 1}
	}
	if u.EmailAddr == "" && u.Type == "User" {
		u.EmailAddr = email
	}
	return &u
}

func isUser(t *schema.Target) bool { return t != nil && strings.HasSuffix(t.Type, "user") }

// entity is what was managed: the subject, else the organization, else the actor.
func (m *mapping) entity(subject *schema.Target) *Entity {
	switch {
	case subject != nil && (subject.ID != "" || subject.Name != ""):
		id, caption := entityType(subject.Type)
		return &Entity{Name: subject.Name, Type: caption, TypeID: id, UID: subject.ID}
	case m.event.OrganizationID != "":
		return &Entity{Type: "Organization", TypeID: 4, UID: m.event.OrganizationID}
	}
	a := m.out.Actor.User
	return &Entity{Name: a.Name, Type: "User", TypeID: 2, UID: a.UID}
}

// service is what a user signed in to: WorkOS for what WorkOS tells of.
func (m *mapping) service() string {
	if m.action != nil && strings.HasPrefix(m.action.Family, "workos_") {
		return "WorkOS"
	}
	return "application"
}

// metadata is a text in the event's metadata, or empty.
func (m *mapping) metadata(name string) string {
	text, _ := m.event.Metadata[name].(string)
	return text
}

// entityType is OCSF's id and caption for a target's type; what OCSF does not list keeps
// its own name.
func entityType(kind string) (id int, caption string) {
	switch kind {
	case "device":
		return 1, "Device"
	case "user", "directory_user":
		return 2, "User"
	case "group", "directory_group":
		return 3, "Group"
	case "organization":
		return 4, "Organization"
	case "policy":
		return 5, "Policy"
	case "":
		return 0, "Unknown"
	}
	return other, kind
}

// userType is OCSF's id and caption for an actor's type; see entityType.
func userType(kind string) (id int, caption string) {
	switch kind {
	case "user", "directory_user":
		return 1, "User"
	case "admin", "super_user":
		return 2, "Admin"
	case "system":
		return 3, "System"
	case "":
		return 0, "Unknown"
	}
	return other, kind
}

func actorUser(a *schema.Actor) User {
	u := User{Name: a.Name, UID: a.ID}
	u.TypeID, u.Type = userType(a.Type)
	email, _ := a.Metadata["email"].(string)
	if u.EmailAddr = address(email); u.EmailAddr == "" {
		u.EmailAddr = address(a.ID)
	}
	if u.Name == "" && u.UID == "" {
		u.Name = "unknown" // OCSF wants one of the two
	}
	return u
}

func targetUser(t *schema.Target) User {
	a := schema.Actor(*t)
	return actorUser(&a)
}

// address is text if it looks like an email address, else empty.
func address(text string) string {
	at := strings.IndexByte(text, '@')
	if at < 1 || at == len(text)-1 || strings.ContainsAny(text, " \t\r\n<>\"") || strings.IndexByte(text[at+1:], '@') >= 0 {
		return ""
	}
	return text
}

// unmapped keeps everything of the event that has no place, or not all of it, above.
func (m *mapping) unmapped() {
	e, rest := m.event, map[string]any{}
	if e.Version != nil {
		rest["version"] = *e.Version
	}
	if e.Metadata != nil {
		rest["metadata"] = e.Metadata
	}
	if len(e.Targets) > 0 {
		targets := make([]map[string]any, len(e.Targets))
		for i := range e.Targets {
			targets[i] = party((*schema.Actor)(&e.Targets[i]))
		}
		rest["targets"] = targets
	}
	if a := e.Actor; a.Metadata != nil || a.Extra != nil {
		rest["actor"] = party(&a)
	}
	if c := e.Context; c != nil {
		left := map[string]any{}
		for name, value := range c.Extra {
			left[name] = value
		}
		if c.Location != "" && !isAddress(c.Location) {
			left["location"] = c.Location
		}
		if len(left) > 0 {
			rest["context"] = left
		}
	}
	for name, value := range e.Extra {
		if _, taken := rest[name]; !taken {
			rest[name] = value
		}
	}
	if len(rest) > 0 {
		m.out.Unmapped = rest
	}
}

// party is an actor or target with all that it has.
func party(a *schema.Actor) map[string]any {
	all := map[string]any{}
	for name, value := range a.Extra {
		all[name] = value
	}
	for name, value := range map[string]string{"id": a.ID, "type": a.Type, "name": a.Name} {
		if value != "" {
			all[name] = value
		}
	}
	if a.Metadata != nil {
		all["metadata"] = a.Metadata
	}
	return all
}
