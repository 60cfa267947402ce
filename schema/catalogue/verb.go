package catalogue

import "strings"

// Verb is what an action does, as far as its name says so.
type Verb string

// The verbs that names of actions are searched for.
const (
	VerbCreate     Verb = "create"
	VerbRead       Verb = "read"
	VerbUpdate     Verb = "update"
	VerbDelete     Verb = "delete"
	VerbEnable     Verb = "enable"
	VerbDisable    Verb = "disable"
	VerbActivate   Verb = "activate"
	VerbDeactivate Verb = "deactivate"
	NoVerb         Verb = ""
)

// VerbOf is the verb in an action's name: the first word of its last part, as in
// sso.delete_connection and project.deleted. For actions that the catalogue does not
// know it decides what they become in a format.
func VerbOf(action string) Verb {
	last := action[strings.LastIndexByte(action, '.')+1:]
	word, _, _ := strings.Cut(last, "_")
	switch word {
	case "create", "created", "add", "added":
		return VerbCreate
	case "read", "view", "viewed", "get", "list", "listed", "download", "downloaded", "export", "exported":
		return VerbRead
	case "update", "updated", "change", "changed", "rename", "renamed", "edit", "edited":
		return VerbUpdate
	case "delete", "deleted", "remove", "removed":
		return VerbDelete
	case "enable", "enabled":
		return VerbEnable
	case "disable", "disabled":
		return VerbDisable
	case "activate", "activated":
		return VerbActivate
	case "deactivate", "deactivated":
		return VerbDeactivate
	}
	return NoVerb
}
