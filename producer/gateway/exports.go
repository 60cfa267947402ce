package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/auditstream/auditstream/schema"
)

// Exports make files of an organization's events.
type Exports interface {
	Create(ctx context.Context, q ExportQuery) (Export, error)
	// Find is an export as it stands, with a link if it is ready. It returns ErrNoExport also
	// for one that its caller may not see.
	Find(ctx context.Context, id string, may func(ExportQuery) bool) (Export, error)
	// Open is the file of an export, for whom has a link's token. It returns ErrNoExport for any
	// other, and ErrExpired if the events are gone.
	Open(ctx context.Context, id, token string) (Download, error)
}

// Why there is no file.
var (
	ErrNoExport = errors.New("there is no such export")
	ErrExpired  = errors.New("the events of the export are gone")
)

// ExportQuery says which events are wanted: those for which each list that is not empty has an
// entry.
type ExportQuery struct {
	OrganizationID string
	By             string    // the key's name
	From, To       time.Time // of occurred_at; To is exclusive
	Actions        []string
	ActorNames     []string
	ActorIDs       []string
	Targets        []string // types
}

// States of an export, as WorkOS has them.
const (
	ExportPending = "pending"
	ExportReady   = "ready"
	ExportFailed  = "error"
	ExportExpired = "expired" // Kafka has its events no more
)

// Export is an export as it stands.
type Export struct {
	ID    string
	Query ExportQuery
	State string

	Reason     string     // of ExportFailed and ExportExpired
	Complete   *time.Time // Kafka had dropped events: only what was appended from then on is in the file for sure; nil: all of it is
	Oldest     *time.Time // what occurred before is left out, by the organization's retention; nil: nothing is
	Read       int64      // offsets of Total that were looked through
	Total      int64
	Rows       int64 // events that were found
	Bytes      int64 // of the file
	SHA256     string
	Unreadable int64 // records that are no valid event

	Token   string // of a link to the file; only when ready
	Expires time.Time

	Made, Updated time.Time
}

// exportAnswer is an export in WorkOS's form, and what is known of it beside.
type exportAnswer struct {
	Object    string  `json:"object"`
	ID        string  `json:"id"`
	State     string  `json:"state"`
	URL       *string `json:"url"` // null unless ready
	CreatedAt string  `json:"created_at"`
	UpdatedAt string  `json:"updated_at"`

	OrganizationID string         `json:"organization_id"`
	RangeStart     string         `json:"range_start"`
	RangeEnd       string         `json:"range_end"`
	Actions        []string       `json:"actions,omitempty"`
	ActorNames     []string       `json:"actor_names,omitempty"`
	ActorIDs       []string       `json:"actor_ids,omitempty"`
	Targets        []string       `json:"targets,omitempty"`
	Progress       exportProgress `json:"progress"`
	Bytes          int64          `json:"bytes"`
	SHA256         string         `json:"sha256,omitempty"`
	URLExpiresAt   string         `json:"url_expires_at,omitempty"`
	CompleteFrom   string         `json:"complete_from,omitempty"`
	OldestAt       string         `json:"oldest_at,omitempty"`
	Unreadable     int64          `json:"unreadable,omitempty"`
	Error          string         `json:"error,omitempty"`
}

// exportProgress is how far an export is.
type exportProgress struct {
	Read   int64 `json:"read"`  // offsets of Kafka that were looked through
	Total  int64 `json:"total"` // that are to be
	Events int64 `json:"events"`
}

func (r *request) exportView(e Export) exportAnswer {
	out := exportAnswer{
		Object: "audit_log_export", ID: e.ID, State: e.State, CreatedAt: stamp(e.Made), UpdatedAt: stamp(e.Updated),
		OrganizationID: e.Query.OrganizationID, RangeStart: stamp(e.Query.From), RangeEnd: stamp(e.Query.To),
		Actions: e.Query.Actions, ActorNames: e.Query.ActorNames, ActorIDs: e.Query.ActorIDs, Targets: e.Query.Targets,
		Progress: exportProgress{e.Read, e.Total, e.Rows}, Bytes: e.Bytes, SHA256: e.SHA256, Unreadable: e.Unreadable, Error: e.Reason,
	}
	if e.Token != "" {
		out.URL = new(r.base() + "/audit_logs/exports/" + e.ID + "/download?token=" + e.Token)
		out.URLExpiresAt = stamp(e.Expires)
	}
	if e.Complete != nil {
		out.CompleteFrom = stamp(*e.Complete)
	}
	if e.Oldest != nil {
		out.OldestAt = stamp(*e.Oldest)
	}
	return out
}

// base is what callers reach the gateway by.
func (r *request) base() string {
	switch {
	case r.server.cfg.URL != "":
		return r.server.cfg.URL
	case r.TLS != nil:
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// createExport is POST /audit_logs/exports.
func (r *request) createExport() error {
	if err := r.server.begun(); err != nil {
		return err
	}
	if err := r.allowed(AllowExports); err != nil {
		return err
	}
	text, err := r.body(typeJSON)
	if err != nil {
		return err
	}
	q, err := readExport(text)
	if err != nil {
		return err
	}
	q.By = r.caller.Name
	if err := r.known(q.OrganizationID); err != nil {
		return err
	}
	if !r.caller.sees(q) {
		e := Errorf(http.StatusForbidden, CodeForbidden, "The API key does not allow these actions.")
		e.Remedy = "Name actions that the key is for."
		return e
	}
	if err := r.rate(q.OrganizationID, 1); err != nil {
		return err
	}
	made, err := r.server.cfg.Exports.Create(r.Context(), q)
	if err != nil {
		return exportError(err)
	}
	writeJSON(r.w, http.StatusCreated, r.exportView(made))
	return nil
}

// sees says whether the caller may see the events of an export. A key that is for some actions
// only sees an export of nothing but these.
func (c Caller) sees(q ExportQuery) bool {
	if !c.Knows(q.OrganizationID) || !c.Allows(AllowExports) || len(c.Actions) > 0 && len(q.Actions) == 0 {
		return false
	}
	for _, a := range q.Actions {
		if !c.Does(a) {
			return false
		}
	}
	return true
}

// getExport is GET /audit_logs/exports/{id}. It makes a new link where the last one is old.
func (r *request) getExport() error {
	if err := r.server.begun(); err != nil {
		return err
	}
	if err := r.allowed(AllowExports); err != nil {
		return err
	}
	id := r.PathValue("id")
	found, err := r.server.cfg.Exports.Find(r.Context(), id, r.caller.sees)
	switch {
	case errors.Is(err, ErrNoExport):
		return noExport(id)
	case err != nil:
		return exportError(err)
	}
	writeJSON(r.w, http.StatusOK, r.exportView(found))
	return nil
}

func noExport(id string) *Error {
	return Errorf(http.StatusNotFound, CodeNotFound, "Audit Log export not found: '%s'.", cut(id))
}

// exportError is why nothing can be said of an export now.
func exportError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return unavailable(CodeUnavailable, "Exports cannot be looked at at the moment.", err)
}

// Bounds of what an export asks for.
const (
	maxEntries = 100 // of each list
	maxEntry   = 500 // bytes of each entry
)

// readExport reads an ExportQuery. actors is what actor_names was called before.
func readExport(text []byte) (ExportQuery, error) {
	var q ExportQuery
	members, err := schema.Members(text)
	if found, ok := errors.AsType[schema.Violations](err); ok {
		return q, unread(found, "")
	}
	var wrong []Detail
	bad := func(code, field, message string) {
		wrong = append(wrong, Detail{Code: code, Message: message, Field: field, Pointer: "/" + field})
	}
	moment := func(m schema.Member) time.Time {
		var s string
		if json.Unmarshal(m.Value, &s) != nil {
			bad(schema.CodeType, m.Name, "must be a string")
			return time.Time{}
		}
		at, ok := (&schema.Event{OccurredAt: s}).Time()
		if !ok || at.Year() < 1970 || at.Year() > 9999 {
			bad(schema.CodeFormat, m.Name, "must be an RFC 3339 date-time, as in 2026-01-31T09:30:00.000Z")
		}
		return at.UTC()
	}
	entries := func(m schema.Member) (list []string) {
		if json.Unmarshal(m.Value, &list) != nil {
			bad(schema.CodeType, m.Name, "must be an array of strings")
			return nil
		}
		if len(list) > maxEntries {
			bad(schema.CodeRange, m.Name, "must have at most "+strconv.Itoa(maxEntries)+" entries")
		}
		for _, s := range list {
			if len(s) > maxEntry {
				bad(schema.CodeRange, m.Name, "has an entry of more than "+strconv.Itoa(maxEntry)+" bytes")
				return nil
			}
		}
		return list
	}
	seen := map[string]bool{}
	for _, m := range members {
		if string(m.Value) == "null" {
			continue
		}
		seen[m.Name] = true
		switch m.Name {
		case "organization_id":
			if json.Unmarshal(m.Value, &q.OrganizationID) != nil {
				bad(schema.CodeType, m.Name, "must be a string")
			}
		case "range_start":
			q.From = moment(m)
		case "range_end":
			q.To = moment(m)
		case "actions":
			q.Actions = entries(m)
		case "actor_names", "actors":
			q.ActorNames = append(q.ActorNames, entries(m)...)
		case "actor_ids":
			q.ActorIDs = entries(m)
		case "targets":
			q.Targets = entries(m)
		default:
			bad("unknown_member", cut(m.Name), "there is no such member here")
		}
	}
	for _, name := range []string{"organization_id", "range_start", "range_end"} {
		if !seen[name] {
			bad(schema.CodeRequired, name, schema.CodeRequired)
		}
	}
	if len(wrong) == 0 && !q.From.Before(q.To) {
		bad(schema.CodeRange, "range_end", "must be later than range_start")
	}
	if len(wrong) > 0 {
		return q, invalid(wrong)
	}
	return q, nil
}
