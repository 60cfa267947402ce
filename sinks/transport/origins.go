package transport

import (
	"net"
	"net/url"
	"strings"

	"github.com/auditstream/auditstream/sinks"
)

// OriginsOf is what sinks.Bound asks of settings whose requests go to these URLs.
func (s *Settings) OriginsOf(urls ...string) []string {
	if s.Proxy.URL != "" && s.Proxy.URL != direct {
		urls = append(urls, s.Proxy.URL)
	}
	origins := make([]string, 0, len(urls))
	for _, u := range urls {
		origins = append(origins, Origin(u))
	}
	return origins
}

// Origin is a URL's scheme, host and port, in one spelling. Of what is no URL it is the text
// itself, so that two different ones are never taken for the same.
func Origin(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return text
	}
	scheme := strings.ToLower(u.Scheme)
	_, port, _ := net.SplitHostPort(hostPort(&url.URL{Scheme: scheme, Host: u.Host}))
	return scheme + "://" + net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// HostOnly implements sinks.Hosted.
func (s *Settings) HostOnly() []*sinks.FieldError {
	if s.CAFile == "" {
		return nil
	}
	return []*sinks.FieldError{{Field: "ca_file", Message: "names a file of the machine that delivers, which only a configuration file may: pin the certificate with pin_sha256"}}
}
