package transport

import (
	"errors"
	"net/url"
	"strings"
)

// BaseURL checks the address of a service and returns it without a slash at its end.
// Its errors do not repeat it: people put passwords there.
func BaseURL(s string) (string, error) {
	if s == "" {
		return "", errors.New("is missing: write it as in https://collector.example:8088")
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return "", errors.New("is not a URL: write it as in https://collector.example:8088")
	case u.Scheme != "https" && u.Scheme != "http":
		return "", errors.New("does not begin with https:// or http://")
	case u.Hostname() == "":
		return "", errors.New("names no host: write it as in https://collector.example:8088")
	case u.User != nil:
		return "", errors.New("holds a user name or password: write the credential as a reference in its own setting")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return "", errors.New("holds a query or a fragment: write only scheme, host and path")
	}
	return strings.TrimRight(u.String(), "/"), nil
}
