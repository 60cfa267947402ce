package catalogue

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/auditstream/auditstream/schema"
)

// AnyTarget is the type of a [Target] that stands for targets of every other type.
const AnyTarget = "*"

// Action is what is known of one action, in one version. A version never changes: what
// an event of it may hold stays what it was.
type Action struct {
	Name        string   `json:"action"`
	Version     int      `json:"version"` // from 1
	Title       string   `json:"title,omitempty"`
	Description string   `json:"description,omitempty"`
	Severity    Severity `json:"severity,omitempty"`
	Outcome     Outcome  `json:"outcome,omitempty"`
	// OutcomeFrom names the boolean in the event's metadata that says whether what was done
	// succeeded; without that member the outcome is Outcome.
	OutcomeFrom string `json:"outcome_from,omitempty"`

	OCSF *OCSF `json:"ocsf,omitempty"` // nil: the format's fallback, likewise below
	ECS  *ECS  `json:"ecs,omitempty"`
	CEF  *CEF  `json:"cef,omitempty"`

	Targets  []Target        `json:"targets"`
	Actor    json.RawMessage `json:"actor,omitempty"`    // JSON Schema (2020-12) of the actor's metadata; nil: anything
	Metadata json.RawMessage `json:"metadata,omitempty"` // likewise of the event's metadata

	Family string `json:"family,omitempty"`
}

// Target is a kind of thing that an action is done to.
type Target struct {
	Type     string          `json:"type"`               // or AnyTarget
	Required bool            `json:"required,omitempty"` // an event has at least one of them
	Named    bool            `json:"named,omitempty"`    // it has a name
	Metadata json.RawMessage `json:"metadata,omitempty"` // JSON Schema of its metadata; nil: anything
}

// Severity is how much an action matters to who watches: to a security team, not to the
// service that it happens in.
type Severity string

// The severities, from the least to the most. An action without one is Informational.
const (
	Informational Severity = "informational"
	Low           Severity = "low"
	Medium        Severity = "medium"
	High          Severity = "high"
	Critical      Severity = "critical"
)

// Severities are all of them, from the least to the most.
func Severities() []Severity { return []Severity{Informational, Low, Medium, High, Critical} }

// Outcome is whether what an event tells of was done.
type Outcome string

// The outcomes. An action without one is Unknown.
const (
	Success Outcome = "success"
	Failure Outcome = "failure"
	Unknown Outcome = "unknown"
)

// OCSF says which event of the Open Cybersecurity Schema Framework an action is.
type OCSF struct {
	Class        int    `json:"class"`                   // class_uid
	Activity     int    `json:"activity"`                // activity_id; 99: ActivityName says which
	ActivityName string `json:"activity_name,omitempty"` // with 99
	Subject      string `json:"subject,omitempty"`       // type of the target that the class is about, or "actor"; empty: the first target
	Member       string `json:"member,omitempty"`        // class 3006: type of the target that joins or leaves
	Privilege    string `json:"privilege,omitempty"`     // class 3005: the metadata that names the privilege
}

// ECS says how the Elastic Common Schema categorizes an action.
type ECS struct {
	Category []string `json:"category"` // event.category
	Type     []string `json:"type"`     // event.type
}

// CEF is an action's head in ArcSight's Common Event Format.
type CEF struct {
	Name     string `json:"name"`
	Severity int    `json:"severity"` // 0 to 10
}

// maxName bounds an action's name, in bytes: it is a key of records and a label.
const maxName = 200

// Check returns what is wrong with the action, joined. It does not look into its schemas:
// package registry compiles those.
func (a *Action) Check() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("action %q: "+format, append([]any{a.Name}, args...)...))
	}
	if !isName(a.Name) {
		bad("a name is letters, digits and _ - / in words with dots between, at most %d bytes", maxName)
	}
	if a.Version < 1 {
		bad("version %d: versions begin at 1", a.Version)
	}
	if a.Severity != "" && !slices.Contains(Severities(), a.Severity) {
		bad("severity %q is unknown; there are: %v", a.Severity, Severities())
	}
	if outcomes := []Outcome{Success, Failure, Unknown}; a.Outcome != "" && !slices.Contains(outcomes, a.Outcome) {
		bad("outcome %q is unknown; there are: %v", a.Outcome, outcomes)
	}
	seen := map[string]bool{}
	for _, t := range a.Targets {
		switch {
		case t.Type == "":
			bad("a target has no type")
		case seen[t.Type]:
			bad("target type %q stands twice", t.Type)
		case t.Type == AnyTarget && (t.Required || t.Named || t.Metadata != nil):
			bad("target type %q can ask for nothing", AnyTarget)
		}
		seen[t.Type] = true
	}
	if o := a.OCSF; o != nil && (o.Class < 1000 || o.Activity < 0 || (o.Activity == 99) != (o.ActivityName != "")) {
		bad("ocsf: class %d, activity %d, activity_name %q: name an activity that is 99, and no other", o.Class, o.Activity, o.ActivityName)
	}
	if e := a.ECS; e != nil && (len(e.Category) == 0 || len(e.Type) == 0) {
		bad("ecs: category and type are needed")
	}
	if c := a.CEF; c != nil && (c.Name == "" || c.Severity < 0 || c.Severity > 10) {
		bad("cef: a name and a severity of 0 to 10 are needed")
	}
	return errors.Join(errs...)
}

// Find finds what is known of the event's action by lookup: in the event's version, else
// in the latest. It is nil for an action that nobody knows.
func Find(lookup func(name string, version int) *Action, e *schema.Event) *Action {
	if e.Version != nil && *e.Version > 0 {
		if a := lookup(e.Action, *e.Version); a != nil {
			return a
		}
	}
	return lookup(e.Action, 0)
}

// SeverityOf is the severity of an action that may not be known.
func SeverityOf(a *Action) Severity {
	if a == nil {
		return Informational
	}
	return cmp.Or(a.Severity, Informational)
}

// OutcomeOf is whether what the event with that metadata tells of was done; the action
// may not be known.
func OutcomeOf(a *Action, metadata map[string]any) Outcome {
	if a == nil {
		return Unknown
	}
	if a.OutcomeFrom != "" {
		switch metadata[a.OutcomeFrom] {
		case true:
			return Success
		case false:
			return Failure
		}
	}
	return cmp.Or(a.Outcome, Unknown)
}

// isName says whether name is words of letters, digits, _, - and / with dots between.
func isName(name string) bool {
	word := false
	for _, c := range []byte(name) {
		switch {
		case c == '.' && !word:
			return false
		case c == '.':
			word = false
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '-', c == '/':
			word = true
		default:
			return false
		}
	}
	return word && len(name) <= maxName
}
