package admin

import "slices"

// Role is what a caller may do. Each may do what the one before may.
type Role string

// Roles, from the least to the mightiest.
const (
	RoleViewer   Role = "viewer"   // look at everything but payloads
	RoleOperator Role = "operator" // see payloads; pause, resume, test, skip, replay, redrive, discard
	RoleAdmin    Role = "admin"    // make, change and delete streams
)

// Allows says whether a caller of role r may do what needs role needed.
func (r Role) Allows(needed Role) bool {
	order := []Role{RoleViewer, RoleOperator, RoleAdmin}
	have := slices.Index(order, r)
	return have >= 0 && have >= slices.Index(order, needed)
}

// Caller is who asks.
type Caller struct {
	Name          string   // as the audit events say it
	Role          Role     //
	Organizations []string // that the caller is confined to; empty: none, it sees all
}
