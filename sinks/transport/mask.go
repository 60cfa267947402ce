package transport

import "strings"

// redacted stands where a secret was.
const redacted = "[redacted]"

// masks are the secrets of one request. A debugging proxy may echo the request, and a
// malformed answer may be one: nothing that we keep of an answer holds them.
type masks []string

// hide is text without the secrets.
func (m masks) hide(text string) string {
	for _, secret := range m {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, redacted)
		}
	}
	return text
}
