package transport_test

import (
	"slices"
	"testing"

	"github.com/auditstream/auditstream/sinks/transport"
)

func TestAnOriginHasOneSpelling(t *testing.T) {
	for text, want := range map[string]string{
		"https://splunk.example":              "https://splunk.example:443",
		"HTTPS://Splunk.Example:443/a/b":      "https://splunk.example:443",
		"http://splunk.example/x":             "http://splunk.example:80",
		"https://splunk.example:8088/":        "https://splunk.example:8088",
		"https://[2001:DB8::1]:8088/services": "https://[2001:db8::1]:8088",
		"socks5://proxy.example":              "socks5://proxy.example:1080",
		"no url":                              "no url",
	} {
		if got := transport.Origin(text); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

func TestAProxyIsAnOriginToo(t *testing.T) {
	s := transport.Defaults()
	if got := s.OriginsOf("https://a.example"); !slices.Equal(got, []string{"https://a.example:443"}) {
		t.Error(got)
	}
	s.Proxy.URL = "http://proxy.example:3128"
	if got := s.OriginsOf("https://a.example"); !slices.Equal(got, []string{"https://a.example:443", "http://proxy.example:3128"}) {
		t.Error(got)
	}
	s.Proxy.URL = "direct"
	if got := s.OriginsOf("https://a.example"); len(got) != 1 {
		t.Error(got)
	}
}
