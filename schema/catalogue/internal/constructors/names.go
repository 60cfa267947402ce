package constructors

import "strings"

// goName is the exported name of a field: words at underscores and dashes, with the
// abbreviations that Go writes in capitals.
func goName(name string) string {
	var b strings.Builder
	for word := range strings.FieldsFuncSeq(name, func(r rune) bool { return r == '_' || r == '-' || r == '.' }) {
		b.WriteString(capitals(word))
	}
	return b.String()
}

// titleName is the name of a constructor: the words of an action's title.
func titleName(title string) string {
	var b strings.Builder
	for word := range strings.FieldsFuncSeq(title, func(r rune) bool { return r == ' ' || r == '-' || r == '.' || r == ',' || r == '\'' }) {
		b.WriteString(capitals(word))
	}
	return b.String()
}

func capitals(word string) string {
	switch lower := strings.ToLower(word); lower {
	case "id", "ip", "url", "api", "sso", "mfa", "ocsf", "kv", "saml", "http":
		return strings.ToUpper(word)
	case "ids", "urls":
		return strings.ToUpper(lower[:len(lower)-1]) + "s"
	case "workos":
		return "WorkOS"
	case "oauth":
		return "OAuth"
	}
	if word == "" {
		return ""
	}
	return strings.ToUpper(word[:1]) + word[1:]
}
