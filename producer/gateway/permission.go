package gateway

import (
	"net/http"
	"slices"
)

// What a key allows. One that says nothing allows to publish: a service that tells what it did
// need not be able to read what everybody did.
const (
	AllowPublish   = "publish"   // events
	AllowExports   = "exports"   // to read the events of its organizations
	AllowSchemas   = "schemas"   // to register schemas of actions, which hold for all organizations
	AllowRetention = "retention" // to set the retention of its organizations
)

// Allowances are all of them.
func Allowances() []string {
	return []string{AllowPublish, AllowExports, AllowSchemas, AllowRetention}
}

// Allows says whether the caller's key allows something.
func (c Caller) Allows(what string) bool {
	if len(c.Allow) == 0 {
		return what == AllowPublish
	}
	return slices.Contains(c.Allow, what)
}

// Does says whether the caller has to do with an action at all.
func (c Caller) Does(action string) bool {
	return len(c.Actions) == 0 || slices.ContainsFunc(c.Actions, func(glob string) bool { return matches(glob, action) })
}

// allowed is why the key does not allow something, nil if it does.
func (r *request) allowed(what string) error {
	if r.caller.Allows(what) {
		return nil
	}
	e := Errorf(http.StatusForbidden, CodeForbidden, "The API key does not allow this.")
	e.Remedy = "It needs " + what + " among what gateway.keys says under allow."
	return e
}

// known is why the key knows no such organization, nil if it does.
func (r *request) known(organization string) error {
	if r.server.organizations.MatchString(organization) && r.caller.Knows(organization) {
		return nil
	}
	return noOrganization(organization)
}

func noOrganization(id string) *Error {
	e := Errorf(http.StatusNotFound, CodeNoOrganization, "Organization not found: '%s'.", cut(id))
	e.Remedy = "Send an organization_id that matches events.organization_pattern, with a key that lists it."
	return e
}
