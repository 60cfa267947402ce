package ocsf

import (
	"slices"

	"github.com/auditstream/auditstream/schema/catalogue"
)

// The classes of category 3, Identity & Access Management, that audit events become.
const (
	AccountChange    = 3001
	Authentication   = 3002
	EntityManagement = 3004
	UserAccess       = 3005
	GroupManagement  = 3006
)

const (
	categoryUID  = 3
	categoryName = "Identity & Access Management"
)

// other is the activity of every class that stands for whatever the class does not list.
const other = 99

// DefaultVersion is the version of OCSF that events are written in unless another one is
// asked for.
const DefaultVersion = "1.5.0"

// Versions are the versions of OCSF that events can be written in, oldest first. Earlier
// ones have no actor in three of the classes.
func Versions() []string { return []string{"1.4.0", "1.5.0", "1.6.0", "1.7.0", "1.8.0"} }

// since is the version in which OCSF got an activity that not all of Versions have.
func since(class, activity int) string {
	switch {
	case class == Authentication && activity == 7:
		return "1.6.0"
	}
	return ""
}

// activities are the names of a class's activities by their ids, from 0 on.
func activities(class int) []string {
	switch class {
	case AccountChange:
		return []string{"Unknown", "Create", "Enable", "Password Change", "Password Reset", "Disable", "Delete", "Attach Policy", "Detach Policy", "Lock", "MFA Factor Enable", "MFA Factor Disable", "Unlock"}
	case Authentication:
		return []string{"Unknown", "Logon", "Logoff", "Authentication Ticket", "Service Ticket Request", "Service Ticket Renew", "Preauth", "Account Switch"}
	case EntityManagement:
		return []string{"Unknown", "Create", "Read", "Update", "Delete", "Move", "Enroll", "Unenroll", "Enable", "Disable", "Activate", "Deactivate", "Suspend", "Resume"}
	case UserAccess:
		return []string{"Unknown", "Assign Privileges", "Revoke Privileges"}
	case GroupManagement:
		return []string{"Unknown", "Assign Privileges", "Revoke Privileges", "Add User", "Remove User", "Delete", "Create"}
	}
	return nil
}

func className(class int) string {
	switch class {
	case AccountChange:
		return "Account Change"
	case Authentication:
		return "Authentication"
	case UserAccess:
		return "User Access Management"
	case GroupManagement:
		return "Group Management"
	}
	return "Entity Management"
}

// kind is what an event becomes: a class, and what of it.
type kind struct {
	class, activity int
	name            string // of the activity
}

// kindOf is what events of an action become in a version of OCSF. An activity that the
// version does not have yet is other, under the name that it got later.
func kindOf(m *catalogue.OCSF, version string) kind {
	names := activities(m.Class)
	switch {
	case m.Activity == other && names != nil:
		return kind{m.Class, other, m.ActivityName}
	case m.Activity >= len(names):
		return kind{EntityManagement, other, "Other"}
	}
	k := kind{m.Class, m.Activity, names[m.Activity]}
	if from := since(m.Class, m.Activity); from != "" && slices.Index(Versions(), version) < slices.Index(Versions(), from) {
		k.activity = other
	}
	return k
}

// fallback is what an event of an action without a mapping becomes: by its verb, if its
// name says what was done.
func fallback(action string) kind {
	activity := other
	switch catalogue.VerbOf(action) {
	case catalogue.VerbCreate:
		activity = 1
	case catalogue.VerbRead:
		activity = 2
	case catalogue.VerbUpdate:
		activity = 3
	case catalogue.VerbDelete:
		activity = 4
	case catalogue.VerbEnable:
		activity = 8
	case catalogue.VerbDisable:
		activity = 9
	case catalogue.VerbActivate:
		activity = 10
	case catalogue.VerbDeactivate:
		activity = 11
	case catalogue.NoVerb:
		return kind{EntityManagement, other, "Other"}
	}
	return kind{EntityManagement, activity, activities(EntityManagement)[activity]}
}
