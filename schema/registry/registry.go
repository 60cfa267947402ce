// Package registry checks events against the schemas of their actions.
//
// Schemas are data: the embedded catalogue, files of a directory, records of a topic. A
// Registry compiles them once and swaps them whole, so that an event is checked against
// one state of them, and a state that does not compile never comes into force. A version
// of an action never changes: a schema that differs is the next version.
package registry

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/auditstream/auditstream/schema"
	"github.com/auditstream/auditstream/schema/catalogue"
)

// Policy is what becomes of an event whose action, or whose version of it, has no schema.
type Policy string

// The policies. The zero Policy is Accept.
const (
	Accept Policy = "accept" // it is valid if its envelope is
	Warn   Policy = "warn"   // likewise, with a warning
	Reject Policy = "reject" // it is a violation
)

// Policies are all of them.
func Policies() []Policy { return []Policy{Accept, Warn, Reject} }

// Config says how events are checked.
type Config struct {
	Validator schema.Validator // of the envelope
	Unknown   Policy           // of actions and versions without a schema
	Limits    *Limits          // of metadata; nil: WorkOSLimits
}

// Registry holds the schemas of actions. It may be used by many goroutines at once.
type Registry struct {
	validator schema.Validator
	unknown   Policy
	limits    Limits

	changing sync.Mutex // one change at a time
	state    atomic.Pointer[state]
}

// state is what a Registry knows at one time. It does not change.
type state struct {
	actions  *catalogue.Catalogue
	compiled map[*catalogue.Action]*compiled
}

// New compiles the actions of a catalogue.
func New(c Config, actions *catalogue.Catalogue) (*Registry, error) {
	switch {
	case c.Unknown == "":
		c.Unknown = Accept
	case !slices.Contains(Policies(), c.Unknown):
		return nil, fmt.Errorf("policy %q is unknown; there are: %v", c.Unknown, Policies())
	}
	r := &Registry{validator: c.Validator, unknown: c.Unknown, limits: WorkOSLimits()}
	if c.Limits != nil {
		r.limits = *c.Limits
	}
	return r, r.Replace(actions)
}

// Replace puts another catalogue in place of all that the Registry knows. If a schema in
// it does not compile, nothing changes.
func (r *Registry) Replace(actions *catalogue.Catalogue) error {
	r.changing.Lock()
	defer r.changing.Unlock()
	return r.replace(actions)
}

func (r *Registry) replace(actions *catalogue.Catalogue) error {
	next := &state{actions, map[*catalogue.Action]*compiled{}}
	before := r.state.Load()
	var errs []error
	for _, a := range actions.Actions() {
		if before != nil && before.compiled[a] != nil {
			next.compiled[a] = before.compiled[a]
			continue
		}
		c, err := compile(a)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		next.compiled[a] = c
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	r.state.Store(next)
	return nil
}

// Actions is what the Registry knows now.
func (r *Registry) Actions() *catalogue.Catalogue { return r.state.Load().actions }

// Action is the action of that name and version, the latest one for version 0, or nil.
func (r *Registry) Action(name string, version int) *catalogue.Action {
	return r.Actions().Action(name, version)
}

// Registered is what Register did.
type Registered struct {
	Version int      // that the action's schema has
	Made    bool     // that version is new
	Changes []Change // since the version before
}

// BreakingError says that a schema was not registered, because it breaks those who write
// or read events of the version before.
type BreakingError struct {
	Action  string
	Version int // that it was compared with
	Changes []Change
}

func (e *BreakingError) Error() string {
	texts := []string{fmt.Sprintf("action %q: the schema breaks what version %d allows", e.Action, e.Version)}
	for _, c := range e.Changes {
		if c.Breaks != Nobody {
			texts = append(texts, c.String())
		}
	}
	return strings.Join(texts, "; ")
}

// Register adds a version of an action. The version in a is not looked at: a schema that
// is that of the latest version is that version, and one that differs makes the next. What
// is not the schema (description, mappings) is taken over with a new version only. Changes
// that break somebody are refused with a *BreakingError unless they are allowed.
func (r *Registry) Register(a *catalogue.Action, allowBreaking bool) (Registered, error) {
	r.changing.Lock()
	defer r.changing.Unlock()
	now := r.Actions()
	next := *a
	next.Version = 1
	done := Registered{Version: 1, Made: true}
	if latest := now.Action(a.Name, 0); latest != nil {
		same, err := Same(latest, a)
		if err != nil {
			return Registered{}, err
		}
		if same {
			return Registered{Version: latest.Version}, nil
		}
		next.Version = latest.Version + 1
		done.Version = next.Version
		if done.Changes, err = Compare(latest, a); err != nil {
			return Registered{}, err
		}
		if Breaking(done.Changes) && !allowBreaking {
			return Registered{}, &BreakingError{a.Name, latest.Version, done.Changes}
		}
	}
	if err := next.Check(); err != nil {
		return Registered{}, err
	}
	with, err := now.With(&next)
	if err != nil {
		return Registered{}, err
	}
	return done, r.replace(with)
}

// Same says whether two actions have the same schema, however it is written.
func Same(a, b *catalogue.Action) (bool, error) {
	one, err := essence(a)
	if err != nil {
		return false, err
	}
	other, err := essence(b)
	if err != nil {
		return false, err
	}
	return bytes.Equal(one, other), nil
}
